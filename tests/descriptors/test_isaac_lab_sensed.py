"""Isaac Lab's terms of poses, torques and height scans are stated in a contract, or refused by what they can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import Contract
from policy_port.errors import ContractError
from tests.descriptors.importing import write
from tests.descriptors.test_isaac_lab import JOINTS, descriptor, joint_term, make, term
from tests.descriptors.test_isaac_lab_params import actuator, written

SCANNER = {
    "prim_path": "/World/envs/env_.*/Robot/trunk",
    "mesh_prim_paths": ["/World/ground"],
    "offset": {"pos": [0.1, 0.0, 20.0], "rot": [1.0, 0.0, 0.0, 0.0]},
    "ray_alignment": "yaw",
    "max_distance": 100.0,
    "pattern_cfg": {
        "func": "isaaclab.sensors.ray_caster.patterns.patterns:grid_pattern",
        "resolution": 0.1,
        "size": [1.6, 1.0],
        "direction": [0.0, 0.0, -1.0],
        "ordering": "xy",
    },
}


def env(terms: dict[str, Any], **scene: Any) -> str:
    robot = {"spawn": {"articulation_props": {}}, "actuators": {"legs": actuator(damping=0.5)}}
    data = {
        "sim": {"dt": 0.005},
        "decimation": 4,
        "scene": {"robot": robot, **scene},
        "observations": {"policy": terms},
        "actions": {"joint_pos": {"class_type": "x"}},
    }
    return yaml.safe_dump(data, sort_keys=False)


def imported(path: Path, described: list[dict[str, Any]], run: str | None = None, **options: Any) -> Contract:
    if run is not None:
        write(path / "params/env.yaml", run)
        options["actuation"] = None
    return make(path, descriptor(described), settings={"base.floating": True, **options.pop("settings", {})}, **options)


def said(contract: Contract) -> list[dict[str, Any]]:
    return [t.model_dump(exclude_defaults=True, mode="json") for t in contract.observation.terms]


def test_poses_and_torques_are_terms(tmp_path: Path) -> None:
    """The root's height, position and quaternion, torques of chosen joints, and gravity and pose of each named body."""
    described = [
        term("base_pos_z", 1, overloads={"scale": 2.0}),
        term("root_pos_w"),
        term("root_quat_w", 4),
        joint_term("joint_effort", overloads={"scale": [0.1, 0.1, 0.2, 0.2], "clip": [-50.0, 50.0]}),
        term("body_projected_gravity_b", 6, body_names=["trunk", "L_foot"], overloads={"history_length": 0}),
        term("body_pose_w", 7, body_names=["R_foot"], overloads={"clip": [-1.0, 1.0]}),
    ]
    made = imported(tmp_path, described, quaternion_order="wxyz")
    assert said(made) == [
        {"term": "link_height", "scale": 2.0},
        {"term": "link_pos", "frame": "world"},
        {"term": "base_quat"},
        {"term": "joint_effort", "scale": dict(zip(JOINTS, (0.1, 0.1, 0.2, 0.2), strict=True)), "clip": [-50.0, 50.0]},
        {"term": "projected_gravity", "name": "trunk", "link": "trunk"},
        {"term": "projected_gravity", "name": "L_foot", "link": "L_foot"},
        {"term": "link_pos", "name": "R_foot_pos", "link": "R_foot", "frame": "world", "clip": [-1.0, 1.0]},
        {"term": "base_quat", "name": "R_foot_quat", "link": "R_foot", "clip": [-1.0, 1.0]},
    ]


def test_a_quaternions_order_is_asked_for(tmp_path: Path) -> None:
    """Isaac Lab 2 and 3 have another one: where no file shows it, the user says it, and w may be made positive."""
    with pytest.raises(ContractError, match=r"wxyz in Isaac Lab 1 and 2, xyzw since 3.0.*--quaternion-order"):
        imported(tmp_path, [term("root_quat_w", 4)], quaternion_order=None)
    run = env({"quat": written("root_quat_w", params={"make_quat_unique": True})})
    made = imported(tmp_path, [term("root_quat_w", 4)], run, quaternion_order="xyzw")
    assert said(made) == [{"term": "base_quat", "positive_w": True}]
    assert made.quaternion_order == "xyzw"


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (term("root_quat_w", 8), "is 8, but root_quat_w has 4 for each body"),
        (term("body_projected_gravity_b", 6, body_names=["trunk"]), "is 6, but body_projected_gravity_b has 3"),
        (term("body_pose_w", 7, body_names=["a"], overloads={"history_length": 3}), "stacks 2 terms.*can't state"),
        (term("body_pose_w", 7, body_names=["a"], overloads={"scale": [1, 1, 1, 1, 1, 1, 2]}), "one scale"),
        (term("base_pos_z", 1, overloads={"modifiers": [{"func": "x"}]}), "modifiers"),
    ],
)
def test_what_they_can_t_be_is_refused(tmp_path: Path, described: dict[str, Any], message: str) -> None:
    """Another width, a history over several terms, a scale within a quaternion: an error that names the key."""
    with pytest.raises(ContractError, match=message):
        imported(tmp_path, [described], quaternion_order="wxyz")


def test_a_history_of_one_term_is_kept(tmp_path: Path) -> None:
    """A single body's gravity may be stacked."""
    described = term("body_projected_gravity_b", 3, body_names=["trunk"], overloads={"history_length": 5})
    made = imported(tmp_path, [described])
    assert said(made)[0]["history"] == 5
    assert made.observation_size == 15


def test_a_height_scan_is_its_sensors_grid(tmp_path: Path) -> None:
    """Link, grid, ordering, alignment and the half metre that is taken off come from env.yaml; a miss is clipped."""
    scan = written("height_scan", params={"sensor_cfg": {"name": "scanner"}}, clip=[-1.0, 1.0], scale=5.0)
    gyro = written("base_ang_vel")
    run = env({"gyro": gyro, "height_scan": scan}, scanner=SCANNER)
    made = imported(tmp_path, [term("base_ang_vel")], run)
    assert said(made)[1] == {
        "term": "height_scan",
        "link": "trunk",
        "size": [1.6, 1.0],
        "resolution": 0.1,
        "centre": [0.1, 0.0],
        "max_distance": 100.0,
        "scale": 5.0,
        "clip": [-1.0, 1.0],
        "miss": -1e6,
    }
    assert made.observation_size == 3 + 187
    scan["params"]["offset"] = 0.2
    other = SCANNER | {"ray_alignment": "base", "pattern_cfg": SCANNER["pattern_cfg"] | {"ordering": "yx"}}
    made = imported(tmp_path, [term("base_ang_vel")], env({"gyro": gyro, "scan": scan}, scanner=other))
    assert {"name": "scan", "frame": "link", "ordering": "yx", "height_offset": 0.2}.items() <= said(made)[1].items()
    older = {key: value for key, value in SCANNER.items() if key != "ray_alignment"} | {"attach_yaw_only": True}
    made = imported(tmp_path, [term("base_ang_vel")], env({"gyro": gyro, "scan": scan}, scanner=older))
    assert "frame" not in said(made)[1]


@pytest.mark.parametrize(
    "change",
    [
        {"pattern_cfg": SCANNER["pattern_cfg"] | {"direction": [0.0, 0.1, -1.0]}},
        {"offset": {"pos": [0.0, 0.0, 1.0], "rot": [0.9, 0.0, 0.4, 0.0]}},
    ],
)
def test_another_sensor_stays_with_its_task(tmp_path: Path, change: dict[str, Any]) -> None:
    """Rays that are not straight down make an external term of the right width, and a note says why."""
    scan = written("height_scan", params={"sensor_cfg": {"name": "scanner"}})
    run = env({"gyro": written("base_ang_vel"), "height_scan": scan}, scanner=SCANNER | change)
    made = imported(tmp_path, [term("base_ang_vel")], run)
    assert said(made)[1] == {"term": "external", "name": "height_scan", "size": 187}
