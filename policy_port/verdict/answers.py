"""What the port's network does when it is shown a trace's observations, and at which rows that says something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from policy_port.mistakes.numbers import counted
from policy_port.verdict.evidence import Answers, Evidence, Mask, Values

if TYPE_CHECKING:
    from policy_port.contract.spec import Contract

Network = Callable[[Values, Mask], Values]
"""From observations and the rows at which memory is put to its start, each (steps, environments, ...), to actions."""

ACTION_TOLERANCE = 1e-4
"""Difference of an action that runtimes explain, relative to the joint's largest recorded action (1 at least).

Right exports of eight real policies were up to 5e-5 off a float64 reference, wrong ones 1e-2 and more.
"""

FADED = 0.1
"""Share of what is allowed that the memory before a row may still make: what it really was may lie farther off than
the memories that were tried."""

BEFORE = 200
"""Rows of the trace that are shown first, so that a network's memory is another than at its start."""


def answered(contract: Contract, evidence: Evidence, network: Network) -> Evidence:
    """The evidence with what the network does on it.

    A network without memory tells at every row. One with memory tells where episodes begin at a reset; in others where
    it does from its start, or undisturbed by the missing rows, what was recorded throughout; else from the row on at
    which it no longer matters what it remembered: three unlike memories answer alike from there to the episode's end.

    Args:
        contract: The contract of the trace's side.
        evidence: The trace, with every start told; see `settled`.
        network: The network on that side.
    """
    seen = evidence.arrays["observation"]
    values = network(seen, evidence.started)
    known = np.ones(evidence.shape, dtype=np.bool_)
    note = ""
    every = np.ones(evidence.shape, dtype=np.bool_)
    if not evidence.whole.all() and not np.array_equal(values, network(seen, every)):
        values, known = _remembered(contract, evidence, network, values)
        left = int((~known).sum())
        if left:
            note = (
                f"the network has a memory, which is not known at {left} of {counted(known.size, 'row')}, before what "
                "it remembered no longer matters; record from a reset on"
            )
    return replace(evidence, network=network, answers=Answers(values=values, known=known, note=note))


def shown(contract: Contract, evidence: Evidence, observation: Values) -> Evidence:
    """The evidence with another observation in place of the recorded one, and what the network does on it."""
    changed = evidence.with_arrays({"observation": observation})
    return changed if evidence.network is None else answered(contract, changed, evidence.network)


def _remembered(contract: Contract, evidence: Evidence, network: Network, fresh: Values) -> tuple[Values, Mask]:
    """The answers at each row of a network with memory, and where they say something."""
    seen = evidence.arrays["observation"]
    resets = evidence.started & evidence.whole
    # Other memories: what the trace itself leaves behind, forwards and backwards.
    length = min(BEFORE, len(seen))
    others = []
    for before in (seen[-length:], seen[:length][::-1]):
        starts = np.concatenate([np.zeros((length, seen.shape[1]), dtype=np.bool_), resets])
        starts[0] = True
        others.append(network(np.concatenate([before, seen]), starts)[length:])
    through = network(seen, resets | (evidence.started & (evidence.since == 0)))
    values = fresh
    known = evidence.whole.copy()
    for run in (fresh, through):
        wrong, allowed = action_errors(contract, evidence, run)
        fits = ~_anywhere(evidence, np.asarray((wrong > allowed).any(axis=2))) & ~known
        values = np.where(fits[:, :, None], run, values)
        known |= fits
    allowed = action_errors(contract, evidence, fresh)[1]
    unlike = np.max([np.abs(run - fresh) for run in others], axis=0) > FADED * allowed
    return values, known | ~_still_to_come(evidence, np.asarray(unlike.any(axis=2)))


def _anywhere(evidence: Evidence, rows: Mask) -> Mask:
    """Whether it holds anywhere in a row's episode."""
    found = np.zeros_like(rows)
    for env in range(rows.shape[1]):
        since = evidence.since[:, env]
        found[:, env] = np.isin(since, since[rows[:, env]])
    return found


def _still_to_come(evidence: Evidence, rows: Mask) -> Mask:
    """Whether it holds in a row, or in a later one of its episode."""
    found = rows.copy()
    for step in range(len(rows) - 2, -1, -1):
        found[step] |= found[step + 1] & (evidence.since[step + 1] == evidence.since[step])
    return found


def action_errors(contract: Contract, evidence: Evidence, values: Values) -> tuple[Values, Values]:
    """How far actions are off the recorded ones, shape (steps, environments, actions), and what is allowed of it."""
    recorded = evidence.arrays["action"]
    lower, upper = map(np.array, contract.raw_bounds)
    at_bound = np.isclose(recorded, lower, rtol=1e-6) | np.isclose(recorded, upper, rtol=1e-6)
    if (at_bound | ((recorded > lower) & (recorded < upper))).all():
        # Some recorders keep what came out of raw_clip; there the bounds stand where the network went beyond.
        values = np.where(at_bound, np.clip(values, lower, upper), values)
    return np.abs(values - recorded), ACTION_TOLERANCE * np.maximum(1.0, np.abs(recorded).max(axis=(0, 1)))
