"""States of Newton worlds on their device, and how they advance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mujoco
import newton
import numpy as np
import warp
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.actions import Drive
from policy_port.errors import RobotError
from policy_port.plants.newton_model import NewtonRobot

_BADCTRL = int(mujoco.mjtWarning.mjWARN_BADCTRL)

MOVING = ("joint_q", "joint_qd", "body_q", "body_qd")
"""What of a state a step changes."""


class Told(NamedTuple):
    """One of Newton's arrays of targets."""

    drive: Drive
    joints: NDArray[np.intp]
    """Which of the plant's joints it tells of."""
    array: Any
    """Of all worlds, one row after the other."""
    places: NDArray[np.intp]
    """Where in a row those joints are."""
    factor: Array
    """What it holds per target."""


class Worlds:
    """The states of all environments, each quantity in one array on the device, one row per environment.

    On CUDA they are worlds of one model, which step together. On the CPU the model is of one world, and environments
    step in turn; each has a stretch of the arrays. The present state is always in the same arrays, so that whoever
    looks at them on the device may keep looking.
    """

    def __init__(self, robot: NewtonRobot, num_envs: int, timestep: float) -> None:
        """Allocate states of the robot's model, to be advanced in steps of `timestep` [s]."""
        self._robot = robot
        # Newton's arrays are optional to the type checker: a model of particles has none of them.
        model: Any = robot.model
        self._model = model
        self._solver: Any = robot.solver
        self._timestep, self.num_envs = timestep, num_envs
        self.native = bool(self._solver.use_mujoco_cpu)
        """Whether environments step in turn, in MuJoCo's C library."""
        parts = num_envs if self.native else 1
        self._pairs: list[tuple[Any, Any]] = [(robot.model.state(), robot.model.state()) for _ in range(parts)]
        self._controls: list[Any] = [robot.model.control() for _ in range(parts)]
        kinds = robot.solver.ObservableKind
        wanted = {kinds.QFRC_ACTUATOR} if self.native else {kinds.QFRC_ACTUATOR, kinds.OVERFLOW}
        self._told: Any = robot.solver.observables(wanted)
        present, other = zip(*self._pairs, strict=True)
        self.arrays: dict[str, Any] = {name: _joined(present, name) for name in (*MOVING, "body_f")}
        """The present state, Newton's quantities by name."""
        self._other = {name: _joined(other, name) for name in (*MOVING, "body_f")}
        self.applied: Any = _joined(self._controls, "joint_f")
        """Efforts beside those of drives."""
        count = self.applied.shape[0]
        self.force: Any = self._told.qfrc_actuator
        """What springs of drives applied in the last physics step."""
        if parts > 1:
            self.force = warp.zeros(count, dtype=float, device=robot.model.device)
        self.last_qd: Any = warp.zeros(count, dtype=float, device=robot.model.device)
        """joint_qd at the start of the last physics step."""
        self.centre_of_mass: Array = model.body_com.numpy().astype(np.float64)
        """Centres of mass of the first world's bodies, in the body's frame [m]."""
        self.damping: Array = np.tile(robot.damping, (num_envs, 1))
        """Of drives, what is the joint's own in the model, shape (num_envs, joints)."""
        self._warm_start = np.zeros((num_envs, self._solver.mj_model.nv))
        self._mj_models: Sequence[mujoco.MjModel] = [self._solver.mj_model] * num_envs
        self._graphs: dict[int, Any] = {}
        count = 0 if self.native else self._model.articulation_count
        self.articulations: Any = warp.zeros(count, dtype=bool, device=robot.model.device)
        """Which of them `place_bodies` is to look at, of MuJoCo Warp; world after world."""
        self.after_step: Callable[[int], None] | None = None
        """Called with the environment when the last of several physics steps is done, while MuJoCo's memory still is
        of it; on the CPU alone."""
        found = (self._told_by(drive) for drive in ("position", "velocity", "effort"))
        self.told_of = [told for told in found if told is not None]
        """Where Newton is told targets."""

    @property
    def warm_start(self) -> Any:
        """Where the solver begins: an array on the host, or on the device of MuJoCo Warp, one row per environment."""
        return self._warm_start if self.native else self._solver.mjw_data.qacc_warmstart

    def host(self, name: str) -> NDArray[np.float32]:
        """An array of the present state in this machine's memory, one row per environment."""
        return self._rows(self.arrays[name])

    def reset(self, rows: NDArray[np.intp], joint_q: Array) -> None:
        """Put worlds at rest at Newton's coordinates `joint_q`, shape (rows, coordinates); so are their targets."""
        held = self.arrays
        for array, values in ((held["joint_q"], joint_q), (held["joint_qd"], 0.0), (self.force, 0.0)):
            self._assign(array, rows, values)
        for array in (self.last_qd, self.applied, *self.pulls):
            self._assign(array, rows, 0.0)
        self.place_bodies(rows)
        for told in self.told_of:
            start = joint_q[:, self._robot.q_index[told.joints]] if told.drive == "position" else 0.0
            self._assign(told.array, np.ix_(rows, told.places), start)
        if self.native:
            self._warm_start[rows] = 0.0
        else:
            self._assign(self._solver.mjw_data.qacc_warmstart, rows, 0.0)

    @property
    def pulls(self) -> tuple[Any, Any]:
        """Forces on bodies, of both states that take turns."""
        return self.arrays["body_f"], self._other["body_f"]

    def place_bodies(self, rows: NDArray[np.intp] | None = None) -> None:
        """Bring poses and velocities of bodies up to date with coordinates that were set.

        Args:
            rows: The environments; those whose `articulations` are chosen on the device, if None.
        """
        if self.native:
            for row in range(self.num_envs) if rows is None else rows:
                state = self._pairs[row][0]
                newton.eval_fk(self._model, state.joint_q, state.joint_qd, state)
            return
        if rows is not None:
            self._assign(self.articulations, np.s_[:], False)
            self._assign(self.articulations, rows, True)
        state = self._pairs[0][0]
        newton.eval_fk(self._model, state.joint_q, state.joint_qd, state, mask=self.articulations)

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (num_envs, joints)."""
        for told in self.told_of:
            self._assign(told.array, np.s_[:, told.places], target[:, told.joints] * told.factor)

    def step(self, count: int) -> None:
        """Advance by `count` physics steps."""
        if self.native:
            # MuJoCo counts in 64 bits: of a simulation that diverges, numbers too large for Newton become infinite.
            with np.errstate(over="ignore", invalid="ignore"):
                for row in range(self.num_envs):
                    self._step_native(row, count)
            self._settle(count)
        elif (graph := self._graphs.get(count)) is not None:
            warp.capture_launch(graph)
        else:
            self._advance(0, count)
            self._settle(count)
            self._capture(count)

    @property
    def overflow(self) -> Any:
        """Per world, not 0 where its last step had more contacts or constraints than MuJoCo Warp has room for."""
        return self._told.overflow

    def check_room(self) -> None:
        """Raise a RobotError where the last step left contacts out, which would let a robot sink."""
        if not self.native and self.overflow.numpy().any():
            raise no_room(int(np.argmax(self.overflow.numpy() != 0)))

    def use(self, models: Sequence[mujoco.MjModel]) -> None:
        """Step environments by models of their own from now on; MuJoCo Warp has been told them already."""
        self._mj_models = models
        # They were captured with the numbers of before.
        self._graphs = {}

    def _capture(self, count: int) -> None:
        """On CUDA, have the steps that were just done once, so that their kernels are loaded, as one graph."""
        device = self._model.device
        if device.is_cuda and warp.is_mempool_enabled(device):
            with warp.ScopedCapture(device) as capture:
                self._advance(0, count)
                self._settle(count)
            self._graphs[count] = capture.graph

    def _step_native(self, row: int, count: int) -> None:
        """Advance one environment: all share MuJoCo's memory, in which only the warm start outlives a step."""
        solver = self._solver
        shared, solver.mj_model = solver.mj_model, self._mj_models[row]
        solver.mj_data.qacc_warmstart[:] = self._warm_start[row]
        self._advance(row, count)
        self._warm_start[row] = solver.mj_data.qacc_warmstart
        solver.mj_model = shared
        if solver.mj_data.warning[_BADCTRL].number:
            raise RobotError(
                "Newton: a target is infinite or beyond 1e10, by which MuJoCo drives nothing; the policy's actions "
                "diverge, or the contract's scale does"
            )
        if self.after_step is not None:
            self.after_step(row)

    def _advance(self, part: int, count: int) -> None:
        before, after = self._pairs[part]
        control = self._controls[part]
        width = self.last_qd.shape[0] // len(self._pairs)
        for left in range(count, 0, -1):
            told = self._told if left == 1 else None
            if left == 1:
                warp.copy(self.last_qd, before.joint_qd, dest_offset=part * width)
            self._solver.step(before, after, control, None, self._timestep, observables=told)
            before, after = after, before
        if self.force is not self._told.qfrc_actuator:
            warp.copy(self.force, self._told.qfrc_actuator, dest_offset=part * width)

    def _settle(self, count: int) -> None:
        """Have the present state where it always is."""
        if count % 2:
            for name in MOVING:
                warp.copy(self.arrays[name], self._other[name])

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives [N m or N], shape (num_envs, joints)."""
        self._assign(self.applied, np.s_[:, self._robot.qd_index], effort)

    def push(self, body: int, force: Array) -> None:
        """Pull at a body's centre of mass from now on [N], world axes, shape (num_envs, 3)."""
        for array in self.pulls:
            pulls = array.numpy()
            pulls.reshape(self.num_envs, -1, 6)[:, body, :3] = force
            array.assign(pulls)

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N], shape (num_envs, joints)."""
        index = self._robot.qd_index
        spring = self._rows(self.force)[:, index].astype(np.float64)
        return spring - self.damping * self._rows(self.last_qd)[:, index]

    def _told_by(self, drive: Drive) -> Told | None:
        """Where Newton is told the targets of joints driven so; None where none is."""
        robot, joints = self._robot, self._robot.only(drive)
        if not joints.size:
            return None
        factor = np.ones(len(joints))
        if drive == "position":
            array, places = _joined(self._controls, "joint_target_q"), robot.q_index[joints]
        elif drive == "velocity":
            array, places = _joined(self._controls, "joint_target_qd"), robot.qd_index[joints]
        else:
            array = _joined([control.mujoco for control in self._controls], "ctrl")
            places = np.array([row for row, _ in robot.motors], dtype=np.intp)
            factor = np.array([factor for _, factor in robot.motors])
        return Told(drive, joints, array, places, factor)

    def _rows(self, array: Any) -> NDArray[np.float32]:
        values = array.numpy()
        return values.reshape(self.num_envs, -1, *values.shape[1:])

    def _assign(self, array: Any, where: Any, values: Array | float) -> None:
        changed = array.numpy()
        changed.reshape(self.num_envs, -1)[where] = values
        array.assign(changed)


def no_room(world: int) -> RobotError:
    """The error for a world in which contacts were left out."""
    return RobotError(
        f"Newton: environment {world} has more contacts than MuJoCo Warp has room for, and those left out would let "
        "the robot sink; give it simpler collision shapes"
    )


def _joined(holders: Sequence[Any], name: str) -> Any:
    """One array in place of an array that each of several has; each then has a stretch of it."""
    array = getattr(holders[0], name)
    if len(holders) == 1:
        return array
    size = array.shape[0]
    whole = warp.empty(size * len(holders), dtype=array.dtype, device=array.device)
    for number, holder in enumerate(holders):
        part = whole[number * size : (number + 1) * size]
        part.assign(getattr(holder, name))
        setattr(holder, name, part)
    return whole
