"""Claims about the names of runs."""

from __future__ import annotations

from pathlib import Path

from policy_port.compare.labels import run_labels


def test_the_shortest_names_that_tell_apart() -> None:
    """Last parts where they differ, more where they do not; trace.npz is no name."""
    assert run_labels([Path("/r/a"), Path("/r/b")]) == ["a", "b"]
    assert run_labels([Path("/r/mujoco/trace.npz"), Path("/r/sapien/trace.npz")]) == ["mujoco", "sapien"]
    assert run_labels([Path("/r/a/run"), Path("/r/b/run")]) == ["a/run", "b/run"]


def test_no_two_runs_share_a_name() -> None:
    """A run given twice gets a number, and no run takes a tag's name."""
    assert run_labels([Path("/r/a"), Path("/r/a")]) == ["a", "a (2)"]
    assert run_labels([Path("/r/PP")], taken=["PP"]) == ["PP (2)"]
