"""A small port and a trace that its network really made, for the commands that judge ports."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from policy_port.checkpoints import load_policy
from policy_port.checkpoints.policy import LoadedPolicy
from policy_port.contract import Contract, RobotMapping
from policy_port.export import write
from policy_port.port.folder import Port
from policy_port.remap import build_remap, identity_remap
from tests.samples import LEGS
from tests.verdict.mistakes import edited, set_scale
from tests.verdict.synthetic import header, simulate, toy
from tests.verdict.synthetic import write as write_trace

REVERSED = RobotMapping(source_joint_names=LEGS, target_joint_names=LEGS[::-1])


@dataclasses.dataclass(frozen=True)
class Judged:
    """Ports of one network: right, with a missing scale, and carried to another joint order; another network of the
    same widths; and the first one's trace.
    """

    right: Port
    wrong: Port
    remapped: Port
    other: Port
    trace: Path


def make(folder: Path) -> Judged:
    """Write three ports without the parity check, which has tests of its own, and record the network's actions."""
    contract = toy()
    widths = (contract.observation_size, 8, contract.action_size)
    tensors, policy = _network(folder / "model_0.pt", widths, seed=0)
    other = _network(folder / "model_1.pt", widths, seed=1)[1]
    wrong = edited(contract, set_scale("base_ang_vel", 1.0))

    def act(observation: np.ndarray) -> np.ndarray:
        """The network, written out."""
        weights = {name: value.numpy().astype(np.float64) for name, value in tensors.items()}
        hidden = observation @ weights["mlp.0.weight"].T + weights["mlp.0.bias"]
        hidden = np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0)))
        return hidden @ weights["mlp.2.weight"].T + weights["mlp.2.bias"]

    with pytest.MonkeyPatch.context() as unproved:
        unproved.setattr(write, "_prove", lambda *args: '{"max_error": 1e-7, "max_ratio": 0.1}')
        return Judged(
            right=write.write_port(folder / "right", policy, identity_remap(contract)),
            wrong=write.write_port(folder / "wrong", policy, identity_remap(wrong)),
            remapped=write.write_port(folder / "remapped", policy, build_remap(contract, REVERSED)),
            other=write.write_port(folder / "other", other, identity_remap(contract)),
            trace=write_trace(folder / "trace.npz", simulate(contract, act=act), header(contract)),
        )


def _network(file: Path, widths: tuple[int, int, int], *, seed: int) -> tuple[dict[str, Any], LoadedPolicy]:
    """A checkpoint of rsl_rl with random weights, and what was loaded from it."""
    torch.manual_seed(seed)
    tensors: dict[str, Any] = {"distribution.std_param": torch.ones(widths[2])}
    for layer in (0, 1):
        tensors[f"mlp.{2 * layer}.weight"] = torch.randn(widths[layer + 1], widths[layer]) / widths[layer] ** 0.5
        tensors[f"mlp.{2 * layer}.bias"] = torch.randn(widths[layer + 1])
    critic = {"mlp.0.weight": torch.randn(1, widths[0]), "mlp.0.bias": torch.zeros(1)}
    saved = {"actor_state_dict": tensors, "critic_state_dict": critic, "optimizer_state_dict": {}, "iter": 0}
    torch.save({**saved, "infos": None}, file)
    return tensors, load_policy(file, activation="elu")


def contract_of(path: Path) -> Contract:
    """A contract file, read without the package's reader."""
    return Contract.model_validate(yaml.safe_load(path.read_text()))
