"""A delay that is off by a period of the motion is left, and two that nothing tells apart are both named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.identify.estimate import LEVEL, estimate
from policy_port.identify.fit import Problem
from policy_port.identify.grid import profile, twins
from policy_port.identify.identify import search
from policy_port.identify.parameters import Space, Values, load_priors, make_space
from policy_port.identify.recording import make_recording
from policy_port.identify.segments import Segments, cut

TRUE, PERIOD = 0.03, 0.1
"""The delay and how long it takes until the motion nearly repeats [s]."""
STIFFNESS, DAMPING = 20.0, 0.8


@dataclass
class Lagging:
    """Joints that follow a sum of sines with a delay and a lag, in closed form; see `Predictor`."""

    frequencies: Array
    """[Hz]."""
    joint_names: tuple[str, ...] = ("pan", "lift")
    timestep: float = 0.005
    quick: None = None
    limits: Array = field(default_factory=lambda: np.tile([-3.0, 3.0], (2, 1)))
    stock: Values = field(
        default_factory=lambda: {
            **{key: np.zeros(2) for key in ("friction", "armature", "drive_damping", "backlash", "offset", "delay")},
            **{key: np.full(2, value) for key, value in (("effort_limit", 3.0), ("gain", 1.0))},
            "stiffness": np.full(2, STIFFNESS),
            "damping": np.full(2, DAMPING),
            **{key: np.zeros(1) for key in ("payload_mass", "gravity_tilt_x", "gravity_tilt_y")},
        }
    )

    def follow(self, time: Array, delay: Array, lag: Array) -> Array:
        """Positions [rad] at times, shape (..., joints)."""
        turn = 2.0 * np.pi * self.frequencies
        angle = turn * (time[..., None, None] - delay[:, None]) - np.arctan(turn * lag[:, None])
        return (0.1 * np.sin(angle) / np.sqrt(1.0 + (turn * lag[:, None]) ** 2)).sum(axis=-1)

    def predict(self, columns: Sequence[Values], segments: Segments) -> Array:
        """See `Predictor`."""
        time = segments.start[:, None] + segments.after
        return np.array([self.follow(time, one["delay"], one["damping"] / one["stiffness"]) for one in columns])

    def close(self) -> None:
        """It holds nothing."""


def searched(frequencies: list[float]) -> tuple[Problem, Space, Array, list[Array]]:
    """The search of a motion of these sines, begun where the delay is a period too long."""
    arm = Lagging(np.array(frequencies))
    time: Array = np.arange(400, dtype=np.float64) * 0.01
    measured = arm.follow(time, np.full(2, TRUE), np.full(2, DAMPING / STIFFNESS))
    measured += np.random.default_rng(0).normal(0.0, 0.002, measured.shape)
    command = arm.follow(time, np.zeros(2), np.zeros(2))
    item = make_recording("sines", (), arm.joint_names, (time, measured, time, command))
    priors = load_priors("sts3215")
    fit = {key: one.model_copy(update={"fit": key in ("delay", "damping")}) for key, one in priors.joint.items()}
    space = make_space(priors.model_copy(update={"joint": fit}), arm.joint_names, arm.stock)
    space.fixed["stiffness"][:] = STIFFNESS
    problem = Problem(predictor=arm, segments=cut([item], 0.5), weights=np.full(2, 1.0 / 0.002))
    start = space.values(np.zeros(len(space.parameters))) | {"delay": np.array([TRUE + PERIOD, TRUE])}
    start["damping"] = np.full(2, DAMPING)
    problem, z, others = search(problem, space, space.coordinates(start), 8, lambda _: None)
    return problem, space, z, others


def test_a_delay_a_period_too_long_is_left() -> None:
    """Sines that nearly repeat after 100 ms: begun 100 ms off, the true delay is found, and no other is as good."""
    problem, space, z, others = searched([9.6, 10.0, 10.5])
    assert space.values(z)["delay"] == pytest.approx([TRUE, TRUE], abs=1e-3)
    assert space.values(z)["damping"] == pytest.approx([DAMPING, DAMPING], rel=0.1)
    assert not twins(problem, space, z, others, LEVEL)


def test_delays_that_nothing_tells_apart_are_both_named() -> None:
    """Of one sine alone a delay a period longer predicts the same: both are named, and the interval spans them."""
    problem, space, z, others = searched([10.0])
    again = twins(problem, space, z, others, LEVEL)
    assert again.keys() == {"pan.delay", "lift.delay"}
    found = estimate(problem, space, (profile(problem, space, z, "delay", (-0.1, 0.1)), again), lambda _: None)
    row = [item.name for item in space.parameters].index("lift.delay")
    assert found.value[row] == pytest.approx(TRUE, abs=2e-3)
    assert found.interval[row][1] >= again["lift.delay"][-1] == pytest.approx(TRUE + 2.0 * PERIOD, abs=2e-3)
    assert not found.identified[row]
    assert any("lift.delay may as well be 0.13 or 0.23 as 0.03 s" in said for said in found.together)
