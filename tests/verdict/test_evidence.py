"""Claims about reading traces as evidence: what can't serve is refused with array, step and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.errors import EvidenceError
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verify_contract
from tests.verdict.synthetic import header, simulate, stacked, toy, write

Arrays = dict[str, np.ndarray]


def drop(name: str) -> Callable[[Arrays, dict[str, Any]], None]:
    return lambda arrays, about: arrays.pop(name)


def spoil(arrays: Arrays, about: dict[str, Any]) -> None:
    arrays["joint_vel"][17, 2] = np.nan


def narrow(arrays: Arrays, about: dict[str, Any]) -> None:
    arrays["joint_pos"] = arrays["joint_pos"][:, :3]


def rename(arrays: Arrays, about: dict[str, Any]) -> None:
    about["joint_names"] = ["right_knees", *about["joint_names"][1:]]


def cut(arrays: Arrays, about: dict[str, Any]) -> None:
    for name in arrays:
        arrays[name] = arrays[name][:2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("observation"), "has no 'observation'; .* record observation and"),
        (drop("action"), "has no 'action'"),
        (drop("base_quat"), "no 'base_quat', which 'projected_gravity' of contract 'toy' is made of"),
        (drop("goal"), "no 'goal'"),
        (lambda arrays, about: about.pop("joint_names"), "joint_names is None"),
        (rename, "no joint 'right_knee' .*did you mean 'right_knees'"),
        (spoil, r"joint_vel\[2\] is nan at step 17 of environment 0"),
        (narrow, "joint_pos has 3 columns, 4 are needed"),
        (cut, "has 2 steps"),
        (
            lambda arrays, about: arrays.update(action=arrays["action"][:, :3]),
            "action has 3 columns, contract 'toy' has 4",
        ),
        (
            lambda arrays, about: arrays.update(observation=arrays["observation"][:, 1:]),
            "have 35 numbers, contract 'toy' describes",
        ),
        (lambda arrays, about: arrays.update(command=arrays["command"][:, :2]), "command has 2 columns, 3 are needed"),
    ],
)
def test_a_trace_that_lacks_something_is_refused(
    tmp_path: Path, change: Callable[[Arrays, dict[str, Any]], None], words: str
) -> None:
    """Nothing missing becomes zero: the array, joint or step is named."""
    contract = toy()
    arrays, about = simulate(contract), header(contract)
    change(arrays, about)
    with pytest.raises(EvidenceError, match=words):
        verify_contract(contract, read_evidence(write(tmp_path / "t.npz", arrays, about)))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    """A file that was cut off says that it is damaged."""
    contract = toy()
    trace = write(tmp_path / "t.npz", simulate(contract), header(contract))
    content = trace.read_bytes()
    trace.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(EvidenceError, match="is no trace, or is damaged"):
        read_evidence(trace)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is said to."""
    with pytest.raises(EvidenceError, match="no such trace"):
        read_evidence(tmp_path / "t.npz")


def test_episodes_are_told_by_time_where_nothing_else_tells(tmp_path: Path) -> None:
    """Without episode numbers, a clock that jumps back starts an episode."""
    contract = toy()
    arrays = simulate(contract, lengths=(10, 7, 5))
    del arrays["episode"]
    evidence = read_evidence(write(tmp_path / "t.npz", arrays, header(contract)))
    assert np.flatnonzero(evidence.started[:, 0]).tolist() == [0, 10, 17]
    assert verify_contract(contract, evidence).ok


@pytest.mark.parametrize("lengths", [(100,), (40, 30, 30), (5,) * 20])
def test_a_shortened_trace_is_still_a_trace(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    """The part that is searched keeps whole starts of episodes: a right contract is right there too."""
    contract = stacked()
    evidence = read_evidence(write(tmp_path / "t.npz", simulate(contract, lengths=lengths), header(contract)))
    short = evidence.shortened(60)
    assert 20 <= short.shape[0] <= 60
    assert int(short.started.sum()) == len(lengths)
    assert verify_contract(contract, short).ok
