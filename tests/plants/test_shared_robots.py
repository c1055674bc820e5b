"""The robots of public projects: they load, and their joints are where the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup

SHARED = Path(__file__).resolve().parents[3] / "shared" / "real_policies"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (SHARED / "catalogue.yaml").is_file(), reason="../shared/real_policies is not here"),
]

# Robot file -> a policy of the catalogue whose joints it has, and whether the file alone holds the gains.
FILES = {
    "g1_12dof/g1_12dof.urdf": "unitree_rl_gym_g1_12dof",
    "g1_12dof/g1_12dof.xml": "unitree_rl_gym_g1_12dof",
    "g1_29dof/g1_29dof_rev_1_0.urdf": "unitree_rl_lab_g1_29dof",
    "g1_29dof/g1_29dof.xml": "unitree_rl_lab_g1_29dof",
    "go2/go2.urdf": "rl_sar_go2_robot_lab",
    "go2/go2.xml": "rl_sar_go2_robot_lab",
    "go1/scene.xml": "mujoco_playground_go1",
    "go1/go1.xml": "mujoco_playground_go1",
    "anymal_c/anymal_c.urdf": "newton_assets_physx_anymal",
    "anymal_c/anymal_c.xml": "newton_assets_physx_anymal",
}
LEGS_BY_PARSER = {
    "mujoco": ("LF", "LH", "RF", "RH"),
    "maniskill": ("LF", "RF", "LH", "RH"),
    "isaac_lab": ("LF", "LH", "RF", "RH"),
}


def policy(identifier: str) -> dict:
    policies = yaml.safe_load((SHARED / "catalogue.yaml").read_text())["policies"]
    return next(entry for entry in policies if entry["id"] == identifier)


def stand(kind: str, file: str) -> tuple[str, ...]:
    """Joint names of the plant, after it has stood for a tenth of a second."""
    entry = policy(FILES[file])
    joints = tuple(
        JointSetup(name=name, default=default, stiffness=60.0, damping=2.0, armature=0.01)
        for name, default in zip(entry["joint_order"], entry["default_joint_pos"], strict=True)
    )
    setup = PlantSetup(joints=joints, actuation="implicit", timestep=0.005, control_dt=0.02, floating=True)
    plant = make_plant(kind, SHARED / "robots" / file, setup)
    plant.step(20)
    names = plant.joint_names
    plant.close()
    return names


@pytest.mark.parametrize("file", FILES)
def test_every_robot_stands_up_in_mujoco(file):
    """With all joints of the catalogue and no others."""
    pytest.importorskip("mujoco")
    assert sorted(stand("mujoco", file)) == sorted(policy(FILES[file])["joint_order"])


@pytest.mark.parametrize("file", FILES)
def test_every_robot_stands_up_in_sapien(file):
    """With all joints of the catalogue and no others; SAPIEN's order is breadth-first."""
    pytest.importorskip("sapien")
    pytest.importorskip("mujoco")
    assert sorted(stand("maniskill", file)) == sorted(policy(FILES[file])["joint_order"])


def test_three_parsers_put_the_joints_of_anymal_c_in_three_orders():
    """MuJoCo by leg, SAPIEN breadth-first in file order, and the policy of Isaac Lab breadth-first by name."""
    pytest.importorskip("sapien")
    pytest.importorskip("mujoco")
    parts = ("HAA", "HFE", "KFE")
    by_leg = tuple(f"{leg}_{part}" for leg in LEGS_BY_PARSER["mujoco"] for part in parts)
    assert stand("mujoco", "anymal_c/anymal_c.urdf") == by_leg == stand("mujoco", "anymal_c/anymal_c.xml")
    breadth_first = tuple(f"{leg}_{part}" for part in parts for leg in LEGS_BY_PARSER["maniskill"])
    assert stand("maniskill", "anymal_c/anymal_c.urdf") == breadth_first
    isaac_lab = tuple(f"{leg}_{part}" for part in parts for leg in LEGS_BY_PARSER["isaac_lab"])
    assert tuple(policy("newton_assets_physx_anymal")["joint_order"]) == isaac_lab
    assert len({by_leg, breadth_first, isaac_lab}) == 3
