"""PBHC's horse stance: a policy that sees the steps before, and never the present one, in a block of their own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import load_contract
from policy_port.mistakes.edits import plain, validated
from policy_port.trace import Trace
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verify_contract

pytestmark = pytest.mark.shared

CONTRACT = Path(__file__).resolve().parents[1] / "real_policies/pbhc_horse_stance.yaml"
SOLE = ("-0.05 0.025", "-0.05 -0.025", "0.12 0.03", "0.12 -0.03")
"""Where the 29-joint G1 of the same maker touches the ground, which the 23-joint one does with meshes alone."""


@pytest.fixture(scope="module")
def trace(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds and a half of the stance in MuJoCo."""
    folder = tmp_path_factory.mktemp("horse")
    text = (shared / "real_policies/robots/g1_23dof/g1_23dof_lock_wrist.xml").read_text()
    points = "".join(f'<geom size="0.005" pos="{point} -0.03"/>' for point in SOLE)
    text, count = re.subn(r'(<geom type="mesh" rgba="[^"]*" mesh="\w+_ankle_roll_link"/>)', rf"\1{points}", text)
    assert count == 2
    robot = folder / "g1.xml"
    robot.write_text(text)
    policy = str(shared / "real_policies/history/pbhc_horse_stance.onnx")
    export = ("export", policy, "--contract", str(CONTRACT), "--out", str(folder / "port"), "--format", "onnx")
    play = ("play", str(folder / "port"), "--plant", "mujoco", "--robot", str(robot), "--no-meshes")
    for words in (export, (*play, "--seconds", "2.5", "--out", str(folder / "run"))):
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
    return folder / "run/trace.npz"


def test_the_robot_goes_down_into_the_stance(trace: Path) -> None:
    """From 0.79 m to below 0.62 m, legs apart, and upright."""
    recorded = Trace(trace)
    height = recorded["base_pos"].reshape(-1, 3)[:, 2]
    assert len(height) == 125
    assert height[25] > 0.75
    assert 0.5 < height[-1] < 0.62
    names = list(recorded.header["joint_names"])
    last = recorded["joint_pos"].reshape(len(height), -1)[-1]
    assert last[names.index("left_hip_roll_joint")] > 0.5
    assert np.all(np.isfinite(recorded["action"]))


def test_the_present_taken_for_the_past_is_found(trace: Path) -> None:
    """The same block with the present in it has the same width; verify fails it and diagnose says what it is."""
    right = load_contract(CONTRACT)
    data = plain(right)
    data["observation"]["groups"]["history_actor"]["steps"]["newest"] = 0
    wrong = validated(data)
    assert wrong is not None
    evidence = read_evidence(trace)
    assert verify_contract(right, evidence).ok
    assert not verify_contract(wrong, evidence).ok
    first = diagnose_contract(wrong, evidence).hypotheses[0]
    assert "without the present step in the source" in first.said
    assert first.contract.observation == right.observation
