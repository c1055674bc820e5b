"""The mistakes of the mutation score that are made in a recording, or where one is read."""

from __future__ import annotations

from typing import Any

import mutation_kinds as kinds
import mutation_orders as orders
import mutation_recordings as made
from mutation_mistake import ORDER, STATE, Mutation


def in_readings() -> list[Mutation]:
    """What a user's state reader wrongly read, and further ones."""
    make = Mutation
    return [
        make(key="quaternion order swapped", group="1", names=(r"quaternion order",), trace=made.quaternion_xyzw),
        make(key="quaternion inverted", group="+", names=(r"quaternion inverted",), trace=made.quaternion_inverse),
        make(
            key="base_ang_vel in the world frame",
            group="3",
            names=(r"world frame",),
            trace=made.world_frame("base_ang_vel"),
        ),
        make(
            key="base_lin_vel in the world frame",
            group="+",
            names=(r"world frame",),
            trace=made.world_frame("base_lin_vel"),
        ),
        make(key="state one step late", group="3", names=(r"one step late",), trace=made.later(*STATE)),
        make(key="state two steps late", group="3", names=(r"two steps late",), trace=made.later(*STATE, steps=2)),
        make(
            key="joint velocity two steps late",
            group="3",
            names=(r"two steps late",),
            trace=made.later("joint_vel", steps=2),
        ),
        make(
            key="base_ang_vel three steps late",
            group="3",
            names=(r"three steps late",),
            trace=made.later("base_ang_vel", steps=3),
        ),
        make(
            key="targets two steps late",
            group="3",
            names=(r"target: two steps",),
            trace=made.later("target", steps=2),
        ),
        make(
            key="joint_pos with a constant bias",
            group="3",
            names=(r"constant bias",),
            trace=made.biased("joint_pos", "joint_pos_rel", "joint_pos"),
        ),
        make(
            key="gyro with a constant bias",
            group="3",
            names=(r"constant bias",),
            trace=made.biased("base_ang_vel", "base_ang_vel"),
        ),
        make(
            key="base_ang_vel in a sensor's axes",
            group="3",
            names=(r"in other axes",),
            trace=made.askew("base_ang_vel"),
        ),
        make(
            key="base_lin_vel recorded of the centre of mass",
            group="3",
            names=(r"recorded at another point",),
            trace=made.of_another_point,
        ),
        make(
            key="joint velocity one step late",
            group="3",
            names=(r"joint_vel: one step late|one step late",),
            trace=made.later("joint_vel"),
        ),
        make(
            key="targets one step late",
            group="3",
            names=(r"target: one step|one step",),
            trace=made.later("target"),
        ),
        make(key="positions in degrees", group="+", names=(r"factor 57.30",), contract=kinds.degrees),
        make(
            key="one joint observed 0.02 rad off",
            group="+",
            names=(r"default .*{a}|offset",),
            contract=kinds.observed_offset,
        ),
        make(key="front and rear legs exchanged", group="+", names=ORDER, contract=orders.front_and_rear),
        make(
            key="last action scaled as the action is",
            group="+",
            names=(r"factor 0.25",),
            contract=kinds.scale_times("last_action", 0.25),
        ),
        make(
            key="last action taken for the last target",
            group="+",
            names=(r"it is last_action",),
            contract=kinds.kind_instead("last_action", "joint_target"),
        ),
        make(
            key="damping x 1.3",
            group="+",
            names=(r"factor 1.30 on every joint",),
            contract=kinds.field_times("damping", 1.3),
        ),
        make(
            key="two axes of base_ang_vel exchanged",
            group="+",
            names=(r"elements 0 and 1",),
            trace=made.axes_exchanged,
        ),
        make(
            key="velocities by finite differences",
            group="+",
            names=(r"finite difference",),
            trace=made.finite_differences,
        ),
        make(
            key="observation recorded behind the normaliser",
            group="+",
            names=(r"behind the network's normaliser",),
            trace=made.normalised,
        ),
        make(key="targets behind a low-pass filter", group="+", names=(r"filter",), trace=made.filtered_targets),
        make(key="observation noise left on", group="+", names=(r"noise",), trace=made.noise),
    ]


def in_recordings() -> list[Mutation]:
    """What a recorder wrongly kept, or a port of another network: the contract is right."""
    weights, action = r"another network", r"the trace holds the action .*"

    def make(key: str, *names: str, **how: Any) -> Mutation:
        return Mutation(key=key, group="t", names=names, **how)

    return [
        make("action recorded scaled", action + "after its scale", trace=made.action_recorded_scaled),
        make("action recorded as target", "joint targets in place of", trace=made.action_recorded_as_target),
        make("action recorded clipped", action + r"after a clip to \[", trace=made.action_recorded_clipped),
        make("action recorded filtered", action + "low-pass filter", trace=made.action_recorded_filtered),
        make("action recorded in another order", action + "in another order", trace=made.action_recorded_reversed),
        make("action recorded one step late", "network's one step late", trace=made.action_recorded_late),
        make("action recorded with exploration", "network's with noise", trace=made.action_recorded_drawn),
        make("gyro in degrees", "recorded in degrees per second", trace=made.in_degrees("base_ang_vel")),
        make("joint positions recorded in degrees", "recorded in degrees", trace=made.in_degrees("joint_pos")),
        make("joint velocities recorded in degrees", "in degrees per second", trace=made.in_degrees("joint_vel")),
        make(
            "joint positions and targets recorded in degrees",
            "recorded in degrees",
            trace=made.in_degrees("joint_pos", "target"),
        ),
        make("joint velocities recorded in rpm", "revolutions per minute", trace=made.in_rpm),
        make("sine and cosine exchanged", "sine and cosine exchanged", trace=made.sine_and_cosine),
        make("wrong weights of the same widths", weights, other_weights=True),
        make("clock from one period, wrong weights", weights, trace=made.from_one_period, other_weights=True),
        make("cut out of a run, wrong weights", weights, trace=made.from_the_middle, other_weights=True),
        make("no clock, wrong weights", weights, trace=made.without_clock, other_weights=True),
        make(
            "one command only, its scale left out",
            r"scale .*missing|scaled 0\.\d+: scale 1 instead",
            trace=made.first_command,
            contract=kinds.scale_left_out("velocity_command"),
        ),
        make(
            "one command only, zeroed",
            r"it is velocity_command",
            trace=made.first_command,
            contract=kinds.zeroed("velocity_command"),
        ),
    ]
