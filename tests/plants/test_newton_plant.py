"""What only Newton has: three formats, actuators of the file, devices."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.errors import MissingDependencyError, RobotError
from policy_port.plants.registry import make_plant

pytest.importorskip("newton")

NAMES = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))
TARGETS = dict(zip(NAMES, (0.1, -0.2, 0.3, -0.4, 0.5, -0.6), strict=True))
KEYS = ("joint_pos", "joint_vel", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel")


@pytest.mark.parametrize("actuation", ["implicit", "explicit", "model"])
def test_an_mjcf_robot_is_the_same_in_newton_as_in_mujoco(actuation, robot_file, setup_of, stand_up, state_of, by_name):
    """Inertias, anchors off the links' origins, actuators in another order and a site: a tumble agrees to 32 bits."""
    path = robot_file("tripod.xml")
    text = path.read_text().replace('<joint name="a_knee"', '<joint name="a_knee" pos="0.02 0 0.05" armature="0.02"')
    path.write_text(text.replace('<joint name="b_hip"', '<joint name="b_hip" pos="0 0.01 -0.03"'))
    gains = {} if actuation == "model" else {"stiffness": 8.0, "damping": 0.3}
    told = []
    for simulator in ("mujoco", "newton"):
        setup = setup_of(NAMES, actuation=actuation, frame="imu", height=2.0, timestep=0.001, **gains)
        plant = stand_up(simulator, path, setup)
        assert plant.joint_names == NAMES
        plant.write(by_name(plant, TARGETS))
        plant.step(120)
        told.append((state_of(plant), plant.effort()))
    (one, torque), (other, force) = told
    for key in KEYS:
        np.testing.assert_allclose(getattr(other, key), getattr(one, key), atol=2e-4, err_msg=key)
    np.testing.assert_allclose(force, torque, atol=1e-3)


def test_a_urdf_robot_walks_into_the_ground_as_in_mujoco(robot_file, setup_of, stand_up, state_of, by_name):
    """Feet, ground and friction too: a tripod that shifts its weight ends within a millimetre of MuJoCo's."""
    ends = []
    for simulator in ("mujoco", "newton"):
        plant = stand_up(simulator, robot_file("tripod.urdf"), setup_of(NAMES, stiffness=60.0, damping=2.0))
        plant.write(by_name(plant, {name: 0.5 * value for name, value in TARGETS.items()}))
        plant.step(500)
        ends.append(state_of(plant))
    np.testing.assert_allclose(ends[1].base_pos, ends[0].base_pos, atol=1e-3)
    np.testing.assert_allclose(ends[1].joint_pos, ends[0].joint_pos, atol=1e-3)


def test_kind_model_keeps_the_files_gains(robot_file, setup_of, stand_up, by_name):
    """The knee's 20 N m/rad and the hip's 30 of the file give the first torque, whatever the setup says."""
    setup = setup_of(NAMES, actuation="model", height=1.0, stiffness=1.0, damping=1.0)
    plant = stand_up("newton", robot_file("tripod.xml"), setup)
    plant.write(by_name(plant, dict.fromkeys(NAMES, 0.1)))
    plant.step(1)
    expected = {name: 2.0 if name.endswith("knee") else 3.0 for name in NAMES}
    np.testing.assert_allclose(plant.effort(), by_name(plant, expected), rtol=1e-5)


@pytest.mark.parametrize("tag", ["position", "general", "motor"])
def test_kind_implicit_replaces_the_files_actuators(tag, robot_file, setup_of, stand_up, by_name):
    """The setup's stiffness gives the first torque, for every joint: nothing of the file pulls beside it."""
    path = robot_file("tripod.xml")
    text = path.read_text()
    if tag == "general":
        text = text.replace("<position", '<general biastype="affine" gainprm="40" biasprm="0 -40 0"')
    if tag == "motor":
        text = text.replace("<position", "<motor")
    path.write_text(text if tag == "position" else text.replace(' kp="20"', "").replace(' kp="30"', ""))
    setup = setup_of(NAMES, height=1.0, stiffness=7.0, damping=0.1)
    plant = stand_up("newton", path, setup)
    plant.reset(by_name(plant, dict.fromkeys(NAMES, 0.3)))
    plant.write(by_name(plant, dict.fromkeys(NAMES, 0.4)))
    plant.step(1)
    np.testing.assert_allclose(plant.effort(), 0.7, rtol=1e-4)


def test_what_newton_leaves_out_of_an_mjcf_is_refused(robot_file, setup_of, stand_up):
    """A motor is no position drive, a gear would be dropped, a reference position shifts every angle."""
    path = robot_file("tripod.xml")
    text = path.read_text()
    setup = setup_of(NAMES, actuation="model")
    path.write_text(text.replace("<position", "<motor").replace(' kp="20"', "").replace(' kp="30"', ""))
    with pytest.raises(RobotError, match=r"joint 'a_hip' has .* a motor without gains.*kind: implicit"):
        stand_up("newton", path, setup)
    path.write_text(text.replace('kp="20"', 'kp="20" gear="3"'))
    with pytest.raises(RobotError, match=r"joint 'a_knee' has a gear.*--plant mujoco"):
        stand_up("newton", path, setup)
    path.write_text(text.replace('<joint name="a_knee"', '<joint name="a_knee" ref="0.2"'))
    with pytest.raises(RobotError, match=r"joint a_knee has a reference position.*--plant mujoco"):
        stand_up("newton", path, setup)
    path.write_text(text.replace('<joint name="a_knee"', '<joint name="a_extra" axis="1 0 0"/><joint name="a_knee"'))
    with pytest.raises(RobotError, match=r"one joint of several axes"):
        stand_up("newton", path, setup_of(NAMES, stiffness=1.0, damping=1.0))


def test_a_fixed_base_stays_where_a_floating_file_would_fall(robot_file, setup_of, stand_up, state_of):
    """The setup, not the file, says whether the base floats."""
    setup = setup_of(NAMES, stiffness=20.0, damping=0.5, floating=False, height=0.9)
    plant = stand_up("newton", robot_file("tripod.xml"), setup)
    plant.step(200)
    np.testing.assert_allclose(state_of(plant).base_pos, [[0.0, 0.0, 0.9]], atol=1e-6)


def test_a_diverged_simulation_shows_nan(robot_file, setup_of, stand_up, state_of, tmp_path, monkeypatch):
    """It is neither reset behind the caller's back nor logged into the working folder."""
    monkeypatch.chdir(tmp_path)
    setup = setup_of(NAMES, stiffness=20.0, damping=500.0, actuation="explicit", timestep=0.02)
    plant = stand_up("newton", robot_file("tripod.xml"), setup)
    plant.write(np.ones((1, len(NAMES))))
    plant.step(400)
    assert not np.isfinite(state_of(plant).joint_pos).all()
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def test_environments_do_not_share_the_solvers_memory(robot_file, setup_of, stand_up, state_of, by_name):
    """One of two that touch the ground differently ends in the very state that it has alone."""
    setup = setup_of(NAMES, stiffness=60.0, damping=2.0)
    alone = stand_up("newton", robot_file("tripod.urdf"), setup)
    both = stand_up("newton", robot_file("tripod.urdf"), setup, num_envs=2)
    targets = by_name(both, TARGETS)
    targets[1] *= -0.7
    alone.write(targets[:1])
    both.write(targets)
    for _ in range(50):
        alone.step(4)
        both.step(4)
    np.testing.assert_array_equal(state_of(both).joint_pos[0], state_of(alone).joint_pos[0])


def test_a_gpu_that_is_not_here_is_said_so(robot_file, setup_of):
    """Before anything is loaded."""
    import warp

    if warp.is_cuda_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(MissingDependencyError, match=r"Newton was asked to run on cuda.*no NVIDIA GPU"):
        make_plant("newton", robot_file("tripod.urdf"), setup_of(NAMES, stiffness=1.0, damping=1.0), device="cuda")


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_worlds_of_mujoco_warp_tell_what_mujoco_tells(device, robot_file, setup_of, state_of, by_name):
    """Three worlds in flight, one of them reset; on the CPU too, where Warp runs the kernels that a GPU would."""
    from policy_port.plants.newton_plant import NewtonPlant

    told = []
    for native in (True, False):
        setup = setup_of(NAMES, stiffness=50.0, damping=5.0, height=2.0)
        where = "cpu" if native else device
        plant = NewtonPlant(robot_file("tripod.urdf"), setup, num_envs=3, device=where, native=native)
        targets = by_name(plant, TARGETS)
        targets[2] *= 0.5
        plant.write(targets)
        plant.step(50)
        before = state_of(plant)
        plant.reset(np.zeros((3, len(NAMES))), rows=np.array([False, True, False]))
        after = state_of(plant)
        for row in (0, 2):
            np.testing.assert_array_equal(after.joint_pos[row], before.joint_pos[row])
            np.testing.assert_array_equal(after.base_lin_vel[row], before.base_lin_vel[row])
        plant.write(targets)
        plant.step(50)
        told.append((state_of(plant), plant.effort()))
    for key in KEYS:
        np.testing.assert_allclose(getattr(told[1][0], key), getattr(told[0][0], key), atol=1e-4, err_msg=key)
    plant.worlds.overflow.assign(np.array([0, 0, 1], np.int32))
    with pytest.raises(RobotError, match=r"environment 2 has more contacts .*simpler collision shapes"):
        plant.worlds.check_room()
    np.testing.assert_allclose(told[1][1], told[0][1], atol=1e-3)


USD = """#usda 1.0
(
    defaultPrim = "robot"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "robot" (prepend apiSchemas = ["PhysicsArticulationRootAPI"])
{
    def Xform "foot" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsMassAPI"])
    {
        float physics:mass = 1
        float3 physics:diagonalInertia = (1, 1, 1)
    }
    def Xform "rod" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsMassAPI"])
    {
        double3 xformOp:translate = (0, 0, 1)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        float physics:mass = 1
        point3f physics:centerOfMass = (0.3, 0, 0)
        float3 physics:diagonalInertia = (0.1, 0.1, 0.1)
    }
    def PhysicsFixedJoint "bolt"
    {
        rel physics:body1 = </robot/foot>
    }
    def PhysicsRevoluteJoint "swing" (prepend apiSchemas = ["PhysicsDriveAPI:angular"])
    {
        rel physics:body0 = </robot/foot>
        rel physics:body1 = </robot/rod>
        uniform token physics:axis = "Y"
        point3f physics:localPos0 = (0, 0, 1)
        float drive:angular:physics:maxForce = 40
    }
}
"""


def test_a_usd_robot_is_driven_like_its_urdf(robot_file, setup_of, stand_up, state_of, tmp_path):
    """The pendulum of the URDF, written by hand in USD: the same speed after the same pull, the file's limit too."""
    pytest.importorskip("pxr", reason="Newton reads USD with usd-core")
    path = tmp_path / "pendulum.usda"
    path.write_text(USD)
    told = []
    for file in (robot_file("pendulum.urdf"), path):
        for stiffness in (30.0, 3000.0):
            setup = setup_of(("swing",), stiffness=stiffness, damping=2.0, floating=False, gravity_compensation=True)
            plant = stand_up("newton", file, setup)
            plant.write(np.array([[1.0]]))
            plant.step(20)
            told.append((state_of(plant).joint_pos[0, 0], state_of(plant).joint_vel[0, 0], plant.effort()[0, 0]))
    np.testing.assert_allclose(told[2:], told[:2], rtol=1e-3)


def test_usd_is_for_newton_alone(tmp_path, setup_of, monkeypatch):
    """The others say so; Newton names what it needs to read it."""
    path = tmp_path / "robot.usda"
    path.write_text("#usda 1.0\n")
    setup = setup_of(("swing",), stiffness=1.0, damping=1.0)
    for simulator in ("mujoco", "maniskill"):
        with pytest.raises(RobotError, match=rf"plant '{simulator}' reads URDF and MJCF; USD .*--plant newton"):
            make_plant(simulator, path, setup)
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(MissingDependencyError, match=r"robot\.usda: Newton needs .*pip install usd-core"):
        make_plant("newton", path, setup)
