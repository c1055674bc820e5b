"""Whether episodes succeeded, as the person in front of the arm says after each."""

from __future__ import annotations

from collections.abc import Callable

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows
from policy_port.control.plant import Plant
from policy_port.replay.metrics import success_interval
from policy_port.replay.result import Metric
from policy_port.robots.jobs.reach_job import ArmEpisodes

WORDS: dict[str, bool | None] = {"y": True, "n": False, "-": None}
"""What may be answered; `-`: the episode does not count."""
QUESTION = "Did episode {} of {} succeed? [y: yes, n: no, -: it does not count; Ctrl-C ends] "


class Answered:
    """Episodes that somebody is asked about once each is over; see `ArmEpisodes`."""

    def __init__(self, episodes: ArmEpisodes, count: int, ask: Callable[[str, tuple[str, ...]], str]) -> None:
        """Ask about `count` episodes.

        Args:
            episodes: The job's.
            count: How many there are.
            ask: Puts a question until one of the words is its answer, while the arm stays watched.
        """
        self._episodes, self._count, self._ask = episodes, count, ask
        self.rows, self.stops = episodes.rows, episodes.stops
        """See `ArmEpisodes`."""
        self.told: dict[int, bool | None] = {}
        """What was answered, by the episode's number."""

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode; see `Task`."""
        self._episodes.begin(rows, start, command, goal)

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Look at the step just done, and ask when it was the episode's last; see `Task`."""
        over = self._episodes.judge(plant, controller)
        if over[0]:
            number = len(self.told)
            self.told[number] = WORDS[self._ask(QUESTION.format(number + 1, self._count), tuple(WORDS))]
        return over

    def stop(self, why: str, tip: Array | None) -> None:
        """See `ArmEpisodes`: a stopped episode did not succeed, and nobody is asked."""
        self._episodes.stop(why, tip)
        self.told[len(self.told)] = False

    @property
    def done(self) -> bool:
        """True when there is no episode left to do."""
        return self._episodes.done

    def metrics(self) -> list[Metric]:
        """How many succeeded of those that somebody said something about, with the exact 95 % interval."""
        counted = [answer for answer in self.told.values() if answer is not None]
        if not counted:
            return [Metric(key="answered_success", value=None, text="nobody said of any episode whether it succeeded")]
        good, count = sum(counted), len(counted)
        low, high = success_interval(good, count)
        left = len(self.told) - count
        text = f"{good} of {count} ({good / count:.0%}; 95 % interval {low:.0%} to {high:.0%})"
        return [
            Metric(key="answered_success", value=good / count, text=text + (f"; {left} not counted" if left else "")),
            Metric(key="answered_success_low", value=low, text=""),
            Metric(key="answered_success_high", value=high, text=""),
        ]
