"""What every policy that is compared is asked alike: episodes of a velocity task, each drawn from its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import ObservationPart
from policy_port.control.plant import PlantState
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.tasks.velocity import Noise, VelocityTask

COMMANDS, STARTS, NOISES, PUSHES, PHYSICS = range(5)
"""What is drawn of an episode, each from a stream of its own: a trial with pushes tells the same commands."""
NOISY = ("joint_pos", "joint_vel", "base_lin_vel", "base_ang_vel")
"""Measurements that noise is added to; that of the orientation turns it."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Episodes of a task, from the default pose until their time is up or the robot falls."""

    task: VelocityTask
    """Commands, sensor noise, pushes and randomisation."""
    seconds: float = 20.0
    """Length of an episode [s]."""
    episodes: int = 200
    """How many."""
    seed: int = 1_000_000
    """Seed of the first one; episode e has seed + e. Far from those that trainings begin with."""

    def check(self, contract: Contract) -> None:
        """Refuse a policy that can't be asked this.

        Raises:
            TaskError: When it reads no velocity command, or what a velocity task does not give.
        """
        if not set(contract.commanded) & set(VELOCITY_COMMAND):
            raise TaskError(
                f"contract '{contract.name}' reads no velocity command, so there is no velocity that it could track; "
                "add the term velocity_command to the student's contract"
            )
        for term in contract.observation.terms:
            if term.term in ("goal", "external"):
                raise TaskError(
                    f"contract '{contract.name}': observation term '{term.label}' is filled by a task of its own, "
                    "which a velocity task is not"
                )

    def generator(self, seed: int, stream: int) -> np.random.Generator:
        """What one kind of draws of an episode comes from."""
        return np.random.default_rng((seed, stream))

    def commands(self, seed: int, dt: float) -> Array:
        """What an episode tells: forward, left [m/s] and turning [rad/s], shape (steps, 3)."""
        told, rng, steps = self.task.command, self.generator(seed, COMMANDS), self.steps(dt)
        ranges = np.array([told.lin_vel_x, told.lin_vel_y, told.ang_vel_z])
        table, first = np.zeros((steps, 3)), 0
        while first < steps:
            drawn = rng.uniform(ranges[:, 0], ranges[:, 1])
            stands, seconds = rng.random() < told.standing, rng.uniform(*told.resample)
            following = first + max(1, round(seconds / dt))
            table[first:following] = 0.0 if stands else drawn
            first = following
        return table

    def steps(self, dt: float) -> int:
        """Control steps of an episode."""
        return max(1, round(self.seconds / dt))


class NoisyObservation:
    """An observation of what sensors say; task, metrics and targets go by what is."""

    def __init__(
        self, build: ObservationPart, signals: Signals, noise: Noise, generators: Sequence[np.random.Generator]
    ) -> None:
        """Shake what `build` reads of `signals`; each environment has its own generator."""
        self._build, self._signals, self._noise, self._rngs = build, signals, noise, generators
        self._truth = PlantState.allocate(signals.num_envs, len(signals.joint_names))

    def build(self) -> object:
        """Build the observation of a measurement that errs."""
        state = self._signals.state
        self._truth.fill(state)
        joints = state.joint_pos.shape[1]
        drawn = np.stack([rng.uniform(-1.0, 1.0, 2 * joints + 9) for rng in self._rngs])
        shake(state, self._noise, drawn)
        try:
            return self._build.build()
        finally:
            state.fill(self._truth)

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget the past of environments; of all, if `rows` is None."""
        self._build.reset(rows)


def shake(state: PlantState, noise: Noise, drawn: Array) -> None:
    """Add noise to a measurement in place.

    Args:
        state: The measurement.
        noise: Half widths.
        drawn: Between -1 and 1, shape (num_envs, 2 x joints + 9): joint positions and velocities, linear and angular
            velocity, turn of the base.
    """
    first = 0
    for name in NOISY:
        values: Array = getattr(state, name)
        values += getattr(noise, name) * drawn[:, first : first + values.shape[1]]
        first += values.shape[1]
    if noise.orientation:
        turn = 0.5 * noise.orientation * drawn[:, first:]
        w, v = state.base_quat[:, :1].copy(), state.base_quat[:, 1:].copy()
        # q (1, turn): the base turned about its own axes, for small angles.
        state.base_quat[:, :1] = w - (v * turn).sum(axis=1, keepdims=True)
        state.base_quat[:, 1:] = v + w * turn + np.cross(v, turn)
        state.base_quat[...] /= np.linalg.norm(state.base_quat, axis=1, keepdims=True)
