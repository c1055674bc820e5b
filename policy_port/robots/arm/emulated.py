"""A robot file's arm, emulated: for rehearsing a deployment before there is an arm, or before it is trusted."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

from policy_port.dynamics.document import Dynamics
from policy_port.robots.arm.confirmation import confirm
from policy_port.robots.arm.robot_file import MOTORS, RobotFile, load_robot_file
from policy_port.robots.arm.session import without_torque
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION, read_calibration
from policy_port.robots.emulator.clock import REAL, Clock, VirtualClock
from policy_port.robots.emulator.lens import Outlook
from policy_port.robots.emulator.options import ArmChoices, CameraSpec
from policy_port.robots.emulator.tick_map import tick_scales

LATENCY = 0.001
"""Of a USB adapter [s]."""
DIALS = Outlook()
"""Cameras that stand nowhere: they show that the arm moves."""
PATIENCE = {"heartbeat": 600.0, "stale_frame": 30.0}
"""Bounds of the robot file on what takes real time on a virtual clock too [s]: the watchdog's and the cameras'."""
HELD = "stuck"
"""The fault that is a person's hand: joints without torque stay where they are."""


@dataclass(frozen=True)
class Rehearsal:
    """An emulated arm at rest."""

    robot: RobotFile
    """The robot file, which leads to it."""
    arm: EmulatedArm
    """The arm, still held by hand."""

    def let_go(self) -> None:
        """The hand lets go: torque is on."""
        with contextlib.suppress(Exception):
            self.arm.clear(HELD)

    def lay(self) -> None:
        """A person lays it down to rest again, and holds it there."""
        lay_down(self.arm, self.robot)


def lay_down(arm: EmulatedArm, robot: RobotFile) -> None:
    """Move the joints of an arm without torque to the rest pose of its robot file, and hold them there by hand."""
    scales, angles = tick_scales(arm.options.calibration, arm.options.mapping), arm.angles()
    arm.inject(HELD)
    for name, angle in zip(robot.joint_names, robot.pose("rest"), strict=True):
        motor = next(motor for motor, scale in scales.items() if scale.joint == name)
        away = round((angle - angles[motor]) / scales[motor].slope)
        # A push goes half a turn at most.
        for part in (away // 2, away - away // 2):
            arm.inject(f"push:{motor}:{part}")


def on_its_own_clock(robot: RobotFile) -> RobotFile:
    """The robot file of an arm that is driven on a virtual clock, with patience for what takes real time there too."""
    return robot.model_copy(update={"timing": robot.timing.model_copy(update=PATIENCE)})


@contextlib.contextmanager
def emulate(
    robot: RobotFile,
    *,
    faults: Sequence[str] = (),
    dynamics: Dynamics | None = None,
    seed: int = 0,
    clock: Clock = REAL,
    outlook: Outlook = DIALS,
) -> Iterator[Rehearsal]:
    """An arm as the shipped robot file of this kind describes it, driven through `robot`, which may be wrong.

    Somebody has put it into its check pose and confirmed signs and zeros, and laid it down to rest.

    Args:
        robot: The robot file to rehearse.
        faults: Faults of the emulated arm, timed from the start.
        dynamics: What was identified of an arm that this one is to behave like; it moves in MuJoCo then.
        seed: Seed of the faults that strike at random, and of the encoders' noise.
        clock: The time in which it moves; `EmulatedArm` says more.
        outlook: What its cameras see.

    Raises:
        RobotError: When `robot` reads the check pose as another one, or dynamics are given of an arm without a
            description.
    """
    truth = load_robot_file(robot.name)
    with tempfile.TemporaryDirectory(prefix="policy_port_") as folder:
        calibration = DEFAULT_CALIBRATION
        own = None if robot.calibration_dir is None else robot.calibration_dir / f"{robot.id}.json"
        if own is not None and own.is_file():
            calibration = read_calibration(own)

        def arm(
            lying: Literal["rest", "check"],
            *faults: str,
            time: Clock = clock,
            cameras: Sequence[CameraSpec] = (),
            **more: Unpack[ArmChoices],
        ) -> EmulatedArm:
            more |= {"mapping": truth.mapping, "latency": LATENCY}
            more["pose"] = dict(zip(MOTORS, truth.pose(lying), strict=True))
            real = time is REAL
            return EmulatedArm(calibration, cameras=cameras, faults=faults, process=real, clock=time, **more)

        there = {"calibration_dir": Path(folder)}
        # Nobody waits for an arm that is only read, and lies still: it needs neither a process nor real time.
        still = VirtualClock()
        with arm("check", HELD, time=still) as held:
            held.write_calibration(Path(folder) / f"{robot.id}.json")
            patient = on_its_own_clock(robot.model_copy(update=there | {"port": held.port}))
            with without_torque(patient, time=still) as reached:
                confirm(robot, reached.calibration, reached.calibration_file, reached.angles)
        choices: ArmChoices = {"dynamics": dynamics, "seed": seed, "things": outlook.things}
        if robot.description is not None or dynamics is not None:
            choices["description"] = robot.described
        choices["model"] = "servo" if dynamics is None else "mujoco"
        with arm("rest", HELD, *faults, cameras=_cameras(robot, outlook), **choices) as resting:
            sources = {n: c.model_copy(update={"source": resting.camera_url(n)}) for n, c in robot.cameras.items()}
            yield Rehearsal(robot.model_copy(update=there | {"port": resting.port, "cameras": sources}), resting)


def _cameras(robot: RobotFile, outlook: Outlook) -> list[CameraSpec]:
    return [
        CameraSpec(
            name=name, width=c.width, height=c.height, fps=c.fps, view=outlook.views.get(name), lens=outlook.lens
        )
        for name, c in robot.cameras.items()
    ]
