"""What a policy can tell two contracts apart by, in words; and what makes no difference to it."""

from __future__ import annotations

from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.contract.diff import differences
from tests.samples import LEGS, contract_data

TOY = contract_data()


def told(*terms: dict[str, Any], **changes: Any) -> Contract:
    """The toy with other observation terms, or other keys."""
    return Contract.model_validate(TOY | ({"observation": {"terms": list(terms)}} if terms else {}) | changes)


def joints(**changes: Any) -> dict[str, Any]:
    """The toy's joints, each changed alike."""
    return {name: joint | changes for name, joint in TOY["joints"].items()}


PLAIN: dict[str, Any] = {"term": "base_lin_vel"}
POS: dict[str, Any] = {"term": "joint_pos"}
STATED = {"clip": dict.fromkeys(LEGS, (-1.0, 1.0)), "scale": dict.fromkeys(LEGS, 2.0), "name": "positions"}
ACTION = {"term": "joint_position", "scale": dict.fromkeys(LEGS, 0.25), "offset": "default"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (told(), told(name="other", trained_in="elsewhere")),
        (told(PLAIN), told(PLAIN | {"point": "link", "frame": "link"})),
        (told(POS | {"scale": 2.0, "clip": [-1.0, 1.0]}), told(POS | STATED)),
        (told(POS), told(POS, quaternion_order="xyzw")),
        (told(), told(action={"terms": [ACTION]})),
    ],
    ids=["names", "the link is the usual point", "one number for all", "an order without a quaternion", "by joint"],
)
def test_another_way_of_writing_is_no_difference(one: Contract, other: Contract) -> None:
    """Names, what is usual, short forms, and what nothing of the policy has."""
    assert differences(one, other) == differences(other, one) == []


@pytest.mark.parametrize(
    ("one", "other", "lines"),
    [
        (told(PLAIN), told(PLAIN | {"point": "com"}), ["observation.terms[base_lin_vel].point: link against com"]),
        (
            told(PLAIN | {"point": {"site": "a"}}),
            told(PLAIN | {"point": {"sensor": "a"}}),
            [
                "observation.terms[base_lin_vel].point.site: a against not stated",
                "observation.terms[base_lin_vel].point.sensor: not stated against a",
            ],
        ),
        (
            told(PLAIN | {"point": [0, 0, 1]}),
            told(PLAIN | {"point": "com"}),
            ["observation.terms[base_lin_vel].point: [0.0, 0.0, 1.0] against com"],
        ),
        (
            told({"term": "base_ang_vel"}),
            told({"term": "base_ang_vel", "frame": {"site": "imu"}}),
            ["observation.terms[base_ang_vel].frame: link against {site: imu}"],
        ),
        (told(POS), told(POS | {"scale": 0.5}), ["observation.terms[joint_pos].scale: 1 against 0.5"]),
        (told(), told(joints=joints(damping=2.0)), [f"joints.{name}.damping: 1 against 2" for name in LEGS]),
        (told(POS, PLAIN), told(PLAIN, POS), ["observation.terms: ['joint_pos', 'base_lin_vel'] against "]),
    ],
    ids=["point", "site and sensor", "offset", "frame", "said once", "by joint", "terms' order"],
)
def test_what_counts_is_said_by_its_key(one: Contract, other: Contract, lines: list[str]) -> None:
    """A line for each key; a scale of all elements once; the order of terms."""
    found = differences(one, other)
    assert len(found) == len(lines), found
    for line, wanted in zip(found, lines, strict=True):
        assert line.startswith(wanted)


def test_joints_are_told_first() -> None:
    """Another order, or joints that one contract alone has, of which nothing else is said."""
    turned = differences(told(POS), told(POS, joints=dict(reversed(joints().items()))))
    assert turned[0] == f"joint order: {', '.join(LEGS)} against {', '.join(LEGS[::-1])}"
    fewer = {name: TOY["joints"][name] for name in LEGS[:3]}
    found = differences(told(POS), told(POS, joints=fewer))
    assert found[0] == f"joints: only the first has {LEGS[3]}"
    assert not any(line.startswith("joints.") for line in found)


def test_a_tolerance_is_relative() -> None:
    """Of every number."""
    near = told(POS | {"scale": 1.0001})
    assert differences(told(POS), near) == ["observation.terms[joint_pos].scale: 1 against 1.0001"]
    assert differences(told(POS), near, relative_tolerance=1e-3) == []


def test_the_older_names_of_a_term_are_the_newer_ones() -> None:
    """velocity_command is a command of three, gait_phase a clock of sines and cosines."""
    older = [{"term": "velocity_command", "scale": [2.0, 2.0, 0.25]}, {"term": "gait_phase", "period": 0.8}]
    scales = {"lin_vel_x": 2.0, "lin_vel_y": 2.0, "ang_vel_z": 0.25}
    waves = [{"wave": "sin"}, {"wave": "cos"}]
    newer = [
        {"term": "command", "elements": list(scales), "scale": scales},
        {"term": "gait_clock", "elements": waves, "period": 0.8},
    ]
    one, other = (Contract.model_validate(contract_data(observation={"terms": terms})) for terms in (older, newer))
    assert differences(one, other) == []
    swapped = [newer[0], newer[1] | {"elements": waves[::-1]}]
    assert differences(one, Contract.model_validate(contract_data(observation={"terms": swapped}))) != []
