"""Explanations in which the contract is right and the raw state was read in another way: frame, axes, quaternion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from policy_port.contract.actions import TARGETS
from policy_port.contract.spec import Contract
from policy_port.mistakes.orders import order_words
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.explanations import Explanation, Explanations
from policy_port.verdict.orders import driven_order
from policy_port.verdict.quaternions import recorded_quaternion_order
from policy_port.verdict.signals import VECTOR_OF, into_base, into_world
from policy_port.verdict.units import unit_readings

POSED = {"base_euler", "base_quat", "heading", "heading_error", "link_pos"}
"""Kinds of terms that are made of quaternions."""

Readings = Iterator[tuple[Evidence, str, str]]
"""The trace as it was read otherwise, what that looks like, and what to do about it."""


def readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """Other readings of the trace's raw state that would explain the observation under the contract as it is."""
    for other, words, remedy in _readings(contract, evidence, failing):
        yield Explanation(contract=contract, evidence=other, words=words, remedy=remedy)


def _readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Readings:
    kinds: dict[str, str] = {t.term: t.label for t in contract.observation.terms if t.label in failing}
    yield from _frames(evidence, kinds)
    yield from _axes(evidence, kinds)
    yield from unit_readings(contract, evidence, failing)
    if ({"projected_gravity", "base_lin_vel", "base_ang_vel"} | POSED) & kinds.keys():
        yield from _quaternions(evidence)
    if "target" in failing:
        yield from _target_columns(contract, evidence)


def _frames(evidence: Evidence, kinds: dict[str, str]) -> Readings:
    for name in ("base_lin_vel", "base_ang_vel"):
        if name not in kinds or not {name, "base_quat"} <= evidence.arrays.keys():
            continue
        for turn, words, remedy in (
            (
                into_world,
                "in the world frame instead of the base frame",
                f"the source shows {name} in the world frame and no contract term says so: turn it into the base frame "
                "in training, or the deployment has to show it in the world frame",
            ),
            (
                into_base,
                "in the base frame, while the trace's raw values are in the world frame",
                f"record {name} in the base frame, or have the state reader turn it",
            ),
        ):
            turned = turn(evidence, evidence.arrays[name], f"'{name}'")
            yield evidence.with_arrays({name: turned}), f"{kinds[name]}: {words}", remedy


def _axes(evidence: Evidence, kinds: dict[str, str]) -> Readings:
    """Two axes of a base vector or of the command exchanged, as between y-up and z-up worlds."""
    for kind in ("base_lin_vel", "base_ang_vel", "velocity_command"):
        name = VECTOR_OF[kind]
        if kind not in kinds or name not in evidence.arrays:
            continue
        for i, j in ((0, 1), (1, 2), (0, 2)):
            order = list(range(evidence.arrays[name].shape[2]))
            order[i], order[j] = j, i
            yield (
                evidence.with_arrays({name: evidence.arrays[name][:, :, order]}),
                f"{kinds[kind]}: elements {i} and {j} exchanged",
                f"columns {i} and {j} of {name} are exchanged where it is recorded, or where it is shown",
            )


def _quaternions(evidence: Evidence) -> Readings:
    if "base_quat" not in evidence.arrays:
        return
    stated = recorded_quaternion_order(evidence)
    other = "xyzw" if stated == "wxyz" else "wxyz"
    quat = evidence.arrays["base_quat"]
    # What was written in one order and is read in the other: the scalar goes to the other end.
    turned = np.roll(quat, 1 if stated == "wxyz" else -1, axis=2)
    yield (
        evidence.with_arrays({"base_quat": turned}),
        f"quaternion order: base_quat is {other}, not {stated}",
        f"read base_quat as {other}; for this trace, write quaternion_order: {other} into its header",
    )
    scalar = [0] if stated == "wxyz" else [3]
    inverse = -quat
    inverse[:, :, scalar] *= -1.0
    yield (
        evidence.with_arrays({"base_quat": inverse}),
        "quaternion inverted: base_quat is the world in the base, not the base in the world",
        "conjugate base_quat where it is read",
    )


def _target_columns(contract: Contract, evidence: Evidence) -> Readings:
    """Targets recorded in another order of joints than the trace's joint_names."""
    names, driven = contract.action_joint_names, driven_order(contract, evidence)
    if driven == names:
        return
    told = {array: evidence.arrays[array].copy() for array in TARGETS.values() if array in evidence.arrays}
    for name, found in zip(names, driven, strict=True):
        there, here = (evidence.joint_column(joint, wanted_by="the action") for joint in (name, found))
        for array, target in told.items():
            target[:, :, there] = evidence.arrays[array][:, :, here]
    yield (
        evidence.with_arrays(told),
        f"columns of target: {order_words(names, driven, evidence.joint_names)}",
        "record target in the order of joint_names",
    )
