"""The `--real` path of `policy-port play`: the same port, on an arm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from policy_port.port.pilot import Pilot
    from policy_port.robots.jobs.reach_job import RealJob
    from policy_port.tasks.reach import ReachTask

UNSTATED = "not stated"
"""What a dataset says that a policy without a task was to do."""
EMBEDDED = "so100-reach"
"""Word that stands for the policy that ships with the package, as it was trained: in radians."""


def play_on_arm(
    port: Path,
    out: Path,
    *,
    robot: str | None,
    task: str | None,
    env: str | None,
    seconds: float | None,
    control_mode: str | None,
    episodes: int,
    seed: int,
    through: str | None,
    emulated: bool,
    faults: list[str],
    continuous: bool,
    plot: bool,
    report: bool,
    dataset: Path | None,
) -> None:
    """Check everything, let the policy drive the arm, leave it at rest, and print the report."""
    from policy_port.cli.real_outputs import RealOutputs
    from policy_port.contract import load_mapping
    from policy_port.errors import OutputError, TaskError
    from policy_port.replay.play import find_task
    from policy_port.robots.arm.console import Console
    from policy_port.robots.arm.robot_file import find_robot_file, load_robot_file
    from policy_port.robots.jobs.play_real import play_real

    if robot is None:
        raise typer.BadParameter("--real needs --robot: a robot file such as my_arm.yaml, or so100 to rehearse")
    if faults and not emulated:
        raise typer.BadParameter("--fault goes with --emulated: a real arm has faults of its own")
    if sum(choice is not None for choice in (task, env, seconds)) > 1:
        raise typer.BadParameter(
            "give one of --task (reach, without a simulator), --env (a ManiSkill task) and --seconds (a policy that "
            "reads no goal runs for this long)"
        )
    if control_mode is not None and env is None:
        raise typer.BadParameter("--control-mode goes with --env")
    wanted: ReachTask | RealJob | None = find_task(task or EMBEDDED) if env is None and seconds is None else None
    known = load_robot_file(robot)
    console = Console(continuous=continuous)
    mapping = None if through is None else load_mapping(through)
    # A run on an arm is never undone: its folder is there from the first step on, whatever ends the run.
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists already; name a folder that does not exist yet")
    with contextlib.ExitStack() as stack:
        pilot = stack.enter_context(_pilot(port))
        if mapping is not None:
            pilot = pilot.through(mapping)
        if env is not None:
            from policy_port.cli.play_real_env import task_job

            wanted = stack.enter_context(task_job(env, known, pilot, control_mode))
        elif seconds is not None:
            from policy_port.robots.jobs.free_job import FreeJob

            wanted = FreeJob(pilot, seconds, ask=not continuous)
        elif task is None and not any(term.term == "goal" for term in pilot.contract.observation.terms):
            raise TaskError(
                f"contract '{pilot.contract.name}' reads no goal, so the reach task is not for it: say how long each "
                "episode lasts with --seconds 20, or name a ManiSkill task with --env"
            )
        if dataset is not None:
            from policy_port.robots.jobs.dataset import check_dataset

            check_dataset(dataset, out, known, pilot.contract.control_dt)
        release = None
        if emulated:
            from policy_port.robots.arm.emulated import emulate

            rehearsal = stack.enter_context(emulate(known, faults=faults, seed=seed))
            known, release = rehearsal.robot, rehearsal.let_go
        assert wanted is not None
        made = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        try:
            done = play_real(
                pilot,
                known,
                wanted,
                seed=seed,
                episodes=episodes,
                folder=out,
                console=console,
                port_mapping=mapping,
                keep_frames=dataset is not None,
                on_torque=release or (lambda: None),
            )
        except BaseException:
            if made and not any(out.iterdir()):
                out.rmdir()
            raise
    typer.echo(done.result.table())
    unstated = None if seconds is None else UNSTATED
    after = RealOutputs(
        title=f"{pilot.network_contract.name} on {known.name}", out=out, robot=known, done=done, task=env or unstated
    )
    if plot:
        after.plot()
    if report:
        after.report(find_robot_file(robot), emulated=emulated)
    if dataset is not None:
        after.dataset(dataset)
    for file in sorted({*out.iterdir(), *after.outside}):
        typer.echo(f"wrote {file}")
    if done.exit_code or after.failed:
        raise typer.Exit(done.exit_code or 1)


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
