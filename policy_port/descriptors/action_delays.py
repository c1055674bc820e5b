"""Delays of actuators, which Isaac Lab and mjlab state in physics steps, as a contract's `action.delay`."""

from __future__ import annotations

from collections.abc import Mapping

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import lags

ISAAC_LAB = ("min_delay", "max_delay")
MJLAB = ("delay_min_lag", "delay_max_lag")

_ADVICE = "state it yourself: --set action.delay='{physics_steps: STEPS, fill: first}'"


def put_actuator_delay(groups: Mapping[str, Record], keys: tuple[str, str], draft: Draft) -> bool:
    """State the delay that all actuators have alike; hand back whether that says all there is of their delays.

    A delay that is drawn for each robot is stated by the middle of its range. Before the first target has arrived both
    programs apply it at once.

    Args:
        groups: The driven groups of actuators, by name.
        keys: Keys of the fewest and the most physics steps.
        draft: What is added to.

    Raises:
        ContractError: When a delay is no whole number of steps.
    """
    late = {name: lags(record, keys, _ADVICE) for name, record in groups.items()}
    if not late or not any(high for _, high in late.values()):
        return True
    record = next(iter(groups.values()))
    if len(set(late.values())) > 1:
        told = ", ".join(f"{name} {low} to {high}" for name, (low, high) in late.items())
        draft.note(
            f"{record.path.name}: actuators are late by other physics steps in each group ({told}), and a contract has "
            f"one delay for all joints, so none is stated; for one that fits most, {_ADVICE.partition(': ')[2]}"
        )
        return False
    low, high = next(iter(late.values()))
    steps = (low + high) // 2
    if steps:
        draft.put("action.delay", {"physics_steps": steps, "fill": "first"}, record.source(keys[1]))
    if low != high:
        draft.note(
            f"{record.path.name}: actuators are {low} to {high} physics steps late in training, drawn for each robot; "
            f"stated is the middle, {steps}. For another delay, such as that which your robot has itself, "
            "--set action.delay='{physics_steps: STEPS, fill: first}'"
        )
    return True
