"""`policy-port camera align`: the simulated camera, moved by hand onto the real one, on a page in the browser."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port import counts
from policy_port.cli.arm import check_emulated, outlook_of
from policy_port.cli.arm_options import EmulatedViewOption, FaultOption
from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.camera.env_file import EnvFile
    from policy_port.robots.emulator.lens import Outlook

SNAPSHOTS = "snapshots"
"""Where pictures for `camera solve` go, beside the environment file."""
OFF = 0.04, 0.07
"""How far an emulated camera stands from where the environment file has it [m, rad], where nobody says where."""

ConfigOption = Annotated[
    Path, typer.Option(metavar="FILE", help="env.yaml or env_config.json; the pose is written back.")
]


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """What is given on the command line."""

    config: ConfigOption
    robot: Annotated[str, typer.Option(metavar="FILE", help="Robot file with a camera of the same name.")]
    env: Annotated[str | None, typer.Option(metavar="ID", help="ManiSkill task environment; the file's.")] = None
    emulated: Annotated[bool, typer.Option("--emulated", help="An emulated arm and camera, to rehearse with.")] = False
    emulated_view: EmulatedViewOption = None
    fault: FaultOption = None
    fast: Annotated[bool, typer.Option("--fast", help="With --emulated: as fast as this machine computes.")] = False
    snapshots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where snapshots go; snapshots/ beside the file, if not given.")
    ] = None
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of the page; 0 is any that is free.")] = 0
    seed: Annotated[
        int, typer.Option(min=0, max=counts.SEED, help="Seed of the emulated arm and of where its camera stands.")
    ] = 0


@takes(AlignOptions)
def align(options: AlignOptions) -> None:
    """Align a simulated camera with the real one by hand: both pictures in one, live, on a page in the browser.

    The arm has no torque unless the page asks for it. The page is only for this machine; its address has a token.
    """
    check_emulated(options.emulated, emulated_view=options.emulated_view, fault=options.fault, fast=options.fast)
    # Pictures are drawn on a thread of their own, which only EGL allows; MuJoCo chooses when it is first imported.
    os.environ.setdefault("MUJOCO_GL", "egl")

    import policy_port.camera.page as pages
    from policy_port.camera.env_file import load_env_file
    from policy_port.cli.arm import reached
    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.emulator.clock import REAL, VirtualClock
    from policy_port.robots.jobs.align_job import Aligned, AlignJob, ended
    from policy_port.robots.jobs.pictures import whole_frames

    robot = load_robot_file(options.robot)
    drawn = robot.described
    given = load_env_file(options.config, options.env)
    env = whole_frames(given, robot)
    check_writable(options.config)
    html = Path(pages.__file__).with_name("align.html")
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(contextlib.closing(pages.Page(html, port=options.port)))
        outlook = emulated_outlook(env, options.emulated_view, options.seed) if options.emulated else None
        clock = VirtualClock() if options.fast else None
        known, on_torque = stack.enter_context(
            reached(
                robot,
                emulated=options.emulated,
                faults=options.fault or (),
                seed=options.seed,
                clock=clock,
                outlook=outlook,
            )
        )
        snapshots = options.snapshots or options.config.parent / SNAPSHOTS
        what = Aligned(robot=known, drawn=drawn, env=env, given=given, path=options.config, snapshots=snapshots)
        job = AlignJob(what, page, on_torque, clock or REAL)
        typer.echo(f"page: {page.address}")
        typer.echo(f"on another machine: ssh -L {page.port}:127.0.0.1:{page.port} THIS_MACHINE, then the same there")
        typer.echo("Torque is off. Closing the page, or Ctrl-C, ends it.")
        end = job.run()
    typer.echo(f"ended: {ended(end)}; the arm is {end.arm}")
    typer.echo(job.left)
    if end.exit_code:
        raise typer.Exit(end.exit_code)


def emulated_outlook(env: EnvFile, view: Path | None, seed: int) -> Outlook:
    """What an emulated camera sees: from a view of its own, or from beside where the environment file has it."""
    import numpy as np

    shift, turn = np.random.default_rng(seed).normal(size=(2, 3))
    moved = env.frame_view().moved(OFF[0] * shift / np.linalg.norm(shift), OFF[1] * turn / np.linalg.norm(turn))
    return outlook_of(env.camera_name, moved, view)


def check_writable(file: Path) -> None:
    """Refuse a file that could not be written back, before anything is reached.

    Raises:
        OutputError: When it, or its folder, may not be written.
    """
    from policy_port.errors import OutputError

    for path in (file, file.absolute().parent):
        if not os.access(path, os.W_OK):
            raise OutputError(f"{file}: may not be written ({path}), and the pose is saved there; copy it elsewhere")
