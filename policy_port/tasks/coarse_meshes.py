"""Visual meshes with fewer triangles, for pictures so small that nobody sees the difference.

Software renderers spend their time on triangles: ManiSkill's SO100 has 60,000 of them, of which a picture of 64 x 64
can show the least part.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien.render import RenderBodyComponent, RenderShapeTriangleMesh

Mesh = tuple[NDArray[np.float32], NDArray[np.uint32]]
"""Vertices [m], shape (count, 3), and triangles by their vertices' indices, shape (count, 3)."""


def coarsen(link: Any, cell: float) -> None:
    """Draw a link with coarse meshes, in the same colours and places.

    Args:
        link: ManiSkill's link, in every environment.
        cell: Vertices in the same cube of this side become one [m]: no surface moves by more than its diagonal.
    """
    for one in link._objs:
        old = one.entity.find_component_by_type(RenderBodyComponent)
        if old is None:
            continue
        new = RenderBodyComponent()
        for shape in old.render_shapes:
            if not isinstance(shape, RenderShapeTriangleMesh):
                new.attach(shape.clone())
                continue
            for part in shape.parts:
                scaled = np.asarray(part.vertices * shape.scale, np.float64)
                corners = np.asarray(part.triangles, np.int64)
                vertices, triangles, upright = _drawn(scaled.tobytes(), corners.tobytes(), cell)
                if not len(triangles):
                    continue
                uvs = np.zeros((len(vertices), 2), np.float32)
                drawn = RenderShapeTriangleMesh(vertices, triangles, upright, uvs, part.material)
                drawn.local_pose = sapien.Pose(shape.local_pose.p, shape.local_pose.q)
                new.attach(drawn)
        one.entity.remove_component(old)
        one.entity.add_component(new)


@functools.lru_cache(maxsize=64)
def _drawn(
    vertices: bytes, triangles: bytes, cell: float
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32]]:
    """The coarse mesh with its normals; every environment, and each that is made anew, draws the same ones."""
    found = np.frombuffer(vertices).reshape(-1, 3)
    coarse, corners = clustered(found, np.frombuffer(triangles, np.int64).reshape(-1, 3), cell)
    return coarse, corners, normals(coarse, corners)


def clustered(vertices: NDArray[Any], triangles: NDArray[Any], cell: float) -> Mesh:
    """A mesh whose vertices in one cube became their mean; triangles that collapsed or came twice are gone."""
    _, index = np.unique(np.floor(vertices / cell), axis=0, return_inverse=True)
    index = index.reshape(-1)
    means = np.stack([np.bincount(index, vertices[:, axis]) for axis in range(3)], axis=1)
    means /= np.bincount(index)[:, None]
    joined = index[np.asarray(triangles, dtype=np.int64)]
    sides = joined[:, [0, 1, 2]] != joined[:, [1, 2, 0]]
    joined = joined[sides.all(axis=1)]
    # The same three corners the same way round are one surface, wherever the list of them begins.
    first = joined.argmin(axis=1)[:, None]
    turned = np.take_along_axis(joined, (first + np.arange(3)) % 3, axis=1)
    return means.astype(np.float32), np.unique(turned, axis=0).astype(np.uint32)


def normals(vertices: NDArray[np.float32], triangles: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Normal of each vertex: of the triangles around it, by their areas, shape (count, 3)."""
    corners = vertices[triangles.astype(np.int64)]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    found = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(found, triangles[:, corner].astype(np.int64), faces)
    return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)).astype(np.float32)
