"""`policy-port emulate`: an arm that is not there, to rehearse a deployment with."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from policy_port import counts
from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.robots.emulator import EmulatedArm
    from policy_port.robots.emulator.options import CameraSpec


ROBOTS = ("so100", "so101")
RobotArgument = Annotated[str, typer.Argument(help="so100 or so101: the same servos.", show_default=False)]
LinkOption = Annotated[
    Path | None, typer.Option(help="Symbolic link to make to the port, for robot files.", show_default=False)
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        help="LeRobot's calibration file that the servos hold; where it does not exist, it is written, with the "
        "emulated arm's own calibration. LeRobot reads CALIBRATION_DIR/ID.json.",
        show_default=False,
    ),
]
LatencyOption = Annotated[float, typer.Option(help="From an instruction to its answer [ms].")]
ModelOption = Annotated[
    Literal["servo", "mujoco"], typer.Option(help="servo: joints with lag; mujoco: the robot in MuJoCo.")
]
DynamicsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="dynamics.yaml of an arm that this one behaves like; with --model mujoco."),
]
CameraOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=WxH@FPS", help="A camera, MJPEG on the loopback interface. Repeatable."),
]
ViewOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]FILE",
        help="view.yaml: where the camera of this name stands, and how it looks. It then sees the arm on a table. "
        "Repeatable.",
    ),
]
LensOption = Annotated[
    str | None,
    typer.Option(metavar="NAME=N,...", help="Of all cameras: blur [pixels], light, warmth, gain; such as light=0.8."),
]
FaultOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SPEC",
        help="KIND[:TARGET][:NUMBER][@START][+DURATION], such as silent:elbow_flex@5+2. Repeatable.",
    ),
]
DurationOption = Annotated[
    float | None, typer.Option(help="End after so many seconds; without it, Ctrl-C does.", show_default=False)
]


@dataclass(frozen=True, kw_only=True)
class EmulateOptions:
    """What is given on the command line."""

    robot: RobotArgument = "so100"
    port_link: LinkOption = None
    calibration: CalibrationOption = None
    latency_ms: LatencyOption = 1.0
    model: ModelOption = "servo"
    dynamics: DynamicsOption = None
    camera: CameraOption = None
    view: ViewOption = None
    lens: LensOption = None
    fault: FaultOption = None
    faults: Annotated[bool, typer.Option("--faults", help="List the kinds of faults and end.")] = False
    seed: Annotated[int, typer.Option(min=0, max=counts.SEED, help="Seed of the faults that strike at random.")] = 0
    duration: DurationOption = None


@takes(EmulateOptions)
def emulate(options: EmulateOptions) -> None:
    """Emulate an SO100 or SO101 arm: servos behind a port that LeRobot opens, cameras, and faults on demand."""
    from policy_port.dynamics.document import load_dynamics
    from policy_port.errors import EmulatorError, closest
    from policy_port.robots.emulator import EmulatedArm
    from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION, write_calibration
    from policy_port.robots.emulator.fault_kinds import table

    if options.faults:
        typer.echo(table())
        return
    if options.robot not in ROBOTS:
        hint = closest(options.robot, ROBOTS) or "."
        raise EmulatorError(f"no emulated robot is called '{options.robot}'{hint} There are: {', '.join(ROBOTS)}")
    if options.model == "mujoco" and options.robot != "so100":
        raise EmulatorError(
            f"--model mujoco: the robot description of an {options.robot} ships with nothing here, and an SO100's "
            "links are others. Leave --model out"
        )
    if options.calibration is not None and not options.calibration.exists():
        write_calibration(options.calibration)
        typer.echo(f"calibration  written to {options.calibration}")
    arm = EmulatedArm(
        options.calibration or DEFAULT_CALIBRATION,
        latency=options.latency_ms / 1000.0,
        model=options.model,
        dynamics=None if options.dynamics is None else load_dynamics(options.dynamics),
        cameras=placed(options.camera or (), options.view or (), options.lens),
        faults=options.fault or (),
        port_link=options.port_link,
        seed=options.seed,
    )
    with _interrupts() as end, arm:
        typer.echo(f"port         {arm.port}")
        for spec in arm.options.cameras:
            size = f"{spec.width}x{spec.height}, up to {spec.fps:g} frames per second"
            typer.echo(f"camera       {spec.name}: {arm.camera_url(spec.name)} ({size})")
        if options.duration is None:
            typer.echo("Ctrl-C unplugs the arm.")
        end.wait(options.duration)
        typer.echo(_summary(arm))


def placed(cameras: Sequence[str], views: Sequence[str], lens: str | None = None) -> list[CameraSpec]:
    """Cameras such as front=640x480@30, each where its view says: front=view.yaml, or view.yaml where it is alone.

    Raises:
        EmulatorError: When one can't be understood, or a view is of no camera.
        CameraError: When a view can't be read.
    """
    from policy_port.camera.view import load_view
    from policy_port.errors import EmulatorError, closest
    from policy_port.robots.emulator.lens import Lens, parse_lens
    from policy_port.robots.emulator.options import parse_camera

    specs = {spec.name: spec for spec in map(parse_camera, cameras)}
    if len(specs) < len(cameras):
        raise EmulatorError(f"two cameras have the same name: {', '.join(cameras)}; name each by its own")
    seen: dict[str, str] = {}
    for text in views:
        name, equals, file = text.partition("=")
        if not equals:
            if len(specs) != 1:
                raise EmulatorError(
                    f"--view {text}: there are {len(specs)} cameras ({', '.join(specs) or 'none'}); write --view "
                    "NAME=FILE, and --camera for each"
                )
            name, file = next(iter(specs)), text
        if name not in specs:
            hint = closest(name, specs) or "."
            raise EmulatorError(f"--view {text}: no camera is called '{name}'{hint} Name them with --camera")
        if name in seen:
            raise EmulatorError(f"--view: camera '{name}' has two views, {seen[name]} and {file}; leave one out")
        seen[name] = file
        specs[name] = replace(specs[name], view=load_view(file).view)
    through = Lens() if lens is None else parse_lens(lens)
    return [replace(spec, lens=through) for spec in specs.values()]


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: for an arm that is being unplugged, they are the normal end."""
    end = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: end.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread()
    }
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(arm: EmulatedArm) -> str:
    goals = len(arm.goals())
    torque = ", ".join(servo.name for servo in arm.servos if servo.torque)
    return f"unplugged    after {goals} goals; torque is {'on: ' + torque if torque else 'off on all servos'}"
