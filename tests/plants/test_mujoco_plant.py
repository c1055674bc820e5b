"""What only MuJoCo has: MJCF files, actuators of the file, sites."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.errors import RobotError

mujoco = pytest.importorskip("mujoco")

NAMES = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))
TARGETS = dict(zip(NAMES, (0.1, -0.2, 0.3, -0.4, 0.5, -0.6), strict=True))


def without_weight(path):
    """The file with gravity off, so that position actuators reach their targets exactly."""
    path.write_text(path.read_text().replace("<worldbody>", '<option gravity="0 0 0"/><worldbody>', 1))
    return path


def test_the_files_actuators_are_addressed_by_the_joint_they_drive(robot_file, setup_of, stand_up, state_of, by_name):
    """With kind "model" and actuators listed knees first and legs backwards, every joint gets its own target."""
    setup = setup_of(NAMES, actuation="model", height=1.0)
    plant = stand_up("mujoco", without_weight(robot_file("tripod.xml")), setup)
    plant.write(by_name(plant, TARGETS))
    plant.step(3000)
    np.testing.assert_allclose(state_of(plant).joint_pos, by_name(plant, TARGETS), atol=1e-3)


def test_targets_that_mujoco_drives_nothing_by_are_no_calm_robot(robot_file, setup_of, stand_up, by_name):
    """Beyond 1e10 MuJoCo sets every drive to zero and warns; a replay ends with the reason instead."""
    plant = stand_up("mujoco", robot_file("tripod.xml"), setup_of(NAMES, height=1.0, stiffness=20.0, damping=1.0))
    plant.write(by_name(plant, dict.fromkeys(NAMES, 0.1) | {"a_hip": 1e11}))
    with pytest.raises(RobotError, match="beyond 1e10, by which MuJoCo drives nothing"):
        plant.step(1)


def test_kind_model_keeps_the_files_gains(robot_file, setup_of, stand_up, by_name):
    """The knee's 20 N m/rad and the hip's 30 of the file give the first torque, whatever the setup says."""
    setup = setup_of(NAMES, actuation="model", height=1.0, stiffness=1.0, damping=1.0)
    plant = stand_up("mujoco", without_weight(robot_file("tripod.xml")), setup)
    plant.write(by_name(plant, dict.fromkeys(NAMES, 0.1)))
    plant.step(1)
    expected = {name: 2.0 if name.endswith("knee") else 3.0 for name in NAMES}
    np.testing.assert_allclose(plant.effort(), by_name(plant, expected), rtol=1e-9)


def test_kind_implicit_replaces_the_files_actuators(robot_file, setup_of, stand_up, by_name):
    """The setup's stiffness gives the first torque, for every joint."""
    setup = setup_of(NAMES, height=1.0, stiffness=7.0, damping=0.1)
    plant = stand_up("mujoco", without_weight(robot_file("tripod.xml")), setup)
    plant.write(by_name(plant, dict.fromkeys(NAMES, 0.1)))
    plant.step(1)
    np.testing.assert_allclose(plant.effort(), 0.7, rtol=1e-9)


def test_a_geared_actuator_is_told_the_joints_target(robot_file, setup_of, stand_up, state_of, by_name):
    """A gear of 3 turns a target of the joint into three times as much control."""
    path = without_weight(robot_file("tripod.xml"))
    path.write_text(path.read_text().replace('kp="20"', 'kp="20" gear="3"'))
    plant = stand_up("mujoco", path, setup_of(NAMES, actuation="model", height=1.0))
    plant.write(by_name(plant, TARGETS))
    plant.step(3000)
    np.testing.assert_allclose(state_of(plant).joint_pos, by_name(plant, TARGETS), atol=1e-3)


def test_a_motor_is_no_position_drive(robot_file, setup_of, stand_up):
    """Kind "model" needs actuators with gains; the message says what to write instead."""
    path = robot_file("tripod.xml")
    path.write_text(path.read_text().replace("<position", "<motor").replace(' kp="20"', "").replace(' kp="30"', ""))
    with pytest.raises(RobotError, match=r"joint 'a_hip' has .* motor without gains.*kind: implicit or explicit"):
        stand_up("mujoco", path, setup_of(NAMES, actuation="model"))


def test_a_motors_control_range_is_an_effort_limit(robot_file, setup_of, stand_up, by_name):
    """A motor of gear 2 and control range 1.5 can give 3 N m; the drive in its place can give no more."""
    path = robot_file("tripod.xml")
    text = path.read_text().replace("<position", "<motor")
    path.write_text(text.replace('kp="20"', 'ctrlrange="-1.5 1.5" gear="2"').replace('kp="30"', ""))
    plant = stand_up("mujoco", path, setup_of(NAMES, stiffness=100.0, damping=0.1, height=1.0))
    plant.write(by_name(plant, dict.fromkeys(NAMES, 1.0)))
    plant.step(1)
    expected = {name: 3.0 if name.endswith("knee") else 100.0 for name in NAMES}
    np.testing.assert_allclose(plant.effort(), by_name(plant, expected), rtol=1e-9)


def test_mjcf_and_urdf_of_one_robot_agree(robot_file, setup_of, stand_up, state_of, by_name):
    """The same tripod from both formats falls and swings alike, told in the frame of the same sensor."""
    states = []
    for name, frame in (("tripod.urdf", "sensor"), ("tripod.xml", "imu")):
        setup = setup_of(NAMES, stiffness=8.0, damping=0.5, height=2.0, frame=frame)
        plant = stand_up("mujoco", robot_file(name), setup)
        plant.write(by_name(plant, TARGETS))
        plant.step(100)
        states.append(state_of(plant))
    for key in ("joint_pos", "joint_vel", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel"):
        np.testing.assert_allclose(getattr(states[0], key), getattr(states[1], key), atol=1e-6, err_msg=key)


def test_a_site_tells_what_mujocos_own_sensors_tell(robot_file, setup_of, stand_up, state_of, by_name):
    """velocimeter, gyro and framequat of a model read by MuJoCo itself give the same numbers for the same state."""
    path = robot_file("tripod.xml")
    setup = setup_of(NAMES, stiffness=8.0, damping=0.5, height=2.0, frame="imu")
    plant = stand_up("mujoco", path, setup)
    plant.write(by_name(plant, TARGETS))
    plant.step(100)
    state = state_of(plant)
    sensors = """<sensor><velocimeter site="imu"/><gyro site="imu"/>
      <framequat objtype="site" objname="imu"/><framepos objtype="site" objname="imu"/></sensor></mujoco>"""
    model = mujoco.MjModel.from_xml_string(path.read_text().replace("</mujoco>", sensors))
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = plant._data[0].qpos, plant._data[0].qvel
    mujoco.mj_forward(model, data)
    told = np.concatenate([state.base_lin_vel[0], state.base_ang_vel[0], state.base_quat[0], state.base_pos[0]])
    np.testing.assert_allclose(told, data.sensordata, atol=1e-9)


def test_reading_does_not_change_what_happens_next(robot_file, setup_of, stand_up, state_of, by_name):
    """A plant that is read and drawn at every step ends in the very state of one that is not."""
    ends = []
    for watched in (False, True):
        setup = setup_of(NAMES, stiffness=20.0, damping=0.5, frame="imu")
        plant = stand_up("mujoco", robot_file("tripod.xml"), setup)
        plant.write(by_name(plant, TARGETS))
        for _ in range(200):
            plant.step(1)
            if watched:
                state_of(plant)
                plant.link_position("a_shin")
        ends.append(state_of(plant).joint_pos)
    np.testing.assert_array_equal(ends[0], ends[1])


def test_a_diverged_simulation_shows_nan(robot_file, setup_of, stand_up, state_of, tmp_path, monkeypatch):
    """It is neither reset behind the caller's back nor logged into the working folder."""
    monkeypatch.chdir(tmp_path)
    setup = setup_of(NAMES, stiffness=20.0, damping=500.0, actuation="explicit", timestep=0.02)
    plant = stand_up("mujoco", robot_file("tripod.xml"), setup)
    plant.write(np.ones((1, len(NAMES))))
    plant.step(400)
    assert not np.isfinite(state_of(plant).joint_pos).all()
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def test_a_fixed_base_stays_where_a_floating_file_would_fall(robot_file, setup_of, stand_up, state_of):
    """The setup, not the file, says whether the base floats: the free joint of an MJCF is taken out."""
    setup = setup_of(NAMES, stiffness=20.0, damping=0.5, floating=False, height=0.9)
    plant = stand_up("mujoco", robot_file("tripod.xml"), setup)
    plant.step(200)
    np.testing.assert_allclose(state_of(plant).base_pos, [[0.0, 0.0, 0.9]])


def test_a_missing_mesh_of_an_mjcf_is_named(robot_file, setup_of, stand_up):
    """And left out on request, its geoms counted."""
    path = robot_file("tripod.xml")
    text = path.read_text().replace("<worldbody>", '<asset><mesh name="shell" file="shell.stl"/></asset><worldbody>', 1)
    path.write_text(text.replace('<site name="imu"', '<geom type="mesh" mesh="shell"/><site name="imu"'))
    setup = setup_of(NAMES, stiffness=20.0, damping=0.5)
    with pytest.raises(RobotError, match=r"1 mesh file is missing: shell\.stl.*--no-meshes"):
        stand_up("mujoco", path, setup)
    assert stand_up("mujoco", path, setup, meshes=False).skipped_meshes == 1


def test_the_control_path_allocates_nothing(robot_file, setup_of, stand_up, state_of):
    """After warm-up a thousand control steps leave no more memory in use than they found."""
    import tracemalloc

    plant = stand_up("mujoco", robot_file("tripod.urdf"), setup_of(NAMES, stiffness=20.0, damping=0.5))
    state = state_of(plant)
    target = np.zeros((1, len(NAMES)))

    def control_steps(count: int) -> None:
        for _ in range(count):
            plant.read(state)
            plant.write(target)
            plant.step(4)

    control_steps(100)
    tracemalloc.start()
    control_steps(10)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    control_steps(1000)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 512
    assert peak - before < 4096
