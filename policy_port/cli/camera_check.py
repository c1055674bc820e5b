"""`policy-port camera check`: whether a camera still is what it was when its view was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port.cli.arm_options import EmulatedViewOption, FaultOption
from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.camera.env_file import EnvFile
    from policy_port.camera.view import View

FRAMES = 8
"""Frames that are looked at."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What is given on the command line."""

    robot: Annotated[str, typer.Option(metavar="FILE", help="Robot file whose camera is looked at.")]
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="env.yaml with the camera's view.")] = None
    env: Annotated[str | None, typer.Option(metavar="ID", help="ManiSkill environment, for an env_config.json.")] = None
    view: Annotated[Path | None, typer.Option(metavar="FILE", help="view.yaml of `camera solve`, in place of it.")] = (
        None
    )
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="The robot file's camera; the only one.")] = None
    emulated: Annotated[bool, typer.Option("--emulated", help="An emulated arm and camera, to rehearse with.")] = False
    emulated_view: EmulatedViewOption = None
    fault: FaultOption = None
    store: Annotated[bool, typer.Option("--store", help="All is right now: write what is seen beside the view.")] = (
        False
    )
    accept: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Go on in spite of this finding. Repeatable.")
    ] = None


@takes(CheckOptions)
def check(options: CheckOptions) -> None:
    """Hold a camera's picture of the arm against its view and against what was stored. Torque stays off."""
    robot, config, env, view, camera = options.robot, options.config, options.env, options.view, options.camera
    emulated, emulated_view, fault = options.emulated, options.emulated_view, options.fault
    from policy_port.camera.check import check_camera, reference, refuse
    from policy_port.camera.env_file import load_env_file
    from policy_port.camera.reference import beside, colourful, load_reference, write_reference
    from policy_port.cli.arm import check_emulated, outlook_of, reached
    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.jobs.looking import camera_of, look_at_arm

    if (config is None) == (view is None):
        raise typer.BadParameter("give one of --config and --view")
    check_emulated(emulated, emulated_view=emulated_view, fault=fault)
    known = load_robot_file(robot)
    arm = known.described
    given = None if config is None else load_env_file(config, env)
    name = camera or (given.camera_name if given is not None else next(iter(known.cameras), "base_camera"))
    path = config or view
    assert path is not None
    stored = load_reference(beside(path)) if beside(path).exists() and not options.store else None
    bounds = camera_of(known, name)
    looks = _view(path, given, (bounds.height, bounds.width))
    outlook = outlook_of(name, looks, emulated_view) if emulated else None
    with reached(known, emulated=emulated, faults=fault or (), outlook=outlook) as (there, _):
        seen = look_at_arm(there, name, FRAMES)
    if options.store:
        kept = reference(seen.frames, looks, seen.joint_pos, arm)
        write_reference(beside(path), kept)
        typer.echo(f"wrote {beside(path)}: {kept.overlay:.0%} of the arm's edges are where the view says")
        if not colourful(kept):
            typer.echo("note: the scene and the arm are grey; put something red or blue into view, and store again, or "
                       "red and blue exchanged will not be noticed")  # fmt: skip
        return
    found = check_camera(seen.frames, looks, seen.joint_pos, arm, stored, fps=bounds.fps, now=seen.taken)
    for line in refuse(found, options.accept or [], name):
        typer.echo(line)
    if stored is None:
        typer.echo(
            f"note: {beside(path)} is not there: pose, rate and sharpness were looked at, brightness and colours "
            "hardly; `policy-port camera check --store` writes it while all is right"
        )
    if not found:
        typer.echo(f"camera '{name}' is as its view says")


def _view(path: Path, given: EnvFile | None, size: tuple[int, int]) -> View:
    """The view of a camera's whole frames, of `size` (rows, columns)."""
    from policy_port.camera.view import load_view

    if given is None:
        return load_view(path).view
    known = given.image is not None and given.image.camera_size is not None
    return (given if known else given.with_image(camera_size=size)).frame_view()
