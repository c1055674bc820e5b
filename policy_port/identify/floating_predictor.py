"""Predictions of a walking robot in MuJoCo: each stretch starts with base and joints as they were measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import mujoco.rollout
import numpy as np

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.identify.commands import drive_targets
from policy_port.identify.walks import Stretches
from policy_port.plants.mujoco_contacts import is_ground, touching
from policy_port.plants.mujoco_model import build_robot
from policy_port.plants.mujoco_physics import model_with
from policy_port.plants.physics import Physics
from policy_port.plants.setup import PlantSetup

Values = Mapping[str, float]
"""A value of each parameter."""
LOST = 10.0
"""What a prediction that is no number is off by."""


class WalkPredictor:
    """A robot with a floating base in MuJoCo, on flat ground."""

    def __init__(self, robot: Path, setup: PlantSetup) -> None:
        """Load it.

        Raises:
            RobotError: When the file can't be loaded, does not fit the setup, or the base is measured elsewhere.
        """
        if setup.frame is not None:
            raise RobotError(
                f"{robot}: the contract measures the base at '{setup.frame}'; stretches start where the base link was "
                "and how it moved. Leave base.frame out of the contract, and record with that"
            )
        self._file, self._setup = robot, setup
        self._robot = build_robot(robot, setup, meshes=True)
        self.joint_names = tuple(joint.name for joint in self._robot.joints)
        """Joints, in the file's order."""
        model = self._robot.model
        joint = model.body_jntadr[self._robot.base_body]
        self._qpos, self._dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
        count = len(os.sched_getaffinity(0))
        self._data = [mujoco.MjData(model) for _ in range(count)]
        self._rollout = mujoco.rollout.Rollout(nthread=count)

    @property
    def stock(self) -> dict[str, float]:
        """What robot file and contract say."""
        robot, model = self._robot, self._robot.model
        return {
            "ground_friction": _grip(model, robot.base_body),
            "base_mass": 0.0,
            "delay": 0.0,
            "friction": float(np.median(model.dof_frictionloss[robot.dof_index])),
            "damping": 0.0,
        }

    def close(self) -> None:
        """Free the threads."""
        self._rollout.close()

    def errors(self, values: Values, stretches: Stretches, *, stock: bool = False) -> Array:
        """Predicted less measured.

        Args:
            values: Of each parameter.
            stretches: What is predicted.
            stock: Leave the model as file and contract have it, whatever `values` say.

        Returns:
            Shape (stretches, samples, joints + 9): joints [rad], position [m], linear [m/s] and angular velocity
            [rad/s] of the base.
        """
        robot, segments = self._robot, stretches.segments
        model = robot.model if stock else self._model(values)
        step, joints = self._setup.timestep, len(self.joint_names)
        steps = int(np.ceil(segments.after.max() / step - 1e-6))
        late = drive_targets(segments, np.full(joints, 0.0 if stock else values["delay"]), step, steps)
        control = np.zeros((segments.count, steps, model.nu))
        control[..., robot.ctrl_index] = (late * robot.ctrl_per_target)[..., robot.driven]
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        state, qvel = np.zeros((segments.count, size)), 1 + model.nq
        base = stretches.start
        state[:, 1 : 1 + model.nq] = model.qpos0
        state[:, 1 + self._qpos : 8 + self._qpos] = base[:, :7]
        state[:, qvel + self._dof : qvel + self._dof + 3] = _turned(base[:, 3:7], base[:, 7:10])
        state[:, qvel + self._dof + 3 : qvel + self._dof + 6] = base[:, 10:13]
        state[:, 1 + robot.qpos_index], state[:, qvel + robot.dof_index] = segments.position, segments.velocity
        told: Any
        told, _ = self._rollout.rollout([model] * segments.count, self._data, state, control)
        path = np.concatenate([state[:, None], told], axis=1)
        place = np.minimum(segments.after / step, steps - 1e-9)
        low = place.astype(np.int64)
        rows, part = np.arange(segments.count)[:, None], (place - low)[..., None]
        found = path[rows, low] * (1.0 - part) + path[rows, low + 1] * part
        world = found[..., qvel + self._dof : qvel + self._dof + 3]
        error = np.concatenate(
            [
                found[..., 1 + robot.qpos_index] - segments.measured,
                found[..., 1 + self._qpos : 4 + self._qpos] - stretches.base[..., :3],
                world - _turned(stretches.base[..., 3:7], stretches.base[..., 7:10]),
                found[..., qvel + self._dof + 3 : qvel + self._dof + 6] - stretches.base[..., 10:13],
            ],
            axis=-1,
        )
        return np.clip(np.nan_to_num(error, nan=LOST), -LOST, LOST)

    def _model(self, values: Values) -> mujoco.MjModel:
        everywhere = np.ones((1, len(self.joint_names)))
        physics = Physics(
            ground_friction=np.array([values["ground_friction"]]),
            base_mass=np.array([values["base_mass"]]),
            joint_friction=everywhere * values["friction"],
            joint_damping=everywhere * values["damping"] if values["damping"] else None,
        )
        return model_with(self._robot.model, self._robot, self._setup, self._file, physics, 0)


def _grip(model: mujoco.MjModel, base: int) -> float:
    """Friction of feet on the ground: the geom's of higher priority, else the larger; the median of all that touch."""
    mine = np.flatnonzero((model.body_rootid[model.geom_bodyid] == base) & ~is_ground(model))
    ground, found = np.flatnonzero(is_ground(model)), []
    for one, other in np.argwhere(touching(model)[np.ix_(mine, ground)]):
        pair = np.array([mine[one], ground[other]])
        rank, grip = model.geom_priority[pair], model.geom_friction[pair, 0]
        found.append(grip[int(rank.argmax())] if rank[0] != rank[1] else grip.max())
    return float(np.median(found)) if found else 1.0


def _turned(quat: Array, vector: Array) -> Array:
    """Vectors in the axes of a body as the world has them; `quat` wxyz, shapes (..., 4) and (..., 3)."""
    w, u = quat[..., :1], quat[..., 1:]
    return vector + 2.0 * np.cross(u, np.cross(u, vector) + w * vector)
