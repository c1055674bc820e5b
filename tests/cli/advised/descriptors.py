"""A descriptor of each kind, and variants of it that lack something, for the trials of imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.descriptors import test_isaac_lab, test_lerobot_config, test_onnx_metadata, test_rl_sar
from tests.descriptors.importing import linear_policy, write
from tests.descriptors.test_newton_assets import asset
from tests.descriptors.test_unitree_rl_lab import MOTORS, POLICY, deploy, term
from tests.samples import contract_data


def build(folder: Path) -> None:
    """A descriptor of each kind, and variants that lack something."""
    write(folder / "toy.yaml", asset())
    write(folder / "no_pose.yaml", {key: value for key, value in asset().items() if key != "mjw_joint_pos"})
    write(folder / "both.yaml", asset() | deploy())
    write(folder / "names.yaml", {"joint_names": POLICY})
    write(folder / "motors.yaml", {"motor_joint_names": MOTORS})
    write(folder / "bare.yaml", MOTORS)
    linear_policy(folder / "reads_24.onnx", 24, 4)
    write(
        folder / "contract_24.yaml",
        contract_data(observation={"terms": [{"term": "external", "name": "all", "size": 24}]}),
    )
    _deploys(folder)
    _metadata(folder)
    _arms(folder)
    _runs(folder)
    write(folder / "sar/base.yaml", test_rl_sar.base())
    history = {"observations_history": [0, 1, 2], "observations_history_priority": ...}
    write(folder / "sar/walk/config.yaml", test_rl_sar.config(**history))


def _deploys(folder: Path) -> None:
    same: dict[str, Any] = {"stiffness": [100.0] * 4, "damping": [2.0] * 4}
    action = deploy()["actions"]["JointPositionAction"]
    marked = {"joint_pos_rel": term(4, params={"asset_cfg": {"name": "robot"}}), "base_ang_vel": term(3)}
    scan = {"height_scan": term(187), "base_ang_vel": term(3)}
    imu = deploy()["observations"] | {"projected_gravity": term(3, params={"sensor_cfg": "imu"})}
    motion = {"motion_anchor_ori_b": term(6), "base_ang_vel": term(3)}
    wide = {"joint_ids_map": [0, 1, 4, 5], "stiffness": [100.0, 101.0, 0.0, 0.0, 50.0, 51.0], "damping": [1.0] * 6}
    for name, data in {
        "": deploy(),
        "_no_base": deploy(observations={"joint_vel_rel": term(4)}),
        "_idle": deploy(actions={}, observations={"base_ang_vel": term(3)}),
        "_wide": deploy(**wide),
        "_marked": deploy(observations=marked),
        "_scan": deploy(observations=scan, **same),
        "_motion": deploy(observations=motion, **same),
        "_ema": deploy(actions={"JointPositionAction": action | {"ema": 0.5}}),
        "_imu": deploy(observations=imu),
    }.items():
        write(folder / f"deploy{name}.yaml", data)


def _metadata(folder: Path) -> None:
    given, width = test_onnx_metadata.METADATA, test_onnx_metadata.WIDTH
    every = "-inf;inf,-inf;inf,-inf;inf,-inf;inf,-inf;5.000,-inf;inf"
    scales = "1.000,1.000,1.000,1.000,0.000,1.000"
    spring = {"joint_names": "hip,spring,knee", "default_joint_pos": "0.100,0.000,-0.200"}
    motion = {"observation_names": "command,motion_anchor_ori_b,base_ang_vel,actions"}
    for name, read, more in (
        ("", width, {}),
        ("_spring", 9 + 3 + 3 + 2, spring),
        ("_clip", width, {"observation_terms_clip": every}),
        ("_scale", width, {"observation_terms_scale": scales}),
        ("_history", width + 4, {"observation_terms_history_length": "0.0,0.0,0.0,0.0,3.0,0.0"}),
        ("_scan", 3 + 187 + 2, {"observation_names": "base_ang_vel,height_scan,actions"}),
        ("_motion", 4 + 6 + 3 + 2, motion),
        ("_delay", width, {"observation_terms_delay": "0.5"}),
        ("_offset", width, {"action_offset": "0.5"}),
    ):
        linear_policy(folder / f"mj{name}.onnx", read, 2, given | more)
    numbers = {
        "action_scale": {"knee": 0.43857, "hip": 0.0745206},
        "default_joint_pos": {"hip": 0.1, "knee": -0.2},
        "joint_stiffness": {"hip": 99.0984, "knee": 40.1792},
        "joint_damping": {"hip": 2.558, "knee": 6.309},
    }
    write(folder / "precise.yaml", numbers)


def _arms(folder: Path) -> None:
    write(folder / "config.json", test_lerobot_config.config())
    write(folder / "info.json", test_lerobot_config.named(["pan", "lift", "gripper"]))
    write(folder / "info_odd.json", test_lerobot_config.named({"motors": ["a", "b"], "axes": ["c"]}))
    write(folder / "pan.yaml", {"joint_names": ["pan", "lift", "gripper"]})
    write(folder / "lift.yaml", {"joint_names": ["lift", "pan", "gripper"]})


def _runs(folder: Path) -> None:
    plain = test_isaac_lab.descriptor()
    write(folder / "io.yaml", plain)
    write(folder / "io_ema.yaml", plain | {"actions": [test_isaac_lab.action(ema=0.5)]})
    groups = {"actor": test_isaac_lab.terms(), "critic": test_isaac_lab.terms()}
    write(folder / "io_groups.yaml", plain | {"observations": groups})
    write(folder / "run/io_descriptors/IO_descriptors.yaml", plain)
    write(folder / "run/params/env.yaml", test_isaac_lab.ENV)
