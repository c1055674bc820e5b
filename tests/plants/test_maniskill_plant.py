"""What only SAPIEN has: ManiSkill's settings, no need of a graphics driver for physics."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from policy_port.errors import RobotError

pytest.importorskip("sapien")

NAMES = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))


def test_the_solver_settings_are_maniskills():
    """Held against the dataclass of the installed package, so that a new release can't drift away unseen."""
    pytest.importorskip("mani_skill")
    code = (
        "from mani_skill.utils.structs.types import SceneConfig\n"
        "from policy_port.plants.maniskill_build import BODY, SCENE, SHAPE\n"
        "theirs = SceneConfig().dict()\n"
        "assert list(theirs.pop('gravity')) == [0, 0, -9.81]\n"
        "assert theirs == {**BODY, **SCENE, **SHAPE}, theirs\n"
    )
    # In a process of its own: importing ManiSkill warns and takes seconds.
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_physics_needs_no_graphics_driver(robot_file, setup_of):
    """Where Vulkan finds no device the robot still stands up, silently, and only a picture is refused with a hint."""
    path = robot_file("tripod.urdf")
    code = (
        "import sys, numpy as np\n"
        "from policy_port.errors import MissingDependencyError\n"
        "from policy_port.plants.registry import make_plant\n"
        "from policy_port.plants.setup import JointSetup, PlantSetup\n"
        f"joints = tuple(JointSetup(name=n, default=0.0, stiffness=20.0, damping=1.0) for n in {NAMES!r})\n"
        "setup = PlantSetup(joints=joints, actuation='implicit', timestep=0.002, control_dt=0.02, floating=True)\n"
        "plant = make_plant('maniskill', sys.argv[1], setup)\n"
        "plant.step(10)\n"
        "try:\n"
        "    plant.render(60, 80)\n"
        "except MissingDependencyError as error:\n"
        "    assert 'policy-port doctor' in str(error), error\n"
        "    print('refused')\n"
    )
    nowhere = str(path.with_name("no_driver.json"))
    environment = os.environ | {"VK_DRIVER_FILES": nowhere, "VK_ICD_FILENAMES": nowhere}
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "refused\n"


def test_standing_up_prints_nothing(robot_file, setup_of, stand_up, capfd):
    """No warning of the simulator reaches the console."""
    setup = setup_of(NAMES, stiffness=20.0, damping=1.0)
    stand_up("maniskill", robot_file("tripod.urdf"), setup).step(10)
    assert capfd.readouterr() == ("", "")


def test_the_files_own_actuators_are_refused(robot_file, setup_of, stand_up):
    """SAPIEN has none; the message says what to add to the contract."""
    with pytest.raises(RobotError, match=r"kind is model.*kind: implicit.*stiffness, damping"):
        stand_up("maniskill", robot_file("tripod.urdf"), setup_of(NAMES, actuation="model"))


def test_a_robot_that_can_t_touch_the_ground_needs_a_height(robot_file, setup_of, stand_up):
    """Without collision shapes the ground is not found; the message says what to give."""
    with pytest.raises(RobotError, match=r"nothing of the robot can touch the ground.*base\.height"):
        stand_up("maniskill", robot_file("pendulum.urdf"), setup_of(("swing",), stiffness=20.0, damping=0.5))
