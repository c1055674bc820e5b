"""An ONNX file in ONNX Runtime, the yardstick that its reading is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.checkpoints.onnx.graph_inputs import GraphInputs
from policy_port.checkpoints.policy import OriginalRunner
from policy_port.errors import CheckpointError
from policy_port.onnx_session import open_session


class OnnxOriginal(OriginalRunner):
    """The model in ONNX Runtime on one CPU thread, with its state kept for each row."""

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
            return np.asarray(self._session.run([ports.actions], {ports.obs: rows, **shown})[0])
        while len(self._rows) < len(rows):
            self._rows.append([np.zeros((layers, 1, hidden), np.float32) for layers, hidden in ports.state_shapes])
        names = [ports.actions, *(out for _, out in ports.states)]
        actions = []
        for index, row in enumerate(rows):
            state = {name: value for (name, _), value in zip(ports.states, self._rows[index], strict=True)}
            action, *new = self._session.run(
                names,
                {ports.obs: row[None], **{key: value[index : index + 1] for key, value in shown.items()}, **state},
            )
            self._rows[index] = [np.asarray(value) for value in new]
            actions.append(np.asarray(action))
        return np.concatenate(actions)
