"""What a remap does to a reference motion: the clip's joints, and the joints on the way to its anchor."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.joints import UNIT_PER_SI, JointConversion
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.motion import ChainLink, Following
from policy_port.errors import MappingError
from policy_port.motion.motion import Motion


def target_motion(motion: Motion, mapping: RobotMapping) -> Motion:
    """A clip of the source's robot as the target's joints show it, in SI units on both sides.

    Raises:
        MappingError: When a joint is in a unit without a fixed ratio to SI.
    """
    positions: list[Array] = []
    speeds: list[Array] = []
    names: list[str] = []
    by_target = {target: source for source, target in mapping.pairs}
    still = np.zeros(motion.frames)
    for name in mapping.target_joint_names:
        if name in by_target and by_target[name] in motion.joint_names:
            column = motion.joint_names.index(by_target[name])
            slope, offset = _in_si(by_target[name], mapping.conversion(by_target[name]))
            positions.append(slope * motion.joint_pos[:, column] + offset)
            speeds.append(slope * motion.joint_vel[:, column])
        elif name in mapping.only_in_target:
            positions.append(still + mapping.only_in_target[name].position)
            speeds.append(still)
        else:
            continue
        names.append(name)
    return replace(
        motion,
        joint_names=tuple(names),
        joint_pos=np.stack(positions, axis=1) if positions else np.zeros((motion.frames, 0)),
        joint_vel=np.stack(speeds, axis=1) if speeds else np.zeros((motion.frames, 0)),
    )


def target_following(use: Following, mapping: RobotMapping) -> Following:
    """How the target follows it: the way to the anchor is turned by the target's joints.

    Raises:
        MappingError: When the target lacks a joint on that way.
    """
    chain = []
    there = dict(mapping.pairs)
    for step in use.chain:
        if step.joint is not None:
            if step.joint not in there:
                raise MappingError(
                    f"the target lacks joint '{step.joint}', which turns the motion's anchor '{use.anchor}'; without "
                    "it the anchor's pose can't be told"
                )
            step = _turned_by(step, there[step.joint], *_in_si(step.joint, mapping.conversion(step.joint)))
        chain.append(step)
    # What the files say of joints is the source's parsing; the port brings its clip in the target's.
    files = use.files.model_copy(update={"joints": None})
    return use.model_copy(update={"chain": tuple(chain), "files": files if mapping.pairs else use.files})


def _turned_by(step: ChainLink, joint: str, slope: float, offset: float) -> ChainLink:
    """The same link, turned by a joint whose position is slope * the old one's + offset."""
    if abs(abs(slope) - 1.0) > 1e-9:
        raise MappingError(
            f"joint '{step.joint}' turns link '{step.link}' on the way to the motion's anchor, and the mapping scales "
            f"it by {slope:g}; a hinge turns by its own angle"
        )
    sign = math.copysign(1.0, slope)
    axis = tuple(sign * number for number in step.axis)
    # At target position `offset` the source's stands at zero.
    half = -0.5 * offset * sign
    w, (x, y, z) = math.cos(half), (math.sin(half) * number for number in step.axis)
    a, b, c, d = step.quat
    quat = (a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w)  # fmt: skip
    return step.model_copy(update={"joint": joint, "axis": axis, "quat": quat})


def _in_si(joint: str, conversion: JointConversion) -> tuple[float, float]:
    """Slope and offset between both sides' SI positions."""
    for unit in (conversion.source_unit, conversion.target_unit):
        if unit == "percent":
            raise MappingError(f"joint '{joint}' of a reference motion is in percent, which no robot file can turn by")
    to_si = 1.0 / UNIT_PER_SI[conversion.target_unit]
    return conversion.slope * UNIT_PER_SI[conversion.source_unit] * to_si, conversion.offset * to_si
