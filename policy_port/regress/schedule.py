"""A command schedule, or a time: one episode, from one start, until the robot falls or the schedule ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import Controller
from policy_port.control.joint_map import joint_indices
from policy_port.control.loop import Rows
from policy_port.control.plant import Plant, SimulatedPlant
from policy_port.errors import TaskError
from policy_port.regress.play import CommandStep
from policy_port.replay.goals import HeldGoals
from policy_port.replay.pushes import Pushes
from policy_port.replay.schedule import Push, step_of
from policy_port.replay.schedule import Schedule as ScheduleFile
from policy_port.replay.velocity import FallRule

SETTLING = 1.0
"""Seconds after each change of the command that do not count for the error [s]."""

FALLEN_ERROR = 10.0
"""Error of an episode that ended in a fall [m/s]: beyond every `cap` that makes sense."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What happens in each episode."""

    table: Array
    """The command of each control step, shape (steps, elements)."""
    counted: NDArray[np.bool_]
    """The steps that count for the error, shape (steps,)."""
    pushes: tuple[Push, ...] = ()
    """Pushes."""

    def ending(self, steps: int, dt: float) -> Told:
        """What happens in no more than so many control steps.

        Raises:
            TaskError: When a push comes later.
        """
        late = [push for push in self.pushes if step_of(push.at, dt) >= steps]
        if late:
            raise TaskError(
                f"a push at {late[0].at:g} s comes after the motion, which ends the episode at {steps * dt:.2f} s "
                "(motion.end: stop); push before"
            )
        return replace(self, table=self.table[:steps], counted=self.counted[:steps])

    @staticmethod
    def of_stretches(commands: tuple[CommandStep, ...], contract: Contract) -> Told:
        """Commands one after the other; of a policy that reads none they say how long, and nothing else."""
        dt = contract.control_dt
        counts = [max(1, round(step.seconds / dt)) for step in commands]
        table = np.repeat([contract.command.vector(step.command) for step in commands], counts, axis=0)
        ages = np.concatenate([np.arange(count) for count in counts])
        return Told(table=table, counted=ages >= np.minimum(round(SETTLING / dt), np.repeat(counts, counts) // 2))

    @staticmethod
    def of_file(schedule: ScheduleFile, contract: Contract) -> Told:
        """A schedule of `play --schedule`; its `seconds` say how long."""
        assert schedule.seconds is not None, "a suite takes no other"
        dt, command = contract.control_dt, contract.command
        steps = max(1, step_of(schedule.seconds, dt))
        table = schedule.commands(command.names, np.array(command.defaults), dt, steps)
        changes = np.concatenate([[True], (np.diff(table, axis=0) != 0.0).any(axis=1)])
        last = np.maximum.accumulate(np.where(changes, np.arange(steps), 0))
        counted = np.arange(steps) - last >= min(round(SETTLING / dt), steps // 2)
        return Told(table=table, counted=counted, pushes=schedule.pushes)


class Schedule:
    """Commands one after the other, and pushes, on a plant with one environment; also the observer that pushes."""

    def __init__(self, plant: SimulatedPlant, contract: Contract, told: Told, goals: HeldGoals, rule: FallRule) -> None:
        """Prepare the schedule.

        Args:
            plant: The robot.
            contract: The contract that is flown.
            told: What happens.
            goals: What is held beside it.
            rule: When the robot has fallen.

        Raises:
            RobotError: When the robot lacks a link that is to be pushed.
        """
        self._goals, self._goal = goals, goals.episode(0)
        self._reads = bool(set(VELOCITY_COMMAND[:2]) & set(contract.commanded))
        self._commands, self._counted = told.table, told.counted
        dt = contract.control_dt
        self._due = {step_of(push.at, dt): push for push in told.pushes}
        self._pushes = Pushes(plant, tuple(dict.fromkeys(push.link for push in told.pushes)), dt)
        self._rule = rule
        self._indices = joint_indices(contract.joint_names, plant.joint_names, wanted_by=f"contract '{contract.name}'")
        self._per_si = np.array([contract.per_si(name) for name in contract.joint_names])
        self._contract = contract
        self._offset: Array = np.zeros(len(contract.joint_names))
        self._step = 0
        self._errors: list[float] = []
        self.fallen = False
        """Whether the robot fell."""
        self.start: Array | None = None
        """Start joint positions [rad or m], shape (joints,), plant joint order; the default pose, if None."""

    def draw(self, seed: int, noise: float) -> None:
        """Prepare an episode.

        Args:
            seed: Its seed.
            noise: Half width of the uniform noise on the start pose [rad or m].
        """
        self._offset = np.random.default_rng(seed).uniform(-noise, noise, len(self._offset))
        self._goal = self._goals.episode(seed)
        self._step = 0
        self._errors = []
        self.fallen = False

    @property
    def error(self) -> float | None:
        """Root mean square distance of the base's horizontal velocity from the command [m/s]; None without one."""
        if not self._reads:
            return None
        if self.fallen:
            return FALLEN_ERROR
        return float(np.sqrt(np.mean(self._errors))) if self._errors else 0.0

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start near the default pose, or the first frame of a clip; see `control.loop.Task`."""
        default = np.array([self._contract.joints[name].default for name in self._contract.joint_names])
        pose = default / self._per_si if self.start is None else self.start[self._indices]
        start[0, self._indices] = pose + self._offset
        command[0] = self._commands[0]
        goal[0] = self._goal
        self._pushes.clear(rows)

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Score the step just done and give the next command."""
        state = controller.state
        if self._counted[self._step]:
            self._errors.append(float(((state.base_lin_vel[0, :2] - controller.command[0, :2]) ** 2).sum()))
        self._step += 1
        self.fallen = bool(self._rule.fallen(controller.signals)[0])
        if not self.done:
            controller.command[0] = self._commands[self._step]
        return np.zeros(1, dtype=np.bool_)

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Pull where a push lasts; see `control.loop.Observer`."""
        if push := self._due.get(self._step):
            self._pushes.start(0, push, controller.state.base_quat[0])
        self._pushes.apply()

    @property
    def done(self) -> bool:
        """True when the schedule has ended or the robot lies on the ground."""
        return self.fallen or self._step >= len(self._commands)
