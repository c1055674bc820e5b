"""Claims about what mjlab's metadata says of each term, and about joints that nothing drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError
from tests.descriptors.importing import COMPLETE, imported, linear_policy
from tests.descriptors.test_onnx_metadata import METADATA, WIDTH, make

OPEN = "-inf;inf"


def clips(*pairs: str) -> dict[str, str]:
    """Bounds of the last terms of six; the others have none."""
    return {"observation_terms_clip": ",".join([OPEN] * (6 - len(pairs)) + list(pairs))}


def said(made: Any) -> list[dict[str, Any]]:
    return [term.model_dump(exclude_defaults=True) for term in made.contract.observation.terms]


@pytest.mark.parametrize(
    "text",
    [
        "-inf;inf,-inf;inf,-inf;inf,-0.100;0.100,-inf;inf,-5.000;5.000",
        "[-inf, inf],[-inf, inf],[-inf, inf],[-0.1, 0.1],[-inf, inf],[-5.0, 5.0]",
        "None,None,None,(-0.1, 0.1),none,(-5.0, 5.0)",
    ],
)
@pytest.mark.parametrize("key", ["observation_terms_clip", "observation_term_clip"])
def test_bounds_in_the_metadata_are_the_terms(tmp_path: Path, key: str, text: str) -> None:
    """Each of mjlab's ways of writing bounds ends in the clip of the term that it belongs to."""
    made = make(tmp_path, metadata={key: text})
    found = {term["term"]: term.get("clip") for term in said(made)}
    assert found == {
        "base_ang_vel": None,
        "projected_gravity": None,
        "velocity_command": None,
        "joint_pos_rel": (-0.1, 0.1),
        "joint_vel": None,
        "last_action": (-5.0, 5.0),
    }


@pytest.mark.parametrize("bounds", ["-inf;5.000", "0.000;0.000", "-1.000", "a;b", "nan;1"])
@pytest.mark.parametrize("name", ["joint_vel", "4"])
def test_bounds_that_a_contract_can_not_state_may_be_set(tmp_path: Path, bounds: str, name: str) -> None:
    """The message names the key that helps, and it does: by the term's name in the file or by its number."""
    metadata = clips(bounds, OPEN)
    with pytest.raises(ContractError, match=r"for 'joint_vel'.*--set observation\.terms\.joint_vel\.clip="):
        make(tmp_path, metadata=metadata)
    settings = {"decimation": 4, f"observation.terms.{name}.clip": [-9.0, 5.0]}
    assert said(make(tmp_path, metadata=metadata, settings=settings))[4] == {"term": "joint_vel", "clip": (-9.0, 5.0)}


def test_a_clip_may_be_set_by_any_of_a_terms_names(tmp_path: Path) -> None:
    """The file says command and joint_pos, the contract velocity_command and joint_pos_rel."""
    for name in ("joint_pos", "joint_pos_rel", "3"):
        settings = {"decimation": 4, f"observation.terms.{name}.clip": [-2.0, 2.0]}
        made = make(tmp_path, metadata=clips("-0.100;0.100", OPEN, OPEN), settings=settings)
        assert said(made)[3] == {"term": "joint_pos_rel", "clip": (-2.0, 2.0)}
    with pytest.raises(ContractError, match=r"observation\.terms\.joint_posi\.clip: there is no entry"):
        make(tmp_path, settings={"decimation": 4, "observation.terms.joint_posi.clip": [-1.0, 1.0]})


def test_a_count_that_is_not_the_terms_is_refused(tmp_path: Path) -> None:
    """Bounds and scales belong to terms by their place."""
    with pytest.raises(ContractError, match="observation_terms_clip' has 5 entries, expected 6, one per term"):
        make(tmp_path, metadata={"observation_terms_clip": ",".join([OPEN] * 5)})
    with pytest.raises(ContractError, match="observation_terms_scale' has 1 entries, expected 6"):
        make(tmp_path, metadata={"observation_terms_scale": "1.000"})


def test_a_scale_may_have_one_number_per_element(tmp_path: Path) -> None:
    """mjlab joins the elements of one term by semicolons; one that rounding made 0 is asked for."""
    scales = "1.000,1.000,2.000;2.000;0.250,1.000,0.050;0.100,1.000"
    made = said(make(tmp_path, metadata={"observation_terms_scale": scales}))
    assert made[2]["scale"] == (2.0, 2.0, 0.25)
    assert made[4]["scale"] == {"hip": 0.05, "knee": 0.1}
    with pytest.raises(ContractError, match="has 3 numbers, expected 2"):
        make(tmp_path, metadata={"observation_terms_scale": scales.replace("0.050;0.100", "1.0;2.0;3.0")})
    lost = {"observation_terms_scale": scales.replace("0.050;0.100", "0.000")}
    with pytest.raises(ContractError, match=r"for 'joint_vel'.*--set observation\.terms\.joint_vel\.scale=NUMBER"):
        make(tmp_path, metadata=lost)
    settings = {"decimation": 4, "observation.terms.joint_vel.scale": 0.0004}
    assert said(make(tmp_path, metadata=lost, settings=settings))[4]["scale"] == 0.0004


def test_rounding_of_a_scale_or_bound_is_told(tmp_path: Path) -> None:
    """0.013 stands for 0.0125 as well; whole numbers, and what the user gives, are taken for what they are."""
    metadata = {"observation_terms_scale": "1.000,1.000,2.000,1.000,0.013,1.000"} | clips("-0.100;0.100", OPEN, OPEN)
    notes = make(tmp_path, metadata=metadata).notes
    assert any("the scale 0.013 of 'joint_vel' may be off by 3.8 %" in note for note in notes)
    settings = {"decimation": 4, "observation.terms.joint_vel.scale": 0.0125}
    made = make(tmp_path, metadata=metadata, settings=settings)
    assert said(made)[4]["scale"] == 0.0125
    assert any("the clip -0.1 of 'joint_pos' may be off by 0.5 %" in note for note in made.notes)
    assert not any("the scale" in note or "the clip" in note for note in make(tmp_path).notes)


def test_a_history_that_is_no_flat_vector_is_refused(tmp_path: Path) -> None:
    """flatten_history_dim 0 matters where something is stacked."""
    flat = {"observation_terms_flatten_history_dim": "1.000,1.000,1.000,1.000,0.000,1.000"}
    assert len(said(make(tmp_path, metadata=flat))) == 6
    stacked = {"observation_terms_history_length": "0.000,0.000,0.000,0.000,3.000,0.000"}
    with pytest.raises(ContractError, match="flatten_history_dim' is 0 for 'joint_vel'"):
        make(tmp_path, metadata=flat | stacked)
    assert said(make(tmp_path, metadata=stacked, width=WIDTH + 4))[4]["history"] == 3


def test_a_term_that_only_the_task_knows_takes_its_size(tmp_path: Path) -> None:
    """height_scan is in no layout: --size brings it in, at its place; a size of a known or absent term is refused."""
    metadata = {"observation_names": "base_ang_vel,height_scan,actions", "observation_terms_scale": "1.0,0.2,1.0"}
    with pytest.raises(ContractError, match="'height_scan' is not in the layout.*--size height_scan=N"):
        make(tmp_path, metadata=metadata)
    made = make(tmp_path, metadata=metadata, width=3 + 187 + 2, sizes={"height_scan": 187})
    assert said(made)[1] == {"term": "external", "name": "height_scan", "size": 187}
    with pytest.raises(ContractError, match="--size base_ang_vel: the layout has that term, a base_ang_vel"):
        make(tmp_path, metadata=metadata, sizes={"height_scan": 187, "base_ang_vel": 3})
    with pytest.raises(ContractError, match="--size heigth_scan: the metadata has no term .*'height_scan'"):
        make(tmp_path, metadata=metadata, sizes={"height_scan": 187, "heigth_scan": 187})


@pytest.mark.parametrize(
    ("key", "part", "whole"),
    [
        ("observation_terms_delay", "observation", [{"term": "external", "name": "all", "size": WIDTH}]),
        ("action_offset", "action", [{"term": "joint_position", "scale": 0.5, "offset": 0.1}]),
        ("action_term", "action", [{"term": "joint_position", "scale": 0.5, "offset": 0.1}]),
    ],
)
def test_metadata_that_nobody_understands_stops_until_the_whole_is_stated(
    tmp_path: Path, key: str, part: str, whole: list[dict[str, Any]]
) -> None:
    """A key that decides what a number is is refused; who states observation or action himself has answered it."""
    with pytest.raises(ContractError, match=f"'metadata.{key}' is unknown.*--set {part}.terms="):
        make(tmp_path, metadata={key: "0.5"})
    settings = {"decimation": 4, "base.floating": True, f"{part}.terms": whole}
    made = make(tmp_path, metadata={key: "0.5"}, settings=settings)
    assert made.contract.action_size == 2
    assert made.contract.observation_size == WIDTH


def test_joints_that_nothing_drives_are_named_by_the_user(tmp_path: Path) -> None:
    """mjlab skips them in gains and scale; which they are it does not say."""
    metadata = METADATA | {
        "joint_names": "hip,spring,knee",
        "default_joint_pos": "0.100,0.000,-0.200",
        "observation_terms_scale": "1.0,1.0,1.0,1.0,1.0,1.0",
    }
    file = linear_policy(tmp_path / "policy.onnx", 9 + 3 + 3 + 2, 2, metadata)
    options: dict[str, Any] = COMPLETE | {"layout": "mjlab_velocity", "settings": {"decimation": 4}}
    with pytest.raises(ContractError, match="has 2 numbers for 3 joints, so that some joints are not.*--set action"):
        imported(file, **options)
    action = [{"term": "joint_position", "joints": ["knee", "hip"], "scale": 0.5, "offset": "default"}]
    options["settings"] = {"decimation": 4, "action.terms": action}
    made = imported(file, **options).contract
    assert {name: joint.stiffness for name, joint in made.joints.items()} == {
        "hip": 40.179,
        "spring": None,
        "knee": 99.098,
    }
    for odd in ("hip", 3, [3], [{"joints": 5}]):
        with pytest.raises(ContractError):
            imported(file, **(options | {"settings": {"decimation": 4, "action.terms": odd}}))


def test_no_simulator_is_invented(tmp_path: Path) -> None:
    """The metadata names none: without the user's layout it is asked for, with it that is all that is said."""
    assert make(tmp_path).contract.trained_in == "not stated; a task with --layout mjlab_velocity"
    with pytest.raises(ContractError, match="trained_in: the metadata names no simulator; give --trained-in WORDS"):
        make(tmp_path, layout=None)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mjlab_clip/mj_clip", "peers/mjlab_terms_clip/d_Go1"])
def test_clips_of_the_public_reports_are_read(shared: Path, name: str) -> None:
    """mjlab's pull request 903, and what its exporter writes today."""
    options = COMPLETE | {"layout": "mjlab_velocity", "settings": {"decimation": 4}}
    terms = imported(shared / f"failing_inputs/{name}.onnx", **options).contract.observation.terms
    assert terms[3].clip == ((-100.0, 100.0) if "mj_clip" in name else (-0.1, 0.1))  # type: ignore[union-attr]
