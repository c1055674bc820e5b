"""Faults put into a real export's outputs on purpose: a gate that lets one pass proves nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.spec import Contract
from policy_port.contract.terms import JointTerm, LastActionTerm
from policy_port.export.parity_gate import Array, Outputs, Yardstick, judge, worst_ratio
from policy_port.export.parity_report import Probe, Trial
from policy_port.export.reference import layout

Rerun = Callable[[str, NDArray[np.float32], NDArray[np.bool_]], Array]
"""Runs the export again: group, observations (steps, batch, n) and resets (steps, batch) to actions."""

RERUN_GROUPS = ("realistic", "normal")
"""Groups in which a fault that needs the export to run again is looked for."""


def self_test(
    contract: Contract,
    yardsticks: Sequence[Yardstick],
    outputs: Outputs,
    observations: dict[str, NDArray[np.float32]],
    rerun: Rerun,
    *,
    recurrent: bool,
) -> tuple[Probe, ...]:
    """Break the export in each way that a port breaks in practice, and hold each against the gate.

    A fault may change nothing, such as swapping two joints that the policy never moves, so others of its kind are
    tried until one is caught.
    """

    def caught(fault: str, broken: Outputs) -> Trial:
        return Trial(fault=fault, ratio=worst_ratio(judge(yardsticks, broken)))

    def again(change: Callable[[NDArray[np.float32]], NDArray[np.float32]], *, reset: bool = True) -> Outputs:
        return {
            yard.group: [rerun(yard.group, change(observations[yard.group]), yard.resets & reset)]
            for yard in yardsticks
            if yard.group in RERUN_GROUPS
        }

    def swapped_actions() -> Iterator[Trial]:
        for a, b in _pairs(names):
            order = _exchange(list(range(len(names))), names.index(a), names.index(b))
            yield caught(f"actions of {a} and {b} swapped", {g: [v[..., order] for v in o] for g, o in outputs.items()})

    def flipped_signs() -> Iterator[Trial]:
        for i, name in enumerate(names):
            sign = np.ones(len(names))
            sign[i] = -1.0
            yield caught(f"sign of {name} flipped", {g: [v * sign for v in o] for g, o in outputs.items()})

    def swapped_observations() -> Iterator[Trial]:
        for a, b in _pairs(observed):
            order = _swapped_columns(contract, a, b)
            yield caught(f"observations of {a} and {b} swapped", again(lambda obs, order=order: obs[..., order]))

    def stale_state() -> Iterator[Trial]:
        yield caught("resets of the recurrent state ignored", again(lambda obs: obs, reset=False))

    names, observed = contract.action_joint_names, _observed_joints(contract)
    return (
        _probe("two actions swapped", swapped_actions(), "" if len(names) > 1 else "the policy moves a single joint"),
        _probe("one sign flipped", flipped_signs(), ""),
        _probe(
            "two joints' observations swapped",
            swapped_observations(),
            "" if len(observed) > 1 else "the policy observes fewer than two joints",
        ),
        _probe("stale recurrent state", stale_state(), "" if recurrent else "the policy has no memory"),
    )


def _probe(kind: str, trials: Iterator[Trial], note: str) -> Probe:
    tried: list[Trial] = []
    if not note:
        for trial in trials:
            tried.append(trial)
            if trial.ratio > 1.0:
                break
    return Probe(kind=kind, trials=tuple(tried), note=note)


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Neighbours first, then every joint with the first one."""
    yield from itertools.pairwise(names)
    yield from ((names[0], name) for name in names[2:])


def _exchange(order: list[int], i: int, j: int) -> list[int]:
    order[i], order[j] = order[j], order[i]
    return order


def _observed_joints(contract: Contract) -> tuple[str, ...]:
    measured = {element for label, element, _ in layout(contract) if _measures_joints(contract, label)}
    return tuple(name for name in contract.joint_names if name in measured)


def _measures_joints(contract: Contract, label: str) -> bool:
    term = next(term for term in contract.observation.terms if term.label == label)
    return isinstance(term, JointTerm | LastActionTerm)


def _swapped_columns(contract: Contract, a: str, b: str) -> list[int]:
    """Column that each number of the observation is read from when all that joints a and b measure is exchanged."""
    keys = layout(contract)
    other = {a: b, b: a}
    order = list(range(len(keys)))
    for column, (label, element, age) in enumerate(keys):
        twin = (label, other.get(element, element), age)
        if element in other and _measures_joints(contract, label) and twin in keys:
            order[column] = keys.index(twin)
    return order
