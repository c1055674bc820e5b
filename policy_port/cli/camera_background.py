"""`policy-port camera background`: a still of the scene, made into the network's picture."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port.cli.arm import check_emulated, outlook_of
from policy_port.cli.arm_options import EmulatedViewOption, FaultOption
from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.camera.env_file import EnvFile

FRAMES = 15
"""Frames whose median is taken."""


@dataclass(frozen=True, kw_only=True)
class BackgroundOptions:
    """What is given on the command line."""

    out: Annotated[Path, typer.Option(metavar="PNG", help="The picture.")]
    config: Annotated[Path, typer.Option(metavar="FILE", help="env.yaml or env_config.json; says crop and size.")]
    env: Annotated[str | None, typer.Option(metavar="ID", help="ManiSkill environment, for an env_config.json.")] = None
    robot: Annotated[str | None, typer.Option(metavar="FILE", help="Robot file whose camera is used.")] = None
    source: Annotated[
        str | None, typer.Option(metavar="CAMERA", help="Index, device, address of a stream, or folder of stills.")
    ] = None
    emulated: Annotated[bool, typer.Option("--emulated", help="An emulated arm and camera, to rehearse with.")] = False
    emulated_view: EmulatedViewOption = None
    fault: FaultOption = None
    frames: Annotated[int, typer.Option(min=1, max=100, help="Frames whose median is taken.")] = FRAMES
    inpaint: Annotated[bool, typer.Option("--inpaint", help="Fill in what the arm covers.")] = False
    whole: Annotated[
        bool, typer.Option("--whole", help="The frame as the camera gives it, for camera solve --background.")
    ] = False
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Hold it against the environment's own picture.")
    ] = True
    force: Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")] = False


@takes(BackgroundOptions)
def background(options: BackgroundOptions) -> None:
    """Photograph the background of training, cropped and resized as the arm's pictures are."""
    from policy_port.camera.background import ArmThere, make_background
    from policy_port.camera.env_file import load_env_file
    from policy_port.camera.stills import as_source, grab, write_still
    from policy_port.camera.trained import seen_now
    from policy_port.errors import CameraError

    _check(options)
    given = load_env_file(options.config, options.env)
    arm = shown = None
    if options.robot is not None:
        from policy_port.cli.arm import reached
        from policy_port.robots.arm.robot_file import load_robot_file
        from policy_port.robots.jobs.looking import camera_of, look_at_arm

        known = load_robot_file(options.robot)
        bounds = camera_of(known, given.camera_name)
        given = _sized(given, (bounds.height, bounds.width))
        view = None if given.camera is None else given.frame_view()
        shown = None if view is None else known.described
        if view is None and options.emulated_view is not None:
            raise typer.BadParameter("--emulated-view goes with a camera in the environment file: write one there")
        outlook = None if view is None else outlook_of(given.camera_name, view, options.emulated_view)
        with reached(known, emulated=options.emulated, faults=options.fault or (), outlook=outlook) as (there, _):
            seen = look_at_arm(there, given.camera_name, options.frames)
        taken = list(seen.frames)
        if view is not None and shown is not None:
            arm = ArmThere(view, seen.joint_pos, shown)
    else:
        wanted = None if given.image is None else given.image.camera_size
        taken = grab(as_source(options.source or ""), options.frames, size=wanted)
        if len(taken) == 1:
            raise CameraError(
                f"--source {options.source}: gives a single picture, which still holds the arm or whoever passes by, "
                "and does not tell whether something moves: give a folder of several stills, or more --frames"
            )
        rows, columns = taken[0].image.shape[:2]
        given = _sized(given, (rows, columns))
    made = make_background(taken, given.picture(), arm, inpaint=options.inpaint)
    image = made.frame if options.whole else made.image
    compared = options.compare and not options.whole
    notes = [*made.notes, *(_compared(given, image) if compared else ())]
    seen = None if options.whole else seen_now(given)
    write_still(options.out, image, "" if seen is None else seen.model_dump_json())
    for note in notes:
        typer.echo(f"note: {note}")
    rows, columns = image.shape[:2]
    use = f"background: {options.out.name} in {options.config} uses it"
    if options.whole:
        use = "the background that camera solve takes"
    typer.echo(f"wrote {options.out}, {columns}x{rows}; {use}")


def _check(options: BackgroundOptions) -> None:
    """Refuse options that contradict each other, and an output that is there."""
    from policy_port.errors import OutputError

    if (options.robot is None) == (options.source is None):
        raise typer.BadParameter("give one of --robot and --source")
    if options.emulated and options.robot is None:
        raise typer.BadParameter("--emulated goes with --robot")
    check_emulated(options.emulated, emulated_view=options.emulated_view, fault=options.fault)
    if options.whole and options.inpaint:
        raise typer.BadParameter("--whole goes without --inpaint: camera solve needs what really is behind the arm")
    if options.out.exists() and not options.force:
        raise OutputError(f"{options.out}: exists already; --force replaces it")


def _sized(given: EnvFile, size: tuple[int, int]) -> EnvFile:
    """The file with the size of the camera's frames, where it does not say."""
    return given if given.image is not None and given.image.camera_size else given.with_image(camera_size=size)


def _compared(given: EnvFile, image: object) -> list[str]:
    from policy_port.camera.background import compare
    from policy_port.camera.scene import open_scene
    from policy_port.errors import MissingDependencyError

    try:
        made = open_scene(given.model_copy(update={"background": None}))
    except MissingDependencyError as cause:
        return [f"not held against the environment's picture: {cause}"]
    with contextlib.closing(made):
        observation, _ = made.reset(seed=0)
        drawn = observation["sensor_data"][given.camera_name]["rgb"][0].cpu().numpy()
    return compare(image, drawn)  # type: ignore[arg-type]
