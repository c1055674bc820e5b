"""Finding a robot model by path or by the name of a robot that ManiSkill ships."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from policy_port.errors import MissingDependencyError, RobotError, closest

MANISKILL_ROBOTS = {"so100": "so100/so100.urdf", "panda": "panda/panda_v2.urdf"}
"""Robots in the ManiSkill package, by name: path below its robots folder."""

USD_SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")
"""What Newton alone reads."""


ROBOT_FILES = {".xml", ".urdf", ".mjcf", ".stl", ".obj", ".dae", ".glb", ".ply"}
"""Endings of the files that make a robot; those in the robot file's folder and below count."""


def robot_files(path: Path) -> list[Path]:
    """The files that make the robot of a robot file."""
    folder = path.resolve().parent
    return [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in ROBOT_FILES and file.is_file()]


def find_robot(name_or_path: str | Path) -> Path:
    """Path of a robot file.

    Args:
        name_or_path: A URDF, MJCF or USD file, or the name of a robot that comes with ManiSkill, such as "so100".

    Raises:
        RobotError: When there is no such file or name, or its ending is none of these.
        MissingDependencyError: When the name needs ManiSkill and it is not installed.
    """
    path = Path(name_or_path)
    if path.is_file():
        if path.suffix.lower() not in (".urdf", ".xml", ".mjcf", *USD_SUFFIXES):
            raise RobotError(
                f"{path}: a robot file ends in .urdf, .xml or .mjcf, or for Newton in {', '.join(USD_SUFFIXES)}"
            )
        return path
    if path.is_dir():
        found = sorted(str(file) for kind in ("*.urdf", "*.xml") for file in path.glob(kind))
        inside = f"; it holds {', '.join(found)}" if found else ""
        raise RobotError(f"{path}: is a folder, give a robot file{inside}")
    name = str(name_or_path)
    if name not in MANISKILL_ROBOTS:
        raise RobotError(
            f"robot {name}: no such file{closest(name, MANISKILL_ROBOTS) or '.'} Give --robot (in a suite, "
            f"robot:) a URDF or MJCF file, or one of: {', '.join(MANISKILL_ROBOTS)}"
        )
    # find_spec tells where the package lies without running it: importing ManiSkill takes seconds.
    package = importlib.util.find_spec("mani_skill")
    if package is None or package.origin is None:
        raise MissingDependencyError(
            f"robot '{name}' comes with ManiSkill, which is not installed: pip install 'policy-port[sim]'"
        )
    return Path(package.origin).parent / "assets" / "robots" / MANISKILL_ROBOTS[name]
