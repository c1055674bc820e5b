"""Claims about LeRobot's config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from policy_port.descriptors.lerobot_statistics import joint_ranges
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.registry import Imported, import_contract
from policy_port.errors import ContractError
from tests.descriptors.importing import contract, imported, write


def config(**changes: Any) -> str:
    data: dict[str, Any] = {
        "type": "act",
        "n_obs_steps": 1,
        "chunk_size": 100,
        "input_features": {
            "observation.state": {"type": "STATE", "shape": [3]},
            "observation.images.wrist": {"type": "VISUAL", "shape": [3, 480, 640]},
        },
        "output_features": {"action": {"type": "ACTION", "shape": [3]}},
        "normalization_mapping": {"STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
    }
    return json.dumps(data | changes)


COMPLETE: dict[str, Any] = {
    "quaternion_order": None,
    "timestep": None,
    "actuation": "explicit",
    "control_frequency": 30.0,
    "settings": {
        "joints.*.unit": "deg",
        "joints.gripper.unit": "percent",
        "joints.*.default": 0.0,
        "base.floating": False,
    },
}


@pytest.fixture
def names(tmp_path: Path) -> Path:
    return write(tmp_path / "names.yaml", {"joint_names": ["pan", "lift", "gripper"]})


def test_what_config_json_does_not_know_is_all_asked_for(tmp_path: Path, names: Path) -> None:
    """Robot, units, defaults, rate, base and actuation are listed with their flags; nothing becomes radians."""
    with pytest.raises(ContractError) as caught:
        imported(write(tmp_path / "config.json", config()), names=names)
    text = str(caught.value)
    for part in (
        "--robot",
        "--control-frequency",
        "joints.*.unit=deg",
        "joints.*.default=0",
        "base.floating",
        "actuation",
    ):
        assert part in text


def test_a_complete_import_is_absolute_positions_in_the_robots_unit(tmp_path: Path, names: Path) -> None:
    """State and action are positions in the stated units, at the data set's rate; the camera stays as it is fed."""
    made = imported(write(tmp_path / "config.json", config()), names=names, robot="so100", **COMPLETE)
    contract = made.contract
    assert [joint.unit for joint in contract.joints.values()] == ["deg", "deg", "percent"]
    assert contract.control_dt == pytest.approx(1 / 30)
    assert contract.decimation == 1
    assert contract.quaternion_order is None
    assert contract.action.terms[0].model_dump(exclude_none=True) == {
        "term": "joint_position",
        "scale": 1.0,
        "offset": 0.0,
    }
    assert (contract.images[0].name, contract.images[0].layout) == ("wrist", "nchw")
    assert any("chunks of 100 actions" in note for note in made.notes)


def test_names_are_asked_for_by_count(tmp_path: Path) -> None:
    """The number of joints is all that the file knows of them."""
    with pytest.raises(ContractError, match="counts 3 numbers of observation.state and has no names; give --names"):
        contract(write(tmp_path / "config.json", config()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_obs_steps": 2}, "stacked steps"),
        ({"output_features": {"action": {"shape": [7]}}}, "has 7 numbers and observation.state 3"),
        ({"input_features": {"observation.state": {"shape": [3]}, "observation.environment_state": {"shape": [2]}}},
         "is a feature that a contract can't state"),
        ({"input_features": {"observation.state": {"shape": [3]}, "observation.image": {"shape": [480, 640, 3]}}},
         "LeRobot writes channels, height, width"),
    ],
)  # fmt: skip
def test_what_a_contract_can_not_state_is_refused(
    tmp_path: Path, names: Path, change: dict[str, Any], message: str
) -> None:
    """Features beside the robot's joints are named, not dropped."""
    with pytest.raises(ContractError, match=message):
        contract(write(tmp_path / "config.json", config(**change)), names=names)


STATISTICS = {"observation.state.min": [-3.0, -9.5, 2.0], "observation.state.max": [4.0, 8.0, 90.0],
              "action.min": [-5.0, -9.0, 1.0], "action.max": [3.0, 8.0004, 99.0]}  # fmt: skip


def info(**changes: Any) -> str:
    joints = {"dtype": "float32", "shape": [3], "names": ["pan.pos", "lift.pos", "gripper.pos"]}
    features = {"observation.state": joints, "action": joints, "timestamp": {"dtype": "float32", "shape": [1]}}
    return json.dumps({"codebase_version": "v3.0", "fps": 30, "features": features} | changes)


def preprocessor(folder: Path, statistics: dict[str, list[float]], state_file: str = "statistics.safetensors") -> None:
    save_file({key: torch.tensor(values) for key, values in statistics.items()}, folder / "statistics.safetensors")
    step = {"registry_name": "normalizer_processor", "config": {}, "state_file": state_file}
    write(folder / "policy_preprocessor.json", json.dumps({"steps": [{"registry_name": "device_processor"}, step]}))


def with_info(tmp_path: Path, given: str | None = None, **options: Any) -> Imported:
    write(tmp_path / "config.json", config())
    (tmp_path / "meta").mkdir()
    sources = [tmp_path / "config.json", Path(write(tmp_path / "meta" / "info.json", given or info()))]
    settings = {"joints.*.unit": "deg", "joints.gripper.pos.unit": "percent", "joints.*.default": 1.0}
    settings["base.floating"] = False
    chosen = ImportOptions(**{"name": "act", "robot": "so100", "actuation": "explicit", "settings": settings} | options)
    return import_contract(sources, None, chosen)


def test_the_data_set_brings_names_and_rate_and_the_policy_its_ranges(tmp_path: Path) -> None:
    """meta/info.json names the joints, dots and all; limits are how far the demonstrations went, rounded outward."""
    preprocessor(tmp_path, STATISTICS)
    made = with_info(tmp_path).contract
    assert list(made.joints) == ["pan.pos", "lift.pos", "gripper.pos"]
    assert [joint.unit for joint in made.joints.values()] == ["deg", "deg", "percent"]
    assert [(joint.lower, joint.upper) for joint in made.joints.values()] == [(-5, 4), (-9.5, 8.001), (1, 99)]
    assert made.control_dt == pytest.approx(1 / 30)
    assert made.sources["joints.*.lower"].startswith("statistics.safetensors: least and greatest")
    assert made.sources["joints.gripper.pos.unit"] == "--set"


def test_a_file_that_is_no_info_is_named_itself(tmp_path: Path, names: Path) -> None:
    """Not the config.json beside it, which is right and is read once the other is left out."""
    odd = write(tmp_path / "info.json", json.dumps({"fps": 30, "feature": {}}))
    right = write(tmp_path / "config.json", config())
    for files in ((right, odd), (odd, right)):
        for kind in (None, "lerobot_config"):
            with pytest.raises(ContractError, match=r"info\.json: is no file of lerobot_config, .*leave it out"):
                imported(*files, kind=kind, names=names)
    assert imported(right, names=names, robot="so100", **COMPLETE).contract.action_size == 3


def test_another_rate_than_the_datas(tmp_path: Path) -> None:
    """A policy does not run at a rate that its data was not recorded at."""
    with pytest.raises(ContractError, match="'fps' is 30, --control-frequency says 50: a policy runs at its data's"):
        with_info(tmp_path, control_frequency=50.0)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"observation.state": {"names": ["a", "b"]}, "action": {"names": ["a", "b"]}}, "2 joints, the policy 3"),
        ({"observation.state": {"names": ["a", "b", "c"]}, "action": {"names": ["b", "a", "c"]}}, "in action b, a, c"),
    ],
)
def test_another_data_set_is_refused(tmp_path: Path, features: dict[str, Any], message: str) -> None:
    """Another number of joints, and an order in which state and action differ."""
    with pytest.raises(ContractError, match=message):
        with_info(tmp_path, info(features=features))


def test_ranges_that_are_none(tmp_path: Path) -> None:
    """Without statistics limits stay unset and a note says so; damaged ones and names that leave are refused."""
    preprocessor(tmp_path, {key: value for key, value in STATISTICS.items() if "max" not in key})
    made = with_info(tmp_path)
    assert made.contract.joints["pan.pos"].lower is None
    assert any("tells no range of its joints" in note for note in made.notes)
    preprocessor(tmp_path, STATISTICS | {"action.min": [1.0, 2.0]})
    with pytest.raises(ContractError, match="its min of .* is not a finite number for each of 3 joints"):
        joint_ranges(tmp_path, 3)
    preprocessor(tmp_path, STATISTICS, state_file="../statistics.safetensors")
    with pytest.raises(ContractError, match="no file name of this folder"):
        joint_ranges(tmp_path, 3)


def test_a_joint_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A --set for "gripper" where the joint is "gripper.pos" is a mistake, not another joint."""
    with pytest.raises(ContractError, match="there is no joint 'gripper'; did you mean 'gripper.pos'"):
        with_info(tmp_path, settings={"joints.gripper.unit": "percent"})


def named(state: Any, action: Any = ...) -> str:
    features = {"observation.state": {"names": state}, "action": {"names": state if action is ... else action}}
    return info(features=features)


PLAIN = ["pan", "lift", "gripper"]


@pytest.mark.parametrize(
    "names", [PLAIN, {"motors": PLAIN}, {"axes": PLAIN}, {"joints": PLAIN, "axes": None}, [PLAIN]], ids=repr
)
def test_one_list_of_names_is_taken_wherever_it_stands(tmp_path: Path, names: Any) -> None:
    """Data sets of version 2 keep the list under `motors` or `axes`, or in a list of its own."""
    settings = {"joints.*.unit": "deg", "joints.*.default": 0.0, "base.floating": False}
    made = with_info(tmp_path, named(names), settings=settings).contract
    assert list(made.joints) == PLAIN
    assert made.sources["joints"] == "info.json: features.observation.state.names"


@pytest.mark.parametrize(
    "odd",
    [None, [], {}, {"motors": PLAIN, "axes": PLAIN}, "pan", 3, [1, 2, 3], ["a", "a", "b"], {"a": {"b": PLAIN}}],
    ids=repr,
)
def test_names_that_are_none_are_asked_for_and_may_be_given(tmp_path: Path, names: Path, odd: Any) -> None:
    """What is no one list is a question, and its answer works: no message leads to another."""
    settings = {"joints.*.unit": "deg", "joints.*.default": 0.0, "base.floating": False}
    with pytest.raises(ContractError, match="--names FILE"):
        with_info(tmp_path, named(odd), settings=settings)
    (tmp_path / "meta/info.json").unlink()
    (tmp_path / "meta").rmdir()
    assert list(with_info(tmp_path, named(odd), names=names, settings=settings).contract.joints) == PLAIN


def test_the_users_names_stand_in_but_not_in_another_order(tmp_path: Path, names: Path) -> None:
    """Other names are taken, with a note of what they were; the same names in another order contradict the data."""
    settings = {"joints.*.unit": "deg", "joints.*.default": 0.0, "base.floating": False}

    def given(*recorded: str, action: list[str] | None = None) -> Imported:
        for file in tmp_path.glob("meta/*"):
            file.unlink()
        if (tmp_path / "meta").is_dir():
            (tmp_path / "meta").rmdir()
        return with_info(tmp_path, named(list(recorded), action or ...), names=names, settings=settings)

    for same in (PLAIN, [f"{name}.pos" for name in PLAIN], [f"main_{name}" for name in PLAIN]):
        made = given(*same)
        assert list(made.contract.joints) == PLAIN
        assert not any("stand in" in note for note in made.notes)
    made = given("motor_1", "motor_2", "motor_3")
    assert list(made.contract.joints) == PLAIN
    assert any("calls the joints motor_1, motor_2, motor_3; the names of names.yaml stand in" in n for n in made.notes)
    with pytest.raises(ContractError, match="has 'pan' where .*info.json has 'lift.pos': the same joints in an"):
        given("lift.pos", "pan.pos", "gripper.pos")
    with pytest.raises(ContractError, match="in observation.state, in action lift, pan, gripper; a contract states"):
        given("pan", "lift", "gripper", action=["lift", "pan", "gripper"])
    assert list(given("a", "b", "c", action=["x", "y", "z"]).contract.joints) == PLAIN


def test_state_and_action_may_spell_a_joint_in_two_ways(tmp_path: Path) -> None:
    """LeRobot's `.pos` is no other joint."""
    settings = {"joints.*.unit": "deg", "joints.*.default": 0.0, "base.floating": False}
    made = with_info(tmp_path, named([f"{name}.pos" for name in PLAIN], PLAIN), settings=settings)
    assert list(made.contract.joints) == ["pan.pos", "lift.pos", "gripper.pos"]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["motors", "axes", "null", "mixed", "pos", "main"])
def test_data_sets_of_the_public_reports(shared: Path, name: str) -> None:
    """any4lerobot's issue 97, InternVLA-M1's issue 10: with the user's names all of them, without but the nameless."""
    folder = shared / "failing_inputs/lerobot_names"
    files = [folder / "config.json", folder / f"info_{name}.json"]
    settings = {"joints.*.unit": "deg", "joints.*.default": 0.0, "base.floating": False}
    options: dict[str, Any] = {"robot": "so100", "actuation": "explicit", "settings": settings}
    made = imported(*files, names=folder / "names.yaml", **options).contract
    assert next(iter(made.joints)) == "shoulder_pan"
    if name == "null":
        with pytest.raises(ContractError, match="nor has info_null.json; give --names FILE"):
            imported(*files, **options)
    else:
        assert "shoulder_pan" in next(iter(imported(*files, **options).contract.joints))
