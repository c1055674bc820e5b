"""What a contract's terms have MuJoCo measure beside joints and base: links, contact forces, rays to the ground."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, cross, turned_back
from policy_port.control.plant import LinkState, PlantState, Sensed
from policy_port.errors import RobotError, closest
from policy_port.plants.mujoco_columns import Columns
from policy_port.plants.mujoco_contacts import is_ground, touching
from policy_port.plants.scans import Rays, on_flat_ground, scan_ground

HIDDEN = 5
"""Group of the geoms that no ray sees."""


class Terrain:
    """What stands still in a model's world and the robot can touch: that alone stops the rays of a scan."""

    def __init__(self, model: mujoco.MjModel, base: int) -> None:
        """Look at a model that has its ground; `base` is the robot's base link."""
        mine = model.body_rootid[model.geom_bodyid] == base
        ground = is_ground(model) & ~mine
        touch = touching(model)[mine].any(axis=0)
        seen = (
            ground & touch if (ground & touch).any() else ground & ((model.geom_contype | model.geom_conaffinity) != 0)
        )
        # Rays see by group and by colour, so what they may see is said in a copy that nobody simulates or draws.
        self._model = copy.copy(model)
        self._model.geom_group[:] = np.where(seen, 0, HIDDEN)
        self._model.geom_matid[seen] = -1
        self._model.geom_rgba[seen, 3] = 1.0
        planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        # A plane is as large as it is drawn to a ray, and endless to a foot.
        self._model.geom_size[planes, :2] = 0.0
        self._data = mujoco.MjData(self._model)
        mujoco.mj_kinematics(self._model, self._data)
        level = planes & (self._data.geom_xmat[:, 8] > 1.0 - 1e-9)
        self._flat = float(self._data.geom_xpos[seen, 2].max()) if seen.any() and level[seen].all() else None
        self._groups = np.array([group != HIDDEN for group in range(mujoco.mjNGROUP)], dtype=np.uint8)
        self._hit = np.zeros((1, 1), dtype=np.int32)

    def distances(self, starts: Array, direction: Array) -> Array:
        """How far each ray goes [m], shape (rays,); negative where it hits nothing."""
        if self._flat is not None:
            return on_flat_ground(starts, direction, self._flat)
        return np.array([self._distance(start, direction) for start in starts])

    def _distance(self, start: Array, direction: Array) -> float:
        return mujoco.mj_ray(self._model, self._data, start, direction, self._groups, True, -1, self._hit)


class Contacts(NamedTuple):
    """Contacts of a state and what holds them, as MuJoCo's own memory, which its next step overwrites."""

    geom: NDArray[np.int32]
    address: NDArray[np.int32]
    dim: NDArray[np.int32]
    friction: Array
    frame: Array
    forces: Array

    @staticmethod
    def of(data: mujoco.MjData) -> Contacts:
        """Look at a state."""
        found = data.contact
        return Contacts(found.geom, found.efc_address, found.dim, found.friction, found.frame, data.efc_force)


class ContactForces:
    """Sums of contact forces on bodies of a model, in many states at once."""

    def __init__(self, model: mujoco.MjModel, links: Sequence[str], bodies: Sequence[int]) -> None:
        """Watch `bodies`, the links of these names."""
        row = np.full(model.nbody, -1, dtype=np.intp)
        row[list(bodies)] = np.arange(len(links))
        self._row = row[model.geom_bodyid]
        self._pyramidal = model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
        self._links = len(links)

    def read(self, states: Sequence[Contacts]) -> Array:
        """Sum up the contacts of each state's last physics step, in the world [N], shape (states, links, 3)."""
        geoms, addresses, dims, frictions, frames, forces = zip(*states, strict=True)
        rows = self._row[np.concatenate(geoms)]
        first = np.concatenate(addresses)
        # A contact that is not in force yet, or left out for want of memory, has no address.
        watched = np.flatnonzero((rows >= 0).any(axis=1) & (first >= 0))
        if not watched.size:
            return np.zeros((len(states), self._links, 3))
        state = np.repeat(np.arange(len(states)), [len(address) for address in addresses])[watched]
        start = np.cumsum([0, *(len(force) for force in forces)])
        every = np.concatenate([*forces, np.zeros(2 * 6)])[(first[watched] + start[state])[:, None] + np.arange(2 * 6)]
        dim = np.concatenate(dims).take(watched, 0)
        friction = np.concatenate(frictions).take(watched, 0)
        frame = np.concatenate(frames).take(watched, 0).reshape(-1, 3, 3)
        force = turned_back(self._in_frame(every, dim, friction), frame)
        # It is what the first geom does to the second.
        link = rows[watched].T.ravel()
        mine = np.flatnonzero(link >= 0)
        place = 3 * (np.tile(state * self._links, 2)[mine] + link[mine])[:, None] + np.arange(3)
        force = np.concatenate([-force, force])[mine]
        size = 3 * len(states) * self._links
        sums: Array = np.bincount(place.ravel(), force.ravel(), size)  # type: ignore[assignment]
        return sums.reshape(-1, self._links, 3)

    def _in_frame(self, every: Array, dim: NDArray[np.int32], friction: Array) -> Array:
        """Normal and two tangential forces of contacts, of the numbers at their addresses, shape (contacts, 3)."""
        flat = (dim == 1)[:, None]
        if not self._pyramidal:
            return np.where(flat & (np.arange(3) > 0), 0.0, every[:, :3])
        edges = np.arange(every.shape[1])[None, :]
        normal = np.where(edges < np.maximum(2 * (dim[:, None] - 1), 1), every, 0.0).sum(1)
        across = [(every[:, 2 * k] - every[:, 2 * k + 1]) * friction[:, k] for k in (0, 1)]
        return np.stack([normal, *(np.where(flat[:, 0], 0.0, force) for force in across)], 1)


def body_of(model: mujoco.MjModel, link: str, file: Path) -> int:
    """The body of a link that can touch something.

    Raises:
        RobotError: When there is none of that name, naming those that there are.
    """
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, link)
    if body > 0:
        return body
    names = [model.body(i).name for i in range(1, model.nbody) if model.body(i).name]
    raise no_such_link(link, names, file)


def no_such_link(link: str, names: Sequence[str], file: Path) -> RobotError:
    """The error of a contact term that names no link."""
    return RobotError(
        f"{file}: has no link '{link}', whose contacts a term reads{closest(link, names) or '.'} It has: "
        f"{', '.join(names)}. A site touches nothing; name the link that it is on"
    )


class MovingFrames:
    """Poses and velocities of bodies, or of sites, in many states at once."""

    def __init__(
        self,
        model: mujoco.MjModel,
        rows: Sequence[mujoco.MjData],
        kind: mujoco.mjtObj,
        indices: Sequence[int],
        links: Sequence[LinkState],
    ) -> None:
        """Watch frames of one kind, of these indices, in states that stay where they are; `links` are filled."""
        site = kind == mujoco.mjtObj.mjOBJ_SITE
        bodies = model.site_bodyid[list(indices)] if site else np.array(indices)

        def columns(name: str, places: Sequence[int] | NDArray[np.intp], width: int) -> Columns:
            chosen = [width * int(place) + k for place in places for k in range(width)]
            return Columns([getattr(data, name).reshape(-1) for data in rows], chosen)

        self._links, self._shape = links, (len(rows), len(links))
        self._pos = columns("site_xpos" if site else "xpos", indices, 3)
        self._axes = columns("site_xmat" if site else "xmat", indices, 9)
        self._quat = None if site else columns("xquat", indices, 4)
        self._velocity = columns("cvel", bodies, 6)
        self._centre = columns("subtree_com", model.body_rootid[bodies], 3)

    def read(self) -> None:
        """Fill the links, as mj_objectVelocity does; positions and velocities of bodies must be up to date."""
        pos, axes = self._pos.now().reshape(*self._shape, 3), self._axes.now().reshape(*self._shape, 3, 3)
        # MuJoCo's velocities are those of the point of the body at the tree's centre of mass.
        velocity, away = self._velocity.now().reshape(*self._shape, 2, 3), self._centre.now().reshape(pos.shape)
        linear = velocity[:, :, 1] - cross(pos - away, velocity[:, :, 0])
        ang_vel, lin_vel = (turned_back(vector, axes) for vector in (velocity[:, :, 0], linear))
        quat = self._quaternions(axes) if self._quat is None else self._quat.now().reshape(*self._shape, 4)
        for number, link in enumerate(self._links):
            link.pos[...], link.quat[...] = pos[:, number], quat[:, number]
            link.lin_vel[...], link.ang_vel[...] = lin_vel[:, number], ang_vel[:, number]

    def _quaternions(self, axes: Array) -> Array:
        quat = np.zeros((*self._shape, 4))
        for one, matrix in zip(quat.reshape(-1, 4), axes.reshape(-1, 9), strict=True):
            mujoco.mju_mat2Quat(one, matrix)
        return quat


class MujocoSensing:
    """Fills what is sensed, of all environments."""

    def __init__(
        self,
        model: mujoco.MjModel,
        rows: Sequence[mujoco.MjData],
        base: int,
        find: Callable[[str], tuple[mujoco.mjtObj, int]],
        sensed: Sensed,
        file: Path,
    ) -> None:
        """Find links and ground.

        Args:
            model: The model.
            rows: The environments' states, which stay where they are.
            base: The robot's base link.
            find: Finds a link or site by name.
            sensed: What is filled.
            file: The robot file, for messages.

        Raises:
            RobotError: When the robot has no such link.
        """
        self._rows, self.sensed = rows, sensed
        """What is filled."""
        found = [(*find(link), state) for link, state in sensed.links.items()]
        kinds = {kind: [(index, link) for other, index, link in found if other == kind] for kind, _, _ in found}
        self._frames = [MovingFrames(model, rows, kind, *zip(*some, strict=True)) for kind, some in kinds.items()]
        links = list(sensed.contacts)
        self._contacts = ContactForces(model, links, [body_of(model, link, file) for link in links]) if links else None
        self._seen = [Contacts.of(data) for data in rows]
        self._terrain = Terrain(model, base) if sensed.scans else None
        self._scans = [(scan, Rays(scan), ends) for scan, ends in sensed.scans]

    def look(self, row: int) -> None:
        """Take note of an environment's contacts: at once after its step, by the thread that did it."""
        if self._contacts is not None:
            self._seen[row] = Contacts.of(self._rows[row])

    def read(self, state: PlantState) -> None:
        """Measure; environments were looked at since they changed, bodies placed, and `state` is the present one."""
        for frames in self._frames:
            frames.read()
        if self._contacts is not None:
            for force, array in zip(
                np.moveaxis(self._contacts.read(self._seen), 1, 0), self.sensed.contacts.values(), strict=True
            ):
                array[...] = force
        if self._terrain is not None:
            scan_ground(self._terrain.distances, self._scans, state)
