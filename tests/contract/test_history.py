"""Claims about histories of a group: which steps, in which order, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.contract import Contract, load_contract, load_mapping
from policy_port.contract.diff import differences
from policy_port.contract.layout import observation_slots
from policy_port.descriptors.describe import describe
from policy_port.errors import ContractError, MappingError
from policy_port.proof.reference import ByNameReference, layout
from policy_port.proof.sampling import sample_observations
from policy_port.remap.build import build_remap
from tests.samples import LEGS, contract_data

ASAP = {"steps": [1, 2, 3], "layout": "term_major", "fill": "zero"}
TERMS = (
    {"term": "joint_vel", "scale": 0.05},
    {"term": "joint_vel", "name": "past_joint_vel", "scale": 0.05, "group": "past"},
    {"term": "base_ang_vel", "name": "past_base_ang_vel", "group": "past"},
)


def data(*terms: dict[str, Any], **groups: dict[str, Any]) -> dict[str, Any]:
    return contract_data(observation={"terms": list(terms or TERMS), "groups": groups or {"past": ASAP}})


def loaded(tmp_path: Path, document: dict[str, Any]) -> Contract:
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_contract(path)


def test_groups_survive_being_written_and_are_told(tmp_path: Path) -> None:
    """Index lists and tables come back, and both describe and diff say what they hold."""
    table = {"length": 2, "newest": 4, "stride": 5, "order": "oldest_first"}
    contract = loaded(tmp_path, data(*TERMS[:2], {**TERMS[2], "group": "far"}, past=ASAP, far={**ASAP, "steps": table}))
    path = tmp_path / "again.yaml"
    path.write_text(contract.to_yaml())
    assert load_contract(path) == contract
    assert contract.widths() == "joint_vel 4 + past_joint_vel 4 x 3 + past_base_ang_vel 3 x 2 = 22"
    assert [slot.age for slot in observation_slots(contract)[16::3]] == [9, 4]
    assert layout(contract) == [tuple(slot) for slot in observation_slots(contract)]
    text = describe(contract)
    assert "history far: 9, 4 steps ago, term_major, filled with zero" in text
    other = loaded(tmp_path, data(*TERMS[:2], {**TERMS[2], "group": "far"}, past=ASAP, far=ASAP))
    assert any("observation.groups.far.steps" in line for line in differences(contract, other))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [1, 2, 1]}, r"steps.*: age 1 stands twice; list each age once"),
        ({"steps": [1, -2]}, r"steps"),
        ({"steps": []}, r"steps"),
        ({"steps": {"length": 3, "order": "newest_first"}}, r"required key 'newest' is missing"),
        ({"steps": {"length": 3, "present": False}}, r"unknown key 'present'"),
        ({"steps": 4}, r"steps"),
        ({"fill": "last"}, r"fill"),
        ({"order": "newest_first"}, r"unknown key 'order'"),
    ],
)
def test_a_group_that_says_nothing_sensible_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Nothing of a group has a default but the stride, and the file and line are named."""
    with pytest.raises(ContractError, match=r"contract.yaml:\d+.*" + message):
        loaded(tmp_path, data(past={**ASAP, **change}))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (data({"term": "joint_vel", "group": "pst"}), "group 'pst', which is not in observation.groups; did you mean"),
        (data({"term": "joint_vel"}), "observation.groups.past is no term's `group`"),
        (data({"term": "joint_vel", "group": "past", "history": 3}), "leave out history 3"),
        (data({"term": "joint_vel", "clip_after_scale": True}), "there is no clip"),
        (
            data({"term": "joint_vel", "clip": [-1, 1], "scale": 0.0, "clip_after_scale": True}),
            "scale 0 leaves a constant",
        ),
        (
            data(TERMS[1], TERMS[0], TERMS[2], past={**ASAP, "layout": "time_major"}),
            "another term stands between 'past_joint_vel' and 'past_base_ang_vel'",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    """A term of no group, a group of no term, two statements of one thing, and a step that is torn apart."""
    with pytest.raises(ContractError, match=message):
        loaded(tmp_path, document)


def test_a_group_of_no_term_is_named_or_left_out(tmp_path: Path) -> None:
    """As the message says: a term that names the group, or no group at all."""
    document = data({"term": "joint_vel"})
    with pytest.raises(ContractError, match="is no term's `group`; name it in a term, or leave it out"):
        loaded(tmp_path, document)
    assert loaded(tmp_path, data({"term": "joint_vel", "group": "past"})).observation.groups
    del document["observation"]["groups"]
    assert not loaded(tmp_path, document).observation.groups


def mapping(tmp_path: Path, **changes: Any) -> Any:
    names = {"source_joint_names": list(LEGS), "target_joint_names": list(LEGS[::-1])}
    path = tmp_path / "mapping.yaml"
    path.write_text(yaml.safe_dump({**names, "joints": {LEGS[0]: {"sign": -1}}, **changes}))
    return load_mapping(path)


def test_a_remap_follows_names_step_by_step(tmp_path: Path) -> None:
    """Every step of a block goes to the joint of its name, with its sign, wherever the target lays the steps out."""
    source = Contract.model_validate(data())
    wide = {"steps": {"length": 5, "newest": 0, "order": "oldest_first"}, "layout": "term_major", "fill": "zero"}
    for groups in ({}, {"past": wide}):
        remap = build_remap(source, mapping(tmp_path, groups=groups))
        assert remap.target.observation.groups["past"].ages == ((4, 3, 2, 1, 0) if groups else (1, 2, 3))
        there = [str(slot) for slot in observation_slots(remap.target)]
        for row, slot in enumerate(observation_slots(source)):
            assert there[remap.observation.index[row]] == str(slot)
            assert remap.observation.scale[row] == (-1.0 if slot.element == LEGS[0] else 1.0)


def test_the_independent_reference_agrees_with_the_remap(tmp_path: Path) -> None:
    """Two groups, a clip after scale and a flipped joint: number by number, over drawn observations."""
    clipped = {"term": "joint_vel", "scale": -0.5, "offset": 0.1, "clip": [-1.0, 0.4], "clip_after_scale": True}
    table = {"length": 2, "newest": 2, "stride": 3, "order": "oldest_first"}
    groups = {
        "past": {**ASAP, "layout": "time_major"},
        "far": {"steps": table, "layout": "time_major", "fill": "first"},
    }
    terms = [clipped, *({**term, "group": "past"} for term in TERMS[1:]), {**clipped, "name": "f", "group": "far"}]
    source = Contract.model_validate(data(*terms, **groups))
    rule = mapping(tmp_path, joints={LEGS[0]: {"sign": -1, "scale": 2.0}})
    remap = build_remap(source, rule)
    drawn = sample_observations(remap.target, 3, 4, np.random.default_rng(0))
    reference = ByNameReference(source, remap.target, rule)
    for group in drawn.values():
        obs = group.reshape(-1, group.shape[-1]).astype(np.float64)
        np.testing.assert_allclose(remap.observation(obs), reference.observation(obs), atol=1e-6)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"past": {**ASAP, "steps": [1, 2]}}, "of 3 steps ago, and the target's 'past_joint_vel' has the ages 1, 2"),
        ({"pasd": ASAP}, "groups names 'pasd', which contract 'toy' does not have; did you mean 'past'"),
    ],
)
def test_a_target_without_a_step_is_refused(tmp_path: Path, groups: dict[str, Any], message: str) -> None:
    """What the policy sees has to be there."""
    with pytest.raises(MappingError, match=message):
        build_remap(Contract.model_validate(data()), mapping(tmp_path, groups=groups))


def test_the_pages_examples_are_contracts() -> None:
    """What docs/histories.md shows is read, and as wide as it looks."""
    page = (Path(__file__).resolve().parents[2] / "docs/histories.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(text.split("```")[0]) for text in page.split("```yaml\n")[1:]]
    widths = [Contract.model_validate(contract_data(**example)).observation_size for example in examples]
    assert widths == [3 * 5 + 4 * 5, 4 + 4 * 4 + 3 * 4 + 3 * 4]
