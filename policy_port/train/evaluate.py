"""What a policy is worth: episodes of drawn velocity commands, the same ones for every policy that is compared.

The policy is at the controls of the replay's own loop, so that what is judged is what a port will do. An episode's
command and start are drawn from its seed alone, noise, pushes, delay and physics from that of its batch: in plants of
as many environments they are the same for every policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.arrays import Array, Float32
from policy_port.checkpoints import Actor
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import ActionPart, Controller, ObservationPart, contract_parts
from policy_port.control.loop import Rows, SimulatedTime, run
from policy_port.control.plant import Plant, SimulatedPlant
from policy_port.control.signals import Signals
from policy_port.port.images import CameraInputs
from policy_port.port.runtime import NonFiniteError, Policy
from policy_port.replay.velocity import FallRule
from policy_port.train.figures import Scores
from policy_port.train.trial import STARTS, Disturbed, Trial

TURNING = 0.5
"""Weight of turning beside that of going, as Isaac Lab's velocity task weighs them."""
WIDTH = 0.5
"""Error at which the reward of tracking is 1/e [m/s, rad/s], as there."""


def tracking_of(away: Array, turn: Array) -> Array:
    """Reward of tracking as a share of the most there is, of errors of velocity [m/s] and of turning [rad/s]."""
    return (np.exp(-np.square(away / WIDTH)) + TURNING * np.exp(-np.square(turn / WIDTH))) / (1.0 + TURNING)


class ActorPolicy:
    """A network that was read from a checkpoint, at the controls without an export: a `Policy`."""

    def __init__(self, actor: Actor, num_envs: int) -> None:
        """Let `actor` drive `num_envs` environments."""
        self._actor, self._rows = actor, num_envs
        self.observation: Float32 = np.zeros((num_envs, actor.obs_size), np.float32)
        """The input, shape (num_envs, observation size)."""
        self.action_size = actor.action_size
        """Width of the action."""
        self.images: CameraInputs = {}
        """It sees nothing."""
        self._memory = actor.initial_state(num_envs)

    def act(self) -> Float32:
        """Run the network; see `Policy.act`."""
        with torch.inference_mode():
            action, *memory = self._actor(torch.from_numpy(self.observation), *self._memory)
        self._memory = tuple(memory)
        found: Float32 = action.numpy()
        for what, values in (("observation", self.observation), ("action", found)):
            if not np.isfinite(values).all():
                raise NonFiniteError(what, values)
        return found

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Clear the memory of environments; of all, if `rows` is None."""
        start = self._actor.initial_state(self._rows)
        if rows is None:
            self._memory = start
            return
        chosen = torch.from_numpy(np.asarray(rows)).view(1, -1, 1)
        self._memory = tuple(torch.where(chosen, new, old) for new, old in zip(start, self._memory, strict=True))


class Blind:
    """A policy that is shown zero for some of the numbers it reads: what is left of it without that sensor."""

    def __init__(self, policy: Policy, columns: NDArray[np.intp]) -> None:
        """Hide `columns` of the observation from `policy`."""
        self._policy, self._columns = policy, columns
        self.observation: Float32 = policy.observation
        """The input, shape (num_envs, observation size)."""
        self.action_size, self.images = policy.action_size, policy.images

    def act(self) -> Float32:
        """Run the network on what it may see; see `Policy.act`."""
        self.observation[:, self._columns] = 0.0
        return self._policy.act()

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Clear the memory of environments; of all, if `rows` is None."""
        self._policy.reset(rows)


def evaluate(
    contract: Contract,
    make: Callable[[int], Policy],
    plant: SimulatedPlant,
    trial: Trial,
    on_step: Callable[[], object] = lambda: None,
) -> Scores:
    """Let a policy perform a trial's episodes.

    Args:
        contract: What the policy reads and writes.
        make: Makes the policy for a number of environments: `port.pilot().open`, or of an `ActorPolicy`.
        plant: The robot on flat ground; its environments perform the episodes in batches.
        trial: What is asked.
        on_step: Called after each control step.

    Raises:
        TaskError: When the policy reads no velocity command, or a number is not finite.
        RobotError: When the plant lacks a joint, or can't be disturbed as the trial asks.
    """
    trial.check(contract)
    batches = []
    for first in range(0, trial.episodes, plant.num_envs):
        seeds = [trial.seed + number for number in range(first, min(first + plant.num_envs, trial.episodes))]
        batches.append(_batch(contract, make(plant.num_envs), plant, trial, seeds, on_step))
    return Scores.joined(batches)


def _batch(
    contract: Contract,
    policy: Policy,
    plant: SimulatedPlant,
    trial: Trial,
    seeds: list[int],
    on_step: Callable[[], object],
) -> Scores:
    """As many episodes as there are environments, or fewer: the rest does the last one again, and does not count."""
    rows = [*seeds, *seeds[-1:] * (plant.num_envs - len(seeds))]
    disturbed = Disturbed(trial, contract, plant, seeds[0])

    def parts(contract: Contract, signals: Signals, observation: Float32) -> tuple[ObservationPart, ActionPart]:
        build, decode = contract_parts(contract, signals, observation)
        return disturbed.seen(build, signals), decode

    envs, places = plant.num_envs, plant.mounting
    controller = Controller(contract, policy, plant.joint_names, envs, parts=parts, mountings=places)
    plant.reset(controller.default_joint_pos())
    plant.read(controller.state)
    task = _Episodes(trial, contract, plant, controller, rows)

    def look(plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        task.look(target)
        disturbed.push()
        on_step()

    decimation = round(contract.control_dt / plant.timestep)
    run(disturbed.plant, controller, task, decimation=decimation, clock=SimulatedTime(), observers=(look,))
    return task.scores(seeds)


class _Episodes:
    """One episode in each environment, all beginning at once; a robot that fell is stood up and no longer counts."""

    def __init__(
        self, trial: Trial, contract: Contract, plant: SimulatedPlant, controller: Controller, seeds: list[int]
    ) -> None:
        self._trial, self._dt, self._plant, rows = trial, contract.control_dt, plant, plant.num_envs
        self._commands = np.stack([trial.commands(seed, self._dt) for seed in seeds], axis=1)
        self._steps, self._step = len(self._commands), 0
        self._told = [contract.command.names.index(name) for name in VELOCITY_COMMAND]
        rule, ends = FallRule.of(contract, float(controller.state.base_pos[:, 2].mean())), trial.task.terminations
        lowest = rule.min_height if ends.min_height is None else ends.min_height
        tilt = rule.max_tilt if ends.max_tilt is None else ends.max_tilt
        self._rule = replace(rule, min_height=lowest, max_tilt=tilt)
        driven = contract.action_joint_names
        self._driven = [plant.joint_names.index(name) for name in driven]
        width = trial.task.start.joint_pos
        rngs = [trial.generator(seed, STARTS) for seed in seeds]
        self._offset = np.stack([width * rng.uniform(-1.0, 1.0, len(plant.joint_names)) for rng in rngs])
        self._last = np.zeros((rows, len(self._driven)))
        self._standing = np.ones(rows, dtype=np.bool_)
        self._lasted = np.zeros(rows)
        self._sums = {name: np.zeros(rows) for name in ("tracking", "error", "turn_error", "action_rate", "power")}

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start in the default pose, shaken as the task says; see `Task.begin`."""
        start[rows] += self._offset[rows]
        command[:, self._told] = self._commands[min(self._step, self._steps - 1)]

    def look(self, target: Array) -> None:
        """Look at the targets about to be written."""
        now = target[:, self._driven]
        if self._step:
            self._add("action_rate", np.abs(now - self._last).mean(axis=1))
        self._last[...] = now

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Score the step just done; see `Task.judge`."""
        state, told = controller.state, self._commands[self._step]
        fallen = self._rule.fallen(controller.signals) & self._standing
        self._standing &= ~fallen
        self._lasted[self._standing] += 1.0
        with np.errstate(invalid="ignore", over="ignore"):
            away = np.linalg.norm(told[:, :2] - state.base_lin_vel[:, :2], axis=1)
            turn = np.abs(told[:, 2] - state.base_ang_vel[:, 2])
            reward = tracking_of(away, turn)
            power = np.abs(plant.effort() * state.joint_vel).sum(axis=1)
        self._add("tracking", reward)
        self._add("error", away)
        self._add("turn_error", turn)
        self._add("power", power)
        self._step += 1
        if self._step < self._steps:
            controller.command[:, self._told] = self._commands[self._step]
        return self._rule.fallen(controller.signals)

    @property
    def done(self) -> bool:
        """True when the time is up, or nobody stands."""
        return self._step >= self._steps or not self._standing.any()

    def scores(self, seeds: list[int]) -> Scores:
        """What came out, of the episodes that count."""
        count = len(seeds)
        stood = np.maximum(self._lasted, 1.0)
        means = {name: (total / stood)[:count] for name, total in self._sums.items() if name != "tracking"}
        return Scores(
            seeds=np.array(seeds),
            tracking=(self._sums["tracking"] / self._steps)[:count],
            survival=(self._lasted * self._dt)[:count],
            fell=~self._standing[:count],
            **means,
        )

    def _add(self, name: str, values: Array) -> None:
        """Count a step of those that stand."""
        self._sums[name][self._standing] += values[self._standing]
