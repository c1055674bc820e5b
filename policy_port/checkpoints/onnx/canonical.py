"""A network's graph from one observation (batch, width) and states (layers, batch, hidden), whatever the file has.

A file may take several vectors, stacks of them, states with the batch in front, or no batch axis at all. What runs the
file itself fills those; the reader sees them as parts of one observation and as states along three axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from policy_port.checkpoints.onnx.graph_inputs import GraphInputs
from policy_port.checkpoints.onnx.prefixed import with_batch_axis
from policy_port.checkpoints.onnx.state_ports import StatePort

MARK = "policy_port_"
"""Beginning of the names of values that are added."""


def canonical(model: onnx.ModelProto, ports: GraphInputs, where: str) -> onnx.ModelProto:
    """The model with nodes around it that read `ports.obs` and each state's `reads`, and write `actions` and `writes`.

    What it declares as inputs and outputs stays the file's own.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(with_batch_axis(model, where) if ports.prefixed else model)
    around = _Around(changed)
    around.observation(ports)
    for state in ports.states:
        around.state(state, prefixed=ports.prefixed)
    if ports.flat_actions:
        around.reshape(ports.flat_actions, ports.actions, [-1, ports.action_size], around.after)
    nodes = [*around.before, *changed.graph.node, *around.after]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del changed.graph.node[:]
    changed.graph.node.extend(copies)
    return changed


class _Around:
    """Nodes before and behind a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.before: list[onnx.NodeProto] = []
        self.after: list[onnx.NodeProto] = []

    def observation(self, ports: GraphInputs) -> None:
        """One observation, cut into the vectors that the file reads."""
        if ports.obs == ports.vectors[0].name:
            return
        parts = [f"{MARK}vector_{index}" for index in range(len(ports.vectors))]
        if len(parts) == 1:
            parts = [ports.obs]
        else:
            widths = [vector.width for vector in ports.vectors]
            self.before.append(helper.make_node("Split", [ports.obs], parts, axis=1, split=widths))
        for vector, part in zip(ports.vectors, parts, strict=True):
            self.reshape(part, vector.name, [-1, *vector.shape], self.before)

    def state(self, state: StatePort, *, prefixed: bool) -> None:
        """A state along (layers, batch, hidden), and what carries it on."""
        if state.reads == state.input:
            return
        layers, hidden = state.size
        inner, outer = f"{state.reads}_turned", f"{state.writes}_turned"
        if prefixed:
            self.before.append(helper.make_node("Transpose", [state.reads], [inner], perm=[1, 0, 2]))
            self.reshape(inner, state.input, [-1, *state.shape], self.before)
            self.reshape(state.output, outer, [-1, layers, hidden], self.after)
            self.after.append(helper.make_node("Transpose", [outer], [state.writes], perm=[1, 0, 2]))
        elif len(state.shape) == 3:
            self.before.append(helper.make_node("Transpose", [state.reads], [state.input], perm=[1, 0, 2]))
            self.after.append(helper.make_node("Transpose", [state.output], [state.writes], perm=[1, 0, 2]))
        else:
            self.before.append(helper.make_node("Squeeze", [state.reads], [state.input], axes=[0]))
            self.after.append(helper.make_node("Unsqueeze", [state.output], [state.writes], axes=[0]))

    def reshape(self, start: str, end: str, target: Sequence[int], nodes: list[onnx.NodeProto]) -> None:
        """Add a reshape."""
        name = f"{MARK}shape_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
        nodes.append(helper.make_node("Reshape", [start, name], [end]))
