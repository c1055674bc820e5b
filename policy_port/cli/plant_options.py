"""Options of the commands that stand a robot up in a simulator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from policy_port.replay.goals import Goal


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


def parse_goals(given: list[str] | None) -> dict[str, Goal]:
    """Goals by the term's name.

    Args:
        given: `NAME=1,2,3`, in which `187*0` is 187 zeros; or `NAME=draw`.

    Raises:
        BadParameter: When one is written otherwise, or a name is given twice.
    """
    found: dict[str, Goal] = {}
    for text in given or ():
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--goal takes NAME=1,2,3 or NAME=draw, given: {text}")
        if name in found:
            raise typer.BadParameter(f"--goal {name} is given twice; give it once")
        try:
            found[name] = "draw" if value == "draw" else tuple(_numbers(value))
        except ValueError:
            raise typer.BadParameter(f"--goal {name} takes finite numbers such as 0.3,0,0.2, given: {value}") from None
    return found


def _numbers(text: str) -> Iterator[float]:
    for part in text.split(","):
        count, times, number = part.rpartition("*")
        value, repeats = float(number), int(count) if times else 1
        if not math.isfinite(value) or not 1 <= repeats <= 1_000_000:
            raise ValueError(part)
        yield from (value,) * repeats
