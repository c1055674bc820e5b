"""`policy-port robot`: look at an arm, and let it go, without moving it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port.errors import RobotError

if TYPE_CHECKING:
    from policy_port.robots.arm.robot_file import RobotFile

robot_app = typer.Typer(
    help="Look at an arm without torque, confirm its signs and zeros, let it go.", no_args_is_help=True
)

FileOption = Annotated[str, typer.Option("--robot", metavar="FILE", help="Robot file, or so100, so101.")]
EmulatedOption = Annotated[bool, typer.Option("--emulated", help="An emulated arm, to rehearse with.")]


@robot_app.command("check")
def check(
    robot: FileOption,
    emulated: EmulatedOption = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="The arm is in its check pose: compare, and note that it was right.")
    ] = False,
    contract: Annotated[
        Path | None, typer.Option(help="Contract whose default pose is drawn; the embedded policy's, if not given.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the arm as it is read, beside the poses to compare.")
    ] = None,
) -> None:
    """Show every joint as ticks, LeRobot's number and the contract's angle. Torque stays off; nothing moves."""
    from policy_port.cli.arm import reached
    from policy_port.contract import load_contract
    from policy_port.resources import assets_dir
    from policy_port.robots.arm.check import draw_poses, joint_table, servo_lines
    from policy_port.robots.arm.confirmation import confirm as note_confirmation
    from policy_port.robots.arm.confirmation import note_of, unconfirmed
    from policy_port.robots.arm.preflight import differences
    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.arm.servo_scale import narrow_sweeps
    from policy_port.robots.arm.session import without_torque

    known = load_contract(contract or assets_dir() / "so100_reach" / "contract.yaml")
    given = load_robot_file(robot)
    contradictions = _described(given) if given.description is not None else []
    if contradictions and confirm:
        raise RobotError("nothing was confirmed:\n  " + "\n  ".join(contradictions))
    with reached(given, emulated=emulated) as (there, _):
        with without_torque(there, known.control_dt) as arm:
            held = arm.line.calibration()
        typer.echo(joint_table(arm))
        typer.echo("")
        for line in servo_lines(arm):
            typer.echo(line)
        differ = dict.fromkeys(motor for motor, *_ in differences(arm.calibration, held))
        for problem in narrow_sweeps(there, arm.scale):
            typer.echo(f"sweep: {problem}")
        for line in contradictions:
            typer.echo(line)
        if given.description is not None and given.kinematics is None:
            typer.echo(
                f"note: signs and zeros of {Path(given.description).name} were held against limits alone, as the robot "
                "file has no kinematics: draw it, and compare joint by joint with the arm"
            )
        typer.echo(f"calibration: {'differs from the servos: ' + ', '.join(differ) if differ else 'as in the servos'}")
        if picture is not None:
            poses = {"as it is read": arm.angles, "check pose": there.pose("check"), "rest pose": there.pose("rest")}
            names = [name for name in there.joint_names if name in known.joints]
            if len(names) == len(there.joint_names):
                poses["the contract's default pose"] = tuple(known.joints[name].default for name in names)
            reason = draw_poses(there, poses, picture)  # type: ignore[arg-type]
            typer.echo(f"wrote {picture}" if reason is None else f"no picture: {reason}")
        if confirm:
            note_confirmation(there, arm.calibration, arm.calibration_file, arm.angles)
            typer.echo(f"signs and zeros confirmed: {note_of(arm.calibration_file)}")
        else:
            typer.echo(unconfirmed(there, arm.calibration, arm.calibration_file) or "signs and zeros were confirmed")


def _described(robot: RobotFile) -> list[str]:
    """What the robot file's description has otherwise, a line each."""
    try:
        from policy_port.robots.arm.described import misfits
    except ModuleNotFoundError as cause:
        return [f"description: not compared, as {cause.name} is not installed: pip install 'policy-port[sim]'"]
    mend = "Give the description that the joint map was written for, or a joint map with this one's signs and zeros"
    return [f"description: {problem}. {mend}" for problem in misfits(robot)]


@robot_app.command("release")
def release(robot: FileOption) -> None:
    """Switch torque off, joint by joint. Hold the arm: it falls where it is not folded."""
    from policy_port.robots.arm.robot_file import load_robot_file
    from policy_port.robots.arm.session import let_go

    silent = let_go(load_robot_file(robot))
    typer.echo(f"not confirmed by {', '.join(silent)}: switch the power off" if silent else "torque is off")
    if silent:
        raise typer.Exit(1)
