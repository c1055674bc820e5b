"""Replay for a time, under a command and goals that are held: a walk, or a policy that nobody gives a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from policy_port.arrays import Array, Integers
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import Controller
from policy_port.control.loop import Observer, Rows, SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.errors import TaskError, closest
from policy_port.motion.followed import Clip
from policy_port.motion.motion import Motion
from policy_port.motion.read import RATE_STATED
from policy_port.port.pilot import Pilot
from policy_port.replay.following import following_metrics, start_pose
from policy_port.replay.goals import Goal, HeldGoals
from policy_port.replay.held_metrics import figures_of, held_metrics
from policy_port.replay.recording import TraceObserver, plant_header, setting_of
from policy_port.replay.result import Result
from policy_port.replay.velocity import FallRule
from policy_port.trace import Recorder, Trace


@dataclass(frozen=True, kw_only=True)
class Held:
    """What is asked of a policy for a time; it does not change within an episode."""

    seconds: float
    """Length of an episode [s]."""
    command: Mapping[str, float] | tuple[float, float, float] | None = None
    """Elements of the command by name, or the velocity's three: lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s];
    the others are at their defaults. None for a policy that reads no command."""
    goals: Mapping[str, Goal] = field(default_factory=dict)
    """Raw values of each goal and external term by its name, or `draw`."""
    motion: Motion | None = None
    """The clip that a policy is to follow which reads a reference motion; its episodes start in its first frame."""
    episodes: int | None = None
    """How many; one per environment, if None."""
    seed: int = 0
    """Seed of the first one; episode e has seed + e."""

    def goals_of(self, contract: Contract) -> HeldGoals:
        """Hold this against a contract.

        Raises:
            TaskError: When the policy reads a command or a goal that is not given, or is given one that it does not
                read, or the episodes would all be the same one.
        """
        self.told(contract)
        if self.motion is not None and contract.motion is None:
            raise TaskError(
                f"contract '{contract.name}' reads no reference motion, so it can't follow one: leave --motion out"
            )
        goals = HeldGoals(contract, self.goals)
        if (self.episodes or 1) > 1 and not goals.drawn:
            raise TaskError(
                f"{self.episodes} episodes would all be the same one, because nothing in them is drawn: leave "
                "--episodes out, or draw a goal that has a range with --goal NAME=draw"
            )
        return goals

    def told(self, contract: Contract) -> tuple[float, ...] | None:
        """Every element of the command, in the contract's order; None where the policy reads none.

        Raises:
            TaskError: When the policy reads a command that is not given, or is given an element that it does not read.
        """
        reads = contract.commanded
        if self.command is None:
            if reads:
                raise TaskError(
                    f"contract '{contract.name}' reads a command, and nobody gives it one: say which with "
                    f"--command {command_form(reads)}"
                )
            return None
        if not reads:
            raise TaskError(
                f"contract '{contract.name}' has no velocity_command or command term, so the policy can't follow one: "
                f"leave --command out and say how long it is to run with --seconds {self.seconds:g}"
            )
        return check_told(contract, self.command)


def check_told(contract: Contract, told: Mapping[str, float] | tuple[float, float, float]) -> tuple[float, ...]:
    """Every element of a command in the contract's order, once it is known that the policy reads what is told.

    Raises:
        TaskError: Naming the elements that it does not read, and those that it does.
    """
    given: Mapping[str, float] = told if isinstance(told, Mapping) else dict(zip(VELOCITY_COMMAND, told, strict=True))
    # Of the velocity's three, a zero asks for nothing: it may be written for a policy that reads two of them.
    unread = [n for n, v in given.items() if n not in contract.commanded and (v or n not in VELOCITY_COMMAND)]
    if unread:
        read = contract.commanded
        raise TaskError(
            f"contract '{contract.name}' reads no command element {', '.join(unread)}{closest(unread[0], read) or '.'} "
            f"It reads {', '.join(read)}: --command {command_form(read)}"
        )
    return contract.command.vector(given)


def command_form(reads: tuple[str, ...]) -> str:
    """How the command line takes the elements that a policy reads."""
    return "VX,VY,WZ" if reads == VELOCITY_COMMAND else f'"{" ".join(f"{name}=0" for name in reads)}"'


class HeldEpisodes:
    """Episodes handed to whichever environment is free, each from the default pose until its time is up or it fell."""

    def __init__(self, held: Held, goals: HeldGoals, steps: int, num_envs: int, rule: FallRule) -> None:
        self._held, self._goals, self._rule = held, goals, rule
        self.told = held.told(goals.contract)
        """Every element of the command, in the contract's order; None where the policy reads none."""
        self._steps = steps
        self.start: Array | None = None
        """Start joint positions [rad or m], shape (joints,), plant joint order; the default pose, if None."""
        count = held.episodes or num_envs
        self.survived: Integers = np.zeros(count, dtype=np.int64)
        """Control steps that each episode lasted, shape (episodes,)."""
        self.fallen: Rows = np.zeros(count, dtype=np.bool_)
        """The episodes that ended in a fall or in a simulation that diverged, shape (episodes,)."""
        self.rows: dict[int, tuple[int, int]] = {}
        """Where each episode stands in the trace: environment, and number of the episode in that environment."""
        self._number = np.full(num_envs, -1)
        self._began = np.zeros(num_envs, dtype=np.int64)
        self._begun = np.zeros(num_envs, dtype=np.int64)
        self._step, self._due, self._left = 0, 0, count
        self._nobody = np.zeros(num_envs, dtype=np.bool_)
        self._finite: Rows | None = None

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode at the default pose, which `start` holds; without one left, do the last again."""
        if self.told is not None:
            command[rows] = self.told
        if self.start is not None:
            start[rows] = self.start
        for row in np.flatnonzero(rows):
            following = len(self.rows)
            known = following < len(self.survived)
            self._number[row] = following if known else -1
            if known:
                self.rows[following] = (int(row), int(self._begun[row]))
                goal[row] = self._goals.episode(self._held.seed + following)
            self._begun[row] += 1
        self._began[rows] = self._step
        self._due = int(self._began.min()) + self._steps

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """End the episodes whose time is up, whose robot fell, or whose simulation has diverged."""
        self._step += 1
        if self._finite is None:
            self._finite = np.zeros(controller.state.joint_pos.shape, dtype=np.bool_)
        finite = np.isfinite(controller.state.joint_pos, self._finite)
        # The common case, quickly answered; to count takes a third of the time of `all`.
        if self._step < self._due and np.count_nonzero(finite) == finite.size and self._rule.stand(controller.signals):
            return self._nobody
        down = self._rule.fallen(controller.signals) | ~finite.all(axis=1)
        age = self._step - self._began
        ended: Rows = down | (age >= self._steps)
        for row in np.flatnonzero(ended & (self._number >= 0)):
            episode = int(self._number[row])
            self.survived[episode], self.fallen[episode] = age[row], down[row]
            self._left -= 1
        return ended

    @property
    def done(self) -> bool:
        """True when every episode has ended."""
        return self._left <= 0


def connect(pilot: Pilot, held: Held, goals: HeldGoals, plant: Plant) -> tuple[Controller, Clip | None]:
    """A port's policy at the controls of a plant, and the clip that it follows, where it follows one.

    Raises:
        RobotError: When the plant lacks a joint.
        MotionError: When the policy follows a clip, and there is none or it does not fit.
    """
    motion = held.motion or pilot.motion
    clip = None if pilot.contract.motion is None else Clip.of(pilot.contract, motion)
    envs, places = plant.num_envs, plant.mounting
    policy = pilot.open(envs)
    return Controller(goals.contract, policy, plant.joint_names, envs, mountings=places, motion=motion), clip


def replay_held(
    pilot: Pilot,
    plant: Plant,
    held: Held,
    *,
    decimation: int,
    trace: Path,
    observers: tuple[Observer, ...] = (),
) -> Result:
    """Let a policy run under what is held, and measure it. Nobody judges whether it does what it was trained for.

    Args:
        pilot: The policy.
        plant: The robot on flat ground.
        held: Command, goals and length.
        decimation: Physics steps per control step.
        trace: The .npz to record; the metrics are computed from it.
        observers: More onlookers.

    Raises:
        TaskError: When what is held does not fit what the policy reads.
        RobotError: When the plant lacks a joint.
    """
    contract, goals = pilot.contract, held.goals_of(pilot.contract)
    controller, clip = connect(pilot, held, goals, plant)
    plant.reset(controller.default_joint_pos())
    plant.read(controller.state)
    rule = FallRule.of(contract, float(controller.state.base_pos[:, 2].mean()))
    steps = episode_steps(held, contract, clip)
    task = HeldEpisodes(held, goals, steps, plant.num_envs, rule)
    if clip is not None:
        task.start = start_pose(clip, plant.joint_names, controller.default_joint_pos()[0])
    asked = {"command": held.told(contract), "goals": goals.document(), "seconds": held.seconds}
    header = {**plant_header(pilot, plant, decimation), "asked": asked}
    # A replay can be repeated, so nobody waits for the disk.
    with Recorder(trace, header, durable=False) as recorder:
        record = TraceObserver(recorder, contract.control_dt, plant.num_envs)
        run(plant, controller, task, decimation=decimation, clock=SimulatedTime(), observers=(record, *observers))
        if held.command is None or goals.drawn:
            listed = [{"seed": held.seed + n, "env": e, "episode": k} for n, (e, k) in task.rows.items()]
            recorder.close(episodes=listed)
    told = {**asked_words(contract, held, goals, len(task.survived)), "fall": rule.text}
    if steps < episode_steps(held, contract) and not task.fallen.any():
        told["ended"] = f"with the motion, after {steps * contract.control_dt:.2f} s (motion.end: stop)"
    figures = figures_of(Trace(trace), contract, plant.joint_names, task.rows.values())
    return Result(
        setting={**setting_of(header), **told},
        metrics=(
            *held_metrics(
                figures, contract, task.survived, task.fallen, seconds=held.seconds, commanded=held.command is not None
            ),
            *(() if clip is None else following_metrics(Trace(trace), contract, clip, list(task.rows.values()))),
        ),
    )


def episode_steps(held: Held, contract: Contract, clip: Clip | None = None) -> int:
    """Control steps of an episode: as long as asked, but no longer than a motion that ends it."""
    steps = max(1, round(held.seconds / contract.control_dt))
    return steps if clip is None else clip.steps_of(steps)


def command_words(contract: Contract, told: Mapping[str, float]) -> str:
    """A command as a result's table says it: the velocity where the policy reads it, and the others by name."""
    words = {"lin_vel_x": "{:g} m/s forward", "lin_vel_y": "{:g} m/s left", "ang_vel_z": "{:g} rad/s"}
    return ", ".join(words.get(name, name + " {:g}").format(told[name]) for name in contract.commanded)


def asked_words(contract: Contract, held: Held, goals: HeldGoals, episodes: int) -> dict[str, str]:
    """What was asked, as a result's table says it."""
    found = {}
    if held.motion is not None:
        found["motion"] = (
            f"{held.motion.frames} frames at {held.motion.rate:g} Hz, {held.motion.seconds:.2f} s; "
            f"it was to run for {held.seconds:.2f} s"
        )
        if told := [note for note in held.motion.notes if note.startswith(RATE_STATED)]:
            found["rate of the motion"] = told[0]
    elif held.command is not None:
        told = dict(zip(contract.command.names, held.told(contract) or (), strict=True))
        found["command"] = command_words(contract, told)
    else:
        found["task"] = f"none: it ran for {held.seconds:g} s, and nobody judged whether it does what it was made for"
    if text := goals.text():
        found["goals"] = f"{text} (held through each episode)"
    if goals.drawn:
        found["seeds"] = f"{held.seed} to {held.seed + episodes - 1}"
    return found
