"""What a robot did: commands and measurements of one recording, in the robot file's joints and radians."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import RobotMapping
from policy_port.errors import EvidenceError, closest


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording: a file, a motion's folder, or an episode of a dataset. Never is one split further."""

    name: str
    """What it is called: its file, with the episode where a file holds several."""
    files: tuple[Path, ...]
    """What it was read from."""
    joint_names: tuple[str, ...]
    """Joints of the columns below."""
    time: Array
    """When each row was measured [s], shape (rows,), from 0."""
    measured: Array
    """Positions that were read [rad], shape (rows, joints)."""
    sent: Array
    """When each command was sent [s], shape (rows,), on the clock of `time`."""
    command: Array
    """Positions that were commanded [rad], shape (rows, joints); held until the next."""
    robot: str | None = None
    """The robot that the file says it is of."""
    arm: str | None = None
    """SHA-256 of the calibration under which an arm's trace was recorded: two arms of one model have two."""

    @property
    def period(self) -> float:
        """Usual time between two rows [s]."""
        return float(np.median(np.diff(self.time)))

    def in_robot(self, joints: tuple[str, ...], mapping: RobotMapping | None) -> Recording:
        """The recording in a robot file's joints and radians.

        Args:
            joints: The robot file's joints, in its order.
            mapping: From the robot file's joints (source) to the recording's names and units (target); None where
                names and units are the robot file's already.

        Raises:
            EvidenceError: When a joint is on one side only.
        """
        pairs = {name: name for name in joints} if mapping is None else dict(mapping.pairs)
        known = f"Its joints are: {', '.join(self.joint_names)}"
        lost = [name for name in joints if name not in pairs]
        if lost:
            raise EvidenceError(
                f"{self.name}: the mapping has no joint '{lost[0]}' of the robot file on its source side; it has: "
                f"{', '.join(pairs)}"
            )
        columns: list[int] = []
        for joint in joints:
            if pairs[joint] not in self.joint_names:
                hint = closest(pairs[joint], self.joint_names)
                raise EvidenceError(
                    f"{self.name}: has no joint '{pairs[joint]}'{hint or ', so it is of another robot.'} {known}. Name "
                    "the robot file's counterparts with --mapping FILE"
                )
            columns.append(self.joint_names.index(pairs[joint]))
        over = [name for index, name in enumerate(self.joint_names) if index not in columns]
        if over:
            raise EvidenceError(
                f"{self.name}: has joint '{over[0]}', which the robot file has not; it has: {', '.join(joints)}. It "
                "is another robot's, or needs --mapping FILE"
            )
        slope, offset = np.ones(len(joints)), np.zeros(len(joints))
        if mapping is not None:
            conversions = [mapping.conversion(joint) for joint in joints]
            slope = np.array([item.slope for item in conversions])
            offset = np.array([item.offset for item in conversions])
        return replace(
            self,
            joint_names=joints,
            measured=(self.measured[:, columns] - offset) / slope,
            command=(self.command[:, columns] - offset) / slope,
        )


def make_recording(
    name: str,
    files: tuple[Path, ...],
    joint_names: tuple[str, ...],
    rows: tuple[Array, Array, Array, Array],
    robot: str | None = None,
) -> Recording:
    """Build a recording from a file's numbers, refusing what is none.

    Args:
        name: What it is called.
        files: What it was read from.
        joint_names: Joints of the columns.
        rows: time [s], measured, sent [s], command, as in `Recording`; the clock may start anywhere.
        robot: The robot that the file names.

    Raises:
        EvidenceError: When shapes differ, a number is not finite, or time does not move on, naming the row.
    """
    time, measured, sent, command = (np.asarray(item, np.float64) for item in rows)
    count = len(joint_names)
    for what, array in (("measured positions", measured), ("commands", command)):
        if array.shape != (len(time), count):
            raise EvidenceError(
                f"{name}: {what} have shape {array.shape}; {len(time)} rows of {count} joints, "
                f"{', '.join(joint_names)}, are {(len(time), count)}"
            )
    if len(time) < 20:
        raise EvidenceError(f"{name}: has {len(time)} rows; at least 20 are needed to predict anything")
    for what, array in (("measured positions", measured), ("commands", command)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            row, column = bad[0]
            raise EvidenceError(
                f"{name}: {what} of {joint_names[column]} are {array[row, column]} in row {row} ({len(bad)} such); cut "
                "the recording there"
            )
    for what, clock in (("measurements", time), ("commands", sent)):
        _check_clock(name, what, clock)
    start = time[0]
    return Recording(
        name=name,
        files=files,
        joint_names=joint_names,
        time=time - start,
        measured=measured,
        sent=sent - start,
        command=command,
        robot=robot,
    )


SLOWEST, QUICKEST = 0.3, 4e-4
"""Longest and shortest usual time between two rows that is taken for one in seconds [s]."""


def _check_clock(name: str, what: str, clock: NDArray[np.float64]) -> None:
    steps = np.diff(clock)
    if not np.isfinite(clock).all() or (steps <= 0.0).any():
        row = int(np.argmax(~(steps > 0.0))) + 1
        raise EvidenceError(
            f"{name}: the time stamp of {what} goes from {clock[row - 1]:.6g} to {clock[row]:.6g} s in row {row}: time "
            "has to move on. Two recordings in one file, or rows that were exchanged: write each recording into a "
            "file of its own"
        )
    period = float(np.median(steps))
    if not QUICKEST <= period <= SLOWEST:
        raise EvidenceError(
            f"{name}: rows of {what} are {period:.3g} s apart: their time stamps are in "
            f"{'milliseconds or microseconds' if period > SLOWEST else 'another unit'}, not in seconds, or the rate is "
            "another. Write them in seconds, or state the true rate"
        )
    gap = int(np.argmax(steps))
    if steps[gap] > max(10.0 * period, 0.5):
        raise EvidenceError(
            f"{name}: the time stamp of {what} jumps by {steps[gap]:.4g} s at row {gap + 1}, {steps[gap] / period:.0f} "
            "periods: rows are missing, or the clock was set meanwhile. Cut the recording there"
        )
