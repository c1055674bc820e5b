"""A clip as a contract follows it: which frame belongs to which moment, and where its anchor is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.motion import Following
from policy_port.contract.motion_terms import MotionAnchorOriTerm, MotionAnchorPosTerm, MotionJointTerm, ReferenceTerm
from policy_port.contract.spec import Contract
from policy_port.errors import MotionError
from policy_port.motion.anchor import link_pose
from policy_port.motion.motion import Motion
from policy_port.motion.placed import start_to_start
from policy_port.motion.rotations import conjugate, multiply

Indices = NDArray[np.intp]
APART, TURNED = 0.1, 0.2
"""How far an anchor's recorded pose may be from its chain's [m, rad]: robots of one kind differ by some centimetres."""


class Clip:
    """A motion at one policy's rate."""

    def __init__(self, motion: Motion, use: Following, control_dt: float) -> None:
        """Bring a motion to the rate that the policy follows it with.

        Args:
            motion: The motion.
            use: How it is followed.
            control_dt: Control period of the policy [s].
        """
        self.use = use
        rate = use.rate or 1.0 / control_dt
        self.motion = motion.resampled(rate)
        """The motion, resampled."""
        self._period, self.per_step = control_dt, rate * control_dt
        """Control period [s], and frames per control step."""

    @staticmethod
    def of(contract: Contract, motion: Motion | None) -> Clip:
        """The clip for a contract that follows one.

        Raises:
            MotionError: When there is none.
        """
        assert contract.motion is not None, "a contract whose terms read a motion says how it is followed"
        if motion is None:
            raise MotionError(
                f"contract '{contract.name}' follows a reference motion, and nobody gives it one: say which with "
                "--motion FILE"
            )
        clip = Clip(motion, contract.motion, contract.control_dt)
        clip.check(contract)
        return clip

    def check(self, contract: Contract) -> None:
        """Hold the clip against what a contract's terms read of it.

        Raises:
            MotionError: When a joint or the anchor's pose is missing, or a term looks farther ahead than the clip is.
        """
        for action in contract.action.terms:
            if action.adds_to == "motion":
                self.motion.joints(contract.action_joints(action), f"action term '{action.term}'")
        for term in contract.observation.terms:
            if isinstance(term, MotionJointTerm):
                names = dict.fromkeys(map(term.joint, term.keys(contract)))
                self.motion.joints(tuple(names), f"observation term '{term.label}'")
            if isinstance(term, MotionAnchorOriTerm | MotionAnchorPosTerm):
                self.anchor()
                self._check_chain(f"observation term '{term.label}'")
            farthest = max(term.offsets, key=abs) if isinstance(term, ReferenceTerm) else 0
            if abs(farthest) >= self.motion.frames:
                raise MotionError(
                    f"observation term '{term.label}' looks {farthest} frames ahead, and the clip has "
                    f"{self.motion.frames} at {self.motion.rate:g} Hz"
                )

    def _check_chain(self, where: str) -> None:
        """Hold the anchor's own pose in the clip against the one that its root and joints lead to.

        Raises:
            MotionError: When they are apart: names, an order or the robot is another one.
        """
        motion, use = self.motion, self.use
        chained = [step.joint for step in use.chain if step.joint is not None]
        if use.anchor not in motion.link_names or motion.root_pos is None or not chained:
            return
        place, turned = self.anchor()
        bare = Clip(replace(motion, link_names=(), link_pos=None, link_quat=None), use, self._period)
        expected, facing = bare.anchor()
        apart = float(np.median(np.linalg.norm(place - expected, axis=1)))
        angle = float(np.median(2.0 * np.arccos(np.clip(np.abs(multiply(conjugate(turned), facing)[:, 0]), 0.0, 1.0))))
        if apart > APART or angle > TURNED:
            raise MotionError(
                f"{where}: the clip has '{use.anchor}' {apart:.2f} m and {angle:.2f} rad away from where its root and "
                f"the joints {', '.join(chained)} lead to: motion.files has joints, links or quaternions in another "
                "order than the file, or the clip is another robot's"
            )

    @property
    def steps(self) -> int:
        """Control steps from the first frame to the last."""
        return round((self.motion.frames - 1) / self.per_step)

    def steps_of(self, asked: int) -> int:
        """Control steps of an episode of so many: no more than the motion has, where it ends the episode."""
        return min(asked, self.steps) if self.use.end == "stop" else asked

    def frames(self, time: Array, ahead: int = 0) -> Indices:
        """The frame of each moment.

        Args:
            time: Time since reset [s], any shape.
            ahead: Frames to look ahead.
        """
        frame = np.rint(np.rint(time / self._period) * self.per_step).astype(np.intp) + ahead
        if self.use.end == "repeat":
            return frame % self.motion.frames
        return np.clip(frame, 0, self.motion.frames - 1)

    def anchor(self) -> tuple[Array, Array]:
        """Origin (frames, 3) and orientation wxyz (frames, 4) of the anchor in the clip's world.

        Raises:
            MotionError: When the clip has neither the anchor's pose nor the root's with the joints on the way to it.
        """
        motion, use = self.motion, self.use
        assert use.anchor is not None, "a contract that compares the anchor's pose names it"
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
        angles = dict(zip(wanted, moved.joint_pos.T, strict=True))
        return link_pose(use.chain, motion.root_pos, motion.root_quat, angles)

    def aligned(self, place: Array, turned: Array) -> tuple[Array, Array]:
        """The turn about the vertical, wxyz, and the shift [m] that bring the clip's start to robots'.

        Args:
            place: Origins of the robots' anchors at reset [m], shape (n, 3).
            turned: Their orientations, shape (n, 4).
        """
        first_place, first_turn = (values[:1] for values in self.anchor())
        if self.use.align == "none":
            return np.tile([1.0, 0.0, 0.0, 0.0], (len(place), 1)), np.zeros((len(place), 3))
        yaw, shift = start_to_start(place, turned, first_place, first_turn)
        return yaw, shift if self.use.align == "yaw_and_position" else np.zeros_like(shift)
