"""The network of a graph that was taken apart, as a graph from one observation to one raw action."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from policy_port.checkpoints.files.leapp_yaml import LeappTensor, Pipeline
from policy_port.checkpoints.onnx.parts import Apart, Piece
from policy_port.errors import CheckpointError

_MARK = "policy_port_"
OBS, ACTIONS = "obs", "actions"


Steps = Sequence[tuple[str, list[int] | None]]
"""Operators one after the other, and the numbers that each is given."""


def network_of(whole: onnx.ModelProto, parts: Apart, pipeline: Pipeline) -> onnx.ModelProto:
    """The model with one observation for the parts' pieces, and with its states along three axes.

    Raises:
        CheckpointError: When a state has no such form, or does not begin with zeros.
    """
    graph = _Builder(whole)
    kept = {item.name: item for item in parts.model.inputs}
    for name in parts.carried:
        _require_zeros(pipeline, parts, name)
    graph.pieces(parts.pieces)
    for name, out in parts.carried.items():
        graph.state(kept[name], out, str(pipeline.path))
    graph.actions(parts)
    return graph.finish([item for item in whole.graph.input if item.name in kept and len(kept[item.name].shape) == 4])


def _require_zeros(pipeline: Pipeline, parts: Apart, name: str) -> None:
    start = pipeline.initial.get(f"{parts.model.name}/{name}")
    if start is not None and np.any(start):
        raise CheckpointError(
            f"{pipeline.path}: the state {name} begins with numbers other than 0 (pipeline.initial_values), which a "
            "port's network can't keep; export it in the state that follows a reset"
        )


class _Builder:
    """Puts a graph together from the end of another."""

    def __init__(self, whole: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(whole)
        self.before: list[onnx.NodeProto] = []
        self.after: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.given: set[str] = set()
        self._open_masks()

    def _open_masks(self) -> None:
        """Let the mask of a history buffer keep its batch: of three axes of size 1, only the middle one is it."""
        shapes = {tensor.name: tensor for tensor in self.model.graph.initializer}
        conditions = {node.input[0] for node in self.model.graph.node if node.op_type == "Where"}
        for node in self.model.graph.node:
            shape = shapes.get(node.input[1]) if node.op_type == "Reshape" and node.output[0] in conditions else None
            if shape is not None and numpy_helper.to_array(shape).tolist() == [1, 1, 1]:
                axes = self._constant(f"mask_{node.output[0]}", np.array([0, 2], np.int64))
                node.CopyFrom(helper.make_node("Unsqueeze", [node.input[0], axes], [node.output[0]]))

    def pieces(self, pieces: Sequence[Piece]) -> None:
        """One observation, cut into the values that it takes the place of."""
        widths = [piece.width for piece in pieces]
        self.inputs.append(_vector(_MARK + OBS, [1, sum(widths)]))
        parts = [f"{_MARK}piece_{index}" for index in range(len(pieces))]
        if len(pieces) == 1:
            parts = [_MARK + OBS]
        else:
            sizes = self._constant("widths", np.array(widths, np.int64))
            self.before.append(helper.make_node("Split", [_MARK + OBS, sizes], parts, axis=1))
        for index, (piece, part) in enumerate(zip(pieces, parts, strict=True)):
            self.given.add(piece.value)
            if len(piece.shape) == 2:
                self.before.append(helper.make_node("Identity", [part], [piece.value]))
            else:
                shape = self._constant(f"shape_{index}", np.array(piece.shape, np.int64))
                self.before.append(helper.make_node("Reshape", [part, shape], [piece.value]))

    def state(self, item: LeappTensor, out: str, where: str) -> None:
        """A state along (layers, batch, hidden), and what carries it on."""
        shape, name = item.shape, f"{item.name.removesuffix('_in')}_state"
        kind = next(info.type.tensor_type.elem_type for info in self.model.graph.input if info.name == item.name)
        inwards: Steps
        outwards: Steps
        if len(shape) == 3 and shape[1] == 1:
            sizes, inwards, outwards = [shape[0], 1, shape[2]], [("Identity", None)], [("Identity", None)]
        elif len(shape) == 2 and shape[0] == 1:
            sizes, inwards, outwards = [1, 1, shape[1]], [("Squeeze", [0])], [("Unsqueeze", [0])]
        elif shape == (1,):
            sizes, inwards, outwards = [1, 1, 1], [("Squeeze", [0, 2])], [("Unsqueeze", [0, 2])]
        elif len(shape) == 3 and shape[0] == 1:
            sizes, inwards, outwards = [shape[1], 1, shape[2]], [("Transpose", None)], [("Transpose", None)]
        else:
            raise CheckpointError(
                f"{where}: {item.place} ({item.name}) is a state of the shape {list(shape)}; states that are read have "
                "one axis for the batch of 1 and at most two others"
            )
        if kind != TensorProto.FLOAT:
            single: list[int] = [TensorProto.FLOAT]
            inwards, outwards = [*inwards, ("Cast", [kind])], [("Cast", single), *outwards]
        self.given.add(item.name)
        self.inputs.append(_vector(f"{name}_in", sizes))
        self.outputs.append(_vector(f"{name}_out", sizes))
        self._chain(inwards, f"{name}_in", item.name, self.before)
        self._chain(outwards, out, f"{name}_out", self.after)

    def actions(self, parts: Apart) -> None:
        """The raw action."""
        self.outputs.insert(0, _vector(_MARK + ACTIONS, [1, len(parts.targets)]))
        joined = helper.make_node("Concat", list(parts.actions), [_MARK + ACTIONS], axis=1)
        one = helper.make_node("Identity", [parts.actions[0]], [_MARK + ACTIONS])
        self.after.append(one if len(parts.actions) == 1 else joined)

    def finish(self, images: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The model of what the outputs need."""
        graph = self.model.graph
        nodes = [*self.before, *(_without(node, self.given) for node in graph.node), *self.after]
        wanted = {item.name for item in self.outputs}
        kept: list[onnx.NodeProto] = []
        for node in reversed(nodes):
            if wanted.intersection(filter(None, node.output)):
                kept.insert(0, node)
                wanted |= set(node.input)
        stored = [tensor for tensor in graph.initializer if tensor.name in wanted and tensor.name not in self.given]
        shown = [item for item in images if item.name in wanted]
        for field, items in (
            (graph.node, kept),
            (graph.input, [self.inputs[0], *shown, *self.inputs[1:]]),
            (graph.output, self.outputs),
            (graph.initializer, stored),
        ):
            copies = [type(item).FromString(item.SerializeToString()) for item in items]
            del field[:]
            field.extend(copies)  # type: ignore[arg-type]
        del graph.value_info[:]
        return self.model

    def _chain(self, steps: Steps, start: str, end: str, nodes: list[onnx.NodeProto]) -> None:
        for place, (op, numbers) in enumerate(steps):
            name = end if place == len(steps) - 1 else f"{start}_{place}"
            node = helper.make_node(op, [start], [name])
            if op == "Cast" and numbers:
                node = helper.make_node(op, [start], [name], to=numbers[0])
            elif op == "Transpose":
                node = helper.make_node(op, [start], [name], perm=[1, 0, 2])
            elif numbers is not None:
                axes = self._constant(f"axes_{len(self.model.graph.initializer)}", np.array(numbers, np.int64))
                node = helper.make_node(op, [start, axes], [name])
            nodes.append(node)
            start = name

    def _constant(self, name: str, value: NDArray[np.int64]) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(value, _MARK + name))
        return _MARK + name


def _without(node: onnx.NodeProto, given: set[str]) -> onnx.NodeProto:
    """A node that no longer writes what is given."""
    if not given.intersection(node.output):
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for place, name in enumerate(copy.output):
        if name in given:
            copy.output[place] = f"{_MARK}unused_{name}"
    return copy


def _vector(name: str, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
