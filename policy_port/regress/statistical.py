"""Not worse than before: outcomes of the same seeds, held against the stored ones until the answer is clear."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from policy_port.errors import TaskError
from policy_port.regress.player import Played
from policy_port.regress.sequential import Decision, decide
from policy_port.regress.suite import Score, Statistical
from policy_port.regress.verdict import Found


def stored(episodes: Iterable[Played]) -> dict[str, Any]:
    """Outcomes as a baseline keeps them, in the order of the seeds."""
    episodes = list(episodes)
    errors = [episode.error for episode in episodes]
    return {
        "success": "".join("1" if episode.success else "0" for episode in episodes),
        "error": [None if error is None else float(f"{error:.6g}") for error in errors],
    }


def score(success: bool, error: float | None, how: Score) -> float:
    """From 0 (worst) to 1.

    Raises:
        TaskError: When the error is asked for and the task tells none.
    """
    if how.measure == "success":
        return float(success)
    if error is None:
        raise TaskError("the task tells no error; expect `measure: success`")
    assert how.cap is not None
    return 1.0 - min(error, how.cap) / how.cap


class Comparison:
    """New episodes against stored ones, one after the other."""

    def __init__(self, outcomes: dict[str, Any], how: Statistical, *, alarm_rate: float, miss_rate: float) -> None:
        self._old = [
            score(flag == "1", error, how) for flag, error in zip(outcomes["success"], outcomes["error"], strict=True)
        ]
        self._how = how
        self._rates = {"alarm_rate": alarm_rate, "miss_rate": miss_rate}
        self._new: list[float] = []
        self.decision: Decision = decide([], margin=how.margin, **self._rates)
        """What is known so far."""

    @property
    def done(self) -> bool:
        """True when the answer is clear or the stored seeds are used up."""
        return self.decision.answer != "open" or len(self._new) == len(self._old)

    def add(self, episode: Played) -> None:
        """Take the next seed's episode into account; once the answer is clear, it stays."""
        if self.done:
            return
        self._new.append(score(episode.success, episode.error, self._how))
        differences = [now - then for now, then in zip(self._new, self._old, strict=False)]
        self.decision = decide(differences, margin=self._how.margin, **self._rates)

    def finding(self) -> Found:
        """What it has come to."""
        seen, decision, how = len(self._new), self.decision, self._how
        then, now = self._mean(self._old[:seen]), self._mean(self._new)
        what = "success rate" if how.measure == "success" else f"score (1 - error / {how.cap:g})"
        figures = f"{what} {now:.3g} against {then:.3g} on the same {seen} seeds"
        numbers = {
            "episodes": float(seen),
            "now": now,
            "then": then,
            "evidence_worse": decision.worse,
            "evidence_sound": decision.sound,
        }
        if decision.answer == "pass":
            return Found("statistical", "pass", f"{figures}: no drop of {how.margin:g}", numbers)
        if decision.answer == "regression":
            sure = f"evidence {decision.worse:.3g}, alarm from {1.0 / self._rates['alarm_rate']:.3g}"
            return Found("statistical", "regression", f"{figures}: it has become worse ({sure})", numbers)
        text = f"{figures}: neither worse nor shown to be within {how.margin:g}; more episodes would tell"
        return Found("statistical", "inconclusive", text, numbers)

    @staticmethod
    def _mean(scores: list[float]) -> float:
        return sum(scores) / len(scores) if scores else 0.0
