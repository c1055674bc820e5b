"""The collision shapes of an MJCF, body by body."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np

from policy_port.plants.mujoco_file import HINGE_OR_SLIDE, compile_spec, parse_mjcf, read_mujoco, root_of
from policy_port.robot_models.link_shapes import CollisionShapes, LinkShapes


def mjcf_shapes(path: Path, joint_pos: Mapping[str, float]) -> CollisionShapes | None:
    """The shapes of the robot that has one of these joints; None where there is none.

    A shape collides where a bit of its masks is set, or a <pair> names it.

    Args:
        path: The file.
        joint_pos: Joint positions of the default pose [rad or m], by name.

    Raises:
        RobotError: When the file can't be parsed, or not be compiled without its meshes.
    """
    whole, bare = parse_mjcf(path), read_mujoco(path, meshes=False)
    first = next((joint for joint in whole.joints if joint.name in joint_pos), None)
    if first is None:
        return None
    model = compile_spec(bare.spec, path, bare.skipped_meshes)
    data = mujoco.MjData(model)
    for joint in bare.spec.joints:
        if joint.name in joint_pos and joint.type in HINGE_OR_SLIDE:
            data.qpos[model.jnt_qposadr[joint.id]] = joint_pos[joint.name]
    mujoco.mj_kinematics(model, data)
    centre = data.geom_xpos[:, 2]
    lowest = centre - [
        np.abs(mat[6:]) @ box[3:] - mat[6:] @ box[:3] for mat, box in zip(data.geom_xmat, model.geom_aabb, strict=True)
    ]
    root = root_of(first.parent, whole)
    found, places = [], []
    for body, same in zip(whole.bodies, bare.spec.bodies, strict=True):
        if body.name == whole.worldbody.name or root_of(body, whole) != root:
            continue
        touching, plain = _touching(body, whole), [geom.id for geom in _touching(same, bare.spec)]
        found.append(
            LinkShapes(
                name=body.name or f"body {same.id}, which has no name",
                parent=next((place for place, other in enumerate(places) if other == body.parent), None),
                moves=bool(body.joints),
                plain=len(plain),
                meshes=sum(geom.type == mujoco.mjtGeom.mjGEOM_MESH for geom in touching),
                height=float(data.xpos[same.id, 2]),
                centre=float(centre[plain].min(initial=np.inf)),
                lowest=float(lowest[plain].min(initial=np.inf)),
            )
        )
        places.append(body)
    return CollisionShapes(found)


def _touching(body: mujoco.MjsBody, spec: mujoco.MjSpec) -> list[mujoco.MjsGeom]:
    paired = {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    return [geom for geom in body.geoms if geom.contype or geom.conaffinity or (geom.name and geom.name in paired)]
