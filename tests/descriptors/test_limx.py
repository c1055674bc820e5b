"""params.yaml of tron1-rl-deploy-python: what it states, what its runner adds, and what it is not read for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.checkpoints import load_policy
from policy_port.contract import load_contract
from policy_port.contract.diff import differences
from policy_port.contract.named_columns import named_columns
from policy_port.errors import ContractError
from tests.checkpoints.test_wiring import encoder
from tests.descriptors.importing import imported, unsourced, write

NAMES = [f"{joint}_{side}_Joint" for side in "LR" for joint in ("abad", "hip", "knee")]
GIVEN = {"name": "tron1_pf", "robot": "pf_tron1a", "actuation": "explicit"}


def params() -> dict[str, Any]:
    """A file as the runner reads it."""
    return {
        "loop_frequency": 500,
        "joint_names": NAMES,
        "init_state": {"default_joint_angle": dict.fromkeys(NAMES, 0.0)},
        "control": {
            "stiffness": 42.0,
            "damping": 3.5,
            "action_scale_pos": 0.25,
            "decimation": 10,
            "user_torque_limit": 80,
        },
        "normalization": {
            "clip_scales": {"clip_observations": 100.0, "clip_actions": 100.0},
            "obs_scales": {"lin_vel": 2.0, "ang_vel": 0.25, "dof_pos": 1.0, "dof_vel": 0.05},
        },
        "size": {"actions_size": 6, "observations_size": 30, "commands_size": 3, "obs_history_length": 10},
        "imu_orientation_offset": {"roll": 0.0, "pitch": 0.0, "yaw": 0.0},
        "user_cmd_scales": {"lin_vel_x": 1.5, "lin_vel_y": 1.0, "ang_vel_yaw": 0.5},
    }


def test_a_point_foot_is_imported_with_the_wiring_of_its_networks(tmp_path: Path) -> None:
    """The contract is the one that walks, and what the note says to write wires encoder and policy by its names."""
    made = imported(write(tmp_path / "params.yaml", {"PointfootCfg": params()}), **GIVEN)
    own = load_contract(Path(__file__).resolve().parents[1] / "real_policies/tron1_pf.yaml")
    assert [line for line in differences(made.contract, own) if not line.startswith("base.m")] == []
    assert unsourced(made.contract) == []
    wiring = next(re.search(r"`(parts: .*)` with", note) for note in made.notes if "`parts:" in note)
    assert wiring is not None
    encoder(tmp_path / "encoder.onnx", reads=300, writes=3)
    encoder(tmp_path / "policy.onnx", reads=36, writes=6)
    data = yaml.safe_load(wiring[1]) | {"networks_version": 1, "result": "policy"}
    path = write(tmp_path / "networks.yaml", data)
    policy = load_policy(path, names=named_columns(made.contract), width=made.contract.observation_size)
    assert (policy.actor.obs_size, policy.actor.action_size) == (303, 6)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("control.ankle_joint_damping", 1.5, "drives ankles or wheels by velocity"),
        ("size.observations_size", 27, "is 27, but what PointfootController.* adds up to 30"),
        ("size.commands_size", 5, "is not 3: forward, left, yaw"),
        ("imu_orientation_offset.roll", 0.1, "turns the measurements of one robot's IMU"),
    ],
)
def test_files_of_other_runners_are_refused(tmp_path: Path, key: str, value: float, message: str) -> None:
    """Soles and wheels, another observation, and one robot's own IMU are no part of what the terms say."""
    data = params()
    section, name = key.split(".")
    data[section][name] = value
    with pytest.raises(ContractError, match=message):
        imported(write(tmp_path / "params.yaml", {"PointfootCfg": data}), **GIVEN)
