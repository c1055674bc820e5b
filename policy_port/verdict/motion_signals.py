"""Raw signals of a reference motion over a whole trace: a second way to what the control loop shows the network.

Rotations are matrices here, and the way to the anchor is a product of them.
"""

from __future__ import annotations

import numpy as np

from policy_port.contract.motion import Following
from policy_port.contract.motion_terms import MotionJointTerm, ReferenceTerm
from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError
from policy_port.motion.motion import Motion
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.quaternions import base_quaternion


class MotionSignals:
    """What the terms of a reference motion are made of: the clip, the moment, and where the robot's anchor is."""

    def __init__(self, contract: Contract, evidence: Evidence) -> None:
        """Lay clip and trace side by side.

        Raises:
            EvidenceError: When there is no clip.
        """
        assert contract.motion is not None
        if evidence.motion is None:
            raise EvidenceError(
                f"{evidence.path}: contract '{contract.name}' follows a reference motion, and nobody says which was "
                "played: export the port with --motion FILE"
            )
        self._contract, self._evidence, self._use = contract, evidence, contract.motion
        rate = self._use.rate or 1.0 / contract.control_dt
        self._motion = evidence.motion.resampled(rate)
        self._per_step = rate * contract.control_dt
        self._kept: dict[str, tuple[Values, Values]] = {}

    def of(self, term: ReferenceTerm, element: str) -> tuple[Values, Mask]:
        """Raw numbers of one element [the contract's unit], and where they are known, both (steps, environments).

        Raises:
            EvidenceError: When the clip or the trace lacks what it is made of.
        """
        evidence, everywhere = self._evidence, np.ones(self._evidence.shape, dtype=np.bool_)
        if isinstance(term, MotionJointTerm):
            return self.joint(term, element), everywhere
        block, number = divmod(int(element), {"motion_anchor_ori_b": 6, "motion_anchor_pos_b": 3}.get(term.term, 1))
        frames = self._frames(term.offsets[block])
        if term.term == "motion_phase":
            return frames / max(1, self._motion.frames - 1), everywhere
        place, turned = self._robot(f"'{term.label}' of contract '{self._contract.name}'")
        wanted_place, wanted = self._clip()
        yaw, shift = self._alignment(place, turned, wanted_place[0], wanted[0])
        known = everywhere if self._use.align == "none" else evidence.whole
        back = np.swapaxes(turned, -1, -2)
        if term.term == "motion_anchor_ori_b":
            row, column = divmod(number, 2)
            if evidence.column_major:
                column, row = divmod(number, 3)
            return (back @ yaw @ wanted[frames])[:, :, row, column], known
        moved = np.einsum("teij,tej->tei", yaw, wanted_place[frames]) + shift - place
        return np.einsum("teij,tej->tei", back, moved)[:, :, number], known

    def joint(self, term: MotionJointTerm, element: str) -> Values:
        """The clip's position or velocity of a joint [the contract's unit], shape (steps, environments).

        Raises:
            EvidenceError: When the clip lacks the joint.
        """
        keys = term.keys(self._contract)
        block, place = divmod(term.elements(self._contract).index(element), len(keys))
        names = self._contract.joint_names if term.joints is None else term.joints
        second, column = divmod(place, len(names))
        name = names[column]
        if name not in self._motion.joint_names:
            raise EvidenceError(
                f"{self._evidence.path}: the clip has no joint '{name}' of '{term.label}'; it has "
                f"{', '.join(self._motion.joint_names)}"
            )
        fast = second == 1 or term.term == "motion_joint_vel"
        table = self._motion.joint_vel if fast else self._motion.joint_pos
        values = table[:, self._motion.joint_names.index(name)]
        return values[self._frames(term.offsets[block])] * self._contract.per_si(name)

    def _frames(self, ahead: int) -> np.ndarray:
        evidence = self._evidence
        steps = evidence.age.astype(np.float64)
        if evidence.time is not None:
            steps = np.where(evidence.counted, steps, np.round(evidence.time / self._contract.control_dt))
        frame = np.round(steps * self._per_step).astype(np.intp) + ahead
        last = self._motion.frames - 1
        return frame % (last + 1) if self._use.end == "repeat" else np.minimum(np.maximum(frame, 0), last)

    def _robot(self, where: str) -> tuple[Values, Values]:
        """Origin (steps, environments, 3) and rotation matrix of the robot's anchor."""
        evidence = self._evidence
        if "robot" not in self._kept:
            angles = {
                step.joint: evidence.array("joint_pos", wanted_by=where)[
                    :, :, evidence.joint_column(step.joint, wanted_by=where)
                ]
                for step in self._use.chain
                if step.joint is not None
            }
            place, quat = evidence.array("base_pos", wanted_by=where), base_quaternion(evidence, where)
            self._kept["robot"] = along_the_chain(self._use, place, matrices(quat), angles)
        return self._kept["robot"]

    def _clip(self) -> tuple[Values, Values]:
        """Origin (frames, 3) and rotation matrix of the clip's anchor."""
        if "clip" not in self._kept:
            self._kept["clip"] = clip_anchor(self._motion, self._use, self._evidence)
        return self._kept["clip"]

    def _alignment(self, place: Values, turned: Values, first_place: Values, first: Values) -> tuple[Values, Values]:
        """Rotation matrices about the vertical, and shifts [m], from each row's episode's start."""
        steps, envs = self._evidence.shape
        yaw = np.broadcast_to(np.eye(3), (steps, envs, 3, 3)).copy()
        shift = np.zeros((steps, envs, 3))
        if self._use.align == "none":
            return yaw, shift
        start = np.take_along_axis(turned, self._evidence.since[:, :, None, None], axis=0)
        angle = np.arctan2(start[..., 1, 0], start[..., 0, 0]) - np.arctan2(first[1, 0], first[0, 0])
        yaw[..., 0, 0] = yaw[..., 1, 1] = np.cos(angle)
        yaw[..., 0, 1], yaw[..., 1, 0] = -np.sin(angle), np.sin(angle)
        if self._use.align == "yaw_and_position":
            began = np.take_along_axis(place, self._evidence.since[:, :, None], axis=0)
            shift[..., :2] = (began - yaw @ first_place)[..., :2]
        return yaw, shift


def matrices(quat: Values) -> Values:
    """Rotation matrices of wxyz quaternions, (..., 3, 3); lengths other than one are divided out."""
    w, x, y, z = np.moveaxis(quat / np.linalg.norm(quat, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def along_the_chain(use: Following, place: Values, turned: Values, angles: dict[str, Values]) -> tuple[Values, Values]:
    """Origin and rotation matrix of the chain's last link, from the base's."""
    for step in use.chain:
        place = place + (turned @ np.asarray(step.offset)[:, None])[..., 0]
        turned = turned @ matrices(np.asarray(step.quat))
        if step.joint is not None:
            angle, axis = angles[step.joint][..., None, None], np.asarray(step.axis)
            across = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
            turned = turned @ (np.eye(3) + np.sin(angle) * across + (1.0 - np.cos(angle)) * (across @ across))
    return place, turned


def clip_anchor(motion: Motion, use: Following, evidence: Evidence) -> tuple[Values, Values]:
    """Origin and rotation matrix of a clip's anchor.

    Raises:
        EvidenceError: When the clip does not say where it is.
    """
    assert use.anchor is not None, "a contract that compares the anchor's pose names it"
    if use.anchor in motion.link_names and motion.link_pos is not None and motion.link_quat is not None:
        index = motion.link_names.index(use.anchor)
        return motion.link_pos[:, index], matrices(motion.link_quat[:, index])
    if motion.root_pos is None or motion.root_quat is None:
        raise EvidenceError(f"{evidence.path}: the clip has no pose of '{use.anchor}' and none of the root")
    wanted = [step.joint for step in use.chain if step.joint is not None]
    angles = {name: motion.joint_pos[:, motion.joint_names.index(name)] for name in wanted}
    return along_the_chain(use, motion.root_pos, matrices(motion.root_quat), angles)
