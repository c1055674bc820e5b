"""Where episodes of an environment start, as its camera sees them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.camera.env_file import EnvFile
from policy_port.camera.scene import sensor_view, stand_of

REBUILT = 10
"""Every so many resets the scene is built anew: sizes, colours and fields of view are drawn then only."""
HIDDEN = 0.5
"""Share of an object's pixels from which the robot hides it."""
MOVES = 1e-4
"""An object is what starts elsewhere from time to time [m]."""
LARGE = 512
"""Rows of the picture of all starts, about."""
LINE = (255, 220, 0)


@dataclass(frozen=True)
class Start:
    """One object at one reset."""

    position: Array
    """In the environment's frame [m], shape (3,)."""
    pixels: NDArray[np.bool_]
    """Where it is seen, shape (rows, columns)."""
    whole: int
    """Pixels that it would take without the robot."""
    cut: bool
    """The picture's edge cuts it off."""


@dataclass(frozen=True)
class Resets:
    """What many resets showed."""

    pictures: list[NDArray[np.uint8]]
    """The camera's picture after each, RGB."""
    starts: dict[str, list[Start]]
    """Each object's, by its name."""
    stand: tuple[Any, Any]
    """Where the robot stands in the environment: position [m], rotation wxyz."""
    box: Array | None
    """Corners of where objects are put, in the environment's frame [m], shape (4, 3)."""
    corners: Array | None
    """The same in the picture [pixels], shape (4, 2)."""

    def lines(self) -> list[str]:
        """What a person should know, a line each."""
        position, rotation = (np.round(part, 4).tolist() for part in self.stand)
        found = [f"robot_pose: {{position: {position}, rotation: {rotation}}}"]
        for name, starts in self.starts.items():
            seen = [bool(start.whole) and start.pixels.sum() >= HIDDEN * start.whole for start in starts]
            hidden = [bool(start.whole) and not there for start, there in zip(starts, seen, strict=True)]
            outside, cut = [start.whole == 0 for start in starts], [start.cut for start in starts]
            low, high = (np.round(part([s.position for s in starts], axis=0), 3).tolist() for part in (np.min, np.max))
            found.append(
                f"{name}: starts from {low} to {high} m; seen in {np.mean(seen):.0%} of {len(starts)} resets, hidden "
                f"by the robot in {np.mean(hidden):.0%}, outside of the picture in {np.mean(outside):.0%}, cut off by "
                f"its edge in {np.mean(cut):.0%}"
            )
        return found if self.starts else [*found, "nothing starts elsewhere from reset to reset"]

    def overlaid(self) -> NDArray[np.uint8]:
        """All starts in one picture, with the box in which objects are put, RGB."""
        usual = np.median(np.stack(self.pictures), axis=0).astype(np.uint8)
        for starts in self.starts.values():
            for picture, start in zip(self.pictures, starts, strict=True):
                usual[start.pixels] = picture[start.pixels]
        times = max(1, LARGE // usual.shape[0])
        large = usual.repeat(times, axis=0).repeat(times, axis=1)
        if self.corners is not None and np.isfinite(self.corners).all():
            edges = np.round((self.corners + 0.5) * times).astype(np.int32)
            cv2.polylines(large, [edges], isClosed=True, color=LINE, thickness=2, lineType=cv2.LINE_AA)
        return large


def record(made: Any, given: EnvFile, *, count: int, seed: int = 0) -> Resets:
    """Reset an environment again and again, as it randomises.

    Args:
        made: The environment, as `open_scene` opens it.
        given: Its file.
        count: Resets.
        seed: Of the first; the next ones follow from it.
    """
    base, camera = made.unwrapped, given.camera_name
    rounds: list[tuple[NDArray[np.uint8], dict[str, Start]]] = []
    for index in range(count):
        observation, _ = made.reset(seed=seed + index, options={"reconfigure": index % REBUILT == 0})
        rounds.append(_look(base, observation["sensor_data"][camera], camera))
    names = [name for name in rounds[0][1] if all(name in starts for _, starts in rounds)]
    starts = {name: [one[name] for _, one in rounds] for name in names}
    moving = {
        name: found
        for name, found in starts.items()
        if np.ptp([start.position for start in found], axis=0).max() > MOVES or count == 1
    }
    stand = stand_of(base)
    box = _box(base, moving)
    view = sensor_view(base, camera) if given.camera is None or given.image is None else given.drawn_view()
    rows, columns = rounds[0][0].shape[:2]
    if view.size[0] * columns == view.size[1] * rows:
        view = view.resized((rows, columns))
    corners = None if box is None else view.in_frame(*stand).project(box)[0]
    return Resets([picture for picture, _ in rounds], moving, stand, box, corners)


def _look(base: Any, shown: Any, camera: str) -> tuple[NDArray[np.uint8], dict[str, Start]]:
    picture = shown["rgb"][0].cpu().numpy().astype(np.uint8)
    labels = shown["segmentation"][0, ..., 0].cpu().numpy()
    with _without_robot(base):
        alone = base._get_obs_sensor_data()[camera]["segmentation"][0, ..., 0].cpu().numpy()
    starts = {}
    for name, actor in base.scene.actors.items():
        label = int(actor.per_scene_id[0])
        whole = alone == label
        edge = bool(whole[[0, -1]].any() or whole[:, [0, -1]].any())
        position = actor.pose.p[0].cpu().numpy().astype(np.float64)
        starts[re.sub(r"-\d+$", "", name)] = Start(position, labels == label, int(whole.sum()), edge)
    # What has no shape, such as a camera's mount, is never seen and is no object.
    shaped = {re.sub(r"-\d+$", "", name) for name, actor in base.scene.actors.items() if _has_shape(actor)}
    return picture, {name: start for name, start in starts.items() if name in shaped}


def _has_shape(actor: Any) -> bool:
    return any("RenderBody" in type(part).__name__ for entity in actor._objs for part in entity.components)


@contextlib.contextmanager
def _without_robot(base: Any) -> Iterator[None]:
    from copy import deepcopy

    robot = base.agent.robot
    place = deepcopy(robot.pose.raw_pose)
    away = place.clone()
    away[:, 2] -= 50.0
    try:
        robot.set_pose(type(robot.pose).create(away))
        yield
    finally:
        robot.set_pose(type(robot.pose).create(place))


def _box(base: Any, starts: dict[str, list[Start]]) -> Array | None:
    """Where the environment says that it puts objects, else the smallest box around where they were."""
    half, middle = getattr(base, "spawn_box_half_size", None), getattr(base, "spawn_box_pos", None)
    if half is not None and middle is not None:
        low = stand_of(base)[0][:2] + np.asarray(middle[:2], np.float64) - float(half)
        high = low + 2.0 * float(half)
    elif starts:
        positions = np.array([start.position[:2] for found in starts.values() for start in found])
        low, high = positions.min(axis=0), positions.max(axis=0)
    else:
        return None
    return np.array([[low[0], low[1], 0.0], [high[0], low[1], 0.0], [high[0], high[1], 0.0], [low[0], high[1], 0.0]])
