"""Who touches whom in a MuJoCo model, and whether a robot can stand on the ground."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.errors import RobotError

DEEP = 0.01
"""How far a shape that can't touch the ground may reach below those that can [m]."""


def touching(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Which geoms collide, by MuJoCo's rules, shape (geoms, geoms)."""
    types, affinities, weld = model.geom_contype, model.geom_conaffinity, model.body_weldid[model.geom_bodyid]
    touch = (types[:, None] & affinities[None, :]) != 0
    touch |= touch.T
    touch &= weld[:, None] != weld[None, :]
    if not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT:
        above = model.body_weldid[model.body_parentid[weld]]
        child = (above[:, None] == weld[None, :]) & (weld[:, None] != 0) & (weld[None, :] != 0)
        touch &= ~(child | child.T)
    for signature in model.exclude_signature:
        first, second = (model.geom_bodyid == int(body) for body in divmod(int(signature), 1 << 16))
        touch[np.ix_(first, second)] = touch[np.ix_(second, first)] = False
    for one, other in zip(model.pair_geom1, model.pair_geom2, strict=True):
        touch[one, other] = touch[other, one] = True
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CONTACT:
        touch[:] = False
    return touch


def on_fixed_base(model: mujoco.MjModel) -> dict[int, int]:
    """Bodies that hang on one that is fixed and can touch it, and that one: elsewhere, such links never touch."""
    touch, found = touching(model), {}
    for one, other in np.argwhere(touch).tolist():
        child, base = int(model.geom_bodyid[one]), int(model.geom_bodyid[other])
        if base and model.body_weldid[base] == 0 and model.body_weldid[model.body_parentid[child]] == 0:
            found[int(model.body_weldid[child])] = base
    return found


def fixed_base_left_out(model: mujoco.MjModel) -> tuple[str, ...]:
    """That links can touch the fixed base on which they hang, a clause each."""
    return tuple(
        f"that link '{model.body(child).name}' can touch the fixed '{model.body(base).name}', on which it hangs"
        for child, base in on_fixed_base(model).items()
    )


def is_ground(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Which geoms stand still in the world, shape (geoms,)."""
    return model.body_weldid[model.geom_bodyid] == 0


class Footing:
    """What of a robot can touch the ground, and how far down it reaches."""

    def __init__(self, model: mujoco.MjModel, base_body: int) -> None:
        """Find it in a model that has its ground; `base_body` is the robot's base link."""
        self._model = model
        self._ground = is_ground(model)
        mine = model.body_rootid[model.geom_bodyid] == base_body
        feet = mine & touching(model)[:, self._ground].any(axis=1)
        self._feet = np.flatnonzero(feet)
        self._lost = np.flatnonzero(mine & ~feet & ((model.geom_contype | model.geom_conaffinity) != 0))
        self._planes = np.flatnonzero((model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & self._ground)

    def lowest(self, data: mujoco.MjData) -> float | None:
        """Height of the lowest point over the ground that it can touch [m]; None when nothing can.

        Args:
            data: A state whose kinematics are up to date.
        """
        ground = float(data.geom_xpos[self._planes[0], 2]) if self._planes.size else 0.0
        return min((_lowest_of_geom(self._model, data, int(geom)) - ground for geom in self._feet), default=None)

    def refuse_lost_feet(self, data: mujoco.MjData, path: Path) -> None:
        """Raise a RobotError that names a shape which collides, can't touch the ground, and would sink into it.

        Args:
            data: The robot in its default pose.
            path: The robot file, for the message.
        """
        model = self._model
        if not self._feet.size:
            return
        footing = min(_lowest_of_geom(model, data, int(geom)) for geom in self._feet)
        for geom in self._lost:
            depth = footing - _lowest_of_geom(model, data, int(geom))
            if depth > DEEP:
                body = model.body(model.geom_bodyid[geom]).name
                named = f"'{model.geom(geom).name}' of body '{body}'" if model.geom(geom).name else f"of body '{body}'"
                raise RobotError(
                    f"{path}: shape {named} reaches {depth:.3f} m below all that can touch the ground, and would sink "
                    f"into it: its contype is {model.geom_contype[geom]} and its conaffinity "
                    f"{model.geom_conaffinity[geom]}, the ground's are {_masks(model, self._ground)}. Give it a bit in "
                    "common with the ground, or a <pair> with a floor of the file, or 0 and 0 where it is only to be "
                    "seen"
                )


def _masks(model: mujoco.MjModel, ground: NDArray[np.bool_]) -> str:
    pairs = dict.fromkeys(
        f"{model.geom_contype[g]} and {model.geom_conaffinity[g]}"
        for g in np.flatnonzero(ground)
        if model.geom_contype[g] | model.geom_conaffinity[g]
    )
    return ", ".join(pairs) or "0 and 0"


def _lowest_of_geom(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height of a geom's lowest point [m]: its support in the direction of gravity."""
    down = data.geom_xmat[geom][6:9]
    size, height = model.geom_size[geom], float(data.geom_xpos[geom][2])
    kinds = mujoco.mjtGeom
    match kinds(model.geom_type[geom]):
        case kinds.mjGEOM_SPHERE:
            reach = size[0]
        case kinds.mjGEOM_CAPSULE:
            reach = size[0] + abs(down[2]) * size[1]
        case kinds.mjGEOM_CYLINDER:
            reach = size[0] * np.hypot(down[0], down[1]) + abs(down[2]) * size[1]
        case kinds.mjGEOM_ELLIPSOID:
            reach = np.linalg.norm(down * size)
        case kinds.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first = model.mesh_vertadr[mesh]
            vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
            reach = -float((vertices @ down).min())
        case _:
            reach = np.abs(down * size).sum()
    return height - float(reach)
