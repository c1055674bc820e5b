"""How many recordings with one thing wrong `policy-port identify` refuses, of real arms and of emulated ones.

    python benchmarks/identify_wrong.py ../shared    # the folder with so101_real_sage, so100_real and real_policies

A mistake is made in each recording by itself, and of each joint where it is of a joint. Of joints only those count
whose commands span 0.1 rad in that recording: a joint that isn't moved can't be seen to stand still, or to be turned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import identify as arms
import numpy as np

from policy_port.arrays import Array
from policy_port.contract import load_mapping
from policy_port.errors import EvidenceError
from policy_port.identify.checks import check_recordings
from policy_port.identify.files import Unstated, read_recordings
from policy_port.identify.recording import Recording, make_recording
from policy_port.identify.session import make_predictor
from policy_port.identify.setups import finite, fitted_setup, stock_setup
from policy_port.robot_models.find import find_robot

MOVED = 0.1
"""Span of a joint's commands from which on its mistakes count [rad]."""
Mistake = Callable[[Recording], Recording]
NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def changed(by: Callable[[Array], Any], joint: int, what: str) -> Mistake:
    """Another number in a joint's column of readings ("m"), commands ("c") or both."""

    def mistake(item: Recording) -> Recording:
        found = {"measured": item.measured.copy(), "command": item.command.copy()}
        for key in found:
            if key[0] in what:
                found[key][:, joint] = by(found[key][:, joint])
        return replace(item, **found)

    return mistake


def columns(order: list[int], what: str) -> Mistake:
    """Columns in another order."""
    return lambda item: replace(
        item, **{key: getattr(item, key)[:, order] for key in ("measured", "command") if key[0] in what}
    )


def rows(take: Callable[[int], Any], stretch: float = 1.0, shift: float = 0.0) -> Mistake:
    """Other rows, or clocks."""

    def mistake(item: Recording) -> Recording:
        chosen = take(len(item.time))
        clock = stretch * item.time[chosen]
        sent = stretch * item.sent[chosen] + shift
        measured, command = item.measured[chosen], item.command[chosen]
        return make_recording(item.name, item.files, item.joint_names, (clock, measured, sent, command))

    return mistake


def stale(times: int) -> Mistake:
    """Each reading stands in so many rows."""
    return lambda item: replace(item, measured=item.measured[np.arange(len(item.time)) // times * times])


def every(number: int) -> Any:
    """All rows."""
    return np.arange(number)


def cut_off(values: Array) -> Array:
    """Commands clipped to the middle three fifths of their span."""
    return np.clip(values, *(values.min() + np.ptp(values) * np.array([0.2, 0.8])))


def half_way(values: Array) -> Array:
    """Readings that stand still from the middle on."""
    return np.where(np.arange(len(values)) < len(values) // 2, values, values[len(values) // 2])


def mistakes() -> dict[str, list[tuple[tuple[int, ...], Mistake]]]:
    """By what is wrong: the joints concerned, none for all, and the mistake."""
    joints = range(6)
    of_joints: dict[str, tuple[Callable[[Array], Any], str]] = {
        "one joint in degrees": (np.rad2deg, "mc"),
        "one joint's readings in degrees": (np.rad2deg, "m"),
        "one joint's commands in degrees": (np.rad2deg, "c"),
        "one joint's sign of readings": (np.negative, "m"),
        "one joint's sign of both": (np.negative, "mc"),
        "one joint's readings stand still": (lambda x: 0.0 * x + x[0], "m"),
        "one joint's readings stand still from the middle on": (half_way, "m"),
        "one joint's commands stand still": (lambda x: 0.0 * x + x[0], "c"),
        "one joint's commands clipped to the middle three fifths of their span": (cut_off, "c"),
    }
    found: dict[str, list[tuple[tuple[int, ...], Mistake]]] = {
        what: [((joint,), changed(by, joint, columns)) for joint in joints] for what, (by, columns) in of_joints.items()
    }
    whole: dict[str, Mistake] = {
        "time stamps in milliseconds": rows(every, 1e3),
        "a thousandth of the time stamps": rows(every, 1e-3),
        "twice the rate": rows(every, 0.5),
        "half of the rate": rows(every, 2.0),
        "commands 0.3 s late": rows(every, shift=0.3),
        "commands 0.5 s early": rows(every, shift=-0.5),
        "cut to 0.6 s": lambda item: rows(lambda _: np.arange(int(0.6 / item.period)))(item),
        "rows twice": rows(lambda number: np.arange(number).repeat(2)),
        "readings of every second row": stale(2),
        "readings of every third row": stale(3),
        "commands and readings exchanged": lambda item: replace(item, measured=item.command, command=item.measured),
        "clock of commands 3 % off": lambda item: replace(item, sent=1.03 * item.sent),
    }
    found |= {what: [((), mistake)] for what, mistake in whole.items()}
    for what, label in (("m", "readings"), ("mc", "both")):
        found[f"two joints exchanged in {label}"] = []
        for one, other in ((0, 4), (1, 2), (2, 3), (3, 4)):
            order = list(joints)
            order[one], order[other] = other, one
            found[f"two joints exchanged in {label}"].append(((one, other), columns(order, what)))
    return found


def groups(shared: Path) -> Iterator[tuple[str, list[Recording], Array]]:
    """Recordings in their robots' joints, and these robots' limits."""
    robot = next((shared / "real_policies" / "robots" / "so101").rglob("so101_new_calib.xml"))
    predictor = make_predictor("mujoco", robot, stock_setup(robot, None, None), None)
    read = read_recordings([shared / "so101_real_sage"], Unstated())
    mapping = load_mapping("so101_to_sage")
    yield "SAGE", [item.in_robot(predictor.joint_names, mapping) for item in read], finite(predictor.limits)
    so100 = find_robot("so100")
    predictor = make_predictor("mujoco", so100, fitted_setup(so100, arms.stock()), None)
    read = read_recordings([shared / "so100_real" / "recording.npz"], Unstated(rate=30.0, joints=NAMES))
    mapping = load_mapping(str(Path(__file__).with_name("identify_so100.yaml")))
    yield "SO100", [item.in_robot(predictor.joint_names, mapping) for item in read], finite(predictor.limits)
    made = [arms.record("mujoco", arms.hidden(seed), kind, seed) for seed in (50, 51) for kind in range(6)]
    yield "emulated", [item.in_robot(predictor.joint_names, None) for item in made], finite(predictor.limits)


def refused(item: Recording, mistake: Mistake, limits: Array) -> bool:
    """Whether a mistake in a recording is named."""
    try:
        check_recordings([mistake(item)], limits)
    except EvidenceError:
        return True
    return False


def main() -> None:
    """Print the table."""
    for label, items, limits in groups(Path(sys.argv[1])):
        right = sum(refused(item, lambda same: same, limits) for item in items)
        print(f"{label}: {len(items)} recordings, of which {right} are refused as they are", flush=True)
        for what, made in mistakes().items():
            told = [
                refused(item, mistake, limits)
                for joints, mistake in made
                for item in items
                if all(np.ptp(item.command[:, joint]) >= MOVED for joint in joints)
            ]
            print(f"  {what}: {sum(told)} of {len(told)}", flush=True)


if __name__ == "__main__":
    main()
