"""The mistakes of the mutation score: what a user wrongly wrote into a contract, or a state reader wrongly recorded.

The table is written from how ports fail in the wild, not from what diagnose searches; some rows (two mistakes at
once, names beside the wrong values, noise) are in no table of diagnose's.
"""

from __future__ import annotations

import copy

import mutation_kinds as kinds
import mutation_orders as orders
import mutation_recordings as recordings
from mutation_commands import in_commands
from mutation_filters import of_filters
from mutation_history import of_histories
from mutation_kinds import NotApplicableError
from mutation_mistake import ORDER, Mutation
from mutation_recordings import Arrays
from mutation_sensed import of_sensing
from mutation_traces import in_readings, in_recordings

from policy_port.contract import Contract


def mutations() -> list[Mutation]:
    """Every mistake, in the order of the report."""
    return [*in_contracts(), *of_sensing(), *in_commands(), *in_readings(), *in_recordings()]


def in_contracts() -> list[Mutation]:
    """What a user wrongly wrote."""
    make = Mutation
    return [
        *of_places(),
        *of_histories(),
        *of_filters(),
        make(key="joint order of another parser", group="1", names=ORDER, contract=orders.joint_order_parser),
        make(key="joint order sorted by name", group="+", names=ORDER, contract=orders.joint_order_sorted),
        make(key="joint order reversed", group="+", names=ORDER, contract=orders.joint_order_reversed),
        make(
            key="left and right exchanged",
            group="+",
            names=(r"left and right exchanged",),
            contract=orders.joint_order_left_right,
        ),
        make(
            key="two joints exchanged",
            group="1",
            names=(r"({a} and {b}|{b} and {a}) exchanged",),
            contract=orders.joint_pair,
        ),
        make(
            key="names in another order than the values beside them",
            group="1",
            names=ORDER,
            contract=orders.names_over_values,
        ),
        make(
            key="order of joint_pos_rel alone", group="+", names=ORDER, contract=orders.one_term_order("joint_pos_rel")
        ),
        make(key="order of joint_vel alone", group="+", names=ORDER, contract=orders.one_term_order("joint_vel")),
        make(key="order of the action alone", group="+", names=ORDER, contract=orders.action_order),
        make(
            key="history laid out the other way",
            group="1",
            names=(r"history {a} in the source",),
            contract=kinds.other_layout,
        ),
        make(
            key="history newest first",
            group="1",
            names=(r"history .*oldest first",),
            contract=kinds.history(order="newest_first"),
        ),
        make(
            key="history filled with zeros",
            group="+",
            names=(r"history filled with the first",),
            contract=kinds.history(fill="zero"),
        ),
        make(
            key="every observation scale left out",
            group="1",
            names=(r"scale .*missing",),
            contract=kinds.scales_left_out,
        ),
        make(
            key="base_ang_vel unscaled",
            group="2",
            names=(r"scale .*missing",),
            contract=kinds.scale_left_out("base_ang_vel"),
        ),
        make(
            key="joint_vel unscaled", group="+", names=(r"scale .*missing",), contract=kinds.scale_left_out("joint_vel")
        ),
        make(
            key="command unscaled",
            group="2",
            names=(r"scale .*missing",),
            contract=kinds.scale_left_out("velocity_command"),
        ),
        make(
            key="joint_vel scaled twice",
            group="+",
            names=(r"factor 0.05",),
            contract=kinds.scale_times("joint_vel", 0.05),
        ),
        make(
            key="projected_gravity sign flipped",
            group="+",
            names=(r"sign", r"scale -1 "),
            contract=kinds.scale_times("projected_gravity", -1.0),
        ),
        make(
            key="default pose in another order",
            group="1",
            names=(r"default pose in another order",),
            contract=orders.field_in_other_order("default"),
        ),
        make(key="default pose zero", group="+", names=(r"default pose not stated",), contract=kinds.defaults_zero),
        make(
            key="default pose left out of the observation",
            group="2",
            names=(r"default pose not subtracted",),
            contract=kinds.kind_instead("joint_pos_rel", "joint_pos"),
        ),
        make(
            key="default pose subtracted twice",
            group="+",
            names=(r"default pose subtracted though",),
            contract=kinds.kind_instead("joint_pos", "joint_pos_rel"),
        ),
        make(key="one default 0.1 rad off", group="+", names=(r"default position of {a}",), contract=kinds.one_default),
        make(
            key="one default 0.001 rad off",
            group="3",
            names=(r"default position of {a}",),
            contract=kinds.default_one_milliradian,
        ),
        make(
            key="sign of one default flipped",
            group="+",
            names=(r"default position of {a}",),
            contract=kinds.default_flipped,
        ),
        make(
            key="stiffness and damping in another order",
            group="1",
            names=(r"gains in another order",),
            contract=orders.field_in_other_order("stiffness", "damping"),
        ),
        make(
            key="stiffness x 0.5",
            group="3",
            names=(r"factor {a} on every joint",),
            contract=kinds.field_times("stiffness", 0.5),
        ),
        make(
            key="stiffness x 2",
            group="3",
            names=(r"factor {a} on every joint",),
            contract=kinds.field_times("stiffness", 2.0),
        ),
        make(key="damping 0", group="3", names=(r"zero on every joint",), contract=kinds.field_times("damping", 0.0)),
        make(
            key="armature x 0.1",
            group="+",
            names=(r"factor {a} on every joint",),
            contract=kinds.field_times("armature", 0.1),
        ),
        make(
            key="stiffness of one joint x 0.5",
            group="+",
            names=(r"{a} .* instead of",),
            contract=kinds.one_field("stiffness", 0.5),
        ),
        make(
            key="actuation of the other kind",
            group="3",
            names=(r"actuation (implicit|explicit) instead of",),
            contract=kinds.actuation_kind,
        ),
        make(
            key="base_lin_vel zeroed", group="1", names=(r"it is base_lin_vel",), contract=kinds.zeroed("base_lin_vel")
        ),
        make(key="last_action zeroed", group="2", names=(r"it is last_action",), contract=kinds.zeroed("last_action")),
        make(key="gait phase zeroed", group="3", names=(r"gait clock",), contract=kinds.zeroed("gait_phase")),
        make(
            key="command zeroed",
            group="+",
            names=(r"it is velocity_command",),
            contract=kinds.zeroed("velocity_command"),
        ),
        make(key="gait period 0.75 s", group="+", names=(r"gait period 0.75",), contract=kinds.gait_period),
        make(key="gait half a turn off", group="+", names=(r"gait clock offset",), contract=kinds.gait_half_turn),
        make(
            key="joint_target read as position",
            group="+",
            names=(r"it is joint_target",),
            contract=kinds.kind_instead("joint_target", "joint_vel"),
        ),
        make(
            key="one hip's sign flipped in the observation",
            group="3",
            names=(r"sign of {a} flipped",),
            contract=kinds.observed_sign,
        ),
        make(
            key="one hip's sign flipped everywhere",
            group="3",
            names=(r"sign of (joint )?{a} flipped",),
            contract=kinds.hip_sign,
        ),
        make(key="action scale x 2", group="3", names=(r"factor {a}|scaled {a}",), contract=kinds.action_scale(2.0)),
        make(
            key="action scale through three decimals",
            group="+",
            names=(r"factor 1.01|scaled 1.01",),
            contract=kinds.action_scale_rounded,
        ),
        make(
            key="action scale of one joint 36 % off",
            group="3",
            names=(r"{a} scaled {b}",),
            contract=kinds.one_action_scale(0.64),
        ),
        make(
            key="action of one joint x 0.74",
            group="+",
            names=(r"{a} scaled {b}",),
            contract=kinds.one_action_scale(0.74),
        ),
        make(
            key="action offset left out",
            group="+",
            names=(r"default pose is not added",),
            contract=kinds.action_offset_left_out,
        ),
        make(
            key="action relative to the measured position",
            group="+",
            names=(r"targets are .*, not relative to the measured", r"targets are relative"),
            contract=kinds.delta_instead,
        ),
        make(
            key="action absolute instead of delta",
            group="+",
            names=(r"targets are relative to the previous target",),
            contract=kinds.absolute_instead,
        ),
        make(
            key="raw_clip to 1 where there is none, or left out",
            group="+",
            names=(r"raw_clip",),
            contract=kinds.raw_clip_one,
        ),
        make(
            key="observation clip to 1 where there is none",
            group="+",
            names=(r"clip to \[-1.0, 1.0\] too many",),
            contract=kinds.observation_clip,
        ),
        make(key="half the control rate", group="3", names=(r"0.5 times the control rate",), contract=kinds.half_rate),
        make(key="twice the control rate", group="+", names=(r"2 times as often",), contract=kinds.double_rate),
        make(
            key="terms sorted by name",
            group="+",
            names=(r"term.* (exchanged|another place|another order)",),
            contract=orders.terms_sorted,
        ),
        make(
            key="base_ang_vel and projected_gravity exchanged",
            group="+",
            names=(r"terms ({a} and {b}|{b} and {a}) exchanged",),
            contract=orders.terms_exchanged("base_ang_vel", "projected_gravity"),
        ),
        make(
            key="joint_pos and joint_vel exchanged",
            group="+",
            names=(r"terms ({a} and {b}|{b} and {a}) exchanged",),
            contract=orders.terms_exchanged("joint_pos_rel", "joint_vel"),
        ),
        make(
            key="joint_vel and last_action exchanged",
            group="+",
            names=(r"terms ({a} and {b}|{b} and {a}) exchanged",),
            contract=orders.terms_exchanged("joint_vel", "last_action"),
        ),
        make(key="turn command in degrees", group="+", names=(r"ang_vel_z",), contract=kinds.command_axes),
        make(
            key="joint_vel unscaled, two joints exchanged",
            group="+",
            names=(r"exchanged",),
            contract=kinds.both(kinds.scale_times("joint_vel", 20.0), orders.joint_pair),
        ),
        make(
            key="default pose left out, action scale x 2",
            group="+",
            names=(r"default pose not subtracted",),
            contract=kinds.both(kinds.kind_instead("joint_pos_rel", "joint_pos"), kinds.action_scale(2.0)),
        ),
        make(
            key="wrong order, scale and gains at once",
            group="+",
            names=ORDER,
            contract=kinds.both(
                orders.joint_order_parser, kinds.scale_times("joint_vel", 2.0), kinds.field_times("stiffness", 0.5)
            ),
        ),
    ]


def of_places() -> list[Mutation]:
    """Another point of the base's velocity, and the axes of a site where the source has the link's."""
    make = Mutation
    return [
        make(
            key="base_lin_vel of the link or of the centre of mass",
            group="3",
            names=(r"the velocity of {a}",),
            contract=kinds.other_point,
        ),
        make(
            key="base_lin_vel at another offset",
            group="3",
            names=(r"the velocity of {a}",),
            contract=kinds.point_beside,
        ),
        make(
            key="base_ang_vel in the axes of a site",
            group="3",
            names=(r"in the axes of the base link",),
            contract=kinds.frame_of_a_site("base_ang_vel"),
            trace=recordings.site_askew,
        ),
        make(
            key="projected_gravity in the axes of a site",
            group="3",
            names=(r"in the axes of the base link",),
            contract=kinds.frame_of_a_site("projected_gravity"),
            trace=recordings.site_askew,
        ),
    ]


def mutated(mutation: Mutation, contract: Contract, arrays: Arrays) -> tuple[Contract, Arrays, dict[str, str]]:
    """The contract and the trace with the mistake made in one of them.

    Raises:
        NotApplicableError: When the contract has nothing to make it with.
    """
    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    changed, filled = dict(arrays), {}
    if mutation.trace is not None:
        filled |= mutation.trace(changed, data) or {}
    if mutation.contract is None:
        return contract, changed, filled
    before = copy.deepcopy(data)
    filled |= mutation.contract(data) or {}
    if data == before and list(data["joints"]) == list(before["joints"]):
        raise NotApplicableError
    return Contract.model_validate(data), changed, filled
