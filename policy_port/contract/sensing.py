"""What a contract's terms have a plant measure beside joints and base: other links, contacts, torques, the ground."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Turning = Literal["yaw", "world", "link"]
"""What a scan's grid turns with: the link's yaw alone, nothing, or the link, which tilts its rays too."""


class Scan(NamedTuple):
    """Parallel rays to the ground, in a grid that a link carries."""

    name: str
    """Name of its array in a trace."""
    link: str | None
    """The link that carries it; None for the base."""
    turning: Turning
    """What the grid turns with."""
    points: tuple[tuple[float, float], ...]
    """Where each ray stands in the grid, x and y from the link's origin [m]."""
    start: float
    """How far above the link's origin rays begin [m]."""
    reach: float
    """How far a ray goes [m]."""


class Sensing(NamedTuple):
    """What is measured because a term reads it; nothing else costs a plant time."""

    links: tuple[str, ...] = ()
    """Links and sites whose pose and velocity are read."""
    contacts: tuple[str, ...] = ()
    """Links whose contact force is read."""
    effort: bool = False
    """Whether torques of the drives are read."""
    scans: tuple[Scan, ...] = ()
    """Scans of the ground."""

    @staticmethod
    def of(parts: Iterable[Sensing]) -> Sensing:
        """Everything that is read, each thing once."""
        every = list(parts)
        return Sensing(
            links=tuple(dict.fromkeys(link for part in every for link in part.links)),
            contacts=tuple(dict.fromkeys(link for part in every for link in part.contacts)),
            effort=any(part.effort for part in every),
            scans=tuple(scan for part in every for scan in part.scans),
        )

    def columns(self, joints: int) -> dict[str, int]:
        """Name and width of the array of each measurement, on a plant of so many joints."""
        widths = (("link_pos", 3), ("link_quat", 4), ("link_lin_vel", 3), ("link_ang_vel", 3))
        found = {f"{name}_{link}": width for link in self.links for name, width in widths}
        found |= {f"contact_force_{link}": 3 for link in self.contacts}
        found |= {"joint_effort": joints} if self.effort else {}
        return found | {scan.name: 3 * len(scan.points) for scan in self.scans}
