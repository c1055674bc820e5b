"""What a contract's terms have MuJoCo measure beside joints and base: links, contact forces, rays to the ground."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.plant import PlantState, Sensed
from policy_port.errors import RobotError, closest
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


class ContactForces:
    """Sums of contact forces on bodies of a model, in many states at once."""

    def __init__(self, model: mujoco.MjModel, links: Sequence[str], bodies: Sequence[int]) -> None:
        """Watch `bodies`, the links of these names."""
        row = np.full(model.nbody, -1, dtype=np.intp)
        row[list(bodies)] = np.arange(len(links))
        self._row = row[model.geom_bodyid]
        self._pyramidal = model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
        self._links = len(links)

    def read(self, states: Sequence[mujoco.MjData]) -> Array:
        """Sum up the contacts of each state's last physics step, in the world [N], shape (states, links, 3)."""
        values = np.zeros((len(states), self._links, 3))
        contacts = [data.contact for data in states]
        rows = self._row[np.concatenate([contact.geom for contact in contacts])]
        watched = np.flatnonzero((rows >= 0).any(axis=1))
        if not watched.size:
            return values
        state = np.repeat(np.arange(len(states)), [len(contact) for contact in contacts])[watched]
        first = np.concatenate([contact.efc_address for contact in contacts])[watched]
        # A contact that is not in force yet, or left out for want of memory, has no address.
        held = first >= 0
        watched, state, first = watched[held], state[held], first[held]
        forces = [data.efc_force for data in states]
        start = np.concatenate([[0], np.cumsum([len(force) for force in forces])])
        every = np.concatenate([*forces, np.zeros(2 * 6)])[(first + start[state])[:, None] + np.arange(2 * 6)]
        dim = np.concatenate([contact.dim for contact in contacts])[watched]
        friction = np.concatenate([contact.friction for contact in contacts])[watched]
        frame = np.concatenate([contact.frame for contact in contacts])[watched].reshape(-1, 3, 3)
        force = (frame * self._in_frame(every, dim, friction)[:, :, None]).sum(1)
        # It is what the first geom does to the second.
        for side, sign in ((0, -1.0), (1, 1.0)):
            mine = rows[watched, side] >= 0
            np.add.at(values, (state[mine], rows[watched][mine, side]), sign * force[mine])
        return values

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


class MujocoSensing:
    """Fills what is sensed, of all environments."""

    def __init__(
        self,
        model: mujoco.MjModel,
        base: int,
        find: Callable[[str], tuple[mujoco.mjtObj, int]],
        sensed: Sensed,
        file: Path,
    ) -> None:
        """Find links and ground.

        Args:
            model: The model.
            base: The robot's base link.
            find: Finds a link or site by name.
            sensed: What is filled.
            file: The robot file, for messages.

        Raises:
            RobotError: When the robot has no such link.
        """
        self._model = model
        self.sensed = sensed
        """What is filled."""
        self._frames = [(*find(link), state) for link, state in sensed.links.items()]
        links = list(sensed.contacts)
        self._contacts = ContactForces(model, links, [body_of(model, link, file) for link in links]) if links else None
        self._terrain = Terrain(model, base) if sensed.scans else None
        self._scans = [(scan, Rays(scan), ends) for scan, ends in sensed.scans]
        self._velocity = np.zeros(6)

    def read(self, rows: Sequence[mujoco.MjData], state: PlantState) -> None:
        """Measure; positions and velocities of bodies must be up to date, and `state` the present one."""
        for kind, index, link in self._frames:
            for row, data in enumerate(rows):
                if kind == mujoco.mjtObj.mjOBJ_SITE:
                    link.pos[row] = data.site_xpos[index]
                    mujoco.mju_mat2Quat(link.quat[row], data.site_xmat[index])
                else:
                    link.pos[row], link.quat[row] = data.xpos[index], data.xquat[index]
                mujoco.mj_objectVelocity(self._model, data, kind, index, self._velocity, 1)
                link.ang_vel[row], link.lin_vel[row] = self._velocity[:3], self._velocity[3:]
        if self._contacts is not None:
            for force, array in zip(
                np.moveaxis(self._contacts.read(rows), 1, 0), self.sensed.contacts.values(), strict=True
            ):
                array[...] = force
        if self._terrain is not None:
            scan_ground(self._terrain.distances, self._scans, state)
