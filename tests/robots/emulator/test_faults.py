"""How faults are written, and when they are there."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_port.errors import EmulatorError
from policy_port.robots.emulator.fault_kinds import KINDS, table
from policy_port.robots.emulator.faults import Fault, FaultList, parse_fault
from tests.robots.emulator.bench import JOINTS


def parse(spec: str) -> Fault:
    return parse_fault(spec, joints=JOINTS, cameras=("front",))


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("silent:elbow_flex@5.0", Fault(kind="silent", target="elbow_flex", start=5.0)),
        ("late:wrist_flex:0.2@3", Fault(kind="late", target="wrist_flex", value=0.2, start=3.0)),
        ("drop:0.1", Fault(kind="drop", value=0.1)),
        ("corrupt:gripper:0.05+2", Fault(kind="corrupt", target="gripper", value=0.05, duration=2.0)),
        ("garbage", Fault(kind="garbage", value=1.0)),
        ("overheat:gripper", Fault(kind="overheat", target="gripper", value=85.0)),
        ("brownout@6", Fault(kind="brownout", start=6.0)),
        ("slip:elbow_flex:-200", Fault(kind="slip", target="elbow_flex", value=-200.0)),
        ("stall-camera@3", Fault(kind="stall-camera", start=3.0)),
        ("slow-camera:front:0.5@1+1", Fault(kind="slow-camera", target="front", value=0.5, start=1.0, duration=1.0)),
    ],
)
def test_a_fault_is_read(spec: str, fault: Fault) -> None:
    """Kind, target, number, start and duration are found where they are written."""
    assert parse(spec) == fault


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("silnt", "no fault is called 'silnt'; did you mean 'silent'?"),
        ("", "no fault is called ''. There are: silent, absent, late"),
        ("silent:elbow", "no joint is called 'elbow'; did you mean 'elbow_flex'? The joints are: shoulder_pan"),
        ("silent:gripper:1", "'1' is one too many; write silent[:joint][@START][+DURATION]"),
        ("unplug:gripper", "'gripper' is one too many; write unplug[@START]"),
        ("push", "push needs a joint. The joints are: shoulder_pan"),
        ("drop:2", "the probability of drop is '2'; give a number from 0 to 1"),
        ("drop:nan", "give a number from 0 to 1"),
        ("late:gripper:soon", "the seconds of late is 'soon'; give a number from 0 to 60"),
        ("garbage@later", "the start, in seconds, is 'later'"),
        ("garbage@-1", "the start, in seconds, is '-1'"),
        ("garbage+", "the duration, in seconds, is ''"),
        ("garbage@1@2", "can't be read; write KIND[:TARGET][:NUMBER][@START][+DURATION]"),
        ("brownout+2", "brownout happens at once and has no duration; leave out +2"),
        ("stall-camera:top", "no camera is called 'top'. The cameras are: front"),
    ],
)
def test_a_fault_that_can_t_be_read_says_what_is_valid(spec: str, message: str) -> None:
    """Every misspelling names what was given and what exists."""
    with pytest.raises(EmulatorError) as caught:
        parse(spec)
    assert message in str(caught.value)


def test_a_camera_fault_needs_a_camera() -> None:
    """On an arm without cameras there is nothing to stall."""
    with pytest.raises(EmulatorError, match="the cameras are: none|The cameras are: none"):
        parse_fault("stall-camera", joints=JOINTS)


@given(
    kind=st.sampled_from(KINDS),
    joint=st.sampled_from([None, *JOINTS]),
    start=st.integers(0, 1000),
    duration=st.one_of(st.just(math.inf), st.integers(0, 1000)),
)
def test_a_fault_is_read_as_it_is_written(kind, joint, start, duration) -> None:
    """Writing a fault out and reading it back gives the same fault."""
    target = joint if kind.target == "joint" else None
    if kind.one_joint and target is None:
        target = JOINTS[0]
    fault = Fault(
        kind=kind.name,
        target=target,
        value=kind.default or 0.0,
        start=float(start),
        duration=math.inf if kind.at_once else float(duration),
    )
    assert parse(str(fault)) == fault


def test_a_fault_starts_lasts_and_ends() -> None:
    """It strikes from its start on, only its target, for its duration; events happen once."""
    faults = FaultList()
    faults.add(parse("late:gripper:0.2@1+2"), 10.0)
    faults.add(parse("brownout@1"), 10.0)
    assert faults.update(10.9) == ()
    assert faults.find("late", "gripper") is None
    assert [fault.kind for fault in faults.update(11.0)] == ["brownout"]
    assert faults.update(11.1) == ()
    assert faults.find("late", "gripper") == 0.2
    assert faults.find("late", "wrist_roll") is None
    faults.update(13.0)
    assert faults.find("late", "gripper") is None


def test_the_newest_fault_of_a_kind_counts() -> None:
    """Of two that strike the same joint the later one holds, and the earlier one again when it is cleared."""
    faults = FaultList()
    first, second = parse("late:0.1"), parse("late:gripper:0.3")
    faults.add(first, 0.0)
    faults.update(0.0)
    faults.add(second, 1.0)
    faults.update(1.0)
    assert faults.find("late", "gripper") == 0.3
    assert faults.find("late", "wrist_roll") == 0.1
    faults.remove(second)
    assert faults.find("late", "gripper") == 0.1


def test_the_table_lists_every_kind() -> None:
    """The help shows how each kind is written and what it does."""
    lines = table().splitlines()
    assert len(lines) == len(KINDS)
    assert all(kind.usage in line and kind.effect in line for kind, line in zip(KINDS, lines, strict=True))
