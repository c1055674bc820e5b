"""Signals of a reference motion: the clip's joints, how far it is, and its anchor as the robot's anchor sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.motion import Following
from policy_port.contract.terms import MotionJointTerm, MotionTerm
from policy_port.control.signals import Signals
from policy_port.errors import MotionError
from policy_port.motion.anchor import link_pose
from policy_port.motion.motion import Motion
from policy_port.motion.rotations import conjugate, matrix, multiply, rotate, yaw_only

Frames = NDArray[np.intp]


class Clip:
    """The motion as a contract follows it, at one frame per control step."""

    def __init__(self, signals: Signals) -> None:
        """Bring the signals' clip to the policy's rate and joints.

        Raises:
            MotionError: When there is none, or it lacks a joint or the pose of the anchor.
        """
        contract = signals.contract
        assert contract.motion is not None, "a contract whose terms read a motion says how it is followed"
        if signals.motion is None:
            raise MotionError(
                f"contract '{contract.name}' follows a reference motion, and there is none; give one with --motion FILE"
            )
        self.use: Following = contract.motion
        rate = self.use.rate or 1.0 / contract.control_dt
        self.motion: Motion = signals.motion.resampled(rate)
        self._per_step = rate * contract.control_dt
        self._period = contract.control_dt
        self._time = signals.time

    @property
    def steps(self) -> int:
        """Control steps from the first frame to the last."""
        return round((self.motion.frames - 1) / self._per_step)

    def frames(self, ahead: int) -> Frames:
        """The frame of each environment, shape (num_envs,)."""
        frame = np.rint(self._time[:, 0] / self._period * self._per_step).astype(np.intp) + ahead
        if self.use.end == "repeat":
            return frame % self.motion.frames
        return np.clip(frame, 0, self.motion.frames - 1)


class ReferenceJoints:
    """Positions or velocities of the clip's joints, for each term that reads them."""

    def __init__(self, signals: Signals, signal: str, values: Callable[[Motion], Array]) -> None:
        self._clip = Clip(signals)
        motion, contract = self._clip.motion, signals.contract
        out, first = signals.view(signal), 0
        self._terms: list[tuple[int, Array, Array]] = []
        for term in contract.observation.terms:
            if isinstance(term, MotionJointTerm) and term.term == signal:
                names = term.elements(contract)
                source = values(motion.joints(names, f"observation term '{term.label}' of contract '{contract.name}'"))
                self._terms.append((term.ahead, source, out[:, first : first + len(names)]))
                first += len(names)

    @staticmethod
    def positions(signals: Signals) -> ReferenceJoints:
        """Of the terms motion_joint_pos."""
        return ReferenceJoints(signals, "motion_joint_pos", lambda motion: motion.joint_pos)

    @staticmethod
    def velocities(signals: Signals) -> ReferenceJoints:
        """Of the terms motion_joint_vel."""
        return ReferenceJoints(signals, "motion_joint_vel", lambda motion: motion.joint_vel)

    def update(self) -> None:
        """Read the frames of the present time."""
        for ahead, source, out in self._terms:
            out[...] = source[self._clip.frames(ahead)]


class ReferencePhase:
    """How much of the clip has been played."""

    def __init__(self, signals: Signals) -> None:
        self._clip = Clip(signals)
        self._out = signals.view("motion_phase")
        self._ahead = [term.ahead for term in signals.contract.observation.terms if term.term == "motion_phase"]

    def update(self) -> None:
        """Frame by frame, 1 at the last one."""
        for column, ahead in enumerate(self._ahead):
            self._out[:, column] = self._clip.frames(ahead) / (self._clip.motion.frames - 1)


class ReferenceAnchor:
    """Pose of the clip's anchor in the frame of the robot's anchor."""

    def __init__(self, signals: Signals, signal: str) -> None:
        self._clip = Clip(signals)
        self._signals, self._oriented = signals, signal == "motion_anchor_ori_b"
        use, self._size = self._clip.use, 6 if self._oriented else 3
        self._place, self._turn = reference_anchor(self._clip.motion, use)
        self._out = signals.view(signal)
        self._ahead = [
            term.ahead
            for term in signals.contract.observation.terms
            if isinstance(term, MotionTerm) and term.term == signal
        ]
        self._yaw = np.tile([1.0, 0.0, 0.0, 0.0], (signals.num_envs, 1))
        self._shift = np.zeros((signals.num_envs, 3))

    @staticmethod
    def orientation(signals: Signals) -> ReferenceAnchor:
        """Of the terms motion_anchor_ori_b."""
        return ReferenceAnchor(signals, "motion_anchor_ori_b")

    @staticmethod
    def position(signals: Signals) -> ReferenceAnchor:
        """Of the terms motion_anchor_pos_b."""
        return ReferenceAnchor(signals, "motion_anchor_pos_b")

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
            frames = self._clip.frames(ahead)
            out = self._out[:, column * self._size : (column + 1) * self._size]
            if self._oriented:
                wanted = multiply(self._yaw, self._turn[frames])
                out[...] = matrix(multiply(back, wanted))[..., :2].reshape(-1, 6)
            else:
                out[...] = rotate(back, rotate(self._yaw, self._place[frames]) + self._shift - place)

    def _align(self, place: Array, turned: Array) -> None:
        fresh = np.flatnonzero(self._signals.time[:, 0] == 0.0)
        if not fresh.size:
            return
        self._yaw[fresh] = multiply(yaw_only(turned[fresh]), conjugate(yaw_only(self._turn[:1])))
        if self._clip.use.align == "yaw_and_position":
            self._shift[fresh] = place[fresh] - rotate(self._yaw[fresh], self._place[:1])
            # The ground is where it is: only the place in the plane is made equal.
            self._shift[fresh, 2] = 0.0


def reference_anchor(motion: Motion, use: Following) -> tuple[Array, Array]:
    """Origin (frames, 3) and orientation wxyz (frames, 4) of a clip's anchor in the clip's world.

    Raises:
        MotionError: When the clip has neither the anchor's pose nor the root's with the joints on the way to it.
    """
    if use.anchor in motion.link_names:
        assert motion.link_pos is not None
        assert motion.link_quat is not None
        index = motion.link_names.index(use.anchor)
        return motion.link_pos[:, index], motion.link_quat[:, index]
    if motion.root_pos is None or motion.root_quat is None:
        raise MotionError(
            f"the clip has no pose of the anchor '{use.anchor}' and none of the root; it has: "
            f"{', '.join(motion.link_names) or 'joints alone'}"
        )
    wanted = tuple(step.joint for step in use.chain if step.joint is not None)
    moved = motion.joints(wanted, f"the way to the anchor '{use.anchor}'")
    return link_pose(use.chain, motion.root_pos, motion.root_quat, dict(zip(wanted, moved.joint_pos.T, strict=True)))
