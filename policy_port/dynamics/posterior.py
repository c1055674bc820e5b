"""Draws of a robot's dynamics from what its recordings leave open."""

from __future__ import annotations

import numpy as np

from policy_port.dynamics.document import Dynamics
from policy_port.errors import DynamicsError

TRIES = 200
"""Draws of one environment before a posterior counts as one of what can't be."""


def draw(dynamics: Dynamics, count: int, seed: int) -> tuple[Dynamics, ...]:
    """Draw dynamics for environments: joint normal, and again where a value can't be, such as negative friction.

    Args:
        dynamics: With a posterior.
        count: Number of environments.
        seed: Each environment draws from a generator of its own, of seed and number: more of them change no other's.

    Raises:
        DynamicsError: When it has no posterior, or one of values that can't be.
    """
    posterior = dynamics.posterior
    if posterior is None or not posterior.names:
        raise DynamicsError(
            f"the dynamics of {dynamics.robot.file} have no posterior to draw from, so nothing says how far off their "
            "values may be. `policy-port identify` writes one of what the recordings tell; or write names, mean and "
            "covariance under posterior"
        )
    mean, covariance = np.array(posterior.mean), np.array(posterior.covariance)
    values, vectors = np.linalg.eigh(covariance)
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    # Not a list of seed and number, of which numpy reads 2**32 and 0 as 0 and 1.
    seeds = [np.random.SeedSequence(seed, spawn_key=(row,)) for row in range(count)]
    return tuple(_one(dynamics, posterior.names, mean, spread, np.random.default_rng(own)) for own in seeds)


def _one(
    dynamics: Dynamics, names: tuple[str, ...], mean: np.ndarray, spread: np.ndarray, random: np.random.Generator
) -> Dynamics:
    refused: DynamicsError | None = None
    for _ in range(TRIES):
        drawn = mean + spread @ random.standard_normal(len(mean))
        try:
            return dynamics.with_values(dict(zip(names, drawn.tolist(), strict=True)))
        except DynamicsError as cause:
            refused = cause
    raise DynamicsError(f"posterior: {TRIES} draws in a row can't be; mend its mean and covariance: {refused}")


def table(dynamics: tuple[Dynamics, ...]) -> str:
    """Drawn values as CSV, a row per environment: the parameters of the posterior and the document's hash."""
    posterior = dynamics[0].posterior
    names = () if posterior is None else posterior.names
    lines = [",".join(("environment", *names, "sha256"))]
    for row, one in enumerate(dynamics):
        values = {name: estimate.value for name, estimate in one.estimates()}
        lines.append(",".join((str(row), *(repr(values[name]) for name in names), one.sha256)))
    return "\n".join(lines) + "\n"
