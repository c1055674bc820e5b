"""Synthetic suites: outcomes drawn from known success rates, judged by the sequential test.

`python tests/regress/synthetic.py` prints the figures that docs/ci.md quotes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.regress.sequential import evidence

OPEN, REGRESSION, PASS = 0, 1, 2


def play_suites(
    suites: int,
    then: float,
    now: float,
    *,
    cases: int,
    episodes: int,
    paired: bool,
    alarm_rate: float,
    miss_rate: float = 0.05,
    margin: float = 0.1,
    seed: int = 0,
    stops: list[float] | None = None,
) -> NDArray[np.int64]:
    """Answers, shape (suites, cases).

    Args:
        suites: How many.
        then: Success rate of the baseline.
        now: Success rate under test.
        cases: Cases per suite.
        episodes: Seeds per case.
        paired: True where an episode that the weaker policy solves is solved by the stronger one too, as with one
            simulator that repeats itself; False where the outcomes of a seed have nothing to do with each other.
        alarm_rate: Of each case.
        miss_rate: Of each case.
        margin: Drop that must not pass.
        seed: Of the random numbers.
        stops: Takes the mean number of episodes played.
    """
    rng = np.random.default_rng(seed)
    answers = np.empty((suites, cases), np.int64)
    played = []
    for case in range(cases):
        for start in range(0, suites, 250):
            count = min(250, suites - start)
            old = rng.random((count, episodes))
            new = old if paired else rng.random((count, episodes))
            worse, sound = evidence((new < now).astype(np.float64) - (old < then), margin)
            alarm, passed = worse >= 1.0 / alarm_rate, sound >= 1.0 / miss_rate
            first = [np.where(won.any(axis=1), won.argmax(axis=1), episodes) for won in (alarm, passed)]
            answer = np.where(first[0] <= first[1], REGRESSION, PASS)
            answer[np.minimum(*first) == episodes] = OPEN
            answers[start : start + count, case] = answer
            played.append(np.minimum(np.minimum(*first) + 1, episodes))
    if stops is not None:
        stops.append(float(np.concatenate(played).mean()))
    return answers


def shares(answers: NDArray[np.int64]) -> dict[str, float]:
    """Share of cases with each answer."""
    names = {"pass": PASS, "regression": REGRESSION, "open": OPEN}
    return {name: float((answers == value).mean()) for name, value in names.items()}


def main() -> None:
    """Print both tables of docs/ci.md."""
    print("false alarms of suites of 3 cases, 200 seeds each, confidence 0.95, 2,000 suites")
    for rate in (0.5, 0.7, 0.9, 0.95, 1.0):
        for paired in (True, False):
            answers = play_suites(2000, rate, rate, cases=3, episodes=200, paired=paired, alarm_rate=0.05 / 3)
            print(f"  rate {rate:4}  paired {paired!s:5}  suites that alarm {(answers == 1).any(axis=1).mean():.4f}")
    print("one case, 2,000 times: alarm, pass, open, mean episodes")
    for then, now in ((1.0, 0.9), (0.95, 0.85), (0.9, 0.8), (0.95, 0.95), (0.9, 0.9)):
        for paired in (True, False):
            for episodes in (100, 200, 400):
                stops: list[float] = []
                answers = play_suites(
                    2000, then, now, cases=1, episodes=episodes, paired=paired, alarm_rate=0.05, stops=stops
                )
                found = shares(answers)
                print(
                    f"  {then} -> {now}  paired {paired!s:5}  seeds {episodes}: {found['regression']:.3f} "
                    f"{found['pass']:.3f} {found['open']:.3f}  {stops[0]:.0f}"
                )


if __name__ == "__main__":
    main()
