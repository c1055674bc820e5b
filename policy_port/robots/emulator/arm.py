"""The emulated arm as tests and programs use it: in this process, or in one of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from policy_port.camera.view import Quaternion, Vector
from policy_port.errors import EmulatorError
from policy_port.robots.emulator.bus import WireWrite
from policy_port.robots.emulator.calibration import (
    DEFAULT_CALIBRATION,
    Calibration,
    read_calibration,
    write_calibration,
)
from policy_port.robots.emulator.clock import REAL, Clock
from policy_port.robots.emulator.engine import Engine
from policy_port.robots.emulator.faults import Fault
from policy_port.robots.emulator.options import ArmChoices, ArmOptions, CameraSpec, parse_camera
from policy_port.robots.emulator.process import EngineProcess
from policy_port.robots.emulator.servo import ServoState


class EmulatedArm:
    """Six STS3215 servos behind a pseudo-terminal, for the real driver to open.

        with EmulatedArm(faults=["silent:elbow_flex@5"], process=True) as arm:
            arm.write_calibration(folder / "emulated.json")
            SOFollower(SOFollowerRobotConfig(port=arm.port, id="emulated", calibration_dir=folder)).connect()

    Leaving the block unplugs the arm and leaves no thread, process, descriptor or link behind.
    """

    def __init__(
        self,
        calibration: Calibration | Path | str = DEFAULT_CALIBRATION,
        *,
        cameras: Iterable[CameraSpec | str] = (),
        faults: Iterable[Fault | str] = (),
        port_link: Path | str | None = None,
        process: bool = False,
        clock: Clock = REAL,
        **choices: Unpack[ArmChoices],
    ) -> None:
        """Describe the arm; it begins to live with the `with` block.

        Args:
            calibration: What it was calibrated to, or a file that LeRobot has written.
            cameras: Cameras, such as "front=640x480@30".
            faults: Faults, timed from the start of the `with` block.
            port_link: Symbolic link to make to the port.
            process: Live in a process of its own, so that neither side's Python holds up the other's.
            clock: The time in which the arm moves; on a virtual one it moves and answers while its users sleep on that
                clock or look at it, and cameras still take real time.
            **choices: `mapping`, `pose`, `latency`, `model`, `plant_setup`, `dynamics`, `things`, `description` and
                `seed`, see `ArmOptions`.

        Raises:
            EmulatorError: When something asked for does not exist, saying what does.
        """
        known = read_calibration(calibration) if isinstance(calibration, Path | str) else calibration
        self.options = ArmOptions(
            calibration=dict(known),
            cameras=tuple(parse_camera(camera) if isinstance(camera, str) else camera for camera in cameras),
            faults=tuple(str(fault) for fault in faults),
            port_link=None if port_link is None else Path(port_link).absolute(),
            **choices,
        )
        if process and clock is not REAL:
            raise EmulatorError("an arm in a process of its own lives in real time; leave out process or clock")
        self._in_process, self.clock = process, clock
        self._engine: Engine | EngineProcess | None = None

    def __enter__(self) -> EmulatedArm:
        engine = EngineProcess(self.options) if self._in_process else Engine(self.options, self.clock)
        engine.start()
        self._engine = engine
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unplug the arm. Twice is harmless."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    @property
    def port(self) -> str:
        """Path that a driver opens: `port_link`, or else a new one each time the arm is plugged in."""
        return self._ask("port")

    @property
    def wire_log(self) -> tuple[WireWrite, ...]:
        """Every register that hosts have written over the wire, in order of arrival, on the arm's clock."""
        return self._ask("wire_log")

    def goals(self, joint: str | None = None) -> tuple[WireWrite, ...]:
        """The goal positions in the wire log, of one joint or of all."""
        return self._written("Goal_Position", joint)

    def torque_commands(self, joint: str | None = None) -> tuple[WireWrite, ...]:
        """The torque commands in the wire log, of one joint or of all; value 1 is on, 0 is off."""
        return self._written("Torque_Enable", joint)

    def servo(self, name: str) -> ServoState:
        """A servo as it is now, seen from inside."""
        return self._ask("servo", name)

    @property
    def servos(self) -> tuple[ServoState, ...]:
        """All servos as they are now."""
        return tuple(self.servo(name) for name in self.options.calibration)

    def angles(self) -> dict[str, float]:
        """Where every joint truly is [rad], whatever its sensor reads."""
        return self._ask("angles")

    def camera_url(self, name: str) -> str:
        """Address of a camera; LeRobot's OpenCVCamera takes it as a str, and neither fps nor size beside it."""
        return self._ask("camera_url", name)

    def place(self, name: str, position: Vector | None, rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)) -> None:
        """Lay one of the `things` somewhere in the base's frame [m], or take it away (None)."""
        self._ask("place", name, position, rotation)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that are there now."""
        return self._ask("active_faults")

    def inject(self, fault: Fault | str) -> Fault:
        """Let something go wrong, "stuck:elbow_flex@2+1": in 2 s, for 1 s. Returns what `clear` takes."""
        return self._ask("inject", fault)

    def clear(self, fault: Fault | str | None = None) -> None:
        """Take a fault back, also one that has not started; all of them, if None."""
        self._ask("clear", fault)

    def write_calibration(self, path: Path | str) -> Path:
        """Write the arm's calibration where LeRobot finds it, `<calibration_dir>/<id>.json`."""
        return write_calibration(path, self.options.calibration)

    def _written(self, register: str, joint: str | None) -> tuple[WireWrite, ...]:
        return tuple(item for item in self.wire_log if item.register == register and joint in (None, item.joint))

    def _ask(self, call: str, *arguments: Any) -> Any:
        if self._engine is None:
            raise RuntimeError("the emulated arm is not running; use it inside its `with` block")
        return self._engine.ask(call, *arguments)
