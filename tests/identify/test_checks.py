"""Each wrong recording is named for what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.signal import savgol_filter

from policy_port.contract import RobotMapping
from policy_port.errors import DynamicsError, EvidenceError
from policy_port.identify.checks import check_recordings
from policy_port.identify.parameters import PRIORS, load_priors
from policy_port.identify.recording import Recording, make_recording
from policy_port.resources import assets_dir
from tests.identify.hidden_arm import JOINTS

LIMITS = np.array([[-2.0, 2.0], [-2.0, 2.0]])


def changed(item: Recording, column: int, values: np.ndarray) -> Recording:
    """The recording with other readings of a joint."""
    measured = item.measured.copy()
    measured[:, column] = values
    return replace(item, measured=measured)


def in_degrees(item: Recording) -> Recording:
    """Readings and commands in degrees."""
    return replace(item, measured=np.rad2deg(item.measured), command=np.rad2deg(item.command))


def readings_in_degrees(item: Recording) -> Recording:
    """Readings alone in degrees."""
    return replace(item, measured=np.rad2deg(item.measured))


def stuck(item: Recording) -> Recording:
    """The elbow stands still all the time."""
    return changed(item, 1, np.full(len(item.time), item.measured[0, 1]))


def stuck_later(item: Recording) -> Recording:
    """The elbow stops half way."""
    values = item.measured[:, 1].copy()
    values[200:] = np.median(values)
    return changed(item, 1, values)


def clipped_arm(item: Recording) -> Recording:
    """The arm stops at 0.2 rad; the file has the commands that were asked."""
    return replace(item, measured=np.clip(item.measured, -2.0, 0.1))


def clipped_commands(item: Recording) -> Recording:
    """The file's commands were clipped after they were sent."""
    return replace(item, command=np.clip(item.command, -0.15, 0.15))


def clipped_a_little(item: Recording) -> Recording:
    """The same of a slow motion, which is beyond its commands by 0.03 rad."""
    slow = 0.1 * np.sin(item.time[:, None] * [1.0, 1.3])
    return replace(item, measured=slow, command=np.clip(slow, -0.07, 0.07))


def stuck_for_long(item: Recording) -> Recording:
    """The elbow stands still for 4 s on commands that are small and slow."""
    slow = 0.11 * np.sin(item.time[:, None] * [1.0, 1.0])
    held = np.where(np.arange(len(item.time)) > 150, slow[150, 1], slow[:, 1])
    return changed(replace(item, measured=slow, command=slow), 1, held)


def led(item: Recording) -> Recording:
    """The elbow's commands were never written, and it moves by 0.24 rad."""
    elbow = item.measured[:, 1] * 0.24 / np.ptp(item.measured[50:, 1])
    return replace(changed(item, 1, elbow), command=item.command * [1.0, 0.0])


def early(item: Recording) -> Recording:
    """Readings are stamped 300 ms too early."""
    return replace(item, sent=item.sent + 0.3)


def late(item: Recording) -> Recording:
    """Readings are stamped 600 ms too late."""
    return replace(item, sent=item.sent - 0.6)


def exchanged(item: Recording) -> Recording:
    """Two joints' columns are exchanged."""
    return replace(item, measured=item.measured[:, ::-1].copy())


def turned(item: Recording) -> Recording:
    """A joint's sign is wrong."""
    return changed(item, 0, -item.measured[:, 0])


def elbow_in_degrees(item: Recording) -> Recording:
    """One joint in degrees, as a mapping makes it that states a unit for the others alone."""
    by = np.array([1.0, np.rad2deg(1.0)])
    return replace(item, measured=by * item.measured, command=by * item.command)


def confused(item: Recording) -> Recording:
    """Readings and commands are exchanged."""
    return replace(item, measured=item.command, command=item.measured)


def velocities(item: Recording) -> Recording:
    """Velocities stand where positions should."""
    return replace(item, measured=savgol_filter(item.measured, 15, 2, deriv=1, delta=item.period, axis=0))


def anothers(item: Recording) -> Recording:
    """Commands of a motion that nobody made."""
    phase = np.random.default_rng(9).uniform(0.0, 6.0, 2)
    return replace(item, command=0.4 * np.sin(2.3 * item.time[:, None] + phase))


def unstamped(item: Recording) -> Recording:
    """Five rows in a hundred are missing, and those left are stamped as if none was."""
    rows = np.flatnonzero(np.arange(len(item.time)) % 100 < 95)
    clock = item.time[: len(rows)]
    return replace(item, time=clock, sent=clock, measured=item.measured[rows], command=item.command[rows])


def finer(item: Recording) -> Recording:
    """The elbow's radians were taken for degrees; both joints' encoders have steps of 0.0015 rad."""
    by = np.array([1.0, np.deg2rad(1.0)])
    return replace(item, measured=by * np.round(item.measured / 0.0015) * 0.0015, command=by * item.command)


def percent(item: Recording) -> Recording:
    """The elbow in percent of its stroke, as LeRobot has grippers."""
    scale, zero = np.array([1.0, 50.0]), np.array([0.0, 50.0])
    return replace(item, measured=scale * item.measured + zero, command=scale * item.command + zero)


def stale(item: Recording) -> Recording:
    """Readings come every third row, and are repeated until then."""
    return replace(item, measured=item.measured[np.arange(len(item.time)) // 3 * 3])


def unwritten(item: Recording) -> Recording:
    """Commands of the elbow were never written."""
    return replace(item, command=item.command * [1.0, 0.0])


def drifting(item: Recording) -> Recording:
    """The clock of commands runs 3 % too slowly."""
    return replace(item, sent=item.sent * 0.97)


def short(item: Recording) -> Recording:
    """A recording of 0.9 s."""
    cut = {key: getattr(item, key)[:46] for key in ("time", "measured", "sent", "command")}
    return replace(item, **cut)


def shrunk(item: Recording) -> Recording:
    """Radians that were taken for degrees."""
    return replace(item, measured=np.deg2rad(item.measured), command=np.deg2rad(item.command))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (in_degrees, "in degrees"),
        (readings_in_degrees, "in degrees"),
        (stuck, "joint elbow is stuck"),
        (stuck_later, "joint elbow is stuck"),
        (clipped_arm, "clipped by a limit"),
        (clipped_commands, "commands were clipped"),
        (clipped_a_little, "goes on by 0.0.* rad and comes back .*commands were clipped"),
        (stuck_for_long, "joint elbow is stuck at .* from .* s, while its commands go from"),
        (led, "joint elbow moves by 0.24 rad while its commands stand still"),
        (early, "time stamps of commands and readings are shifted"),
        (late, "time stamps of commands and readings are shifted"),
        (exchanged, "columns of shoulder and elbow are exchanged"),
        (turned, "the sign of shoulder is wrong"),
        (velocities, "what was read of shoulder are velocities"),
        (anothers, "does not follow its commands"),
        (unstamped, r"about \d+ rows are missing there"),
        (finer, "elbow come in steps of 2.6e-05.* radians that were taken for degrees"),
        (shrunk, "no command moves a joint"),
        (elbow_in_degrees, r"unit: deg for elbow\)"),
        (percent, r"in percent of its stroke, or in degrees.*unit: percent with its scale, or deg for elbow\)"),
        (confused, "before its commands: commands and readings are exchanged, or the time stamps"),
        (stale, "repeat the last row's readings while the arm moves"),
        (unwritten, "joint elbow moves by .* while its commands stand still"),
        (drifting, "the clocks of commands and readings run apart"),
        (short, "lasts 0.9 s, and 1 s are needed"),
    ],
)
def test_a_wrong_recording_is_named(
    mistake: Callable[[Recording], Recording], said: str, recordings: list[Recording]
) -> None:
    """A recording with one thing wrong is refused for that thing."""
    check_recordings(recordings, LIMITS)
    # Sums of sines, on which a shift shows, and whose ends are commanded for long where they are clipped.
    with pytest.raises(EvidenceError, match=said):
        check_recordings([mistake(recordings[0])], LIMITS)


def test_two_arms_of_one_model_are_told_apart(recordings: list[Recording]) -> None:
    """By their calibrations: what is fitted to both is neither's. Who has none, as a dataset, may be any."""
    mine, other, *rest = recordings
    check_recordings([replace(mine, arm="a" * 64), replace(other, arm="a" * 64), *rest], LIMITS)
    with pytest.raises(EvidenceError, match=f"{other.name}: is of an arm with another calibration .b{{12}}.*by itself"):
        check_recordings([replace(mine, arm="a" * 64), replace(other, arm="b" * 64), *rest], LIMITS)


def test_one_recording_on_another_clock_is_named(recordings: list[Recording]) -> None:
    """A shift that could be a delay is told by the other recordings of the same arm."""
    shifted = replace(recordings[0], name="odd", sent=recordings[0].sent - 0.14)
    with pytest.raises(EvidenceError, match="odd.*its time stamps are shifted"):
        check_recordings([shifted, *recordings[1:]], LIMITS)
    with pytest.raises(EvidenceError, match="in the other recordings after"):
        check_recordings([shifted, replace(recordings[0], name="even")], LIMITS)


def test_commands_of_another_recording_are_named(recordings: list[Recording]) -> None:
    """A file whose commands are another's is told by which one's they are."""
    odd = replace(recordings[0], name="odd", command=recordings[2].command)
    with pytest.raises(EvidenceError, match="odd: .* its readings follow the commands of motion 0"):
        check_recordings([odd, *recordings], LIMITS)


def test_what_is_short_is_looked_less_far_ahead(recordings: list[Recording]) -> None:
    """A recording shorter than the horizon is refused, as the shortest would bound all; a shorter horizon takes it."""
    with pytest.raises(EvidenceError, match="9.16 s are needed.*look less far ahead with --horizon"):
        check_recordings(recordings, LIMITS, 9.0)
    check_recordings(recordings, LIMITS, 7.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("nan", "are nan in row 7"),
        ("back", "time has to move on"),
        ("gap", "jumps by"),
        ("milliseconds", "in milliseconds or microseconds, not in seconds"),
        ("thousandths", "in another unit, not in seconds"),
    ],
)
def test_damaged_rows_are_named(row: str, said: str, recordings: list[Recording]) -> None:
    """A number that is none, time that goes back and time that jumps are named with their row."""
    item = recordings[0]
    time, measured = item.time.copy(), item.measured.copy()
    if row == "nan":
        measured[7, 1] = np.nan
    elif row in ("milliseconds", "thousandths"):
        time *= 1e3 if row == "milliseconds" else 1e-3
    else:
        time[30:] += -0.1 if row == "back" else 5.0
    with pytest.raises(EvidenceError, match=said):
        make_recording("x", (), JOINTS, (time, measured, time, item.command))


def test_another_robot_is_named(recordings: list[Recording]) -> None:
    """Joints that the robot file has not, or that the recording lacks, are named with what to do."""
    with pytest.raises(EvidenceError, match="no joint 'wrist'.*another robot.*--mapping"):
        recordings[0].in_robot(("shoulder", "wrist"), None)
    with pytest.raises(EvidenceError, match="has joint 'elbow', which the robot file has not"):
        recordings[0].in_robot(("shoulder",), None)


def test_a_mapping_mends_what_is_named(recordings: list[Recording]) -> None:
    """Names, signs, zeros and units of other columns are stated by a mapping, through which they pass the checks."""
    item = recordings[0]
    foreign = replace(
        item,
        joint_names=("b", "a"),
        measured=np.stack([0.5 - item.measured[:, 1], np.rad2deg(item.measured[:, 0])], axis=1),
        command=np.stack([0.5 - item.command[:, 1], np.rad2deg(item.command[:, 0])], axis=1),
    )
    with pytest.raises(EvidenceError, match="--mapping FILE"):
        foreign.in_robot(JOINTS, None)
    mapping = RobotMapping.model_validate(
        {
            "source_joint_names": JOINTS,
            "target_joint_names": ("b", "a"),
            "rename": {"shoulder": "a", "elbow": "b"},
            "joints": {"shoulder": {"unit": "deg"}, "elbow": {"sign": -1, "offset": 0.5}},
        }
    )
    mended = foreign.in_robot(JOINTS, mapping)
    check_recordings([mended], LIMITS)
    np.testing.assert_allclose(mended.measured, item.measured, atol=1e-12)
    # The mistakes that a mapping can make are those that the messages lead back to it for.
    for wrong in (turned(item), exchanged(item), shrunk(item)):
        with pytest.raises(EvidenceError, match="--mapping"):
            check_recordings([wrong], LIMITS)


def test_priors_state_every_parameter(tmp_path: Path) -> None:
    """One that is not stated is an error; with `fit: false` it is left alone."""
    data = yaml.safe_load((assets_dir() / "identify" / f"{PRIORS}.yaml").read_text())
    row, path = data["joint"].pop("friction"), tmp_path / "priors.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(DynamicsError, match="states nothing of friction; write fit: false"):
        load_priors(path)
    data["joint"]["friction"] = {**row, "fit": False}
    path.write_text(yaml.safe_dump(data))
    assert not load_priors(path).joint["friction"].fit
