"""A plan of excitation: what an arm is to do so that its motion tells its dynamics, as strict YAML.

Targets are computed before anything moves, and led through the same limits as the supervisor's. What it sends differs
by a hundredth of a radian where a target turns at full speed: it brakes for each target as if it were the last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from policy_port import counts
from policy_port.arrays import Array
from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import TaskError, closest
from policy_port.plants.limiter import Limiter
from policy_port.resources import assets_dir
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.trace import DAMAGE, Trace

SHARE = 0.8
"""How much of a joint's speed and acceleration limits a sine uses at most: the rest is for what adds up."""
LONGEST = 1800.0
"""The longest plan [s]; servos get warm."""


class Segment(Strict):
    """One kind of motion about a pose."""

    kind: Literal["chirp", "multisine", "steps", "walk", "replay"]
    """chirp: one sine from `low` to `high`; multisine: `count` sines between them at once; steps: from hold to hold;
    walk: a random walk, as a policy's targets go; replay: the targets of a trace."""
    joints: Literal["each", "all"] | tuple[str, ...] = "all"
    """each: one joint after the other, an episode each; all, or those named: together."""
    seconds: Annotated[Positive, Field(le=counts.DAY)]
    """Length of an episode [s]."""
    amplitude: Positive = 0.2
    """Largest distance from the pose [rad]; less where a joint's limits ask for it."""
    low: Positive = 0.1
    """Lowest frequency [Hz]."""
    high: Positive = 2.0
    """Highest frequency [Hz]."""
    count: Annotated[int, Field(ge=1, le=100)] = 8
    """Number of sines."""
    hold: Positive = 0.7
    """How long a step is held [s]."""
    step: Positive = 0.03
    """Standard deviation of a random walk's step [rad]."""
    like: str | None = None
    """A trace whose steps the walk has instead, or whose targets are replayed; beside the plan."""
    episode: Annotated[int, Field(ge=0, le=counts.EPISODES)] = 0
    """Which episode of that trace is replayed."""
    pose: dict[str, float] | None = None
    """Where it starts [rad]; joints that are not named are as sampled. None: sampled, clear of everything."""
    use: Literal["fit", "held_out"] = "fit"
    """What the recording is for."""

    @model_validator(mode="after")
    def _agrees(self) -> Segment:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        if self.kind == "replay" and (self.like is None or self.joints != "all" or self.pose is not None):
            raise ValueError("kind replay needs `like`, a trace, and takes neither `joints` nor `pose`")
        if self.like is not None and self.kind not in ("walk", "replay"):
            raise ValueError(f"kind {self.kind} takes no `like`; walk and replay do")
        return self


class Plan(Strict):
    """A plan, and what it leaves room for."""

    policy_port_plan: Literal[1]
    """Version of this format."""
    control_frequency: Annotated[Positive, Field(le=1000.0)]
    """Targets per second [Hz]."""
    segments: tuple[Segment, ...] = Field(min_length=1)
    """One after the other."""
    margin: NonNegative = 0.1
    """Distance that is kept from the joints' limits [rad]."""
    clearance: Annotated[NonNegative, Field(le=0.1)] = 0.015
    """Distance that links keep from each other and from the ground [m]."""
    seed: Annotated[int, Field(ge=0, le=counts.SEED)] = 0
    """Of poses, phases and walks."""

    @model_validator(mode="after")
    def _can_be_sent(self) -> Plan:
        limit = 0.5 * self.control_frequency
        for number, segment in enumerate(self.segments):
            if segment.kind in ("chirp", "multisine") and segment.high > limit:
                raise ValueError(
                    f"segments[{number}]: high {segment.high:g} Hz is above {limit:g} Hz, half of control_frequency: "
                    "targets so far apart would be those of a slower sine"
                )
        return self


def load_plan(path: Path | str) -> tuple[Plan, Path]:
    """Read a plan, or one that ships with the package by its name ("so100_three_minutes"), and say where it is.

    Raises:
        TaskError: With file, line and key, when it is missing, malformed or contradicts itself.
    """
    file, shipped = Path(path), {one.stem: one for one in sorted((assets_dir() / "plans").glob("*.yaml"))}
    if not file.exists() and str(path) not in shipped:
        hint = closest(str(path), shipped)
        raise TaskError(f"{path}: no such file{hint or '.'} Shipped plans: {', '.join(shipped)}")
    file = file if file.exists() else shipped[str(path)]
    return parse(Plan, read_yaml(file, TaskError), TaskError), file


class Bounds:
    """An arm's limits, in the order of its joints."""

    def __init__(self, robot: RobotFile, margin: float) -> None:
        """Take them from a robot file, `margin` inside the positions [rad]."""
        joints = [robot.joints[name] for name in robot.joint_names]
        self.names = robot.joint_names
        self.lower = np.array([joint.lower for joint in joints]) + margin
        self.upper = np.array([joint.upper for joint in joints]) - margin
        self.speed = np.array([joint.speed for joint in joints])
        self.acceleration = np.array([joint.acceleration for joint in joints])
        if (self.lower >= self.upper).any():
            name = self.names[int((self.lower >= self.upper).argmax())]
            raise TaskError(f"`margin` {margin:g} rad leaves joint {name} no room; write a smaller one into the plan")

    def follow(self, asked: Array, period: float) -> Array:
        """What the supervisor lets through of targets [rad], shape (steps, joints), from standstill at the first."""
        limiter = Limiter(self.lower, self.upper, speed=self.speed, acceleration=self.acceleration, period=period)
        limiter.start(asked[0])
        return np.array([asked[0], *(limiter.follow(row).copy() for row in asked[1:])])


def motions(
    plan: Plan, robot: RobotFile, bounds: Bounds, folder: Path, rng: np.random.Generator
) -> list[tuple[Segment, str, Array]]:
    """What a plan asks for, an episode each; see `moves`.

    Raises:
        TaskError: When the plan asks for what the arm does not have, or takes too long.
    """
    rate = plan.control_frequency
    if rate > robot.timing.control_frequency:
        raise TaskError(
            f"the plan runs at {rate:g} Hz, timing.control_frequency of the robot file is "
            f"{robot.timing.control_frequency:g}; write a lower control_frequency into the plan"
        )
    asked = [(segment, *one) for segment in plan.segments for one in moves(segment, plan, bounds, folder, rng)]
    seconds = sum(len(offsets) for _, _, offsets in asked) / rate
    if seconds > LONGEST:
        raise TaskError(
            f"the plan takes {seconds:.0f} s, and servos get warm: {LONGEST:g} s at most; shorten `seconds`"
        )
    return asked


def moves(
    segment: Segment, plan: Plan, bounds: Bounds, folder: Path, rng: np.random.Generator
) -> list[tuple[str, Array]]:
    """Distances from the pose that a segment asks for, an episode each.

    Returns:
        Words, and targets less the pose [rad], shape (steps, joints), which begin and end at zero; of a replay the
        targets themselves.

    Raises:
        TaskError: When a joint is not the arm's, or a trace does not fit.
    """
    steps, count = max(2, round(segment.seconds * plan.control_frequency)), len(bounds.names)
    if segment.kind == "replay":
        return [(f"replay of {segment.like}", _targets(segment, plan, bounds, folder)[:steps])]
    names = bounds.names if segment.joints in ("each", "all") else tuple(segment.joints)
    for name in names:
        if name not in bounds.names:
            raise TaskError(
                f"the plan names joint '{name}'{closest(name, bounds.names) or '.'} The arm's are "
                f"{', '.join(bounds.names)}"
            )
    groups = [(name,) for name in names] if segment.joints == "each" else [names]
    found = []
    for group in groups:
        chosen = np.array([bounds.names.index(name) for name in group])
        offsets = np.zeros((steps, count))
        offsets[:, chosen] = _signal(segment, plan, bounds, chosen, steps, folder, rng)
        label = f"{segment.kind} of {'all joints' if len(group) == count else ', '.join(group)}"
        found.append((label, offsets * _ramp(steps, plan.control_frequency)[:, None]))
    return found


def _ramp(steps: int, rate: float) -> Array:
    """A rise from 0 within half a second, and back at the end."""
    rise = max(1, min(round(0.5 * rate), steps // 4))
    along = np.minimum(np.arange(steps), np.arange(steps)[::-1])
    return np.minimum(1.0, along / rise)


def _signal(
    segment: Segment,
    plan: Plan,
    bounds: Bounds,
    chosen: np.ndarray,
    steps: int,
    folder: Path,
    rng: np.random.Generator,
) -> Array:
    """The signal of each chosen joint, shape (steps, chosen)."""
    time, many = np.arange(steps) / plan.control_frequency, len(chosen)
    if segment.kind == "walk":
        walk = np.zeros((steps, many))
        size = np.full(many, segment.step) if segment.like is None else _step_sizes(segment, bounds, folder)[chosen]
        for row in range(1, steps):
            # Drawn back to the pose, so that it keeps within the amplitude in the mean.
            pull = (size / segment.amplitude) ** 2
            walk[row] = walk[row - 1] * (1.0 - pull) + rng.normal(0.0, size)
        return np.clip(walk, -segment.amplitude, segment.amplitude)
    if segment.kind == "steps":
        levels = rng.uniform(0.35, 1.0, (steps, many)) * segment.amplitude
        every = max(1, round(segment.hold * plan.control_frequency))
        number = np.arange(steps) // every
        # Up, back, down, back: each edge is crossed from both sides, and backlash shows.
        sign = np.array([1.0, 0.0, -1.0, 0.0, 0.3, -0.3])[number % 6]
        return sign[:, None] * levels[number]
    frequencies = np.array(np.geomspace(segment.low, segment.high, segment.count), dtype=np.float64)
    if segment.kind == "chirp":
        ratio, whole = segment.high / segment.low, segment.seconds
        now: Array = segment.low * ratio ** (time / whole)
        turns = segment.low * whole * (ratio ** (time / whole) - 1.0) / max(np.log(ratio), 1e-9)
        phase = 2.0 * np.pi * (turns[:, None] + np.linspace(0.0, 1.0, many, endpoint=False))
        return np.sin(phase) * _amplitude(segment.amplitude, now[:, None], bounds, chosen)
    phases = rng.uniform(0.0, 2.0 * np.pi, (len(frequencies), many))
    parts = np.sin(2.0 * np.pi * frequencies[:, None, None] * time[None, :, None] + phases[:, None, :])
    sizes = _amplitude(segment.amplitude, frequencies[:, None], bounds, chosen) / np.sqrt(len(frequencies))
    found = (parts * sizes[:, None, :]).sum(axis=0)
    return found * np.minimum(1.0, segment.amplitude / np.abs(found).max(axis=0))


def _amplitude(asked: float, frequency: Array, bounds: Bounds, chosen: np.ndarray) -> Array:
    """The amplitude that speed and acceleration allow at a frequency [rad]."""
    around = 2.0 * np.pi * frequency
    allowed = np.minimum(bounds.speed[chosen] / around, bounds.acceleration[chosen] / around**2)
    return np.minimum(asked, SHARE * allowed)


def _targets(segment: Segment, plan: Plan, bounds: Bounds, folder: Path) -> Array:
    """The targets of an episode of a trace [rad], shape (steps, joints), in the arm's order."""
    path = folder / str(segment.like)
    targets, episodes, rate = _recorded(path, bounds)
    if abs(rate / plan.control_frequency - 1.0) > 1e-3:
        raise TaskError(
            f"{path}: runs at {rate:g} Hz, the plan at {plan.control_frequency:g}; write control_frequency: {rate:g}"
        )
    rows = targets[episodes == segment.episode]
    if len(rows) < 2:
        raise TaskError(f"{path}: has no episode {segment.episode}; it has 0 to {int(episodes.max(initial=0))}")
    return np.clip(rows, bounds.lower, bounds.upper)


def _step_sizes(segment: Segment, bounds: Bounds, folder: Path) -> Array:
    """How far a policy's targets go from step to step [rad], shape (joints,)."""
    targets, episodes, _ = _recorded(folder / str(segment.like), bounds)
    return np.maximum(np.diff(targets, axis=0)[np.diff(episodes) == 0].std(axis=0), 1e-6)


def _recorded(path: Path, bounds: Bounds) -> tuple[Array, Array, float]:
    """Targets of a trace's first environment [rad], shape (rows, joints), each row's episode, and the rate [Hz]."""
    try:
        trace = Trace(path)
        names, rate = list(trace.header["joint_names"]), 1.0 / float(trace.header["control_dt"])
        rows = np.asarray(trace["target_sent" if "target_sent" in trace else "target"], np.float64)[:, 0]
        episodes = np.asarray(trace["episode"])[:, 0]
    except DAMAGE as cause:
        raise TaskError(f"{path}: can't be read as a trace: {cause}") from cause
    if set(names) != set(bounds.names):
        raise TaskError(f"{path}: its joints are {', '.join(names)}, the arm's {', '.join(bounds.names)}")
    whole = np.isfinite(rows).all(axis=1)
    return rows[whole][:, [names.index(name) for name in bounds.names]], episodes[whole], rate
