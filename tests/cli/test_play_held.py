"""`policy-port play --plant --seconds`: a policy that follows no velocity, on real simulators and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from policy_port.trace import Trace
from tests.control.networks import save_linear
from tests.samples import contract_data

ARM = """<mujoco model="arm"><worldbody><body name="base" pos="0 0 0.5"><geom size="0.05" mass="1"/>
<body name="l1" pos="0 0 0.2"><joint name="j1" axis="0 1 0" range="-90 90"/>
<geom type="capsule" fromto="0.05 0 0 0.3 0 0" size="0.02" mass="0.5"/>
<body name="l2" pos="0.4 0 0"><joint name="j2" axis="0 1 0" range="-120 120"/>
<geom type="capsule" fromto="0 0 0 0.25 0 0" size="0.02" mass="0.3"/></body></body></body></worldbody></mujoco>"""
POINT = {"term": "goal", "name": "point", "size": 3, "frame": "base, m", "low": [0, 0, 0], "high": [0.2, 0.2, 0.2]}


def make_port(folder: Path, *terms: dict[str, Any]) -> Path:
    """An arm whose second joint goes where the last number of its observation says."""
    (folder / "arm.xml").write_text(ARM)
    contract = Contract.model_validate(
        contract_data(
            base={"floating": False},
            quaternion_order="none",
            timestep=0.002,
            decimation=5,
            joints={name: {"default": 0.0, "stiffness": 20.0, "damping": 2.0} for name in ("j1", "j2")},
            observation={"terms": [{"term": "joint_pos"}, {"term": "joint_vel"}, *terms]},
            action={"terms": [{"term": "joint_position", "scale": 1.0, "offset": "default"}]},
        )
    )
    matrix = np.zeros((contract.observation_size, 2))
    matrix[:4] = [[-0.05, 0.0], [0.0, 0.01], [0.001, 0.0], [0.0, 0.002]]
    matrix[-1, 1] = 1.0
    policy = load_policy(save_linear(folder / "linear.onnx", matrix))
    return write_port(folder / "port", policy, identity_remap(contract), formats=("onnx",)).path


def play(folder: Path, *arguments: Any, plant: str = "mujoco", code: int = 0) -> str:
    robot = ("--plant", plant, "--robot", folder / "arm.xml", "--out", folder / "run")
    result = CliRunner().invoke(app, ["play", *map(str, (folder / "port", *robot, *arguments))])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert (folder / "run").exists() == (code == 0)
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("plant", ["mujoco", "newton", "maniskill"])
@pytest.mark.filterwarnings("ignore")
def test_an_arm_plays_for_its_time_in_each_simulator(tmp_path: Path, plant: str) -> None:
    """Trace, report and picture, and the held goal in all of them."""
    pytest.importorskip({"maniskill": "mani_skill"}.get(plant, plant))
    make_port(tmp_path, POINT)
    said = play(tmp_path, "--seconds", 0.5, "--goal", "point=0,0,0.2", "--report", "--plot", plant=plant)
    assert "nobody judged whether it does what it was made for" in said
    trace = Trace(tmp_path / "run" / "trace.npz")
    assert trace["goal"].shape == (50, 1, 3)
    assert (trace["goal"] == [0.0, 0.0, 0.2]).all()
    j2 = list(trace.header["joint_names"]).index("j2")
    assert trace["target"][:, 0, j2] == pytest.approx(0.2, abs=0.02)
    assert trace["joint_pos"][-1, 0, j2] == pytest.approx(0.2, abs=0.1)
    page = (tmp_path / "run" / "report.html").read_text()
    for text in ("Ran for 0.50 s of 0.5 s, goals point: 0, 0, 0.2", "Nobody judged", "data:image/png;base64,"):
        assert text in page
    assert "velocity" not in json.loads((tmp_path / "run" / "metrics.json").read_text())["setting"]


def test_the_path_of_advice_ends_in_a_run(tmp_path: Path) -> None:
    """From a walk's command by each message's remedy to the replay: no message sends back."""
    make_port(tmp_path, POINT)
    assert "leave --command out and say how long it is to run with --seconds 10" in play(
        tmp_path, "--command", "0,0,0", code=2
    )
    assert "or --goal point=draw for new ones" in play(tmp_path, "--seconds", 10, code=2)
    said = play(tmp_path, "--seconds", 0.1, "--goal", "point=draw", "--episodes", 3, "--seed", 5)
    assert "drawn from [0, 0, 0] to [0.2, 0.2, 0.2]" in said
    assert "seeds 5 to 7" in said


def test_a_goal_outside_training_is_a_warning(tmp_path: Path) -> None:
    """The replay runs, and says so."""
    make_port(tmp_path, POINT)
    assert "warning: goal point[2] = 0.5 is outside [0, 0.2]" in play(
        tmp_path, "--seconds", 0.1, "--goal", "point=0,0,0.5"
    )


def test_long_terms_are_written_by_their_count(tmp_path: Path) -> None:
    """187*0 is 187 zeros."""
    make_port(tmp_path, {"term": "external", "name": "scan", "size": 187})
    play(tmp_path, "--seconds", 0.1, "--goal", "scan=186*0,0.1")
    seen = Trace(tmp_path / "run" / "trace.npz")["observation"][0, 0]
    assert np.allclose(seen[4:], [0.0] * 186 + [0.1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seconds", "nan"), "--seconds"),
        (("--seconds", "inf"), "--seconds takes a finite length above 0"),
        (("--seconds", "0"), "--seconds takes a finite length above 0"),
        (("--seconds", "1", "--goal", "point"), "--goal takes NAME=1,2,3 or NAME=draw"),
        (("--seconds", "1", "--goal", "=1"), "--goal takes NAME=1,2,3 or NAME=draw"),
        (("--seconds", "1", "--goal", "point=a,b,c"), "takes finite numbers such as"),
        (("--seconds", "1", "--goal", "point=0*1"), "takes finite numbers such as"),
        (("--seconds", "1", "--goal", "point=1e999,0,0"), "takes finite numbers such as"),
        (("--seconds", "1", "--goal", "point=1,1,1", "--goal", "point=2,2,2"), "is given twice; give it once"),
        (("--task", "so100-reach", "--seconds", "1"), "--seconds does not go with --task"),
        (("--task", "so100-reach", "--goal", "point=1,1,1"), "--goal does not go with --task"),
        (("--goal", "point=1,1,1"), "or --seconds alone for a policy that reads no velocity command"),
    ],
)
def test_misuse_is_one_message(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """Status 2, and no folder."""
    make_port(tmp_path, POINT)
    assert message in play(tmp_path, *arguments, code=2)
