"""From options to servos and the mechanics that they drive."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policy_port.robots.emulator.mechanics import JointMechanics, LaggingJoints, Mechanics
from policy_port.robots.emulator.options import ArmOptions
from policy_port.robots.emulator.servo import Servo
from policy_port.robots.emulator.tick_map import TickScale, tick_scales

REST = {"shoulder_lift": -1.5708, "elbow_flex": 1.5708, "wrist_flex": 0.66, "gripper": -1.1}
"""Folded on its base [rad]; joints that are not named are at 0."""
GRAVITY = {"shoulder_lift": 28.0, "elbow_flex": 20.0, "wrist_flex": 8.0}
"""How far gravity bends a level joint under torque [ticks]: up to 0.043 rad on recordings of a real SO100."""
HANG = math.pi / 2
"""Angle to which the joints of `GRAVITY` fall [rad]."""
MARGIN = 8.0
"""How far the mechanical stops are beyond the sweep that was calibrated [ticks]."""
WHOLE_TURN = 4000
"""A sweep of at least so many ticks is of a joint without stops."""


@dataclass(frozen=True)
class ArmParts:
    """An arm that is put together."""

    servos: tuple[Servo, ...]
    """The servos, in the calibration's order."""
    mechanics: Mechanics
    """What they drive."""
    scales: dict[str, TickScale]
    """Angle of each servo's reading."""


def build_arm(options: ArmOptions) -> ArmParts:
    """Put an arm together, at its start pose, without torque.

    Raises:
        PolicyPortError: When mapping, calibration or simulator do not go together.
    """
    scales = tick_scales(options.calibration, options.mapping)
    start = REST | dict(options.pose or {})
    pose = {name: start.get(name, 0.0) for name in options.calibration}
    if options.model == "mujoco":
        # MuJoCo is loaded only for those who ask for it.
        from policy_port.robots.emulator.simulated import simulate

        mechanics: Mechanics = simulate(options, scales, pose)
    else:
        mechanics = LaggingJoints([_joint(name, options, scales[name], pose[name]) for name in options.calibration])
    servos = []
    for (name, known), shaft in zip(options.calibration.items(), mechanics.shafts, strict=True):
        stored = {
            "ID": known.id,
            "Homing_Offset": known.homing_offset,
            "Min_Position_Limit": known.range_min,
            "Max_Position_Limit": known.range_max,
        }
        servos.append(Servo(name, shaft, stored))
    return ArmParts(tuple(servos), mechanics, scales)


def _joint(name: str, options: ArmOptions, scale: TickScale, angle: float) -> JointMechanics:
    known = options.calibration[name]
    endless = known.range_max - known.range_min >= WHOLE_TURN
    lower = -math.inf if endless else known.range_min + known.homing_offset - MARGIN
    upper = math.inf if endless else known.range_max + known.homing_offset + MARGIN
    return JointMechanics(
        start=min(max(scale.ticks(angle) + known.homing_offset, lower), upper),
        lower=lower,
        upper=upper,
        gravity=GRAVITY.get(name, 0.0),
        hang=scale.ticks(HANG) + known.homing_offset,
    )
