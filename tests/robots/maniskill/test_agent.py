"""LeRobotRealAgent in ManiSkill's own Sim2RealEnv and alone, on the emulated arm."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

import torch
from lerobot.cameras.opencv import OpenCVCameraConfig
from lerobot.robots.so_follower import SOFollower, SOFollowerRobotConfig
from mani_skill.envs.sim2real_env import Sim2RealEnv
from mani_skill.utils.wrappers.flatten import FlattenRGBDObservationWrapper

from policy_port.errors import RobotError, TaskError
from policy_port.replay.open_env import open_env
from policy_port.robots import LeRobotRealAgent
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.robot_file import CameraBounds, load_robot_file
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.clock import VirtualClock
from tests.robots.unhurried import unhurried

GRASP = "SO100GraspCube-v1"
FRONT = CameraBounds(source=0, width=160, height=144, fps=30, crop=(0, 0, 144, 144))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(stack: ExitStack, **changes: Any) -> tuple[Rehearsal, Any]:
    clock = VirtualClock()
    rehearsal = stack.enter_context(emulate(unhurried(**changes), clock=clock))
    agent = LeRobotRealAgent(rehearsal.robot, continuous=True, on_torque=rehearsal.let_go, time=clock)
    stack.callback(agent.stop)
    agent.start()
    return rehearsal, agent


def angles(rehearsal: Rehearsal) -> np.ndarray:
    return np.array([*rehearsal.arm.angles().values()])


def test_lerobots_robot_is_taken_over_unconnected(tmp_path: Path) -> None:
    """Port, id, folder and cameras are LeRobot's; names, signs and zeros the robot file's; other units are refused."""
    camera = OpenCVCameraConfig(index_or_path=3, width=640, height=480, fps=30)
    config = SOFollowerRobotConfig(
        port="/dev/ttyX", id="desk", calibration_dir=tmp_path, use_degrees=True, cameras={"base_camera": camera}
    )
    known = LeRobotRealAgent(SOFollower(config), continuous=True).robot_file
    assert (known.port, known.id, known.calibration_dir) == ("/dev/ttyX", "desk", tmp_path)
    assert known.cameras["base_camera"] == CameraBounds(source=3, width=640, height=480, fps=30)
    assert known.mapping == load_robot_file("so100").mapping
    config.use_degrees = False
    with pytest.raises(RobotError, match="has use_degrees=False, the robot file's joint map is for use_degrees: true"):
        LeRobotRealAgent(SOFollower(config), continuous=True)
    camera.fps = None
    config.use_degrees = True
    with pytest.raises(RobotError, match="camera 'base_camera': give an OpenCVCameraConfig with width, height and fps"):
        LeRobotRealAgent(SOFollower(config), continuous=True)
    with pytest.raises(RobotError, match="control_freq is 60 Hz"):
        LeRobotRealAgent("so100", control_freq=60.0, continuous=True)
    with pytest.raises(RobotError, match="call start first"):
        LeRobotRealAgent("so100", continuous=True).get_qpos()


@pytest.mark.slow
def test_targets_before_the_first_reading_and_after_reconnecting(stack: ExitStack) -> None:
    """A target may come first; angles are the arm's own; an arm that was moved by hand does not jump back."""
    rehearsal, agent = started(stack)
    rest = angles(rehearsal)
    target = rest + np.array([0.05, 0.0, 0.0, 0.05, 0.05, 0.0])
    for _ in range(15):
        agent.set_target_qpos(torch.from_numpy(target.astype(np.float32))[None])
    # The elbow's 6.8 degrees and the gripper's percent would each show here.
    np.testing.assert_allclose(agent.get_qpos()[0], angles(rehearsal), atol=0.01)
    np.testing.assert_allclose(agent.get_qpos()[0], target, atol=0.03)
    assert agent.get_qvel().shape == (1, 6)
    with pytest.raises(TaskError, match="6 joints, given: 5"):
        agent.set_target_qpos(np.zeros(5))
    agent.stop()
    assert agent.ended == "at rest, torque off"
    rehearsal.arm.inject("stuck")
    rehearsal.arm.inject("push:shoulder_pan:100")
    moved = angles(rehearsal)
    before = len(rehearsal.arm.goals("shoulder_pan"))
    agent.start()
    agent.set_target_qpos(moved)
    first = rehearsal.arm.goals("shoulder_pan")[before]
    assert abs(first.value - first.present) <= 2
    with pytest.raises(ArmStopError, match="the policy's first target of shoulder_pan is|is not finite"):
        agent.set_target_qpos(np.full(6, np.nan))
    with pytest.raises(RobotError, match="the arm was stopped: "):
        agent.get_qpos()


@pytest.mark.slow
def test_a_far_first_target_is_no_jump(stack: ExitStack) -> None:
    """ManiSkill's class would send it as it is."""
    rehearsal, agent = started(stack)
    with pytest.raises(ArmStopError, match="first target of elbow_flex is 0.000 rad, the arm is at 1.57"):
        agent.set_target_qpos(np.array([0.0, -1.5, 0.0, 0.66, 0.0, -1.05]))
    assert not any(servo.torque for servo in rehearsal.arm.servos)


@pytest.mark.slow
@pytest.mark.vulkan
@pytest.mark.filterwarnings("ignore")
def test_in_maniskills_own_sim2realenv(stack: ExitStack) -> None:
    """Its loop drives the arm, sees its camera, observes late in the interval, and is over after one error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sim = FlattenRGBDObservationWrapper(
            open_env(
                GRASP,
                control_mode=None,
                draws=True,
                num_envs=1,
                obs_mode="rgb+segmentation",
                reward_mode="none",
                sim_backend="physx_cpu",
            ),
            depth=False,
        )
    stack.callback(sim.close)
    # Opening a simulation takes seconds in which no thread fetches frames.
    rehearsal, agent = started(stack, cameras={"base_camera": FRONT})

    def reset(env: Any, seed: Any = None, options: Any = None) -> None:
        sim.reset(seed=seed, options=options)
        env.agent.reset(env.base_sim_env.agent.robot.qpos)

    env: Any = Sim2RealEnv(sim, agent, real_reset_function=reset)
    told, _ = env.reset(seed=1)
    np.testing.assert_allclose(told["state"][0, :6], angles(rehearsal), atol=0.01)
    assert (tuple(told["rgb"].shape), told["rgb"].dtype) == ((1, 128, 128, 3), torch.uint8)
    ages, pan = [], float(told["state"][0, 0])
    for _ in range(10):
        told, *_ = env.step(np.eye(6, dtype=np.float32)[0])
        ages.append(agent._session.arm.reading.time - agent._sent_at)
    assert np.median(ages) > 0.6 * 0.05
    assert float(told["state"][0, 0]) - pan > 0.3
    rehearsal.arm.inject("silent:wrist_roll")
    with pytest.raises(ArmStopError, match="wrist_roll"):
        for _ in range(20):
            env.step(np.zeros(6, np.float32))
    sent = len(rehearsal.arm.goals())
    # Sim2RealEnv leaves the simulation's wrapper connected to the arm; the agent obeys nobody any more.
    with pytest.raises(RobotError, match="the arm was stopped"):
        sim.step(np.ones(6, np.float32))
    assert len(rehearsal.arm.goals()) == sent
    assert not any(servo.torque for servo in rehearsal.arm.servos)
