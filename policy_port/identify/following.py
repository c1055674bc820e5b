"""Whether a joint does what its commands ask: stuck, led and stopped ones are named, and commands that were clipped."""

from __future__ import annotations

from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import EvidenceError
from policy_port.identify.recording import Recording

MOVES = 0.05
"""A joint whose commands span less is not moved [rad]."""
STILL = 0.004
"""Readings that span less stand still [rad]: two and a half steps of an STS3215."""
SLOW = 0.4
"""Time over which commands are averaged before that [s]."""
HELD, LONGER = (0.7, 0.24), (3.0, 0.18)
"""How long a joint stands still [s], and by how much its commands go on meanwhile [rad], before that counts: a real
SO101's friction and dead band keep it where it is for 3 s on 0.13 rad."""
BEYOND = 0.12
"""Commands that go on by so much while a joint stands still are not followed [rad]."""
LED = 0.2
"""A joint whose command stands still is not moved so far by the others [rad]: a real arm's by 0.08, hidden by 0.04."""
LATEST = 0.4
"""Longest lag of a motion behind its commands [s]."""
FOLLOWS, LARGE = 0.5, 0.2
"""Least correlation of a joint with its own commands, where they span so much [rad] that no dead band hides them."""
KINK, BUMP, ROUND = 0.5, 0.012, 0.5
"""Commands that come to their end and leave it at a rate that kept so much of itself before were cut off if
the joint goes so much further [rad] and comes back, what it turns in so much of its lag left aside."""


def check_following(item: Recording, joint: int) -> None:
    """Refuse a joint that does not do what its commands ask.

    Raises:
        EvidenceError: Naming recording, joint, and what is wrong.
    """
    measured, command, name = item.measured[:, joint], item.command[:, joint], item.joint_names[joint]
    moved, later = np.ptp(command), measured[round(1.0 / item.period) :]
    if moved < MOVES:
        if later.size and np.ptp(later) > LED:
            raise EvidenceError(
                f"{item.name}: joint {name} moves by {np.ptp(later):.3g} rad while its commands stand still: the "
                "column of commands is another's or was never written, or a hand led the arm. Record the commands "
                "that were sent"
            )
        return
    if moved > 2.0 * BEYOND and np.ptp(measured) < 0.05 * moved:
        raise EvidenceError(
            f"{item.name}: joint {name} is stuck: its commands span {moved:.3g} rad, its readings "
            f"{np.ptp(measured):.2g} rad. Free it, or see to its encoder, and record again"
        )
    # What a servo's friction lets it follow at all: quick jumps to and fro leave it where it is.
    half = max(1, round(SLOW / item.period / 2.0))
    late = round(0.75 * LATEST / item.period)
    slow: Any = np.convolve(
        np.pad(command, (half + late, half), mode="edge"), np.ones(2 * half + 1) / (2 * half + 1), "valid"
    )
    for held, beyond in (HELD, LONGER):
        _check_still(item, joint, slow, (max(3, round(held / item.period)), beyond))
    _check_clipped(item, joint)


def _check_still(item: Recording, joint: int, slow: Array, wanted: tuple[int, float]) -> None:
    """Refuse a joint that stands still for so many rows while its commands, averaged, go on by so much [rad]."""
    (window, beyond), measured, name = wanted, item.measured[:, joint], item.joint_names[joint]
    starts = np.arange(0, len(measured) - window, max(1, window // 4))
    if not len(starts):
        return
    rows = starts[:, None] + np.arange(window)
    still = np.ptp(measured[rows], axis=1) <= STILL
    places, asked, ends = np.median(measured[rows], axis=1), slow[rows], (measured.min(), measured.max())
    for end in ends:
        # Where a joint comes to rest at one place whatever it is told, something stops it there.
        there = still & (np.abs(places - end) < 3.0 * STILL)
        if there.any() and np.ptp(asked[there]) > 2.0 * BEYOND:
            raise EvidenceError(
                f"{item.name}: joint {name} stops at {end:.3g} rad while its commands go from {asked[there].min():.3g} "
                f"to {asked[there].max():.3g} rad: what reached it was clipped by a limit, or it is held by a stop or "
                "an object. Record the commands that were sent (target_sent, not target), or stay within the limits"
            )
    stuck = still & ((np.ptp(asked, axis=1) > beyond) | (np.abs(asked - places[:, None]).min(axis=1) > 3.0 * BEYOND))
    if stuck.any():
        first = int(np.argmax(stuck))
        began, ended = item.time[starts[first]], item.time[starts[first] + window]
        raise EvidenceError(
            f"{item.name}: joint {name} is stuck at {places[first]:.3g} rad from {began:.2f} to {ended:.2f} s, while "
            f"its commands go from {asked[first].min():.3g} to {asked[first].max():.3g} rad. Free it, or see to its "
            "encoder; cut the recording there, or record again"
        )


def _check_clipped(item: Recording, joint: int) -> None:
    """Refuse commands that were cut off in the file: the arm was sent more, and went there."""
    measured, command, name = item.measured[:, joint], item.command[:, joint], item.joint_names[joint]
    low, high = command.min(), command.max()
    # At the start a joint may still be on its way from where earlier commands had led it.
    later = measured[round(2.0 * LATEST / item.period) :]
    over = max(later.max(initial=-np.inf) - high, low - later.min(initial=np.inf))
    flat = max(np.mean(command == high), np.mean(command == low))
    if over > BEYOND and flat > 0.1 and np.corrcoef(measured, command)[0, 1] > FOLLOWS:
        raise EvidenceError(
            f"{item.name}: joint {name} moves {over:.3g} rad beyond all its commands, which stand at their end for "
            f"{flat:.0%} of the rows: the file's commands were clipped, and the arm was sent others. Record the "
            "commands that were sent"
        )
    bumps = [bump for sign in (1.0, -1.0) for bump in _bumps(sign * command, sign * measured, item.period)]
    if len(bumps) > 1 and min(sorted(bumps)[-2:]) > BUMP:
        raise EvidenceError(
            f"{item.name}: joint {name} goes on by {max(bumps):.3g} rad and comes back while its commands stand at "
            f"their end, which they reach without slowing down: the file's commands were clipped, and the arm was "
            "sent others. Record the commands that were sent"
        )


def _bumps(command: Array, measured: Array, period: float) -> list[float]:
    """How far a joint goes on beyond where its lag explains it [rad], at each stretch at the upper end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], command == command.max(), [False]]).astype(np.int64)))
    found, lag = list[float](), _lag(command, measured, round(LATEST / period))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if begin < 3 or end + 3 > len(command) or end - begin < 3 or end + lag >= len(measured):
            continue
        # Cut off on both sides: at a rate that the rows before, and after, had too. A jump is none, nor a soft landing.
        rates = np.diff(np.stack([command[begin - 3 : begin + 1], command[end - 1 : end + 3][::-1]]), axis=1)
        before, last = rates[:, :2], rates[:, 2]
        if (before.min(axis=1) < KINK * before.max(axis=1)).any() or (last > before.max(axis=1) / KINK).any():
            continue
        part = measured[begin + lag : end + lag]
        # A joint that comes to rest is rounder than its commands, by what it would turn in a part of its lag.
        found.append(float(part.max() - max(part[0], part[-1]) - ROUND * before.max() * lag))
    return found


def _lag(command: Array, measured: Array, most: int) -> int:
    """Rows after which readings follow commands best."""
    count = len(command)
    with np.errstate(invalid="ignore"):
        # A joint that stands still goes with nothing.
        found = [np.corrcoef(command[: count - lag], measured[lag:])[0, 1] for lag in range(most)]
    return int(np.nan_to_num(found, nan=-1.0).argmax())
