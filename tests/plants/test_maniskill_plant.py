"""What only SAPIEN has: ManiSkill's settings, no need of a graphics driver for physics."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from policy_port.errors import MissingDependencyError, RobotError
from policy_port.plants.registry import make_plant

pytest.importorskip("sapien")

NAMES = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))


@pytest.mark.slow
def test_the_solver_settings_are_maniskills():
    """Held against the dataclass of the installed package, so that a new release can't drift away unseen."""
    pytest.importorskip("mani_skill")
    from mani_skill.utils.structs.types import SceneConfig

    from policy_port.plants.maniskill_build import BODY, SCENE, SHAPE

    theirs = SceneConfig().dict()
    assert list(theirs.pop("gravity")) == [0, 0, -9.81]
    assert theirs == {**BODY, **SCENE, **SHAPE}


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


def test_gpu_physics_without_its_library_says_where_it_belongs(robot_file, setup_of, tmp_path, monkeypatch):
    """Instead of trying to download it, which hangs or dies without a word where the host is out of reach."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"\.sapien/physx/.*libPhysXGpu_64\.so.*physx_cpu"):
        make_plant(
            "maniskill",
            robot_file("tripod.urdf"),
            setup_of(NAMES, stiffness=1.0, damping=1.0),
            sim_backend="physx_cuda",
        )
    assert not any(tmp_path.glob(".sapien"))


def test_an_mjcf_robot_is_the_same_in_both_simulators(robot_file, setup_of, stand_up, state_of, by_name):
    """Inertias, anchors off the links' origins, armature of the file and a site cross over: free flight agrees."""
    pytest.importorskip("mujoco")
    path = robot_file("tripod.xml")
    text = path.read_text().replace('<joint name="a_knee"', '<joint name="a_knee" pos="0.02 0 0.05" armature="0.02"')
    path.write_text(text.replace('<joint name="b_hip"', '<joint name="b_hip" pos="0 0.01 -0.03"'))
    told = []
    for simulator in ("mujoco", "maniskill"):
        setup = setup_of(NAMES, stiffness=8.0, damping=0.3, frame="imu", height=2.0, timestep=0.001)
        plant = stand_up(simulator, path, setup)
        plant.write(by_name(plant, dict(zip(NAMES, (0.1, -0.6, 0.5, -0.4, 0.5, -0.6), strict=True))))
        plant.step(120)
        place = [plant.joint_names.index(name) for name in NAMES]
        state = state_of(plant)
        told.append((state, state.joint_pos[0, place], state.joint_vel[0, place]))
    (one, *joints), (other, *others) = told
    np.testing.assert_allclose(joints[0], others[0], atol=5e-3)
    np.testing.assert_allclose(joints[1], others[1], atol=0.1)
    for key, tolerance in (("base_pos", 2e-3), ("base_quat", 5e-3), ("base_lin_vel", 0.02), ("base_ang_vel", 0.05)):
        np.testing.assert_allclose(getattr(one, key), getattr(other, key), atol=tolerance, err_msg=key)


def test_kind_model_takes_the_gains_of_an_mjcf(robot_file, setup_of, stand_up, by_name):
    """The knee's 20 N m/rad and the hip's 30 of the file give the first torque."""
    pytest.importorskip("mujoco")
    plant = stand_up("maniskill", robot_file("tripod.xml"), setup_of(NAMES, actuation="model", height=1.0))
    plant.write(by_name(plant, dict.fromkeys(NAMES, 0.1)))
    plant.step(1)
    expected = {name: 2.0 if name.endswith("knee") else 3.0 for name in NAMES}
    np.testing.assert_allclose(plant.effort(), by_name(plant, expected), rtol=1e-5)


def test_what_urdf_can_t_say_of_an_mjcf_is_refused(robot_file, setup_of, stand_up):
    """Two joints in one body, or an ellipsoid, are named instead of being dropped."""
    pytest.importorskip("mujoco")
    setup = setup_of(NAMES, stiffness=1.0, damping=1.0)
    path = robot_file("tripod.xml")
    text = path.read_text()
    path.write_text(text.replace('<geom type="box"', '<geom type="ellipsoid"'))
    with pytest.raises(RobotError, match=r"a shape of 'base' is neither sphere.*--plant mujoco"):
        stand_up("maniskill", path, setup)
    path.write_text(text.replace('<joint name="a_knee"', '<joint name="extra" axis="1 0 0"/><joint name="a_knee"'))
    with pytest.raises(RobotError, match=r"body 'a_shin' has 2 joints"):
        stand_up("maniskill", path, setup)


@pytest.mark.vulkan
@pytest.mark.filterwarnings("ignore")
def test_pictures_do_not_depend_on_who_drew_before(robot_file, setup_of, stand_up):
    """An environment of ManiSkill leaves its shader and format behind as globals; a plant draws with its own."""
    gymnasium = pytest.importorskip("gymnasium")
    import mani_skill.envs  # noqa: F401  registers the environments

    def picture():
        return stand_up("maniskill", robot_file("tripod.urdf"), setup_of(NAMES, stiffness=5.0, damping=1.0)).render(
            60, 80
        )

    before = picture().copy()
    env = gymnasium.make("PickCube-v1", obs_mode="state", num_envs=1, sim_backend="physx_cpu", render_backend="cpu")
    env.close()
    assert abs(picture().astype(int) - before).max() <= 2
