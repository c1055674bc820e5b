"""`policy-port camera`: the table of its commands, one file each."""

from __future__ import annotations

import typer

from policy_port.cli.camera_align import align
from policy_port.cli.camera_background import background
from policy_port.cli.camera_check import check
from policy_port.cli.camera_resets import resets
from policy_port.cli.camera_solve import board, calibrate, solve

camera_app = typer.Typer(
    help="A camera and its twin in the simulator: resets, align, solve, background, check.", no_args_is_help=True
)


@camera_app.callback()
def _group() -> None:
    pass


camera_app.command("resets")(resets)
camera_app.command("align")(align)
camera_app.command("board")(board)
camera_app.command("calibrate")(calibrate)
camera_app.command("solve")(solve)
camera_app.command("background")(background)
camera_app.command("check")(check)
