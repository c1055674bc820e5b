"""What a network does where a term stands at the ends of its range, all else being ordinary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.probe.network import BATCH, STEPS, Network, Response
from policy_port.proof.sampling import sample_observations

STUCK = 0.01
"""Movement, as a share of the action's ordinary one, below which it counts as stuck."""


@dataclass(frozen=True, kw_only=True)
class Extreme:
    """One term at its ends."""

    label: str
    """The term; "" for ordinary observations."""
    broken: bool
    """True where an action is not finite."""
    growth: float
    """Size of the actions' departure from their ordinary mean, in ordinary deviations."""
    clipped: float | None
    """Share of raw actions at or beyond `action.raw_clip`; None where none is stated."""
    beyond: float | None
    """Share of targets beyond their joint's limits; None where none are stated, or the action is a delta."""
    unseen: float
    """Share of the term's numbers, at their ends, that no longer move any action, though they do otherwise."""
    stuck: float
    """Share of the actions that the observation hardly moves any more, as behind a tanh or a clip."""


def measure_extremes(contract: Contract, network: Network, obs: Array, response: Response) -> tuple[Extreme, ...]:
    """Put each term to its ends in turn.

    Args:
        contract: The contract.
        network: The network.
        obs: Ordinary observations, shape (steps, batch, numbers).
        response: Its derivatives on these.

    Returns:
        Ordinary observations first, then each term.
    """
    rng = np.random.default_rng(0)
    wide = sample_observations(contract, STEPS, BATCH, rng)["realistic"].reshape(-1, obs.shape[-1])
    low, high = wide.min(axis=0), wide.max(axis=0)
    labels = np.array([slot.term for slot in observation_slots(contract)])
    usual, deviation = response.actions.mean(axis=0), response.actions.std(axis=0)
    found = []
    for label in ("", *(term.label for term in contract.observation.terms)):
        ends = np.where(rng.random((obs.shape[1], obs.shape[-1])) < 0.5, low, high)
        shown = np.where(labels == label, ends, obs)
        actions = network.actions(shown)
        finite = bool(np.isfinite(actions).all())
        live = (labels == label) & (response.square.sum(axis=0) > 0.0)
        unseen = stuck = 0.0
        if finite:
            slopes = network.derivatives(shown, response)
            unseen = float((slopes[..., live] == 0.0).all(axis=1).mean()) if live.any() else 0.0
            movement = ((slopes * response.spread) ** 2).sum(axis=-1)
            stuck = float((movement < STUCK**2 * (response.square * response.spread**2).sum(axis=-1)).mean())
        off = np.where(deviation > 0.0, (actions - usual) / np.where(deviation > 0.0, deviation, 1.0), 0.0)
        found.append(
            Extreme(
                label=label,
                broken=not finite,
                growth=float(np.sqrt(np.mean(off**2))) if finite else np.inf,
                clipped=_clipped(contract, actions),
                beyond=_beyond(contract, actions),
                unseen=unseen,
                stuck=stuck,
            )
        )
    return tuple(found)


def _clipped(contract: Contract, actions: Array) -> float | None:
    if contract.action.raw_clip is None:
        return None
    lower, upper = contract.raw_bounds
    return float(np.mean((actions <= np.array(lower)) | (actions >= np.array(upper))))


def _beyond(contract: Contract, actions: Array) -> float | None:
    """Share of the targets beyond limits, of the joints that state any."""
    shares, column = [], 0
    for term in contract.action.terms:
        for name in contract.action_joints(term):
            joint = contract.joints[name]
            raw = actions[:, column]
            column += 1
            if not term.is_absolute or (joint.lower is None and joint.upper is None):
                continue
            raw = np.clip(raw, *contract.action.raw_bounds(name))
            target = term.zero(contract, name) + term.entry("scale", name) * raw
            low = -np.inf if joint.lower is None else joint.lower
            high = np.inf if joint.upper is None else joint.upper
            shares.append(np.mean((target < low) | (target > high)))
    return float(np.mean(shares)) if shares else None
