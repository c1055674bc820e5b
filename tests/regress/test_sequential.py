"""Claims about the sequential test: its rates hold by simulation, and looking after every episode costs nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_port.errors import TaskError
from policy_port.regress.sequential import decide, evidence
from policy_port.regress.statistical import Comparison, score
from policy_port.regress.suite import Statistical
from tests.regress.synthetic import play_suites, shares

RATES = {"margin": 0.1, "alarm_rate": 0.05, "miss_rate": 0.05}


@pytest.mark.parametrize(("rate", "paired"), [(0.5, False), (0.9, False), (0.95, False), (0.9, True)])
def test_a_suite_alarms_wrongly_no_more_often_than_stated(rate: float, paired: bool) -> None:
    """A thousand suites of three cases whose policy is as good as before: at most 5 % of them alarm in any case."""
    answers = play_suites(1000, rate, rate, cases=3, episodes=200, paired=paired, alarm_rate=0.05 / 3)
    # Three standard errors of a rate of 5 % over 1,000 are 2 points; measured rates lie below 5 % anyway.
    assert (answers == 1).any(axis=1).mean() <= 0.05


@pytest.mark.parametrize(
    ("episodes", "paired", "least"), [(100, True, 0.8), (200, True, 0.95), (200, False, 0.7), (400, False, 0.9)]
)
def test_a_drop_of_ten_points_is_found(episodes: int, paired: bool, least: float) -> None:
    """Success falls from 95 to 85 %: the share of a thousand suites of one case that alarm."""
    answers = play_suites(1000, 0.95, 0.85, cases=1, episodes=episodes, paired=paired, alarm_rate=0.05)
    assert shares(answers)["regression"] >= least


def test_a_drop_of_the_margin_passes_no_more_often_than_stated() -> None:
    """The other error: of a thousand cases that have dropped by the margin, at most 5 % pass."""
    for paired in (True, False):
        answers = play_suites(1000, 0.9, 0.8, cases=1, episodes=400, paired=paired, alarm_rate=0.05)
        assert shares(answers)["pass"] <= 0.05


def test_a_fixed_test_that_peeks_would_not_hold_its_rate() -> None:
    """The same suites under a sign test of 5 % that is looked at every five episodes: the reason for all this."""
    from math import comb

    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        d = (rng.random(200) < 0.8).astype(int) - (rng.random(200) < 0.8)
        for end in range(5, 201, 5):
            worse, better = int((d[:end] < 0).sum()), int((d[:end] > 0).sum())
            n = worse + better
            if n and sum(comb(n, k) for k in range(worse, n + 1)) / 2**n <= 0.05:
                alarms += 1
                break
    assert alarms / 400 > 0.08


def test_the_same_outcomes_pass_early() -> None:
    """Identical outcomes are evidence too: 43 episodes show that nothing has dropped by ten points."""
    decision = decide(np.zeros(200), **RATES)
    assert (decision.answer, decision.episodes) == ("pass", 43)


def test_few_episodes_decide_nothing() -> None:
    """With no more than twenty that agree the answer is open, and so it is with none."""
    assert decide(np.zeros(20), **RATES).answer == "open"
    assert decide([], **RATES).answer == "open"


def test_the_answer_is_that_of_the_moment_it_became_clear() -> None:
    """What comes after the decision does not change it, so that stopping early and going on agree."""
    d = np.concatenate([-np.ones(8), np.ones(100)])
    assert decide(d, **RATES).answer == "regression"
    assert decide(d, **RATES).episodes == decide(d[:8], **RATES).episodes <= 8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60))
def test_wealth_is_that_of_the_bets_multiplied_out(differences: list[float]) -> None:
    """Against an oracle that keeps each stake's money apart."""
    worse, sound = evidence(np.array(differences), 0.1)
    money = [[1.0] * 25, [1.0] * 25]
    for d in differences:
        for i in range(25):
            stake = 0.02 + 0.04 * i
            money[0][i] *= 1.0 - stake * d
            money[1][i] *= 1.0 + stake / 0.9 * (d + 0.1)
    assert worse[-1] == pytest.approx(sum(money[0]) / 25)
    assert sound[-1] == pytest.approx(sum(money[1]) / 25)
    assert (worse >= 0).all()
    assert (sound >= 0).all()


def test_one_step_is_a_fair_bet() -> None:
    """At the edge of each hypothesis the expected gain is nothing: what Ville's inequality needs."""
    gains = [evidence(np.array([d]), 0.1) for d in (-1.0, 0.0, 1.0)]
    fair, dropped = (0.2, 0.6, 0.2), (0.25, 0.6, 0.15)
    assert sum(p * worse[0] for p, (worse, _) in zip(fair, gains, strict=True)) == pytest.approx(1.0)
    assert sum(p * sound[0] for p, (_, sound) in zip(dropped, gains, strict=True)) == pytest.approx(1.0)


def test_an_error_is_compared_up_to_its_cap() -> None:
    """Errors that are all worse by a tenth of the cap and more alarm; by a thousandth, they pass."""
    from policy_port.regress.player import Played

    how = Statistical(measure="error", cap=0.1, margin=0.1)
    for more, answer in ((0.0001, "pass"), (0.06, "regression")):
        outcomes = {"success": "1" * 200, "error": [0.01] * 200}
        comparison = Comparison(outcomes, how, alarm_rate=0.05, miss_rate=0.05)
        for seed in range(200):
            comparison.add(Played(seed=seed, success=True, error=0.01 + more, arrays={}))
        assert comparison.finding().status == answer
        assert comparison.finding().numbers["episodes"] < 100


def test_a_task_without_an_error_is_judged_by_success() -> None:
    """Where a suite expects its error, the message leads to `measure: success`, which judges it."""
    with pytest.raises(TaskError, match="the task tells no error; expect `measure: success`"):
        score(True, None, Statistical(measure="error", cap=0.5))
    assert score(True, None, Statistical(measure="success")) == 1.0
