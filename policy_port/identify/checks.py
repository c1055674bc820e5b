"""Data that would be fitted without complaint and are wrong: each is named, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
HELD = 0.7
"""How long a joint stands still before that counts [s]."""
BEYOND = 0.12
"""Commands that go on by so much while a joint stands still are not followed [rad]."""
MARGIN = 0.35
"""How far a reading may be beyond the robot file's limits [rad]: an offset, and a stop that gives."""
FASTEST = 15.0
"""No joint of a desk's arm turns so fast [rad/s]."""
SHORTEST = 1.0
"""A recording that lasts less predicts nothing, and none would be predicted further than the shortest lasts [s]."""
STALE = 0.2
"""Share of the rows in which an arm moves that may repeat the last reading."""
LED = 0.3
"""A joint whose command stands still is not moved so far by the others [rad]."""
LATEST = 0.4
"""Longest lag of a motion behind its commands [s]."""
APART = 0.08
"""By how much the lags of one robot's recordings may differ [s]."""
FOLLOWS, LARGE = 0.5, 0.2
"""Least correlation of a joint with its own commands, where they span so much [rad] that no dead band hides them."""


def check_recordings(recordings: Sequence[Recording], limits: Array, horizon: float = 0.5) -> None:
    """Refuse recordings that are not what they seem.

    Args:
        recordings: In the robot file's joints.
        limits: Lower and upper position limit of each joint [rad], shape (joints, 2).
        horizon: How far ahead they are to be predicted [s].

    Raises:
        EvidenceError: Naming recording, joint, and what is wrong.
    """
    for item in recordings:
        _check_length(item, horizon)
        _check_units(item, limits)
        _check_stale(item)
        for joint in range(len(item.joint_names)):
            _check_following(item, joint)
    lags = {item.name: lag for item in recordings if (lag := _check_clocks(item)) is not None}
    if len(lags) > 1:
        usual = float(np.median(list(lags.values())))
        name = max(lags, key=lambda one: abs(lags[one] - usual))
        if len(lags) == 2:
            usual = next(lag for one, lag in lags.items() if one != name)
        if abs(lags[name] - usual) > APART * (1.5 if len(lags) == 2 else 1.0):
            raise EvidenceError(
                f"{name}: motion follows commands after {lags[name] * 1e3:.0f} ms, in the other recordings after "
                f"{usual * 1e3:.0f} ms: its time stamps are shifted, or it is another robot's. Leave it out, or mend "
                "its time stamps"
            )
    if not any((np.ptp(item.command, axis=0) > MOVES).any() for item in recordings):
        raise EvidenceError(
            f"{recordings[0].name}: no command moves a joint by {MOVES} rad, here or in another recording, so they "
            "tell nothing of the dynamics. Or they are in another unit than --mapping says"
        )


def _check_length(item: Recording, horizon: float) -> None:
    least = max(SHORTEST, horizon + 8.0 * item.period)
    if item.time[-1] < least:
        raise EvidenceError(
            f"{item.name}: lasts {item.time[-1]:.3g} s, and {least:.3g} s are needed to predict {horizon:g} s ahead. "
            f"Leave it out{', or look less far ahead with --horizon' if item.time[-1] > SHORTEST else ''}"
        )


def _check_stale(item: Recording) -> None:
    """Refuse readings that are older than their rows: each is repeated until the next comes."""
    moves = np.abs(np.diff(item.measured, axis=0)).max(axis=1)
    # A row that repeats the last while the arm moves shortly before and after, not one at which it rests.
    near = np.lib.stride_tricks.sliding_window_view(moves, 3).max(axis=1)
    moving = np.minimum(near[:-4], near[4:]) > 3.0 * STILL
    repeated = moving & (moves[3:-3] == 0.0)
    if moving.sum() > 20 and repeated.mean(where=moving) > STALE:
        raise EvidenceError(
            f"{item.name}: {repeated.sum()} rows repeat the last row's readings while the arm moves: readings come "
            "less often than rows, so many are older than they say, or rows were doubled. Write each reading once, "
            "with its own time stamp"
        )


def _check_clocks(item: Recording) -> float | None:
    """The recording's lag, after looking at its beginning and end: a clock that runs faster shows between them."""
    whole, part, halves = _check_lag(item), len(item.time) * 3 // 5, []
    for rows in (slice(None, part), slice(-part, None)):
        cut = {key: getattr(item, key)[rows] for key in ("time", "measured", "sent", "command")}
        try:
            halves.append(_check_lag(replace(item, **cut)))
        except EvidenceError:
            # The whole is right, and this part moves too little to tell.
            halves.append(None)
    if halves[0] is not None and halves[1] is not None and abs(halves[1] - halves[0]) > APART:
        raise EvidenceError(
            f"{item.name}: motion follows commands after {halves[0] * 1e3:.0f} ms early on, after "
            f"{halves[1] * 1e3:.0f} ms later: the clocks of commands and readings run apart, or were set "
            "meanwhile. Record both on one clock"
        )
    return whole


def _check_units(item: Recording, limits: Array) -> None:
    for what, values in (("readings", item.measured), ("commands", item.command)):
        beyond = np.maximum(limits[:, 0] - values.min(axis=0), values.max(axis=0) - limits[:, 1])
        worst = int(beyond.argmax())
        if beyond[worst] <= MARGIN:
            continue
        name, span = item.joint_names[worst], (values[:, worst].min(), values[:, worst].max())
        inside = np.maximum(
            limits[:, 0] - np.deg2rad(values.min(axis=0)), np.deg2rad(values.max(axis=0)) - limits[:, 1]
        )
        degrees = ", ".join(
            joint
            for joint, far, near in zip(item.joint_names, beyond, inside, strict=True)
            if far > MARGIN and near <= MARGIN
        )
        said = f"{item.name}: {what} of {name} go from {span[0]:.4g} to {span[1]:.4g}"
        file = f"the robot file's limits are {limits[worst, 0]:.3g} to {limits[worst, 1]:.3g} rad"
        if inside[worst] <= MARGIN and np.abs(values).max() > 2.0 * np.pi:
            raise EvidenceError(
                f"{said}, {file}: they are in degrees. Give the unit with --mapping FILE (unit: deg for {degrees})"
            )
        raise EvidenceError(
            f"{said}, {file}: it is another robot's recording, another joint's column, or has another zero or unit. "
            "State names, signs, zeros and units with --mapping FILE"
        )
    speed = np.abs(np.diff(item.measured, axis=0)) / np.diff(item.time)[:, None]
    row, joint = np.unravel_index(int(speed.argmax()), speed.shape)
    if speed[row, joint] > FASTEST:
        raise EvidenceError(
            f"{item.name}: {item.joint_names[joint]} turns at {speed[row, joint]:.3g} rad/s in row {row + 1}, which no "
            "such joint does: readings are in degrees, a row is damaged, or time stamps are in another unit. Cut the "
            "row out, or give the unit with --mapping FILE (unit: deg for each joint)"
        )


def _check_following(item: Recording, joint: int) -> None:
    """Refuse a joint that stands still while its commands move on: stuck, or stopped by a limit that is not on file."""
    measured, command, name = item.measured[:, joint], item.command[:, joint], item.joint_names[joint]
    moved, later = np.ptp(command), measured[round(SHORTEST / item.period) :]
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
    window = max(3, round(HELD / item.period))
    # What a servo's friction lets it follow at all: quick jumps to and fro leave it where it is.
    half = max(1, round(SLOW / item.period / 2.0))
    late = round(0.75 * LATEST / item.period)
    slow = np.convolve(
        np.pad(command, (half + late, half), mode="edge"), np.ones(2 * half + 1) / (2 * half + 1), "valid"
    )
    starts = np.arange(0, len(measured) - window, max(1, window // 4))
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
    stuck = still & (
        (np.ptp(asked, axis=1) > 2.0 * BEYOND) | (np.abs(asked - places[:, None]).min(axis=1) > 3.0 * BEYOND)
    )
    if stuck.any():
        first = int(np.argmax(stuck))
        began, ended = item.time[starts[first]], item.time[starts[first] + window]
        raise EvidenceError(
            f"{item.name}: joint {name} is stuck at {places[first]:.3g} rad from {began:.2f} to {ended:.2f} s, while "
            f"its commands go from {asked[first].min():.3g} to {asked[first].max():.3g} rad. Free it, or see to its "
            "encoder; cut the recording there, or record again"
        )
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


def _check_lag(item: Recording) -> float | None:
    """The recording's lag [s]; None where nothing moves enough to tell."""
    found: list[float] = []
    step = item.period
    grid = np.arange(item.time[0], item.time[-1], step)
    reach = round((LATEST + 0.6) / step)
    for joint, name in enumerate(item.joint_names):
        if np.ptp(item.command[:, joint]) < LARGE or len(grid) < 4 * reach:
            continue
        held = np.searchsorted(item.sent, grid, side="right").clip(1) - 1
        command, measured = item.command[held, joint], np.interp(grid, item.time, item.measured[:, joint])
        middle = command[reach:-reach] - command[reach:-reach].mean()
        scores = np.array(
            [_correlation(middle, measured[reach + lag : len(grid) - reach + lag]) for lag in range(-reach, reach + 1)]
        )
        best = int(scores.argmax()) - reach
        near = scores[reach : reach + 1 + round(LATEST / step)]
        if scores.max() < FOLLOWS or -near.min() > scores.max():
            raise EvidenceError(
                f"{item.name}: {name} does not follow its commands (correlation {near.max():.2f} at best): the "
                "columns are of different joints, a sign is wrong, or the joint is stuck. State names and signs with "
                "--mapping FILE"
            )
        sharp = scores.max() - scores[0] > 0.05 and scores.max() - scores[-1] > 0.05
        if not sharp:
            continue
        if best * step < -2.0 * step or best * step > LATEST:
            how = "before" if best < 0 else "after"
            raise EvidenceError(
                f"{item.name}: {name} moves {abs(best) * step * 1e3:.0f} ms {how} its commands: the time stamps of "
                "commands and readings are shifted against each other. Mend them, or record both on one clock"
            )
        found.append(best * step)
    return float(np.median(found)) if found else None


def _correlation(centred: Array, other: Array) -> float:
    there = other - other.mean()
    power = float(np.sqrt((centred**2).sum() * (there**2).sum()))
    return 0.0 if power == 0.0 else float((centred * there).sum()) / power
