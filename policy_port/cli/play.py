"""`policy-port play`: let a port drive a robot, in a simulator or on the desk, and say how well."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port.cli.options import takes
from policy_port.cli.plant_options import (
    DynamicsOption,
    MeshesOption,
    PlantName,
    RobotOption,
    SimBackend,
    TaskOption,
    parse_command,
    parse_goals,
)
from policy_port.cli.play_scheduled import (
    VIEWS,
    GamepadOption,
    PortsArgument,
    PushOption,
    ScheduleOption,
    ViewHostOption,
    ViewOption,
    ViewOptions,
    ViewPortOption,
    port_names,
    read_schedule,
    scheduled,
    watched,
)

if TYPE_CHECKING:
    from policy_port.contract import Contract
    from policy_port.motion.motion import Motion
    from policy_port.port.pilot import Pilot
    from policy_port.replay.play import EpisodeJob, Held, Performance
    from policy_port.replay.schedule import Schedule

EPISODES, SECONDS = 100, 10.0
"""What --episodes and --seconds are where nobody gives them; [s]."""


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
    typer.Option(min=1, help="Episodes of --env or --task, 100 if not given; with --seconds one per environment."),
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
    int, typer.Option(min=1, help="Environments at a time; with --env on physx_cpu each is a process.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the first episode; episode e has seed + e.")]
ThroughOption = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="Mapping that the port was made with: the simulator speaks its source side."),
]
TimestepOption = Annotated[
    float | None, typer.Option(help="Physics timestep instead of the contract's [s], with --plant.")
]
ControlModeOption = Annotated[str | None, typer.Option(help="Controller of the environment, with --env.")]
RealOption = Annotated[bool, typer.Option("--real", help="Drive the arm of a robot file; see docs/so100.md.")]
EmulatedOption = Annotated[bool, typer.Option("--emulated", help="With --real: an emulated arm, to rehearse with.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="SPEC", help="Fault of the emulated arm; `emulate --faults` lists them."),
]
ContinuousOption = Annotated[
    bool, typer.Option("--continuous", help="With --real: no Enter before each step. Not for the first run.")
]
FastOption = Annotated[
    bool, typer.Option("--fast", help="With --real --emulated: its time passes as fast as this machine computes.")
]
DatasetOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="With --real: write the run as a LeRobotDataset; it must not exist yet."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="With --real --env: env.yaml; its camera, crop and check before anything moves."),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="With --config: go on in spite of this finding of its check. Repeatable."),
]
AskOption = Annotated[
    bool, typer.Option("--ask", help="With --real: ask after each episode whether it succeeded, and write it down.")
]
ProcessesOption = Annotated[
    int, typer.Option(min=1, help="Share the environments of --plant out among processes; the numbers stay the same.")
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

DAY = 86_400.0
"""The longest episode [s]."""


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
    real: RealOption = False
    emulated: EmulatedOption = False
    continuous: ContinuousOption = False
    fault: FaultOption = None
    dataset: DatasetOption = None
    fast: FastOption = False
    config: ConfigOption = None
    accept: AcceptOption = None
    ask: AskOption = False

    @property
    def port(self) -> Path:
        """The first port."""
        return self.ports[0]

    @property
    def staged(self) -> bool:
        """Whether more happens than one port under what is held."""
        return bool(self.schedule or self.push or self.view or len(self.ports) > 1)


GOES_WITH: dict[str, tuple[str, ...]] = {
    "robot": ("--plant", "--real"),
    "plant": ("--plant",),
    "command": ("--plant",),
    "seconds": ("--plant", "--real"),
    "goal": ("--plant",),
    "motion": ("--plant",),
    "schedule": ("--plant",),
    "push": ("--plant",),
    "view": ("--plant",),
    "view_host": ("--plant",),
    "view_port": ("--plant",),
    "gamepad": ("--plant",),
    "task": ("--plant", "--real"),
    "timestep": ("--plant",),
    "video": ("--env", "--plant"),
    "force": ("--env", "--plant"),
    "rerun": ("--env", "--plant"),
    "no_meshes": ("--plant",),
    "num_envs": ("--env", "--plant"),
    "processes": ("--plant",),
    "trace": ("--plant",),
    "control_mode": ("--env", "--real"),
}
"""Options that mean nothing to some of the three ways to play, and the ways that they go with."""


@takes(PlayOptions)
def play(options: PlayOptions) -> None:
    """Replay a port in a ManiSkill environment (--env), on flat ground (--plant) or on an arm (--real); measure it."""
    if options.real:
        if len(options.ports) > 1:
            raise typer.BadParameter(f"an arm is driven by one port, {len(options.ports)} are given: give --real one")
        if strays := _strays(options, "--real"):
            raise typer.BadParameter(f"{strays} does not go with --real")
        _play_on_arm(options)
        return
    if options.emulated or options.continuous or options.fault or options.dataset or options.fast:
        raise typer.BadParameter("--emulated, --continuous, --fault, --fast and --dataset go with --real")
    if options.config is not None or options.accept or options.ask:
        raise typer.BadParameter("--config, --accept and --ask go with --real")
    _check_way(options)
    if options.processes > options.num_envs:
        needed = options.processes
        raise typer.BadParameter(f"--processes {needed} needs as many environments: give --num-envs {needed}")
    _play_in_simulator(options)


def _play_on_arm(options: PlayOptions) -> None:
    from policy_port.cli.play_real import ArmOptions, WorkOptions, play_on_arm
    from policy_port.cli.real_outputs import OutputOptions

    play_on_arm(
        options.port,
        through=options.through,
        work=WorkOptions(
            task=options.task,
            env=options.env,
            seconds=options.seconds,
            control_mode=options.control_mode,
            episodes=options.episodes or (EPISODES if options.seconds is None else 1),
            seed=options.seed,
            config=options.config,
            accept=tuple(options.accept or ()),
            ask=options.ask,
        ),
        arm=ArmOptions(
            robot=options.robot,
            emulated=options.emulated,
            faults=options.fault or [],
            continuous=options.continuous or options.fast,
            dynamics=options.dynamics,
            fast=options.fast,
        ),
        outputs=OutputOptions(out=options.out, plot=options.plot, report=options.report, dataset=options.dataset),
    )


def _play_in_simulator(options: PlayOptions) -> None:
    # A mistake in writing is told before anything is read.
    if options.command is not None:
        parse_command(options.command)
    parse_goals(options.goal)
    schedule, named = read_schedule(options.schedule, options.push), port_names(options.ports)

    from policy_port.contract import load_mapping
    from policy_port.dynamics.document import load_dynamics
    from policy_port.files import output_folder
    from policy_port.port.folder import load_port
    from policy_port.replay import play as replay
    from policy_port.replay.rerun_log import require_rerun

    if options.rerun:
        # Before the simulator starts, not after it has run.
        require_rerun()
    through = None if options.through is None else load_mapping(options.through)
    pilots = {name: load_port(path).pilot(through) for name, path in named.items()}
    pilot, job = _job(options, pilots, schedule)
    job = _on_device(options, pilot, job)
    if options.plant is not None:
        for warning in replay.check_job(pilot.contract, job):
            typer.echo(f"warning: {warning}", err=True)
    with output_folder(options.out, options.force) as folder:
        wanted = {name: getattr(options, name) for name in ("video", "plot", "report", "rerun")}
        output = replay.Output(folder=folder, **wanted)
        dynamics = None if options.dynamics is None else load_dynamics(options.dynamics)
        in_simulator = {"num_envs": options.num_envs, "sim_backend": options.sim_backend.value}
        if isinstance(job, replay.EpisodeJob) and options.env is not None:
            chosen = {"control_mode": options.control_mode, "dynamics": dynamics}
            result = replay.play_in_env(pilot, job, output, **chosen, **in_simulator)
        else:
            assert options.plant is not None
            result = replay.play_on_plant(
                pilot,
                job,
                output,
                kind=options.plant.value,
                robot=options.robot or pilot.contract.robot,
                timestep=options.timestep,
                meshes=not options.no_meshes,
                device=options.device.value,
                processes=options.processes,
                dynamics=() if dynamics is None else (dynamics,),
                seed=options.seed,
                **in_simulator,
            )
        written = sorted(file.name for file in folder.iterdir())
    typer.echo(result.table())
    for name in written:
        typer.echo(f"wrote {options.out / name}")


def _on_device(
    options: PlayOptions, pilot: Pilot, job: EpisodeJob | Held | Performance
) -> EpisodeJob | Held | Performance:
    """The job, or the same on Newton's device: where that is asked for, or so many environments are."""
    if options.plant != PlantName.NEWTON:
        if options.plant is not None and options.trace is not None:
            raise typer.BadParameter(f"--trace and --no-trace go with --plant newton, not with {options.plant.value}")
        return job
    if options.trace is None and options.num_envs == 1:
        return job
    from policy_port.device.job import device_job

    needs = ("video", "plot", "report", "rerun", "dynamics", "schedule", "push", "view", "task")
    others = {f"--{name}": bool(getattr(options, name)) for name in needs} | {
        "--processes": options.processes > 1,
        "a second port": len(options.ports) > 1,
    }
    found = device_job(pilot, job, trace=options.trace, num_envs=options.num_envs, others=others)
    if not isinstance(found, str):
        return found
    if found:
        typer.echo(f"note: the loop is on the host, and a trace is kept of all environments: {found}", err=True)
    return job


def _job(
    options: PlayOptions, pilots: dict[str, Pilot], schedule: Schedule | None
) -> tuple[Pilot, EpisodeJob | Held | Performance]:
    """What is to be done, and the port that begins."""
    from policy_port.motion.read import motion_of
    from policy_port.replay.play import EpisodeJob, Held

    pilot = next(iter(pilots.values()))
    if (task := options.env or options.task) is not None:
        return pilot, EpisodeJob(task=task, episodes=options.episodes or EPISODES, seed=options.seed)
    motion = None if len(pilots) > 1 else motion_of(pilot.contract, options.motion) or pilot.motion
    held = Held(
        command=None if options.command is None else parse_command(options.command),
        seconds=_seconds(options, pilot.contract, motion, schedule),
        motion=motion,
        goals=parse_goals(options.goal),
        episodes=options.episodes,
        seed=options.seed,
    )
    if not options.staged:
        return pilot, held
    staged = scheduled(pilots, held, schedule, viewed=options.view is not None)
    pilot = next(iter(staged.ports.values()))
    if options.view is None:
        return pilot, staged
    view = ViewOptions(
        kind=options.view,
        host=options.view_host,
        port=options.view_port,
        robot=options.robot or pilot.contract.robot,
        meshes=not options.no_meshes,
        timestep=options.timestep,
        gamepad=options.gamepad,
    )
    return pilot, watched(staged, pilot, view)


def _seconds(options: PlayOptions, contract: Contract, motion: Motion | None, schedule: Schedule | None) -> float:
    """Length of an episode [s]: as given, that of the schedule, or that of the clip."""
    from policy_port.motion.followed import Clip

    if options.seconds is not None:
        return options.seconds
    if options.view is not None:
        # Whoever looks on says when it is enough.
        return math.inf
    if schedule is not None and schedule.seconds is not None:
        return schedule.seconds
    if options.schedule is not None:
        raise typer.BadParameter(
            f"--schedule {options.schedule} does not say how long an episode is: write `seconds` in it, or give "
            "--seconds"
        )
    if motion is not None and contract.motion is not None:
        return Clip.of(contract, motion).steps * contract.control_dt
    return SECONDS


def _strays(options: PlayOptions, way: str) -> str:
    """The given options that do not go with a way to play, as the command line writes them; "" for none."""
    usual = {field.name: field.default for field in fields(options)}
    given = [name for name, ways in GOES_WITH.items() if way not in ways and getattr(options, name) != usual[name]]
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def _check_way(options: PlayOptions) -> None:
    if (options.env is None) == (options.plant is None):
        raise typer.BadParameter("give exactly one of --env (a ManiSkill task) and --plant (a robot on flat ground)")
    way, other = ("--plant", "--env") if options.env is None else ("--env", "--plant")
    if strays := _strays(options, way):
        raise typer.BadParameter(f"{strays} goes with {other}")
    _check_staged(options)
    if options.plant is None:
        return
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
    if options.seconds is not None and not 0.0 < options.seconds <= DAY:
        raise typer.BadParameter(
            f"--seconds takes a finite length above 0, a day ({DAY:g} s) at most, given: {options.seconds:g}"
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
