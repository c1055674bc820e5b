"""Pictures of an arm at known joint positions out of a LeRobotDataset, as the folder that `camera solve` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.camera.shots import POSES
from policy_port.errors import CameraError, closest
from policy_port.files import output_folder
from policy_port.robots.jobs.dataset import IMAGE, STATE, dataset_class

INFO = Path("meta") / "info.json"
"""What makes a folder a LeRobotDataset."""
SLOWEST = 0.3
"""The share of an episode's frames that pictures are taken of, those in which the arm moves least: a picture is older
than the positions beside it."""
FEWEST = 5
"""As few as `camera solve` takes."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Which pictures of a dataset."""

    dataset: Path
    """The LeRobotDataset."""
    episode: int = 0
    """Number of the episode."""
    camera: str | None = None
    """Name of the camera in the dataset; its only one, if None."""
    count: int = 16
    """How many pictures, of poses as different as there are."""


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a LeRobotDataset."""
    return (folder / INFO).is_file()


def write_poses(recorded: Recorded, out: Path, *, force: bool = False) -> None:
    """Write pictures and poses.yaml, in LeRobot's numbers.

    Args:
        recorded: Which pictures.
        out: The folder that is made.
        force: Whether one that is there is replaced.

    Raises:
        CameraError: When the dataset can't be read, or has no such episode, camera, or too few poses.
        MissingDependencyError: When LeRobot's dataset parts are not installed.
    """
    where = recorded.dataset
    try:
        made = dataset_class()(repo_id=f"local/{where.name}", root=where)
    except (OSError, ValueError, KeyError) as cause:
        raise CameraError(f"{where}: LeRobot can't read this dataset: {cause}") from cause
    key, names = _features(made.meta, recorded)
    columns = made.hf_dataset.select_columns([STATE, "episode_index"]).with_format("numpy")
    episodes = np.asarray(columns["episode_index"]).reshape(-1)
    rows = np.flatnonzero(episodes == recorded.episode)
    if not len(rows):
        raise CameraError(
            f"{where}: has no episode {recorded.episode}; it has {len(np.unique(episodes))}, counted from 0 (--episode)"
        )
    states = np.stack([np.asarray(columns[int(row)][STATE], np.float64) for row in rows])
    chosen = apart(states, recorded.count)
    if len(chosen) < FEWEST:
        raise CameraError(
            f"{where}: the arm of episode {recorded.episode} stands still in {len(chosen)} poses that differ; "
            f"{FEWEST} are the least. Name another episode (--episode)"
        )
    table = {"poses_version": 1, "unit": "lerobot", "pictures": []}
    with output_folder(out, force) as folder:
        for index in chosen:
            file = f"{recorded.episode}_{index:05}.png"
            cv2.imwrite(str(folder / file), _pixels(made[int(rows[index])][key])[..., ::-1])
            positions = dict(zip(names, np.round(states[index], 4).tolist(), strict=True))
            table["pictures"].append({"file": file, "joint_pos": positions})
        text = yaml.safe_dump(table, sort_keys=False, default_flow_style=None, width=200)
        (folder / POSES).write_text(text, encoding="utf-8")


def apart(states: Array, count: int) -> list[int]:
    """Rows in which an arm hardly moves, as different from each other as there are.

    Args:
        states: Joint positions, shape (rows, joints).
        count: How many at most.
    """
    speed = np.abs(np.gradient(states, axis=0)).max(axis=1) if len(states) > 1 else np.zeros(len(states))
    slow = np.flatnonzero(speed <= np.quantile(speed, SLOWEST))
    # Joints count alike, whatever their units.
    spread = states[slow] / np.maximum(np.ptp(states, axis=0), 1e-9)
    chosen = [0]
    distance = np.linalg.norm(spread - spread[0], axis=1)
    while len(chosen) < count and distance.max() > 0.05:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(spread - spread[chosen[-1]], axis=1))
    return sorted(int(slow[row]) for row in chosen)


def _features(meta: Any, recorded: Recorded) -> tuple[str, list[str]]:
    """The feature of the pictures, and the joints' names."""
    where, cameras = recorded.dataset, [key.removeprefix(IMAGE) for key in meta.camera_keys]
    if not cameras:
        raise CameraError(f"{where}: holds no pictures")
    camera = recorded.camera or cameras[0]
    if camera not in cameras or (recorded.camera is None and len(cameras) > 1):
        stray = f"has no camera '{camera}'{closest(camera, cameras) or '.'} It has"
        absent = stray if recorded.camera else "has cameras"
        raise CameraError(f"{where}: {absent} {', '.join(cameras)}; name one with --camera")
    names = (meta.features.get(STATE) or {}).get("names")
    if not isinstance(names, list):
        raise CameraError(f"{where}: names no joints under features {STATE}")
    return IMAGE + camera, [str(name) for name in names]


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """A picture as LeRobot gives it, colours first and 0 to 1, as bytes, shape (rows, columns, 3)."""
    values = np.asarray(picture, np.float32).transpose(1, 2, 0)
    return np.round(255.0 * values).astype(np.uint8)
