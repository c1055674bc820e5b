"""Options of the commands that stand a robot up in a simulator."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

VELOCITY_COMMAND: tuple[str, str, str] = ("lin_vel_x", "lin_vel_y", "ang_vel_z")
"""What three numbers alone are: the contract's elements, written down so that `--help` reads no contract."""

if TYPE_CHECKING:
    from policy_port.contract import Contract
    from policy_port.plants.supervised import ArmLimits
    from policy_port.replay.goals import Goal


class PlantName(StrEnum):
    """The simulators that a port can be played in."""

    MANISKILL = "maniskill"
    MUJOCO = "mujoco"
    NEWTON = "newton"


class SimBackend(StrEnum):
    """Where ManiSkill's physics runs."""

    CPU = "physx_cpu"
    CUDA = "physx_cuda"


RobotOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="URDF, MJCF, for Newton USD, or a robot of ManiSkill; the contract's robot, if not given."
    ),
]
DynamicsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="dynamics.yaml of the robot: the simulator, or emulated arm, behaves like it."),
]


class Randomise(StrEnum):
    """What each environment's dynamics are drawn from."""

    POSTERIOR = "posterior"


RandomiseOption = Annotated[
    Randomise | None,
    typer.Option(help="Draw each environment's dynamics: from the posterior in the file of --dynamics."),
]
StopsOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=20,
        help="On an arm: a stop by its supervisor ends the episode as failed; so many in a row end the run.",
    ),
]
SupervisorOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Robot file of the arm, with --task so100-reach: targets are limited as on it, and an episode that its "
        "supervisor would stop has failed.",
    ),
]
TaskOption = Annotated[str | None, typer.Option(help="Task on a plant instead of a command: so100-reach.")]
MeshesOption = Annotated[bool, typer.Option("--no-meshes", help="Leave every mesh of the robot out.")]


def arm_limits(supervisor: str | None, contract: Contract) -> ArmLimits | None:
    """What the supervisor of an arm lets through and stops; None where none is named.

    Raises:
        RobotError: When it is no robot file, or the policy is not of that arm.
    """
    if supervisor is None:
        return None
    from policy_port.errors import RobotError
    from policy_port.robots.arm.preflight import check_contract
    from policy_port.robots.arm.robot_file import load_robot_file

    robot = load_robot_file(supervisor)
    if robot.name != contract.robot:
        raise RobotError(
            f"--supervisor {supervisor}: is of an {robot.name}, and contract '{contract.name}' is of {contract.robot}: "
            "another robot. Give that arm's robot file, or leave --supervisor out"
        )
    check_contract(contract, robot, None)
    return robot.limits


def parse_command(text: str) -> dict[str, float]:
    """Elements of a command by name.

    Args:
        text: Three numbers of a velocity (0.5,0,0), elements by name (lin_vel_x=0.5 base_height=0.7), or both.

    Raises:
        BadParameter: When one is written otherwise, given twice, or not finite.
    """
    parts = [part for part in re.split(r"[\s,]+", text.strip()) if part]
    plain = [part for part in parts if "=" not in part]
    if len(plain) not in (0, 3) or parts[: len(plain)] != plain or not parts:
        raise typer.BadParameter(
            f"--command takes three numbers such as 0.5,0,0 or names such as lin_vel_x=0.5, given: {text}"
        )
    found: dict[str, float] = {}
    for name, _, value in [
        *((name, "=", value) for name, value in zip(VELOCITY_COMMAND, plain, strict=False)),
        *(part.partition("=") for part in parts[len(plain) :]),
    ]:
        if name in found:
            raise typer.BadParameter(f"--command gives {name} twice; give it once")
        # As in a YAML: no underscores and no digits of other scripts, which float() takes.
        if not (value.isascii() and "_" not in value and _is_number(value)):
            raise typer.BadParameter(
                f"--command takes numbers: three such as 0.5,0,0 or by name such as lin_vel_x=0.5, given: {text}"
            )
        found[name] = float(value)
    if not all(map(math.isfinite, found.values())):
        raise typer.BadParameter(f"--command takes finite numbers, given: {text}")
    return found


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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
