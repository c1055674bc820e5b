"""Between radians and the wire: the scale agrees with LeRobot, and the limiter keeps what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policy_port.plants.limiter import Limiter
from policy_port.robots.arm.robot_file import MOTORS, RobotFile, load_robot_file
from policy_port.robots.arm.servo_scale import servo_scale


@pytest.fixture(scope="module")
def bus() -> Any:
    """LeRobot's bus with the emulated arm's calibration, its port closed."""
    follower = pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from lerobot.motors import MotorCalibration

    from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION

    made = follower.SOFollower(follower.SOFollowerRobotConfig(port="/dev/null", id="nobody"))
    made.bus.calibration = {name: MotorCalibration(**vars(servo)) for name, servo in DEFAULT_CALIBRATION.items()}
    return made.bus


def test_numbers_are_lerobots(bus: Any) -> None:
    """Degrees and percent of a reading are what LeRobot itself makes of it."""
    scale = servo_scale(load_robot_file("so100"), bus.calibration)
    for ticks in ([2045, 996, 3091, 2506, 2047, 2010], [1000, 2000, 1500, 900, 4000, 3000]):
        theirs = bus._normalize(dict(enumerate(ticks, start=1)))
        np.testing.assert_allclose(scale.numbers(np.array(ticks, float)), list(theirs.values()), atol=1e-9)


def test_goals_are_the_nearest_tick_and_angles_turn_back(bus: Any) -> None:
    """LeRobot cuts a fraction of a tick off; what is sent here is at most half a tick away."""
    robot = load_robot_file("so100")
    scale = servo_scale(robot, bus.calibration)
    rng = np.random.default_rng(1)
    lower, upper = scale.limits
    for _ in range(50):
        angles = rng.uniform(lower, upper)
        np.testing.assert_allclose(scale.angles(scale.ticks(angles)), angles, atol=1e-12)
        assert np.abs(scale.ticks(angles) - scale.goals(angles)).max() <= 0.5 + 1e-9


def test_no_angle_leads_outside_the_sweep_or_the_limits(bus: Any) -> None:
    """Whatever is asked for, the goal is within the robot file's limits and the calibrated sweep."""
    robot = load_robot_file("so100")
    scale = servo_scale(robot, bus.calibration)
    for angles in (np.full(6, 100.0), np.full(6, -100.0)):
        goals = scale.goals(angles)
        for index, motor in enumerate(MOTORS):
            assert bus.calibration[motor].range_min <= goals[index] <= bus.calibration[motor].range_max
            bounds = robot.joints[robot.joint_names[index]]
            assert bounds.lower - 1e-5 <= scale.angles(goals)[index] <= bounds.upper + 1e-5


def limiter(robot: RobotFile, period: float) -> Limiter:
    bounds = [robot.joints[name] for name in robot.joint_names]
    return Limiter(
        *(np.array([getattr(joint, key) for joint in bounds]) for key in ("lower", "upper", "speed", "acceleration")),
        period=period,
    )


# Full speed towards a limit, from a speed that is no multiple of what one step of braking takes off.
NEAR_A_LIMIT = [[0.0] * 6 if far else [2.0] * 6 for far in (1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1)]


@settings(deadline=None, max_examples=60)
@example(asked=NEAR_A_LIMIT, period=1 / 30)
@given(
    asked=st.lists(st.lists(st.floats(-10.0, 10.0), min_size=6, max_size=6), min_size=1, max_size=30),
    period=st.sampled_from([1 / 30, 0.05, 1 / 15]),
)
def test_the_limiter_keeps_position_speed_and_acceleration(asked: list[list[float]], period: float) -> None:
    """For any sequence of targets, what comes out is within all three limits, joint by joint."""
    robot = load_robot_file("so100")
    limits = limiter(robot, period)
    limits.start(np.array(robot.pose("rest")))
    positions = [limits.position.copy(), limits.position.copy()]
    for target in asked:
        positions.append(limits.follow(np.array(target)).copy())
    for index, name in enumerate(robot.joint_names):
        bounds, path = robot.joints[name], np.array(positions)[:, index]
        assert path.min() >= bounds.lower
        assert path.max() <= bounds.upper
        assert np.abs(np.diff(path)).max() <= bounds.speed * period + 1e-9
        assert np.abs(np.diff(path, n=2)).max() <= bounds.acceleration * period**2 + 1e-9


def test_the_limiter_arrives_without_overshooting() -> None:
    """A target far away is reached exactly, from one side."""
    robot = load_robot_file("so100")
    limits = limiter(robot, 0.05)
    limits.start(np.zeros(6))
    path = [limits.follow(np.full(6, 0.8)).copy() for _ in range(60)]
    assert np.max(path) <= 0.8 + 1e-12
    np.testing.assert_allclose(path[-1], 0.8, atol=1e-9)


def test_the_embedded_policys_steps_pass_unchanged() -> None:
    """0.05 rad in 0.05 s from standstill, on and back again, is what the shipped limits leave alone."""
    limits = limiter(load_robot_file("so100"), 0.05)
    limits.start(np.zeros(6))
    step = np.array([0.05, 0.05, 0.05, 0.05, 0.05, 0.2])
    for k in range(1, 6):
        np.testing.assert_allclose(limits.follow(k * step), k * step, atol=1e-12)
