"""Data that would be fitted without complaint and are wrong: each is named, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import EvidenceError
from policy_port.identify.errors_left import quantisation
from policy_port.identify.following import FOLLOWS, LARGE, LATEST, MOVES, STILL, check_following
from policy_port.identify.recording import Recording

MARGIN = 0.35
"""How far a reading may be beyond the robot file's limits [rad]: an offset, and a stop that gives."""
FASTEST = 15.0
"""No joint of a desk's arm turns so fast [rad/s]."""
SHORTEST = 1.0
"""A recording that lasts less predicts nothing, and none would be predicted further than the shortest lasts [s]."""
STALE = 0.2
"""Share of the rows in which an arm moves that may repeat the last reading."""
APART = 0.08
"""By how much the lags of one robot's recordings may differ [s]."""
UNIT = 0.03
"""How near the ratio of two encoders' steps is to a degree's radians where one of them was read in the other unit."""
COARSEST = 0.03
"""Largest step of an encoder [rad]."""
LIKE, EXPLAINS = 0.7, 0.5
"""Least correlation at which something else is named, and what share of the way to 1 it leaves at most."""


def check_recordings(recordings: Sequence[Recording], limits: Array, horizon: float = 0.5) -> None:
    """Refuse recordings that are not what they seem.

    Args:
        recordings: In the robot file's joints.
        limits: Lower and upper position limit of each joint [rad], shape (joints, 2).
        horizon: How far ahead they are to be predicted [s].

    Raises:
        EvidenceError: Naming recording, joint, and what is wrong.
    """
    _check_one_arm(recordings)
    for item in recordings:
        _check_length(item, horizon)
        _check_units(item, limits)
        _check_steps(item)
        _check_stale(item)
        _check_whole(item)
        for joint in range(len(item.joint_names)):
            check_following(item, joint)
    lags = {item.name: lag for item in recordings if (lag := _check_clocks(item, recordings)) is not None}
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


def _check_one_arm(recordings: Sequence[Recording]) -> None:
    """Refuse recordings of two arms, each of which has its own friction, play and zeros."""
    arms = {item.arm: item.name for item in recordings if item.arm is not None}
    if len(arms) > 1:
        (first, one), (second, other) = list(arms.items())[:2]
        raise EvidenceError(
            f"{other}: is of an arm with another calibration ({second[:12]}...) than {one} ({first[:12]}...): another "
            "arm, or this one calibrated anew, whose offsets are others. Identify each by itself"
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


def _check_steps(item: Recording) -> None:
    """Refuse a joint whose encoder's step is the others' in another unit: how far it moves need not show that."""
    steps = np.array([quantisation(column) for column in item.measured.T])
    for joint, step in enumerate(steps):
        others = np.delete(steps, joint)
        usual = float(np.median(others[others > 0.0])) if step > 0.0 and (others > 0.0).any() else 0.0
        # Of two that differ so, the one is wrong whose step no encoder has.
        for ratio, odd, read in (
            (np.rad2deg(1.0), step > COARSEST, "degrees"),
            (np.deg2rad(1.0), usual < COARSEST, "radians that were taken for degrees"),
        ):
            if usual > 0.0 and odd and abs(step / usual / ratio - 1.0) < UNIT:
                raise EvidenceError(
                    f"{item.name}: readings of {item.joint_names[joint]} come in steps of {step:.2g}, those of the "
                    f"other joints of {usual:.2g} rad: they are {read}. Mend its unit in the file that --mapping names"
                )


def _check_whole(item: Recording) -> None:
    """Refuse rows that were dropped and the rest written as if none was missing: a steady motion jumps there."""
    speed = np.diff(item.measured, axis=0) / np.diff(item.time)[:, None]
    before, jump, after = speed[:-2], speed[1:-1], speed[2:]
    least, most = np.minimum(np.abs(before), np.abs(after)), np.maximum(np.abs(before), np.abs(after))
    steady = (np.sign(before) == np.sign(after)) & (most < 1.5 * least) & (least * item.period > 3.0 * STILL)
    far = steady & (np.sign(jump) == np.sign(after)) & (np.abs(jump) > 2.5 * most)
    if far.any():
        row, joint = np.argwhere(far)[0]
        raise EvidenceError(
            f"{item.name}: {item.joint_names[joint]} turns at {before[row, joint]:.3g} rad/s, in row {row + 2} at "
            f"{jump[row, joint]:.3g} and after it at {after[row, joint]:.3g}: about "
            f"{round(float(jump[row, joint] / after[row, joint])) - 1} rows are missing there, and time stamps don't "
            "say so. Write each row with the time at which it was read, or cut the recording there"
        )


def _check_clocks(item: Recording, others: Sequence[Recording] = ()) -> float | None:
    """The recording's lag, after looking at its beginning and end: a clock that runs faster shows between them."""
    whole, part, halves = _check_lag(item, others), len(item.time) * 3 // 5, []
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
            stroke = degrees == name and span[0] >= -1.0 and span[1] <= 101.0
            raise EvidenceError(
                f"{said}, {file}: they are in {'percent of its stroke, or in ' if stroke else ''}degrees. Give the "
                f"unit with --mapping FILE (unit: {'percent with its scale, or ' if stroke else ''}deg for {degrees})"
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


def _check_lag(item: Recording, others: Sequence[Recording] = ()) -> float | None:
    """The recording's lag [s]; None where nothing moves enough to tell."""
    found: list[float] = []
    step, (command, measured) = item.period, _on_grid(item, item)
    reach = round((LATEST + 0.6) / step)
    for joint, name in enumerate(item.joint_names):
        if np.ptp(item.command[:, joint]) < LARGE or len(command) < 4 * reach:
            continue
        scores = _scores(command[:, joint], measured[:, joint], reach)
        best = int(scores.argmax()) - reach
        near = scores[reach : reach + 1 + round(LATEST / step)]
        if scores.max() < FOLLOWS or -near.min() > scores.max():
            why = _explained(item, joint, others, float(near.max())) or (
                "the columns are of different joints, a sign is wrong, or the joint is stuck"
            )
            raise EvidenceError(
                f"{item.name}: {name} does not follow its commands (correlation {near.max():.2f} at best): {why}. "
                "State names and signs with --mapping FILE, and record the positions that were commanded and read"
            )
        sharp = scores.max() - scores[0] > 0.05 and scores.max() - scores[-1] > 0.05
        if not sharp:
            continue
        if best * step < -2.0 * step or best * step > LATEST:
            how = "before" if best < 0 else "after"
            why = "the time stamps of commands and readings are shifted against each other"
            if -LATEST < best * step < 0.0:
                why = f"commands and readings are exchanged, or {why}"
            why = _explained(item, joint, others, float(scores.max())) or why
            raise EvidenceError(
                f"{item.name}: {name} moves {abs(best) * step * 1e3:.0f} ms {how} its commands: {why}. Mend that, or "
                "record both on one clock"
            )
        found.append(best * step)
    return float(np.median(found)) if found else None


def _on_grid(told: Recording, read: Recording) -> tuple[Array, Array]:
    """Commands of one recording and readings of another at the same times, a period apart, shape (rows, joints)."""
    grid = np.arange(read.time[0], min(read.time[-1], told.time[-1]), read.period)
    held = np.searchsorted(told.sent, grid, side="right").clip(1) - 1
    return told.command[held], np.stack([np.interp(grid, read.time, column) for column in read.measured.T], axis=1)


def _scores(command: Array, measured: Array, reach: int) -> Array:
    """Correlation of readings with commands that were sent `reach` rows later to `reach` rows earlier."""
    middle = command[reach:-reach] - command[reach:-reach].mean()
    count = len(command)
    return np.array(
        [_correlation(middle, measured[reach + lag : count - reach + lag]) for lag in range(-reach, reach + 1)]
    )


def _explained(item: Recording, joint: int, others: Sequence[Recording], usual: float) -> str | None:
    """What a joint would follow clearly better than its commands (correlation `usual`), in words; None if nothing."""
    (command, measured), name = _on_grid(item, item), item.joint_names[joint]
    told, read = command[:, joint], measured[:, joint]
    late, reach = round(LATEST / item.period), round((LATEST + 0.6) / item.period)
    count = np.arange(len(read))
    path = np.cumsum(read - read.mean())
    path -= np.polyval(np.polyfit(count, path, 1), count)
    tried = {
        f"the sign of {name} is wrong in readings or commands": (told, -read),
        f"what was read of {name} are velocities, not positions": (told, path),
    }
    for other, label in enumerate(item.joint_names):
        if other != joint:
            tried[f"columns of {name} and {label} are exchanged in readings or commands"] = told, measured[:, other]
    for one in others:
        if one is not item and len(one.time) >= 4 * reach:
            foreign, mine = _on_grid(one, item)
            tried[f"its readings follow the commands of {one.name}"] = foreign[:, joint], mine[:, joint]
    score = {
        what: float(_scores(pair[0], pair[1], reach)[reach : reach + 1 + late].max())
        for what, pair in tried.items()
        if len(pair[0]) >= 4 * reach and np.ptp(pair[0]) > 0.0
    }
    best = max(score, key=lambda what: score[what])
    return best if score[best] > max(LIKE, 1.0 - EXPLAINS * (1.0 - usual)) else None


def _correlation(centred: Array, other: Array) -> float:
    there = other - other.mean()
    power = float(np.sqrt((centred**2).sum() * (there**2).sum()))
    return 0.0 if power == 0.0 else float((centred * there).sum()) / power
