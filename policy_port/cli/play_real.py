"""The `--real` path of `policy-port play`: the same port, on an arm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from policy_port.cli.play_options import EPISODES

if TYPE_CHECKING:
    from policy_port.camera.env_file import EnvFile
    from policy_port.cli.play_options import PlayOptions
    from policy_port.port.pilot import Pilot
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.emulator.lens import Outlook
    from policy_port.robots.jobs.reach_job import RealJob
    from policy_port.robots.maniskill.table import Table

UNSTATED = "not stated"
"""What a dataset says that a policy without a task was to do."""
EMBEDDED = "so100-reach"
"""Word that stands for the policy that ships with the package, as it was trained: in radians."""


def play_on_arm(options: PlayOptions) -> None:
    """Check everything, let the policy drive the arm, leave it at rest, and print the report."""
    from policy_port.cli.arm_run import ArmRun, check_folder, check_stops
    from policy_port.cli.real_outputs import OutputOptions
    from policy_port.contract import load_mapping
    from policy_port.robots.arm.console import Console
    from policy_port.robots.arm.robot_file import load_robot_file

    arm, robot_file = options.arm, _check_options(options)
    robot = load_robot_file(robot_file)
    console = Console(continuous=arm.continuous or arm.fast, attended=not arm.fast)
    if arm.ask:
        console.check_answers()
    check_stops(arm.stops, emulated=arm.emulated)
    mapping = None if options.through is None else load_mapping(options.through)
    check_folder(options.out)
    run = ArmRun(
        robot_file=robot_file,
        emulated=arm.emulated,
        faults=arm.fault or (),
        dynamics=options.dynamics,
        fast=arm.fast,
        seed=options.seed,
        outputs=OutputOptions(out=options.out, plot=options.plot, report=options.report, dataset=arm.dataset),
        answers=arm.ask,
        stops=arm.stops,
    )
    episodes = options.episodes or (EPISODES if options.seconds is None else 1)
    with contextlib.ExitStack() as stack:
        pilot = stack.enter_context(_pilot(options.port))
        if mapping is not None:
            pilot = pilot.through(mapping)
        scene = _scene(options, robot)
        job, table = stack.enter_context(_job(options, robot, pilot, scene))
        known, done = run.perform(
            pilot,
            robot,
            job,
            range(options.seed, options.seed + episodes),
            console,
            outlook=_outlook(scene, table, arm.emulated_view),
            begun=None if table is None else table.of,
        )
    task = options.env or (None if options.seconds is None else UNSTATED)
    run.conclude(known, done, title=f"{pilot.network_contract.name} on {known.name}", task=task)


def _check_options(options: PlayOptions) -> str:
    """Refuse options that contradict each other; return the robot file."""
    from policy_port.cli.arm import check_emulated
    from policy_port.replay.play import find_task

    arm = options.arm
    if options.robot is None:
        raise typer.BadParameter("--real needs --robot: a robot file such as my_arm.yaml, or so100 to rehearse")
    check_emulated(arm.emulated, fault=arm.fault, fast=arm.fast, emulated_view=arm.emulated_view)
    if options.dynamics is not None and not arm.emulated:
        raise typer.BadParameter("--dynamics goes with --emulated: a real arm has dynamics of its own")
    if sum(choice is not None for choice in (options.task, options.env, options.seconds)) > 1:
        raise typer.BadParameter(
            "give one of --task (reach, without a simulator), --env (a ManiSkill task) and --seconds (a policy that "
            "reads no goal runs for this long)"
        )
    for name, given in (("control-mode", options.control_mode), ("config", arm.config)):
        if given is not None and options.env is None:
            raise typer.BadParameter(f"--{name} goes with --env")
    if arm.emulated_view is not None and arm.config is None:
        raise typer.BadParameter("--emulated-view goes with --config, whose camera it is")
    if arm.ask and arm.fast:
        raise typer.BadParameter("--ask waits for somebody, --fast for nobody: leave --fast out")
    if arm.accept and arm.config is None:
        raise typer.BadParameter("--accept goes with --config, whose camera is checked")
    if options.task is not None:
        find_task(options.task)
    return options.robot


def _scene(options: PlayOptions, robot: RobotFile) -> EnvFile | None:
    """The environment file, held against the robot file; None where none is given."""
    if options.arm.config is None:
        return None
    from policy_port.camera.env_file import load_env_file
    from policy_port.robots.jobs.pictures import whole_frames

    return whole_frames(load_env_file(options.arm.config, options.env), robot)


def _outlook(scene: EnvFile | None, table: Table | None, given: Path | None) -> Outlook | None:
    """What an emulated arm's camera sees from where it stands: the arm and its table."""
    if scene is None:
        return None
    from policy_port.cli.arm import outlook_of

    things = () if table is None else table.things
    return outlook_of(scene.camera_name, scene.frame_view(), given, things=things)


@contextlib.contextmanager
def _job(
    options: PlayOptions, robot: RobotFile, pilot: Pilot, scene: EnvFile | None
) -> Iterator[tuple[RealJob, Table | None]]:
    """What the arm is to do, and what an emulated one has on its table for it.

    A ManiSkill task's simulation is open meanwhile, but never stepped.
    """
    from policy_port.errors import TaskError
    from policy_port.replay.play import find_task
    from policy_port.robots.jobs.reach_job import ReachJob

    arm = options.arm
    if options.env is not None:
        from policy_port.robots.maniskill.play import TaskJob, open_task
        from policy_port.robots.maniskill.table import Table

        task, cameras = open_task(options.env, robot, pilot.contract, options.control_mode, scene)
        with contextlib.closing(task):
            placed = None
            if scene is not None and arm.config is not None:
                from policy_port.robots.maniskill.placed import Placed

                placed = Placed.of(scene, arm.config, tuple(arm.accept or ()))
            table = Table(task.base)
            yield TaskJob(task, cameras, placed, table), table
        return
    if options.seconds is not None:
        from policy_port.robots.jobs.free_job import FreeJob

        yield FreeJob(pilot, options.seconds, ask=not (arm.continuous or arm.fast)), None
        return
    if options.task is None and not any(term.term == "goal" for term in pilot.contract.observation.terms):
        raise TaskError(
            f"contract '{pilot.contract.name}' reads no goal, so the reach task is not for it: say how long each "
            "episode lasts with --seconds 20, or name a ManiSkill task with --env"
        )
    yield ReachJob(find_task(options.task or EMBEDDED)), None


@contextlib.contextmanager
def _pilot(port: Path) -> Iterator[Pilot]:
    """The policy of a port folder, or the embedded one."""
    import tempfile

    from policy_port.port.folder import load_port

    if str(port) == EMBEDDED and not port.exists():
        with tempfile.TemporaryDirectory(prefix="policy_port_") as folder:
            yield embedded(Path(folder) / "port")
        return
    yield load_port(port).pilot()


def embedded(folder: Path) -> Pilot:
    """Write the embedded policy as a port in radians, and return it."""
    from policy_port.checkpoints import load_policy
    from policy_port.contract import load_contract
    from policy_port.export.write import write_port
    from policy_port.remap import identity_remap
    from policy_port.resources import assets_dir

    assets = assets_dir() / "so100_reach"
    remap = identity_remap(load_contract(assets / "contract.yaml"))
    return write_port(folder, load_policy(assets / "model.pt"), remap, formats=("onnx",)).pilot()
