"""The robots of public projects: they load, and their joints are where the catalogue says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup

pytestmark = pytest.mark.shared

# Robot file -> a policy of the catalogue that drives its joints.
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


def policy(shared: Path, identifier: str) -> dict:
    policies = yaml.safe_load((shared / "real_policies" / "catalogue.yaml").read_text())["policies"]
    return next(entry for entry in policies if entry["id"] == identifier)


@cache
def stand(shared: Path, kind: str, file: str) -> tuple[str, ...]:
    """Joint names of the plant, after it has stood for a tenth of a second."""
    entry = policy(shared, FILES[file])
    joints = tuple(
        JointSetup(name=name, default=default, stiffness=60.0, damping=2.0, armature=0.01)
        for name, default in zip(entry["joint_order"], entry["default_joint_pos"], strict=True)
    )
    setup = PlantSetup(joints=joints, actuation="implicit", timestep=0.005, control_dt=0.02, floating=True)
    plant = make_plant(kind, shared / "real_policies" / "robots" / file, setup)
    plant.step(20)
    names = plant.joint_names
    plant.close()
    return names


@pytest.mark.parametrize("file", FILES)
def test_every_robot_stands_up_in_mujoco(file, shared):
    """With all joints of the catalogue and no others."""
    pytest.importorskip("mujoco")
    assert sorted(stand(shared, "mujoco", file)) == sorted(policy(shared, FILES[file])["joint_order"])


@pytest.mark.parametrize("file", FILES)
def test_every_robot_stands_up_in_sapien(file, shared):
    """With all joints of the catalogue and no others; SAPIEN's order is breadth-first."""
    pytest.importorskip("sapien")
    pytest.importorskip("mujoco")
    assert sorted(stand(shared, "maniskill", file)) == sorted(policy(shared, FILES[file])["joint_order"])


def test_the_joints_of_anymal_c_are_in_four_orders(shared):
    """MuJoCo depth-first and SAPIEN breadth-first, legs as in the file; two policies by leg and by part, by name."""
    pytest.importorskip("sapien")
    pytest.importorskip("mujoco")
    legs, sorted_legs, parts = ("LF", "RF", "LH", "RH"), ("LF", "LH", "RF", "RH"), ("HAA", "HFE", "KFE")
    for file in ("anymal_c/anymal_c.xml", "anymal_c/anymal_c.urdf"):
        assert stand(shared, "mujoco", file) == tuple(f"{leg}_{part}" for leg in legs for part in parts)
        assert stand(shared, "maniskill", file) == tuple(f"{leg}_{part}" for part in parts for leg in legs)
    newton, isaac_lab = (
        tuple(policy(shared, f"newton_assets_{name}_anymal")["joint_order"]) for name in ("mjw", "physx")
    )
    assert newton == tuple(f"{leg}_{part}" for leg in sorted_legs for part in parts)
    assert isaac_lab == tuple(f"{leg}_{part}" for part in parts for leg in sorted_legs)


@pytest.mark.parametrize("file", FILES)
def test_every_robot_stands_up_in_newton(file, shared):
    """In MuJoCo's depth-first order, save where the bodies of an MJCF stand in <frame>: there the last comes first."""
    pytest.importorskip("newton")
    names, mujocos = stand(shared, "newton", file), stand(shared, "mujoco", file)
    if file == "anymal_c/anymal_c.xml":
        legs = [mujocos[first : first + 3] for first in range(0, 12, 3)]
        assert names == tuple(name for leg in reversed(legs) for name in leg)
    else:
        assert names == mujocos
