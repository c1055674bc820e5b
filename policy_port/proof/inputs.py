"""What a parity check shows to every network: sequences of observations and images, with resets of single rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Pixels
from policy_port.checkpoints.actor import Actor
from policy_port.contract.spec import Contract
from policy_port.proof.image_sampling import draw_images
from policy_port.proof.sampling import admissible, sample_observations

BATCHES = (64, 7, 1)
"""Batch sizes, the largest first."""
STEPS = 50
"""Steps of each sequence."""
SEEING_BATCHES, SEEING_STEPS = (8, 3, 1), 8
"""The same for policies that read images, which take a thousand times the arithmetic."""
CHUNK_BATCHES, CHUNK_STEPS = (4, 2, 1), 2
"""The same for policies that answer with chunks of actions, each of which is many samples."""
SEEING_CHUNK_BATCHES, SEEING_CHUNK_STEPS = (2, 1), 1
"""The same for those that do both: one answer of LeRobot's ACT to two large pictures takes about a second."""
RESET_RATE = 0.04
"""Chance that a row starts afresh before a step, beside one certain reset per row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """One group of sequences."""

    obs: NDArray[np.floating]
    """Observations, shape (steps, batch, n)."""
    images: tuple[Pixels, ...]
    """Images, shape (steps, batch, *image) each."""
    resets: NDArray[np.bool_]
    """True where a row starts afresh before the step, shape (steps, batch)."""

    def rows(self, count: int) -> Inputs:
        """The first `count` sequences."""
        return replace(
            self,
            obs=np.ascontiguousarray(self.obs[:, :count]),
            images=tuple(np.ascontiguousarray(image[:, :count]) for image in self.images),
            resets=self.resets[:, :count],
        )


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is shown."""

    steps: int
    batches: tuple[int, ...]

    @classmethod
    def of(cls, actor: Actor) -> Extent:
        """What a network of this kind is shown."""
        if actor.chunk is not None and actor.images:
            return cls(steps=SEEING_CHUNK_STEPS, batches=SEEING_CHUNK_BATCHES)
        if actor.chunk is not None:
            return cls(steps=CHUNK_STEPS, batches=CHUNK_BATCHES)
        if actor.images:
            return cls(steps=SEEING_STEPS, batches=SEEING_BATCHES)
        return cls(steps=STEPS, batches=BATCHES)


def draw_inputs(
    contract: Contract, extent: Extent, recorded: NDArray[np.floating] | None, rng: np.random.Generator
) -> dict[str, Inputs]:
    """Draw every group, and cut a recording into one more."""
    observations = sample_observations(contract, extent.steps, extent.batches[0], rng)
    if recorded is not None:
        observations["recorded"] = admissible(contract, _windows(np.asarray(recorded, np.float32), extent))
    resets = {name: _resets(rng, *obs.shape[:2]) for name, obs in observations.items()}
    groups = {}
    for name, obs in observations.items():
        steps, batch, _ = obs.shape
        images = draw_images(contract.images, name, steps, batch, rng)
        groups[name] = Inputs(obs=obs, images=images, resets=resets[name])
    return groups


def _resets(rng: np.random.Generator, steps: int, batch: int) -> NDArray[np.bool_]:
    """Rows that start afresh before a step, each row at least once if there is a step to do it before."""
    resets = rng.random((steps, batch)) < RESET_RATE
    if steps > 1:
        resets[rng.integers(1, steps, batch), np.arange(batch)] = True
    resets[0] = False
    return resets


def _windows(recorded: NDArray[np.float32], extent: Extent) -> NDArray[np.float32]:
    """Cut a recording into sequences of at most `extent.steps` steps, evenly chosen, shape (steps, rows, n)."""
    tracks = recorded[:, None] if recorded.ndim == 2 else recorded
    steps = min(extent.steps, len(tracks))
    starts = [*range(0, len(tracks) - steps, steps), len(tracks) - steps]
    windows = [tracks[start : start + steps, row] for start in starts for row in range(tracks.shape[1])]
    chosen = np.unique(np.linspace(0, len(windows) - 1, extent.batches[0]).round().astype(int))
    return np.stack([windows[i] for i in chosen], axis=1)
