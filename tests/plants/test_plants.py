"""What every simulated plant owes: names, units, frames, drives. The same tests for each simulator."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.control.plant import MEASURED
from policy_port.errors import RobotError

NAMES = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))
TARGETS = dict(zip(NAMES, (0.1, -0.2, 0.3, -0.4, 0.5, -0.6), strict=True))


def rotation(quat: np.ndarray) -> np.ndarray:
    """Matrix of a wxyz quaternion, written out from the definition."""
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_joint_names_are_in_the_simulators_own_order(kind, robot_file, setup_of, stand_up):
    """MuJoCo and Newton parse a tree depth-first, SAPIEN breadth-first; the order of the setup matters to neither."""
    setup = setup_of(tuple(reversed(NAMES)), stiffness=50.0, damping=5.0)
    plant = stand_up(kind, robot_file("tripod.urdf"), setup)
    breadth_first = tuple(f"{leg}_{part}" for part in ("hip", "knee") for leg in "abc")
    assert plant.joint_names == (breadth_first if kind == "maniskill" else NAMES)


@pytest.mark.parametrize("actuation", ["implicit", "explicit"])
def test_a_drive_settles_at_the_target_of_its_own_joint(
    kind, actuation, robot_file, setup_of, stand_up, state_of, by_name
):
    """Targets written by name are reached by the joints of these names, not by those of the same place."""
    setup = setup_of(
        NAMES, stiffness=20.0, damping=1.0, floating=False, height=1.0, gravity_compensation=True, actuation=actuation
    )
    plant = stand_up(kind, robot_file("tripod.urdf"), setup)
    plant.write(by_name(plant, TARGETS))
    plant.step(400)
    state = state_of(plant)
    np.testing.assert_allclose(state.joint_pos, by_name(plant, TARGETS), atol=2e-3)
    np.testing.assert_allclose(state.joint_vel, 0.0, atol=2e-3)
    np.testing.assert_allclose(state.base_pos, [[0.0, 0.0, 1.0]], atol=1e-6)


def test_reset_puts_joints_where_asked_and_holds_them_there(kind, robot_file, setup_of, stand_up, state_of, by_name):
    """Reset sets positions and targets alike, so that an untouched plant stays where it was put."""
    setup = setup_of(NAMES, stiffness=200.0, damping=5.0, floating=False, height=1.0, gravity_compensation=True)
    plant = stand_up(kind, robot_file("tripod.urdf"), setup)
    plant.reset(by_name(plant, TARGETS))
    for _ in range(2):
        np.testing.assert_allclose(state_of(plant).joint_pos, by_name(plant, TARGETS), atol=1e-3)
        plant.step(100)


def test_gravity_compensation_lets_a_weak_drive_hold_an_arm(kind, robot_file, setup_of, stand_up, state_of):
    """With it a drive of 1 N m/rad holds a horizontal rod; without it the rod hangs down."""
    for compensated in (True, False):
        setup = setup_of(("swing",), stiffness=1.0, damping=1.0, floating=False, gravity_compensation=compensated)
        plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
        plant.step(300)
        angle = state_of(plant).joint_pos[0, 0]
        assert (abs(angle) < 1e-3) if compensated else (angle > 0.5)


def test_a_dropped_robot_falls_as_galileo_says(kind, robot_file, setup_of, stand_up, state_of):
    """From 2 m, a floating base has lost g t^2 / 2 of height after 0.3 s and moves at g t downwards."""
    plant = stand_up(kind, robot_file("tripod.urdf"), setup_of(NAMES, stiffness=50.0, damping=5.0, height=2.0))
    plant.step(150)
    state = state_of(plant)
    assert state.base_pos[0, 2] == pytest.approx(2.0 - 9.81 * 0.3**2 / 2, abs=5e-3)
    assert state.base_lin_vel[0, 2] == pytest.approx(-9.81 * 0.3, abs=1e-2)


def test_a_robot_without_a_given_height_stands_on_the_ground(kind, robot_file, setup_of, stand_up, state_of):
    """The lowest point, a foot of radius 0.02 m at 0.4 m below the base, starts a millimetre above the ground."""
    plant = stand_up(kind, robot_file("tripod.urdf"), setup_of(NAMES, stiffness=200.0, damping=5.0))
    assert state_of(plant).base_pos[0, 2] == pytest.approx(0.421, abs=1e-6)
    plant.step(200)
    assert state_of(plant).base_pos[0, 2] == pytest.approx(0.42, abs=0.01)


@pytest.mark.parametrize("frame", [None, "sensor", "a_shin"])
def test_base_velocities_are_those_of_the_frames_origin_in_its_own_axes(
    kind, frame, robot_file, setup_of, stand_up, state_of, by_name
):
    """In a robot that tumbles in mid-air, they equal the finite differences of position and orientation."""
    setup = setup_of(NAMES, stiffness=8.0, damping=0.2, frame=frame, height=2.0, timestep=0.001)
    plant = stand_up(kind, robot_file("tripod.urdf"), setup)
    plant.write(by_name(plant, {name: 1.5 * value for name, value in TARGETS.items()}))
    states = []
    for _ in range(120):
        plant.step(1)
        states.append(state_of(plant))
    assert np.linalg.norm(states[100].base_ang_vel) > 0.5
    for before, now, after in zip(states[60:110], states[61:111], states[62:112], strict=True):
        axes = rotation(now.base_quat[0])
        moved = (after.base_pos[0] - before.base_pos[0]) / 0.002
        np.testing.assert_allclose(now.base_lin_vel[0], axes.T @ moved, atol=0.02)
        turned = axes.T @ (rotation(after.base_quat[0]) - rotation(before.base_quat[0])) / 0.002
        spin = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]]) / 2
        np.testing.assert_allclose(now.base_ang_vel[0], spin, atol=0.05)


def test_both_simulators_tell_the_same_of_the_same_tumble(robot_file, setup_of, stand_up, state_of, by_name):
    """0.12 s of free flight with swinging legs, compared by joint name and in the frame of a turned sensor."""
    pytest.importorskip("sapien")
    pytest.importorskip("mujoco")
    setup = setup_of(
        NAMES, stiffness=8.0, damping=0.2, armature=0.01, frame="sensor", height=2.0, timestep=0.001, control_dt=0.01
    )
    told = []
    for simulator in ("mujoco", "maniskill"):
        plant = stand_up(simulator, robot_file("tripod.urdf"), setup)
        plant.write(by_name(plant, TARGETS))
        plant.step(120)
        state = state_of(plant)
        place = [plant.joint_names.index(name) for name in NAMES]
        told.append((state, state.joint_pos[0, place], state.joint_vel[0, place], plant.effort()[0, place]))
    (one, *joints), (other, *others) = told
    for mine, theirs, tolerance in zip(joints, others, (5e-3, 0.1, 0.1), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance)
    for key, tolerance in (("base_pos", 2e-3), ("base_quat", 5e-3), ("base_lin_vel", 0.02), ("base_ang_vel", 0.05)):
        np.testing.assert_allclose(getattr(one, key), getattr(other, key), atol=tolerance, err_msg=key)


def test_quaternions_are_wxyz(kind, robot_file, setup_of, stand_up, state_of):
    """A frame turned by 90 degrees about the vertical has cos 45, 0, 0, sin 45."""
    setup = setup_of(NAMES, stiffness=50.0, damping=5.0, frame="sensor", height=1.0)
    quat = state_of(stand_up(kind, robot_file("tripod.urdf"), setup)).base_quat[0]
    np.testing.assert_allclose(quat * np.sign(quat[0]), [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)], atol=1e-6)


def test_reset_touches_the_chosen_rows_only(kind, robot_file, setup_of, stand_up, state_of, by_name):
    """Of three environments in flight the second goes back to its start, the others fly on."""
    setup = setup_of(NAMES, stiffness=50.0, damping=5.0, height=2.0)
    plant = stand_up(kind, robot_file("tripod.urdf"), setup, num_envs=3)
    targets = by_name(plant, TARGETS)
    targets[2] *= 0.5
    plant.write(targets)
    plant.step(40)
    before = state_of(plant)
    assert np.abs(before.joint_pos[0] - before.joint_pos[2]).max() > 0.05
    plant.reset(np.zeros((3, len(NAMES))), rows=np.array([False, True, False]))
    after = state_of(plant)
    for row in (0, 2):
        np.testing.assert_array_equal(after.joint_pos[row], before.joint_pos[row])
        np.testing.assert_array_equal(after.base_lin_vel[row], before.base_lin_vel[row])
    np.testing.assert_allclose(after.joint_pos[1], 0.0, atol=1e-7)
    np.testing.assert_allclose(after.base_lin_vel[1], 0.0, atol=1e-7)
    np.testing.assert_allclose(after.base_pos[1], [0.0, 0.0, 2.0], atol=1e-6)


def test_environments_of_one_plant_are_alike(kind, robot_file, setup_of, stand_up, state_of, by_name):
    """The same targets give every environment the same state as a plant of one."""
    setup = setup_of(NAMES, stiffness=50.0, damping=5.0, height=1.0)
    states = []
    for count in (1, 3):
        plant = stand_up(kind, robot_file("tripod.urdf"), setup, num_envs=count)
        plant.write(by_name(plant, TARGETS))
        plant.step(50)
        states.append(state_of(plant))
    for row in range(3):
        np.testing.assert_allclose(states[1].joint_pos[row], states[0].joint_pos[0], atol=1e-6)


@pytest.mark.parametrize("actuation", ["implicit", "explicit"])
def test_the_effort_limit_holds(kind, actuation, robot_file, setup_of, stand_up, state_of):
    """A drive asked for 300 N m with a limit of 2 tells 2 N m and moves 0.19 kg m^2 no faster than that allows."""
    setup = setup_of(
        ("swing",),
        stiffness=300.0,
        damping=1e-6,
        effort_limit=2.0,
        floating=False,
        gravity_compensation=True,
        actuation=actuation,
    )
    plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
    plant.write(np.array([[1.0]]))
    plant.step(50)
    assert plant.effort()[0, 0] == pytest.approx(2.0)
    friction = 0.7 if actuation == "explicit" else 0.0
    expected = 2.0 * 0.1 / 0.19 if friction == 0.0 else 2.0 / friction * (1 - np.exp(-friction * 0.1 / 0.19))
    assert state_of(plant).joint_vel[0, 0] == pytest.approx(expected, rel=0.02)


def test_the_file_s_effort_limit_holds_where_the_contract_has_none(kind, robot_file, setup_of, stand_up):
    """The URDF limits the joint to 40 N m."""
    setup = setup_of(("swing",), stiffness=3000.0, damping=1.0, floating=False, gravity_compensation=True)
    plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
    plant.write(np.array([[2.0]]))
    plant.step(2)
    assert plant.effort()[0, 0] == pytest.approx(
        40.0, rel=0.02
    )  # MuJoCo limits the spring, and damping takes its share


def test_armature_slows_a_joint_down(kind, robot_file, setup_of, stand_up, state_of):
    """2 N m on 0.19 kg m^2 and an armature of 0.19 give half the speed."""
    setup = setup_of(
        ("swing",),
        stiffness=300.0,
        damping=1e-6,
        effort_limit=2.0,
        armature=0.19,
        floating=False,
        gravity_compensation=True,
    )
    plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
    plant.write(np.array([[1.0]]))
    plant.step(50)
    assert state_of(plant).joint_vel[0, 0] == pytest.approx(0.1 / 0.19, rel=0.02)


def test_explicit_torque_ignores_what_the_step_will_bring(kind, robot_file, setup_of, stand_up, state_of):
    """After one step of 2 ms: dt k e / (I + dt * the joint's own damping), whatever the drive's damping is."""
    setup = setup_of(
        ("swing",), stiffness=30.0, damping=20.0, floating=False, gravity_compensation=True, actuation="explicit"
    )
    plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
    plant.write(np.array([[1.0]]))
    plant.step(1)
    assert state_of(plant).joint_vel[0, 0] == pytest.approx(0.002 * 30.0 / (0.19 + 0.002 * 0.7), rel=1e-3)
    assert plant.effort()[0, 0] == pytest.approx(30.0)


def test_an_implicit_drive_damps_within_the_step(kind, robot_file, setup_of, stand_up, state_of):
    """Where dt d / I is 2.6 the speed after one step lies between implicit Euler's and the exact one."""
    setup = setup_of(("swing",), stiffness=30.0, damping=250.0, floating=False, gravity_compensation=True)
    plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
    plant.write(np.array([[0.5]]))
    plant.step(1)
    euler, exact = 0.002 * 15.0 / (0.19 + 0.002 * 250.0), 15.0 / 250.0 * (1.0 - np.exp(-0.002 * 250.0 / 0.19))
    assert 0.999 * euler < state_of(plant).joint_vel[0, 0] < 1.001 * exact


def test_links_and_sites_are_found_by_name(kind, robot_file, setup_of, stand_up):
    """The tip, a link behind a fixed joint, keeps its name and is 0.6 m out; a wrong name is answered by the right."""
    setup = setup_of(("swing",), stiffness=30.0, damping=2.0, floating=False, gravity_compensation=True)
    plant = stand_up(kind, robot_file("pendulum.urdf"), setup)
    np.testing.assert_allclose(plant.link_position("tip"), [[0.6, 0.0, 1.0]], atol=1e-6)
    with pytest.raises(RobotError, match=r"pendulum\.urdf: has no link .*'tipp'; did you mean 'tip'\?.*rod"):
        plant.link_position("tipp")


def test_a_joint_that_the_file_lacks_is_an_error_with_the_closest(kind, robot_file, setup_of, stand_up):
    """The message names the file, the joint, its nearest neighbour and all joints there are."""
    names = ("a_hipp", *NAMES[1:])
    with pytest.raises(RobotError, match=r"no joint 'a_hipp'.*did you mean 'a_hip'\?.*a_hip, .*c_knee.*only_in_source"):
        stand_up(kind, robot_file("tripod.urdf"), setup_of(names, stiffness=1.0, damping=1.0))


def test_a_joint_that_nobody_drives_is_an_error(kind, robot_file, setup_of, stand_up):
    """No joint is held at an invented zero: the message says where to state it."""
    with pytest.raises(RobotError, match=r"nobody drives joint c_knee.*only_in_target"):
        stand_up(kind, robot_file("tripod.urdf"), setup_of(NAMES[:-1], stiffness=1.0, damping=1.0))


def test_missing_meshes_are_named_and_can_be_left_out(kind, robot_file, setup_of, stand_up):
    """With --no-meshes the robot loads and the count of what was left out is known."""
    path = robot_file("tripod.urdf")
    text = path.read_text().replace('<box size="0.3 0.2 0.1"/>', '<mesh filename="package://tripod/meshes/box.stl"/>')
    path.write_text(text)
    setup = setup_of(NAMES, stiffness=50.0, damping=5.0)
    with pytest.raises(RobotError, match=r"tripod\.urdf: 1 mesh file is missing: .*meshes/box\.stl.*--no-meshes"):
        stand_up(kind, path, setup)
    plant = stand_up(kind, path, setup, meshes=False)
    assert plant.skipped_meshes == 2


def test_meshes_are_found_beside_the_file(kind, robot_file, setup_of, stand_up, state_of):
    """package:// is stripped, and the mesh of a box stands like the box."""
    trimesh = pytest.importorskip("trimesh")
    path = robot_file("tripod.urdf")
    for place in ("0 0 -0.2", "0 0 -0.1"):
        path.write_text(
            path.read_text().replace(
                f'<origin xyz="{place}"/><geometry><sphere radius="0.02"/></geometry>',
                f'<origin xyz="{place}"/><geometry><mesh filename="package://tripod/meshes/foot.{{}}"/></geometry>'.format(
                    "stl" if place == "0 0 -0.2" else "ply"
                ),
            )
        )
    (path.parent / "meshes").mkdir()
    for suffix in ("stl", "ply"):
        trimesh.creation.box((0.04, 0.04, 0.04)).export(path.parent / "meshes" / f"foot.{suffix}")
    plant = stand_up(kind, path, setup_of(NAMES, stiffness=200.0, damping=5.0))
    assert state_of(plant).base_pos[0, 2] == pytest.approx(0.421, abs=1e-5)


def test_a_truncated_robot_file_is_an_error(kind, tmp_path, setup_of, stand_up):
    """So are a file that is no robot and one that holds something else than its name says."""
    path = tmp_path / "robot.urdf"
    for text in ("<robot><link", "<html/>", "<mujoco><worldbody/></mujoco>"):
        path.write_text(text)
        with pytest.raises(RobotError, match=r"robot\.urdf"):
            stand_up(kind, path, setup_of(NAMES, stiffness=1.0, damping=1.0))


def test_closing_twice_is_harmless(kind, robot_file, setup_of, stand_up):
    """And the name tells simulator and version."""
    plant = stand_up(kind, robot_file("tripod.urdf"), setup_of(NAMES, stiffness=1.0, damping=1.0))
    assert plant.name.startswith(kind)
    plant.close()
    plant.close()


def test_a_picture_shows_the_robot(kind, robot_file, setup_of, stand_up):
    """An image of the size asked for, in which a falling robot moves."""
    from policy_port.errors import MissingDependencyError

    plant = stand_up(kind, robot_file("tripod.urdf"), setup_of(NAMES, stiffness=5.0, damping=1.0))
    try:
        first = plant.render(120, 160).copy()
    except MissingDependencyError as cause:
        pytest.skip(str(cause))
    assert first.shape == (120, 160, 3)
    assert first.dtype == np.uint8
    assert first.std() > 10.0
    plant.write(np.full((1, len(NAMES)), 0.9))
    plant.step(200)
    assert np.abs(plant.render(120, 160).astype(int) - first).max() > 30


@pytest.mark.parametrize(("floating", "frame"), [(True, "sensor"), (False, None)])
def test_an_environment_does_not_know_of_the_others(kind, floating, frame, robot_file, setup_of, stand_up, state_of):
    """Three environments with targets of their own measure, bit for bit, what each does alone; NaN stays nowhere."""
    setup = setup_of(NAMES, stiffness=20.0, damping=0.5, floating=floating, frame=frame, height=0.5)
    rng = np.random.default_rng(0)
    starts, targets = rng.uniform(-0.3, 0.3, (3, 6)), rng.uniform(-0.5, 0.5, (3, 6))

    def play(rows):
        plant = stand_up(kind, robot_file("tripod.urdf"), setup, num_envs=len(rows))
        plant.reset(starts[rows])
        plant.write(targets[rows])
        plant.step(50)
        state = state_of(plant)
        measured = {name: getattr(state, name) for name in MEASURED}
        for array in measured.values():
            array[:] = np.nan
        plant.read(state)
        return measured | {"effort": plant.effort().copy()}

    together, alone = play([0, 1, 2]), [play([row]) for row in range(3)]
    for name, values in together.items():
        assert np.isfinite(values).all(), name
        np.testing.assert_array_equal(values, np.concatenate([one[name] for one in alone]), err_msg=name)
    # An arm is held at its start height, whatever its joints do; what walks is not.
    assert bool(np.ptp(together["base_pos"], axis=0).any()) == floating
