"""Height scans, whatever the simulator: where rays begin and point, and where they end on flat ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.sensing import Scan
from policy_port.control.plant import PlantState
from policy_port.plants.places import Pose


class Rays:
    """The rays of one scan, carried by a link."""

    def __init__(self, scan: Scan) -> None:
        """Lay them out in the link's frame."""
        self._turning = scan.turning
        self._grid = np.column_stack([np.array(scan.points).reshape(-1, 2), np.full(len(scan.points), scan.start)])

    def at(self, pos: Array, quat: Array) -> tuple[Array, Array]:
        """Starts [m], shape (rays, 3), and their common direction, shape (3,), in the world.

        Args:
            pos: The link's origin [m], shape (3,).
            quat: Its orientation, wxyz.
        """
        down = np.array([0.0, 0.0, -1.0])
        if self._turning == "world":
            return pos + self._grid, down
        axes = Pose.of(pos, quat).rotation
        if self._turning == "link":
            return pos + self._grid @ axes.T, axes @ down
        length = float(np.hypot(axes[0, 0], axes[1, 0])) or 1.0
        cos, sin = axes[0, 0] / length, axes[1, 0] / length
        return pos + self._grid @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]), down


def on_flat_ground(starts: Array, direction: Array, ground: float) -> Array:
    """How far rays go to a level plane seen from above [m], shape (rays,); negative where they don't meet it."""
    if direction[2] >= 0.0:
        return np.full(len(starts), -1.0)
    return (ground - starts[:, 2]) / direction[2]


Distances = Callable[[Array, Array], Array]
"""How far rays go, of their starts and their direction [m]; negative where they hit nothing."""


def scan_ground(distances: Distances, scans: Sequence[tuple[Scan, Rays, Array]], state: PlantState) -> None:
    """Fill the scans of every environment from where the links that carry them are in `state`."""
    for scan, rays, out in scans:
        link = None if scan.link is None or state.sensed is None else state.sensed.links[scan.link]
        pos, quat = (state.base_pos, state.base_quat) if link is None else (link.pos, link.quat)
        for row in range(len(pos)):
            starts, direction = rays.at(pos[row], quat[row])
            found = distances(starts, direction)
            ends = starts + found[:, None] * direction
            ends[(found < 0.0) | (found > scan.reach)] = np.nan
            out[row] = ends.reshape(-1)
