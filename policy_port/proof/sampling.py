"""Observations to prove a port with: what a robot would show, plain noise, tails, and the edges of every clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.spec import Contract
from policy_port.contract.term import Term
from policy_port.proof.reference import ages, layout

GROUPS = ("realistic", "normal", "tails", "clip_edges")
"""Names of the groups, in the order in which they are drawn."""

TAIL = 10.0
"""How far the tails reach beyond the other two groups."""

MAGNITUDES = (1.0, 3.0, 5.0, 10.0, 18.0, 20.0, 50.0, 100.0)
"""Where libraries put clips that a contract can't know, such as a normaliser's; straddled by the clip edges."""


def sample_observations(
    contract: Contract, steps: int, batch: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Draw observations as the contract's observation builder would hand them to a network.

    Args:
        contract: Whose observation to draw.
        steps: Length of the sequences.
        batch: Number of independent sequences.
        rng: Where the numbers come from; equal generators give equal observations.

    Returns:
        By the names in `GROUPS`, arrays of shape (steps, batch, contract.observation_size).
    """
    realistic = _realistic(contract, steps, batch, rng)
    normal = rng.standard_normal(realistic.shape)
    far = np.where((np.arange(batch) % 2 == 0)[:, None], TAIL * realistic, TAIL * normal)
    drawn = (realistic, normal, far, _clip_edges(contract, realistic, rng))
    return {name: admissible(contract, group.astype(np.float32)) for name, group in zip(GROUPS, drawn, strict=True)}


def admissible(contract: Contract, obs: NDArray[np.float32]) -> NDArray[np.float32]:
    """`obs` within the clips that the contract's own observation builder applies, shape (..., observation_size).

    Only such observations exist, so only they tell a right port from a wrong one.
    """
    low, high = _edges(contract)
    return np.clip(obs, low.astype(np.float32), high.astype(np.float32))


def _edges(contract: Contract) -> tuple[Array, Array]:
    """Smallest and largest value of each number of the observation; infinite where nothing clips."""
    terms = {term.label: term for term in contract.observation.terms}
    edges = []
    for label, element, _ in layout(contract):
        clip = terms[label].entry("clip", element)
        bounds = np.array([-np.inf, np.inf])
        if clip is not None:
            after = terms[label].clip_after_scale
            bounds = np.asarray(clip) if after else np.sort(_scaled(terms[label], element, np.asarray(clip)))
        if contract.observation.clip is not None:
            bounds = np.clip(bounds, *contract.observation.clip)
        edges.append(bounds)
    low, high = np.stack(edges, axis=1)
    return low, high


def _clip_edges(contract: Contract, realistic: Array, rng: np.random.Generator) -> Array:
    """Values on, just inside and just outside of clips; every other number stays realistic so that it shows."""
    low, high = _edges(contract)
    near = 1.0 + rng.choice([-1e-3, 0.0, 1e-3], realistic.shape)
    guess = rng.choice(MAGNITUDES, realistic.shape) * rng.choice([-1.0, 1.0], realistic.shape)
    known = np.where(rng.random(realistic.shape) < 0.5, low, high)
    edge = near * np.where(np.isfinite(known), known, guess)
    return np.where(rng.random(realistic.shape) < 0.5, edge, realistic)


def _realistic(contract: Contract, steps: int, batch: int, rng: np.random.Generator) -> Array:
    longest = 1 + max(max(ages(contract, term)) for term in contract.observation.terms)
    draws = Draws(contract, steps + longest - 1, batch, rng)
    streams: dict[tuple[str, str], Array] = {}
    for term in contract.observation.terms:
        raw = term.draw(contract, draws)
        for k, element in enumerate(contract.term_elements(term)):
            streams[term.label, element] = _scaled(term, element, raw[..., k])
    columns = []
    for label, element, age in layout(contract):
        newest = longest - 1 - age
        columns.append(streams[label, element][newest : newest + steps])
    return np.stack(columns, axis=-1)


def _scaled(term: Term, element: str, raw: Array) -> Array:
    return term.entry("scale", element) * raw + term.entry("offset", element)
