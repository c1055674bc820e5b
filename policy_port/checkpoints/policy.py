"""What a loaded policy file is: the actor, and everything the file says about itself."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from policy_port.checkpoints.actor import Actor
from policy_port.errors import CheckpointError


class OriginalRunner(abc.ABC):
    """A policy file run by its own runtime, as the yardstick of a parity check."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Put the recurrent state of every row back to its start."""

    @abc.abstractmethod
    def step(self, obs: NDArray[np.float32], *images: NDArray[np.generic]) -> NDArray[np.float32]:
        """The actions for `obs` of shape (batch, obs_size); rows keep their state between calls."""


@dataclass(frozen=True, kw_only=True)
class NormaliserInfo:
    """The observation normaliser inside a policy file."""

    where: str
    """Where in the file its statistics are."""
    formula: str
    """What it computes, in words of the file's own keys."""
    size: int
    """Number of observation entries."""
    mean_range: tuple[float, float]
    """Smallest and largest mean."""
    deviation_range: tuple[float, float]
    """Smallest and largest standard deviation, without the epsilon."""
    clip: float | None
    """Bound of the normalised observation, or None when it is not clipped."""
    samples: int | None
    """Number of observations behind the statistics, or None when the file does not say."""

    @classmethod
    def of(
        cls,
        mean: Tensor,
        deviation: Tensor,
        *,
        where: str,
        formula: str,
        clip: float | None = None,
        samples: Tensor | None = None,
    ) -> NormaliserInfo:
        """Summarise the statistics."""
        return cls(
            where=where,
            formula=formula,
            size=mean.numel(),
            mean_range=(float(mean.min()), float(mean.max())),
            deviation_range=(float(deviation.min()), float(deviation.max())),
            clip=clip,
            samples=None if samples is None else int(samples.item()),
        )


class Leftover(NamedTuple):
    """Something in a file, or a key of the trainer's configuration, that the actor does not use."""

    name: str
    """Full name: keys with dots between; a key of the configuration begins with the file's name and a colon."""
    detail: str
    """The tensor's shape, or the key's value."""
    size: int
    """Number of numbers that it holds."""

    def __str__(self) -> str:
        return f"{self.name} {self.detail}"

    @property
    def group(self) -> str:
        """The part that it belongs to: its name up to the first number, and never its last word alone."""
        words = self.name.split(".")
        kept = next((place for place, word in enumerate(words) if word.isdigit()), len(words) - 1)
        return self.name if ":" in self.name else ".".join(words[: max(kept, 1)])


@dataclass(frozen=True, kw_only=True)
class LoadedPolicy:
    """A policy read from a file."""

    path: Path
    """The file."""
    sha256: str
    """SHA-256 of the file, hexadecimal."""
    library: str
    """What wrote the file, as `--from` names it."""
    version: str
    """Version of the library, as far as the file tells."""
    evidence: tuple[str, ...]
    """Why the file is taken for one of that library."""
    actor: Actor
    """The network, in evaluation mode, without gradients."""
    normaliser: NormaliserInfo | None
    """The observation normaliser, or None when the file has none that could be told apart."""
    distribution: str
    """How the library draws actions, and which part of it the actor returns."""
    architecture: tuple[str, ...]
    """One line for each layer."""
    leftovers: tuple[str, ...]
    """Tensors of the file that the actor does not use."""
    notes: tuple[str, ...]
    """What a user must know that the numbers don't show."""
    original: Callable[[], OriginalRunner] | None
    """Starts the file in its own runtime; None for files that are only tensors."""
    unexplained: tuple[Leftover, ...] = ()
    """Leftovers that belong to no part of a training known by name and place, and that nobody said to ignore."""
    ignored: tuple[Leftover, ...] = ()
    """Leftovers of that kind that the user said to ignore."""
    clip: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Arrays of the reference motion that the file plays beside the network, frames first; empty where it has none."""
    vectors: tuple[tuple[str, int], ...] = ()
    """As `Loaded.vectors`; more than one only while nobody has said what fills each."""

    def require_explained(self) -> None:
        """Raise when the file holds what may belong to the policy and is not in the actor: it must not be ported."""
        if not self.unexplained:
            return
        groups = list(dict.fromkeys(leftover.group for leftover in self.unexplained))
        shown = ", ".join(map(str, self.unexplained[:24]))
        rest = f" and {len(self.unexplained) - 24} more" if len(self.unexplained) > 24 else ""
        raise CheckpointError(
            f"{self.path}: the network built from it leaves out {shown}{rest}. That is no critic, optimiser or other "
            f"part of a training that {self.library} is known to write, so the policy may need it, and without it the "
            "port would prove another network. Where it does need it, port what the project's own exporter writes "
            "(TorchScript or ONNX). Where it does not, say so to export or remap by name: "
            + " ".join(f"--ignore '{group}'" for group in groups[:12])
            + " (in Python: load_policy(..., ignore=[...]))"
        )


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What one library's loader found; `load_policy` adds the rest."""

    version: str
    actor: Actor
    architecture: tuple[str, ...]
    distribution: str
    normaliser: NormaliserInfo | None = None
    leftovers: tuple[str, ...] = ()
    """What a graph holds and does not read. A graph says itself what it computes, so none of it is missing."""
    rest: tuple[Leftover, ...] = ()
    """What a file of bare tensors holds beside the actor, and keys of the configuration that nobody knows."""
    training: tuple[str, ...] = ()
    """Places of parts of the training in this file, beyond those of `TRAINING_ONLY`."""
    notes: tuple[str, ...] = ()
    clip: Mapping[str, np.ndarray] = field(default_factory=dict)
    """A reference motion beside the network; see `LoadedPolicy.clip`."""
    original: Callable[[], OriginalRunner] | None = None
    vectors: tuple[tuple[str, int], ...] = ()
    """Name and width of each vector that a graph reads, which are the actor's observation one after the other."""


NO_STATISTICS = "none"
"""What `LoadOptions.statistics` is where the user says that the run normalised no observations."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What the user knows about a file that the file itself may not say."""

    statistics: Path | str | None = None
    """File of VecNormalize's statistics, or `NO_STATISTICS`; looked for beside the file when None."""
    width: int | None = None
    """Width of the observation, taken where the file does not say it."""
    terms: tuple[tuple[str, int], ...] = ()
    """Name and width of each block of the contract's observation, which names that the file says are held against."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Output of an ONNX graph by the role that it has: `actions`, or the input of the state that it carries on."""
    activation: str | None = None
    """Activation name; overrides the agent configuration."""
    agent_yaml: Path | None = None
    """The trainer's configuration; looked for beside the file when None."""
    teacher: bool = False
    """Take the teacher of a distillation file instead of the student."""
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Height and width by image name, taken where the weights leave the size open and this one fits them."""
    mean: bool = False
    """Take the mean of every random number that a graph draws, instead of refusing the graph."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file read once; everything after this looks at these bytes only."""

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    container: str
    """"torch" (tensors in a pickle), "torchscript", "onnx", "sb3", or "lerobot" (a folder)."""
    members: dict[str, bytes] = field(repr=False)
    """The archive's members without the leading folder; empty for a file that is not an archive."""
    tree: dict[str, object] = field(repr=False)
    """The nested dict of tensors of a "torch" container; empty for the others."""
    wrappers: tuple[str, ...] = ()
    """Words of torch's wrappers that the file's names hold and those in `tree` don't."""
