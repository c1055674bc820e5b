"""What a simulated plant can beside the protocol: take a push, and have its gains changed while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from policy_port.control.plant import PlantState
from policy_port.errors import RobotError

JOINTS = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))
SOFT, STIFF = {"stiffness": 15.0, "damping": 0.5}, {"stiffness": 40.0, "damping": 2.0}


def momentum(file: Path, names: tuple[str, ...], state: PlantState) -> np.ndarray:
    """Linear momentum of the whole robot in the world [N s], by MuJoCo's kinematics of the file as it is."""
    model = mujoco.MjModel.from_xml_path(str(file))
    data = mujoco.MjData(model)
    data.qpos[:3], data.qpos[3:7] = state.base_pos[0], state.base_quat[0]
    mujoco.mju_rotVecQuat(data.qvel[:3], state.base_lin_vel[0], state.base_quat[0])
    data.qvel[3:6] = state.base_ang_vel[0]
    for index, name in enumerate(names):
        data.qpos[model.joint(name).qposadr[0]] = state.joint_pos[0, index]
        data.qvel[model.joint(name).dofadr[0]] = state.joint_vel[0, index]
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    mujoco.mj_subtreeVel(model, data)
    return model.body_subtreemass[1] * data.subtree_linvel[1]


def test_a_push_changes_the_momentum_by_its_impulse(
    kind: str, stand_up: Any, setup_of: Any, robot_file: Any, state_of: Any
) -> None:
    """6 N for 0.1 s at a foot give the robot in the air 0.6 N s and no more; a reset ends a push that still lasts."""
    file = robot_file("tripod.xml")
    plant = stand_up(kind, file, setup_of(JOINTS, height=5.0, **SOFT))
    plant.push("a_shin", np.array([[0.0, 6.0, 0.0]]))
    plant.step(50)
    assert np.allclose(momentum(file, plant.joint_names, state_of(plant))[:2], [0.0, 0.6], atol=0.01)
    plant.push("a_shin", np.zeros((1, 3)))
    plant.step(50)
    assert np.allclose(momentum(file, plant.joint_names, state_of(plant))[:2], [0.0, 0.6], atol=0.02)
    plant.push("base", np.array([[50.0, 0.0, 0.0]]))
    plant.reset(np.zeros((1, len(JOINTS))))
    plant.step(50)
    assert np.allclose(momentum(file, plant.joint_names, state_of(plant))[:2], 0.0, atol=1e-3)
    with pytest.raises(RobotError, match="has no link.*'a_shim'; did you mean 'a_shin'"):
        plant.push("a_shim", np.zeros((1, 3)))


@pytest.mark.parametrize("actuation", ["implicit", "explicit"])
def test_gains_changed_are_gains_set_up(
    kind: str, actuation: str, stand_up: Any, setup_of: Any, robot_file: Any, state_of: Callable[..., PlantState]
) -> None:
    """A soft plant made stiff moves as one that was stiff from the start, and its drives tell the same torques."""
    file, target = robot_file("tripod.xml"), 0.2 * np.sin(np.arange(6.0))[None]
    seen = []
    for first in (SOFT, STIFF):
        plant = stand_up(kind, file, setup_of(JOINTS, actuation=actuation, effort_limit=8.0, armature=0.01, **first))
        plant.set_gains(np.full(6, STIFF["stiffness"]), np.full(6, STIFF["damping"]))
        plant.write(target)
        plant.step(60)
        seen.append(np.concatenate([state_of(plant).joint_pos[0], plant.effort()[0]]))
    assert np.allclose(seen[0], seen[1], atol=2e-5)
    plant.set_gains(np.full(6, SOFT["stiffness"]), np.full(6, SOFT["damping"]))
    plant.step(60)
    assert not np.allclose(state_of(plant).joint_pos[0], seen[1][:6], atol=1e-3)


def test_the_gains_of_the_file_are_not_changed(kind: str, stand_up: Any, setup_of: Any, robot_file: Any) -> None:
    """With actuation kind model the drives are the file's."""
    plant = stand_up(kind, robot_file("tripod.xml"), setup_of(JOINTS, actuation="model"))
    with pytest.raises(RobotError, match="actuation.kind is model.*write kind: implicit or explicit, with stiffness"):
        plant.set_gains(np.ones(6), np.ones(6))


def test_a_gpu_is_neither_pushed_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """PhysX on a GPU is refused for both, and --sim-backend physx_cpu, which the test above pushes, is named."""
    pytest.importorskip("sapien")
    from policy_port.plants.maniskill_gpu import ManiSkillGpuPlant

    plant = object.__new__(ManiSkillGpuPlant)
    plant.name = "sapien, physx_cuda"
    with pytest.raises(RobotError, match="can't push link 'a' of its robots; play it on --sim-backend physx_cpu"):
        plant.push("a", np.zeros((1, 3)))
    with pytest.raises(RobotError, match="can't change its drives while it runs; play it on --sim-backend physx_cpu"):
        plant.set_gains(np.ones(1), np.ones(1))
