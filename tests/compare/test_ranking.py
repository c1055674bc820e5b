"""Claims about rankings, on scores worked out by hand."""

from __future__ import annotations

import pytest

from policy_port.compare.ranking import mean_maximum_rank_violation, pearson, violations


def test_pearson_by_hand() -> None:
    """A straight line is 1 or -1; (1, 2, 3) against (1, 3, 2) is 0.5; equal scores have none."""
    assert pearson([0.1, 0.5, 0.9], [10.0, 30.0, 50.0]) == pytest.approx(1.0)
    assert pearson([0.1, 0.5, 0.9], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert pearson([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(0.5)
    assert pearson([0.3, 0.3, 0.3], [1.0, 2.0, 3.0]) is None


def test_mmrv_by_hand() -> None:
    """Real 0.9, 0.8, 0.2; the second world swaps the first two, which are 0.1 apart: (0.1 + 0.1 + 0) / 3."""
    assert mean_maximum_rank_violation([0.9, 0.8, 0.2], [0.5, 0.6, 0.1]) == pytest.approx(0.2 / 3)
    assert violations([0.9, 0.8, 0.2], [0.5, 0.6, 0.1]) == [(0, 1)]


def test_mmrv_weighs_by_the_reference() -> None:
    """Turning the whole ranking round costs each policy its largest distance: (0.7 + 0.6 + 0.7) / 3."""
    assert mean_maximum_rank_violation([0.9, 0.8, 0.2], [0.1, 0.2, 0.3]) == pytest.approx(2.0 / 3)


def test_mmrv_of_a_world_that_ranks_alike_is_zero() -> None:
    """However different its scores are."""
    assert mean_maximum_rank_violation([0.9, 0.8, 0.2], [0.03, 0.02, 0.01]) == 0.0


def test_a_world_that_can_t_tell_apart_violates() -> None:
    """0.9 and 0.2 become one score: that costs the difference, as in the paper's definition, from one side."""
    assert mean_maximum_rank_violation([0.9, 0.2], [0.5, 0.5]) == pytest.approx((0.0 + 0.7) / 2)
    assert violations([0.9, 0.2], [0.5, 0.5]) == [(0, 1)]
