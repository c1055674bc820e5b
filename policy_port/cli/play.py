"""`policy-port play`: let a port drive a robot, in a simulator or on the desk, and say how well."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from policy_port.cli.plant_options import MeshesOption, PlantName, RobotOption, TaskOption, parse_command

EPISODES, SECONDS = 100, 10.0
"""What --episodes and --seconds are where nobody gives them; [s]."""


class Device(StrEnum):
    """Where Newton's physics runs."""

    CPU = "cpu"
    CUDA = "cuda"


class SimBackend(StrEnum):
    """Where ManiSkill's physics runs."""

    CPU = "physx_cpu"
    CUDA = "physx_cuda"


PortArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PORT", help="Port folder, from `remap` or `export`; with --real also so100-reach, the embedded policy."
    ),
]
OutOption = Annotated[Path, typer.Option(help="Folder for trace and metrics; it must not exist yet.")]
EnvOption = Annotated[str | None, typer.Option(metavar="ID", help="ManiSkill task environment.")]
PlantOption = Annotated[PlantName | None, typer.Option(help="Simulator for a robot driven from the contract.")]
CommandOption = Annotated[
    str | None, typer.Option(metavar="VX,VY,WZ", help="Velocity command [m/s, m/s, rad/s], with --plant.")
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Length of a replay under --command [s], 10 if not given; with --real, of each episode of a policy that "
        "reads no goal.",
    ),
]
EpisodesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Episodes of --env or --task, 100 if not given; with --real --seconds, 1 if not given."),
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
DatasetOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="With --real: write the run as a LeRobotDataset; it must not exist yet."),
]
ProcessesOption = Annotated[
    int, typer.Option(min=1, help="Share the environments of --plant out among processes; the numbers stay the same.")
]


def play(
    port: PortArgument,
    out: OutOption,
    env: EnvOption = None,
    plant: PlantOption = None,
    robot: RobotOption = None,
    command: CommandOption = None,
    seconds: SecondsOption = None,
    task: TaskOption = None,
    episodes: EpisodesOption = None,
    num_envs: NumEnvsOption = 1,
    seed: SeedOption = 0,
    through: ThroughOption = None,
    timestep: TimestepOption = None,
    sim_backend: Annotated[SimBackend, typer.Option(help="Where ManiSkill's physics runs.")] = SimBackend.CPU,
    device: Annotated[Device, typer.Option(help="Where Newton's physics runs.")] = Device.CPU,
    processes: ProcessesOption = 1,
    control_mode: ControlModeOption = None,
    no_meshes: MeshesOption = False,
    video: Annotated[bool, typer.Option("--video", help="Write video.mp4 of environment 0, 20 s at most.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Write plot.png.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write report.html, which needs no other file.")] = False,
    rerun: Annotated[bool, typer.Option("--rerun", help="Write replay.rrd for rerun.io; needs rerun-sdk.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that is already there.")] = False,
    real: RealOption = False,
    emulated: EmulatedOption = False,
    continuous: ContinuousOption = False,
    fault: FaultOption = None,
    dataset: DatasetOption = None,
) -> None:
    """Replay a port in a ManiSkill environment (--env), on flat ground (--plant) or on an arm (--real); measure it."""
    if real:
        simulated = {"--plant": plant, "--command": command, "--timestep": timestep, "--video": video}
        simulated |= {"--force": force, "--rerun": rerun}
        simulated |= {"--no-meshes": no_meshes, "--num-envs": num_envs != 1, "--processes": processes != 1}
        given = [name for name, value in simulated.items() if value]
        if given:
            raise typer.BadParameter(f"{', '.join(given)} does not go with --real")
        from policy_port.cli.play_real import ArmOptions, WorkOptions, play_on_arm
        from policy_port.cli.real_outputs import OutputOptions

        play_on_arm(
            port,
            through=through,
            work=WorkOptions(
                task=task,
                env=env,
                seconds=seconds,
                control_mode=control_mode,
                episodes=episodes or (EPISODES if seconds is None else 1),
                seed=seed,
            ),
            arm=ArmOptions(robot=robot, emulated=emulated, faults=fault or [], continuous=continuous),
            outputs=OutputOptions(out=out, plot=plot, report=report, dataset=dataset),
        )
        return
    if emulated or continuous or fault or dataset:
        raise typer.BadParameter("--emulated, --continuous, --fault and --dataset go with --real")
    _check_options(env, plant, command, task, robot, timestep, no_meshes, control_mode, processes)
    if seconds is not None and command is None:
        raise typer.BadParameter("--seconds goes with --command, or with --real for a policy that reads no goal")
    if processes > num_envs:
        raise typer.BadParameter(f"--processes {processes} needs as many environments: give --num-envs {processes}")
    parsed = None if command is None else parse_command(command)

    from policy_port.contract import load_mapping
    from policy_port.files import output_folder
    from policy_port.port.folder import load_port
    from policy_port.replay import play as replay
    from policy_port.replay.rerun_log import require_rerun
    from policy_port.replay.velocity import outside_trained_range

    if rerun:
        # Before the simulator starts, not after it has run.
        require_rerun()
    pilot = load_port(port).pilot(None if through is None else load_mapping(through))
    for warning in outside_trained_range(pilot.contract, parsed) if parsed is not None else ():
        typer.echo(f"warning: {warning}", err=True)

    with output_folder(out, force) as folder:
        output = replay.Output(folder=folder, video=video, plot=plot, report=report, rerun=rerun)
        if env is not None:
            result = replay.play_in_env(
                pilot,
                replay.EpisodeJob(task=env, episodes=episodes or EPISODES, seed=seed),
                output,
                num_envs=num_envs,
                sim_backend=sim_backend.value,
                control_mode=control_mode,
            )
        else:
            assert plant is not None
            job = (
                replay.FollowVelocity(command=parsed, seconds=SECONDS if seconds is None else seconds)
                if parsed is not None
                else replay.EpisodeJob(task=task or "", episodes=episodes or EPISODES, seed=seed)
            )
            result = replay.play_on_plant(
                pilot,
                job,
                output,
                kind=plant.value,
                robot=robot or pilot.contract.robot,
                num_envs=num_envs,
                timestep=timestep,
                meshes=not no_meshes,
                sim_backend=sim_backend.value,
                device=device.value,
                processes=processes,
            )
        written = sorted(file.name for file in folder.iterdir())
    typer.echo(result.table())
    for name in written:
        typer.echo(f"wrote {out / name}")


def _check_options(
    env: str | None,
    plant: PlantName | None,
    command: str | None,
    task: str | None,
    robot: str | None,
    timestep: float | None,
    no_meshes: bool,
    control_mode: str | None,
    processes: int,
) -> None:
    if (env is None) == (plant is None):
        raise typer.BadParameter("give exactly one of --env (a ManiSkill task) and --plant (a robot on flat ground)")
    only_plant = {"--robot": robot, "--command": command, "--task": task, "--timestep": timestep}
    only_plant["--no-meshes"] = no_meshes or None
    only_plant["--processes"] = processes if processes != 1 else None
    foreign = only_plant if env is not None else {"--control-mode": control_mode}
    given = [name for name, value in foreign.items() if value is not None]
    if given:
        other = "--plant" if env is not None else "--env"
        raise typer.BadParameter(f"{', '.join(given)} goes with {other}")
    if plant is not None and (command is None) == (task is None):
        raise typer.BadParameter("with --plant, give exactly one of --command (walk) and --task (so100-reach)")
