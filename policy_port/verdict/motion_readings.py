"""The usual mistakes about a reference motion: how it is followed, and how the clip or its terms were read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from policy_port.contract.motion import ChainLink
from policy_port.contract.motion_terms import MotionJointTerm, ReferenceTerm
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import stated_order, with_term
from policy_port.mistakes.orders import known_orders, order_words
from policy_port.motion.motion import Motion, velocities
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.explanations import Explanation, Explanations

RATES = (30.0, 50.0, 60.0, 100.0, 120.0)
"""Frames per second at which clips are published."""
READ_AGAIN = "make the port again with `--motion` and {} under motion.files of the contract"


def motion_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Contracts that follow the clip in another way: another alignment, or the base as the anchor."""
    if contract.motion is None or evidence.motion is None or not _failing(contract, failing):
        return
    for align, words in (
        ("none", "the clip is not turned to where the robot looks"),
        ("yaw", "the clip is turned to where the robot looks at reset"),
        ("yaw_and_position", "the clip is turned and moved to where the robot stands at reset"),
    ):
        if align != contract.motion.align:
            yield _with(contract, align=align), f"motion.align {align}: {words}"
    if contract.motion.chain:
        names = evidence.motion.link_names
        base = names[0] if names else "base"
        words = f"the base link instead of {contract.motion.anchor} as the anchor"
        yield _with(contract, anchor=base, chain=()), f"motion.anchor: {words}"
    elif contract.motion.anchor is not None and (waist := _waist(contract)):
        joints = ", ".join(str(step.joint) for step in waist)
        words = f"a link behind {joints} instead of the base; which one, and where it is, stands in the robot file"
        yield _with(contract, anchor=waist[-1].link, chain=waist), f"motion.anchor: {words}"
    for rate in (None, *RATES):
        if rate != (contract.motion.rate or 1.0 / contract.control_dt) and rate != contract.motion.rate:
            words = "one frame a control step" if rate is None else f"{rate:g} frames a second are followed"
            yield _with(contract, rate=rate), f"motion.rate: {words}"
    for end in ("hold", "repeat"):
        if end != contract.motion.end:
            yield _with(contract, end=end), f"motion.end {end}: what follows the last frame"
    yield from _term_orders(contract, evidence, failing)
    for shift in (1, -1, 2, -2):
        terms = tuple(
            term.later(shift) if isinstance(term, ReferenceTerm) else term for term in contract.observation.terms
        )
        observation = contract.observation.model_copy(update={"terms": terms})
        side = "later" if shift > 0 else "earlier"
        words = f"the frame is {abs(shift)} {side} than the contract says (ahead: {shift:+d})"
        yield contract.model_copy(update={"observation": observation}), f"reference motion: {words}"


def motion_readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """The clip read otherwise, or the rotation's six numbers written column by column."""
    if contract.motion is None or evidence.motion is None or not _failing(contract, failing):
        return
    if any(term.term == "motion_anchor_ori_b" and term.label in failing for term in contract.observation.terms):
        yield Explanation(
            contract=contract,
            evidence=replace(evidence, column_major=not evidence.column_major),
            words="motion_anchor_ori_b: the first column then the second, instead of both row by row",
            remedy="write the first two columns of the rotation row by row where the observation is made: "
            "matrix[:, :2].reshape(-1)",
        )
    for motion, words, stated in _clips(contract, evidence, evidence.motion):
        yield Explanation(
            contract=contract,
            evidence=replace(evidence, motion=motion),
            words=f"reference motion: {words}",
            remedy=READ_AGAIN.format(stated),
        )


def _term_orders(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """One term whose joints stand in another order than the contract's: that of the clip, or of the robot."""
    assert evidence.motion is not None
    known = known_orders(contract, evidence.joint_names) | {evidence.motion.joint_names: "the clip"}
    for term in contract.observation.terms:
        if isinstance(term, MotionJointTerm) and term.label in failing:
            names = contract.joint_names if term.joints is None else term.joints
            for order in known:
                if order != names and set(order) == set(names):
                    words = order_words(names, order, evidence.joint_names)
                    joints = stated_order(contract, order)
                    yield with_term(contract, term.label, joints=joints), f"{term.label}: {words}"


def _waist(contract: Contract) -> tuple[ChainLink, ...]:
    """The way to a torso as far as joint names tell it: hinges of a waist about the axes that they are named after."""
    axes = {"yaw": (0.0, 0.0, 1.0), "roll": (1.0, 0.0, 0.0), "pitch": (0.0, 1.0, 0.0)}
    found = [
        ChainLink(link="torso", joint=name, axis=axis)
        for kind, axis in axes.items()
        for name in contract.joint_names
        if kind in name.lower() and re.search("waist|torso", name.lower())
    ]
    return tuple(found)


def _failing(contract: Contract, failing: set[str]) -> bool:
    return any(isinstance(term, ReferenceTerm) and term.label in failing for term in contract.observation.terms)


def _with(contract: Contract, **changes: Any) -> Contract:
    assert contract.motion is not None
    return contract.model_copy(update={"motion": contract.motion.model_copy(update=changes)})


def _clips(contract: Contract, evidence: Evidence, motion: Motion) -> Iterator[tuple[Motion, str, str]]:
    """The clip as it would be under another statement of its file, in words, and the statement."""
    for words, order, columns in (("xyzw, not wxyz", "xyzw", (3, 0, 1, 2)), ("wxyz, not xyzw", "wxyz", (1, 2, 3, 0))):
        quats = {
            name: getattr(motion, name)[..., columns]
            for name in ("root_quat", "link_quat")
            if getattr(motion, name) is not None
        }
        if quats:
            yield replace(motion, **quats), f"its file's quaternions are {words}", f"quaternion_order: {order}"
    for rate in RATES:
        if abs(rate - motion.rate) > 1e-6 * rate:
            other = replace(motion, rate=rate, joint_vel=velocities(motion.joint_pos, rate))
            yield other, f"its file has {rate:g} frames per second, not {motion.rate:g}", f"rate: {rate:g}"
    for names, words in (
        (contract.joint_names, "the contract's joint order"),
        (evidence.joint_names, "the trace's joint order"),
        (tuple(np.sort(motion.joint_names).tolist()), "alphabetical joint order"),
    ):
        if names != motion.joint_names and set(names) == set(motion.joint_names):
            yield replace(motion, joint_names=names), f"its file's columns stand in {words}", "joints: [...]"
