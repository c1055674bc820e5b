"""`policy-port camera check`: whether a camera still is what it was when its view was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FRAMES = 8
"""Frames that are looked at."""


def check(
    robot: Annotated[str, typer.Option(metavar="FILE", help="Robot file whose camera is looked at.")],
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="env.yaml with the camera's view.")] = None,
    env: Annotated[
        str | None, typer.Option(metavar="ID", help="ManiSkill environment, for an env_config.json.")
    ] = None,
    view: Annotated[
        Path | None, typer.Option(metavar="FILE", help="view.yaml of `camera solve`, in place of it.")
    ] = None,
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="The robot file's camera; the only one.")] = None,
    emulated: Annotated[bool, typer.Option("--emulated", help="An emulated arm and camera, to rehearse with.")] = False,
    store: Annotated[
        bool, typer.Option("--store", help="All is right now: write what is seen beside the view.")
    ] = False,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Go on in spite of this finding. Repeatable.")
    ] = None,
) -> None:
    """Hold a camera's picture of the arm against its view and against what was stored. Torque stays off."""
    from policy_port.camera.check import check_camera, reference, refuse
    from policy_port.camera.env_file import load_env_file
    from policy_port.camera.reference import beside, colourful, load_reference, write_reference
    from policy_port.camera.view import load_view
    from policy_port.cli.play_real import reached
    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.jobs.looking import look_at_arm

    if (config is None) == (view is None):
        raise typer.BadParameter("give one of --config and --view")
    known = load_robot_file(robot)
    given = None if config is None else load_env_file(config, env)
    name = camera or (given.camera_name if given is not None else next(iter(known.cameras), "base_camera"))
    path = config or view
    assert path is not None
    stored = load_reference(beside(path)) if beside(path).exists() and not store else None
    with reached(known, emulated=emulated) as (there, _):
        seen = look_at_arm(there, name, FRAMES)
    if given is not None and (given.image is None or given.image.camera_size is None):
        given = given.with_image(camera_size=seen.frames[0].image.shape[:2])
    looks = load_view(path).view if given is None else given.frame_view()
    if store:
        kept = reference(seen.frames, looks, seen.joint_pos, known.name)
        write_reference(beside(path), kept)
        typer.echo(f"wrote {beside(path)}: {kept.overlay:.0%} of the arm's edges are where the view says")
        if not colourful(kept):
            typer.echo("note: the scene and the arm are grey; put something red or blue into view, and store again, or "
                       "red and blue exchanged will not be noticed")  # fmt: skip
        return
    found = check_camera(
        seen.frames, looks, seen.joint_pos, known.name, stored, fps=known.cameras[name].fps, now=seen.taken
    )
    for line in refuse(found, accept or [], name):
        typer.echo(line)
    if stored is None:
        typer.echo(
            f"note: {beside(path)} is not there: pose, rate and sharpness were looked at, brightness and colours "
            "hardly; `policy-port camera check --store` writes it while all is right"
        )
    if not found:
        typer.echo(f"camera '{name}' is as its view says")
