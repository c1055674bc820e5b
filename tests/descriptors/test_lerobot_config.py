"""Claims about LeRobot's config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
    assert contract.quaternion_order == "none"
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
