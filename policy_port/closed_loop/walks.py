"""Trials of a walking robot: a batch of velocity commands, each from its own slightly disturbed start pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.closed_loop.outcome import Outcome
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.spec import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows, SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.replay import metrics
from policy_port.replay.velocity import SETTLING, FallRule

Velocity = tuple[float, float, float]
Asked = tuple[float, ...]
"""Every element of the command, in the contract's order: the velocity's three first."""

NOISE = 0.05
"""Half width of the uniform noise on each joint's start position [rad]."""

TURNING = 0.5
"""What a turn rate counts beside a velocity [m]."""

LEAST_SPEED = 0.25
"""Speed that an error is a share of where less is commanded [m/s]."""

VARIATIONS: tuple[Velocity, ...] = (
    (0.0, 0.0, 0.0),
    (0.0, 0.0, 0.4),
    (0.0, 0.2, 0.0),
    (0.0, 0.0, -0.4),
    (0.0, -0.2, 0.0),
    (0.2, 0.0, 0.0),
)
"""What is added to the command of the user, trial by trial: a mistake may show in a turn alone."""


def commands_around(contract: Contract, command: Asked) -> tuple[Asked, ...]:
    """The command and variations of its velocity, inside the ranges that the contract states for training."""
    found: list[Asked] = []
    for added in VARIATIONS:
        values = []
        for key, value, more in zip(VELOCITY_COMMAND, command, added, strict=False):
            bounds = contract.command.bounds(key)
            # The user's own command stays what it is.
            low, high = bounds if bounds is not None and more else (-np.inf, np.inf)
            values.append(float(np.clip(value + more, low, high)))
        found.append((*values, *command[3:]))
    return tuple(found)


def fall_rule(contract: Contract, plant: Plant) -> FallRule:
    """When a robot counts as fallen, by the contract as it was given: the same rule for every candidate."""
    signals = Signals(contract, plant.joint_names, plant.num_envs, plant.mounting)
    plant.reset(signals.default_joint_pos())
    plant.read(signals.state)
    return FallRule.of(contract, float(signals.state.base_pos[:, 2].mean()))


@dataclass(frozen=True, kw_only=True)
class Walks:
    """Walks that run side by side, one environment each."""

    commands: tuple[Asked, ...]
    """What each is told."""
    seconds: float
    """How long each lasts, unless it falls [s]."""
    seed: int
    """Seed of the start poses."""
    rule: FallRule
    """When a robot counts as fallen; see `fall_rule`."""

    @property
    def count(self) -> int:
        """Number of trials."""
        return len(self.commands)

    def perform(self, plant: Plant, controller: Controller, decimation: int) -> Outcome:
        """Let a controller walk."""
        contract = controller.contract
        task = _Walking(self, plant, controller, max(2, round(self.seconds / contract.control_dt)))
        try:
            run(plant, controller, task, decimation=decimation, clock=SimulatedTime(), observers=(task.look,))
        except TaskError:
            # An observation or an action that is not finite: nobody who still stood walks on from here.
            task.give_up()
        return task.outcome()


class _Walking:
    """The task of the control loop, and the notes taken of it."""

    def __init__(self, walks: Walks, plant: Plant, controller: Controller, steps: int) -> None:
        contract = controller.contract
        count, joints = plant.num_envs, len(plant.joint_names)
        self._walks, self._steps, self._dt = walks, steps, contract.control_dt
        noise = np.random.default_rng(walks.seed).uniform(-NOISE, NOISE, (count, joints))
        self._start = controller.default_joint_pos() + noise
        self._lasted = np.full(count, steps)
        self._fallen: NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)
        self._step = 0
        self._velocity = np.zeros((steps, count, 3))
        self._joint_pos = np.zeros((steps, count, joints))
        self._target = np.zeros((steps, count, joints))
        self._saturated = np.zeros((steps, count))
        limits = [contract.joints[name].effort_limit if name in contract.joints else None for name in plant.joint_names]
        self._limit = np.array([np.inf if limit is None else limit for limit in limits])

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start from the contract's default pose, disturbed."""
        start[rows] = self._start[rows]
        command[rows] = np.asarray(self._walks.commands)[rows]

    def look(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Note the step; see `Observer`."""
        state, step = controller.state, self._step
        self._velocity[step, :, :2] = state.base_lin_vel[:, :2]
        self._velocity[step, :, 2] = state.base_ang_vel[:, 2]
        self._joint_pos[step], self._target[step] = state.joint_pos, target
        self._saturated[step] = (np.abs(plant.effort()) >= metrics.SATURATED * self._limit).mean(axis=1)

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Note who has fallen; they stand up again, which no longer counts."""
        self._step += 1
        down = self._walks.rule.fallen(controller.signals)
        new = down & ~self._fallen
        self._lasted[new] = self._step
        self._fallen |= new
        return down

    @property
    def done(self) -> bool:
        """True when time is up or everyone has fallen."""
        return self._step >= self._steps or bool(self._fallen.all())

    def give_up(self) -> None:
        """Whoever still stands has fallen now."""
        self._lasted[~self._fallen] = self._step
        self._fallen[:] = True

    def outcome(self) -> Outcome:
        """What came of it."""
        error = np.array([self._error(env) for env in range(len(self._lasted))])
        lasted = self._lasted / self._steps
        loss = np.where(self._fallen, 2.0 - lasted, np.minimum(1.0, np.nan_to_num(error, nan=1.0)))
        tracking, rates, saturated = [], [], []
        for env, count in enumerate(self._lasted):
            target = self._target[:count, env]
            tracking.append(metrics.tracking_error(target, self._joint_pos[:count, env]))
            rates.append(metrics.action_rate(target) / self._dt)
            saturated.append(self._saturated[:count, env].mean() if count else 1.0)
        return Outcome(
            loss=loss,
            failed=self._fallen,
            seconds=self._lasted * self._dt,
            error=error,
            asked=np.array([self._walks.commands.index(command) for command in self._walks.commands]),
            tracking=float(np.mean(tracking)),
            rate=float(np.mean(rates)),
            saturation=float(np.mean(saturated)),
        )

    def _error(self, env: int) -> float:
        """Error of the mean velocity as a share of the commanded speed; NaN for who fell."""
        if self._fallen[env]:
            return np.nan
        first = round(min(SETTLING, self._walks.seconds / 3.0) / self._dt)
        weight = np.array([1.0, 1.0, TURNING])
        command = weight * self._walks.commands[env][:3]
        mean = weight * self._velocity[first : self._steps, env].mean(axis=0)
        return float(np.linalg.norm(mean - command) / max(LEAST_SPEED, float(np.linalg.norm(command))))
