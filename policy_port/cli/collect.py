"""`policy-port collect`: motion that tells an arm's dynamics, performed within its limits and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port import counts
from policy_port.cli.arm import check_emulated
from policy_port.cli.options import takes
from policy_port.cli.plant_options import StopsOption

if TYPE_CHECKING:
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.jobs.collect_job import CollectJob

SPEED = 8.0
"""A preview's video runs so many times as fast as the arm: three minutes are shown in a quarter of one."""


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """What is given on the command line."""

    out: Annotated[Path, typer.Option(help="Folder for the recording; it must not exist yet.")]
    robot: Annotated[str, typer.Option(metavar="FILE", help="Robot file of the arm, or so100 to rehearse.")]
    plan: Annotated[
        str, typer.Option(metavar="PLAN", help="What to do: a YAML file, or so100_three_minutes, which is shipped.")
    ] = "so100_three_minutes"
    real: Annotated[bool, typer.Option("--real", help="Drive the arm of the robot file.")] = False
    emulated: Annotated[bool, typer.Option("--emulated", help="Drive an emulated arm, to rehearse with.")] = False
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Only show it, in MuJoCo: trace, plot, video, and what it tells."),
    ] = False
    no_video: Annotated[bool, typer.Option("--no-video", help="With --preview: no video.")] = False
    dynamics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="dynamics.yaml that the emulated arm, or the preview, behaves like."),
    ] = None
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="SPEC", help="Fault of the emulated arm; `emulate --faults` lists them."),
    ] = None
    continuous: Annotated[
        bool, typer.Option("--continuous", help="No Enter before each step. Not for the first run.")
    ] = False
    fast: Annotated[
        bool, typer.Option("--fast", help="With --emulated: its time passes as fast as this machine computes.")
    ] = False
    stops: StopsOption = 1
    dataset: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the run as a LeRobotDataset too; it must not exist yet.")
    ] = None
    plot: Annotated[bool, typer.Option("--plot", help="Write plot.png.")] = False
    report: Annotated[bool, typer.Option("--report", help="Write report.html.")] = False
    seed: Annotated[int, typer.Option(min=0, max=counts.SEED, help="Seed of the emulated arm's noise and faults.")] = 0


@takes(CollectOptions)
def collect(options: CollectOptions) -> None:
    """Excite an arm's dynamics by a plan, on the arm (--real) or an emulated one (--emulated), and record it.

    The plan's targets are computed and looked at in MuJoCo before anything moves. `identify` reads what is recorded.
    """
    if [options.real, options.emulated, options.preview].count(True) != 1:
        raise typer.BadParameter("give exactly one of --real (an arm), --emulated (one that is not there), --preview")
    check_emulated(options.emulated, fault=options.fault, fast=options.fast)
    if options.dynamics is not None and options.real:
        raise typer.BadParameter("--dynamics goes with --emulated and --preview: a real arm has dynamics of its own")
    stray = [name for name in ("continuous", "dataset", "plot", "report") if getattr(options, name)]
    stray += ["stops"] if options.stops > 1 else []
    if options.preview and stray:
        raise typer.BadParameter(f"--{stray[0]} goes with --real and --emulated; a preview plots by itself")
    if options.no_video and not options.preview:
        raise typer.BadParameter("--no-video goes with --preview")

    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.jobs.collect_job import CollectJob
    from policy_port.robots.jobs.excitation import realise
    from policy_port.robots.jobs.plan import load_plan

    robot = load_robot_file(options.robot)
    plan, file = load_plan(options.plan)
    episodes = realise(plan, robot, file.parent)
    job = CollectJob(plan, file, robot, episodes)
    if not options.preview:
        _perform(options, robot, job)
        return

    from tqdm import tqdm

    from policy_port.plants.mujoco_file import carrier
    from policy_port.robot_models.find import find_robot
    from policy_port.robots.jobs.information import information

    # What the gripper holds, the link before its moving jaw carries.
    payload = carrier(find_robot(robot.described), robot.joint_names[-1])
    _show(options, robot, job)

    rows = sum(len(one.targets) for one in episodes if one.use == "fit")
    with tqdm(total=rows, unit="step", desc="information", delay=2.0, leave=False, disable=None) as bar:
        found = information(episodes, robot, plan.control_frequency, payload, bar.update)
    typer.echo(found.text())


def _show(options: CollectOptions, robot: RobotFile, job: CollectJob) -> None:
    """Play the plan in MuJoCo."""
    from policy_port.dynamics.document import load_dynamics
    from policy_port.files import output_folder
    from policy_port.replay.play import Output, play_on_plant
    from policy_port.robots.jobs.collect_job import Preview

    dynamics = () if options.dynamics is None else (load_dynamics(options.dynamics),)
    with output_folder(options.out, force=False) as folder:
        shown = {"video": not options.no_video, "video_seconds": job.seconds, "video_speed": SPEED}
        output = Output(folder=folder, plot=True, **shown)
        played = play_on_plant(
            job.pilot, Preview(job), output, kind="mujoco", robot=robot.described, dynamics=dynamics, seed=options.seed,
            shadows=False,
        )  # fmt: skip
        written = sorted(file.name for file in folder.iterdir())
    typer.echo(played.table())
    for name in written:
        typer.echo(f"wrote {options.out / name}")


def _perform(options: CollectOptions, robot: RobotFile, job: CollectJob) -> None:
    """Let an arm do it, in the session of every run."""
    from policy_port.cli.arm_run import ArmRun, check_folder, check_stops
    from policy_port.cli.real_outputs import OutputOptions
    from policy_port.robots.arm.console import Console

    check_folder(options.out)
    check_stops(options.stops, emulated=options.emulated)
    run = ArmRun(
        robot_file=options.robot,
        emulated=options.emulated,
        faults=options.fault or (),
        dynamics=options.dynamics,
        fast=options.fast,
        seed=options.seed,
        outputs=OutputOptions(out=options.out, plot=options.plot, report=options.report, dataset=options.dataset),
        stops=options.stops,
    )
    console = Console(continuous=options.continuous or options.fast, attended=not options.fast)
    said = f"{job.pilot.contract.name} on {robot.name}"
    known, done = run.perform(job.pilot, robot, job, range(job.count), console)
    run.conclude(known, done, title=said, task=said)
