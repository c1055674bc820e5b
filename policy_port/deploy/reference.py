"""Signals of a reference motion, whose frames are tables in the program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from policy_port.contract.motion_terms import MotionJointTerm, MotionTerm
from policy_port.deploy.program import Value
from policy_port.deploy.source import (
    Source,
    about_vertical,
    conjugate,
    floor_mod,
    multiply,
    quat_about,
    rotate,
    yaw_angle,
)
from policy_port.motion.rotations import conjugate as inverse
from policy_port.motion.rotations import yaw_only


def frame(source: Source, ahead: int = 0) -> Value:
    """Number of the frame of this moment, shape (num_envs, 1)."""
    clip = source.clip
    number = (source.states.steps * clip.per_step).call("Round")
    if ahead:
        number = number + float(ahead)
    if clip.use.end == "repeat":
        return floor_mod(number, float(clip.motion.frames))
    return number.clip([0.0], [clip.motion.frames - 1.0])


def joints(source: Source, signal: str) -> Value:
    """Positions and velocities of the clip's joints, for each term of a kind."""
    contract, parts = source.contract, []
    for term in contract.observation.terms:
        if isinstance(term, MotionJointTerm) and term.term == signal:
            names = tuple(dict.fromkeys(map(term.joint, term.keys(contract))))
            motion = source.clip.motion.joints(names, f"observation term '{term.label}' of contract '{contract.name}'")
            tables = {
                "motion_joint_pos": (motion.joint_pos,),
                "motion_joint_vel": (motion.joint_vel,),
                "motion_command": (motion.joint_pos, motion.joint_vel),
            }
            table = np.concatenate(tables[signal], axis=1)
            parts += [source.program.rows(table, frame(source, ahead)) for ahead in term.offsets]
    return source.program.concat(parts)


def targets(source: Source, names: tuple[str, ...]) -> Value:
    """Present positions of the clip's joints [rad or m], in the row's joint order; 0 for joints that are not named."""
    motion = source.clip.motion.joints(names, f"the action of contract '{source.contract.name}'")
    table = np.zeros((motion.frames, len(source.layout.joint_names)))
    table[:, [source.layout.joint(name) for name in names]] = motion.joint_pos
    return source.program.rows(table, frame(source))


def phase(source: Source) -> Value:
    """How much of the clip has been played, 1 at the last frame."""
    share = 1.0 / (source.clip.motion.frames - 1)
    return source.program.concat([frame(source, ahead) * share for ahead in _offsets(source, "motion_phase")])


def anchor(source: Source, signal: str) -> Value:
    """Pose of the clip's anchor in the frame of the robot's anchor."""
    place, turned = _robots_anchor(source)
    yaw, shift = _aligned(source, place, turned)
    back, parts = conjugate(turned), []
    places, turns = source.clip.anchor()
    for ahead in _offsets(source, signal):
        now = frame(source, ahead)
        if signal == "motion_anchor_ori_b":
            wanted = source.program.rows(turns, now)
            seen = multiply(back, wanted if yaw is None else multiply(yaw, wanted))
            columns = source.program.concat([rotate(seen, axis) for axis in np.eye(3)[:2]])
            parts.append(columns[[0, 3, 1, 4, 2, 5]])
        else:
            there = source.program.rows(places, now)
            there = there if yaw is None else rotate(yaw, there)
            parts.append(rotate(back, (there if shift is None else there + shift) - place))
    return source.program.concat(parts)


def _robots_anchor(source: Source) -> tuple[Value, Value]:
    """Origin and orientation of the robot's anchor in the world."""
    if (known := source.computed.get("anchor_pos")) is not None:
        return known, source.computed["anchor_quat"]
    place, turned = source.signal("base_pos"), source.signal("base_quat")
    for step in source.clip.use.chain:
        place = place + rotate(turned, np.asarray(step.offset))
        turned = multiply(turned, np.asarray(step.quat))
        if step.joint is not None:
            turned = multiply(turned, quat_about(source.joint_positions([step.joint]) * 0.5, np.asarray(step.axis)))
    source.computed |= {"anchor_pos": place, "anchor_quat": turned}
    return place, turned


def _aligned(source: Source, place: Value, turned: Value) -> tuple[Value | None, Value | None]:
    """The turn about the vertical and the shift that bring the clip's start to the robot's, kept from its reset on."""
    use, states, program = source.clip.use, source.states, source.program
    if use.align == "none":
        return None, None
    if (known := source.computed.get("anchor_yaw")) is not None:
        return known, source.computed.get("anchor_shift")
    first_place, first_turn = (values[0] for values in source.clip.anchor())
    found = multiply(about_vertical(yaw_angle(turned)), inverse(yaw_only(first_turn)))
    yaw = program.where(states.fresh, found, states.take("motion_yaw", 4))
    states.put("motion_yaw", yaw)
    source.computed["anchor_yaw"] = yaw
    if use.align != "yaw_and_position":
        return yaw, None
    # The ground is where it is: only the place in the plane is made equal.
    apart = (place - rotate(yaw, first_place)) * np.array([1.0, 1.0, 0.0])
    shift = program.where(states.fresh, apart, states.take("motion_shift", 3))
    states.put("motion_shift", shift)
    source.computed["anchor_shift"] = shift
    return yaw, shift


def _offsets(source: Source, signal: str) -> list[int]:
    """Frames ahead of each block of a signal's columns."""
    terms = source.contract.observation.terms
    return [ahead for term in terms if isinstance(term, MotionTerm) and term.term == signal for ahead in term.offsets]


MOTION: dict[str, Callable[[Source], Value]] = {
    **{kind: partial(joints, signal=kind) for kind in ("motion_joint_pos", "motion_joint_vel", "motion_command")},
    **{kind: partial(anchor, signal=kind) for kind in ("motion_anchor_ori_b", "motion_anchor_pos_b")},
    "motion_phase": phase,
}
"""What computes the terms of a motion, by the name of the signal."""
