"""Claims about diagnose on traces that were recorded wrongly: a sentence about the trace, and no edit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.verdict.answers import Network
from policy_port.verdict.compared import compare
from policy_port.verdict.diagnose import TraceDiagnosis, diagnose_contract, trace_diagnosis
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verification
from tests.samples import LEGS
from tests.verdict.mistakes import MISTAKES, edited, set_joint, set_scale
from tests.verdict.networks import Perceptron, Recurrent
from tests.verdict.synthetic import header, simulate, stacked, toy, write

Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays], None]
LENGTHS = (40, 30, 30)


def diagnosed(
    folder: Path, contract: Contract, change: Change, given: Contract | None = None, network: Network | None = None
) -> TraceDiagnosis:
    """What diagnose says of `given` by a trace recorded with `contract`, and then spoilt."""
    made = network or Perceptron(contract)
    act = made.actor(LENGTHS) if isinstance(made, Recurrent) else made.act  # type: ignore[attr-defined]
    arrays = simulate(contract, lengths=LENGTHS, act=act)
    change(arrays)
    evidence = read_evidence(write(folder / "t.npz", arrays, header(contract)))
    compared = compare(given or contract, evidence, made)
    verdict, diagnosis = verification(compared), trace_diagnosis(compared)
    assert not verdict.ok
    assert diagnosis.hypotheses, verdict.text()
    # What diagnose finds, verify names.
    assert any(diagnosis.hypotheses[0].words[0].split(": ")[-1] in words for words in verdict.looks.values())
    return diagnosis


def times(name: str, factor: Any) -> Change:
    return lambda arrays: arrays.update({name: arrays[name] * factor})


def every(*changes: Change) -> Change:
    def change(arrays: Arrays) -> None:
        for each in changes:
            each(arrays)

    return change


def filtered(name: str, kept: float = 0.3) -> Change:
    def change(arrays: Arrays) -> None:
        out = arrays[name].astype(np.float64)
        for step in range(1, len(out)):
            if arrays["episode"][step] == arrays["episode"][step - 1]:
                out[step] = (1 - kept) * out[step] + kept * out[step - 1]
        arrays[name] = out

    return change


def drawn(arrays: Arrays) -> None:
    arrays["action"] = arrays["action"] + np.random.default_rng(3).normal(0, 0.05, arrays["action"].shape)


def turned(arrays: Arrays) -> None:
    arrays["observation"] = arrays["observation"].copy()
    # gait_phase: behind 3 + 3 + 4 + 4 + 4 + 4 numbers, the sine and the cosine.
    arrays["observation"][:, [22, 23]] = arrays["observation"][:, [23, 22]]


ACTIONS: dict[str, tuple[Change, str]] = {
    "scaled": (times("action", 0.25), "the trace holds the action after its scale"),
    "scaled otherwise": (times("action", 0.4), "the trace holds the action after a scale of 0.4"),
    "sign": (times("action", -1.0), "the trace holds the action after a scale of -1"),
    "offset too": (
        lambda arrays: arrays.update(action=0.25 * arrays["action"] + [0.1, 0.2, 0.3, 0.4]),
        "the trace holds the joint targets in place of the action",
    ),
    "clipped": (
        lambda arrays: arrays.update(action=np.clip(arrays["action"], -0.5, 0.5)),
        "the trace holds the action after a clip to [-0.5, 0.5]",
    ),
    "clipped and scaled": (
        lambda arrays: arrays.update(action=0.25 * np.clip(arrays["action"], -0.5, 0.5)),
        "the trace holds the action after its scale, after a clip to [-0.5, 0.5]",
    ),
    "squashed": (
        lambda arrays: arrays.update(action=np.tanh(arrays["action"])),
        "the trace holds the action after a tanh",
    ),
    "filtered": (filtered("action"), "the trace holds the action behind a low-pass filter that keeps 0.3 of the last"),
    "reversed": (
        lambda arrays: arrays.update(action=arrays["action"][:, ::-1].copy()),
        "the trace holds the action in another order: left_hip holds that of right_knee",
    ),
    "late": (
        lambda arrays: arrays.update(action=np.roll(arrays["action"], 1, axis=0)),
        "the recorded action is the network's one step late",
    ),
    "drawn": (drawn, "the recorded action is the network's with noise of 0.05"),
}


@pytest.mark.parametrize("name", ["toy", "stacked", "recurrent"])
@pytest.mark.parametrize("change", ACTIONS)
def test_an_action_recorded_otherwise_is_said(tmp_path: Path, change: str, name: str) -> None:
    """The network's own answers tell it: the contract stays, and the sentence says what the trace holds."""
    contract = stacked() if name == "stacked" else toy()
    network = Recurrent(contract) if name == "recurrent" else Perceptron(contract)
    first = diagnosed(tmp_path, contract, ACTIONS[change][0], network=network).hypotheses[0]
    assert (first.words[0][: len(ACTIONS[change][1])], first.edits) == (ACTIONS[change][1], ())
    assert first.whole
    assert "the contract is right" in first.remedies[0]


def test_a_mistake_beside_a_scaled_action_is_mended_alone(tmp_path: Path) -> None:
    """A missing scale in the contract and an action recorded after its scale: one edit, and one sentence."""
    contract = toy()
    wrong = edited(contract, set_scale("base_ang_vel", 1.0))
    first = diagnosed(tmp_path, contract, times("action", 0.25), wrong).hypotheses[0]
    assert [edit.key for edit in first.edits] == ["observation.terms[base_ang_vel].scale"]
    assert "the trace holds the action after its scale" in first.words
    assert (first.contract, first.doubt) == (contract, "")


def test_a_clip_that_the_robot_felt_is_the_contracts(tmp_path: Path) -> None:
    """Where targets and last action show it too, raw_clip is missing in the contract: the network proves the edit."""
    right = toy(action={"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}], "raw_clip": [-1, 1]})

    def change(arrays: Arrays) -> None:
        arrays["action"] = np.clip(arrays["action"], -1.0, 1.0)

    first = diagnosed(tmp_path, right, change, toy()).hypotheses[0]
    assert [(edit.key, edit.after) for edit in first.edits] == [("action.raw_clip", [-1.0, 1.0])]
    assert first.doubt == ""


UNITS: dict[str, tuple[Change, str]] = {
    "gyro in degrees": (
        times("base_ang_vel", 180 / np.pi),
        "base_ang_vel: recorded in degrees per second",
    ),
    "positions in degrees": (times("joint_pos", 180 / np.pi), "joint_pos: recorded in degrees, not in rad"),
    "velocities in degrees": (times("joint_vel", 180 / np.pi), "joint_vel: recorded in degrees per second"),
    "velocities in rpm": (times("joint_vel", 30 / np.pi), "joint_vel: recorded in revolutions per minute"),
    "velocities in turns": (times("joint_vel", 0.5 / np.pi), "joint_vel: recorded in turns per second"),
    "targets in degrees": (times("target", 180 / np.pi), "target: recorded in degrees"),
    "turn command in degrees": (times("command", [1, 1, 180 / np.pi]), "ang_vel_z of command: recorded in degrees"),
    "all joints in degrees": (
        every(*(times(name, 180 / np.pi) for name in ("joint_pos", "joint_vel", "target"))),
        "joint_pos: recorded in degrees",
    ),
}


@pytest.mark.parametrize("change", UNITS)
def test_a_unit_of_the_trace_is_named(tmp_path: Path, change: str) -> None:
    """Degrees, turns and revolutions are said by name; no scale of the contract becomes 0.0043633."""
    first = diagnosed(tmp_path, toy(), UNITS[change][0]).hypotheses[0]
    assert UNITS[change][1] in first.said
    assert (first.edits, first.whole) == ((), True)


def test_degrees_that_the_network_sees_are_an_edit(tmp_path: Path) -> None:
    """A network that was trained on degrees needs the scale, which is told with the unit and proved by the network."""
    right = edited(toy(), set_scale("base_ang_vel", 57.29577951308232))
    given = edited(toy(), set_scale("base_ang_vel", 1.0))
    first = diagnosed(tmp_path, right, lambda arrays: None, given).hypotheses[0]
    assert [edit.key for edit in first.edits] == ["observation.terms[base_ang_vel].scale"]
    assert "the source shows degrees" in first.said
    assert first.doubt == ""


def test_sine_and_cosine_recorded_the_other_way_round(tmp_path: Path) -> None:
    """The network is the witness that it saw the sine first."""
    first = diagnosed(tmp_path, toy(), turned).hypotheses[0]
    assert first.words == ("gait_phase: sine and cosine exchanged where it was recorded",)
    assert (first.edits, first.whole) == ((), True)


@pytest.mark.parametrize("kept", [0.1, 0.5])
@pytest.mark.parametrize("action", ["joint_position", "joint_position_delta"])
def test_filtered_targets_are_named(tmp_path: Path, action: str, kept: float) -> None:
    """A low-pass filter on the targets is an edit, but where the next target starts from the one before the filter."""
    terms = [{"term": term, "history": 1} for term in ("joint_pos_rel", "joint_vel", "last_action", "base_ang_vel")]
    keys = {"offset": "default"} if action == "joint_position" else {"reference": "joint_target"}
    contract = toy(action={"terms": [{"term": action, "scale": 0.25, **keys}]}, observation={"terms": terms})
    first = diagnosed(tmp_path, contract, filtered("target", kept)).hypotheses[0]
    if action == "joint_position_delta":
        assert f"target: behind a low-pass filter that keeps {kept:g} of the last target" in first.said
        assert first.edits == ()
    else:
        (edit,) = first.edits
        assert edit.key == "action.filter"
        assert (edit.after["kind"], edit.after["fill"]) == ("first_order", "first")
        assert edit.after["alpha"] == pytest.approx(1.0 - kept)


def test_averaged_targets_that_the_next_does_not_start_from_are_named(tmp_path: Path) -> None:
    """A mean over the last three targets of steps from the target before the mean: no contract says that."""

    def averaged(arrays: Arrays) -> None:
        target, steps = arrays["target"].astype(np.float64), np.arange(len(arrays["target"]))
        episode = arrays["episode"].reshape(len(target), -1)[:, 0]
        first = np.maximum.accumulate(np.where(np.append(True, np.diff(episode) != 0), steps, 0))
        arrays["target"] = np.mean([target[np.maximum(steps - back, first)] for back in range(3)], axis=0)

    terms = [{"term": term, "history": 1} for term in ("joint_pos_rel", "joint_vel", "last_action", "base_ang_vel")]
    action = {"terms": [{"term": "joint_position_delta", "scale": 0.25, "reference": "joint_target"}]}
    first = diagnosed(tmp_path, toy(action=action, observation={"terms": terms}), averaged).hypotheses[0]
    assert "target: the mean of the last 3 (moving_average)" in first.said
    assert (first.edits, first.whole) == ((), True)


def test_a_filter_that_runs_on_over_resets_is_told_of_a_long_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a part of a long trace is searched, and what stood before each reset is known all the same."""

    def filtered_on(arrays: Arrays) -> None:
        out = arrays["target"].astype(np.float64)
        for step in range(1, len(out)):
            out[step] = 0.8 * out[step] + 0.2 * out[step - 1]
        arrays["target"] = out

    monkeypatch.setattr("policy_port.verdict.compared.ROWS", 40)
    said = diagnosed(tmp_path, toy(), filtered_on).hypotheses[0].said
    assert "keeps 0.2 of the last target, also of the episode before" in said


def test_another_network_is_no_edit(tmp_path: Path) -> None:
    """Other weights are said, with the action left uncompared and nothing offered."""
    contract = toy()
    arrays = simulate(contract, lengths=LENGTHS, act=Perceptron(contract).act)
    evidence = read_evidence(write(tmp_path / "t.npz", arrays, header(contract)))
    (first,) = diagnose_contract(contract, evidence, Perceptron(contract, seed=1)).hypotheses
    assert first.said.startswith("action: another network, another normaliser or another checkpoint")
    assert first.edits == ()
    assert "nothing differs any more" not in first.effect
    assert "nothing else differs; not compared: action" in first.effect


def blind_to(contract: Contract, start: int, stop: int) -> Perceptron:
    """A network that does not look at some of its inputs."""
    network = Perceptron(contract)
    network.first[start:stop] = 0.0
    return network


def still(arrays: Arrays) -> None:
    for name in arrays:
        arrays[name] = arrays[name][:40]


def test_one_command_never_becomes_a_constant(tmp_path: Path) -> None:
    """Whatever of it is wrong, a command that never changes stays a command; what it does not show is said."""
    contract = toy()
    for scale in (1.0, [1.0, 2.0, 0.25], 3.0):
        given = edited(contract, set_scale("velocity_command", scale))
        diagnosis = diagnosed(tmp_path, contract, still, given)
        assert "constant" not in diagnosis.text()
        assert diagnosis.hypotheses[0].contract == contract


def test_a_command_that_is_zero_shows_no_scale(tmp_path: Path) -> None:
    """An edit of a command's scale is not verified by a trace that holds one of its numbers at zero."""
    contract = toy()

    def straight(arrays: Arrays) -> None:
        still(arrays)
        arrays["command"][:] = [0.5, 0.0, 0.0]
        arrays["observation"][:, 3:6] = [1.0, 0.0, 0.0]

    given = edited(contract, set_scale("velocity_command", 1.0))

    first = diagnosed(tmp_path, contract, straight, given, blind_to(contract, 3, 6)).hypotheses[0]
    assert first.edits[0].key == "observation.terms[velocity_command].scale"
    assert first.doubt.startswith("lin_vel_y, ang_vel_z are zero throughout the trace")


def test_what_stood_for_a_command_is_one_again(tmp_path: Path) -> None:
    """Zeros in a command's place become the command, though it never changes in the trace."""
    contract = toy()

    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    data["observation"]["terms"][1] = {"term": "constant", "name": "velocity_command", "value": [0.0, 0.0, 0.0]}

    def straight(arrays: Arrays) -> None:
        still(arrays)
        arrays["command"][:] = [0.5, 0.0, 0.0]
        arrays["observation"][:, 3:6] = [1.0, 0.0, 0.0]

    arrays = simulate(contract, lengths=LENGTHS)
    straight(arrays)
    evidence = read_evidence(write(tmp_path / "t.npz", arrays, header(contract)))
    first = diagnose_contract(Contract.model_validate(data), evidence).hypotheses[0]
    assert first.contract.observation.terms[1].term == "velocity_command"
    assert first.contract.observation.terms[1].scale == 2.0  # type: ignore[union-attr]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mended_contract_is_verified_with_the_network(tmp_path: Path, mistake: str) -> None:
    """The network, shown what the mended contract makes of the raw state, does what was recorded; else it is said."""
    contract = toy()
    given = edited(contract, MISTAKES[mistake][0])
    first = diagnosed(tmp_path, contract, lambda arrays: None, given).hypotheses[0]
    assert (first.edits != (), first.doubt) == (True, "")
    alone = diagnose_contract(given, read_evidence(tmp_path / "t.npz")).hypotheses[0]
    assert alone.doubt == "the network was not run"


def test_what_explains_a_part_is_not_verified(tmp_path: Path) -> None:
    """A mistake that nothing mends beside one that something does: the edit is told, and told as unverified."""
    contract = toy()

    def spoil(arrays: Arrays) -> None:
        arrays["observation"][:, 24:27] = np.cumsum(np.random.default_rng(0).normal(size=(100, 3)), axis=0)

    given = edited(contract, set_joint(LEGS[0], "stiffness", 77.0))
    first = diagnosed(tmp_path, contract, spoil, given, blind_to(contract, 24, 27)).hypotheses[0]
    assert [edit.key for edit in first.edits] == [f"joints.{LEGS[0]}.stiffness"]
    assert "still differ" in first.doubt
