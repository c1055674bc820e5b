"""The mistakes of the mutation score that are made in a recording, or where one is read."""

from __future__ import annotations

from typing import Any

import mutation_kinds as kinds
import mutation_orders as orders
import mutation_recordings as made
from mutation_mistake import ORDER, STATE, Mutation, recorded, wrote


def in_readings() -> list[Mutation]:
    """What a user's state reader wrongly read, and further ones."""
    return [
        recorded("quaternion order swapped", "1", made.quaternion_xyzw, r"quaternion order"),
        recorded("quaternion inverted", "+", made.quaternion_inverse, r"quaternion inverted"),
        recorded("base_ang_vel in the world frame", "3", made.world_frame("base_ang_vel"), r"world frame"),
        recorded("base_lin_vel in the world frame", "+", made.world_frame("base_lin_vel"), r"world frame"),
        recorded("state one step late", "3", made.later(*STATE), r"one step late"),
        recorded("state two steps late", "3", made.later(*STATE, steps=2), r"two steps late"),
        recorded("joint velocity two steps late", "3", made.later("joint_vel", steps=2), r"two steps late"),
        recorded("base_ang_vel three steps late", "3", made.later("base_ang_vel", steps=3), r"three steps late"),
        recorded("targets two steps late", "3", made.later("target", steps=2), r"target: two steps"),
        recorded(
            "joint_pos with a constant bias",
            "3",
            made.biased("joint_pos", "joint_pos_rel", "joint_pos"),
            r"constant bias",
        ),
        recorded("gyro with a constant bias", "3", made.biased("base_ang_vel", "base_ang_vel"), r"constant bias"),
        recorded("base_ang_vel in a sensor's axes", "3", made.askew("base_ang_vel"), r"in other axes"),
        recorded(
            "base_lin_vel recorded of the centre of mass", "3", made.of_another_point, r"recorded at another point"
        ),
        recorded(
            "joint velocity one step late", "3", made.later("joint_vel"), r"joint_vel: one step late|one step late"
        ),
        recorded("targets one step late", "3", made.later("target"), r"target: one step|one step"),
        wrote("positions in degrees", "+", kinds.degrees, r"factor 57.30"),
        wrote("one joint observed 0.02 rad off", "+", kinds.observed_offset, r"default .*{a}|offset"),
        wrote("front and rear legs exchanged", "+", orders.front_and_rear, *ORDER),
        wrote("last action scaled as the action is", "+", kinds.scale_times("last_action", 0.25), r"factor 0.25"),
        wrote(
            "last action taken for the last target",
            "+",
            kinds.kind_instead("last_action", "joint_target"),
            r"it is last_action",
        ),
        wrote("damping x 1.3", "+", kinds.field_times("damping", 1.3), r"factor 1.30 on every joint"),
        recorded("two axes of base_ang_vel exchanged", "+", made.axes_exchanged, r"elements 0 and 1"),
        recorded("velocities by finite differences", "+", made.finite_differences, r"finite difference"),
        recorded(
            "observation recorded behind the normaliser", "+", made.normalised, r"behind the network's normaliser"
        ),
        recorded("targets behind a low-pass filter", "+", made.filtered_targets, r"filter"),
        recorded("observation noise left on", "+", made.noise, r"noise"),
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
