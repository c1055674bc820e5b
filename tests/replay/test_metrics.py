"""Metrics of traces made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policy_port.replay import metrics


def test_mean_velocity_leaves_out_the_start() -> None:
    """Two seconds of nonsense, then one second of 0.5 forward, -0.1 sideways, 0.3 turning."""
    lin, ang = np.full((150, 3), 99.0), np.full((150, 3), 99.0)
    lin[100:] = (0.5, -0.1, 7.0)
    ang[100:] = (7.0, 7.0, 0.3)
    assert metrics.mean_velocity(lin, ang, 0.02, after=2.0) == pytest.approx((0.5, -0.1, 0.3))
    assert metrics.mean_velocity(lin[:100], ang[:100], 0.02, after=2.0) is None


def test_tracking_error_compares_with_the_position_that_follows() -> None:
    """A joint that reaches its target within one step has no error, whatever the delay looks like on paper."""
    target = np.arange(10.0)[:, None]
    assert metrics.tracking_error(target, target - 1.0) == 0.0
    assert metrics.tracking_error(target, target) == pytest.approx(1.0)
    assert math.isnan(metrics.tracking_error(target[:1], target[:1]))


def test_action_rate_is_the_mean_step() -> None:
    """0, 2, 0, 2 changes by 2 each step; a constant by 0."""
    action = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [2.0, 1.0]], dtype=np.float32)
    assert metrics.action_rate(action) == pytest.approx(1.0)
    assert math.isnan(metrics.action_rate(action[:1]))


def test_saturation_counts_limited_joints_only() -> None:
    """Of two limited joints one is at its limit half of the time; the third has none."""
    effort = np.array([[10.0, 1.0, 500.0], [-9.95, 1.0, 500.0], [5.0, 1.0, 500.0], [0.0, 1.0, 500.0]])
    assert metrics.saturation(effort, np.array([10.0, 10.0, np.inf])) == pytest.approx(0.25)
    assert metrics.saturation(effort, np.full(3, np.inf)) is None
    assert metrics.saturation(np.full((2, 1), np.nan), np.array([1.0])) is None


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (57, 100), (999, 1000)])
def test_success_interval_is_clopper_pearson(successes: int, trials: int) -> None:
    """Equal to SciPy's exact interval."""
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra sim")
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert metrics.success_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_success_interval_by_hand() -> None:
    """No success in n trials: the upper bound p solves (1 - p)^n = 0.025."""
    assert metrics.success_interval(0, 10) == pytest.approx((0.0, 1.0 - 0.025 ** (1 / 10)))
    with pytest.raises(ValueError, match="3 successes of 2"):
        metrics.success_interval(3, 2)
