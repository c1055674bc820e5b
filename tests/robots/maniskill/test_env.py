"""RealEnv on the emulated arm: observed at the end of the interval, supervised, and at rest whatever ends it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

import torch

from policy_port.errors import RobotError, TaskError
from policy_port.robots import RealEnv
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.clock import REAL, Clock, VirtualClock
from policy_port.robots.emulator.tick_map import tick_scales
from policy_port.tasks.so100_reach_env import ENV_ID as REACH
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow

AHEAD, BACK = np.eye(6, dtype=np.float32)[0], -np.eye(6, dtype=np.float32)[0]
STILL = np.zeros(6, np.float32)


class Opened:
    """Arms and environments of one test, closed in the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.rehearsal: Rehearsal

    def __call__(self, steps: int = 80, clock: Clock = REAL, **timing: float) -> RealEnv:
        robot = unhurried(timing=timing)
        self.rehearsal = self._stack.enter_context(emulate(robot, clock=clock))
        env = RealEnv(
            REACH,
            self.rehearsal.robot,
            max_episode_steps=steps,
            continuous=True,
            on_torque=self.rehearsal.let_go,
            time=clock,
        )
        self._stack.callback(env.close)
        return env

    @property
    def torque(self) -> list[str]:
        return [servo.name for servo in self.rehearsal.arm.servos if servo.torque]


@pytest.fixture
def opened() -> Iterator[Opened]:
    with ExitStack() as stack:
        yield Opened(stack)


def test_episodes_on_the_arm(opened: Opened, clock: VirtualClock) -> None:
    """Batch, reward, length and proprioception as documented; no wind-up; steps counted anew; at rest in the end."""
    env = opened(steps=48, clock=clock)
    arm = opened.rehearsal.arm
    for seed in (3, 4):
        observation, info = env.reset(seed=seed)
        assert env.observation_space.contains(observation.numpy())
        assert info["elapsed_steps"].tolist() == [0]
        angles = np.array(list(arm.angles().values()))
        np.testing.assert_allclose(observation[0, :6], angles, atol=0.01)
    for _ in range(45):
        observation, reward, terminated, truncated, info = env.step(AHEAD)
    assert "success" not in info
    assert (bool(torch.isnan(reward).all()), terminated.tolist(), truncated.tolist()) == (True, [False], [False])
    # 45 steps of 0.05 rad from the start are beyond the limit of 2 rad; the target stands there.
    assert float(observation[0, 6]) == pytest.approx(2.0, abs=0.002)
    np.testing.assert_allclose(info["target_sent"][0], observation[0, 6:12])
    before = float(observation[0, 0])
    for _ in range(3):
        observation, _, _, truncated, info = env.step(BACK)
    assert before - float(observation[0, 0]) > 0.05
    assert (info["elapsed_steps"].tolist(), truncated.tolist()) == ([48], [True])
    scale = tick_scales(DEFAULT_CALIBRATION)["shoulder_pan"]
    assert max(scale.angle(item.value) for item in arm.goals("shoulder_pan")) == pytest.approx(2.0, abs=0.002)
    env.close()
    assert env.ended == "at rest, torque off"
    assert not opened.torque
    with pytest.raises(RobotError, match="the arm was closed; make a new one"):
        env.step(STILL)


def test_the_observation_is_of_the_intervals_end(opened: Opened, clock: VirtualClock) -> None:
    """It is measured most of a period after the target was sent, and just before the next one is due."""
    env = opened(clock=clock)
    env.reset(seed=0)
    supervisor, ages = env._arm.supervisor, []
    for _ in range(20):
        env.step(AHEAD)
        reading = env._arm.arm.reading
        assert reading is not None
        ages.append(reading.time - supervisor._sent_at)
    assert 0.6 * 0.05 < np.median(ages) < 0.05


def test_one_error_on_the_line_ends_it_safely(opened: Opened, clock: VirtualClock) -> None:
    """The arm rests or is without torque, nothing is sent any more, and the environment says why it is over."""
    env = opened(clock=clock)
    env.reset(seed=0)
    env.step(STILL)
    opened.rehearsal.arm.inject("silent:elbow_flex")
    with pytest.raises(ArmStopError) as error:
        for _ in range(20):
            env.step(AHEAD)
    assert "elbow_flex" in str(error.value)
    assert any("The arm: " in note for note in error.value.__notes__)
    assert not opened.torque
    sent = len(opened.rehearsal.arm.goals())
    for call in (lambda: env.step(AHEAD), lambda: env.reset(seed=0)):
        with pytest.raises(RobotError, match="the arm was stopped: .*elbow_flex.*; make a new one"):
            call()
    # ManiSkill's Sim2RealEnv drives the arm from here on whenever the simulation is stepped.
    env._task.made.reset()
    env._task.made.step(AHEAD)
    assert len(opened.rehearsal.arm.goals()) == sent


def test_an_action_that_is_not_finite_ends_at_rest(opened: Opened, clock: VirtualClock) -> None:
    """NaN stops; before the first reset there is no step at all."""
    env = opened(clock=clock)
    with pytest.raises(TaskError, match="call reset before step"):
        env.step(STILL)
    env.reset(seed=0)
    with pytest.raises(ArmStopError, match="not finite"):
        env.step(np.full(6, np.nan))
    assert env.ended == "at rest, torque off"


@pytest.mark.real_time
def test_ctrl_c_while_the_program_thinks_ends_at_rest(opened: Opened) -> None:
    """Nobody calls the environment, for longer than the watchdog waits: the arm is watched all the same."""
    env = opened(heartbeat=1.0, deadline=2.0, stale=2.0)
    env.reset(seed=0)
    time.sleep(1.5)
    assert env.ended is None
    os.kill(os.getpid(), signal.SIGINT)
    until = time.monotonic() + 15.0
    while env.ended is None and time.monotonic() < until:
        time.sleep(0.05)
    assert env.ended == "at rest, torque off"
    with pytest.raises(RobotError, match="stopped by SIGINT"):
        env.step(STILL)
    # The next Ctrl-C is Python's own again.
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_action_on_an_old_observation_is_refused(opened: Opened, clock: VirtualClock) -> None:
    """A policy that takes too long to make up its mind does not act on what was."""
    env = opened(clock=clock, stale=0.3)
    env.reset(seed=0)
    clock.sleep(0.5)
    with pytest.raises(ArmStopError, match="rests on an observation that is"):
        env.step(STILL)
    assert env.ended == "at rest, torque off"


def test_a_policy_too_slow_for_its_period_is_told_before_motion(opened: Opened, clock: VirtualClock) -> None:
    """The rehearsal moves nothing, and says so."""
    env = opened(clock=clock)
    slow = env.rehearse(lambda observation: STILL)
    assert env._arm.clock.lead == min(slow + 0.004, 0.6 * 0.05)
    with pytest.raises(ArmStopError, match="too slow or too busy; nothing was moved"):
        env.rehearse(lambda observation: clock.sleep(0.03) or STILL)
    assert all(item.value == 0 for item in opened.rehearsal.arm.torque_commands())


def test_a_network_that_the_arm_can_not_wait_for_is_told_before_motion(opened: Opened, clock: VirtualClock) -> None:
    """A policy that performs chunks and is quick in most steps is held against the bounds, as in `play --real`."""
    env, steps = opened(clock=clock, stale=0.1, deadline=2.0), iter(range(1000))

    def decide(observation: object) -> np.ndarray:
        if next(steps) % 8 == 0:
            clock.sleep(0.2)
        return STILL

    with pytest.raises(ArmStopError, match=r"the network is asked takes 0\.2.* timing\.stale \(0\.1\) of the robot"):
        env.rehearse(decide)
    assert all(item.value == 0 for item in opened.rehearsal.arm.torque_commands())
