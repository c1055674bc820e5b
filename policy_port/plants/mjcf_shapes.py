"""Who touches whom in an MJCF, and how slippery it is, as SAPIEN needs it said: groups and materials of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.plants.collision_groups import collision_classes
from policy_port.plants.mujoco_contacts import Footing, is_ground, touching
from policy_port.plants.sapien_physics import Shape
from policy_port.plants.setup import PlantSetup


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Collision shapes of a robot and its ground."""

    of_body: dict[int, tuple[Shape, ...]]
    """Of each body, in the order of its geoms."""
    ground: Shape
    """The ground's."""
    ground_height: float
    """[m]"""


class WorldOfShapes:
    """The geoms of a robot and of the world around it."""

    def __init__(self, model: mujoco.MjModel, path: Path, root: int) -> None:
        """Look at the tree of body `root`.

        Raises:
            RobotError: When the robot can touch something that is not one level plane.
        """
        self._model, self._path, self._root = model, path, root
        self._touch = touching(model)
        mine = model.body_rootid[model.geom_bodyid] == root
        self._mine = np.flatnonzero(mine & self._touch.any(axis=1))
        self._ground, self.ground_height = self._find_ground(mine)

    def touches(self, geom: int) -> bool:
        """Whether a geom of the robot touches anything at all."""
        return geom in self._mine

    def _find_ground(self, mine: NDArray[np.bool_]) -> tuple[int | None, float]:
        model, data = self._model, mujoco.MjData(self._model)
        mujoco.mj_kinematics(model, data)
        others = np.flatnonzero(~mine & self._touch[mine].any(axis=0))
        planes = [geom for geom in others if _is_level_plane(model, data, int(geom))]
        for geom in others:
            if geom not in planes[:1]:
                kind = mujoco.mjtGeom(model.geom_type[geom]).name.removeprefix("mjGEOM_").lower()
                called = f" '{model.geom(geom).name}'" if model.geom(geom).name else ""
                body = model.body(model.geom_bodyid[geom]).name
                raise RobotError(
                    f"{self._path}: the robot can touch the {kind}{called} of body '{body}', and in SAPIEN it stands "
                    "alone on one level plane. Take the shape out of the file, or use --plant mujoco"
                )
        if not planes:
            level = (geom for geom in np.flatnonzero(is_ground(model)) if _is_level_plane(model, data, int(geom)))
            planes = list(level)[:1]
        return (int(planes[0]), float(data.geom_xpos[planes[0], 2])) if planes else (None, 0.0)

    def groups_and_friction(self, setup: PlantSetup) -> Shapes:
        """What to give SAPIEN's shapes, in the geoms' order.

        Raises:
            RobotError: When a foot can't touch the ground, or the masks are too many for SAPIEN.
        """
        model = self._model
        if setup.falls:
            data = mujoco.MjData(model)
            for joint in setup.joints:
                data.qpos[model.joint(joint.name).qposadr[0]] = joint.default
            mujoco.mj_kinematics(model, data)
            Footing(model, self._root).refuse_lost_feet(data, self._path)
        geoms = [*self._mine.tolist(), *([] if self._ground is None else [self._ground])]
        groups = self._groups(geoms)
        effective = np.array([self._friction_on_ground(geom, setup) for geom in self._mine])
        ground = min([setup.friction, *effective.tolist()])
        of_body: dict[int, tuple[Shape, ...]] = {}
        for geom, bits, friction in zip(self._mine.tolist(), groups, effective.tolist(), strict=False):
            # PhysX takes the mean of two materials, MuJoCo the larger or the one of priority: on the ground it is
            # MuJoCo's that comes out.
            shape = Shape(groups=(bits[0], bits[1], 0, 0), friction=2.0 * friction - ground)
            body = int(model.geom_bodyid[geom])
            of_body[body] = (*of_body.get(body, ()), shape)
        last = groups[-1] if self._ground is not None else (0, 0)
        return Shapes(
            of_body=of_body,
            ground=Shape(groups=(last[0], last[1], 0, 0), friction=ground),
            ground_height=self.ground_height,
        )

    def _groups(self, geoms: list[int]) -> list[tuple[int, int]]:
        model, body = self._model, self._model.geom_bodyid[geoms]
        touch = self._touch[np.ix_(geoms, geoms)]
        # PhysX never lets a link touch itself or the link that it hangs on, whatever the groups say.
        parent = model.body_parentid[body]
        near = (
            (body[:, None] == body[None, :]) | (parent[:, None] == body[None, :]) | (parent[None, :] == body[:, None])
        )
        near &= (body[:, None] != 0) & (body[None, :] != 0)
        for one, other in zip(model.pair_geom1, model.pair_geom2, strict=True):
            if one in geoms and other in geoms and near[geoms.index(one), geoms.index(other)]:
                raise RobotError(
                    f"{self._path}: <contact><pair> of '{model.geom(one).name}' and '{model.geom(other).name}': one's "
                    "body hangs on the other's, and such links never touch in SAPIEN. Take the pair out, or use "
                    "--plant mujoco"
                )
        groups = collision_classes(touch, ~near)
        if groups is None:
            raise RobotError(
                f"{self._path}: contype, conaffinity, <exclude> and <pair> part its shapes into more than 32 kinds, "
                "which is all that SAPIEN can tell apart. Use --plant mujoco"
            )
        return groups

    def _friction_on_ground(self, geom: int, setup: PlantSetup) -> float:
        """Friction between a geom and the ground as MuJoCo has it."""
        model, ground = self._model, self._ground
        if ground is None or not self._touch[geom, ground]:
            return max(float(model.geom_friction[geom, 0]), setup.friction)
        for pair, ends in enumerate(zip(model.pair_geom1, model.pair_geom2, strict=True)):
            if set(ends) == {geom, ground}:
                return _sliding(model.pair_dim[pair], model.pair_friction[pair])
        both = np.array([geom, ground])
        first = both[model.geom_priority[both] == model.geom_priority[both].max()]
        return _sliding(model.geom_condim[first].max(), model.geom_friction[first].max(axis=0))


def _sliding(dimensions: int, friction: Array) -> float:
    return float(friction[0]) if dimensions > 1 else 0.0


def _is_level_plane(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> bool:
    upright = data.geom_xmat[geom][8] > 1.0 - 1e-9
    return bool(model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE and upright and is_ground(model)[geom])
