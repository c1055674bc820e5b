"""The part of a dynamics.yaml for learned actuators: a network beside the document, and what goes in and comes out.

A network is of one joint, and drives each joint that it names with the same weights. Isaac Lab's ActuatorNetMLPCfg says
the same in other words: input_order is the order of `inputs`, input_idx their `lags`, pos_scale, vel_scale and
torque_scale the scales, and `spacing` its physics timestep; ActuatorNetLSTMCfg has no history but a `state`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, StringConstraints, model_validator

from policy_port.contract.yaml_file import Strict
from policy_port.errors import DynamicsError
from policy_port.files import write_atomic

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a file, 64 hexadecimal digits."""
SUFFIXES = (".onnx", ".pt", ".pth", ".jit", ".ts")
"""What a network's file ends in: ONNX, or TorchScript."""
MOST_BYTES = 64 * 1024 * 1024
"""Largest network's file."""
Scale = Annotated[float, Field(ge=-1e4, le=1e4)]


class ActuatorInput(Strict):
    """Some of the network's inputs, one per lag."""

    name: Literal["position_error", "velocity"]
    """position_error: target less position [rad]; write scale: -1.0 where a network was given position less target.
    velocity: of the joint [rad/s]."""
    lags: tuple[Annotated[int, Field(ge=0, le=200)], ...] = Field((0,), min_length=1)
    """How many spacings ago each input was, in the network's order: 0 is now."""
    scale: Scale = 1.0
    """What the network is given per unit; never 0."""

    @model_validator(mode="after")
    def _says_something(self) -> ActuatorInput:
        if self.scale == 0.0:
            raise ValueError("scale: by 0 the network learns nothing of it; leave the input out")
        if len(set(self.lags)) < len(self.lags):
            raise ValueError("lags: one stands twice")
        return self


class ActuatorState(Strict):
    """What an LSTM remembers of each joint: two arrays, shape (layers, rows, width) each, 0 at the start."""

    layers: Annotated[int, Field(ge=1, le=16)]
    """Layers of the LSTM."""
    width: Annotated[int, Field(ge=1, le=4096)]
    """Units of each."""


class Actuator(Strict):
    """A learned actuator, and the joints that it drives."""

    file: Annotated[str, StringConstraints(pattern=r"^[^/\\]+$")]
    """Name of the network's file, which lies beside the document: ONNX or TorchScript."""
    sha256: Hash
    """Its content."""
    joints: tuple[str, ...] | None = Field(None, min_length=1)
    """By the robot file's names; None for all that have a drive."""
    inputs: tuple[ActuatorInput, ...] = Field(min_length=1)
    """What the network is given, in its order: shape (rows, inputs), of an LSTM (rows, 1, inputs)."""
    spacing: Annotated[float, Field(gt=0.0, le=0.1)]
    """Time from one lag to the next, and from one step of an LSTM to the next [s]: the physics timestep that the
    network was trained at, as a rule."""
    output: Literal["torque", "residual_torque", "residual_acceleration"]
    """torque: it takes the place of the drive [N m]. residual_torque: beside the drive [N m]. residual_acceleration:
    beside the drive [rad/s^2]; the torque is what the robot's inertia asks for it."""
    output_scale: Scale = 1.0
    """[N m] or [rad/s^2] per output of the network; never 0."""
    state: ActuatorState | None = None
    """Of an LSTM, which takes (input, (hidden, cell)) or three inputs, and returns the same; None for a network that
    remembers nothing."""
    saturation_effort: Annotated[float, Field(gt=0.0)] | None = None
    """Torque of the motor at rest [N m], from which its bound falls to 0 at `velocity_limit`."""
    velocity_limit: Annotated[float, Field(gt=0.0)] | None = None
    """Velocity at which the motor has no torque left [rad/s]."""
    source: str | None = None
    """Where it came from."""

    _data: bytes | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _is_whole(self) -> Actuator:
        if self.output_scale == 0.0:
            raise ValueError("output_scale: by 0 the network does nothing; leave the actuator out")
        if not self.file.lower().endswith(SUFFIXES):
            raise ValueError(f"file: '{self.file}' ends in none of {', '.join(SUFFIXES)}")
        if (self.saturation_effort is None) != (self.velocity_limit is None):
            raise ValueError("saturation_effort and velocity_limit are the two ends of one line; give both or neither")
        names = [item.name for item in self.inputs]
        if "position_error" not in names and self.output == "torque":
            raise ValueError("inputs: a network that takes the place of the drive needs position_error")
        if self.state is not None and any(item.lags != (0,) for item in self.inputs):
            raise ValueError("inputs: an LSTM remembers by its state; leave lags out, or state")
        if len({(item.name, lag) for item in self.inputs for lag in item.lags}) < self.width:
            raise ValueError("inputs: the same lag of the same input stands twice")
        return self

    @property
    def width(self) -> int:
        """Number of the network's inputs."""
        return sum(len(item.lags) for item in self.inputs)

    @property
    def data(self) -> bytes:
        """The network's file.

        Raises:
            DynamicsError: When the document was made without it.
        """
        if self._data is None:
            raise DynamicsError(f"actuator: nobody has read {self.file}; read the document with load_dynamics")
        return self._data

    def with_data(self, data: bytes) -> Actuator:
        """The same with its network's file at hand.

        Raises:
            DynamicsError: When that is another file than the one that `sha256` names.
        """
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise DynamicsError(
                f"actuator.sha256: {self.file} is another file than the one that the document was written with: its "
                f"SHA-256 is {found}, not {self.sha256[:12]}.... Put that file beside it, or write the new one's hash"
            )
        made = self.model_copy()
        made._data = data
        return made


def _one_or_more(given: Any) -> Any:
    return [given] if isinstance(given, dict | Actuator) else given


Actuators = Annotated[tuple[Actuator, ...], BeforeValidator(_one_or_more)]
"""One, or one for each group of joints."""


def read_networks(actuators: tuple[Actuator, ...], document: Path) -> tuple[Actuator, ...]:
    """The actuators with their networks' files, which lie beside the document.

    Raises:
        DynamicsError: When one is missing, or another file.
    """
    made = []
    for item in actuators:
        path = document.parent / item.file
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DynamicsError(f"{path}: more than {MOST_BYTES} bytes are too many for an actuator's network")
            data = path.read_bytes()
        except OSError as cause:
            raise DynamicsError(
                f"{document}: actuator.file: {path} can't be read ({cause.strerror}); the network's file lies beside "
                "the document"
            ) from None
        try:
            made.append(item.with_data(data))
        except DynamicsError as cause:
            raise DynamicsError(f"{document}: {cause}") from None
    return tuple(made)


def write_networks(actuators: tuple[Actuator, ...], folder: Path) -> None:
    """Write networks' files beside a document that is written there.

    Raises:
        OutputError: When one can't be written.
    """
    for item in actuators:
        write_atomic(folder / item.file, item.data)
