"""The `--real` path of `policy-port play`: the same port, on an arm."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import typer

if TYPE_CHECKING:
    from policy_port.camera.env_file import EnvFile
    from policy_port.cli.real_outputs import OutputOptions
    from policy_port.port.pilot import Pilot
    from policy_port.robots.arm.console import Console
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.emulator import EmulatedArm
    from policy_port.robots.emulator.clock import Clock
    from policy_port.robots.emulator.lens import Outlook
    from policy_port.robots.jobs.reach_job import RealJob
    from policy_port.robots.maniskill.table import Table

UNSTATED = "not stated"
"""What a dataset says that a policy without a task was to do."""
EMBEDDED = "so100-reach"
"""Word that stands for the policy that ships with the package, as it was trained: in radians."""


@dataclass(frozen=True, kw_only=True)
class WorkOptions:
    """What the policy is to do; one of task, env and seconds, or none for the reach task."""

    task: str | None
    env: str | None
    seconds: float | None
    control_mode: str | None
    episodes: int
    seed: int
    config: Path | None = None
    accept: tuple[str, ...] = ()
    ask: bool = False


@dataclass(frozen=True, kw_only=True)
class ArmOptions:
    """Which arm does it."""

    robot: str | None
    emulated: bool
    faults: list[str]
    continuous: bool
    dynamics: Path | None
    fast: bool = False
    stops: int = 1


def play_on_arm(port: Path, *, through: str | None, work: WorkOptions, arm: ArmOptions, outputs: OutputOptions) -> None:
    """Check everything, let the policy drive the arm, leave it at rest, and print the report."""
    from policy_port.cli.real_outputs import RealOutputs
    from policy_port.contract import load_mapping
    from policy_port.robots.arm.console import Console
    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.jobs.run import Keep, play_real

    robot_file = _check_options(work, arm)
    known = load_robot_file(robot_file)
    console = Console(continuous=arm.continuous, attended=not arm.fast)
    if work.ask:
        console.check_answers()
    check_stops(arm.stops, emulated=arm.emulated)
    mapping = None if through is None else load_mapping(through)
    check_folder(outputs.out)
    with contextlib.ExitStack() as stack:
        pilot = stack.enter_context(_pilot(port))
        if mapping is not None:
            pilot = pilot.through(mapping)
        scene = _scene(work, known)
        job, table = stack.enter_context(_job(work, known, pilot, scene, ask=not arm.continuous))
        if outputs.dataset is not None:
            from policy_port.robots.jobs.dataset import check_dataset

            check_dataset(outputs.dataset, outputs.out, known, pilot.contract.control_dt)
        clock = its_clock(fast=arm.fast)
        where = reached(
            known,
            emulated=arm.emulated,
            faults=arm.faults,
            dynamics=arm.dynamics,
            seed=work.seed,
            clock=clock,
            outlook=_outlook(scene, table),
            begun=laid(console, known, None if table is None else table.of),
        )
        known, on_torque = stack.enter_context(where)
        with run_folder(outputs.out):
            done = play_real(
                pilot,
                known,
                job,
                seeds=range(work.seed, work.seed + work.episodes),
                keep=Keep(folder=outputs.out, frames=outputs.dataset is not None, answers=work.ask, stops=arm.stops),
                console=console,
                on_torque=on_torque,
                **timed(clock),
            )
    typer.echo(done.result.table())
    unstated = None if work.seconds is None else UNSTATED
    title = f"{pilot.network_contract.name} on {known.name}"
    after = RealOutputs(title=title, out=outputs.out, robot=known, done=done, task=work.env or unstated)
    after.write(outputs, robot_file, emulated=arm.emulated)
    if done.exit_code or after.failed:
        raise typer.Exit(done.exit_code or 1) from done.end.stop


def check_stops(stops: int, *, emulated: bool) -> None:
    """Refuse to go on after a stop where nobody stands by the arm.

    Raises:
        RobotError: Where there is no terminal.
    """
    from policy_port.errors import RobotError

    if stops > 1 and not emulated and not (sys.stdin is not None and sys.stdin.isatty()):
        raise RobotError(
            "after a stop somebody is asked before the arm moves again, and nobody can press Enter here: leave --stops "
            "out, or run it in a terminal; nothing was moved"
        )


def laid(
    console: Console, robot: RobotFile, begun: Callable[[EmulatedArm], None] | None = None
) -> Callable[[EmulatedArm], None]:
    """What is to be done with an emulated arm: `begun`, and laying it down to rest after a stop, as a person would."""
    from policy_port.robots.arm.emulated import lay_down

    def begin(arm: EmulatedArm) -> None:
        console.lay = functools.partial(lay_down, arm, robot)
        if begun is not None:
            begun(arm)

    return begin


def _check_options(work: WorkOptions, arm: ArmOptions) -> str:
    """Refuse options that contradict each other; return the robot file."""
    from policy_port.replay.play import find_task

    if arm.robot is None:
        raise typer.BadParameter("--real needs --robot: a robot file such as my_arm.yaml, or so100 to rehearse")
    if arm.faults and not arm.emulated:
        raise typer.BadParameter("--fault goes with --emulated: a real arm has faults of its own")
    if arm.fast and not arm.emulated:
        raise typer.BadParameter("--fast goes with --emulated: a real arm has the time of its own")
    if arm.dynamics is not None and not arm.emulated:
        raise typer.BadParameter("--dynamics goes with --emulated: a real arm has dynamics of its own")
    if sum(choice is not None for choice in (work.task, work.env, work.seconds)) > 1:
        raise typer.BadParameter(
            "give one of --task (reach, without a simulator), --env (a ManiSkill task) and --seconds (a policy that "
            "reads no goal runs for this long)"
        )
    for name, given in (("control-mode", work.control_mode), ("config", work.config)):
        if given is not None and work.env is None:
            raise typer.BadParameter(f"--{name} goes with --env")
    if work.accept and work.config is None:
        raise typer.BadParameter("--accept goes with --config, whose camera is checked")
    if work.task is not None:
        find_task(work.task)
    return arm.robot


def check_folder(out: Path) -> None:
    """Refuse a folder that is there already."""
    from policy_port.errors import OutputError

    # A run on an arm is never undone: its folder is there from the first step on, whatever ends the run.
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists already; name a folder that does not exist yet")


@contextlib.contextmanager
def run_folder(out: Path) -> Iterator[None]:
    """The run's folder; it goes again where a run ended before it left anything."""
    from policy_port.errors import OutputError

    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise OutputError(f"{out}: can't be made: {cause.strerror or cause}") from cause
    try:
        yield
    except BaseException:
        if made and not any(out.iterdir()):
            out.rmdir()
        raise


def _scene(work: WorkOptions, robot: RobotFile) -> EnvFile | None:
    """The environment file, held against the robot file; None where none is given."""
    if work.config is None:
        return None
    from policy_port.camera.env_file import load_env_file
    from policy_port.robots.jobs.pictures import whole_frames

    return whole_frames(load_env_file(work.config, work.env), robot)


def _outlook(scene: EnvFile | None, table: Table | None) -> Outlook | None:
    """What an emulated arm's camera sees from where the environment file has it: the arm and its table."""
    if scene is None:
        return None
    from policy_port.robots.emulator.lens import Outlook

    things = () if table is None else table.things
    return Outlook(views={scene.camera_name: scene.frame_view()}, things=things)


@contextlib.contextmanager
def _job(
    work: WorkOptions, robot: RobotFile, pilot: Pilot, scene: EnvFile | None, *, ask: bool
) -> Iterator[tuple[RealJob, Table | None]]:
    """What the arm is to do, and what an emulated one has on its table for it.

    A ManiSkill task's simulation is open meanwhile, but never stepped.
    """
    from policy_port.errors import TaskError
    from policy_port.replay.play import find_task
    from policy_port.robots.jobs.reach_job import ReachJob

    if work.env is not None:
        from policy_port.robots.maniskill.play import TaskJob, open_task
        from policy_port.robots.maniskill.table import Table

        task, cameras = open_task(work.env, robot, pilot.contract, work.control_mode, scene)
        with contextlib.closing(task):
            placed = None
            if scene is not None and work.config is not None:
                from policy_port.robots.maniskill.placed import Placed

                placed = Placed.of(scene, work.config, work.accept)
            table = Table(task.base)
            yield TaskJob(task, cameras, placed, table), table
        return
    if work.seconds is not None:
        from policy_port.robots.jobs.free_job import FreeJob

        yield FreeJob(pilot, work.seconds, ask=ask), None
        return
    if work.task is None and not any(term.term == "goal" for term in pilot.contract.observation.terms):
        raise TaskError(
            f"contract '{pilot.contract.name}' reads no goal, so the reach task is not for it: say how long each "
            "episode lasts with --seconds 20, or name a ManiSkill task with --env"
        )
    yield ReachJob(find_task(work.task or EMBEDDED)), None


def its_clock(*, fast: bool) -> Clock | None:
    """The time of an emulated arm that is to be as fast as this machine computes; None for the machine's own."""
    from policy_port.robots.emulator.clock import VirtualClock

    return VirtualClock() if fast else None


class Timed(TypedDict, total=False):
    """What a run goes by, where that is not the machine's own time."""

    time: Clock


def timed(clock: Clock | None) -> Timed:
    """The clock as `play_real` takes it."""
    return {} if clock is None else {"time": clock}


@contextlib.contextmanager
def reached(
    robot: RobotFile,
    *,
    emulated: bool,
    faults: Sequence[str] = (),
    dynamics: Path | None = None,
    seed: int = 0,
    clock: Clock | None = None,
    outlook: Outlook | None = None,
    begun: Callable[[EmulatedArm], None] | None = None,
) -> Iterator[tuple[RobotFile, Callable[[], None]]]:
    """The robot file that leads to the arm, emulated or not, and what is to be done once torque is on.

    `begun` is called with an emulated one.
    """
    if not emulated:
        yield robot, lambda: None
        return
    from policy_port.dynamics.document import load_dynamics
    from policy_port.robots.arm.emulated import DIALS, emulate, on_its_own_clock

    given = None if dynamics is None else load_dynamics(dynamics)
    seen = outlook or DIALS
    if clock is None:
        made = emulate(robot, faults=faults, dynamics=given, seed=seed, outlook=seen)
    else:
        made = emulate(on_its_own_clock(robot), faults=faults, dynamics=given, seed=seed, clock=clock, outlook=seen)
    with made as rehearsal:
        if begun is not None:
            begun(rehearsal.arm)
        yield rehearsal.robot, rehearsal.let_go


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
