"""A real walking policy in MuJoCo: left alone when it is right, mended when its joints are in another order."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.checkpoints import load_policy
from policy_port.closed_loop.diagnose import Robot, diagnose_walk
from policy_port.contract import load_contract
from policy_port.contract.diff import differences
from policy_port.export.write import write_port
from policy_port.mistakes.edits import with_joint_order
from policy_port.port.pilot import Pilot
from policy_port.remap import identity_remap

NAME = "unitree_rl_gym_g1_12dof"
CONTRACT = Path(__file__).resolve().parents[1] / "real_policies" / f"{NAME}.yaml"


@pytest.mark.shared
@pytest.mark.slow
def test_a_humanoid_that_falls_is_mended_and_one_that_walks_left_alone(shared: Path, tmp_path: Path) -> None:
    """Breadth-first joints make it fall in every walk; depth-first ones are found, and nothing does as well."""
    right, folder = load_contract(CONTRACT), shared / "real_policies"
    policy = load_policy(folder / "policies" / f"{NAME}.pt")
    write_port(tmp_path / "port", policy, identity_remap(right), formats=("onnx",))
    half = len(right.joint_names) // 2
    left_leg, right_leg = right.joint_names[:half], right.joint_names[half:]
    wrong = with_joint_order(right, [name for pair in zip(left_leg, right_leg, strict=True) for name in pair])
    assert wrong is not None
    robot = Robot(kind="mujoco", file=folder / "robots" / "g1_12dof" / "g1_12dof.xml")
    pilots = [Pilot(onnx=tmp_path / "port" / "policy.onnx", network_contract=each) for each in (right, wrong)]
    walking, falling = (diagnose_walk(pilot, robot, (0.5, 0.0, 0.0), seconds=2.5) for pilot in pilots)
    assert walking.ok
    assert walking.replays == 12
    assert falling.given.failed.all()
    assert falling.found is not None
    assert differences(falling.found.contract, right) == []
    assert not any(falling.found.figures["outcome"]["failed"])
    assert [edit.key for edit in falling.found.edits] == ["joints (order)"]
