"""Small networks, contracts and remaps for the tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.networks.layers import Clamp, FeedForwardActor, Normaliser, RecurrentActor, perceptron
from policy_port.checkpoints.policy import LoadedPolicy
from policy_port.contract import Contract, RobotMapping
from policy_port.files import sha256
from tests.samples import contract_data

JOINTS = ("hip", "knee", "ankle", "toe")

MakeActor = Callable[..., Actor]


@pytest.fixture
def make_actor() -> MakeActor:
    """Builds a small random actor: kind "mlp", "lstm" or "gru"."""

    def make(
        kind: str = "mlp",
        *,
        obs_size: int = 15,
        action_size: int = 4,
        normalised: bool = True,
        normaliser_clip: float | None = None,
        action_clip: float | None = None,
        layers: int = 1,
        hidden: int = 8,
        seed: int = 0,
    ) -> Actor:
        torch.manual_seed(seed)
        normaliser: nn.Module = nn.Identity()
        if normalised:
            normaliser = Normaliser(torch.randn(obs_size), torch.rand(obs_size) + 0.5, normaliser_clip)
        head: nn.Module = nn.Identity() if action_clip is None else Clamp(-action_clip, action_clip)
        widths = [hidden if kind != "mlp" else obs_size, 16, 12, action_size]
        weights = [
            (torch.randn(after, before) / before**0.5, torch.randn(after))
            for before, after in itertools.pairwise(widths)
        ]
        perceptron_layers = perceptron(weights, nn.ELU)
        if kind == "mlp":
            return FeedForwardActor(
                normaliser=normaliser,
                layers=perceptron_layers,
                head=head,
                obs_size=obs_size,
                action_size=action_size,
            ).eval()
        memory = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](obs_size, hidden, layers).requires_grad_(False)
        return RecurrentActor(
            normaliser=normaliser, memory=memory, layers=perceptron_layers, head=head, action_size=action_size
        ).eval()

    return make


@pytest.fixture
def contract() -> Contract:
    """A walking robot of four joints: an observation of 15 numbers, an action of 4."""
    return Contract.model_validate(
        contract_data(
            name="four",
            joints={name: {"default": 0.1 + 0.2 * i} for i, name in enumerate(JOINTS)},
            observation={
                "terms": [
                    {"term": "base_ang_vel", "scale": 0.25},
                    {"term": "joint_pos_rel"},
                    {"term": "joint_vel", "scale": 0.05},
                    {"term": "last_action"},
                ]
            },
            action={"terms": [{"term": "joint_position", "scale": 0.3, "offset": "default"}]},
        )
    )


@pytest.fixture
def mapping() -> RobotMapping:
    """Another order of the four joints; one of them turns the other way, one has another zero."""
    return RobotMapping.model_validate(
        {
            "source_joint_names": JOINTS,
            "target_joint_names": ("toe", "hip", "ankle", "knee"),
            "joints": {"knee": {"sign": -1}, "toe": {"offset": 0.2}},
        }
    )


@pytest.fixture
def make_policy(tmp_path: Path) -> Callable[[Actor], LoadedPolicy]:
    """Wraps an actor as a policy that was read from a file."""

    def make(actor: Actor) -> LoadedPolicy:
        path = tmp_path / "model.pt"
        path.write_bytes(b"the checkpoint")
        return LoadedPolicy(
            path=path,
            sha256=sha256(path),
            library="rsl_rl",
            version="5.x",
            evidence=(),
            actor=actor,
            normaliser=None,
            distribution="mean of a Gaussian",
            architecture=(),
            leftovers=(),
            notes=(),
            original=None,
        )

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
