"""Claims about lags, differences and spectra, on signals written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.compare import signals

TIME = np.arange(500)[:, None] * 0.02
WALK = np.concatenate([np.sin(2 * np.pi * 1.25 * TIME), 0.5 * np.cos(2 * np.pi * 2.5 * TIME)], axis=1)


def test_the_lag_is_how_much_later_the_second_is() -> None:
    """Positive when the second is late, negative when it is early, zero when they agree."""
    assert signals.best_lag(WALK[7:], WALK, 20) == 7
    assert signals.best_lag(WALK, WALK[7:], 20) == -7
    assert signals.best_lag(WALK, 3.0 * WALK + 1.0, 20) == 0, "size and zero do not move it"


def test_of_equal_lags_the_nearest_counts() -> None:
    """A gait of 0.8 s is as alike one whole stride later; that is no lag."""
    assert signals.best_lag(WALK, WALK, 100) == 0
    assert signals.best_lag(np.ones((50, 2)), np.ones((50, 2)), 10) == 0, "and nothing moves"


def test_a_lag_leaves_half_of_the_recording() -> None:
    """Two short pieces are not matched by their ends."""
    assert abs(signals.best_lag(WALK[:10], WALK[20:30], 1000)) <= 5


def test_overlap_by_hand() -> None:
    """0 1 2 3 4 and 9 9 0 1 2: two steps late, three in common."""
    first, second = np.arange(5.0)[:, None], np.array([9.0, 9.0, 0.0, 1.0, 2.0])[:, None]
    ours, theirs = signals.overlap(first, second, 2)
    assert ours[:, 0].tolist() == theirs[:, 0].tolist() == [0.0, 1.0, 2.0]
    theirs, ours = signals.overlap(second, first, -2)
    assert ours[:, 0].tolist() == theirs[:, 0].tolist() == [0.0, 1.0, 2.0]


def test_rmse_by_hand() -> None:
    """Differences 3 and 4 in one column, none in the other: sqrt(12.5) and 0."""
    assert signals.rmse(np.array([[3.0, 1.0], [4.0, 1.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(
        [12.5**0.5, 0.0]
    )


def test_divergence_is_the_first_step_apart() -> None:
    """The root mean square over joints passes the threshold at step 3; NaN is apart; together is None."""
    first = np.zeros((6, 4))
    second = np.zeros((9, 4))
    second[2, 0] = 0.19  # over four joints: 0.095
    second[3, 0] = 0.21  # 0.105
    assert signals.divergence_step(first, second, 0.1) == 3
    second[3, 0] = 0.0
    assert signals.divergence_step(first, second, 0.1) is None
    second[5] = np.nan
    assert signals.divergence_step(first, second, 0.1) == 5


def test_resampling_keeps_straight_lines_and_the_end() -> None:
    """A ramp at 50 Hz is the same ramp at 100 Hz and at 25 Hz; no step is lost to rounding."""
    ramp = np.arange(11.0)[:, None] * 0.02
    assert signals.resample(ramp, 0.02, 0.01)[:, 0] == pytest.approx(np.arange(21) * 0.01)
    assert signals.resample(ramp, 0.02, 0.04)[:, 0] == pytest.approx(np.arange(6) * 0.04)
    assert signals.resample(ramp, 0.02, 0.02) is ramp


def test_the_dominant_frequency_of_a_sine() -> None:
    """1.3 Hz lies between two bins of 10 s and is found to 0.01 Hz; a constant on top changes nothing."""
    found = signals.spectrum(5.0 + np.sin(2 * np.pi * 1.3 * TIME), 0.02)
    assert found is not None
    assert signals.dominant_frequency(*found) == pytest.approx(1.3, abs=0.01)
    still = signals.spectrum(np.ones((100, 1)), 0.02)
    assert still is not None
    assert signals.dominant_frequency(*still) is None


def test_power_above_five_hertz() -> None:
    """Amplitudes 2 at 1 Hz and 1 at 10 Hz: a fifth of the power lies above 5 Hz."""
    values = 2.0 * np.sin(2 * np.pi * 1.0 * TIME) + np.sin(2 * np.pi * 10.0 * TIME)
    found = signals.spectrum(values, 0.02)
    assert found is not None
    assert signals.power_share(*found, 5.0) == pytest.approx(0.2, abs=1e-3)


def test_what_a_recording_can_t_hold_is_none() -> None:
    """10 steps per second hold nothing above 5 Hz; a few steps have no spectrum."""
    found = signals.spectrum(np.random.default_rng(0).normal(size=(100, 2)), 0.1)
    assert found is not None
    assert signals.power_share(*found, 5.0) is None
    assert signals.spectrum(np.zeros((signals.SHORTEST - 1, 1)), 0.02) is None
