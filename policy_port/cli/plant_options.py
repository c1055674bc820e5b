"""Options of the commands that stand a robot up in a simulator."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import typer


class PlantName(StrEnum):
    """The simulators that a port can be played in."""

    MANISKILL = "maniskill"
    MUJOCO = "mujoco"
    NEWTON = "newton"


RobotOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="URDF, MJCF, for Newton USD, or a robot of ManiSkill; the contract's robot, if not given."
    ),
]
TaskOption = Annotated[str | None, typer.Option(help="Task on a plant instead of a command: so100-reach.")]
MeshesOption = Annotated[bool, typer.Option("--no-meshes", help="Leave every mesh of the robot out.")]


def parse_command(text: str) -> tuple[float, float, float]:
    """Three numbers of a velocity command.

    Raises:
        BadParameter: When they are not three, or not finite.
    """
    try:
        x, y, turn = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--command takes three numbers such as 0.5,0,0, given: {text}") from None
    if not all(map(math.isfinite, (x, y, turn))):
        raise typer.BadParameter(f"--command takes finite numbers, given: {text}")
    return x, y, turn
