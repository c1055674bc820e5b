"""`policy-port camera`: the table of its commands, one file each."""

from __future__ import annotations

import typer

from policy_port.cli.camera_align import align

camera_app = typer.Typer(
    help="A camera and its twin in the simulator: resets, align, solve, background, check.", no_args_is_help=True
)


@camera_app.callback()
def _group() -> None:
    pass


camera_app.command("align")(align)
