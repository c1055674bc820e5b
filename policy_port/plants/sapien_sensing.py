"""What a contract's terms have SAPIEN measure beside joints and base: links, contact forces, rays to the ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import sapien
from sapien import physx

from policy_port.arrays import Array
from policy_port.control.plant import LinkState, PlantState, Sensed
from policy_port.plants.scans import Rays, on_flat_ground, scan_ground

FindLink = Callable[[str], physx.PhysxArticulationLinkComponent]


def read_link(link: physx.PhysxArticulationLinkComponent, centre_of_mass: Sequence[float], out: LinkState) -> None:
    """Fill pose and velocity of a link, each a vector; `centre_of_mass` is in its frame [m]."""
    pose = link.entity_pose
    out.pos[:] = pose.p
    quat = pose.q.tolist()
    out.quat[:] = quat
    wx, wy, wz = _into_frame(quat, link.angular_velocity.tolist())
    vx, vy, vz = _into_frame(quat, link.linear_velocity.tolist())
    # PhysX tells the velocity of the centre of mass; the frame's origin moves by the lever arm less.
    cx, cy, cz = centre_of_mass
    out.ang_vel[:] = wx, wy, wz
    out.lin_vel[:] = vx - (wy * cz - wz * cy), vy - (wz * cx - wx * cz), vz - (wx * cy - wy * cx)


def _into_frame(quat: list[float], vector: list[float]) -> tuple[float, float, float]:
    """A world vector in the axes of the frame whose orientation is `quat` (wxyz); plain numbers are quickest here."""
    w, x, y, z = quat
    a, b, c = vector
    # The inverse rotation: v + 2 u x (u x v + w v), with u the vector part turned round.
    d, e, f = z * b - y * c + w * a, x * c - z * a + w * b, y * a - x * b + w * c
    return a + 2.0 * (z * e - y * f), b + 2.0 * (x * f - z * d), c + 2.0 * (y * d - x * e)


class SapienSensing:
    """Fills what is sensed, of all environments.

    A robot stands alone on one level plane in SAPIEN, whose importer refuses everything else that it could touch: where
    a ray ends follows from the plane's height.
    """

    def __init__(
        self, robots: Sequence[tuple[sapien.Scene, FindLink]], ground: float, sensed: Sensed, timestep: float
    ) -> None:
        """Find links.

        Args:
            robots: Scene of each environment, and what finds a link in it by name.
            ground: Height of the ground [m].
            sensed: What is filled.
            timestep: Physics timestep [s].

        Raises:
            RobotError: When the robot has no such link.
        """
        self.sensed = sensed
        """What is filled."""
        self._ground = ground
        self._timestep = timestep
        self._scenes = [scene for scene, _ in robots]
        self._links = [
            [(link, link.cmass_local_pose.p.tolist(), state) for link, state in found]
            for found in ([(find(name), state) for name, state in sensed.links.items()] for _, find in robots)
        ]
        self._touching = [{find(name).entity: name for name in sensed.contacts} for _, find in robots]
        self._scans = [(scan, Rays(scan), ends) for scan, ends in sensed.scans]

    def read(self, state: PlantState, stepped: Sequence[bool]) -> None:
        """Measure; `state` is the present one, and `stepped` says which environments moved since their reset."""
        for row, links in enumerate(self._links):
            for link, centre, at in links:
                read_link(link, centre, LinkState(*(array[row] for array in at)))
        if self.sensed.contacts:
            for force in self.sensed.contacts.values():
                force[:] = 0.0
            for row in np.flatnonzero(stepped).tolist():
                self._read_contacts(row)
        scan_ground(self._distances, self._scans, state)

    def _read_contacts(self, row: int) -> None:
        """Impulses of the last physics step: what the second body does to the first."""
        names = self._touching[row]
        for contact in self._scenes[row].get_contacts():
            sides = [names.get(body.entity) for body in contact.bodies]
            if sides == [None, None]:
                continue
            impulse = np.sum([point.impulse for point in contact.points], axis=0, dtype=np.float64)
            for name, sign in zip(sides, (1.0, -1.0), strict=True):
                if name is not None:
                    self.sensed.contacts[name][row] += sign * impulse / self._timestep

    def _distances(self, starts: Array, direction: Array) -> Array:
        return on_flat_ground(starts, direction, self._ground)
