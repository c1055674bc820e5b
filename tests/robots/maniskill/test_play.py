"""`play --real --env`: a port in a ManiSkill task on the emulated arm, by the loop of every run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.contract import Contract
from policy_port.errors import RobotError, TaskError
from policy_port.port.pilot import Pilot
from policy_port.replay.result import Result
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs.report import real_report
from policy_port.robots.jobs.run import Keep, play_real
from policy_port.robots.maniskill.play import TaskJob
from policy_port.robots.maniskill.task import RealTask
from policy_port.tasks.so100_reach_env import ENV_ID as REACH
from policy_port.trace import Trace
from tests.robots.unhurried import unhurried


@pytest.fixture(scope="module")
def robot() -> RobotFile:
    return unhurried()


@pytest.fixture
def task(robot: RobotFile) -> Iterator[RealTask]:
    task = RealTask(REACH, robot)
    yield task
    task.close()


def changed(pilot: Pilot, **parts: Any) -> Pilot:
    """The same network under a contract that says something else."""
    document = pilot.network_contract.model_dump(mode="json")
    for path, value in parts.items():
        place: Any = document
        *steps, last = path.split("__")
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        place[last] = value
    return dataclasses.replace(pilot, network_contract=Contract.model_validate(document))


def test_a_port_has_to_fit_the_task(robot: RobotFile, pilot: Pilot, task: RealTask) -> None:
    """Another controller, scale or rate, limits beyond the arm's: each is named before the arm is reached."""
    TaskJob(task).check(pilot, robot)
    scaled = changed(pilot, action__terms__0__scale__elbow_flex=0.06)
    with pytest.raises(TaskError, match="an action moves the target of elbow_flex to .* contract 'so100_reach' says"):
        TaskJob(task).check(scaled, robot)
    with pytest.raises(TaskError, match="runs at 20 Hz, contract 'so100_reach' at 25 Hz"):
        TaskJob(task).check(changed(pilot, timestep=0.008), robot)
    smoothed = {"kind": "first_order", "alpha": 0.5, "of": "target"}
    with pytest.raises(TaskError, match=r"by its own controller, and contract 'so100_reach' states action\.filter"):
        TaskJob(task).check(changed(pilot, action__filter=smoothed), robot)
    narrow = robot.joints | {"elbow_flex": robot.joints["elbow_flex"].model_copy(update={"upper": 1.0})}
    with pytest.raises(RobotError, match="'elbow_flex' goes from"):
        TaskJob(task).check(pilot, robot.model_copy(update={"joints": narrow}))
    for mode in ("pd_joint_delta_pos", "pd_joint_pos"):
        other = RealTask(REACH, robot, control_mode=mode)
        with pytest.raises(TaskError, match=f"under {mode}, an action moves the target of .*--control-mode"):
            TaskJob(other).check(pilot, robot)
        other.close()


def test_a_port_of_another_width_is_refused(robot: RobotFile, pilot: Pilot) -> None:
    """The task without one of the parts that the port reads."""
    task = RealTask(REACH, robot, without=("goal",))
    with pytest.raises(TaskError, match="observes 12 numbers, contract 'so100_reach' describes 15"):
        TaskJob(task).check(pilot, robot)
    task.close()


def test_a_task_without_an_end_is_refused(task: RealTask) -> None:
    """An arm is not left running."""
    task.max_episode_steps = None
    with pytest.raises(TaskError, match="never end"):
        TaskJob(task)


@pytest.mark.slow
def test_the_embedded_policy_reaches_in_the_task(
    tmp_path: Path, robot: RobotFile, pilot: Pilot, task: RealTask, clock: VirtualClock
) -> None:
    """It reaches; each observation holds what was measured, what was really sent, and the goal of the seed."""
    # Slower than the policy asks for, so that what was sent is not what was asked.
    slow = {name: joint.model_copy(update={"speed": 0.9}) for name, joint in robot.joints.items()}
    with emulate(robot.model_copy(update={"joints": slow}), clock=clock) as rehearsal:
        done = play_real(
            pilot,
            rehearsal.robot,
            TaskJob(task),
            seeds=range(11, 13),
            keep=Keep(folder=tmp_path),
            console=Console(continuous=True),
            on_torque=rehearsal.let_go,
            time=clock,
        )
    assert done.result.setting["ended"] == "task done"
    assert done.result.setting["arm"] == "at rest, torque off"
    assert (done.exit_code, done.result["success_rate"]) == (0, 1.0)
    trace = Trace(tmp_path / "trace.npz")
    assert trace.header["origins"]["extra/goal"] == "commanded"
    observation, sent = trace["observation"][:, 0], trace["target_sent"][:, 0]
    assert len(observation) == 160
    np.testing.assert_allclose(observation[:, :6], trace["joint_pos"][:, 0], atol=1e-6)
    assert np.abs(sent - trace["target"][:, 0]).max() > 0.004
    for start in (0, 80):
        rows = slice(start + 1, start + 80)
        np.testing.assert_allclose(observation[rows, 6:12], sent[start : start + 79], atol=1e-6)
    for number, goal in enumerate((observation[0, 12:], observation[80, 12:])):
        np.testing.assert_allclose(goal, task.base.task.episode(11 + number)[1], atol=1e-6)
        np.testing.assert_allclose(trace["goal"][80 * number, 0], goal, atol=1e-6)


@pytest.mark.slow
def test_success_that_nobody_measured_is_not_reported(
    tmp_path: Path, robot: RobotFile, pilot: Pilot, clock: VirtualClock
) -> None:
    """Without a judge there is no rate: the report says how many episodes there were, and that somebody has to look."""
    task = RealTask(REACH, robot)
    job = TaskJob(task)
    job._reach, job.words["success"] = None, "nobody measured it: look"
    task.max_episode_steps, job._steps = 5, 5
    with emulate(robot, clock=clock) as rehearsal:
        done = play_real(
            pilot,
            rehearsal.robot,
            job,
            seeds=range(1),
            keep=Keep(folder=tmp_path),
            console=Console(continuous=True),
            on_torque=rehearsal.let_go,
            time=clock,
        )
    task.close()
    result: Result = done.result
    assert (result.episodes, result["episodes"], result["steps"]) == ((), 1, 5)
    assert "success" not in result.json().replace('"success": "nobody measured it: look"', "")
    page = real_report(result, done.end, Trace(tmp_path / "trace.npz"), title="", files={}, emulated=True)
    assert "1 episode came to its end; whether it succeeded, nobody measured" in page.verdict
