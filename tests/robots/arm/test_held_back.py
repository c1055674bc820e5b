"""A policy that asks for what no arm can do is stopped; one that is quick, or presses against a limit, is not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.plants.limiter import Limiter
from policy_port.robots.arm.held_back import HeldBack
from policy_port.robots.arm.stops import ArmStopError

PERIOD = 0.05
NAMES = ("one", "two")


def perform(asked: np.ndarray) -> list[str]:
    """Let targets [rad], shape (steps, 2), go through limits and judgement; the warnings."""
    far = np.array([2.0, 2.0])
    limiter = Limiter(-far, far, np.array([1.2, 1.2]), np.array([24.0, 24.0]), PERIOD)
    held, warnings = HeldBack(NAMES, 0.3, PERIOD), []
    for target in asked:
        warning = held.look(target, limiter.follow(target))
        warnings += [] if warning is None else [warning]
    return warnings


def both(values: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros_like(values), values], axis=1)


STEPS = np.arange(100)


@pytest.mark.parametrize(
    "values",
    [
        1000.0 * (-1.0) ** STEPS,
        np.full(100, 1000.0),
        np.full(100, 45.0),
        2.0 * (-1.0) ** STEPS,
        0.25 * (-1.0) ** STEPS,
        np.where(STEPS % 4 < 2, 1.5, -1.5),
        np.where(STEPS % 20 == 7, 0.0, 3.0 * (-1.0) ** STEPS),
    ],
)
def test_a_stream_at_its_limits_stops_within_two_seconds(values: np.ndarray) -> None:
    """Thousands of radians, degrees taken for radians, to and fro faster than a servo: stopped, naming the joint."""
    with pytest.raises(ArmStopError, match="out of reach.*two was asked to") as caught:
        perform(both(np.concatenate([np.zeros(20), values[:40]])))
    assert caught.value.may_move


@pytest.mark.parametrize(
    "values",
    [
        np.where(STEPS % 40 < 20, 0.5, -0.5),
        1.0 * np.sin(0.05 * STEPS),
        np.maximum(-0.04 * STEPS, -2.2),
        np.where(STEPS < 10, 0.0, 1.2),
    ],
)
def test_what_policies_do_is_let_through(values: np.ndarray) -> None:
    """A jump where a chunk begins, a quick motion, a joint that presses a little beyond its limit."""
    perform(both(values))


def test_half_of_it_is_told_once() -> None:
    """Some seven of ten targets out of reach: a warning, and the arm goes on."""
    held, sent = HeldBack(NAMES, 0.3, PERIOD), np.zeros(2)
    told = [held.look(target, sent) for target in both(np.where(STEPS % 10 < 6, 1.0, 0.0))]
    warnings = [warning for warning in told if warning is not None]
    assert len(warnings) == 1
    assert "% of the policy's targets" in warnings[0]
