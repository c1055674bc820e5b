"""What an emulated arm is to be, as plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from policy_port.camera.view import View
from policy_port.errors import EmulatorError
from policy_port.robots.emulator.calibration import Calibration
from policy_port.robots.emulator.lens import USUAL, Lens, SceneObject
from policy_port.robots.emulator.tick_map import DEFAULT_MAPPING

if TYPE_CHECKING:
    from policy_port.contract import RobotMapping
    from policy_port.dynamics.document import Dynamics
    from policy_port.plants.setup import PlantSetup

Model = Literal["servo", "mujoco"]

_CAMERA = re.compile(r"(?P<name>[A-Za-z0-9_-]+)=(?P<width>\d+)x(?P<height>\d+)@(?P<fps>\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """A camera: what it is called and what it delivers."""

    name: str
    """Letters, digits, - and _."""
    width: int = 640
    """Pixels."""
    height: int = 480
    """Pixels."""
    fps: float = 30.0
    """Frames per second, as far as drawing them keeps up."""
    view: View | None = None
    """Where it stands and how it looks, which nobody tells its users; None: it shows the arm from somewhere."""
    lens: Lens = USUAL
    """Light, focus and gain."""

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 1920 and 16 <= self.height <= 1080 and 0.0 < self.fps <= 240.0):
            raise EmulatorError(
                f"camera '{self.name}': {self.width}x{self.height}@{self.fps:g} is out of range; width is 16..1920, "
                "height 16..1080, frames per second up to 240"
            )
        if self.view is not None and self.view.size[0] * self.width != self.view.size[1] * self.height:
            rows, columns = self.view.size
            raise EmulatorError(
                f"camera '{self.name}': its view is of pictures of {columns}x{rows}, it delivers "
                f"{self.width}x{self.height}, of other proportions; write the view for these (size: rows, columns)"
            )


def parse_camera(text: str) -> CameraSpec:
    """Read a camera such as "front=640x480@30".

    Raises:
        EmulatorError: When it can't be understood.
    """
    match = _CAMERA.fullmatch(text.strip())
    if match is None:
        raise EmulatorError(f"camera '{text}': can't be read; write NAME=WIDTHxHEIGHT@FPS, such as front=640x480@30")
    return CameraSpec(
        name=match["name"], width=int(match["width"]), height=int(match["height"]), fps=float(match["fps"])
    )


class ArmChoices(TypedDict, total=False):
    """What may be chosen of an emulated arm beside its outer connections; `ArmOptions` describes each."""

    mapping: RobotMapping | Path | str
    pose: Mapping[str, float] | None
    latency: float
    model: Model
    plant_setup: PlantSetup | None
    dynamics: Dynamics | None
    things: tuple[SceneObject, ...]
    description: Path | str
    seed: int


@dataclass(frozen=True, kw_only=True)
class ArmOptions:
    """An emulated SO100 or SO101."""

    calibration: Calibration
    """What was calibrated: held by the servos, and where the joints' stops are."""
    mapping: RobotMapping | Path | str = DEFAULT_MAPPING
    """Where the robot description's joints are in LeRobot's numbers, on this arm."""
    pose: Mapping[str, float] | None = None
    """Joint angles at the start [rad], by servo; those of the rest pose for servos that are not named."""
    latency: float = 0.0
    """From an instruction to its answer [s]; a USB adapter takes about 0.001."""
    model: Model = "servo"
    """servo: each joint by itself, with lag, gravity, play. mujoco: the robot description in MuJoCo."""
    plant_setup: PlantSetup | None = None
    """Gains and time step of the MuJoCo model; those of an SO100's servos, if None."""
    dynamics: Dynamics | None = None
    """What was identified of an arm that this one is to behave like; needs the MuJoCo model."""
    cameras: tuple[CameraSpec, ...] = ()
    """Cameras that look at the arm."""
    things: tuple[SceneObject, ...] = ()
    """What cameras with a view see on the table beside the arm."""
    description: Path | str = "so100"
    """The arm, a file or a name: as it moves in the MuJoCo model, and as cameras with a view see it."""
    faults: tuple[str, ...] = ()
    """Faults, timed from the start of the emulation."""
    port_link: Path | None = None
    """Symbolic link to make to the port."""
    seed: int = 0
    """Seed of the faults that strike at random, and of the encoders' and the cameras' noise."""

    def __post_init__(self) -> None:
        for what, listed in (("cameras", self.cameras), ("things on the table", self.things)):
            names = [item.name for item in listed]
            if len(set(names)) < len(names):
                raise EmulatorError(f"two {what} have the same name: {', '.join(names)}")
        if not 0.0 <= self.latency <= 10.0:
            raise EmulatorError(f"a latency of {self.latency:g} s is out of range; it is 0 to 10 s")
        if self.dynamics is not None and self.model != "mujoco":
            raise EmulatorError(
                f"dynamics are of the robot in MuJoCo, and the model is {self.model}; write --model mujoco"
            )
        unknown = [name for name in self.pose or {} if name not in self.calibration]
        if unknown:
            raise EmulatorError(f"pose: no servo is called '{unknown[0]}'; they are: {', '.join(self.calibration)}")
