"""`policy-port camera resets`: where episodes start, as a video and as one picture."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from policy_port import counts

RATE = 15.0
"""Resets a second of the video."""


def resets(
    out: Annotated[Path, typer.Option(metavar="MP4", help="The video; a picture of all starts is written beside it.")],
    env: Annotated[
        str | None, typer.Option(metavar="ID", help="ManiSkill environment; the file's, if not given.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="env.yaml or env_config.json.")] = None,
    resets: Annotated[int, typer.Option(min=1, max=300, help="How often.")] = 100,
    seed: Annotated[int, typer.Option(min=0, max=counts.SEED, help="Seed of the first reset.")] = 0,
) -> None:
    """Show where an environment's episodes start, and how much of it its camera sees."""
    from policy_port.camera.env_file import EnvFile, load_env_file
    from policy_port.camera.resets import record
    from policy_port.camera.scene import open_scene
    from policy_port.camera.stills import write_still
    from policy_port.replay.video import Video

    if env is None and config is None:
        raise typer.BadParameter("give --env, --config, or both")
    if out.suffix != ".mp4":
        raise typer.BadParameter(f"--out {out}: the video's name ends in .mp4")
    given = load_env_file(config, env) if config is not None else EnvFile(env=env or "")
    with contextlib.closing(open_scene(given)) as made:
        found = record(made, given, count=resets, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.stem}.part.mp4")
    try:
        with Video(part, 1.0 / RATE) as video:
            for picture in found.pictures:
                video.append(picture)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    write_still(out.with_suffix(".png"), found.overlaid())
    for line in found.lines():
        typer.echo(line)
    typer.echo(f"wrote {out} and {out.with_suffix('.png')}")
