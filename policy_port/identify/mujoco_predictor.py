"""Predictions of segments in MuJoCo: many values of parameters at once, on all cores, in one call.

mujoco.sysid's own residual builds each model anew from an MjSpec, interpolates commands, normalises residuals and has
no play between motor and joint; what is taken from it is its optimiser (`fit`).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import mujoco.rollout
import numpy as np

from policy_port.arrays import Array
from policy_port.identify.commands import drive_targets
from policy_port.identify.parameters import COMMON_KEYS, Values
from policy_port.identify.segments import Segments
from policy_port.identify.setups import check_link
from policy_port.plants.mujoco_model import NO_LIMIT, back_name, build_robot
from policy_port.plants.setup import PlantSetup

DIVERGED = 10.0
"""What a prediction that is no number is taken for [rad]: worse than any."""
TOGETHER = 2**22
"""Target numbers that are laid out at once."""


class MujocoPredictor:
    """A robot file in MuJoCo whose segments are predicted."""

    def __init__(self, robot: Path, setup: PlantSetup, payload_link: str | None = None) -> None:
        """Load it.

        Args:
            robot: URDF or MJCF.
            setup: What the contract, or the robot file's own actuators, say.
            payload_link: Link whose mass `payload_mass` adds to.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
        """
        self._robot = build_robot(robot, setup, meshes=False, pushes_apart=setup.actuation != "model")
        self.joint_names = tuple(joint.name for joint in self._robot.joints)
        """Joints, in the file's order."""
        self.timestep = setup.timestep
        """Physics timestep [s]."""
        model = self._robot.model
        if payload_link is not None:
            check_link(robot, payload_link)
        self._payload = None if payload_link is None else model.body(payload_link).id
        self._threads = len(os.sched_getaffinity(0))
        self._data = [mujoco.MjData(self._robot.model) for _ in range(self._threads)]
        self._rollout = mujoco.rollout.Rollout(nthread=self._threads)

        names = [back_name(joint) for joint in self.joint_names] if setup.actuation != "model" else []
        self._back = np.array([self._robot.model.actuator(name).id for name in names], np.intp)
        self._setup = setup
        self.quick = None
        """It is quick itself."""

    @property
    def stock(self) -> Values:
        """What robot file and contract say."""
        model, dof, act = self._robot.model, self._robot.dof_index, self._robot.ctrl_index
        count = len(self.joint_names)
        limit = np.where(model.actuator_forcelimited[act] > 0, model.actuator_forcerange[act, 1], NO_LIMIT)
        own = model.dof_damping[dof].reshape(count, -1)[:, 0].copy()
        drive = -model.actuator_biasprm[act, 2]
        if self._setup.actuation == "implicit":
            # The drive's damping is the joint's there, and has replaced the file's.
            own, drive = np.zeros(count), own
        none = np.zeros(count)
        return {
            "armature": model.dof_armature[dof].copy(),
            "damping": own,
            "friction": model.dof_frictionloss[dof].copy(),
            "stiffness": -model.actuator_biasprm[act, 1],
            "drive_damping": drive,
            "effort_limit": limit,
            **{key: none for key in ("backlash", "delay", "offset")},
            "gain": np.ones(count),
            **{key: np.zeros(1) for key in COMMON_KEYS},
        }

    @property
    def limits(self) -> Array:
        """Lower and upper position limit of each joint [rad], infinite where the file has none; shape (joints, 2)."""
        model = self._robot.model
        ids = [model.joint(name).id for name in self.joint_names]
        return np.where(model.jnt_limited[ids, None] > 0, model.jnt_range[ids], [-np.inf, np.inf])

    def close(self) -> None:
        """Free the threads."""
        self._rollout.close()

    def predict(self, columns: Sequence[Values], segments: Segments) -> Array:
        """Readings that each set of values predicts [rad], shape (columns, segments, samples, joints)."""
        steps = int(np.ceil(segments.after.max() / self.timestep - 1e-9))
        found = np.empty((len(columns), *segments.measured.shape))
        at_once = max(1, TOGETHER // (segments.count * steps * len(self.joint_names)))
        for first in range(0, len(columns), at_once):
            some = columns[first : first + at_once]
            found[first : first + at_once] = self._roll_out(some, segments, steps)
        return np.nan_to_num(found, nan=DIVERGED, posinf=DIVERGED, neginf=-DIVERGED)

    def _roll_out(self, columns: Sequence[Values], segments: Segments, steps: int) -> Array:
        count, robot = segments.count, self._robot
        size = mujoco.mj_stateSize(robot.model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        state = np.zeros((len(columns), count, size))
        control = np.zeros((len(columns), count, steps, robot.model.nu))
        models: list[mujoco.MjModel] = []
        known: dict[bytes, Array] = {}
        for index, values in enumerate(columns):
            late = values["delay"].tobytes()
            if late not in known:
                known[late] = drive_targets(segments, values["delay"], self.timestep, steps)
            half = 0.5 * values["backlash"]
            control[index][..., robot.ctrl_index] = (known[late] - half) * robot.ctrl_per_target
            if len(self._back):
                control[index][..., self._back] = known[late] + half
            state[index][:, 1 + robot.qpos_index] = (segments.position - values["offset"]) / values["gain"]
            state[index][:, 1 + robot.model.nq + robot.dof_index] = segments.velocity / values["gain"]
            models += [self._model(values)] * count
        told: Any
        told, _ = self._rollout.rollout(
            models, self._data, state.reshape(-1, size), control.reshape(-1, steps, robot.model.nu)
        )
        path = np.concatenate([state.reshape(-1, 1, size), told], axis=1)[..., 1 + robot.qpos_index]
        path = path.reshape(len(columns), count, steps + 1, -1)
        position = segments.sampled(path, self.timestep)
        gains = np.array([values["gain"] for values in columns])[:, None, None]
        return position * gains + np.array([values["offset"] for values in columns])[:, None, None]

    @property
    def inertia(self) -> Array:
        """What each joint turns in the robot file's pose, its armature left out [kg m^2], shape (joints,)."""
        model, dof = self._robot.model, self._robot.dof_index
        return model.dof_M0[dof] - model.dof_armature[dof]

    def pushed(self, values: Values, segments: Segments, push: Callable[[int, Array, Array], Array]) -> Array:
        """Predictions under torques beside the drives [rad], shape (segments, samples, joints).

        Args:
            values: The parameters.
            segments: What is predicted.
            push: Torques [N m] in a step, of its index, what drives aim at less positions, and velocities; all shape
                (segments, joints).
        """
        steps, robot, model = (
            int(np.ceil(segments.after.max() / self.timestep - 1e-9)),
            self._robot,
            self._model(values),
        )
        targets, half = drive_targets(segments, values["delay"], self.timestep, steps), 0.5 * values["backlash"]
        all_data = [mujoco.MjData(model) for _ in range(segments.count)]
        path = np.empty((segments.count, steps + 1, len(self.joint_names)))
        path[:, 0] = (segments.position - values["offset"]) / values["gain"]
        speed = segments.velocity / values["gain"]
        for index, data in enumerate(all_data):
            data.qpos[robot.qpos_index], data.qvel[robot.dof_index] = path[index, 0], speed[index]
        for step in range(steps):
            torque = push(step, targets[:, step] - path[:, step], speed)
            for index, data in enumerate(all_data):
                data.ctrl[robot.ctrl_index] = (targets[index, step] - half) * robot.ctrl_per_target
                data.ctrl[self._back] = targets[index, step] + half
                data.qfrc_applied[robot.dof_index] = torque[index]
                mujoco.mj_step(model, data)
                path[index, step + 1], speed[index] = data.qpos[robot.qpos_index], data.qvel[robot.dof_index]
        told = segments.sampled(path, self.timestep) * values["gain"] + values["offset"]
        return np.nan_to_num(told, nan=DIVERGED, posinf=DIVERGED, neginf=-DIVERGED)

    def _model(self, values: Values) -> mujoco.MjModel:
        robot = self._robot
        model = copy.copy(robot.model)
        dof, act = robot.dof_index, robot.ctrl_index
        model.dof_armature[dof] = values["armature"]
        damping, drive = values["damping"], values["drive_damping"]
        implicit = self._setup.actuation == "implicit"
        model.dof_damping.reshape(model.nv, -1)[dof, 0] = damping + (drive if implicit else 0.0)
        model.dof_frictionloss[dof] = values["friction"]
        limit = values["effort_limit"]
        for actuators, low, high in ((act, -limit * (not len(self._back)), limit), (self._back, -limit, 0.0 * limit)):
            if len(actuators):
                model.actuator_gainprm[actuators, 0] = values["stiffness"] / robot.ctrl_per_target
                model.actuator_biasprm[actuators, 1] = -values["stiffness"]
                model.actuator_biasprm[actuators, 2] = 0.0 if implicit else -drive
                model.actuator_forcelimited[actuators] = 1
                model.actuator_forcerange[actuators] = np.stack([low, high], axis=1)
        x, y = float(values["gravity_tilt_x"][0]), float(values["gravity_tilt_y"][0])
        if x or y:
            model.opt.gravity[:] = tilted(model.opt.gravity, x, y)
        if self._payload is not None:
            # Its inertia grows alike, as under `plants.mujoco_physics`.
            factor = 1.0 + values["payload_mass"][0] / model.body_mass[self._payload]
            model.body_mass[self._payload] *= factor
            model.body_inertia[self._payload] *= factor
        mujoco.mj_setConst(model, self._data[0])
        return model


def tilted(gravity: Array, x: float, y: float) -> Array:
    """Gravity turned about the x axis, then about the y axis [m/s^2], shape (3,)."""
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return about_y @ about_x @ gravity
