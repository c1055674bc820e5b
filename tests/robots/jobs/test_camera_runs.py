"""Cameras of a robot file: opened through LeRobot, and a stalled one stops the arm."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.errors import RobotError
from policy_port.port.pilot import Pilot
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs.reach_job import ReachJob
from policy_port.robots.jobs.run import Keep, play_real
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Trace
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow


def with_camera(**changes: object) -> RobotFile:
    camera = CameraBounds(source=0, width=160, height=120, fps=15, crop=(10, 20, 64, 96))
    return unhurried(timing={"stale_frame": 2.0}, cameras={"front": camera.model_copy(update=changes)})


def test_a_stalled_camera_ends_the_run_at_rest(tmp_path: Path, pilot: Pilot) -> None:
    """Frames stop, the connection stays: the run ends at rest, and the trace says how old the last frame was."""
    # Frames age in real time, so the arm moves until they are too old, whatever its own clock says by then.
    task, clock = dataclasses.replace(SO100_REACH, episode_steps=1_000_000), VirtualClock()
    with emulate(with_camera(), clock=clock) as rehearsal:

        def on_torque() -> None:
            rehearsal.let_go()
            rehearsal.arm.inject("stall-camera@1")

        done = play_real(
            pilot,
            rehearsal.robot,
            ReachJob(task),
            seeds=range(1),
            keep=Keep(folder=tmp_path),
            console=Console(continuous=True),
            on_torque=on_torque,
            time=clock,
        )
    assert "the last frame of camera 'front' is" in done.result.setting["ended"]
    assert done.result.setting["arm"] == "at rest, torque off"
    assert done.exit_code == 1
    ages = Trace(tmp_path / "trace.npz")["frame_age"]
    assert np.isfinite(ages).all()
    assert ages[0] < 2.0


@pytest.mark.parametrize(
    ("fault", "what"),
    [("freeze-camera@1", "has delivered the same picture"), ("black-camera@1", "has shown nothing but black")],
)
def test_a_camera_that_shows_nothing_new_ends_the_run_at_rest(
    tmp_path: Path, pilot: Pilot, fault: str, what: str
) -> None:
    """Frames go on coming where they are read, and show what was, or nothing; the noise of an idle scene is neither."""
    task, clock = dataclasses.replace(SO100_REACH, episode_steps=1_000_000), VirtualClock()
    with emulate(with_camera(), clock=clock) as rehearsal:

        def on_torque() -> None:
            rehearsal.let_go()
            rehearsal.arm.inject(fault)

        done = play_real(
            pilot,
            rehearsal.robot,
            ReachJob(task),
            seeds=range(1),
            keep=Keep(folder=tmp_path, frames=True),
            console=Console(continuous=True),
            on_torque=on_torque,
            time=clock,
        )
    assert f"camera 'front' {what}" in done.result.setting["ended"]
    assert done.result.setting["arm"] == "at rest, torque off"
    assert done.exit_code == 1


class Late:
    """A camera whose last frame is old."""

    latest_timestamp = 0.0

    def read_latest(self, max_age_ms: float) -> np.ndarray:
        raise TimeoutError(f"latest frame is too old (max allowed: {max_age_ms:.1f} ms)")


@pytest.mark.parametrize(("fps", "stale", "told"), [(5, 0.25, True), (5, 0.5, False), (15, 0.25, False)])
def test_a_rate_that_leaves_frames_no_room_is_said_to(fps: int, stale: float, told: bool) -> None:
    """At 5 Hz the newest frame is up to 0.2 s old on time; where the bound is hardly more, the message says so."""
    camera = CameraBounds(source=0, width=160, height=120, fps=fps)
    cameras = ArmCameras(unhurried(timing={"stale_frame": stale}, cameras={"front": camera}))
    cameras._cameras = {"front": Late()}
    for look in (lambda: cameras.frame("front"), cameras.check):
        with pytest.raises(RobotError) as raised:
            look()
        assert ("at its fps the next one comes after 0.20 s: raise that" in str(raised.value)) == told, raised.value


def test_frames_are_cropped_and_a_wrong_size_is_refused() -> None:
    """The crop is the robot file's; a camera that delivers another size is named before anything moves."""
    with emulate(with_camera(), clock=VirtualClock()) as rehearsal:
        cameras = ArmCameras(rehearsal.robot)
        cameras.open()
        assert cameras.frame("front").shape == (64, 96, 3)
        cameras.check()
        cameras.close()
        front = rehearsal.robot.cameras["front"].model_copy(update={"width": 320})
        with pytest.raises(RobotError, match="delivers 160x120, the robot file says 320x120"):
            ArmCameras(rehearsal.robot.model_copy(update={"cameras": {"front": front}})).open()
