"""What the libraries' names for activations mean."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from policy_port.errors import CheckpointError, closest

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "selu": nn.SELU,
    "relu": nn.ReLU,
    "celu": nn.CELU,
    "lrelu": nn.LeakyReLU,
    "leaky_relu": nn.LeakyReLU,
    "leakyrelu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "identity": nn.Identity,
    "none": nn.Identity,
}
"""Activation by lower-case name."""

RSL_RL_ACTIVATIONS = ACTIVATIONS | {"crelu": nn.CELU}
"""RSL-RL spells CELU "crelu"."""


def activation_named(
    name: str, where: str, table: dict[str, Callable[[], nn.Module]] = ACTIVATIONS
) -> Callable[[], nn.Module]:
    """The constructor of the activation called `name`; `where` says who named it."""
    key = name.strip().lower()
    if key not in table:
        raise CheckpointError(
            f"{where}: activation '{name}' is unknown{closest(key, table) or '.'} Known are {', '.join(sorted(table))}"
        )
    return table[key]
