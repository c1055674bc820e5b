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
from mutation_mistake import ORDER, Mutation, wrote
from mutation_recordings import Arrays
from mutation_sensed import of_sensing
from mutation_traces import in_readings, in_recordings

from policy_port.contract import Contract


def mutations() -> list[Mutation]:
    """Every mistake, in the order of the report."""
    return [*in_contracts(), *of_sensing(), *in_commands(), *in_readings(), *in_recordings()]


def in_contracts() -> list[Mutation]:
    """What a user wrongly wrote."""
    return [
        *of_places(),
        *of_histories(),
        *of_filters(),
        wrote("joint order of another parser", "1", orders.joint_order_parser, *ORDER),
        wrote("joint order sorted by name", "+", orders.joint_order_sorted, *ORDER),
        wrote("joint order reversed", "+", orders.joint_order_reversed, *ORDER),
        wrote("left and right exchanged", "+", orders.joint_order_left_right, r"left and right exchanged"),
        wrote("two joints exchanged", "1", orders.joint_pair, r"({a} and {b}|{b} and {a}) exchanged"),
        wrote("names in another order than the values beside them", "1", orders.names_over_values, *ORDER),
        wrote("order of joint_pos_rel alone", "+", orders.one_term_order("joint_pos_rel"), *ORDER),
        wrote("order of joint_vel alone", "+", orders.one_term_order("joint_vel"), *ORDER),
        wrote("order of the action alone", "+", orders.action_order, *ORDER),
        wrote("history laid out the other way", "1", kinds.other_layout, r"history {a} in the source"),
        wrote("history newest first", "1", kinds.history(order="newest_first"), r"history .*oldest first"),
        wrote("history filled with zeros", "+", kinds.history(fill="zero"), r"history filled with the first"),
        wrote("every observation scale left out", "1", kinds.scales_left_out, r"scale .*missing"),
        wrote("base_ang_vel unscaled", "2", kinds.scale_left_out("base_ang_vel"), r"scale .*missing"),
        wrote("joint_vel unscaled", "+", kinds.scale_left_out("joint_vel"), r"scale .*missing"),
        wrote("command unscaled", "2", kinds.scale_left_out("velocity_command"), r"scale .*missing"),
        wrote("joint_vel scaled twice", "+", kinds.scale_times("joint_vel", 0.05), r"factor 0.05"),
        wrote(
            "projected_gravity sign flipped", "+", kinds.scale_times("projected_gravity", -1.0), r"sign", r"scale -1 "
        ),
        wrote(
            "default pose in another order",
            "1",
            orders.field_in_other_order("default"),
            r"default pose in another order",
        ),
        wrote("default pose zero", "+", kinds.defaults_zero, r"default pose not stated"),
        wrote(
            "default pose left out of the observation",
            "2",
            kinds.kind_instead("joint_pos_rel", "joint_pos"),
            r"default pose not subtracted",
        ),
        wrote(
            "default pose subtracted twice",
            "+",
            kinds.kind_instead("joint_pos", "joint_pos_rel"),
            r"default pose subtracted though",
        ),
        wrote("one default 0.1 rad off", "+", kinds.one_default, r"default position of {a}"),
        wrote("one default 0.001 rad off", "3", kinds.default_one_milliradian, r"default position of {a}"),
        wrote("sign of one default flipped", "+", kinds.default_flipped, r"default position of {a}"),
        wrote(
            "stiffness and damping in another order",
            "1",
            orders.field_in_other_order("stiffness", "damping"),
            r"gains in another order",
        ),
        wrote("stiffness x 0.5", "3", kinds.field_times("stiffness", 0.5), r"factor {a} on every joint"),
        wrote("stiffness x 2", "3", kinds.field_times("stiffness", 2.0), r"factor {a} on every joint"),
        wrote("damping 0", "3", kinds.field_times("damping", 0.0), r"zero on every joint"),
        wrote("armature x 0.1", "+", kinds.field_times("armature", 0.1), r"factor {a} on every joint"),
        wrote("stiffness of one joint x 0.5", "+", kinds.one_field("stiffness", 0.5), r"{a} .* instead of"),
        wrote("actuation of the other kind", "3", kinds.actuation_kind, r"actuation (implicit|explicit) instead of"),
        wrote("base_lin_vel zeroed", "1", kinds.zeroed("base_lin_vel"), r"it is base_lin_vel"),
        wrote("last_action zeroed", "2", kinds.zeroed("last_action"), r"it is last_action"),
        wrote("gait phase zeroed", "3", kinds.zeroed("gait_phase"), r"gait clock"),
        wrote("command zeroed", "+", kinds.zeroed("velocity_command"), r"it is velocity_command"),
        wrote("gait period 0.75 s", "+", kinds.gait_period, r"gait period 0.75"),
        wrote("gait half a turn off", "+", kinds.gait_half_turn, r"gait clock offset"),
        wrote(
            "joint_target read as position", "+", kinds.kind_instead("joint_target", "joint_vel"), r"it is joint_target"
        ),
        wrote("one hip's sign flipped in the observation", "3", kinds.observed_sign, r"sign of {a} flipped"),
        wrote("one hip's sign flipped everywhere", "3", kinds.hip_sign, r"sign of (joint )?{a} flipped"),
        wrote("action scale x 2", "3", kinds.action_scale(2.0), r"factor {a}|scaled {a}"),
        wrote("action scale through three decimals", "+", kinds.action_scale_rounded, r"factor 1.01|scaled 1.01"),
        wrote("action scale of one joint 36 % off", "3", kinds.one_action_scale(0.64), r"{a} scaled {b}"),
        wrote("action of one joint x 0.74", "+", kinds.one_action_scale(0.74), r"{a} scaled {b}"),
        wrote("action offset left out", "+", kinds.action_offset_left_out, r"default pose is not added"),
        wrote(
            "action relative to the measured position",
            "+",
            kinds.delta_instead,
            r"targets are .*, not relative to the measured",
            r"targets are relative",
        ),
        wrote(
            "action absolute instead of delta",
            "+",
            kinds.absolute_instead,
            r"targets are relative to the previous target",
        ),
        wrote("raw_clip to 1 where there is none, or left out", "+", kinds.raw_clip_one, r"raw_clip"),
        wrote(
            "observation clip to 1 where there is none", "+", kinds.observation_clip, r"clip to \[-1.0, 1.0\] too many"
        ),
        wrote("half the control rate", "3", kinds.half_rate, r"0.5 times the control rate"),
        wrote("twice the control rate", "+", kinds.double_rate, r"2 times as often"),
        wrote("terms sorted by name", "+", orders.terms_sorted, r"term.* (exchanged|another place|another order)"),
        wrote(
            "base_ang_vel and projected_gravity exchanged",
            "+",
            orders.terms_exchanged("base_ang_vel", "projected_gravity"),
            r"terms ({a} and {b}|{b} and {a}) exchanged",
        ),
        wrote(
            "joint_pos and joint_vel exchanged",
            "+",
            orders.terms_exchanged("joint_pos_rel", "joint_vel"),
            r"terms ({a} and {b}|{b} and {a}) exchanged",
        ),
        wrote(
            "joint_vel and last_action exchanged",
            "+",
            orders.terms_exchanged("joint_vel", "last_action"),
            r"terms ({a} and {b}|{b} and {a}) exchanged",
        ),
        wrote("turn command in degrees", "+", kinds.command_axes, r"ang_vel_z"),
        wrote(
            "joint_vel unscaled, two joints exchanged",
            "+",
            kinds.both(kinds.scale_times("joint_vel", 20.0), orders.joint_pair),
            r"exchanged",
        ),
        wrote(
            "default pose left out, action scale x 2",
            "+",
            kinds.both(kinds.kind_instead("joint_pos_rel", "joint_pos"), kinds.action_scale(2.0)),
            r"default pose not subtracted",
        ),
        wrote(
            "wrong order, scale and gains at once",
            "+",
            kinds.both(
                orders.joint_order_parser, kinds.scale_times("joint_vel", 2.0), kinds.field_times("stiffness", 0.5)
            ),
            *ORDER,
        ),
    ]


def of_places() -> list[Mutation]:
    """Another point of the base's velocity, and the axes of a site where the source has the link's."""
    return [
        wrote("base_lin_vel of the link or of the centre of mass", "3", kinds.other_point, r"the velocity of {a}"),
        wrote("base_lin_vel at another offset", "3", kinds.point_beside, r"the velocity of {a}"),
        wrote(
            "base_ang_vel in the axes of a site",
            "3",
            kinds.frame_of_a_site("base_ang_vel"),
            r"in the axes of the base link",
            trace=recordings.site_askew,
        ),
        wrote(
            "projected_gravity in the axes of a site",
            "3",
            kinds.frame_of_a_site("projected_gravity"),
            r"in the axes of the base link",
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
