"""Claims about drafts: nothing is guessed, every gap is named with its flag, every number knows its source."""

from __future__ import annotations

from typing import Any

import pytest

from policy_port.descriptors.dotted import assign, covers, find
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.errors import ContractError
from tests.descriptors.importing import unsourced


def draft() -> Draft:
    made = Draft("toy.yaml")
    made.joints(["a", "b"], "toy.yaml: names")
    made.per_joint("default", [0.1, 0.2], "toy.yaml: default")
    made.term({"term": "base_ang_vel"}, "toy.yaml: terms")
    made.term({"term": "joint_pos_rel"}, "toy.yaml: terms")
    made.action({"term": "joint_position", "scale": 0.25, "offset": "default"}, "toy.yaml: scale")
    return made


def options(**more: Any) -> ImportOptions:
    given = {"robot": "toy", "trained_in": "nowhere", "quaternion_order": "wxyz", "timestep": 0.005}
    settings = {"decimation": 4} | more.pop("settings", {})
    return ImportOptions(name="toy", actuation="implicit", settings=settings, **(given | more))


def test_every_gap_is_listed_at_once_with_its_flag() -> None:
    """An import that lacks five things says five things, each with what gives it."""
    with pytest.raises(ContractError) as caught:
        draft().build(ImportOptions(name="toy"))
    text = str(caught.value)
    assert text.startswith("toy.yaml: 5 things that a contract needs are missing, and nothing is guessed:")
    for part in ("--robot NAME", "--timestep SECONDS", "decimation=N", "--actuation"):
        assert part in text


def test_a_floating_base_follows_from_a_base_term() -> None:
    """Who observes the base's angular velocity has a base that floats; the source says so."""
    contract = draft().build(options())
    assert contract.base.floating
    assert contract.sources["base.floating"].startswith("base_ang_vel is observed")


def test_every_number_of_the_contract_has_a_source() -> None:
    """No value of a built contract is without an entry in `sources`."""
    contract = draft().build(options(settings={"joints.*.armature": 0.01}))
    assert unsourced(contract) == []
    assert contract.sources["joints.*.armature"] == "--set"


def test_a_setting_that_replaces_a_stated_value_is_noted() -> None:
    """Overriding the descriptor is possible and never silent."""
    made = draft()
    contract = made.build(options(settings={"joints.a.default": 0.7}))
    assert contract.joints["a"].default == 0.7
    assert made.notes == ["--set replaces joints.a.default 0.1 (toy.yaml: default) by 0.7"]


def test_a_gap_inside_a_list_of_joints_names_the_joint() -> None:
    """One joint without a default is named; all of them are called by the pattern."""
    made = draft()
    del made.data["joints"]["b"]["default"]
    with pytest.raises(ContractError, match=r"joints\.b\.default: .* give --set joints\.JOINT\.default=NUMBER"):
        made.build(options())


def test_an_invalid_value_names_its_key_and_source() -> None:
    """What the contract refuses is reported with the flag or file it came from."""
    with pytest.raises(ContractError, match=r"toy\.yaml: joints\.a\.stiffness \(from --set\): .*greater than or equal"):
        draft().build(options(settings={"joints.a.stiffness": -1.0}))


def test_a_control_period_must_be_a_whole_number_of_timesteps() -> None:
    """A timestep that does not divide the control period is refused, not rounded."""
    made = draft()
    made.control_dt = (0.02, "toy.yaml: step_dt")
    with pytest.raises(ContractError, match=r"control period is 0\.02 s, which is not timestep 0\.003"):
        made.build(ImportOptions(name="toy", robot="r", quaternion_order="wxyz", actuation="implicit", timestep=0.003))


def test_an_unknown_key_of_set_is_refused_with_the_nearest() -> None:
    """A slip in --set is not a new key."""
    with pytest.raises(ContractError, match="unknown key 'stifness'"):
        draft().build(options(settings={"joints.*.stifness": 3.0}))
    with pytest.raises(ContractError, match="there is no entry 'joint_pos'.*There are: base_ang_vel, joint_pos_rel"):
        draft().build(options(settings={"observation.terms.joint_pos.scale": 3.0}))


def test_dotted_keys_lead_through_mappings_lists_and_stars() -> None:
    """A list of terms is entered by label or index, a star is every entry."""
    data: dict[str, Any] = {"terms": [{"term": "x"}, {"term": "y", "name": "z"}], "joints": {"a": {}, "b": {}}}
    assign(data, "terms.z.scale", 2)
    assign(data, "terms.0.scale", 3)
    assign(data, "joints.*.unit", "deg")
    assert list(find(data, "terms.*.scale")) == [("terms.x.scale", 3), ("terms.z.scale", 2)]
    assert list(find(data, "joints.b.unit")) == [("joints.b.unit", "deg")]
    assert covers("joints.*", "joints.a.unit")
    assert not covers("joints.*.unit", "joints.a.default")


def test_names_may_hold_dots() -> None:
    """The longest name that is there counts, also where a star stands for it."""
    data = {"joints": {"a": {}, "a.pos": {}}}
    assign(data, "joints.a.pos.unit", "deg")
    assign(data, "joints.a.unit", "rad")
    assert data == {"joints": {"a": {"unit": "rad"}, "a.pos": {"unit": "deg"}}}
    assert list(find(data, "joints.a.pos.unit")) == [("joints.a.pos.unit", "deg")]
    assert covers("joints.*.unit", "joints.a.pos.unit")
    assert not covers("joints.*.unit", "joints.a.pos.default")
