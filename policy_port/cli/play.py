"""`policy-port play`: let a port drive a robot, in a simulator or on the desk, and say how well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import typer

from policy_port.cli.options import takes
from policy_port.cli.plant_options import PlantName, arm_limits, parse_command, parse_goals
from policy_port.cli.play_options import EPISODES, PlayOptions, check_options, check_stage
from policy_port.cli.play_scheduled import ViewOptions, port_names, read_schedule, scheduled, watched

if TYPE_CHECKING:
    from policy_port.contract import Contract
    from policy_port.motion.motion import Motion
    from policy_port.port.pilot import Pilot
    from policy_port.replay.play import EpisodeJob, Held, Performance
    from policy_port.replay.schedule import Schedule

SECONDS = 10.0
"""How long an episode under a command is where nobody says so [s]."""


@takes(PlayOptions, check=check_stage)
def play(options: PlayOptions) -> None:
    """Replay a port in a ManiSkill environment (--env), on flat ground (--plant) or on an arm (--real); measure it."""
    check_options(options)
    if options.arm.real:
        from policy_port.cli.play_real import play_on_arm

        play_on_arm(options)
    else:
        _play_in_simulator(options)


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
    with output_folder(options.out, options.force, options.ports) as folder:
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
                limits=arm_limits(options.supervisor, pilot.contract),
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
