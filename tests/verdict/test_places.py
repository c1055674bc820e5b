"""Claims about where on the base a vector is measured: told by the trace or fitted, never equal without evidence."""

from __future__ import annotations

import functools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract, load_contract
from policy_port.errors import EvidenceError
from policy_port.verdict.compared import compare
from policy_port.verdict.diagnose import TraceDiagnosis, trace_diagnosis
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import Verification, verification, verify_contract
from tests.verdict.mistakes import edited, roll_quaternion, term
from tests.verdict.synthetic import about, header, matrix, product, simulate, toy, write
from tests.verdict.test_moments import columns

Arrays = dict[str, np.ndarray]
PEERS = Path(__file__).resolve().parents[2].parent / "shared/failing_inputs/peers"
R = np.array([0.045, 0.0, -0.0834])
TURN = about(0, np.pi)
"""A sensor that is mounted upside down."""


def said(contract: Contract, **keys: Any) -> Contract:
    """The contract with keys of its base_lin_vel."""
    return edited(contract, lambda data: term(data, "base_lin_vel").update(keys))


def shown(arrays: Arrays, offset: np.ndarray, quat: np.ndarray | None = None) -> Arrays:
    """The network is shown the velocity of a point, in the axes of a place if one is given."""
    moved = arrays["base_lin_vel"] + np.cross(arrays["base_ang_vel"], offset)
    if quat is not None:
        moved = moved @ matrix(quat)
    arrays["observation"][..., columns(toy(), "base_lin_vel")] = moved.astype(np.float32)
    return arrays


def judged(folder: Path, contract: Contract, arrays: Arrays, **more: Any) -> tuple[Verification, TraceDiagnosis]:
    evidence = read_evidence(write(folder / "t.npz", arrays, header(contract, **more)))
    compared = compare(contract, evidence)
    return verification(compared), trace_diagnosis(compared)


def everywhere(arrays: Arrays, vector: np.ndarray) -> np.ndarray:
    return np.broadcast_to(vector, (len(arrays["time"]), *vector.shape))


def status(verdict: Verification, label: str = "base_lin_vel") -> tuple[str, str]:
    (check,) = [check for check in verdict.checks if check.label == label]
    return check.status, check.note


@pytest.mark.parametrize(
    ("simulator", "guess"),
    [
        ("Isaac Lab 3.0.0, Newton", "consistent with a centre of mass, as Isaac Lab's is; say point: com"),
        ("mjlab 1.6.0", "consistent with an IMU's velocimeter, as mjlab's is; say point: {sensor: NAME}"),
        ("mine", "consistent with a centre of mass; say point: com, or point: {sensor: NAME}"),
    ],
)
def test_a_point_that_nobody_states_is_fitted(tmp_path: Path, simulator: str, guess: str) -> None:
    """The line names the point to the digit and whose it may be; the contract line that diagnose gives is equal."""
    verdict, diagnosis = judged(tmp_path, toy(), shown(simulate(toy()), R), simulator=simulator)
    assert [check.label for check in verdict.wrong] == ["base_lin_vel"]
    assert "the velocity of the point (0.045, 0, -0.0834) from the link's origin, residual" in verdict.text()
    assert guess in verdict.text()
    first = diagnosis.hypotheses[0]
    assert first.whole
    assert [edit.key for edit in first.edits] == ["observation.terms[base_lin_vel].point"]
    other = shown(simulate(toy(), seed=5), R)
    assert judged(tmp_path, first.contract, other)[0].ok


@pytest.mark.parametrize("fixed", [True, False])
def test_a_recorded_centre_of_mass_is_the_point(tmp_path: Path, fixed: bool) -> None:
    """With base_com in the trace, the same for all rows or not, the edit is `point: com`, and that is equal."""
    arrays = simulate(toy())
    arrays["base_com"] = everywhere(arrays, R) + (0.0 if fixed else 0.01 * np.sin(arrays["time"])[:, None])
    verdict, diagnosis = judged(tmp_path, toy(), shown(arrays, arrays["base_com"]))
    assert "the velocity of the centre of mass, not of the link's origin" in verdict.text()
    first = diagnosis.hypotheses[0]
    assert [(edit.key, edit.after) for edit in first.edits] == [("observation.terms[base_lin_vel].point", "com")]
    assert judged(tmp_path, first.contract, arrays)[0].ok


@pytest.mark.parametrize("name", ["imu", "robot/imu"])
@pytest.mark.parametrize("kind", ["site", "sensor"])
def test_a_place_is_found_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    """A site or sensor whose position the trace holds, perhaps behind the robot's name, is equal and is named."""
    arrays = simulate(toy())
    arrays[f"{kind}_pos_{name}"] = everywhere(arrays, R)
    shown(arrays, R)
    verdict = judged(tmp_path, said(toy(), point={kind: "imu"}), arrays)[0]
    assert verdict.ok, verdict.text()
    first = judged(tmp_path, toy(), arrays)[1].hypotheses[0]
    assert [edit.after for edit in first.edits] == [{kind: name}]


def test_the_axes_of_a_sensor_are_its_own(tmp_path: Path) -> None:
    """A velocimeter upside down is equal with its axes recorded; without them its turn is told, and named."""
    arrays = simulate(toy())
    arrays["sensor_pos_imu"], arrays["sensor_quat_imu"] = everywhere(arrays, R), everywhere(arrays, TURN)
    shown(arrays, R, TURN)
    contract = said(toy(), point={"sensor": "imu"})
    assert judged(tmp_path, contract, arrays)[0].ok
    del arrays["sensor_quat_imu"]
    verdict, diagnosis = judged(tmp_path, contract, arrays)
    assert "turned by 180 degrees about (1, 0, 0)" in verdict.text() or "sign of y, z flipped" in verdict.text()
    assert diagnosis.hypotheses[0].whole


def test_axes_that_the_trace_lacks_are_assumed_aloud(tmp_path: Path) -> None:
    """A sensor in the link's axes is equal without its own, and the line says what was assumed."""
    arrays = simulate(toy())
    arrays["sensor_pos_imu"] = everywhere(arrays, R)
    verdict = judged(tmp_path, said(toy(), point={"sensor": "imu"}), shown(arrays, R))[0]
    assert verdict.ok
    assert "taken to be in the base link's axes, as the trace has no sensor_quat_imu" in verdict.text()


def test_a_named_point_without_evidence_is_not_equal(tmp_path: Path) -> None:
    """What fits is said, and each remedy of it is equal: the position recorded, or the offset written."""
    arrays = shown(simulate(toy()), R)
    verdict = judged(tmp_path, said(toy(), point="com"), arrays)[0]
    state, note = status(verdict)
    assert (state, verdict.ok, verdict.wrong) == ("unchecked", False, ())
    assert "the trace has no base_com, and the observation is the velocity of the point (0.045, 0, -0.0834)" in note
    assert "record base_com, or write point: [0.045, 0, -0.0834]" in note
    assert judged(tmp_path, said(toy(), point=[0.045, 0, -0.0834]), arrays)[0].ok
    arrays["base_com"] = everywhere(arrays, R)
    assert judged(tmp_path, said(toy(), point="com"), arrays)[0].ok


@pytest.mark.parametrize(
    ("contract", "offset", "words"),
    [
        ("com", np.zeros(3), "the velocity of the link's origin, not of com"),
        ("com", np.array([0.1, 0.02, 0.3]), "the velocity of the point (0.1, 0.02, 0.3) from the link's origin"),
        ([0.1, 0.0, 0.0], R, "the velocity of the centre of mass, not of [0.1, 0, 0]"),
        ({"site": "imu"}, R, "the velocity of the centre of mass, not of site imu"),
    ],
)
def test_a_wrong_point_is_named_with_its_line(tmp_path: Path, contract: Any, offset: np.ndarray, words: str) -> None:
    """Whichever point the contract has, the source's is said, and the mended contract is equal."""
    arrays = simulate(toy())
    arrays["base_com"], arrays["site_pos_imu"] = everywhere(arrays, R), everywhere(arrays, np.array([0.2, 0.0, 0.1]))
    shown(arrays, offset)
    verdict, diagnosis = judged(tmp_path, said(toy(), point=contract), arrays)
    assert words in verdict.text()
    assert [edit.key for edit in diagnosis.hypotheses[0].edits] == ["observation.terms[base_lin_vel].point"]
    assert judged(tmp_path, diagnosis.hypotheses[0].contract, arrays)[0].ok


def test_each_environment_may_have_its_own_centre_of_mass(tmp_path: Path) -> None:
    """Points that differ are a centre of mass that training drew: `point: com`, and base_com has to show it."""
    one, two = shown(simulate(toy(), seed=1), R), shown(simulate(toy(), seed=2), -R)
    arrays = {name: np.stack([one[name], two[name]], axis=1) for name in one}
    verdict, diagnosis = judged(tmp_path, toy(), arrays)
    assert "(0.045, 0, -0.0834) and (-0.045, 0, 0.0834) from the link's origin, another in each env" in verdict.text()
    first = diagnosis.hypotheses[0]
    assert [edit.after for edit in first.edits] == ["com"]
    assert "the trace has no base_com" in first.doubt
    arrays["base_com"] = np.broadcast_to(np.stack([R, -R]), (len(arrays["time"]), 2, 3))
    assert judged(tmp_path, first.contract, arrays)[0].ok


def test_what_no_point_explains_is_wrong(tmp_path: Path) -> None:
    """A contract whose point the trace lacks is wrong all the same where no point gives what was shown."""
    arrays = shown(simulate(toy()), R)
    arrays["observation"][..., columns(toy(), "base_lin_vel")[0]] += 0.1 * np.float32(1) * np.sin(3 * arrays["time"])
    assert [check.label for check in judged(tmp_path, said(toy(), point="com"), arrays)[0].wrong] == ["base_lin_vel"]


def still(arrays: Arrays, axes: list[int]) -> Arrays:
    arrays["base_ang_vel"][..., axes] = 0.0
    mine = np.array(columns(toy(), "base_ang_vel"))[axes]
    arrays["observation"][..., mine] = 0.0
    return arrays


@pytest.mark.parametrize(("axes", "words"), [([0, 1, 2], "along x, y, z whose"), ([0, 1], "along z whose")])
def test_a_base_that_does_not_turn_shows_no_point(tmp_path: Path, axes: list[int], words: str) -> None:
    """Equal, with what the trace can't tell; a named point that it lacks is not verified by it, and not offered."""
    arrays = still(simulate(toy()), axes)
    verdict = judged(tmp_path, toy(), arrays)[0]
    assert verdict.ok
    assert words in verdict.text()
    state, note = status(judged(tmp_path, said(toy(), point="com"), arrays)[0])
    assert (state, "turns too little" in note) == ("unchecked", True)


def test_a_base_that_turns_has_no_such_note(tmp_path: Path) -> None:
    """A trace that shows the point says nothing of it."""
    assert "does not show" not in judged(tmp_path, toy(), simulate(toy()))[0].text()


def integrated(arrays: Arrays) -> Arrays:
    """Positions that move as the velocity says, from row to row."""
    world = np.stack([matrix(q) @ v for q, v in zip(arrays["base_quat"], arrays["base_lin_vel"], strict=True)])
    steps = np.concatenate([[np.zeros(3)], 0.5 * (world[1:] + world[:-1]) * 0.02])
    arrays["base_pos"] = np.cumsum(steps, axis=0)
    return arrays


def test_a_velocity_that_was_recorded_elsewhere_is_not_equal(tmp_path: Path) -> None:
    """A trace whose base_lin_vel is a centre of mass's would be equal to itself: its base_pos gives it away."""
    fine = integrated(simulate(toy(), lengths=(200,)))
    assert judged(tmp_path, toy(), fine)[0].ok
    arrays = integrated(simulate(toy(), lengths=(200,)))
    turned = np.stack([matrix(q).T @ np.array([0.3, 0.2, 0.1]) for q in arrays["base_quat"]])
    arrays["base_ang_vel"] = 3.0 * turned
    mine = columns(toy(), "base_ang_vel")
    arrays["observation"][..., mine] = (0.25 * arrays["base_ang_vel"]).astype(np.float32)
    arrays["base_lin_vel"] = arrays["base_lin_vel"] + np.cross(arrays["base_ang_vel"], R)
    verdict = judged(tmp_path, toy(), shown(arrays, np.zeros(3)))[0]
    state, note = status(verdict)
    assert (state, verdict.ok) == ("unchecked", False)
    assert "recorded at another point than base_pos, about (0.0" in note
    state, note = status(judged(tmp_path, said(toy(), point="com"), arrays)[0])
    assert state == "unchecked"
    assert "the observation is the recorded base_lin_vel itself" in note
    # The remedy: the link's origin in base_lin_vel, and base_com beside it.
    arrays["base_lin_vel"] = arrays["base_lin_vel"] - np.cross(arrays["base_ang_vel"], R)
    arrays["base_com"] = everywhere(arrays, R)
    assert judged(tmp_path, said(toy(), point="com"), arrays)[0].ok


@pytest.mark.parametrize("label", ["base_ang_vel", "projected_gravity"])
@pytest.mark.parametrize("quat", [about(2, 0.3), product(about(0, 1.0), about(1, 0.4))])
def test_other_axes_are_told_by_their_turn(tmp_path: Path, label: str, quat: np.ndarray) -> None:
    """A sensor that is mounted askew: the angle is said; with its axes recorded, `frame` is the edit, and is equal."""
    arrays = simulate(toy())
    mine = columns(toy(), label)
    seen = arrays["observation"].astype(np.float64)
    raw = arrays["base_ang_vel"] * 0.25 if label == "base_ang_vel" else seen[:, mine]
    arrays["observation"][:, mine] = (raw @ matrix(quat)).astype(np.float32)
    verdict, diagnosis = judged(tmp_path, toy(), arrays)
    angle = np.degrees(2 * np.arccos(quat[0]))
    assert f"in other axes than the base link's, turned by {angle:.4g} degrees about" in verdict.text()
    assert (diagnosis.hypotheses[0].whole, diagnosis.hypotheses[0].edits) == (True, ())
    arrays["site_quat_imu"] = everywhere(arrays, quat)
    first = judged(tmp_path, toy(), arrays)[1].hypotheses[0]
    assert [(edit.key, edit.after) for edit in first.edits] == [(f"observation.terms[{label}].frame", {"site": "imu"})]
    assert judged(tmp_path, first.contract, arrays)[0].ok


def test_axes_and_point_together(tmp_path: Path) -> None:
    """A velocimeter that is mounted askew and off the origin is told with both."""
    verdict, diagnosis = judged(tmp_path, toy(), shown(simulate(toy()), R, about(2, 0.3)))
    assert "in other axes than the base link's of the point (0.045, 0, -0.0834) from its origin, turned by 17.19" in (
        verdict.text()
    )
    assert diagnosis.hypotheses[0].whole


def test_a_point_beside_another_mistake(tmp_path: Path) -> None:
    """A quaternion in the other order and an unstated point are two lines."""
    arrays = shown(simulate(toy()), R)
    roll_quaternion(arrays)
    verdict, diagnosis = judged(tmp_path, toy(), arrays)
    assert "quaternion order: base_quat is xyzw" in verdict.text()
    assert "the velocity of the point (0.045, 0, -0.0834)" in verdict.text()
    assert diagnosis.hypotheses[0].whole


def test_a_scaled_and_clipped_velocity_shows_its_point(tmp_path: Path) -> None:
    """Rows at a bound are left out of the fit."""
    contract = said(toy(), scale=2.0, clip=[-0.5, 0.5])
    arrays = shown(simulate(toy()), R)
    mine = columns(toy(), "base_lin_vel")
    arrays["observation"][:, mine] = 2.0 * np.clip(arrays["observation"][:, mine], -0.5, 0.5)
    assert "the velocity of the point (0.045, 0, -0.0834)" in judged(tmp_path, contract, arrays)[0].text()


def add(path: Path, base_com: np.ndarray) -> None:
    """One more array, of a shape that no recorder writes step by step."""
    with zipfile.ZipFile(path, "a") as archive, archive.open("base_com.npy", "w") as file:
        np.lib.format.write_array(file, base_com)


@pytest.mark.parametrize("shape", [(7, 3), (100, 2), (100, 2, 3)])
def test_a_place_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """The message gives the shapes that are meant."""
    arrays = simulate(toy())
    path = write(tmp_path / "t.npz", arrays, header(toy()))
    add(path, np.zeros(shape))
    with pytest.raises(EvidenceError, match=r"base_com has shape .*; give \(3,\), \(100, 3\)"):
        read_evidence(path)


@pytest.mark.parametrize("shape", [(3,), (100, 3), (100, 1, 3)])
def test_a_place_is_read_in_each_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """One vector, one for each row, or one for each row and environment."""
    path = write(tmp_path / "t.npz", shown(simulate(toy()), R), header(toy()))
    add(path, np.broadcast_to(R, shape))
    assert verify_contract(said(toy(), point="com"), read_evidence(path)).ok


CASES = {
    (
        "isaaclab_base_lin_vel_is_com/g1",
        "trace.npz",
    ): "the velocity of the point (0, 0, -0.07605) from the link's origin",
    ("isaaclab_base_lin_vel_is_com/g1", "trace_com.npz"): "recorded at another point than base_pos, about (-0.001, 0, ",
    ("isaaclab_base_lin_vel_is_com/go2", "trace.npz"): "another in each environment, not of the link's origin",
    (
        "isaaclab_base_lin_vel_is_com/go2",
        "trace_com.npz",
    ): "recorded at another point than base_pos, about (0.039, 0.01",
    (
        "mjlab_base_lin_vel_is_imu",
        "trace.npz",
    ): "the velocity of the point (0.04525, 0, -0.08339) from the link's origin",
}


@functools.cache
def recorded(folder: Path, trace: str) -> Verification:
    return verify_contract(load_contract(folder / "contract.yaml"), read_evidence(folder / trace))


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_case_is_told(case: tuple[str, str]) -> None:
    """What Isaac Lab and mjlab recorded: the point to the fifth digit, and no noise."""
    folder, trace = PEERS / case[0], case[1]
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    contract = load_contract(folder / "contract.yaml")
    if isinstance(term(contract.model_dump(), "base_lin_vel").get("point"), str | dict):
        pytest.skip("the contract states its point")
    verdict = recorded(folder, trace)
    assert not verdict.ok
    assert CASES[case] in verdict.text()
    assert "noise" not in verdict.text()


def test_biases_of_a_recorded_case_are_told() -> None:
    """mjlab's encoder biases are named by joint and environment, its metadata's scales as rounded."""
    folder = PEERS / "mjlab_base_lin_vel_is_imu"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    text = recorded(folder, "trace.npz").text()
    assert "constant biases of 29 readings, another in each environment" in text
    assert "left_hip_pitch_joint -0.002908 and +0.01423 rad" in text
    assert "scaled 1.0008" in text
    assert "the contract has them rounded to 3 decimals" in text
