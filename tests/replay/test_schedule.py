"""Schedules: what each step is told, and which mistakes are refused with file, line and key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.errors import TaskError
from policy_port.replay.schedule import Schedule, load_schedule, parse_push, played_ports

NAMES = ("lin_vel_x", "lin_vel_y", "ang_vel_z", "base_height")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "schedule.yaml"
    path.write_text("schedule_version: 1\n" + text)
    return path


def test_commands_are_held_and_ramped_by_name(tmp_path: Path) -> None:
    """An element keeps its value until an entry names it, and goes there in a straight line where a ramp is given;
    a later entry takes over from wherever the element is.
    """
    schedule = load_schedule(
        written(
            tmp_path,
            """command:
- {at: 0, to: {lin_vel_x: 0.2}}
- {at: 0.4, to: {lin_vel_x: 1.0, base_height: 0.6}, ramp: 0.4}
- {at: 0.6, to: {lin_vel_x: 0.0}}
""",
        )
    )
    table = schedule.commands(NAMES, np.array([0.0, 0.1, 0.0, 0.7]), 0.1, 10)
    assert np.allclose(table[:, 0], [0.2, 0.2, 0.2, 0.2, 0.2, 0.4, 0.0, 0.0, 0.0, 0.0])
    assert np.allclose(table[:, 1], 0.1)
    assert np.allclose(table[:, 3], [0.7, 0.7, 0.7, 0.7, 0.7, 0.675, 0.65, 0.625, 0.6, 0.6])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("command: [{at: 1, to: {lin_vel_x: 1}}]", "schedule.yaml:2.*first entry is at 1 s; say what holds from 0 on"),
        ("comand: []", "unknown key 'comand'; did you mean 'command'"),
        ("command: [{at: 0, to: {}}]", "schedule.yaml:2"),
        ("command: [{at: 0, to: {lin_vel_x: '1'}}]", "schedule.yaml:2.*given: '1'"),
        ("command: [{at: 0, to: {lin_vel_x: .inf}}]", "schedule.yaml:2"),
        ("command:\n- {at: 0, to: {lin_vel_x: 1}}\n- {at: 0, to: {lin_vel_x: 2}}", "in the order of their times"),
        ("pushes: [{at: 1, link: torso, impulse: [0, 0, 0]}]", "has no impulse"),
        ("pushes: [{at: 1, link: torso, impulse: [0, 1]}]", "schedule.yaml:2"),
        ("pushes: [{at: 1, link: torso, impulse: [0, 1, 0], frame: body}]", "schedule.yaml:2.*'world' or 'base'"),
        (
            "pushes:\n- {at: 1, link: a, impulse: [0, 1, 0], lasts: 0.5}\n- {at: 1.2, link: b, impulse: [0, 1, 0]}",
            "begins before that at 1 s ends, at 1.5 s; move it, or shorten `lasts`",
        ),
        ("ports: [{at: 0, port: a, blend: 1}]", "begins at the reset, with nothing to pass on: leave blend out"),
        ("ports: [{at: 0, port: a}, {at: 1, port: a}]", "'a' plays already"),
        ("ports: [{at: 0, port: a}, {at: 1, port: b}, {at: 1.2, port: a}]", "'b' is still being blended in, until 1.5"),
        ("ports: [{at: 0, port: a}, {at: 1, port: b, blend: -1}]", "schedule.yaml:2"),
        ("seconds: 3", "nothing happens in it; give it command, pushes or ports"),
    ],
)
def test_a_mistake_in_a_schedule_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With the file and, where it is a value's, the line."""
    with pytest.raises(TaskError, match=words):
        load_schedule(written(tmp_path, text))


def test_any_yaml_is_no_schedule(tmp_path: Path) -> None:
    """A file of another kind is told apart by its first key."""
    (tmp_path / "contract.yaml").write_text("contract_version: 1\n")
    with pytest.raises(TaskError, match="is no schedule: the key schedule_version is missing"):
        load_schedule(tmp_path / "contract.yaml")


def test_what_would_never_come_is_refused() -> None:
    """An entry at or after the end of the episode, and a push that would not end in it."""
    schedule = Schedule.model_validate({"pushes": [{"at": 1.95, "link": "a", "impulse": [1, 0, 0]}]})
    schedule.check_length(2.1)
    with pytest.raises(TaskError, match=r"push at 1.95 s comes too late: an episode is 2 s long; give more --seconds"):
        schedule.check_length(2.0)


@pytest.mark.parametrize("text", ["2.0 torso 0 30 0", "2 torso 0,30,0", "2 torso 0 30 0 world", "2 torso 0 30 0 0.1"])
def test_a_push_is_read(text: str) -> None:
    """When, where, how much."""
    assert parse_push(text) == parse_push("2.0 torso 0 30 0 world 0.1")
    assert parse_push("2.0 torso 0 30 0 base 0.3").frame == "base"


WRONG = "torso 2 0 30 0|2 torso 30|2 torso 0 0 0|-1 torso 0 1 0|2 torso 0 1 0 body|2 t 0 1 0 base 0|2 t 0 nan 0"


@pytest.mark.parametrize("text", [*WRONG.split("|"), "2 t 1 2 3 4 5"])
def test_a_push_written_otherwise_is_refused(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(TaskError, match=r'takes "AT LINK X Y Z", such as "2.0 torso_link 0 30 0".*given: '):
        parse_push(text)


def test_each_port_given_plays_and_each_that_plays_is_given() -> None:
    """A port that the schedule forgets, and one that it invents; the one that plays first comes first."""
    two = Schedule.model_validate({"ports": [{"at": 0, "port": "b"}, {"at": 1, "port": "a"}]})
    assert list(played_ports(two, {"a": 1, "b": 2})) == ["b", "a"]
    with pytest.raises(TaskError, match="plays port 'b', and the ports given are a"):
        played_ports(two, {"a": 1})
    with pytest.raises(TaskError, match="port c never plays: leave it out, or say in the file of --schedule"):
        played_ports(two, {"a": 1, "b": 2, "c": 3})
