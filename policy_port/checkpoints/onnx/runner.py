"""An ONNX file in ONNX Runtime, the yardstick that its reading is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.checkpoints.onnx.graph_inputs import GraphInputs
from policy_port.checkpoints.policy import OriginalRunner
from policy_port.errors import CheckpointError
from policy_port.onnx_session import open_session


class OnnxOriginal(OriginalRunner):
    """The model in ONNX Runtime on one CPU thread, with its state kept for each row in the file's own shapes."""

    def __init__(self, model: bytes, ports: GraphInputs) -> None:
        self._session = open_session(model, CheckpointError, "the model:")
        self._ports = ports
        self._rows: list[list[NDArray[np.float32]]] = []

    def reset(self) -> None:
        """Set every row's state to zero."""
        self._rows = []

    def step(self, obs: NDArray[np.float32], *images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run the model on each row, or on all at once where neither state nor a fixed batch forbids it."""
        rows = np.ascontiguousarray(obs, dtype=np.float32)
        ports = self._ports
        shown = dict(zip([port.name for port in ports.images], images, strict=True))
        if not ports.states and not ports.fixed_batch:
            actions = np.asarray(self._session.run([ports.output], {**self._observed(rows), **shown})[0])
            return actions.reshape(len(rows), -1)
        while len(self._rows) < len(rows):
            self._rows.append([np.zeros(state.shape, np.float32) for state in ports.states])
        names = [ports.output, *(state.output for state in ports.states)]
        found = []
        for index in range(len(rows)):
            state = {port.input: value for port, value in zip(ports.states, self._rows[index], strict=True)}
            seen = {key: value[index : index + 1] for key, value in shown.items()}
            action, *new = self._session.run(names, {**self._observed(rows[index : index + 1]), **seen, **state})
            self._rows[index] = [np.asarray(value) for value in new]
            found.append(np.asarray(action).reshape(1, -1))
        return np.concatenate(found)

    def _observed(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The file's own vectors of some observations."""
        ends = np.cumsum([vector.width for vector in self._ports.vectors])
        parts = np.split(rows, ends[:-1], axis=1)
        batch = () if self._ports.prefixed else (len(rows),)
        return {
            vector.name: np.ascontiguousarray(part).reshape(*batch, *vector.shape)
            for vector, part in zip(self._ports.vectors, parts, strict=True)
        }
