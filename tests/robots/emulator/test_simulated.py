"""The emulated arm with MuJoCo's so100 as its mechanics."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from policy_port.dynamics.document import Dynamics, RobotOf
from policy_port.errors import DynamicsError, MissingDependencyError
from policy_port.plants.registry import make_plant
from policy_port.robot_models.find import find_robot
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.simulated import so100_setup
from tests.robots.emulator.bench import JOINTS, Bench
from tests.robots.emulator.test_camera import Viewer, see

pytest.importorskip("mujoco", reason="mujoco is not installed")
pytest.importorskip("trimesh", reason="trimesh is not installed")

PAN, LIFT = "shoulder_pan", "shoulder_lift"


@pytest.fixture
def bench() -> Bench:
    try:
        return Bench(model="mujoco", pose={"shoulder_lift": -0.3, "elbow_flex": 0.3})
    except MissingDependencyError as missing:
        pytest.skip(str(missing))


def test_servo_goals_become_joint_targets(bench: Bench) -> None:
    """Positions are read from the simulator, goals move it, through the same ticks as elsewhere."""
    assert bench.read(PAN, "Present_Position") == 2045
    assert bench.read("elbow_flex", "Present_Position") == round(bench.parts.scales["elbow_flex"].ticks(0.3))
    for name in (PAN, LIFT, "elbow_flex", "wrist_flex", "wrist_roll"):
        bench.write(name, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Position", 2500)
    bench.pass_time(2.0)
    assert abs(bench.read(PAN, "Present_Position") - 2500) <= 12
    held = bench.read(LIFT, "Present_Position")
    asked = round(bench.parts.scales[LIFT].ticks(-0.3))
    assert 0 < abs(held - asked) < 60


def test_without_torque_the_simulated_arm_sinks_and_a_stuck_joint_stays(bench: Bench) -> None:
    """Torque off lets the shoulder fall under gravity; a blocked joint holds and bears load."""
    before = bench.read(LIFT, "Present_Position")
    bench.pass_time(0.6)
    assert abs(bench.read(LIFT, "Present_Position") - before) > 40
    bench.inject("stuck:shoulder_lift")
    bench.pass_time(0.3)
    held = bench.read(LIFT, "Present_Position")
    bench.pass_time(0.5)
    assert abs(bench.read(LIFT, "Present_Position") - held) <= 20


def test_a_push_displaces_the_simulated_joint(bench: Bench) -> None:
    """The joint that is pushed moves by as much, the others stay."""
    bench.inject("push:shoulder_pan:150")
    bench.pass_time(0.005)
    assert abs(bench.read(PAN, "Present_Position") - 2195) <= 2
    assert abs(bench.read("wrist_roll", "Present_Position") - 2047) <= 1


def test_an_arm_with_a_description_moves_in_it(tmp_path: Path) -> None:
    """Heavier links sag farther; what was identified of another description is refused."""
    source = find_robot("so100")
    text = source.read_text().replace('filename="', f'filename="{source.parent}/')
    heavy = tmp_path / "heavy.urdf"
    heavy.write_text(re.sub(r'(<mass\s+value=")([^"]+)', lambda found: f"{found[1]}{1.4 * float(found[2])}", text))
    dynamics = Dynamics(policy_port_dynamics=1, robot=RobotOf(file=heavy.name))
    sag = []
    for more in ({}, {"description": heavy, "dynamics": dynamics}):
        bench = Bench(model="mujoco", pose={"shoulder_lift": -0.3, "elbow_flex": 0.3}, **more)
        asked = bench.read(LIFT, "Present_Position")
        for name in JOINTS:
            bench.write(name, "Torque_Enable", 1)
        bench.pass_time(1.5)
        sag.append(abs(bench.read(LIFT, "Present_Position") - asked))
    assert sag[1] > 1.4 * sag[0] > 0
    with pytest.raises(DynamicsError, match="another robot's"):
        Bench(model="mujoco", dynamics=dynamics)


def test_without_shadows_only_the_shadow_is_missing() -> None:
    """What the cameras draw is the same picture, but for a little less light, and brighter where the shadow was."""
    pictures = []
    for shadows in (True, False):
        plant = make_plant("mujoco", "so100", so100_setup(dict.fromkeys(JOINTS, 0.0)), shadows=shadows)
        pictures.append(plant.render(96, 128).astype(int))
        plant.close()
    change = (pictures[1] - pictures[0]).max(axis=2)
    assert 0.001 < (change > 20).mean() < 0.05
    assert (change < -20).mean() < 0.02


def test_the_camera_renders_the_simulated_arm() -> None:
    """Pictures come from the robot description and change when it moves."""
    with EmulatedArm(model="mujoco", cameras=["front=96x72@10"], process=True) as arm:
        viewer = Viewer(arm.camera_url("front"))
        try:
            still = viewer.picture()
            assert still.shape == (72, 96, 3)
            assert still.std() > 10
            arm.inject("push:shoulder_pan:700")
            see(viewer, lambda moved: bool(np.abs(moved.astype(int) - still).max() > 60))
        finally:
            viewer.close()
