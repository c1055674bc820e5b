"""A command schedule, or a time: one episode, from one start, until the robot falls or the schedule ends."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import Controller
from policy_port.control.joint_map import joint_indices
from policy_port.control.loop import Rows
from policy_port.control.plant import Plant
from policy_port.regress.suite import CommandStep
from policy_port.replay.goals import HeldGoals
from policy_port.replay.velocity import FallRule

SETTLING = 1.0
"""Seconds after each change of the command that do not count for the error [s]."""

FALLEN_ERROR = 10.0
"""Error of an episode that ended in a fall [m/s]: beyond every `cap` that makes sense."""


class Schedule:
    """Commands one after the other, on a plant with one environment."""

    def __init__(
        self, plant: Plant, contract: Contract, commands: tuple[CommandStep, ...], goals: HeldGoals, rule: FallRule
    ) -> None:
        """Prepare the schedule.

        Args:
            plant: The robot.
            contract: The contract that is flown.
            commands: The schedule; of a policy that reads no command it says how long, and nothing else.
            goals: What is held beside them.
            rule: When the robot has fallen.
        """
        dt = contract.control_dt
        self._goals, self._goal = goals, goals.episode(0)
        self._reads = bool(set(VELOCITY_COMMAND[:2]) & set(contract.commanded))
        counts = [max(1, round(step.seconds / dt)) for step in commands]
        self._commands = np.repeat([contract.command.vector(step.command) for step in commands], counts, axis=0)
        settling = round(SETTLING / dt)
        ages = np.concatenate([np.arange(count) for count in counts])
        self._counted = ages >= np.minimum(settling, np.repeat(counts, counts) // 2)
        self._rule = rule
        self._indices = joint_indices(contract.joint_names, plant.joint_names, wanted_by=f"contract '{contract.name}'")
        self._per_si = np.array([contract.per_si(name) for name in contract.joint_names])
        self._contract = contract
        self._offset = np.zeros(len(contract.joint_names))
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

    @property
    def done(self) -> bool:
        """True when the schedule has ended or the robot lies on the ground."""
        return self.fallen or self._step >= len(self._commands)
