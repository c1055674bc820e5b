"""Which inputs of an ONNX graph are recurrent state, and which output carries each on: as told, by wiring, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from policy_port.errors import CheckpointError

Sizes = list[int | str]
_MOVES = frozenset(("Concat", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose"))
_MOVES |= {"Unsqueeze", "Cast"}
"""Operators between a state and its layer that only move numbers."""
_CELL = re.compile(r"cell|(^|_)c(_|x|n|\d|$)", re.IGNORECASE)
_STATE = re.compile(r"hidden|cell|memory|memories|recurrent|rnn|lstm|gru|state|(^|_)[hc](_|x|n|\d|$)", re.IGNORECASE)
"""How states are named."""
_SIDES = frozenset(
    ("in", "out", "input", "inputs", "output", "outputs", "prev", "previous", "last", "next", "new", "old", "cur"),
) | frozenset(("current", "init", "initial", "final", "updated", "0", "1", "n", "t", "i", "o", "from", "to"))
"""Words that tell a state that is read from the one that is written."""


@dataclass(frozen=True, kw_only=True)
class StatePort:
    """A recurrent state."""

    name: str
    """Its name in the actor."""
    input: str
    output: str
    shape: tuple[int, ...]
    """What the file's input has for one observation, the batch of 1 included where it has one."""
    size: tuple[int, int]
    """(layers, hidden)."""
    reads: str
    """The value of shape (layers, batch, hidden) that the reader fills; the input itself where that has this shape."""
    writes: str
    """The value of that shape that holds the state of the next step."""


def state_outputs(graph: onnx.GraphProto, given: Mapping[str, str]) -> dict[str, str]:
    """The output that carries on each input which is a state, as far as that is certain.

    Args:
        graph: The graph.
        given: Outputs by the role that the user names.
    """
    stored = {tensor.name for tensor in graph.initializer}
    inputs = {item.name: sizes_of(item) for item in graph.input if item.name not in stored}
    outputs = {item.name: sizes_of(item) for item in graph.output}
    found = {name: given[name] for name in inputs if given.get(name) in outputs}
    layers = _by_layer(graph)
    for name, shape in inputs.items():
        if name in found or not 0 < len(shape) <= 3:
            continue
        by_layer = layers.get(name, set()) & outputs.keys()
        fitting = [out for out, sizes in outputs.items() if _alike(shape, sizes) and not says_action(name, out)]
        # What is read and what is written of a network with one of each may be called alike too.
        several = len(shape) == 3 or min(len(inputs), len(outputs)) > 1
        named = [out for out in fitting if _stem(out) == _stem(name)] if several else []
        exact = [out for out in outputs if out == _usual(name) and len(shape) == 3] or named
        for candidates in (by_layer, exact, named):
            if len(candidates) == 1:
                found[name] = next(iter(candidates))
                break
    _sole(inputs, outputs, found)
    return found


def _sole(inputs: Mapping[str, Sizes], outputs: Mapping[str, Sizes], found: dict[str, str]) -> None:
    """Pair what is named as a state, or has its three axes, with the only output of its shape, if no other fits it."""
    open_ = {name: shape for name, shape in inputs.items() if name not in found and says_state(name, shape)}
    open_ = {name: shape for name, shape in open_.items() if not says_action(name)}
    free = {out: sizes for out, sizes in outputs.items() if out not in found.values() and not says_action(out)}
    for name, shape in open_.items():
        fitting = [out for out, sizes in free.items() if _alike(shape, sizes)]
        rivals = [other for other, sizes in inputs.items() if says_state(other, sizes) and _alike(shape, sizes)]
        if len(fitting) == len(rivals) == 1 and (len(free) < len(outputs) or says_state(fitting[0], shape)):
            found[name] = fitting[0]


def says_state(name: str, shape: Sizes) -> bool:
    """Whether an input is a state by its name, or by three axes with the batch in the middle."""
    middle = len(shape) == 3 and (isinstance(shape[1], str) or (shape[1] == 1 and not isinstance(shape[0], str)))
    return middle or (0 < len(shape) <= 3 and _STATE.search(name.replace(".", "_")) is not None)


def says_action(*names: str) -> bool:
    """Whether a name says that it is an action, which is read again as the last one but is no state of the network."""
    return any("action" in name.lower() for name in names)


def state_port(name: str, output: str, shape: Sizes, batch: int | str, where: str, *, prefixed: bool) -> StatePort:
    """Tell layers and hidden size of a state.

    Args:
        name: The input.
        output: What carries it on.
        shape: Sizes of the input.
        batch: What the observation's first axis is: a name, or 1.
        where: The file.
        prefixed: Whether the graph has no batch axis.
    """
    axis = None if prefixed else _batch_axis(shape, batch)
    fixed = [size for at, size in enumerate(shape) if at != axis]
    if (not prefixed and (axis is None or len(shape) == 1)) or not all(isinstance(size, int) for size in fixed):
        raise CheckpointError(f"{where}: the state {name} has no fixed size ({shape})")
    sizes = [size for size in fixed if isinstance(size, int)]
    if prefixed:
        squeezed = [size for size in sizes if size != 1] or [1]
        layers, hidden = (1, squeezed[0]) if len(squeezed) == 1 else (squeezed[0], squeezed[-1])
        if len(squeezed) > 2:
            raise CheckpointError(f"{where}: the state {name} has the shape {shape}, which is no (layers, hidden)")
    else:
        layers, hidden = (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
    own = not prefixed and axis == 1
    return StatePort(
        name=_plain(name),
        input=name,
        output=output,
        shape=tuple(size if isinstance(size, int) else 1 for size in shape),
        size=(layers, hidden),
        reads=name if own else f"policy_port_{name}",
        writes=output if own else f"policy_port_{output}",
    )


def cell(name: str) -> bool:
    """Whether a state is an LSTM's cell, which stands behind its hidden state."""
    return name.lower().startswith("c") or _CELL.search(name.replace(".", "_")) is not None


def _batch_axis(shape: Sizes, batch: int | str) -> int | None:
    """The axis of a state that is the batch: the second of three where that may be it."""
    may = [at for at, size in enumerate(shape[:2]) if size == batch]
    may = may or [at for at, size in enumerate(shape[:2]) if isinstance(size, str) or size == 1]
    return None if not may else may[-1] if len(shape) == 3 else 0 if 0 in may else None


def _plain(name: str) -> str:
    """A state's name without what says that it is the input."""
    bare = re.sub(r"([._](in|input))$|^(in|input)[._](?=\D)", "", name)
    return bare.replace(".", "_")


def _usual(name: str) -> str:
    """The usual name of the output beside an input of a state."""
    if name.endswith(".in"):
        return f"{name.removesuffix('.in')}.out"
    return name.replace("_in", "_out") if "_in" in name else f"{name}_out"


def _stem(name: str) -> tuple[str, ...]:
    """A name without the words that tell what is read from what is written."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", split) if word]
    words = [re.sub(r"(?<=^[hc])(0|n|x|y|t|in|out|1)$", "", word) for word in words]
    kept = tuple(word for word in words if word not in _SIDES)
    return kept or tuple(words)


def _alike(one: Sizes, other: Sizes) -> bool:
    """Whether two shapes may be the same."""
    return len(one) == len(other) and all(
        a == b or isinstance(a, str) or isinstance(b, str) for a, b in zip(one, other, strict=True)
    )


def _by_layer(graph: onnx.GraphProto) -> dict[str, set[str]]:
    """By the input that a recurrent layer starts from, the outputs in which what it writes for the next step ends."""
    producers = {name: node for node in graph.node for name in node.output if name}
    inputs, outputs = {item.name for item in graph.input}, {item.name for item in graph.output}
    found: dict[str, set[str]] = {}
    for node in graph.node:
        if node.op_type not in ("LSTM", "GRU", "RNN"):
            continue
        # Inputs 5 and 6 are the initial hidden and cell state, outputs 1 and 2 the last ones.
        for start, end in zip(node.input[5:7], node.output[1:3], strict=False):
            for name in _moved_from(start, producers) & inputs:
                found.setdefault(name, set()).update(_moved_to(end, graph) & outputs)
    return found


def _moved_from(name: str, producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    """The values that `name` holds numbers of, moved about at most."""
    found, pending = set[str](), [name]
    while pending:
        current = pending.pop()
        if current and current not in found:
            found.add(current)
            node = producers.get(current)
            if node is not None and node.op_type in _MOVES:
                pending += node.input if node.op_type == "Concat" else node.input[:1]
    return found


def _moved_to(name: str, graph: onnx.GraphProto) -> set[str]:
    """The values that hold numbers of `name`, moved about at most; nodes stand in the order of their data."""
    found = {name}
    for node in graph.node:
        read = node.input if node.op_type == "Concat" else node.input[:1]
        if node.op_type in _MOVES and found.intersection(read):
            found.update(filter(None, node.output))
    return found - {""}


def sizes_of(item: onnx.ValueInfoProto) -> Sizes:
    """An input's or output's sizes; a text for one that is open."""
    return [
        size.dim_value if size.HasField("dim_value") else size.dim_param or "?"
        for size in item.type.tensor_type.shape.dim
    ]
