"""Claims about assignments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from policy_port.probe.assignment import best_assignment, standing


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_the_best_assignment_is_the_best_of_all(size: int) -> None:
    """No permutation sums up to more; an oracle that tries them all."""
    rng = np.random.default_rng(size)
    for _ in range(10):
        score = rng.standard_normal((size, size))
        every = max(sum(score[i, p[i]] for i in range(size)) for p in itertools.permutations(range(size)))
        found = best_assignment(score)
        assert sorted(found) == list(range(size))
        assert score[range(size), found].sum() == pytest.approx(every)


def test_standing_is_measured_in_deviations_of_chance() -> None:
    """Over all permutations the standing has mean 0 and deviation 1."""
    score = standing(np.random.default_rng(0).standard_normal((6, 6)))
    sums = [score[range(6), p].sum() for p in itertools.permutations(range(6))]
    assert np.mean(sums) == pytest.approx(0.0, abs=1e-9)
    assert np.std(sums) == pytest.approx(1.0)


def test_a_diagonal_stands_as_high_as_can_be() -> None:
    """n - 1 for a diagonal of n, however large the entries of single rows and columns are."""
    assert np.trace(standing(np.diag([1.0, -20.0, 0.3, 4.0, 5.0, 100.0]))) == pytest.approx(5.0)


@pytest.mark.parametrize("table", [np.zeros((4, 4)), np.ones((4, 4)), np.zeros((1, 1))])
def test_nothing_stands_out_of_equal_numbers(table: np.ndarray) -> None:
    """A network that reads none of them, or all alike, tells nothing."""
    assert not standing(table).any()
