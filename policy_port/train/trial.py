"""What every policy that is compared is asked alike: episodes of a velocity task, each drawn from its own seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import ObservationPart
from policy_port.control.plant import PlantState, SimulatedPlant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.plants.physics import set_physics
from policy_port.tasks.velocity import Randomisation, VelocityTask
from policy_port.train.disturbance import LateTargets, Pushes, SensorNoise, draw_physics

COMMANDS, STARTS, NOISES, PUSHES, PHYSICS, DELAYS = range(6)
"""What is drawn of an episode, each from a stream of its own: a trial with pushes tells the same commands."""


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

    def undisturbed(self) -> Trial:
        """The same commands and sensor noise, without pushes, and with the physics that robot file and contract say."""
        calm = self.task.model_copy(update={"push": None, "randomisation": Randomisation()})
        return replace(self, task=calm)

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


class Disturbed:
    """What a trial does to a plant beside its command: the environment's own noise, pushes, delays and physics.

    Each is drawn for all environments at once and never by what a policy did: whoever plays a batch of the same seeds
    is disturbed alike.
    """

    def __init__(self, trial: Trial, contract: Contract, plant: SimulatedPlant, seed: int) -> None:
        """Set the plant's physics and plan the rest.

        Raises:
            TaskError: When the contract does not state what is drawn, or says itself when targets reach the drives.
            RobotError: When this simulator can't be disturbed so.
        """
        task, decimation = trial.task, round(contract.control_dt / plant.timestep)
        self._noise = SensorNoise(task.noise, plant.num_envs, len(plant.joint_names))
        self._pushes = Pushes(task.push, plant, task.base, contract.control_dt)
        self._late = LateTargets(plant, task, decimation)
        if self._late.any and contract.action.inner:
            raise TaskError(
                f"task '{task.name}' draws randomisation.delay, and contract '{contract.name}' states "
                f"action.{contract.action.inner[0]}: both say when targets reach the drives; leave one out"
            )
        set_physics(plant, draw_physics(task, contract, plant, trial.generator(seed, PHYSICS)))
        self._late.begin(trial.generator(seed, DELAYS))
        self._rng = trial.generator(seed, PUSHES)
        self._pushes.start(np.ones(plant.num_envs, dtype=np.bool_), self._rng)
        self._measured = trial.generator(seed, NOISES)
        self.plant: SimulatedPlant = cast("SimulatedPlant", _Late(plant, self._late)) if self._late.any else plant
        """The plant as the loop is to drive it."""

    def seen(self, build: ObservationPart, signals: Signals) -> ObservationPart:
        """The observation of what sensors say."""
        if self._late.any:

            def begin(rows: NDArray[np.bool_] | None) -> None:
                self._late.start(
                    np.ones(signals.num_envs, dtype=np.bool_) if rows is None else rows, signals.joint_target
                )

            signals.at_reset.append(begin)
        return NoisyObservation(build, signals, self._noise, self._measured)

    def push(self) -> None:
        """Push or let go before a control step."""
        self._pushes.apply(self._rng)


class NoisyObservation:
    """An observation of what sensors say; task, metrics and targets go by what is."""

    def __init__(self, build: ObservationPart, signals: Signals, noise: SensorNoise, rng: np.random.Generator) -> None:
        """Add noise to what `build` reads of `signals`."""
        self._build, self._signals, self._noise, self._rng = build, signals, noise, rng
        self._truth = PlantState.allocate(signals.num_envs, len(signals.joint_names))

    def build(self) -> object:
        """Build the observation of a measurement that errs."""
        state = self._signals.state
        self._truth.fill(state)
        self._noise.add(state, self._rng)
        try:
            return self._build.build()
        finally:
            state.fill(self._truth)

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget the past of environments; of all, if `rows` is None."""
        self._build.reset(rows)


class _Late:
    """A plant whose targets reach the drives late; all else is the plant's."""

    def __init__(self, plant: SimulatedPlant, late: LateTargets) -> None:
        self._plant, self._late = plant, late
        self._target = np.zeros((plant.num_envs, len(plant.joint_names)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plant, name)

    def write(self, target: Array) -> None:
        """Take the targets of a control step."""
        self._target[...] = target

    def step(self, count: int) -> None:
        """Perform the control step."""
        self._late(self._target)
