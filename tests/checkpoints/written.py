"""Checkpoints written by hand in each library's layout, and float64 oracles in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = dict[str, torch.Tensor]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "swish": lambda x: x / (1 + np.exp(-x)),
    "crelu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "lrelu": lambda x: np.where(x > 0, x, 0.01 * x),
}


def generator(seed: int = 0) -> torch.Generator:
    """Return a seeded generator."""
    return torch.Generator().manual_seed(seed)


def linears(prefix: str, widths: list[int], rng: torch.Generator) -> State:
    """Return the layers prefix.0, prefix.2, ... of a perceptron."""
    state = {}
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        state[f"{prefix}.{2 * index}.weight"] = torch.randn(after, before, generator=rng) / before**0.5
        state[f"{prefix}.{2 * index}.bias"] = torch.randn(after, generator=rng) * 0.1
    return state


def memory(prefix: str, gates: int, size: int, hidden: int, layers: int, rng: torch.Generator) -> State:
    """Return the tensors of an LSTM (4 gates) or a GRU (3)."""
    state = {}
    for layer in range(layers):
        inputs = size if layer == 0 else hidden
        state[f"{prefix}.weight_ih_l{layer}"] = torch.randn(gates * hidden, inputs, generator=rng) * 0.4
        state[f"{prefix}.weight_hh_l{layer}"] = torch.randn(gates * hidden, hidden, generator=rng) * 0.4
        state[f"{prefix}.bias_ih_l{layer}"] = torch.randn(gates * hidden, generator=rng) * 0.1
        state[f"{prefix}.bias_hh_l{layer}"] = torch.randn(gates * hidden, generator=rng) * 0.1
    return state


def statistics(prefix: str, size: int, rng: torch.Generator) -> State:
    """Return RSL-RL's observation statistics."""
    deviation = torch.rand(1, size, generator=rng) + 0.1
    return {
        f"{prefix}_mean": torch.randn(1, size, generator=rng),
        f"{prefix}_var": deviation**2,
        f"{prefix}_std": deviation,
        f"{prefix}count": torch.tensor(1000),
    }


def save(tree: object, path: Path) -> Path:
    """Write a checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tree, path)
    return path


def agent_yaml(folder: Path, **values: object) -> Path:
    """Write params/agent.yaml."""
    path = folder / "params" / "agent.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    return path


def rsl_rl_5(folder: Path, *, activation: str | None = "elu", tensors: State | None = None, **actor: object) -> Path:
    """Write an RSL-RL 5 checkpoint of a perceptron 10-16-12-4 with a normaliser."""
    rng = generator()
    state = {
        **statistics("obs_normalizer.", 10, rng),
        "distribution.std_param": torch.ones(4),
        **linears("mlp", [10, 16, 12, 4], rng),
        **(tensors or {}),
    }
    if activation is not None:
        agent_yaml(folder, actor={"activation": activation, "hidden_dims": [16, 12], **actor}, policy={})
    tree = {
        "actor_state_dict": state,
        "critic_state_dict": linears("mlp", [13, 16, 1], rng),
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "iter": 5,
        "infos": None,
    }
    return save(tree, folder / "model_5.pt")


def as_float64(state: State, name: str) -> Array:
    """Return a tensor for an oracle."""
    return state[name].double().numpy()


def normalised(state: State, prefix: str, obs: Array) -> Array:
    """RSL-RL's normaliser."""
    return (obs - as_float64(state, f"{prefix}_mean")) / (as_float64(state, f"{prefix}_std") + 0.01)


def perceptron(state: State, prefix: str, x: Array, activation: str) -> Array:
    """Run layers with the activation between them."""
    indices = sorted(int(name.split(".")[-2]) for name in state if name.startswith(prefix) and "weight" in name)
    for index in indices:
        x = x @ as_float64(state, f"{prefix}.{index}.weight").T + as_float64(state, f"{prefix}.{index}.bias")
        if index != indices[-1]:
            x = ACTIVATIONS[activation](x)
    return x


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_step(state: State, prefix: str, layer: int, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """Advance one LSTM layer."""
    gates = (
        x @ as_float64(state, f"{prefix}.weight_ih_l{layer}").T
        + as_float64(state, f"{prefix}.bias_ih_l{layer}")
        + h @ as_float64(state, f"{prefix}.weight_hh_l{layer}").T
        + as_float64(state, f"{prefix}.bias_hh_l{layer}")
    )
    i, f, g, o = np.split(gates, 4, axis=-1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def gru_step(state: State, prefix: str, layer: int, x: Array, h: Array) -> Array:
    """Advance one GRU layer; the reset gate acts after the hidden bias."""
    own = x @ as_float64(state, f"{prefix}.weight_ih_l{layer}").T + as_float64(state, f"{prefix}.bias_ih_l{layer}")
    old = h @ as_float64(state, f"{prefix}.weight_hh_l{layer}").T + as_float64(state, f"{prefix}.bias_hh_l{layer}")
    (xr, xz, xn), (hr, hz, hn) = np.split(own, 3, axis=-1), np.split(old, 3, axis=-1)
    z = _sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + _sigmoid(xr + hr) * hn) + z * h


def observations(rows: int, width: int, seed: int = 1) -> NDArray[np.float32]:
    """Return random observations."""
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
