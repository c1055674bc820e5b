"""What may be given to `policy-port play`, and what goes together."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from policy_port import counts
from policy_port.cli.arm_options import ArmOptions
from policy_port.cli.plant_options import (
    DynamicsOption,
    MeshesOption,
    PlantName,
    RobotOption,
    SimBackend,
    SupervisorOption,
    TaskOption,
)
from policy_port.cli.play_scheduled import (
    VIEWS,
    GamepadOption,
    PortsArgument,
    PushOption,
    ScheduleOption,
    ViewHostOption,
    ViewOption,
    ViewPortOption,
)

EPISODES = 100
"""What --episodes is where nobody gives it."""


class Device(StrEnum):
    """Where Newton's physics runs."""

    CPU = "cpu"
    CUDA = "cuda"


OutOption = Annotated[Path, typer.Option(help="Folder for trace and metrics; it must not exist yet.")]
EnvOption = Annotated[str | None, typer.Option(metavar="ID", help="ManiSkill task environment.")]
PlantOption = Annotated[PlantName | None, typer.Option(help="Simulator for a robot driven from the contract.")]
CommandOption = Annotated[
    str | None,
    typer.Option(
        metavar="VX,VY,WZ",
        help="Velocity command [m/s, m/s, rad/s], with --plant; or elements by name: 'lin_vel_x=0.5 base_height=0.7'.",
    ),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="With --plant, length of an episode [s]; under --command 10, if not given. With --real, of each episode "
        "of a policy that reads no goal.",
    ),
]
EpisodesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=counts.EPISODES,
        help="Episodes of --env or --task, 100 if not given; with --seconds one per environment.",
    ),
]
GoalOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N,N,N",
        help="With --plant: what a goal or external term of the contract is held at, before its scale; NAME=draw draws "
        "it from its range in each episode. Repeatable.",
    ),
]
MotionOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With --plant: the clip that a policy is to follow, .npz, .csv or .pkl; the port's, if not given.",
    ),
]
NumEnvsOption = Annotated[
    int, typer.Option(min=1, max=counts.ENVS, help="Environments at a time; with --env on physx_cpu each is a process.")
]
SeedOption = Annotated[
    int, typer.Option(min=0, max=counts.SEED, help="Seed of the first episode; episode e has seed + e.")
]
ThroughOption = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="Mapping that the port was made with: the simulator speaks its source side."),
]
TimestepOption = Annotated[
    float | None, typer.Option(help="Physics timestep instead of the contract's [s], with --plant.")
]
ControlModeOption = Annotated[str | None, typer.Option(help="Controller of the environment, with --env.")]
ProcessesOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=counts.PROCESSES,
        help="Share the environments of --plant out among processes; the numbers stay the same.",
    ),
]
TraceOption = Annotated[
    bool | None,
    typer.Option(
        "--trace/--no-trace",
        help="With --plant newton: --no-trace keeps statistics alone, and the whole loop on --device. So it is beyond "
        "256 environments, unless --trace is given.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class PlayOptions:
    """What is given on the command line."""

    ports: PortsArgument
    out: OutOption
    env: EnvOption = None
    plant: PlantOption = None
    robot: RobotOption = None
    dynamics: DynamicsOption = None
    command: CommandOption = None
    seconds: SecondsOption = None
    goal: GoalOption = None
    motion: MotionOption = None
    schedule: ScheduleOption = None
    push: PushOption = None
    view: ViewOption = None
    view_host: ViewHostOption = None
    view_port: ViewPortOption = None
    gamepad: GamepadOption = None
    task: TaskOption = None
    supervisor: SupervisorOption = None
    episodes: EpisodesOption = None
    num_envs: NumEnvsOption = 1
    seed: SeedOption = 0
    through: ThroughOption = None
    timestep: TimestepOption = None
    sim_backend: Annotated[SimBackend, typer.Option(help="Where ManiSkill's physics runs.")] = SimBackend.CPU
    device: Annotated[Device, typer.Option(help="Where Newton's physics runs.")] = Device.CPU
    processes: ProcessesOption = 1
    trace: TraceOption = None
    control_mode: ControlModeOption = None
    no_meshes: MeshesOption = False
    video: Annotated[bool, typer.Option("--video", help="Write video.mp4 of environment 0, 20 s at most.")] = False
    plot: Annotated[bool, typer.Option("--plot", help="Write plot.png.")] = False
    report: Annotated[bool, typer.Option("--report", help="Write report.html, which needs no other file.")] = False
    rerun: Annotated[bool, typer.Option("--rerun", help="Write replay.rrd for rerun.io; needs rerun-sdk.")] = False
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that is already there.")] = False
    arm: ArmOptions

    @property
    def port(self) -> Path:
        """The first port."""
        return self.ports[0]

    @property
    def staged(self) -> bool:
        """Whether more happens than one port under what is held."""
        return bool(self.schedule or self.push or self.view or len(self.ports) > 1)


GOES_WITH: dict[tuple[str, ...], frozenset[str]] = {
    ("--plant",): frozenset(
        {
            *("plant", "command", "goal", "motion", "schedule", "push", "view", "view_host", "view_port", "gamepad"),
            *("timestep", "no_meshes", "processes", "trace", "supervisor"),
        }
    ),
    ("--plant", "--real"): frozenset({"robot", "seconds", "task"}),
    ("--env", "--plant"): frozenset({"video", "force", "rerun", "num_envs"}),
    ("--env", "--real"): frozenset({"control_mode"}),
}
"""Options that mean nothing to some of the three ways to play, by the ways that they go with."""


def check_stage(options: PlayOptions) -> None:
    """Refuse what does not go together, of a stage whose port may not be there yet: it may bring a clip to follow."""
    told = (options.command, options.task, options.motion, options.env)
    if str(options.port).startswith("@") and told == (None,) * 4:
        options = replace(options, motion=options.port)
    check_options(options)


def check_options(options: PlayOptions) -> None:
    """Refuse what does not go together.

    Raises:
        BadParameter: When options contradict each other, or one would not be used.
    """
    if options.arm.real:
        if len(options.ports) > 1:
            raise typer.BadParameter(f"an arm is driven by one port, {len(options.ports)} are given: give --real one")
        if strays := _strays(options, "--real"):
            raise typer.BadParameter(f"{strays} does not go with --real")
        return
    options.arm.check_unused()
    _check_way(options)
    if options.processes > options.num_envs:
        needed = options.processes
        raise typer.BadParameter(f"--processes {needed} needs as many environments: give --num-envs {needed}")


def _strays(options: PlayOptions, way: str) -> str:
    """The given options that do not go with a way to play, as the command line writes them; "" for none."""
    foreign = {name for ways, names in GOES_WITH.items() if way not in ways for name in names}
    given = [f.name for f in fields(options) if f.name in foreign and getattr(options, f.name) != f.default]
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def _check_way(options: PlayOptions) -> None:
    if (options.env is None) == (options.plant is None):
        raise typer.BadParameter("give exactly one of --env (a ManiSkill task) and --plant (a robot on flat ground)")
    way, other = ("--plant", "--env") if options.env is None else ("--env", "--plant")
    if strays := _strays(options, way):
        raise typer.BadParameter(f"{strays} goes with {other}")
    _check_staged(options)
    if options.plant is None:
        if options.sim_backend is SimBackend.CPU and options.num_envs > counts.PROCESSES:
            raise typer.BadParameter(
                f"--num-envs {options.num_envs}: with --env on physx_cpu each is a process, and "
                f"{counts.PROCESSES} are the most"
            )
        return
    if options.supervisor is not None and options.task is None:
        raise typer.BadParameter(
            "--supervisor goes with --task: it says when an arm that reaches would be stopped; add --task so100-reach"
        )
    from policy_port.port.format import MOTION

    follows = options.motion is not None or (options.port / MOTION).is_file()
    tells = options.schedule is not None or options.view is not None or follows
    if (options.command is not None and options.task is not None) or (
        options.command is None and options.task is None and options.seconds is None and not tells
    ):
        if options.push:
            raise typer.BadParameter(
                "--push says when the robot is pushed, not what it does: give --command or --seconds beside it, or "
                "write the push into --schedule"
            )
        raise typer.BadParameter(
            "with --plant, give exactly one of --command (walk) and --task (so100-reach), or --seconds alone for a "
            "policy that reads no velocity command, --motion for one that follows a clip, --schedule for what changes "
            "over time, or --view to play it yourself"
        )
    if options.task is not None and (options.seconds is not None or options.goal or options.motion):
        stray = "--motion" if options.motion else "--goal" if options.goal else "--seconds"
        raise typer.BadParameter(f"{stray} does not go with --task: the task has goals and a length of its own")
    if options.seconds is not None and not 0.0 < options.seconds <= counts.DAY:
        raise typer.BadParameter(
            f"--seconds takes a finite length above 0, a day ({counts.DAY:g} s) at most, given: {options.seconds:g}"
        )


def _check_staged(options: PlayOptions) -> None:
    """Refuse what goes with neither several ports, a schedule nor a view."""
    several = len(options.ports) > 1
    if options.task is not None and options.staged:
        stray = "--schedule" if options.schedule else "--push" if options.push else "--view" if options.view else ""
        raise typer.BadParameter(
            f"{stray or 'a second port'} does not go with --task: the task tells what is to be done"
        )
    if several and options.plant is None:
        raise typer.BadParameter(
            f"{len(options.ports)} ports take turns on one robot with --plant; give one with --env"
        )
    if several and options.schedule is None and options.view is None:
        raise typer.BadParameter(
            f"{len(options.ports)} ports are given; say when each plays with --schedule, or hand over by --view"
        )
    if several and options.motion is not None:
        raise typer.BadParameter("--motion goes with one port; of several each follows the clip in its own folder")
    if options.view is not None and options.view not in VIEWS:
        raise typer.BadParameter(f"--view is {' or '.join(VIEWS)}, given: {options.view}")
    if options.view is not None and options.num_envs > 1:
        raise typer.BadParameter("--view shows one robot: leave out --num-envs")
    if options.view is None and options.gamepad is not None:
        raise typer.BadParameter("--gamepad goes with --view: whoever steers looks on")
    if options.view != VIEWS[0] and (options.view_host is not None or options.view_port is not None):
        raise typer.BadParameter("--view-host and --view-port go with --view in the browser")
