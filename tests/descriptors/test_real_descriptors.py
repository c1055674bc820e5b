"""Claims about the descriptors of real policies, held against contracts that were written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import load_contract
from policy_port.contract.diff import differences
from tests.descriptors.importing import imported, unsourced, write

HAND_WRITTEN = Path(__file__).resolve().parents[1] / "real_policies"

# What the hand-written contracts have from elsewhere, because no descriptor states it: the height of the base at reset
# and when an episode is over are this program's choice for a replay, armature is the robot file's, and so is the effort
# limit of robots whose descriptor has none.
NOT_IN_DESCRIPTORS = re.compile(
    r"(base\.(height|min_height|max_tilt|frame)|joints\.\w+\.(armature|effort_limit)): not stated"
)

# What rl_sar states and the hand-written contract leaves out: the torque limits of the robot's drives.
ONLY_IN_DESCRIPTORS = re.compile(r"joints\.\w+\.effort_limit: 23\.5 against not stated")

NEWTON: dict[str, Any] = {
    "layout": "isaaclab_velocity",
    "timestep": 0.005,
    "actuation": "implicit",
    "settings": {"decimation": 4},
}
POLICIES: dict[str, dict[str, Any]] = {
    "unitree_rl_lab_g1_29dof": {
        "files": ["unitree_rl_lab_g1_29dof.deploy.yaml"],
        "policy": "unitree_rl_lab_g1_29dof.onnx",
        "options": {"robot": "g1_29dof", "quaternion_order": "wxyz", "timestep": 0.005, "actuation": "implicit"},
    },
    "rl_sar_go2_robot_lab": {
        "files": ["rl_sar_go2_robot_lab.config.yaml", "rl_sar_go2.base.yaml"],
        "policy": "rl_sar_go2_robot_lab.pt",
        "options": {"quaternion_order": "wxyz", "actuation": "explicit"},
    },
    **{
        f"newton_assets_{order}_{robot}": {
            "files": [f"newton_assets_{robot}.yaml"],
            "policy": f"newton_assets_{order}_{robot}.pt",
            "options": NEWTON | {"order": order, "robot": name, "quaternion_order": quaternions},
        }
        for order, quaternions in (("physx", "wxyz"), ("mjw", "xyzw"))
        for robot, name in (("anymal", "anymal_c"), ("go2", "go2"))
    },
}
"""The user's part of each import: what the descriptor does not say, as flags."""


def joint_names(shared: Path, policy: str, path: Path) -> Path:
    catalogue = yaml.safe_load((shared / "real_policies/catalogue.yaml").read_text())
    entry = next(entry for entry in catalogue["policies"] if entry["id"] == policy)
    return write(path / "names.yaml", {"joint_names": entry["joint_order"]})


@pytest.mark.shared
@pytest.mark.parametrize("name", list(POLICIES))
def test_an_imported_contract_equals_the_hand_written_one(shared: Path, tmp_path: Path, name: str) -> None:
    """In everything that the descriptor states, the two contracts can't be told apart; the network has their width."""
    folder = shared / "real_policies/policies"
    given = POLICIES[name]
    options = dict(given["options"], name=name, policy=folder / given["policy"])
    if name.startswith("unitree"):
        options["names"] = joint_names(shared, name, tmp_path)
    made = imported(*(folder / file for file in given["files"]), **options).contract
    found = differences(made, load_contract(HAND_WRITTEN / f"{name}.yaml"))
    left = [line for line in found if not NOT_IN_DESCRIPTORS.match(line)]
    if name.startswith("rl_sar"):
        left = [line for line in left if not ONLY_IN_DESCRIPTORS.match(line)]
    assert left == []
    assert unsourced(made) == []


@pytest.mark.shared
def test_the_g1s_gains_taken_in_policy_order_would_differ(shared: Path, tmp_path: Path) -> None:
    """The guard of the claim above: had the list been read in policy order, 9 of 29 joints would have other gains."""
    file = shared / "real_policies/policies/unitree_rl_lab_g1_29dof.deploy.yaml"
    names = joint_names(shared, "unitree_rl_lab_g1_29dof", tmp_path)
    options = POLICIES["unitree_rl_lab_g1_29dof"]["options"]
    made = imported(file, names=names, **options).contract
    listed = re.search(r"stiffness: \[([^\]]*)\]", file.read_text())
    assert listed is not None
    naive = [float(number) for number in listed.group(1).split(",")]
    wrong = [name for (name, joint), gain in zip(made.joints.items(), naive, strict=True) if joint.stiffness != gain]
    assert len(wrong) == 9


@pytest.mark.shared
def test_a_robots_checkpoint_has_no_metadata_to_import(shared: Path) -> None:
    """Two of the eight policies come with no descriptor at all; the ONNX file of one says so itself."""
    from policy_port.errors import ContractError

    with pytest.raises(ContractError, match="its metadata has no joint_names"):
        imported(shared / "real_policies/policies/mujoco_playground_go1.onnx")
