"""Bounds, filters and delays of an action in the target's parsing: the robot moves as the source's does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policy_port.control.action import ActionDecoder
from policy_port.control.signals import Signals
from policy_port.remap import build_remap
from tests.remap.test_build import contract, mapping, random_mapping
from tests.samples import LEGS

BOUNDS = {name: [-0.3 - 0.1 * k, 0.2 + 0.2 * k] for k, name in enumerate(LEGS)}
TERM = {"term": "joint_position", "scale": 0.5, "offset": "default"}


@pytest.mark.parametrize(
    "more",
    [
        {"delay": 2, "filter": {"kind": "first_order", "alpha": 0.3, "of": "raw"}},
        {"filter": {"kind": "first_order", "cutoff_hz": 4.0, "of": "target"}},
        {"delay": {"steps": 1, "fill": "first"}, "filter": {"kind": "moving_average", "steps": 3, "of": "target"}},
    ],
)
def test_both_sides_command_the_same_robot_step_by_step(more: dict[str, Any]) -> None:
    """Signs, zeros, units and order: behind clip, delay and filter the target of every joint is the source's."""
    source = contract(action={"terms": [TERM], "raw_clip": BOUNDS, **more})
    rng = np.random.default_rng(5)
    rule = random_mapping(rng)
    remap = build_remap(source, rule)
    target = remap.target
    assert isinstance(target.action.raw_clip, dict)
    assert {f"{name}_t" for name in LEGS} == set(target.action.raw_clip)
    assert any(pair == (-BOUNDS[n][1], -BOUNDS[n][0]) for n in LEGS if (pair := target.action.raw_clip[f"{n}_t"]))
    sides = [Signals(c, c.joint_names, 1) for c in (source, target)]
    decoders = [ActionDecoder(c, side) for c, side in zip((source, target), sides, strict=True)]
    there = [target.joint_names.index(f"{name}_t") for name in LEGS]

    def across(positions: Any) -> list[float]:
        return [
            rule.conversion(name).position(float(value) * source.per_si(name)) / target.per_si(f"{name}_t")
            for name, value in zip(LEGS, positions, strict=True)
        ]

    start = rng.normal(size=len(LEGS))
    sides[0].state.joint_pos[:] = start
    sides[1].state.joint_pos[0, there] = across(start)
    for side in sides:
        side.reset()
    for _ in range(6):
        raw = rng.normal(size=(1, len(LEGS))).astype(np.float32)
        made, ported = decoders[0].decode(raw), decoders[1].decode(remap.action(raw).astype(np.float32))
        np.testing.assert_allclose(ported[0, there], across(made[0]), rtol=1e-6, atol=1e-6)


def test_bounds_turn_with_a_joint_that_turns() -> None:
    """A flipped joint's bounds change ends and sign; a joint that only the target has is free to stand still."""
    source = contract(action={"terms": [TERM], "raw_clip": BOUNDS})
    names = [*LEGS, "tail"]
    rule = mapping(
        target_joint_names=names,
        joints={LEGS[1]: {"sign": -1}},
        only_in_target={"tail": {"position": 0.4}},
    )
    remap = build_remap(source, rule)
    low, high = BOUNDS[LEGS[1]]
    assert remap.action_clip is None
    expected = {n: tuple(BOUNDS[n]) for n in LEGS} | {LEGS[1]: (-high, -low), "tail": (-1, 1)}
    assert remap.target.action.raw_clip == expected
