"""Recordings read from every format, and what is refused in each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from policy_port.contract import load_mapping
from policy_port.errors import EvidenceError
from policy_port.identify.files import Unstated, read_recordings
from policy_port.identify.session import Request, read_split
from policy_port.trace import Recorder

ROWS = 30
TIME = np.arange(ROWS) * 0.02
WAVE = np.stack([np.sin(TIME), np.cos(TIME)], axis=1)
NONE = Unstated()


def sage(folder: Path, size: float = 0.9) -> Path:
    """A motion as SAGE writes it."""
    folder.mkdir()
    (folder / "joint_list.txt").write_text("shoulder\nelbow\n")
    for name, kind, values in (("control", "CONTROL", WAVE), ("state_motor", "STATE_MOTOR", size * WAVE)):
        rows = [f'{kind},{t * 1e6},"{list(map(float, row))}"' for t, row in zip(TIME, values, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["type,timestamp,positions", *rows]))
    return folder


def test_a_folder_of_sage_is_read(tmp_path: Path) -> None:
    """Microseconds become seconds, names come from the list, and a folder of motions gives each."""
    sage(tmp_path / "a")
    sage(tmp_path / "b", 0.8)
    found = read_recordings([tmp_path], NONE)
    assert [Path(item.name).name for item in found] == ["a", "b"]
    assert found[0].joint_names == ("shoulder", "elbow")
    np.testing.assert_allclose(found[0].time, TIME, atol=1e-9)
    np.testing.assert_array_equal(found[0].command, WAVE)
    np.testing.assert_array_equal(found[0].measured, 0.9 * WAVE)


def test_a_trace_of_a_real_run_has_what_was_sent_and_when(tmp_path: Path) -> None:
    """Commands are those that were sent, measured as long before as the observation's age; unsent steps fall away."""
    header = {"joint_names": ["shoulder", "elbow"], "calibration_sha256": "c4" * 32}
    with Recorder(tmp_path / "run.npz", header) as recorder:
        for row in range(ROWS):
            sent = np.full(2, np.nan) if row == ROWS - 1 else WAVE[row]
            recorder.record(
                time=np.array([TIME[row]]),
                episode=np.array([0]),
                joint_pos=WAVE[row : row + 1],
                target=WAVE[row : row + 1] + 1.0,
                target_sent=sent[None],
                observation_age=np.array([0.004 if row < ROWS - 1 else np.nan]),
                clock=5.0 + TIME[row],
            )
    (item,) = read_recordings([tmp_path / "run.npz"], NONE)
    assert (len(item.time), item.arm) == (ROWS - 1, "c4" * 32)
    np.testing.assert_array_equal(item.command, WAVE[:-1])
    np.testing.assert_allclose(item.sent - item.time, 0.004, atol=1e-9)


def test_a_calibration_that_is_no_hash_is_named(tmp_path: Path) -> None:
    """Before anything is searched, not when the dynamics are written."""
    with Recorder(tmp_path / "run.npz", {"joint_names": ["a"], "calibration_sha256": ["c4"]}) as recorder:
        for time in TIME:
            recorder.record(time=np.array([time]), joint_pos=np.zeros((1, 1)), target=np.zeros((1, 1)))
    with pytest.raises(EvidenceError, match="calibration_sha256 is .'c4'., which is no SHA-256"):
        read_recordings([tmp_path / "run.npz"], NONE)


def test_a_simulated_trace_gives_each_environment_and_episode(tmp_path: Path) -> None:
    """Of two environments with two episodes four recordings come, each with a clock of its own."""
    with Recorder(tmp_path / "run.npz", {"joint_names": ["shoulder", "elbow"]}) as recorder:
        for row in range(2 * ROWS):
            both = np.stack([WAVE[row % ROWS], -WAVE[row % ROWS]])
            when, episode = np.full(2, TIME[row % ROWS]), np.full(2, row // ROWS)
            recorder.record(time=when, episode=episode, joint_pos=both, target=both)
    found = read_recordings([tmp_path / "run.npz"], NONE)
    assert [item.name.rpartition("#")[2] for item in found] == ["0.0", "0.1", "1.0", "1.1"]
    np.testing.assert_array_equal(found[2].measured, -WAVE)


def test_a_lerobot_dataset_is_read_through_a_mapping(tmp_path: Path) -> None:
    """State and action in degrees and percent, by episode, become the robot file's radians."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    mapping = load_mapping("so100_maniskill_to_lerobot")
    names = list(mapping.target_joint_names)
    (tmp_path / "meta").mkdir()
    (tmp_path / "data" / "chunk-000").mkdir(parents=True)
    feature = {"names": names}
    info = {"fps": 50, "robot_type": "so_follower", "features": {"observation.state": feature, "action": feature}}
    (tmp_path / "meta" / "info.json").write_text(json.dumps(info))
    values = np.tile(np.array([90.0, 0.0, 6.8, 0.0, 0.0, 50.0], np.float32), (2 * ROWS, 1))
    columns = {
        "observation.state": values.tolist(),
        "action": values.tolist(),
        "timestamp": np.tile(TIME, 2).tolist(),
        "episode_index": [0] * ROWS + [1] * ROWS,
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "data" / "chunk-000" / "file-000.parquet")
    found = read_recordings([tmp_path], NONE)
    assert len(found) == 2
    item = found[0].in_robot(mapping.source_joint_names, mapping)
    np.testing.assert_allclose(item.measured[0], [np.pi / 2, 0.0, 0.0, 0.0, 0.0, 0.0], atol=1e-6)


def test_arrays_without_names_and_times_need_them_stated(tmp_path: Path) -> None:
    """An .npz of two arrays is read with --rate and --joints, and says so without."""
    np.savez(tmp_path / "pair.npz", qpos=WAVE, target_qpos=WAVE)
    with pytest.raises(EvidenceError, match="--rate HZ and --joints"):
        read_recordings([tmp_path / "pair.npz"], NONE)
    (item,) = read_recordings([tmp_path / "pair.npz"], Unstated(rate=50.0, joints=("shoulder", "elbow")))
    np.testing.assert_allclose(item.time, TIME)
    with pytest.raises(EvidenceError, match="have shape"):
        read_recordings([tmp_path / "pair.npz"], Unstated(rate=50.0, joints=("shoulder",)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "state_motor.csv is missing"),
        ("cut", "one was cut"),
        ("text", "is no CSV of SAGE"),
    ],
)
def test_a_damaged_folder_is_named(damage: str, said: str, tmp_path: Path) -> None:
    """A missing file, a file that was cut and one that is none are named."""
    folder = sage(tmp_path / "a")
    file = folder / "state_motor.csv"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_text("\n".join(file.read_text().splitlines()[:20]))
    else:
        file.write_text("type,timestamp,positions\nSTATE_MOTOR,now,[0.0]")
    with pytest.raises(EvidenceError, match=said):
        read_recordings([folder], NONE)


def test_what_holds_no_recording_is_refused(tmp_path: Path) -> None:
    """A folder of other things, a path that is not there, and one that is given twice are refused."""
    with pytest.raises(EvidenceError, match="is not a trace"):
        read_recordings([tmp_path], NONE)
    with pytest.raises(EvidenceError, match="no such file"):
        read_recordings([tmp_path / "gone"], NONE)
    folder = sage(tmp_path / "a")
    with pytest.raises(EvidenceError, match="given twice"):
        read_recordings([folder, folder], NONE)


def test_a_motion_that_is_given_under_two_names_is_refused(tmp_path: Path) -> None:
    """A copy would count twice, or be held out of a fit to itself: both names are told; without one, all are read."""
    one, copy, other = sage(tmp_path / "one"), sage(tmp_path / "copy"), sage(tmp_path / "other", 0.7)
    with pytest.raises(EvidenceError, match=r"copy: is the motion of .*one, given twice; take one of them out"):
        read_recordings([one, copy, other], NONE)
    assert len(read_recordings([one, other], NONE)) == 2
    request = Request(plant="mujoco", robot="arm.xml", data=(one, other), held_out=(copy,))
    with pytest.raises(EvidenceError, match=r"copy: is held out, and the same motion is fitted in .*one"):
        read_split(request, ("shoulder", "elbow"))
