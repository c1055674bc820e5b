"""What the messages of `contract import` advise about runs of Isaac Lab whose env.yaml is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.advised.imports import WHOLE, importing
from tests.cli.advised.trial import Note, Trial
from tests.descriptors.importing import write
from tests.descriptors.test_isaac_lab import JOINTS, descriptor, term
from tests.descriptors.test_isaac_lab_config import POSITION, STATE, whole
from tests.descriptors.test_isaac_lab_params import actuator, written
from tests.descriptors.test_isaac_lab_robot import run as env


def of(run: str, **options: str) -> str:
    return importing(f"il/{run}/io_descriptors/IO_descriptors.yaml", robot="toy", **options)


def alone(run: str, **options: str) -> str:
    return importing(f"il/{run}/params/env.yaml", robot="toy", **options)


NO_ORDER = "or the names as the run's robot.joint_names lists them with --names FILE"

TRIALS: list[Trial | Note] = [
    Trial(of("plain", names="il/names.yaml"), "--names: {} has the joint names; leave the option out", of("plain")),
    Trial(
        of("two_actions"),
        "the exporter left one out, or the two files are of different runs. State the whole action yourself: --set",
        importing("il/two_actions/io_descriptors/IO_descriptors.yaml " + WHOLE, robot="toy"),
    ),
    Trial(
        of("stiff"),
        "Give those of one, or where something of your project changed it at start, --set joints.{}.{}=NUMBER",
        of("stiff", set="joints.L_hip.stiffness=30"),
    ),
    Trial(alone("alone"), NO_ORDER, alone("alone", names="il/names.yaml")),
    Trial(alone("alone"), NO_ORDER, of("plain")),
    Trial(
        alone("listed", names="il/other.yaml"), "is another order than {}; leave --names out", alone("listed")
    ),
    Trial(
        alone("robots", names="il/names.yaml"),
        "{}: its scene has {}; choose the robot with --articulation",
        alone("robots", names="il/names.yaml", articulation="a"),
    ),
    Note(alone("alone", names="il/names.yaml"), "--names {}"),
    Trial(
        of("plain", quaternion_order="wxyz"),
        "--quaternion-order {}: {} shows {}; leave the option out. Where",
        of("plain"),
    ),
    Trial(
        of("plain", quaternion_order="wxyz"),
        "--quaternion-order {}: {} shows {}; leave the option out. Where",
        of("plain", set="quaternion_order=wxyz"),
    ),
    Trial(
        of("turned"),
        "where a term holds a quaternion, state the order with --quaternion-order",
        of("turned", quaternion_order="wxyz"),
    ),
    Trial(
        of("drawn"),
        "For the number without the draw, --set joints.{}.default={}",
        of("drawn", set="joints.L_hip.default=0.12"),
    ),
    Trial(
        of("scan", size="height_scan=180"), "--size {}={}: {} makes {}; leave the option out", of("scan")
    ),
]  # fmt: skip


def build(folder: Path) -> None:
    """Write runs that trials name."""
    write(folder / "il/names.yaml", {"joint_names": JOINTS})
    write(folder / "il/other.yaml", {"joint_names": JOINTS[::-1]})
    pose = {"func": "m:randomize_joint_default_pos", "mode": "startup"}
    drawn = STATE | {"joint_pos": STATE["joint_pos"] | {"L_hip": 0.12}}
    robots = {"a": whole()["scene"]["robot"], "b": {"actuators": {}}}
    acting = POSITION | {"asset_name": "a"}
    scan = {"it": written("base_ang_vel"), "height_scan": written("height_scan")}
    aimed = written("height_scan", params={"sensor_cfg": {"name": "scanner"}})
    grid = {"func": "isaaclab.sensors:grid_pattern", "resolution": 0.1, "size": [1.6, 1.0]}
    scanned = env(observations={"policy": scan | {"height_scan": aimed}})
    scanned["scene"]["scanner"] = {"pattern_cfg": grid}
    runs: dict[str, dict[str, Any]] = {
        "plain": env(),
        "two_actions": env(actions={"legs": {"class_type": "m:J"}, "arm": {"class_type": "m:J"}}),
        "stiff": env({"actuators": {"legs": actuator(stiffness={"L_hip": 30.0, "R_hip|.*_knee": 25.0})}}),
        "alone": whole(),
        "listed": whole(robot={"joint_ordering": JOINTS}),
        "robots": whole({"it": written("base_ang_vel")}, scene=robots, actions={"joint_pos": acting}),
        "turned": env({"init_state": {"rot": [1.0, 0.0, 0.0, 0.0]}}),
        "drawn": env({"init_state": drawn}, events={"pose": pose}),
        "scan": scanned,
    }
    for name, data in runs.items():
        write(folder / f"il/{name}/params/env.yaml", data)
        write(folder / f"il/{name}/io_descriptors/IO_descriptors.yaml", descriptor([term("base_ang_vel")]))
