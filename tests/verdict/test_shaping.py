"""Claims about filters, delays and bounds per joint: verify computes them itself, diagnose names what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.mistakes.edits import plain
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verify_contract
from tests.control.test_shaping import out_of
from tests.samples import LEGS
from tests.verdict.synthetic import TRACE_JOINTS, header, simulate, toy, write

TERMS = [{"term": "joint_pos_rel"}, {"term": "base_ang_vel"}, {"term": "last_action"}]
ACTION = {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]}
PLAIN = toy(action=ACTION, observation={"terms": TERMS})
BOUNDS = {name: [-0.8, 0.5 + 0.1 * k] for k, name in enumerate(LEGS)}
ALPHA = {"kind": "first_order", "alpha": 0.3, "of": "raw"}
MEAN = {"kind": "moving_average", "steps": 3, "of": "target"}
CUTOFF = {"kind": "first_order", "cutoff_hz": 3.0, "of": "target"}


def stated(action: dict[str, Any], **last: Any) -> Contract:
    data = plain(PLAIN)
    data["action"] |= action
    data["observation"]["terms"][2] |= last
    return Contract.model_validate(data)


def recorded(contract: Contract) -> dict[str, np.ndarray]:
    """A trace of a loop that clips, delays and filters as the contract says; by definition, episode by episode."""
    arrays = simulate(PLAIN)
    action, last = contract.action, contract.observation.terms[2]
    for episode in np.unique(arrays["episode"]):
        rows = np.flatnonzero(arrays["episode"] == episode)
        for place, name in enumerate(contract.action_joint_names):
            column, default = TRACE_JOINTS.index(name), contract.joints[name].default
            raw = [float(np.clip(x, *action.raw_bounds(name))) for x in arrays["action"][rows, place]]
            late = action.late.steps or 0
            in_force = ([raw[0] if action.late.fill == "first" else 0.0] * late + raw)[: len(raw)]
            filter_ = plain(contract)["action"].get("filter", {})
            if filter_.get("of") == "raw":
                in_force = out_of(filter_, in_force, 0.0, contract.control_dt)
            target = [default + 0.25 * x for x in in_force]
            if filter_.get("of") == "target":
                held = {"start": arrays["joint_pos"][rows[0], column], "default": default, "first": target[0]}
                target = out_of(filter_, target, float(held[filter_.get("fill", "start")]), contract.control_dt)
            arrays["target"][rows, column] = target
            seen = in_force if last.of == "filtered" else raw
            arrays["observation"][rows, 7 + place] = ([0.0] * last.ago + seen)[: len(raw)]
    return arrays


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "filter left out": ({"filter": ALPHA}, {}, "the filter {kind: first_order, of: raw, alpha: 0.3} is missing"),
    "filter too many": ({}, {"filter": ALPHA}, "a filter of raw too many"),
    "alpha for its rest": (
        {"filter": ALPHA},
        {"filter": ALPHA | {"alpha": 0.7}},
        "is the weight of the new, 0.3",
    ),
    "another alpha": ({"filter": ALPHA}, {"filter": ALPHA | {"alpha": 0.4}}, "filter alpha 0.3 instead of 0.4"),
    "another cutoff": ({"filter": CUTOFF}, {"filter": CUTOFF | {"cutoff_hz": 5.0}}, "cutoff_hz 3.0 instead of 5.0"),
    "raw for target": ({"filter": ALPHA}, {"filter": ALPHA | {"of": "target"}}, "filter of raw instead of target"),
    "filled otherwise": ({"filter": MEAN | {"fill": "first"}}, {"filter": MEAN}, "fill first instead of its default"),
    "mean of two": ({"filter": MEAN}, {"filter": MEAN | {"steps": 2}}, "filter steps 3 instead of 2"),
    "mean left out": ({"filter": MEAN}, {}, "{kind: moving_average, of: target, steps: 3} is missing"),
    "delay left out": ({"delay": 1}, {}, "target: one step late, a delay of the action is missing"),
    "delay too many": ({}, {"delay": 2}, "a delay of two steps too many"),
    "delay off by one": ({"delay": 2}, {"delay": 3}, "delay off by one step: two steps instead of three"),
    "delay filled otherwise": ({"delay": {"steps": 2, "fill": "first"}}, {"delay": 2}, "before is first, not zero"),
    "delay and filter left out": ({"delay": 1, "filter": ALPHA}, {}, "a delay of one step is missing, the filter"),
    "clip of one joint left out": (
        {"raw_clip": BOUNDS},
        {"raw_clip": BOUNDS | {LEGS[1]: [-100.0, 100.0]}},
        rf"raw_clip of {LEGS[1]} \[-0.8, 0.6\]",
    ),
    "clip of two joints exchanged": (
        {"raw_clip": BOUNDS},
        {"raw_clip": BOUNDS | {LEGS[1]: BOUNDS[LEGS[2]], LEGS[2]: BOUNDS[LEGS[1]]}},
        rf"raw_clip of {LEGS[1]} \[-0.8, 0.6\], {LEGS[2]} \[-0.8, 0.7\]",
    ),
    "clip of one joint too many": (
        {},
        {"raw_clip": BOUNDS | {name: [-1e9, 1e9] for name in LEGS[1:]}},
        rf"raw_clip of {LEGS[0]} too many",
    ),
    "clip per joint left out": ({"raw_clip": BOUNDS}, {}, "raw_clip of .* missing or another"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_action_is_named_and_mended(tmp_path: Path, mistake: str) -> None:
    """verify accepts the right contract and refuses the wrong one; the first edit gives the right targets back."""
    right, wrong = (stated(action) for action in MISTAKES[mistake][:2])
    evidence = read_evidence(write(tmp_path / "t.npz", recorded(right), header(right)))
    assert verify_contract(right, evidence).ok, verify_contract(right, evidence).text()
    diagnosis = diagnose_contract(wrong, evidence)
    first = diagnosis.hypotheses[0]
    assert re.search(MISTAKES[mistake][2], first.said), diagnosis.text()
    assert first.whole
    assert verify_contract(first.contract, evidence).ok
    if "clip" not in mistake:
        assert first.contract.action == right.action


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ({}, {"of": "filtered"}, "the raw action, not the filtered one"),
        ({"of": "filtered"}, {}, "the filtered action, not the raw one"),
        ({"ago": 3}, {}, "two steps late"),
        ({}, {"ago": 2}, "one step early"),
        ({"of": "filtered", "ago": 2}, {}, "filtered action, not the raw one, of two steps ago"),
    ],
)
def test_another_last_action_is_named_and_mended(
    tmp_path: Path, right: dict[str, Any], wrong: dict[str, Any], said: str
) -> None:
    """What the network remembers of its own action: of which step, before or behind the filter."""
    contract = stated({"filter": ALPHA}, **right)
    evidence = read_evidence(write(tmp_path / "t.npz", recorded(contract), header(contract)))
    first = diagnose_contract(stated({"filter": ALPHA}, **wrong), evidence).hypotheses[0]
    assert re.search(said, first.said)
    assert first.contract == contract


@pytest.mark.parametrize(
    "action",
    [{"delay": 2, "filter": ALPHA | {"alpha": 0.6}}, {"filter": MEAN}, {"filter": ALPHA | {"of": "target"}}],
)
def test_a_recording_from_the_middle_tells_later(tmp_path: Path, action: dict[str, Any]) -> None:
    """Where the past before the recording still counts nothing is claimed; a wrong delay shows behind it."""
    right = stated(action)
    arrays = {name: array[5:40] for name, array in recorded(right).items()}
    arrays["episode"][:] = 0.0
    evidence = read_evidence(write(tmp_path / "t.npz", arrays, header(right)))
    verdict = verify_contract(right, evidence)
    assert verdict.ok, verdict.text()
    assert next(check for check in verdict.checks if check.label == "target").rows_left_out
    assert not verify_contract(stated(action | {"delay": 1}), evidence).ok
