"""Claims about matching two lists of joint names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_port.descriptors.name_match import likeness, match_names


def pairs(source: list[str], target: list[str]) -> dict[str, str]:
    return {proposal.source: proposal.target for proposal in match_names(source, target).proposals}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("LF_HAA", "FL_hip_joint"),
        ("RH_KFE", "RR_calf_joint"),
        ("left_knee_joint", "left_knee"),
        ("leftKneeJoint", "left_knee_joint"),
        ("L_hip_yaw", "left_hip_yaw_joint"),
        ("shoulder_pan", "shoulder_pan.pos"),
    ],
)
def test_likely_renames_are_proposed(source: str, target: str) -> None:
    """Case, suffixes, sides and the two-letter legs of quadrupeds are seen through."""
    assert pairs([source, "other_thing_x"], [target, "zzz_9"]) == {source: target}


def test_left_is_never_proposed_for_right_nor_front_for_rear() -> None:
    """A rename across the body is the costliest mistake, however alike the words."""
    assert likeness("left_knee_joint", "right_knee_joint") == 0.0
    assert likeness("FL_calf_joint", "RL_calf_joint") == 0.0
    assert pairs(["left_knee"], ["right_knee"]) == {}


def test_two_equally_likely_pairs_are_left_open() -> None:
    """Where nothing decides, nothing is proposed."""
    match = match_names(["knee"], ["knee_joint", "joint_knee"])
    assert match.proposals == ()
    assert match.open_source == ("knee",)
    assert match.open_target == ("knee_joint", "joint_knee")


def test_equal_names_need_no_proposal() -> None:
    """Names that both sides have are matched whatever else is alike."""
    assert pairs(["a_knee", "b_knee"], ["b_knee", "a_knee_joint"]) == {"a_knee": "a_knee_joint"}
    mapping = match_names(["a_knee", "b_knee"], ["b_knee", "a_knee_joint"]).mapping()
    assert mapping.pairs == (("a_knee", "a_knee_joint"), ("b_knee", "b_knee"))


NAMES = st.lists(st.text("abl_rfknehip", min_size=1, max_size=12), min_size=1, max_size=6, unique=True)


@given(NAMES, NAMES)
def test_proposals_never_share_a_joint_and_cover_no_equal_name(source: list[str], target: list[str]) -> None:
    """Whatever the names, a joint is proposed at most once on each side."""
    match = match_names(source, target)
    for side in ("source", "target"):
        used = [getattr(proposal, side) for proposal in match.proposals]
        assert len(set(used)) == len(used)
    assert not {proposal.source for proposal in match.proposals} & set(target)
    assert not {proposal.target for proposal in match.proposals} & set(source)
    assert all(0.6 <= likeness(proposal.source, proposal.target) <= 1.0 for proposal in match.proposals)
