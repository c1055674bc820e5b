"""Observations to prove a port with: what a robot would show, plain noise, tails, and the edges of every clip."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.joints import UNIT_PER_SI, Joint
from policy_port.contract.spec import Contract
from policy_port.contract.terms import (
    BaseTerm,
    Bounds,
    ConstantTerm,
    ExternalTerm,
    GaitPhaseTerm,
    GoalTerm,
    JointTerm,
    LastActionTerm,
    ObservationTerm,
)
from policy_port.proof.reference import factors, layout

GROUPS = ("realistic", "normal", "tails", "clip_edges")
"""Names of the groups, in the order in which they are drawn."""

TAIL = 10.0
"""How far the tails reach beyond the other two groups."""

MAGNITUDES = (1.0, 3.0, 5.0, 10.0, 18.0, 20.0, 50.0, 100.0)
"""Where libraries put clips that a contract can't know, such as a normaliser's; straddled by the clip edges."""

JOINT_SWING = 0.5
"""Half of a joint's range where the contract states no limits [rad or m]."""
PERCENT_SWING = 20.0
"""The same for joints measured in percent of their sweep."""
JOINT_SPEED = 8.0
"""Largest joint velocity [rad/s or m/s]."""
BASE_LIMITS = {"base_lin_vel": 2.0, "base_ang_vel": 3.0}
"""Largest velocities of the base [m/s, rad/s]."""
LEAN = 0.6
"""Largest roll and pitch of the base [rad]."""


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
        term = terms[label]
        bounds = np.array([-np.inf, np.inf])
        if isinstance(term, BaseTerm | JointTerm | LastActionTerm):
            clip = term.clip[element] if isinstance(term.clip, dict) else term.clip
            scale, offset = factors(contract, term, element)
            if clip is not None:
                bounds = np.sort(scale * np.asarray(clip) + offset)
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
    longest = max(term.history for term in contract.observation.terms)
    length = steps + longest - 1
    positions = {
        name: _within(_smooth(rng, length, batch), *_joint_range(joint)) for name, joint in contract.joints.items()
    }
    streams: dict[tuple[str, str], Array] = {}
    for term in contract.observation.terms:
        elements = contract.term_elements(term)
        raw = _raw(contract, term, positions, length, batch, rng)
        for k, element in enumerate(elements):
            scale, offset = factors(contract, term, element)
            streams[term.label, element] = scale * raw[..., k] + offset
    columns = []
    for label, element, age in layout(contract):
        newest = longest - 1 - age
        columns.append(streams[label, element][newest : newest + steps])
    return np.stack(columns, axis=-1)


def _raw(
    contract: Contract,
    term: ObservationTerm,
    positions: dict[str, Array],
    length: int,
    batch: int,
    rng: np.random.Generator,
) -> Array:
    """Raw values of one term over time, shape (length, batch, elements)."""

    def smooth() -> Array:
        return _smooth(rng, length, batch)

    match term:
        case JointTerm():
            return np.stack(
                [_joint_raw(contract, term, n, positions[n], smooth()) for n in contract.observation_joints(term)], -1
            )
        case LastActionTerm():
            noise = rng.standard_normal((length, batch, contract.action_size))
            return noise if contract.action.raw_clip is None else np.clip(noise, *contract.action.raw_clip)
        case BaseTerm(term="projected_gravity"):
            roll, pitch = LEAN * smooth(), LEAN * smooth()
            return np.stack([np.sin(pitch), -np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch)], axis=-1)
        case BaseTerm(term="velocity_command"):
            ranges = (contract.command.lin_vel_x, contract.command.lin_vel_y, contract.command.ang_vel_z)
            return np.stack([_held(rng, bounds or (-1.0, 1.0), length, batch) for bounds in ranges], axis=-1)
        case BaseTerm():
            return BASE_LIMITS[term.term] * np.stack([smooth() for _ in range(3)], axis=-1)
        case GaitPhaseTerm():
            time = contract.control_dt * np.arange(length)[:, None] + term.period * rng.random(batch)
            phases = [2.0 * math.pi * (time / term.period + offset) for offset in term.offsets]
            return np.stack([np.sin(p) for p in phases] + [np.cos(p) for p in phases], axis=-1)
        case GoalTerm():
            low, high = term.low or (-1.0,) * term.size, term.high or (1.0,) * term.size
            return np.stack([_held(rng, b, length, batch) for b in zip(low, high, strict=True)], axis=-1)
        case ConstantTerm():
            return np.broadcast_to(np.asarray(term.value), (length, batch, len(term.value)))
        case ExternalTerm():
            return rng.standard_normal((length, batch, term.size))


def _joint_raw(contract: Contract, term: JointTerm, name: str, position: Array, other: Array) -> Array:
    joint = contract.joints[name]
    low, high = _joint_range(joint)
    match term.term:
        case "joint_pos":
            return position
        case "joint_pos_rel":
            return position - joint.default
        case "joint_target":
            return position + 0.1 * (high - low) * other
        case "joint_vel":
            speed = JOINT_SPEED * UNIT_PER_SI[joint.unit]
            return speed * other if joint.unit != "percent" else 10.0 * PERCENT_SWING * other


def _joint_range(joint: Joint) -> Bounds:
    swing = PERCENT_SWING if joint.unit == "percent" else JOINT_SWING * UNIT_PER_SI[joint.unit]
    low = joint.default - swing if joint.lower is None else joint.lower
    high = joint.default + swing if joint.upper is None else joint.upper
    return low, high


def _smooth(rng: np.random.Generator, length: int, batch: int) -> Array:
    """Numbers within +-1 that change little from step to step, shape (length, batch)."""
    time = np.arange(length)[:, None]
    weight = rng.random(batch)
    slow, fast = (
        np.sin(rng.uniform(0.0, 2.0 * math.pi, batch) + rng.uniform(*pace, batch) * time)
        for pace in ((0.01, 0.1), (0.1, 0.6))
    )
    return weight * slow + (1.0 - weight) * fast


def _within(unit: Array, low: float, high: float) -> Array:
    return low + (high - low) * 0.5 * (unit + 1.0)


def _held(rng: np.random.Generator, bounds: Bounds, length: int, batch: int) -> Array:
    """A number that is drawn once per sequence, as commands and goals are."""
    return np.broadcast_to(rng.uniform(*bounds, batch), (length, batch))
