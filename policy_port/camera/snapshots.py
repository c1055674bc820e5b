"""A folder of pictures and the joint positions that they were taken at: what `camera solve` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from policy_port.camera.shots import POSES
from policy_port.camera.stills import write_still
from policy_port.errors import CameraError, PolicyPortError
from policy_port.files import write_atomic


def add_snapshot(folder: Path, frame: NDArray[np.uint8], joint_pos: Mapping[str, float]) -> Path:
    """Add a picture to a folder, which is made where it is not there.

    Args:
        folder: Where pictures and poses.yaml are.
        frame: RGB, shape (rows, columns, 3), as the camera gives it.
        joint_pos: By name [rad].

    Returns:
        The picture.

    Raises:
        CameraError: When the poses.yaml there is none, or is in another unit.
        OutputError: When nothing can be written there.
    """
    file = folder / POSES
    document: dict[str, Any] = {"poses_version": 1, "unit": "rad", "pictures": []}
    if file.exists():
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            taken = {item["file"] for item in document["pictures"]}
        except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
            raise CameraError(f"{file}: is no table of pictures and joint positions; name another folder") from None
        if document.get("unit") != "rad":
            raise CameraError(f"{file}: is in {document.get('unit')}, the arm in rad; name another folder")
    else:
        taken = set()
    number = next(n for n in range(10_000) if f"picture_{n:02d}.png" not in taken)
    picture = folder / f"picture_{number:02d}.png"
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_still(picture, frame)
        positions = {name: round(float(value), 5) for name, value in joint_pos.items()}
        document["pictures"].append({"file": picture.name, "joint_pos": positions})
        write_atomic(file, yaml.safe_dump(document, sort_keys=False, width=200))
    except PolicyPortError:
        picture.unlink(missing_ok=True)
        if made:
            folder.rmdir()
        raise
    return picture
