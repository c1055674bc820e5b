"""The mistakes of the mutation score: what a user wrongly wrote into a contract, or a state reader wrongly recorded.

The table is written from how ports fail in the wild, not from what diagnose searches; some rows (two mistakes at
once, names beside the wrong values, noise) are in no table of diagnose's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from mutation_kinds import (
    Arrays,
    Data,
    NotApplicableError,
    absolute_instead,
    action_offset_left_out,
    action_order,
    action_scale,
    action_scale_rounded,
    actuation_kind,
    axes_exchanged,
    both,
    command_axes,
    default_flipped,
    default_one_milliradian,
    defaults_zero,
    degrees,
    delta_instead,
    double_rate,
    field_in_other_order,
    field_times,
    filtered_targets,
    finite_differences,
    front_and_rear,
    gait_half_turn,
    gait_period,
    half_rate,
    hip_sign,
    history,
    joint_order_left_right,
    joint_order_parser,
    joint_order_reversed,
    joint_order_sorted,
    joint_pair,
    kind_instead,
    later,
    names_over_values,
    noise,
    normalised,
    observation_clip,
    observed_offset,
    observed_sign,
    one_action_scale,
    one_default,
    one_field,
    one_term_order,
    quaternion_inverse,
    quaternion_xyzw,
    raw_clip_one,
    scale_left_out,
    scale_times,
    scales_left_out,
    terms_exchanged,
    terms_sorted,
    world_frame,
    zeroed,
)

from policy_port.contract import Contract


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One mistake."""

    key: str
    """Its name."""
    group: str
    """1 falls, 2 does not follow, 3 walks almost normally: as facts on failing ports group them; + for further ones."""
    names: tuple[str, ...]
    """Words of which verify must say one in one of its lines; {a}, {b} are filled in."""
    contract: Callable[[Data], dict[str, str] | None] | None = None
    """Writes the mistake into the contract's data; returns what to fill into `names`."""
    trace: Callable[[Arrays, Data], dict[str, str] | None] | None = None
    """Makes the mistake in the recorded arrays and the header."""


STATE = ("joint_pos", "joint_vel", "base_quat", "base_lin_vel", "base_ang_vel")
ORDER = (r"joint order: ", r"joints in another order", r"exchanged", r"joint names, the values")


def mutations() -> list[Mutation]:
    """Every mistake, in the order of the report."""
    make = Mutation
    return [
        make(key="joint order of another parser", group="1", names=ORDER, contract=joint_order_parser),
        make(key="joint order sorted by name", group="+", names=ORDER, contract=joint_order_sorted),
        make(key="joint order reversed", group="+", names=ORDER, contract=joint_order_reversed),
        make(
            key="left and right exchanged",
            group="+",
            names=(r"left and right exchanged",),
            contract=joint_order_left_right,
        ),
        make(
            key="two joints exchanged", group="1", names=(r"({a} and {b}|{b} and {a}) exchanged",), contract=joint_pair
        ),
        make(
            key="names in another order than the values beside them", group="1", names=ORDER, contract=names_over_values
        ),
        make(key="order of joint_pos_rel alone", group="+", names=ORDER, contract=one_term_order("joint_pos_rel")),
        make(key="order of joint_vel alone", group="+", names=ORDER, contract=one_term_order("joint_vel")),
        make(key="order of the action alone", group="+", names=ORDER, contract=action_order),
        make(
            key="history time-major",
            group="1",
            names=(r"history term-major in the source",),
            contract=history(layout="time_major"),
        ),
        make(
            key="history newest first",
            group="1",
            names=(r"history .*oldest first",),
            contract=history(order="newest_first"),
        ),
        make(
            key="history filled with zeros",
            group="+",
            names=(r"history filled with the first",),
            contract=history(fill="zero"),
        ),
        make(key="every observation scale left out", group="1", names=(r"scale .*missing",), contract=scales_left_out),
        make(
            key="base_ang_vel unscaled", group="2", names=(r"scale .*missing",), contract=scale_left_out("base_ang_vel")
        ),
        make(key="joint_vel unscaled", group="+", names=(r"scale .*missing",), contract=scale_left_out("joint_vel")),
        make(
            key="command unscaled", group="2", names=(r"scale .*missing",), contract=scale_left_out("velocity_command")
        ),
        make(key="joint_vel scaled twice", group="+", names=(r"factor 0.05",), contract=scale_times("joint_vel", 0.05)),
        make(
            key="projected_gravity sign flipped",
            group="+",
            names=(r"sign", r"scale -1 "),
            contract=scale_times("projected_gravity", -1.0),
        ),
        make(
            key="default pose in another order",
            group="1",
            names=(r"default pose in another order",),
            contract=field_in_other_order("default"),
        ),
        make(key="default pose zero", group="+", names=(r"default pose not stated",), contract=defaults_zero),
        make(
            key="default pose left out of the observation",
            group="2",
            names=(r"default pose not subtracted",),
            contract=kind_instead("joint_pos_rel", "joint_pos"),
        ),
        make(
            key="default pose subtracted twice",
            group="+",
            names=(r"default pose subtracted though",),
            contract=kind_instead("joint_pos", "joint_pos_rel"),
        ),
        make(key="one default 0.1 rad off", group="+", names=(r"default position of {a}",), contract=one_default),
        make(
            key="one default 0.001 rad off",
            group="3",
            names=(r"default position of {a}",),
            contract=default_one_milliradian,
        ),
        make(
            key="sign of one default flipped", group="+", names=(r"default position of {a}",), contract=default_flipped
        ),
        make(
            key="stiffness and damping in another order",
            group="1",
            names=(r"gains in another order",),
            contract=field_in_other_order("stiffness", "damping"),
        ),
        make(
            key="stiffness x 0.5",
            group="3",
            names=(r"factor {a} on every joint",),
            contract=field_times("stiffness", 0.5),
        ),
        make(
            key="stiffness x 2",
            group="3",
            names=(r"factor {a} on every joint",),
            contract=field_times("stiffness", 2.0),
        ),
        make(key="damping 0", group="3", names=(r"zero on every joint",), contract=field_times("damping", 0.0)),
        make(
            key="armature x 0.1",
            group="+",
            names=(r"factor {a} on every joint",),
            contract=field_times("armature", 0.1),
        ),
        make(
            key="stiffness of one joint x 0.5",
            group="+",
            names=(r"{a} .* instead of",),
            contract=one_field("stiffness", 0.5),
        ),
        make(
            key="actuation of the other kind",
            group="3",
            names=(r"actuation (implicit|explicit) instead of",),
            contract=actuation_kind,
        ),
        make(key="base_lin_vel zeroed", group="1", names=(r"it is base_lin_vel",), contract=zeroed("base_lin_vel")),
        make(key="last_action zeroed", group="2", names=(r"it is last_action",), contract=zeroed("last_action")),
        make(key="gait phase zeroed", group="3", names=(r"gait clock",), contract=zeroed("gait_phase")),
        make(key="command zeroed", group="+", names=(r"it is velocity_command",), contract=zeroed("velocity_command")),
        make(key="gait period 0.75 s", group="+", names=(r"gait period 0.75",), contract=gait_period),
        make(key="gait half a turn off", group="+", names=(r"gait clock offset",), contract=gait_half_turn),
        make(
            key="joint_target read as position",
            group="+",
            names=(r"it is joint_target",),
            contract=kind_instead("joint_target", "joint_vel"),
        ),
        make(
            key="one hip's sign flipped in the observation",
            group="3",
            names=(r"sign of {a} flipped",),
            contract=observed_sign,
        ),
        make(
            key="one hip's sign flipped everywhere",
            group="3",
            names=(r"sign of (joint )?{a} flipped",),
            contract=hip_sign,
        ),
        make(key="action scale x 2", group="3", names=(r"factor {a}|scaled {a}",), contract=action_scale(2.0)),
        make(
            key="action scale through three decimals",
            group="+",
            names=(r"factor 1.01|scaled 1.01",),
            contract=action_scale_rounded,
        ),
        make(
            key="action scale of one joint 36 % off",
            group="3",
            names=(r"{a} scaled {b}",),
            contract=one_action_scale(0.64),
        ),
        make(key="action of one joint x 0.74", group="+", names=(r"{a} scaled {b}",), contract=one_action_scale(0.74)),
        make(
            key="action offset left out",
            group="+",
            names=(r"default pose is not added",),
            contract=action_offset_left_out,
        ),
        make(
            key="action relative to the measured position",
            group="+",
            names=(r"targets are .*, not relative to the measured", r"targets are relative"),
            contract=delta_instead,
        ),
        make(
            key="action absolute instead of delta",
            group="+",
            names=(r"targets are relative to the previous target",),
            contract=absolute_instead,
        ),
        make(
            key="raw_clip to 1 where there is none, or left out", group="+", names=(r"raw_clip",), contract=raw_clip_one
        ),
        make(
            key="observation clip to 1 where there is none",
            group="+",
            names=(r"clip to \[-1.0, 1.0\] too many",),
            contract=observation_clip,
        ),
        make(key="half the control rate", group="3", names=(r"0.5 times the control rate",), contract=half_rate),
        make(key="twice the control rate", group="+", names=(r"2 times as often",), contract=double_rate),
        make(
            key="terms sorted by name",
            group="+",
            names=(r"term.* (exchanged|another place|another order)",),
            contract=terms_sorted,
        ),
        make(
            key="base_ang_vel and projected_gravity exchanged",
            group="+",
            names=(r"terms ({a} and {b}|{b} and {a}) exchanged",),
            contract=terms_exchanged("base_ang_vel", "projected_gravity"),
        ),
        make(
            key="joint_pos and joint_vel exchanged",
            group="+",
            names=(r"terms ({a} and {b}|{b} and {a}) exchanged",),
            contract=terms_exchanged("joint_pos_rel", "joint_vel"),
        ),
        make(
            key="joint_vel and last_action exchanged",
            group="+",
            names=(r"terms ({a} and {b}|{b} and {a}) exchanged",),
            contract=terms_exchanged("joint_vel", "last_action"),
        ),
        make(key="turn command in degrees", group="+", names=(r"ang_vel_z",), contract=command_axes),
        make(
            key="joint_vel unscaled, two joints exchanged",
            group="+",
            names=(r"exchanged",),
            contract=both(scale_times("joint_vel", 20.0), joint_pair),
        ),
        make(
            key="default pose left out, action scale x 2",
            group="+",
            names=(r"default pose not subtracted",),
            contract=both(kind_instead("joint_pos_rel", "joint_pos"), action_scale(2.0)),
        ),
        make(
            key="wrong order, scale and gains at once",
            group="+",
            names=ORDER,
            contract=both(joint_order_parser, scale_times("joint_vel", 2.0), field_times("stiffness", 0.5)),
        ),
        make(key="quaternion order swapped", group="1", names=(r"quaternion order",), trace=quaternion_xyzw),
        make(key="quaternion inverted", group="+", names=(r"quaternion inverted",), trace=quaternion_inverse),
        make(
            key="base_ang_vel in the world frame", group="3", names=(r"world frame",), trace=world_frame("base_ang_vel")
        ),
        make(
            key="base_lin_vel in the world frame", group="+", names=(r"world frame",), trace=world_frame("base_lin_vel")
        ),
        make(key="state one step late", group="3", names=(r"one step late",), trace=later(*STATE)),
        make(
            key="joint velocity one step late",
            group="3",
            names=(r"joint_vel: one step late|one step late",),
            trace=later("joint_vel"),
        ),
        make(key="targets one step late", group="3", names=(r"target: one step|one step",), trace=later("target")),
        make(key="positions in degrees", group="+", names=(r"factor 57.30",), contract=degrees),
        make(
            key="one joint observed 0.02 rad off", group="+", names=(r"default .*{a}|offset",), contract=observed_offset
        ),
        make(key="front and rear legs exchanged", group="+", names=ORDER, contract=front_and_rear),
        make(
            key="last action scaled as the action is",
            group="+",
            names=(r"factor 0.25",),
            contract=scale_times("last_action", 0.25),
        ),
        make(
            key="last action taken for the last target",
            group="+",
            names=(r"it is last_action",),
            contract=kind_instead("last_action", "joint_target"),
        ),
        make(
            key="damping x 1.3", group="+", names=(r"factor 1.30 on every joint",), contract=field_times("damping", 1.3)
        ),
        make(key="two axes of base_ang_vel exchanged", group="+", names=(r"elements 0 and 1",), trace=axes_exchanged),
        make(
            key="velocities by finite differences", group="+", names=(r"finite difference",), trace=finite_differences
        ),
        make(
            key="observation recorded behind the normaliser",
            group="+",
            names=(r"behind the network's normaliser",),
            trace=normalised,
        ),
        make(key="targets behind a low-pass filter", group="+", names=(r"filter",), trace=filtered_targets),
        make(key="observation noise left on", group="+", names=(r"noise",), trace=noise),
    ]


def mutated(mutation: Mutation, contract: Contract, arrays: Arrays) -> tuple[Contract, Arrays, dict[str, str]]:
    """The contract and the trace with the mistake made in one of them.

    Raises:
        NotApplicableError: When the contract has nothing to make it with.
    """
    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    before = copy.deepcopy(data)
    if mutation.contract is not None:
        filled = mutation.contract(data) or {}
        if data == before and list(data["joints"]) == list(before["joints"]):
            raise NotApplicableError
        return Contract.model_validate(data), arrays, filled
    assert mutation.trace is not None
    changed = dict(arrays)
    filled = mutation.trace(changed, data) or {}
    return contract, changed, filled
