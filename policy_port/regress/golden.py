"""Golden courses: the same episodes must take the same course, as far as the simulator repeats itself.

How far that is, is measured when the baseline is written. The case runs once more in another process, and once with
its actions shaken by the size of a rounding error, as another release of torch or ONNX Runtime would. Contacts make
such a difference grow, so a course is compared only while the shaken run stayed close to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.regress.player import Played
from policy_port.regress.suite import Golden
from policy_port.regress.verdict import Found

CLOSE = 0.25
"""Share of the tolerance within which a shaken run still counts as following the course: one shaken run is a sample
of many, another may stray further."""

Arrays = dict[str, NDArray[Any]]


def course(played: Played) -> NDArray[np.float64]:
    """Positions of joints and base, shape (steps, joints or joints + 3)."""
    parts = [played.arrays[name] for name in ("joint_pos", "base_pos") if name in played.arrays]
    return np.concatenate(parts, axis=1).astype(np.float64)


def agreement(a: NDArray[np.float64], b: NDArray[np.float64], tolerance: float) -> int:
    """Steps from the start for which two courses stay within `tolerance` of each other."""
    steps = min(len(a), len(b))
    away = (np.abs(a[:steps] - b[:steps]) > tolerance).any(axis=1)
    return int(np.argmax(away)) if away.any() else steps


def measure(
    first: list[NDArray[np.float64]], again: list[NDArray[np.float64]], shaken: list[NDArray[np.float64]], how: Golden
) -> tuple[dict[str, Any], Arrays]:
    """What a baseline keeps: how far each course can be held against another, and the course every few steps.

    Args:
        first: Courses of the run that becomes the baseline.
        again: The same, run again in another process.
        shaken: The same with shaken actions.
        how: The expectation.
    """
    repeats = [agreement(a, b, 0.0) for a, b in zip(first, again, strict=True)]
    close = [agreement(a, b, CLOSE * how.tolerance) for a, b in zip(first, again, strict=True)]
    rough = [agreement(a, b, CLOSE * how.tolerance) for a, b in zip(first, shaken, strict=True)]
    about = {
        "steps": [len(a) for a in first],
        "repeats_bitwise": repeats,
        "horizon": [min(pair) for pair in zip(close, rough, strict=True)],
        "every": how.every,
    }
    return about, {f"course_{n}": a[:: how.every].astype(np.float32) for n, a in enumerate(first)}


def judge(
    played: list[Played],
    joint_names: tuple[str, ...],
    about: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    how: Golden,
    elsewhere: str,
) -> Found:
    """Hold new courses against the stored ones.

    Args:
        played: The episodes, played again.
        joint_names: The simulator's joints.
        about: The baseline's `golden`.
        arrays: The baseline's arrays.
        how: The expectation.
        elsewhere: What about the simulator or machine is not as it was; a course that differs then proves nothing.
    """
    if not any(about["horizon"]):
        return Found("golden", "inconclusive", "the simulator does not repeat even one step of its own course")
    if list(joint_names) != about["joint_names"]:
        return Found("golden", "regression", f"the simulator's joints are {', '.join(joint_names)}")
    names = [*joint_names, "base x", "base y", "base z"]
    compared, largest = 0, 0.0
    for number, episode in enumerate(played[: len(about["horizon"])]):
        horizon, every = about["horizon"][number], about["every"]
        now, old = course(episode)[::every], arrays[f"course_{number}"]
        rows = -(-horizon // every)
        if len(now) < min(rows, len(old)):
            text = f"episode of seed {episode.seed} ends after {len(course(episode))} of {about['steps'][number]} steps"
            return _different(text, elsewhere, {})
        away = np.abs(now[:rows] - old[:rows])
        compared += horizon
        largest = max(largest, float(away.max(initial=0.0)))
        if largest > how.tolerance:
            row = int(np.argmax((away > how.tolerance).any(axis=1)))
            column = int(away[row].argmax())
            text = (
                f"the course of seed {episode.seed} leaves the stored one at step {row * every} of {horizon}: "
                f"{names[column]} is {now[row, column]:.4f}, stored {old[row, column]:.4f}"
            )
            return _different(text, elsewhere, {"largest_difference": largest})
    whole = sum(about["steps"])
    text = f"{compared} of {whole} steps follow the stored course within {largest:.1e} (allowed {how.tolerance:g})"
    return Found("golden", "pass", text, {"largest_difference": largest, "steps": compared})


def _different(text: str, elsewhere: str, numbers: dict[str, float]) -> Found:
    if elsewhere:
        return Found("golden", "inconclusive", f"{text}, but {elsewhere}, so this says nothing of the policy", numbers)
    return Found("golden", "regression", text, numbers)
