"""Claims about runs side by side, on walks whose every difference was put in by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from policy_port.compare.compare import Comparison, compare_runs
from policy_port.compare.measure import measure
from policy_port.compare.run import read_run
from policy_port.contract.mapping import JointConversion, RobotMapping
from policy_port.errors import EvidenceError
from policy_port.trace import Recorder
from tests.compare.recordings import FREQUENCY, reach, walk
from tests.samples import LEGS

TURNED = LEGS[::-1]


ONE = {"joint_names": ["a"], "control_dt": 0.02}


def compare(*folders: Path, **options: object) -> Comparison:
    return compare_runs([read_run(folder, folder.name) for folder in folders], **options)  # type: ignore[arg-type]


def test_joints_are_matched_by_name(tmp_path: Path) -> None:
    """The same walk in another joint order differs in nothing, and the order is said."""
    found = compare(walk(tmp_path / "a"), walk(tmp_path / "b", names=TURNED))
    (pair,) = found.pairs
    assert pair.rmse == pytest.approx(0.0, abs=1e-12)
    assert pair.lag == 0.0
    assert pair.divergence == math.inf
    assert list(pair.joints) == list(LEGS)
    assert "another order" in pair.how
    assert not found.warnings


def test_a_lag_is_found_and_taken_out(tmp_path: Path) -> None:
    """60 ms late: apart as recorded, together once aligned, parted within the first stride."""
    (pair,) = compare(walk(tmp_path / "a"), walk(tmp_path / "b", late=0.06)).pairs
    assert pair.lag == pytest.approx(0.06)
    assert pair.rmse == pytest.approx(0.0, abs=1e-9)
    # 2 sin(pi f lag) times the amplitude's root mean square.
    assert pair.rmse_unaligned == pytest.approx(0.3 / math.sqrt(2) * 2 * math.sin(math.pi * FREQUENCY * 0.06), rel=0.01)


def test_the_joint_that_differs_is_named(tmp_path: Path) -> None:
    """One knee stands 0.4 rad off: its RMSE is 0.4, the others' 0, and over four joints 0.2 is apart at once."""
    found = compare(walk(tmp_path / "a"), walk(tmp_path / "b", offset={"right_knee": 0.4}))
    (pair,) = found.pairs
    assert pair.farthest == "right_knee"
    assert pair.joints["right_knee"] == pytest.approx(0.4)
    assert pair.joints["left_hip"] == pytest.approx(0.0, abs=1e-12)
    assert pair.rmse == pytest.approx(0.2)
    assert pair.divergence == 0.0
    assert "most right_knee (0.400)" in found.verdict


def test_numbers_of_a_run(tmp_path: Path) -> None:
    """Speed, error, spectrum and torque are what was put in."""
    one = measure(read_run(walk(tmp_path / "a", speed=0.4, envs=3, fallen=1), "a"))
    assert one.velocity == pytest.approx((0.4, 0.0, 0.0))
    assert one.velocity_error == pytest.approx(0.1)
    assert one.survival == pytest.approx(10.0)
    assert one.dominant_frequency == pytest.approx(FREQUENCY, abs=0.02)
    assert one.fast_power is not None
    assert one.fast_power < 1e-4
    assert one.torque_rms == pytest.approx(2.5)
    assert one.torque_peak == 4.0
    assert one.outcome is not None
    assert (one.outcome.what, one.outcome.good, one.outcome.trials) == ("stayed up", 2, 3)


def test_success_carries_its_interval(tmp_path: Path) -> None:
    """10 of 10: the lower bound p solves p^10 = 0.025; the same seeds are compared, others are not."""
    found = compare(reach(tmp_path / "a", seeds=range(10), good=10), reach(tmp_path / "b", seeds=range(5, 15), good=3))
    outcome = found.measures["a"].outcome
    assert outcome is not None
    assert outcome.interval == pytest.approx((0.025**0.1, 1.0))
    (pair,) = found.pairs
    assert pair.episodes == 5
    assert pair.rmse == pytest.approx(0.0, abs=1e-12), "seed by seed, not by number"
    assert found.measures["a"].velocity is None
    assert "success 3 of 10" in found.verdict


def test_other_names_need_a_mapping(tmp_path: Path) -> None:
    """Refused with both names of the nearest joint; with the mapping, in either direction, signs and zeros go too."""
    rename = {name: f"{name}_joint" for name in LEGS}
    first = walk(tmp_path / "a")
    second = walk(tmp_path / "b", rename=rename, offset={"left_hip": 0.2})
    with pytest.raises(EvidenceError, match="no joint 'left_hip'; did you mean 'left_hip_joint'.*--mapping"):
        compare(first, second)
    mapping = RobotMapping(
        source_joint_names=LEGS,
        target_joint_names=tuple(rename.values()),
        rename=rename,
        # 0.2 rad in degrees: the trace holds radians whatever the mapping's unit.
        joints={"left_hip": JointConversion(unit="deg", offset=math.degrees(0.2))},
    )
    for runs in ((first, second), (second, first)):
        (pair,) = compare(*runs, mappings=[mapping]).pairs
        assert pair.rmse == pytest.approx(0.0, abs=1e-9)
        assert pair.how.startswith("by mapping")
    other = RobotMapping(source_joint_names=("x",), target_joint_names=("x",))
    with pytest.raises(EvidenceError, match="None of the given mappings"):
        compare(first, second, mappings=[other])


def test_a_joint_too_many_is_refused(tmp_path: Path) -> None:
    """A driven joint that one run lacks is never left out silently; a passive one is, and is named."""
    small = walk(tmp_path / "small", rename={"left_hip": "waist"}, header={"action_names": list(LEGS[1:])})
    with pytest.raises(EvidenceError, match="no joint 'left_hip'"):
        compare(walk(tmp_path / "a"), small)
    (pair,) = compare(small, walk(tmp_path / "b", header={"action_names": list(LEGS[1:])})).pairs
    assert "not compared: waist of small, left_hip of b" in pair.how


@pytest.mark.parametrize(
    ("first", "second", "warning"),
    [
        ({}, {"contract_sha256": "b" * 64}, "different contracts"),
        ({}, {"contract_sha256": None}, "may be another policy"),
        ({"policy_sha256": "1"}, {"policy_sha256": "2"}, "different policies"),
        ({"checkpoint_sha256": "1"}, {"checkpoint_sha256": "2"}, "different policies"),
    ],
)
def test_another_policy_is_a_warning(
    tmp_path: Path, first: dict[str, str], second: dict[str, str], warning: str
) -> None:
    """A comparison of two policies is no comparison of two simulators, and says so; even under one contract."""
    found = compare(walk(tmp_path / "a", header=first), walk(tmp_path / "b", header=second))
    assert warning in " ".join(found.warnings)
    assert warning in found.text()


def test_one_checkpoint_in_two_parsings_is_no_warning(tmp_path: Path) -> None:
    """Two ports of one checkpoint differ in file and contract, and are one policy."""
    files = [{"checkpoint_sha256": "c", "policy_sha256": n, "contract_sha256": n * 64} for n in "12"]
    assert not compare(walk(tmp_path / "a", header=files[0]), walk(tmp_path / "b", header=files[1])).warnings


@pytest.mark.parametrize(("arm", "warned"), [("a", False), ("b", True), (None, False)])
def test_dynamics_of_another_arm_are_a_warning(arm: str | None, warned: bool, tmp_path: Path) -> None:
    """A simulation under the dynamics of another arm of the model says nothing of this one; which is which is said."""
    real = walk(tmp_path / "real", header={"calibration_sha256": "a" * 64})
    under = {} if arm is None else {"dynamics_calibration_sha256": arm * 64}
    simulated = walk(tmp_path / "simulated", header={"dynamics_sha256": "d" * 64, **under})
    for runs in ((real, simulated), (simulated, real)):
        found = compare(*runs).warnings
        assert [f"simulated was played under dynamics of an arm with another calibration ({'b' * 12}) than that of "
                f"real ({'a' * 12})" in one for one in found] == [True] * warned  # fmt: skip


def test_other_rates_are_a_warning_and_still_comparable(tmp_path: Path) -> None:
    """The same motion at 50 and 100 Hz differs by what straight lines between 50 Hz samples cost: nothing here."""
    found = compare(walk(tmp_path / "a"), walk(tmp_path / "b", dt=0.01, steps=1000))
    assert "100 and 50 Hz" in found.warnings[0]
    assert found.pairs[0].rmse == pytest.approx(0.0, abs=1e-9)
    assert found.measures["b"].dominant_frequency == pytest.approx(FREQUENCY, abs=0.02)


def test_other_commands_and_no_common_episode_are_warnings(tmp_path: Path) -> None:
    """What was asked differs, so what was done may."""
    first, second = (reach(tmp_path / str(k), seeds=range(10 * k, 10 * k + 3), good=3) for k in (1, 2))
    found = compare(first, second)
    assert "no episode in common" in found.warnings[0]
    assert found.pairs[0].rmse is None
    assert "no trajectories in common" in found.text()


def test_an_empty_run_is_refused(tmp_path: Path) -> None:
    """No trace, a trace without steps, one without joints, names or readable episodes: each names the file."""
    (tmp_path / "nothing").mkdir()
    with pytest.raises(EvidenceError, match="no such trace.*folder that `play --out` wrote"):
        read_run(tmp_path / "nothing", "a")
    Recorder(tmp_path / "empty.npz", {"joint_names": ["a"]}).close()
    with pytest.raises(EvidenceError, match="empty.npz.*empty"):
        read_run(tmp_path / "empty.npz", "a")
    for header, arrays, message in (
        ({"joint_names": ["a"]}, {"observation": np.zeros(3)}, "no 'joint_pos'"),
        ({}, {"joint_pos": np.zeros(1)}, "joint_names is None"),
        ({"joint_names": ["a", "b"]}, {"joint_pos": np.zeros(3)}, "joint_names has 2 joints"),
        ({"joint_names": ["a"]}, {"joint_pos": np.zeros(1)}, "no control_dt"),
        (ONE, {"joint_pos": np.zeros(1), "episode": np.zeros(3, int)}, "episode has shape .1, 3.*one number per step"),
        (ONE, {"joint_pos": np.zeros(1), "episode": np.array(np.inf)}, "episode holds what is no finite number"),
        (ONE, {"joint_pos": np.zeros(1), "time": np.zeros((2, 2))}, "time has shape"),
    ):
        with Recorder(tmp_path / "bad.npz", header) as recorder:
            recorder.record(**arrays)
        with pytest.raises(EvidenceError, match=f"bad.npz.*{message}"):
            read_run(tmp_path / "bad.npz", "a")


def test_a_bare_loop_s_trace_will_do(tmp_path: Path) -> None:
    """One environment without its axis, no episodes, no metrics; what is not there is not invented."""
    with Recorder(tmp_path / "bare.npz", {"joint_names": list(LEGS), "control_dt": 0.02}) as recorder:
        for step in range(50):
            recorder.record(joint_pos=np.full(4, 0.01 * step))
    found = compare(tmp_path / "bare.npz", tmp_path / "bare.npz")
    one = found.measures["bare.npz"]
    assert (one.outcome, one.velocity, one.torque_rms, one.dominant_frequency) == (None, None, None, None)
    assert found.pairs[0].rmse == 0.0


def test_a_diverged_simulation_is_compared_as_far_as_it_went(tmp_path: Path) -> None:
    """NaN from step 100 on: parted there, and no number is NaN."""
    run = read_run(walk(tmp_path / "a"), "a")
    other = read_run(walk(tmp_path / "b"), "b")
    for array in other.arrays.values():
        array[100:] = np.nan
    found = compare_runs([run, other])
    assert found.pairs[0].divergence == pytest.approx(2.0)
    assert found.pairs[0].rmse == pytest.approx(0.0, abs=1e-12)
    assert "NaN" not in found.json()
    assert "nan" not in found.text().split()


def test_json_is_the_whole_comparison(tmp_path: Path) -> None:
    """Numbers at full precision, infinity as null."""
    found = json.loads(compare(walk(tmp_path / "a"), walk(tmp_path / "b", speed=0.45)).json())
    assert [run["label"] for run in found["runs"]] == ["a", "b"]
    assert found["runs"][1]["velocity"][0] == pytest.approx(0.45)
    assert found["runs"][0]["outcome"]["interval"] == pytest.approx([0.025, 1.0])
    assert found["pairs"][0]["divergence"] is None


def test_the_matrix(tmp_path: Path) -> None:
    """Each cell under its training and its simulator; transfers are held against home."""
    where = {"P": "physx 5", "N": "newton 1"}
    runs = {
        tag: read_run(
            walk(tmp_path / tag, speed=speed, header={"simulator": where[tag[1]], "checkpoint_sha256": tag[0]}), tag
        )
        for tag, speed in (("PP", 0.5), ("PN", 0.4), ("NN", 0.48), ("NP", 0.3))
    }
    found = compare_runs([], tagged=runs)
    assert found.matrix is not None
    rows = found.matrix.rows()
    assert [row[0] for row in rows] == ["trained in PhysX", "trained in Newton"]
    for (row, column), tag, error in (
        ((0, 1), "PP", "0.000"),
        ((0, 2), "PN", "0.100"),
        ((1, 1), "NP", "0.200"),
        ((1, 2), "NN", "0.020"),
    ):
        assert rows[row][column].startswith(tag)
        assert f"velocity error {error}" in rows[row][column]
    assert {(pair.other, pair.reference) for pair in found.pairs} == {("PN", "PP"), ("NP", "NN")}
    assert not found.warnings
    swapped = {**runs, "PN": runs["NP"], "NP": runs["PN"]}
    assert any("is a tag wrong" in warning for warning in compare_runs([], tagged=swapped).warnings)
    with pytest.raises(EvidenceError, match="no run is tagged NN, NP"):
        compare_runs([], tagged={tag: runs[tag] for tag in ("PP", "PN")})


def test_each_run_is_held_against_the_first_of_its_policy(tmp_path: Path) -> None:
    """Each simulator is held against its own policy's first run; a run of an unknown policy against the first."""
    names = {"teacher_a": "1", "student_a": "2", "teacher_b": "1", "student_b": "2", "real": None}
    found = compare(*(walk(tmp_path / name, header={"checkpoint_sha256": key}) for name, key in names.items()))
    assert [(pair.reference, pair.other) for pair in found.pairs] == [
        ("teacher_a", "student_a"),
        ("teacher_a", "teacher_b"),
        ("student_a", "student_b"),
        ("teacher_a", "real"),
    ]
    first = walk(tmp_path / "trace", header={"checkpoint_sha256": None})
    found = compare(first, *(tmp_path / name for name in ("teacher_a", "teacher_b")))
    assert [pair.reference for pair in found.pairs] == ["trace", "trace"]
