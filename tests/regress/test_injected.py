"""Faults that a team makes, injected: each has its exit code and one clear sentence; rounding has neither."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from tests.regress.arm import change_weights, change_yaml, write_arm

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory, cases_run_here: None) -> Path:
    """A suite whose baseline was written."""
    pytest.importorskip("mujoco")
    pytest.importorskip("mani_skill", reason="the arm's description comes with ManiSkill (extra: sim)")
    suite = write_arm(tmp_path_factory.mktemp("accepted") / "suite")
    done = CliRunner().invoke(app, ["regress", str(suite), "--update", "--jobs", "2"])
    assert done.exit_code == 0, done.output
    assert "80 of 80 steps repeat bit for bit" in done.output
    return suite


@pytest.fixture
def suite(accepted: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    folder = tmp_path / "suite"
    shutil.copytree(accepted.parent, folder)
    return folder / accepted.name


def regress(suite: Path) -> tuple[int, str]:
    """Exit status, and the verdict on the only case."""
    done = CliRunner().invoke(app, ["regress", str(suite)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout.splitlines()[0]


def test_nothing_changed(suite: Path) -> None:
    """The copy passes, and the second time without running anything."""
    assert regress(suite)[0] == 0
    done = CliRunner().invoke(app, ["regress", str(suite)])
    assert done.exit_code == 0
    assert "1 unchanged since an earlier run" in done.stdout


def last_bit(state: dict[str, Any]) -> None:
    for name, value in state.items():
        if name.startswith("mlp"):
            value *= 1.0 + 2.0**-23


def other_sums(state: dict[str, Any]) -> None:
    last_bit(state)
    for first, second in (("mlp.0", "mlp.2"), ("mlp.2", "mlp.4")):
        for name in (f"{first}.weight", f"{first}.bias"):
            state[name] = state[name].flip(0).clone()
        state[f"{second}.weight"] = state[f"{second}.weight"].flip(1).clone()


def test_another_rounding_does_not_alarm(suite: Path) -> None:
    """Weights that differ in their last bit, and sums taken in another order, as another torch would, pass."""
    change_weights(suite.parent, other_sums)
    code, verdict = regress(suite)
    assert code == 0, verdict
    assert "give the same actions within 0.0e+00" not in verdict, "the rounding really is another one"
    assert verdict.endswith("since the baseline, the checkpoint changed and its contract did not.")


def test_a_changed_default_pose(suite: Path) -> None:
    """The element that reads it is named, and the contract's two numbers."""
    change_yaml(suite.parent / "contract.yaml", lambda data: data["joints"]["elbow_flex"].update(default=1.3))
    code, verdict = regress(suite)
    assert code == 1
    assert verdict.startswith(
        "arm: regression: for the same stored states, observation joint_pos_rel[elbow_flex] is "
    ), verdict
    assert "contract changed (joints.elbow_flex.default: 1.5008 against 1.3)" in verdict


SWAP = {"shoulder_pan": "wrist_roll.pos", "wrist_roll": "shoulder_pan.pos"}


def test_a_swapped_mapping(suite: Path) -> None:
    """Two joints that trade places on the way to the robot: the mapping that it is played through says otherwise."""
    change_yaml(suite.parent / "mapping.yaml", lambda data: data["rename"].update(SWAP))
    code, verdict = regress(suite)
    assert code == 1
    assert "it can't be played: the port was made with another mapping than this one: shoulder_pan is" in verdict
    assert "since the baseline, the mapping changed" in verdict


def test_a_mapping_swapped_on_both_sides(suite: Path) -> None:
    """The simulator is read through the same wrong mapping, so it walks as before; the port's own side tells."""
    for name in ("mapping.yaml", "through.yaml"):
        change_yaml(suite.parent / name, lambda data: data["rename"].update(SWAP))
    code, verdict = regress(suite)
    assert code == 1
    assert "for the same stored states, port action " in verdict, verdict


def test_an_old_contract_with_a_new_checkpoint(suite: Path) -> None:
    """A policy trained in another joint order under the contract of the one before."""
    turned = [3, 1, 2, 0, 4, 5]

    def other_order(state: dict[str, Any]) -> None:
        columns = [*turned, *(6 + i for i in turned), 12, 13, 14]
        for name in ("_mean", "_var", "_std"):
            state[f"obs_normalizer.{name}"] = state[f"obs_normalizer.{name}"][:, columns].clone()
        state["mlp.0.weight"] = state["mlp.0.weight"][:, columns].clone()
        for name in ("mlp.4.weight", "mlp.4.bias"):
            state[name] = state[name][turned].clone()

    change_weights(suite.parent, other_order)
    code, verdict = regress(suite)
    assert code == 1
    assert verdict.startswith("arm: regression: for the same stored states, ")
    assert "action" in verdict
    assert verdict.endswith("since the baseline, the checkpoint changed and its contract did not.")


def degrade(state: dict[str, Any]) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.startswith("mlp") and name.endswith("weight"):
            value += 0.3 * value.std() * torch.randn(value.shape, generator=generator)


def test_a_degraded_policy(suite: Path) -> None:
    """Noise on the weights is seen by each expectation, and by the statistical one alone."""
    change_weights(suite.parent, degrade)
    code, verdict = regress(suite)
    assert code == 1
    assert "action" in verdict
    change_yaml(suite, lambda data: data["cases"][0]["expect"].pop("open_loop"))
    change_yaml(suite, lambda data: data["cases"][0]["expect"].pop("golden"))
    about = suite.parent / "arm.baselines" / "arm.json"
    change_protocol(about, **{"open_loop.steps": None, "golden.episodes": None, "golden.every": None})
    change_protocol(about, **{"golden.tolerance": None})
    code, verdict = regress(suite)
    assert code == 1
    assert verdict.startswith("arm: regression: success rate "), verdict
    assert "it has become worse (evidence " in verdict


def change_protocol(path: Path, **changes: Any) -> None:
    import json

    document = json.loads(path.read_text())
    document["protocol"].update(changes)
    path.write_text(json.dumps(document))


def test_another_simulator_makes_courses_inconclusive(suite: Path) -> None:
    """Where courses differ and the simulator is another release, nobody knows who did it: exit 3, and it is named."""
    import json

    import numpy as np

    about, data = (suite.parent / "arm.baselines" / f"arm.{ending}" for ending in ("json", "npz"))
    document = json.loads(about.read_text())
    document["simulator"] = "mujoco 3.1.0"
    document["versions"]["mujoco"] = "3.1.0"
    about.write_text(json.dumps(document))
    with np.load(data) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["course_0"] = arrays["course_0"] + np.float32(0.05)
    np.savez(data, **arrays)
    code, verdict = regress(suite)
    assert code == 3
    assert "but the simulator was mujoco 3.1.0 and is mujoco" in verdict
    assert "since the baseline, mujoco 3.1.0 -> " in verdict
