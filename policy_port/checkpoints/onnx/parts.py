"""What a graph of LEAPP is made of: what is observed, the raw action, what becomes of it, and what is fed back."""

from __future__ import annotations

from dataclasses import dataclass

from policy_port.checkpoints.files.leapp_yaml import LeappModel, LeappTensor
from policy_port.checkpoints.onnx.blocks import Block, Number
from policy_port.checkpoints.onnx.formulas import Formula
from policy_port.checkpoints.onnx.meanings import Meaning


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one number of the raw action does."""

    output: LeappTensor
    """The output that it ends in."""
    element: int
    """Which element of that output."""
    number: Number | None
    """scale, offset and bounds of the target; None where the file does not say what the output is."""
    on_position: int | None = None
    """The element of the measured joint positions that it is added to."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A value of the graph that the observation takes the place of."""

    value: str
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]

    @property
    def width(self) -> int:
        """How many numbers of the observation it takes."""
        return sum(block.width for block in self.blocks)


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A graph taken apart."""

    model: LeappModel
    meanings: dict[str, Meaning]
    pieces: tuple[Piece, ...]
    """What is observed, in the network's order."""
    layout: dict[str, str] | None
    """How histories are laid out."""
    actions: tuple[str, ...]
    """Values whose numbers one after the other are the raw action."""
    targets: tuple[Target, ...]
    """In the order of the raw action."""
    raw_clip: tuple[float, float] | None
    """Bounds of the raw action."""
    last_action: dict[str, tuple[int, ...]]
    """By input that is fed back numbers of the raw action: which they are."""
    carried: dict[str, str]
    """The output that carries on each input which stays a state of the network."""
    gains: tuple[tuple[LeappTensor, Formula], ...]
    """Constant outputs of kind kp and kd, and their numbers."""
    unused: tuple[str, ...]
    """Outputs that are neither action nor gain nor fed back."""
    whole: tuple[str, ...]
    """Why the graph, or a part, was left as it is; nothing where it was taken apart."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The observation's blocks."""
        return tuple(block for piece in self.pieces for block in piece.blocks)
