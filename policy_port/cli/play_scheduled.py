"""What a schedule, pushes, several ports and a view bring to `policy-port play`: options, and what is to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from policy_port.live.view import View
    from policy_port.live.watched import Watched
    from policy_port.live.wishes import Wishes
    from policy_port.plants.mujoco_twin import Twin
    from policy_port.port.pilot import Pilot
    from policy_port.replay.held import Held
    from policy_port.replay.schedule import Schedule
    from policy_port.replay.scheduled import Scheduled

VIEWS = ("browser", "mujoco")
"""Where --view shows the robot."""
VIEW_HOST, VIEW_PORT = "127.0.0.1", 8080
"""Where --view listens unless --view-host and --view-port say otherwise: on this machine alone."""

PortsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="PORT...",
        help="Port folder, from `remap` or `export`; several take turns on one robot by --schedule or --view. With "
        "--real also so100-reach, the embedded policy.",
    ),
]
ScheduleOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With --plant: commands over time, pushes, and which port plays when; YAML, see docs/playing.md.",
    ),
]
PushOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar='"AT LINK X Y Z"',
        help='With --plant: a push at a link, "2.0 torso_link 0 30 0": at 2 s, 30 N s along y of the world; after it, '
        "if need be, base for the base's axes and how long it lasts [s], 0.1 if not given. Repeatable.",
    ),
]
ViewOption = Annotated[
    str | None,
    typer.Option(
        metavar="[browser|mujoco]",
        help="With --plant: show the robot in real time in the browser, or, if that is said, in MuJoCo's viewer, "
        "with command, pushes, pause and reset at hand, until Ctrl-C or for --seconds.",
    ),
]
ViewHostOption = Annotated[
    str | None, typer.Option(metavar="HOST", help="Address that --view listens at; 127.0.0.1, if not given.")
]
ViewPortOption = Annotated[
    int | None, typer.Option(min=0, max=65535, help="TCP port of --view; 8080, if not given; 0 for any that is free.")
]

GamepadOption = Annotated[
    str | None,
    typer.Option(
        metavar="[DEVICE]",
        help="With --view: a gamepad at the controls, the only one that is plugged in or this device, such as "
        "/dev/input/js0.",
    ),
]
THE_ONE = "the one that is plugged in"
"""What --gamepad is without a device."""


class ViewCommand(TyperCommand):
    """Typer has no option whose value may be left out: `--view` alone is `--view browser`; --gamepad finds its own."""

    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        """Write the value that was left out."""
        told = [word for at, word in enumerate(args) for word in _with_value(word, args[at + 1 : at + 2])]
        return super().parse_args(ctx, told)  # type: ignore[arg-type]


def _with_value(word: str, following: list[str]) -> list[str]:
    if word == "--gamepad" and not any(map(_is_device, following)):
        return [word, THE_ONE]
    return [word, VIEWS[0]] if word == "--view" and following[:1] not in ([view] for view in VIEWS) else [word]


def _is_device(word: str) -> bool:
    """Whether a word behind --gamepad is its device, not a port or another option."""
    path = Path(word)
    return word.startswith("/dev/") or path.name.startswith("js") or (path.exists() and not path.is_dir())


def read_schedule(file: Path | None, pushes: list[str] | None) -> Schedule | None:
    """The schedule of --schedule and every --push; None where neither is given."""
    if file is None and not pushes:
        return None
    from policy_port.replay.schedule import Schedule, load_schedule, parse_push

    schedule = Schedule() if file is None else load_schedule(file)
    return schedule.with_pushes(tuple(parse_push(text) for text in pushes or ()))


def port_names(ports: Sequence[Path]) -> dict[str, Path]:
    """The port folders by name.

    Raises:
        BadParameter: When two have the same name.
    """
    named = {path.resolve().name: path for path in ports}
    if len(named) < len(ports):
        names = [path.resolve().name for path in ports]
        twice = next(name for name in names if names.count(name) > 1)
        raise typer.BadParameter(
            f"two ports are called '{twice}', and a schedule knows them by their folders' names: rename a folder, or "
            "give each port once"
        )
    return named


def scheduled(ports: Mapping[str, Pilot], held: Held, schedule: Schedule | None, *, viewed: bool) -> Scheduled:
    """What is to be done with several ports or under a schedule.

    Raises:
        TaskError: When ports and schedule do not fit.
    """
    from policy_port.replay.schedule import Schedule, played_ports
    from policy_port.replay.scheduled import Scheduled

    schedule = schedule or Schedule()
    if viewed and not schedule.ports:
        # Somebody looks on who can hand the controls over.
        return Scheduled(held=held, schedule=schedule, ports=dict(ports), told_live=True)
    return Scheduled(held=held, schedule=schedule, ports=played_ports(schedule, ports), told_live=viewed)


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How --view shows the robot."""

    kind: str
    """One of VIEWS."""
    host: str | None
    """Address to listen at."""
    port: int | None
    """TCP port."""
    robot: str
    """The robot to show."""
    meshes: bool
    """False shows no meshes."""
    timestep: float | None
    """Physics timestep instead of the contract's [s]."""
    gamepad: str | None = None
    """Device of the gamepad at the controls, or THE_ONE."""


def watched(asked: Scheduled, pilot: Pilot, options: ViewOptions) -> Watched:
    """The same before somebody's eyes.

    Raises:
        MissingDependencyError: When the view can't be opened here.
    """
    from policy_port.live.gamepad import Gamepad, find_gamepad
    from policy_port.live.watched import Watched, require_viser
    from policy_port.plants.setup import PlantSetup

    def in_browser(twin: Twin, wishes: Wishes) -> View:
        from policy_port.live.browser import BrowserView

        port = VIEW_PORT if options.port is None else options.port
        return BrowserView(twin, wishes, host=options.host or VIEW_HOST, port=port)

    def in_window(twin: Twin, wishes: Wishes) -> View:
        from policy_port.live.window import WindowView

        return WindowView(twin, wishes)

    if options.kind == VIEWS[0]:
        require_viser()
    pad = None
    if options.gamepad is not None:
        pad = Gamepad(find_gamepad(None if options.gamepad == THE_ONE else options.gamepad))
    return Watched(
        gamepad=pad,
        asked=asked,
        robot=options.robot,
        setup=PlantSetup.from_contract(pilot.contract, timestep=options.timestep),
        meshes=options.meshes,
        open_view=in_browser if options.kind == VIEWS[0] else in_window,
        say=lambda text: typer.echo(text, err=True),
    )
