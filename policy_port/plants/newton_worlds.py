"""States of Newton worlds on their device, and how they advance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco
import newton
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.actions import Drive
from policy_port.errors import RobotError
from policy_port.plants.newton_model import NewtonRobot

_BADCTRL = int(mujoco.mjtWarning.mjWARN_BADCTRL)


class _Told(NamedTuple):
    """One of Newton's arrays of targets."""

    drive: Drive
    joints: NDArray[np.intp]
    """Which of the plant's joints it tells of."""
    array: Any
    values: NDArray[np.float32]
    """What it holds, one row per world."""
    places: NDArray[np.intp]
    """Where in a row those joints are."""
    factor: Array
    """What it holds per target."""


class Worlds:
    """Worlds that share a state: all of them on CUDA, one on the CPU."""

    def __init__(self, robot: NewtonRobot, timestep: float) -> None:
        """Allocate a state of the robot's model, to be advanced in steps of `timestep` [s]."""
        self._robot = robot
        # Newton's arrays are optional to the type checker: a model of particles has none of them.
        self._model: Any = robot.model
        self._solver: Any = robot.solver
        self._timestep = timestep
        self._states: list[Any] = [robot.model.state(), robot.model.state()]
        self._control: Any = robot.model.control()
        self._told: Any = robot.solver.observables({robot.solver.ObservableKind.QFRC_ACTUATOR})
        self._native = self._solver.use_mujoco_cpu
        self._count = int(self._model.world_count)
        self.centre_of_mass: Array = self._model.body_com.numpy().astype(np.float64)
        """Centres of mass of the first world's bodies, in the body's frame [m]."""
        self._warm_start = np.zeros(self._solver.mj_model.nv)
        self.damping: Array = robot.damping
        """Of drives, what is the joint's own in the model, shape (joints,) or (worlds, joints)."""
        self.mj_model: mujoco.MjModel | None = None
        """MuJoCo's model of this world, where it is another than the solver's; on the CPU alone."""
        self.after_step: Callable[[], None] | None = None
        """Called when the last of several physics steps is done, while MuJoCo's memory still is of these worlds."""
        self._told_of = [self._told_by(drive) for drive in ("position", "velocity", "effort")]

    def host(self, name: str) -> NDArray[np.float32]:
        """An array of the present state in this machine's memory, one row per world."""
        return self._rows(getattr(self._states[0], name))

    def reset(self, rows: NDArray[np.intp], joint_q: Array) -> None:
        """Put worlds at rest at Newton's coordinates `joint_q`, shape (rows, coordinates); so are their targets."""
        state = self._states[0]
        for array, values in ((state.joint_q, joint_q), (state.joint_qd, 0.0), (self._told.qfrc_actuator, 0.0)):
            self._set(array, rows, values)
        for array in (self._states[1].joint_qd, self._control.joint_f):
            self._set(array, rows, 0.0)
        for either in self._states:
            self._set(either.body_f, rows, 0.0)
        newton.eval_fk(self._model, state.joint_q, state.joint_qd, state)
        for told in self._told_of:
            if told is not None:
                start = joint_q[:, self._robot.q_index[told.joints]] if told.drive == "position" else 0.0
                told.values[np.ix_(rows, told.places)] = start
                told.array.assign(told.values.reshape(-1))
        if self._native:
            self._warm_start[:] = 0.0
        else:
            self._set(self._solver.mjw_data.qacc_warmstart, rows, 0.0)

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (worlds, joints)."""
        for told in self._told_of:
            if told is not None:
                told.values[:, told.places] = target[:, told.joints] * told.factor
                told.array.assign(told.values.reshape(-1))

    def step(self, count: int) -> None:
        """Advance by `count` physics steps."""
        if self._native:
            # All environments share MuJoCo's working memory, in which only the solver's warm start outlives a step.
            self._solver.mj_data.qacc_warmstart[:] = self._warm_start
        shared = self._solver.mj_model
        self._solver.mj_model = self.mj_model or shared
        before, after = self._states
        # MuJoCo counts in 64 bits: of a simulation that diverges, numbers too large for Newton become infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            for left in range(count, 0, -1):
                told = self._told if left == 1 else None
                self._solver.step(before, after, self._control, None, self._timestep, observables=told)
                before, after = after, before
        self._states, self._solver.mj_model = [before, after], shared
        if self._native:
            self._warm_start[:] = self._solver.mj_data.qacc_warmstart
            if self._solver.mj_data.warning[_BADCTRL].number:
                raise RobotError(
                    "Newton: a target is infinite or beyond 1e10, by which MuJoCo drives nothing; the policy's actions "
                    "diverge, or the contract's scale does"
                )
        if self.after_step is not None:
            self.after_step()

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives [N m or N], shape (worlds, joints)."""
        applied = self._rows(self._control.joint_f)
        applied[:, self._robot.qd_index] = effort
        self._control.joint_f.assign(applied.reshape(-1))

    def push(self, body: int, force: Array) -> None:
        """Pull at a body's centre of mass from now on [N], world axes, shape (worlds, 3)."""
        for state in self._states:
            pulls = state.body_f.numpy()
            pulls.reshape(self._count, -1, 6)[:, body, :3] = force
            state.body_f.assign(pulls)

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N], shape (worlds, joints)."""
        index, before = self._robot.qd_index, self._states[1]
        spring = self._rows(self._told.qfrc_actuator)[:, index].astype(np.float64)
        return spring - self.damping * self._rows(before.joint_qd)[:, index]

    def _told_by(self, drive: Drive) -> _Told | None:
        """Where Newton is told the targets of joints driven so; None where none is."""
        robot, joints = self._robot, self._robot.only(drive)
        if not joints.size:
            return None
        factor = np.ones(len(joints))
        if drive == "position":
            array, places = self._control.joint_target_q, robot.q_index[joints]
        elif drive == "velocity":
            array, places = self._control.joint_target_qd, robot.qd_index[joints]
        else:
            array, places = self._control.mujoco.ctrl, np.array([row for row, _ in robot.motors], dtype=np.intp)
            factor = np.array([factor for _, factor in robot.motors])
        values = np.ascontiguousarray(array.numpy().reshape(self._count, -1), dtype=np.float32)
        return _Told(drive, joints, array, values, places, factor)

    def _rows(self, array: Any) -> NDArray[np.float32]:
        values = array.numpy()
        return values.reshape(self._count, -1, *values.shape[1:])

    def _set(self, array: Any, rows: NDArray[np.intp], values: Array | float) -> None:
        changed = array.numpy()
        changed.reshape(self._count, -1)[rows] = values
        array.assign(changed)
