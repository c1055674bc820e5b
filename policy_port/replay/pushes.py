"""Pushes at links, and how a robot takes them: what a trace tells of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.loop import Rows
from policy_port.control.plant import SimulatedPlant
from policy_port.motion.rotations import rotate
from policy_port.replay.result import Metric, number
from policy_port.replay.schedule import Push, step_of
from policy_port.trace import Trace

BEFORE = 1.0
"""Time before a push that says what is usual [s]."""
STEADY = 0.5
"""A robot has recovered when it is as usual for so long [s]."""
LEAN, SPEED, TURN = 0.05, 0.1, 0.2
"""How much more than usual is still usual: lean [rad], speed [m/s], turn rate [rad/s]."""


class Pushes:
    """Forces at links, one at a time in each environment, for whole control steps."""

    def __init__(self, plant: SimulatedPlant, links: tuple[str, ...], control_dt: float) -> None:
        """Prepare pushes at `links`.

        Raises:
            RobotError: When the robot lacks one, or the simulator can't push it.
        """
        self._plant, self._dt = plant, control_dt
        self.links = links
        """Links that may be pushed."""
        self.force: Array = np.zeros((plant.num_envs, 3))
        """The present force [N], world axes, shape (num_envs, 3)."""
        self.link: NDArray[np.int64] = np.full(plant.num_envs, -1)
        """Index of the link that is pushed, -1 for none, shape (num_envs,)."""
        self._left = np.zeros(plant.num_envs, dtype=np.int64)
        self._pulled: set[int] = set()
        for link in links:
            plant.push(link, np.zeros((plant.num_envs, 3)))

    def start(self, row: int, push: Push, base_quat: Array) -> None:
        """Begin a push in one environment, in the place of one that lasts.

        Args:
            row: The environment.
            push: The push.
            base_quat: Orientation of its base, wxyz.
        """
        steps = max(1, step_of(push.lasts, self._dt))
        force = np.array(push.impulse) / (steps * self._dt)
        self.force[row] = rotate(base_quat[None], force[None])[0] if push.frame == "base" else force
        self.link[row], self._left[row] = self.links.index(push.link), steps

    def clear(self, rows: Rows) -> None:
        """End what lasts in environments that start anew."""
        self._left[rows] = 0

    def apply(self) -> None:
        """Pull for the next control step."""
        over = self._left <= 0
        self.force[over], self.link[over] = 0.0, -1
        pulled = set(self.link[~over].tolist())
        for index in pulled | self._pulled:
            self._plant.push(self.links[index], self.force * (self.link == index)[:, None])
        self._pulled = pulled
        self._left -= 1


def push_metrics(
    trace: Trace, pushes: tuple[Push, ...], episodes: list[tuple[int, int]], fallen: NDArray[np.bool_], dt: float
) -> tuple[Metric, ...]:
    """Recovery after each push, and how many were survived, over all episodes.

    A robot has recovered at the first moment from which on, for 0.5 s, it leans no more than 0.05 rad beyond its
    largest lean in the second before the push, and its velocity differs from the command by no more than 0.1 m/s and
    0.2 rad/s beyond the largest difference in that second.

    Args:
        trace: The recorded replay.
        pushes: The pushes of each episode.
        episodes: Environment, and number of the episode in it.
        fallen: Whether each episode ended in a fall, shape (episodes,).
        dt: Control period [s].
    """
    found: list[Metric] = []
    survived = count = 0
    for index, push in enumerate(pushes, 1):
        first, last = step_of(push.at, dt), step_of(push.at, dt) + max(1, step_of(push.lasts, dt))
        following = step_of(pushes[index].at, dt) if index < len(pushes) else None
        times: list[float | None] = []
        leans: list[float] = []
        for (env, episode), fell in zip(episodes, fallen, strict=True):
            rows = np.flatnonzero(trace["episode"][:, env] == episode)
            if len(rows) <= first:
                continue
            count += 1
            stands = not fell or (following is not None and len(rows) > following)
            survived += stands
            off = _unrest(trace, rows, env)
            times.append(_recovery(off[:following], first, last, dt) if stands else None)
            leans.append(float(off[first:following, 0].max()))
        known = [time for time in times if time is not None]
        mean = sum(known) / len(known) if known and len(known) == len(times) else None
        what = f"s after the push of {np.linalg.norm(push.impulse):g} N s at {push.link} ended"
        if mean is None:
            what = f"did not recover in {len(times) - len(known)} of {len(times)} episodes"
        text = f"{mean:.2f} {what}" if mean is not None else what if times else "the episode was over before"
        found.append(Metric(key=f"push_{index}_recovery", value=mean, text=text))
        found.append(number(f"push_{index}_largest_lean", max(leans, default=None), "rad"))
    if pushes:
        found.append(Metric(key="pushes_survived", value=survived, text=f"{survived} of {count}"))
    return tuple(found)


def _unrest(trace: Trace, rows: NDArray[np.intp], env: int) -> Array:
    """Lean [rad], and difference from the command in speed [m/s] and turn rate [rad/s], shape (steps, 3)."""
    quat, command = trace["base_quat"][rows, env], trace["command"][rows, env]
    lean = 2.0 * np.arcsin(np.clip(np.hypot(quat[:, 1], quat[:, 2]), 0.0, 1.0))
    off = trace["base_lin_vel"][rows, env][:, :2] - command[:, :2]
    turn = trace["base_ang_vel"][rows, env][:, 2] - command[:, 2]
    return np.stack([lean, np.hypot(off[:, 0], off[:, 1]), np.abs(turn)], axis=1)


def _recovery(off: Array, first: int, last: int, dt: float) -> float | None:
    """Time from the end of a push until the robot is as usual again [s]; None where it is not."""
    before = off[max(0, first - step_of(BEFORE, dt)) : max(first, 1)]
    usual = np.all(off <= before.max(axis=0) + np.array([LEAN, SPEED, TURN]), axis=1)
    steady = max(1, step_of(STEADY, dt))
    for begin in range(last, len(off) - steady + 1):
        if usual[begin : begin + steady].all():
            return (begin - last) * dt
    return None
