"""Dynamics drawn from a posterior, environment by environment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.checkpoints.load import load_policy
from policy_port.contract import load_contract
from policy_port.dynamics.document import Dynamics, load_dynamics
from policy_port.dynamics.posterior import draw, table
from policy_port.errors import DynamicsError, TrainError
from policy_port.export.write import write_port
from policy_port.plants.dynamic import DynamicPlant
from policy_port.remap import identity_remap
from policy_port.train.curve import read_rows
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, train
from tests.train import rover

NAMES = ("left_knee.friction", "left_knee.delay", "right_knee.gain", "ground_friction")
MEAN = (0.5, 0.004, 1.0, 0.8)
SPREAD = np.array([0.4, 0.002, 0.01, 0.1])


def document(**changed: object) -> Dynamics:
    correlation = np.eye(4)
    correlation[0, 3] = correlation[3, 0] = -0.8
    given = {
        "policy_port_dynamics": 1,
        "robot": {"file": "robot.xml"},
        "joints": {"left_knee": {"friction": 0.5, "delay": 0.004}, "right_knee": {"gain": 1.0, "armature": 0.02}},
        "common": {"ground_friction": 0.8},
        "posterior": {
            "names": NAMES,
            "mean": MEAN,
            "covariance": (correlation * np.outer(SPREAD, SPREAD)).tolist(),
        },
    }
    return Dynamics.model_validate({**given, **changed})


def test_draws_have_the_posteriors_mean_and_covariance_within_what_can_be() -> None:
    """Correlations are kept, values that can't be are drawn again, and what is not in the posterior stays."""
    drawn = draw(document(), 300, seed=3)
    values = np.array([[dict(one.estimates())[name].value for name in NAMES] for one in drawn])
    assert (values[:, 0] >= 0.0).all()
    assert np.abs(values[:, 2:].mean(axis=0) - MEAN[2:]).max() < 0.03
    assert np.allclose(values[:, 1:].std(axis=0), SPREAD[1:], rtol=0.2)
    assert np.corrcoef(values[:, 0], values[:, 3])[0, 1] < -0.6
    assert all(one.joints["right_knee"].armature == document().joints["right_knee"].armature for one in drawn)
    assert draw(document(), 4, seed=3) == drawn[:4]
    assert draw(document(), 4, seed=4) != drawn[:4]
    assert len(table(drawn).splitlines()) == 301


def test_draws_from_nothing_are_refused() -> None:
    """Without a posterior, and with one of values that can't be, the message says what to do."""
    with pytest.raises(DynamicsError, match="`policy-port identify` writes one"):
        draw(document(posterior=None), 2, seed=0)
    posterior = {"names": ["left_knee.delay"], "mean": [-1.0], "covariance": [[1e-6]]}
    with pytest.raises(DynamicsError, match=r"200 draws in a row can't be.*delay"):
        draw(document(posterior=posterior), 2, seed=0)
    with pytest.raises(TrainError, match="--randomise draws from a dynamics.yaml"):
        Place(plant="mujoco", robot=Path("robot.xml"), randomise="posterior")
    Place(plant="mujoco", robot=Path("robot.xml"), randomise="posterior", dynamics=Path("dynamics.yaml"))


def test_a_run_keeps_what_was_drawn_and_judges_by_other_draws(tmp_path: Path) -> None:
    """Each environment has its own delay and friction; the folder says which, and is resumed with the same only."""
    files = rover.write(tmp_path)
    joints = {"left": {"friction": 0.01, "delay": 0.004}}
    posterior = {"names": ["left.friction", "left.delay"], "mean": [0.01, 0.004], "covariance": [[1e-6, 0], [0, 1e-6]]}
    robot = {"file": "robot.xml", "calibration_sha256": "a" * 64}
    (tmp_path / "dynamics.yaml").write_text(document(robot=robot, joints=joints, common={}, posterior=posterior).text)
    agent = tmp_path / "agent.yaml"
    agent.write_text(rover.agent_yaml({**rover.AGENT, "num_steps_per_env": 4, "max_iterations": 1}))
    plan = Plan(out=tmp_path / "run", agent=agent)
    place = Place(plant="mujoco", robot=files["robot"], task=files["task"], num_envs=2,
                  dynamics=tmp_path / "dynamics.yaml", randomise="posterior")  # fmt: skip
    run = train(files["student"], place, plan)
    hashes = [row["sha256"] for row in read_rows(run.path / "drawn.csv")]
    assert run.record.randomise == "posterior"
    assert "drawn from its posterior" in (run.path / "report.html").read_text()
    contract = load_contract(files["student"])
    with (
        closing(place.make_plant(contract, 2, learning=True)) as learning,
        closing(place.make_plant(contract, 2)) as judged,
    ):
        assert isinstance(learning, DynamicPlant)
        assert learning.hashes == hashes
        assert isinstance(judged, DynamicPlant)
        assert not set(judged.hashes) & set(hashes)
    port = write_port(tmp_path / "port", load_policy(run.result()[0], kind="rsl_rl"), identity_remap(contract),
                      formats=("onnx",))  # fmt: skip
    assert port.manifest["policy"]["dynamics_sha256"] == load_dynamics(tmp_path / "dynamics.yaml").sha256
    assert port.pilot().learned_on == "a" * 64
    with pytest.raises(TrainError, match="randomise was posterior, now None"):
        train(files["student"], replace(place, randomise=None), replace(plan, resume=True))
