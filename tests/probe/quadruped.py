"""A robot of four legs, and linear networks for it whose every derivative is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from policy_port.arrays import Array
from policy_port.checkpoints.networks.layers import FeedForwardActor, perceptron
from policy_port.contract import Contract
from policy_port.contract.layout import observation_slots
from tests.samples import contract_data

LEGS, KINDS = ("FL", "FR", "RL", "RR"), ("hip", "thigh", "calf")
BY_LEG = tuple(f"{leg}_{kind}" for leg in LEGS for kind in KINDS)
"""Depth first, as MuJoCo has it."""
BY_KIND = tuple(f"{leg}_{kind}" for kind in KINDS for leg in LEGS)
"""Breadth first, as Isaac Lab has it."""
DEFAULTS = {"FL_hip": 0.1, "FR_hip": -0.1, "RL_hip": 0.1, "RR_hip": -0.1}
TERMS = ("base_ang_vel", "projected_gravity", "velocity_command", "joint_pos_rel", "joint_vel", "last_action")

MIRRORED = {
    "base_lin_vel": (1, -1, 1),
    "base_ang_vel": (-1, 1, -1),
    "projected_gravity": (1, -1, 1),
    "velocity_command": (1, -1, -1),
}
OTHER_LEG = {"FL": "FR", "FR": "FL", "RL": "RR", "RR": "RL"}


def contract(names: tuple[str, ...] = BY_LEG, terms: tuple[Any, ...] = TERMS, **changes: Any) -> Contract:
    """The contract; a term is its kind, or data."""
    kinds = {"thigh": 0.8, "calf": -1.5}
    data = {
        "joints": {name: {"default": DEFAULTS.get(name, kinds.get(name[3:], 0.0))} for name in names},
        "observation": {"terms": [{"term": term} if isinstance(term, str) else term for term in terms]},
    }
    return Contract.model_validate(contract_data(**data | changes))


def linear(weights: Array, normaliser: nn.Module | None = None, head: nn.Module | None = None) -> FeedForwardActor:
    """The network whose derivatives are `weights`, shape (actions, numbers)."""
    rows = [(torch.as_tensor(weights, dtype=torch.float32), torch.zeros(len(weights)))]
    return FeedForwardActor(
        normaliser=normaliser or nn.Identity(),
        layers=perceptron(rows, nn.ELU),
        head=head or nn.Identity(),
        obs_size=weights.shape[1],
        action_size=weights.shape[0],
    ).eval()


def noise(right: Contract, size: float = 0.1, seed: int = 0) -> Array:
    """Weights that tell nothing."""
    shape = (right.action_size, right.observation_size)
    return size * np.random.default_rng(seed).standard_normal(shape)


def with_feedback(right: Contract, gains: Mapping[str, float], size: float = 0.1, seed: int = 0) -> Array:
    """Noise, and for each term a gain from each joint's newest number to its own action."""
    weights = noise(right, size, seed)
    for column, slot in enumerate(observation_slots(right)):
        if slot.term in gains and slot.age == 0:
            weights[right.action_joint_names.index(slot.element), column] += gains[slot.term]
    return weights


def symmetric(right: Contract, seed: int = 0) -> Array:
    """Weights of a network that does on its left what it does on its right; hips turn opposite ways."""

    def mirrored(name: str) -> tuple[str, float]:
        leg, _, kind = name.partition("_")
        return f"{OTHER_LEG[leg]}_{kind}", -1.0 if kind == "hip" else 1.0

    weights = noise(right, 1.0, seed)
    slots = observation_slots(right)
    place = {(slot.term, slot.element): column for column, slot in enumerate(slots)}
    image = np.empty_like(weights)
    for row, name in enumerate(right.action_joint_names):
        other, sign = mirrored(name)
        for column, slot in enumerate(slots):
            if slot.term in MIRRORED:
                axis = ("x", "y", "z", "lin_vel_x", "lin_vel_y", "ang_vel_z").index(slot.element) % 3
                element, turned = slot.element, MIRRORED[slot.term][axis]
            else:
                element, turned = mirrored(slot.element)
            image[right.action_joint_names.index(other), place[slot.term, element]] = (
                sign * turned * weights[row, column]
            )
    return 0.5 * (weights + image)
