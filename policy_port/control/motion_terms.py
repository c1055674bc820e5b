"""Signals of a reference motion: the clip's joints, how far it is, and its anchor as the robot's anchor sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.motion_terms import MotionJointTerm, MotionTerm
from policy_port.control.signals import Signals
from policy_port.motion.anchor import link_pose
from policy_port.motion.rotations import conjugate, matrix, multiply, rotate


class ReferenceJoints:
    """Positions and velocities of the clip's joints, for each term of a kind that reads them."""

    def __init__(self, signals: Signals, signal: str) -> None:
        self._signals, self._clip, contract = signals, signals.clip, signals.contract
        out, first = signals.view(signal), 0
        self._terms: list[tuple[int, Array, Array]] = []
        for term in contract.observation.terms:
            if isinstance(term, MotionJointTerm) and term.term == signal:
                where = f"observation term '{term.label}' of contract '{contract.name}'"
                names = tuple(dict.fromkeys(map(term.joint, term.keys(contract))))
                motion = self._clip.motion.joints(names, where)
                tables = {
                    "motion_joint_pos": (motion.joint_pos,),
                    "motion_joint_vel": (motion.joint_vel,),
                    "motion_command": (motion.joint_pos, motion.joint_vel),
                }
                source = np.concatenate(tables[signal], axis=1)
                for ahead in term.offsets:
                    self._terms.append((ahead, source, out[:, first : first + source.shape[1]]))
                    first += source.shape[1]

    def update(self) -> None:
        """Read the frames of the present time."""
        for ahead, source, out in self._terms:
            out[...] = source[self._clip.frames(self._signals.time[:, 0], ahead)]


class ReferenceTargets:
    """Present positions of the clip's joints, for an action that adds to them."""

    def __init__(self, signals: Signals, names: tuple[str, ...]) -> None:
        self._time, self._clip = signals.time, signals.clip
        motion = self._clip.motion.joints(names, f"the action of contract '{signals.contract.name}'")
        self._positions = np.zeros((motion.frames, len(signals.joint_names)))
        self._positions[:, [signals.joint_index[name] for name in names]] = motion.joint_pos

    def read(self) -> Array:
        """Positions [rad or m], shape (num_envs, joints), plant joint order; 0 for joints that are not named."""
        return self._positions[self._clip.frames(self._time[:, 0])]


class ReferencePhase:
    """How much of the clip has been played."""

    def __init__(self, signals: Signals) -> None:
        self._signals, self._clip = signals, signals.clip
        self._out, self._ahead = signals.view("motion_phase"), _offsets(signals, "motion_phase")

    def update(self) -> None:
        """Frame by frame, 1 at the last one."""
        for column, ahead in enumerate(self._ahead):
            self._out[:, column] = self._clip.frames(self._signals.time[:, 0], ahead) / (self._clip.motion.frames - 1)


class ReferenceAnchor:
    """Pose of the clip's anchor in the frame of the robot's anchor."""

    def __init__(self, signals: Signals, signal: str) -> None:
        self._clip = signals.clip
        self._signals, self._oriented = signals, signal == "motion_anchor_ori_b"
        self._size = 6 if self._oriented else 3
        self._place, self._turn = self._clip.anchor()
        self._out, self._ahead = signals.view(signal), _offsets(signals, signal)
        self._yaw = np.tile([1.0, 0.0, 0.0, 0.0], (signals.num_envs, 1))
        self._shift = np.zeros((signals.num_envs, 3))

    def update(self) -> None:
        """Compare the present frame with the robot as it stands; its first step after a reset aligns the two."""
        signals, use = self._signals, self._clip.use
        angles = {
            step.joint: signals.state.joint_pos[:, signals.joint_index[step.joint]]
            for step in use.chain
            if step.joint is not None
        }
        place, turned = link_pose(use.chain, signals.state.base_pos, signals.state.base_quat, angles)
        if use.align != "none":
            self._align(place, turned)
        back = conjugate(turned)
        for column, ahead in enumerate(self._ahead):
            frames = self._clip.frames(self._signals.time[:, 0], ahead)
            out = self._out[:, column * self._size : (column + 1) * self._size]
            if self._oriented:
                wanted = multiply(self._yaw, self._turn[frames])
                out[...] = matrix(multiply(back, wanted))[..., :2].reshape(-1, 6)
            else:
                out[...] = rotate(back, rotate(self._yaw, self._place[frames]) + self._shift - place)

    def _align(self, place: Array, turned: Array) -> None:
        fresh = np.flatnonzero(self._signals.time[:, 0] == 0.0)
        if fresh.size:
            self._yaw[fresh], self._shift[fresh] = self._clip.aligned(place[fresh], turned[fresh])


def _offsets(signals: Signals, signal: str) -> list[int]:
    """Frames ahead of each block of a signal's columns."""
    terms = signals.contract.observation.terms
    return [ahead for term in terms if isinstance(term, MotionTerm) and term.term == signal for ahead in term.offsets]


MOTION_READERS: Mapping[str, Callable[[Signals], ReferenceJoints | ReferenceAnchor | ReferencePhase]] = {
    **{
        kind: partial(ReferenceJoints, signal=kind)
        for kind in ("motion_joint_pos", "motion_joint_vel", "motion_command")
    },
    **{kind: partial(ReferenceAnchor, signal=kind) for kind in ("motion_anchor_ori_b", "motion_anchor_pos_b")},
    "motion_phase": ReferencePhase,
}
"""What fills the columns of a motion's terms."""
