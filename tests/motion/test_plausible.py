"""Whether a clip can be the robot's: columns in another order ask for what no joint can do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.errors import MotionError
from policy_port.motion.motion import Motion
from policy_port.motion.plausible import check_stops, order_doubt, stated_stops
from tests.samples import contract_data

DEFAULTS = {"hip": -0.4, "knee": 0.9, "ankle": -0.5, "elbow": 2.6, "waist": 0.0}
STOPS = {"hip": (-2.0, 1.0), "knee": (-0.1, 2.0), "ankle": (-0.9, 0.5), "elbow": (-0.5, 3.2), "waist": (-1.0, 1.0)}


def contract(**stated: float) -> Contract:
    joints = {name: {"default": default} | stated for name, default in DEFAULTS.items()}
    terms = [{"term": "joint_pos_rel"}, {"term": "last_action"}]
    return Contract.model_validate(contract_data(joints=joints, observation={"terms": terms}))


def motion(order: tuple[str, ...] = tuple(DEFAULTS), swing: float = 0.3) -> Motion:
    """The robot swings about its default pose; the columns stand in `order`, and are taken for the usual one."""
    time = np.arange(100) / 50.0
    columns = [DEFAULTS[name] + swing * np.sin(3.0 * time + place) for place, name in enumerate(order)]
    joint_pos = np.stack(columns, axis=1)
    return Motion(rate=50.0, joint_names=tuple(DEFAULTS), joint_pos=joint_pos, joint_vel=0.0 * joint_pos)


def test_a_robots_own_motion_is_not_doubted() -> None:
    """Neither by its stops nor by its default pose; a little beyond a stop is said and goes on."""
    assert check_stops(motion(), STOPS, "it") == ""
    assert order_doubt(motion(), contract()) == ""
    assert "'ankle' is at -1" in check_stops(motion(swing=0.5), STOPS, "it")
    assert stated_stops(contract()) == {}
    assert stated_stops(contract(lower=-2.0, upper=3.0))["hip"] == (-2.0, 3.0)


@pytest.mark.parametrize("swing", [0.3, 0.0])
@pytest.mark.parametrize(
    ("order", "words"),
    [
        (tuple(DEFAULTS)[::-1], "the joints in reverse"),
        (tuple(sorted(DEFAULTS)), "the joints in alphabetical order"),
    ],
)
def test_columns_in_another_order_are_told(order: tuple[str, ...], words: str, swing: float) -> None:
    """By the order that brings the mean pose to the default one; and refused where a stop is in the way."""
    wrong = motion(order, swing)
    assert f"look like {words}" in order_doubt(wrong, contract())
    with pytest.raises(MotionError, match=re.escape("not this robot's: joint")):
        check_stops(wrong, STOPS, "it")


def test_degrees_are_refused_by_the_stops() -> None:
    """A hip at -40 is no radian."""
    clip = motion()
    degrees = Motion(**{**vars(clip), "joint_pos": np.rad2deg(clip.joint_pos)})
    with pytest.raises(MotionError, match="or in degrees"):
        check_stops(degrees, STOPS, "it")
