"""Learned actuators in a plant's physics step: what their networks are given, and the torque that comes of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.actuator import Actuator
from policy_port.errors import CheckpointError, DynamicsError
from policy_port.onnx_session import open_session

if TYPE_CHECKING:
    from policy_port.checkpoints.torchscript.rows import RowsFunction

Rows = NDArray[np.float32]


class Network:
    """A learned actuator's network: rows of inputs in, an output per row out."""

    def __init__(self, actuator: Actuator) -> None:
        """Open it.

        Raises:
            DynamicsError: When its file is damaged, unsafe, or takes and gives something else.
        """
        self.actuator = actuator
        self.where = f"dynamics: actuator: {actuator.file}"
        """How a message about it begins."""
        try:
            onnx = actuator.file.lower().endswith(".onnx")
            self._call = self._onnx() if onnx else self._torchscript()
            self(np.zeros((2, actuator.width)), self.start(2))
        except CheckpointError as cause:
            raise DynamicsError(f"dynamics: actuator: {cause}") from None

    def read_as(self, actuator: Actuator) -> Network:
        """The same network under another statement of what its inputs are."""
        made = copy.copy(self)
        made.actuator = actuator
        return made

    def start(self, rows: int) -> tuple[Rows, ...]:
        """What it remembers at the start; nothing, if it is no LSTM."""
        state = self.actuator.state
        if state is None:
            return ()
        return tuple(np.zeros((state.layers, rows, state.width), np.float32) for _ in ("hidden", "cell"))

    def __call__(self, inputs: Array, state: tuple[Rows, ...]) -> tuple[Array, tuple[Rows, ...]]:
        """Run it.

        Args:
            inputs: In the network's order, scaled, shape (rows, inputs).
            state: What it remembers.

        Returns:
            Its scaled outputs [N m or rad/s^2], shape (rows,), and what it remembers then.
        """
        given = inputs.astype(np.float32)
        output, after = self._call(given[:, None] if self.actuator.state else given, state)
        said, remembered = [part.shape for part in after], [part.shape for part in state]
        if output.size != len(inputs) or said != remembered:
            raise DynamicsError(
                f"{self.where}: of {len(inputs)} rows of {self.actuator.width} inputs it makes an output of shape "
                f"{output.shape}{f' and state of shapes {said}' if said != remembered else ''}; one output per row, "
                f"which is a joint, {f'and state of shapes {remembered} ' if remembered else ''}is needed. State what "
                "it takes under inputs and state"
            )
        return output.reshape(-1).astype(np.float64) * self.actuator.output_scale, after

    def _torchscript(self) -> RowsFunction:
        from policy_port.checkpoints.torchscript.rows import open_rows

        return open_rows(Path(self.actuator.file), self.actuator.data)

    def _onnx(self) -> RowsFunction:
        session = open_session(self.actuator.data, DynamicsError, f"{self.where}:")
        names = [item.name for item in session.get_inputs()]
        wanted = 3 if self.actuator.state else 1
        if len(names) != wanted:
            raise DynamicsError(
                f"{self.where}: takes {len(names)} inputs ({', '.join(names)}); expected {wanted}: "
                f"{'rows, hidden and cell' if wanted == 3 else 'rows; an LSTM is stated with state'}"
            )

        def call(rows: Rows, state: tuple[Rows, ...]) -> tuple[Rows, tuple[Rows, ...]]:
            try:
                found = session.run(None, dict(zip(names, (rows, *state), strict=True)))
            # ONNX Runtime raises classes of its own that share no base but Exception.
            except Exception as cause:
                raise DynamicsError(
                    f"{self.where}: can't be run with rows of shape {rows.shape}: {str(cause).strip().splitlines()[0]}"
                ) from None
            return np.asarray(found[0]), tuple(np.asarray(part) for part in found[1:])

        return call


class LearnedActuator:
    """A network that drives some joints of all environments."""

    def __init__(self, network: Network, columns: NDArray[np.intp], num_envs: int, timestep: float) -> None:
        """Prepare its history.

        Args:
            network: The network.
            columns: Its joints, among the plant's.
            num_envs: Number of environments.
            timestep: Physics timestep [s].

        Raises:
            DynamicsError: When its spacing is no whole number of physics steps.
        """
        actuator = network.actuator
        steps = actuator.spacing / timestep
        self._every = round(steps)
        if self._every < 1 or abs(steps - self._every) > 1e-6 * steps:
            raise DynamicsError(
                f"{network.where}: its inputs are {actuator.spacing:g} s apart, which is no whole number of physics "
                f"steps of {timestep:g} s. Write a timestep into the contract that divides the spacing"
            )
        self.network, self.columns = network, columns
        depth = 1 + self._every * max(lag for item in actuator.inputs for lag in item.lags)
        self._past = {name: np.zeros((depth, num_envs, len(columns))) for name in ("position_error", "velocity")}
        self._state = network.start(num_envs * len(columns))
        self._age = np.zeros(num_envs, dtype=np.intp)
        self._now, self._last = 0, np.zeros((num_envs, len(columns)))

    def reset(self, rows: NDArray[np.bool_]) -> None:
        """Environments are at rest at their targets, and have been."""
        for past in self._past.values():
            past[:, rows] = 0.0
        self._age[rows], self._last[rows] = 0, 0.0
        for part in self._state:
            part.reshape(len(part), len(rows), -1)[:, rows] = 0.0

    def output(self, target: Array, state: PlantState) -> Array:
        """What the network says in the next physics step [N m or rad/s^2], shape (num_envs, its joints)."""
        actuator, chosen = self.network.actuator, self.columns
        self._past["position_error"][self._now] = (target - state.joint_pos)[:, chosen]
        self._past["velocity"][self._now] = state.joint_vel[:, chosen]
        depth = len(self._past["velocity"])
        inputs = np.stack(
            [
                item.scale * self._past[item.name][(self._now - lag * self._every) % depth].reshape(-1)
                for item in actuator.inputs
                for lag in item.lags
            ],
            axis=1,
        )
        self._now = (self._now + 1) % depth
        if actuator.state is None:
            self._last = self.network(inputs, ())[0].reshape(self._last.shape)
            return self._last
        due = self._age % self._every == 0
        self._age += 1
        if due.any():
            rows = np.repeat(due, len(chosen))
            found, after = self.network(inputs[rows], tuple(part[:, rows] for part in self._state))
            self._last[due] = found.reshape(-1, len(chosen))
            for part, new in zip(self._state, after, strict=True):
                part[:, rows] = new
        return self._last


def bounded(actuator: Actuator, torque: Array, velocity: Array, limit: Array) -> Array:
    """A torque within what the motor has [N m]: `limit`, falling with velocity where the document says so."""
    high, low = limit, -limit
    if actuator.saturation_effort is not None and actuator.velocity_limit is not None:
        fast = velocity / actuator.velocity_limit
        high = np.clip(actuator.saturation_effort * (1.0 - fast), -limit, limit)
        low = np.clip(-actuator.saturation_effort * (1.0 + fast), -limit, limit)
    return np.clip(torque, low, high)


def same_for_all(actuators: Sequence[tuple[Actuator, ...]]) -> tuple[Actuator, ...]:
    """The actuators of every environment.

    Raises:
        DynamicsError: When they differ.
    """
    if any(item != actuators[0] for item in actuators):
        raise DynamicsError("dynamics: actuator: environments have different ones; one plant runs the same for all")
    return actuators[0]
