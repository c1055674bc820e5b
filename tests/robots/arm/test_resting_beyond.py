"""An arm that lies a little beyond a limit comes back slowly: no goal beyond the limit, and no jump."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

import numpy as np

from policy_port.robots.arm.confirmation import fingerprint, note_of
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.robot_file import MOTORS
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.tick_map import tick_scales
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("beyond", [0.0, 0.02, 0.05, 0.15])
def test_it_comes_back_no_faster_than_it_is_led(tmp_path: Path, clock: VirtualClock, beyond: float) -> None:
    """Lying at -1.62 rad with the limit at -1.571: it comes at the approach speed, then is as fast as ever."""
    robot = unhurried()
    wide = dict(DEFAULT_CALIBRATION) | {
        "shoulder_lift": dataclasses.replace(DEFAULT_CALIBRATION["shoulder_lift"], range_min=700, range_max=3340)
    }
    lying = dict(zip(MOTORS, robot.pose("rest"), strict=True))
    lying["shoulder_lift"] -= beyond
    with EmulatedArm(wide, pose=lying, clock=clock) as arm:
        arm.write_calibration(tmp_path / "so100.json")
        robot = robot.model_copy(update={"port": arm.port, "calibration_dir": tmp_path, "approach_speed": 0.5})
        probe = LeRobotArm(robot, 0.05)
        note_of(probe.calibration_file).write_text(fingerprint(robot, probe.calibration))
        seen: list[tuple[float, float]] = []
        session = ArmSession(robot, 0.05, Console(continuous=True), lambda: None, clock)
        session.open()
        arm.inject("stuck")

        def note() -> None:
            seen.append((clock.now(), arm._engine._angle(arm._engine._servo("shoulder_lift"))))  # type: ignore[union-attr]

        with session:
            begin = clock.now()
            arm.clear()
            clock.follow(note)
            session.power()
            clock.leave(note)
            after = session.supervisor
            with session.driving():
                after.read(session.state)
        limit = robot.joints["shoulder_lift"].lower
        scale = tick_scales(wide)["shoulder_lift"]
        goals = [scale.angle(item.value) for item in arm.goals("shoulder_lift")]
        assert min(goals) >= limit - 1e-6
        times, angles = np.array([t for t, _ in seen]), np.array([a for _, a in seen])
        apart = times[None] - times[:, None]
        pairs = (apart > 0.05) & (apart < 0.15)
        speed = (np.abs(angles[None] - angles[:, None])[pairs] / apart[pairs]).max()
        assert speed < 0.5 * 1.3 + 2.0 * math.pi / 4096 / 0.05
        assert abs(state := session.state.joint_pos[0, 1] - limit) < 0.06, state
        assert all(
            item.value == 0 for item in arm.wire_log if item.register == "Goal_Velocity" and item.time > begin + 2
        )
        assert not any(servo.torque for servo in arm.servos)
