"""Claims about diagnose: the first hypothesis gives the contract back that the trace was recorded with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.contract.diff import differences
from policy_port.mistakes.edits import edits_between, snapped, with_joint_order, with_term
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.verify import verify_contract
from tests.samples import LEGS
from tests.verdict.mistakes import MISTAKES, delay, edited, evidence_of, reorder, set_joint, set_scale
from tests.verdict.synthetic import past_only, stacked, toy


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_first_hypothesis_mends_the_contract(tmp_path: Path, mistake: str) -> None:
    """What the edits give is the correct contract, number by number, and nothing differs any more."""
    contract = toy()
    diagnosis = diagnose_contract(edited(contract, MISTAKES[mistake][0]), evidence_of(tmp_path, contract))
    first = diagnosis.hypotheses[0]
    assert first.whole, diagnosis.text()
    # The kind of a term was changed under its old name, which stays.
    assert [
        line for line in differences(first.contract, contract, relative_tolerance=1e-4) if ".name" not in line
    ] == []
    assert first.edits
    assert (
        first.figures["residual_after"] <= first.figures["residual_before"] or first.figures["residual_before"] == 0.0
    )


@pytest.mark.parametrize("wrong", [{"layout": "time_major"}, {"order": "newest_first"}, {"fill": "zero"}])
def test_a_history_is_mended(tmp_path: Path, wrong: dict[str, str]) -> None:
    """The edit names the one key of the history."""
    diagnosis = diagnose_contract(stacked(**wrong), evidence_of(tmp_path, stacked()))
    (edit,) = diagnosis.hypotheses[0].edits
    assert edit.key == f"observation.history.{next(iter(wrong))}"
    assert diagnosis.hypotheses[0].contract == stacked()


PAST = {
    "newest first": ({"steps": {"order": "oldest_first"}}, "newest first in the source", "order"),
    "without the present": ({"steps": {"newest": 0}}, "without the present step in the source", "newest"),
    "stride": ({"steps": {"stride": 2}}, "every step in the source, every 2 steps in the contract", "stride"),
    "zeros": ({"fill": "first"}, "filled with zeros at reset in the source", "fill"),
    "by term": ({"layout": "time_major"}, "term-major in the source, time-major in the contract", "layout"),
}


@pytest.mark.parametrize("mistake", PAST)
def test_a_past_only_block_is_verified_and_mended(tmp_path: Path, mistake: str) -> None:
    """Right as it is; order, present, stride, fill and layout are each named, and the one edit puts them right."""
    wrong, words, key = PAST[mistake]
    evidence = evidence_of(tmp_path, past_only())
    assert verify_contract(past_only(), evidence).ok
    assert not verify_contract(past_only(**wrong), evidence).ok
    first = diagnose_contract(past_only(**wrong), evidence).hypotheses[0]
    assert words in first.said
    assert [edit.key.rpartition(".")[2] for edit in first.edits] == [key]
    assert first.contract == past_only()


def test_a_strided_history_behind_the_trace_is_mended(tmp_path: Path) -> None:
    """A contract of three steps in a row, of a policy that saw every second step, and one without the present."""
    for steps, words in (({"newest": 0, "stride": 2}, "every 2 steps"), ({"newest": 1}, "without the present step")):
        data = stacked().model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        for term in data["observation"]["terms"]:
            del term["history"]
            term["group"] = "past"
        del data["observation"]["history"]
        group = {"steps": {"length": 3, "order": "oldest_first", **steps}, "layout": "term_major", "fill": "first"}
        data["observation"]["groups"] = {"past": group}
        diagnosis = diagnose_contract(stacked(), evidence_of(tmp_path, Contract.model_validate(data)))
        # Every term without its present step is every term one step late: both are told.
        assert any(words in each.said and each.whole for each in diagnosis.hypotheses), diagnosis.text()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"length": 0.8}, "the motion takes 0.5 s, not 0.8 s"),
        ({"start": 0.0}, "it begins at 0.02 s, not 0 s"),
        ({"end": "run"}, "after its end it is to hold, not run"),
        ({"end": "repeat"}, "after its end it is to hold, not repeat"),
    ],
)
def test_a_motions_time_is_mended(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    """Length, start and end of what a policy is shown of a motion, in the present and in its past alike."""

    def contract(**keys: Any) -> Contract:
        term = {"term": "elapsed", "length": 0.5, "start": 0.02, "end": "hold", **keys}
        steps = {"length": 2, "newest": 1, "order": "newest_first"}
        groups = {"past": {"steps": steps, "layout": "term_major", "fill": "zero"}}
        terms = [{"term": "joint_pos"}, term, {**term, "name": "past_elapsed", "group": "past"}]
        return toy(observation={"terms": terms, "groups": groups})

    evidence = evidence_of(tmp_path, contract())
    assert verify_contract(contract(), evidence).ok
    assert not verify_contract(contract(**wrong), evidence).ok
    first = diagnose_contract(contract(**wrong), evidence).hypotheses[0]
    assert words in first.said
    assert differences(first.contract, contract()) == []


def test_the_scale_of_a_past_only_term_is_mended(tmp_path: Path) -> None:
    """What later rows show of a step tells its scale, although no row shows it at once."""
    right = past_only()
    wrong = edited(right, lambda data: data["observation"]["terms"][4].update(scale=1.0))
    first = diagnose_contract(wrong, evidence_of(tmp_path, right)).hypotheses[0]
    assert first.contract == right
    assert "the scale 0.25 is missing" in first.said


def test_lengths_of_two_groups_are_exchanged_back(tmp_path: Path) -> None:
    """Two groups of one width whose steps were written down the wrong way round."""

    def contract(one: int, other: int) -> Contract:
        groups = {
            name: {
                "steps": {"length": length, "newest": 0, "order": "oldest_first"},
                "layout": "term_major",
                "fill": "first",
            }
            for name, length in (("a", one), ("b", other))
        }
        terms = [{"term": "base_ang_vel", "group": "a"}, {"term": "base_lin_vel", "group": "b"}]
        return toy(observation={"terms": terms, "groups": groups})

    first = diagnose_contract(contract(2, 4), evidence_of(tmp_path, contract(4, 2))).hypotheses[0]
    assert first.contract == contract(4, 2)
    assert "exchanged" in first.said


def test_independent_mistakes_are_mended_together(tmp_path: Path) -> None:
    """Another joint order, a missing scale and a wrong gain at once: one hypothesis with all three edits."""
    contract = toy()
    wrong = contract
    for change in (reorder(*LEGS[::-1]), set_scale("joint_vel", 1.0), set_joint("left_hip", "stiffness", 5.0)):
        wrong = edited(wrong, change)
    first = diagnose_contract(wrong, evidence_of(tmp_path, contract)).hypotheses[0]
    assert first.whole
    assert differences(first.contract, contract) == []
    assert {edit.key for edit in first.edits} == {
        "joints (order)",
        "observation.terms[joint_vel].scale",
        "joints.left_hip.stiffness",
    }


def test_a_wrong_reading_is_no_edit(tmp_path: Path) -> None:
    """A state recorded a step late is explained by a remedy, and the contract stays as it is."""
    contract = toy()
    first = diagnose_contract(contract, evidence_of(tmp_path, contract, delay)).hypotheses[0]
    assert (first.whole, first.edits, len(first.remedies)) == (True, (), 1)
    assert "one step late" in first.words[0]


def test_a_late_state_behind_a_history_is_explained(tmp_path: Path) -> None:
    """What a history remembers of the moment before the trace is not held against the explanation."""
    first = diagnose_contract(stacked(), evidence_of(tmp_path, stacked(), delay)).hypotheses[0]
    assert (first.whole, first.edits) == (True, ())


def test_a_correct_contract_has_no_diagnosis(tmp_path: Path) -> None:
    """Where nothing differs, nothing is suggested."""
    contract = toy()
    diagnosis = diagnose_contract(contract, evidence_of(tmp_path, contract))
    assert diagnosis.ok
    assert diagnosis.hypotheses == ()


def test_nonsense_has_no_hypothesis_that_explains_it(tmp_path: Path) -> None:
    """Observations drawn at random are explained by nothing, and nothing is said to explain them."""
    kinds = ("base_ang_vel", "joint_pos_rel", "joint_vel", "last_action")
    contract = toy(observation={"terms": [{"term": kind} for kind in kinds]})

    def scramble(arrays: dict[str, np.ndarray]) -> None:
        arrays["observation"] = np.random.default_rng(0).normal(size=arrays["observation"].shape).astype(np.float32)

    diagnosis = diagnose_contract(contract, evidence_of(tmp_path, contract, scramble))
    assert not any(hypothesis.whole for hypothesis in diagnosis.hypotheses)


def test_edits_read_as_yaml_and_rank_by_what_they_change(tmp_path: Path) -> None:
    """JSON carries the key path, what stood there and what should."""
    contract = toy()
    diagnosis = diagnose_contract(edited(contract, set_scale("base_ang_vel", 1.0)), evidence_of(tmp_path, contract))
    document = json.loads(diagnosis.json())
    assert document["hypotheses"][0]["edits"] == [
        {"key": "observation.terms[base_ang_vel].scale", "from": None, "to": 0.25}
    ]
    assert "edit    observation.terms[base_ang_vel].scale: (not stated) -> 0.25" in diagnosis.text()


def test_edits_between_equal_contracts_are_none() -> None:
    """A contract needs no edit to become itself; another order is one edit."""
    contract = toy()
    assert edits_between(contract, contract) == ()
    turned = with_joint_order(contract, LEGS[::-1])
    assert turned is not None
    (edit,) = edits_between(contract, turned)
    assert (edit.key, edit.after) == ("joints (order)", list(LEGS[::-1]))


def test_a_change_that_is_no_contract_is_none() -> None:
    """Candidates that break the contract's own rules fall away."""
    assert with_term(toy(), "joint_vel", joints=["left_hip", "no_such_joint"]) is None


@pytest.mark.parametrize(
    ("value", "doubt", "prefer", "expected"),
    [
        (0.24999993, 1e-6, None, 0.25),
        (0.0500004, 1e-6, 0.0500001, 0.0500001),
        (1e-9, 1e-6, None, 0.0),
        (0.1234567, 0.0, None, 0.1234567),
    ],
)
def test_numbers_snap_to_what_a_person_wrote(value: float, doubt: float, prefer: float | None, expected: float) -> None:
    """The shortest decimal within the doubt, or the number that stands there."""
    assert snapped(value, doubt, prefer=prefer) == expected


def test_what_diagnose_gives_is_what_verify_accepts(tmp_path: Path) -> None:
    """The mended contract passes verify on the trace that showed the mistake."""
    contract = toy()
    evidence = evidence_of(tmp_path, contract)
    wrong = edited(contract, MISTAKES["one default"][0])
    assert verify_contract(diagnose_contract(wrong, evidence).hypotheses[0].contract, evidence).ok
