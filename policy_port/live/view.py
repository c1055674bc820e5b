"""What a live view is: it shows the robot and passes on what a person wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policy_port.arrays import Array


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is shown at one moment."""

    place: Array
    """Positions of the links in the world [m], shape (links, 3)."""
    turn: Array
    """Their orientations, wxyz, shape (links, 4)."""
    ghost: tuple[Array, Array] | None
    """The same of the reference motion; None where the port that plays follows none."""
    text: str
    """Time, port and state in words."""


class View(Protocol):
    """A window or a page."""

    address: str
    """Where to look, in words."""

    def show(self, frame: Frame) -> None:
        """Show one moment."""
        ...

    def close(self) -> None:
        """Free the window or the socket. Calling it twice is harmless."""
        ...
