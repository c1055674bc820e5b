"""Which inputs and outputs of an ONNX model are observation, images, actions and state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import onnx

from policy_port.checkpoints.actor import ImageSpec
from policy_port.checkpoints.onnx.roles import ACTIONS, action_output
from policy_port.checkpoints.onnx.state_ports import (
    Sizes,
    StatePort,
    cell,
    says_state,
    sizes_of,
    state_outputs,
    state_port,
)
from policy_port.errors import CheckpointError, closest

_IMAGE_TYPES: dict[int, Literal["uint8", "float32"]] = {
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.FLOAT: "float32",
}
_LARGEST = 1 << 24
_MOST_CHANNELS = 16
_OBS = "policy_port_obs"


class Vector(NamedTuple):
    """An input that is observed."""

    name: str
    shape: tuple[int, ...]
    """Sizes for one observation; where the file has a batch axis, without it."""

    @property
    def width(self) -> int:
        """How many numbers it is."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class GraphInputs:
    """Which inputs and outputs of a model are which."""

    vectors: tuple[Vector, ...]
    """What is observed, in the file's order."""
    obs: str
    """The value that is the whole observation, (batch, width): the only vector, or one that the reader makes."""
    actions: str
    """The value that is the action, (batch, size): the output, or one that the reader makes of it."""
    flat_actions: str
    """The output that `actions` is made of; empty where it is that itself."""
    action_size: int
    """Width of the action where `flat_actions` is not empty."""
    states: tuple[StatePort, ...]
    """Hidden before cell."""
    images: tuple[ImageSpec, ...]
    fixed_batch: bool
    prefixed: bool
    """Whether the file is read by putting a batch axis in front of everything, since it has none that is open."""
    others: tuple[str, ...]
    """Outputs without a role."""

    @property
    def width(self) -> int:
        """Width of the observation."""
        return sum(vector.width for vector in self.vectors)

    @property
    def output(self) -> str:
        """The file's output that is the action."""
        return self.flat_actions or self.actions


def find_ports(model: onnx.ModelProto, where: str, given: Mapping[str, str], *, prefixed: bool = False) -> GraphInputs:
    """Tell observation, images, actions and state apart by wiring, rank and name.

    Args:
        model: The model.
        where: Its file.
        given: Outputs by the role that a user names.
        prefixed: Read it by putting a batch axis in front, where all sizes are fixed. A vector of one axis makes sure
            of that.
    """
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = {item.name: sizes_of(item) for item in model.graph.input if item.name not in initial}
    outputs = {item.name: sizes_of(item) for item in model.graph.output}
    _check_sizes(inputs | outputs, where)
    carried = state_outputs(model.graph, given)
    seen = [item for item in model.graph.input if len(inputs.get(item.name, ())) == 4]
    rest = {name: shape for name, shape in inputs.items() if len(shape) != 4 and name not in carried}
    flat = {name: shape for name, shape in rest.items() if len(shape) < 3 or not says_state(name, shape)}
    states = sorted([*carried, *(name for name in rest if name not in flat)], key=lambda name: (cell(name), name))
    _check_flat(flat, inputs, where)
    _check_given(given, states, outputs, where)
    if unclear := next((name for name in states if name not in carried), None):
        raise CheckpointError(
            f"{where}: which output carries on the state {unclear} is unclear; the outputs are {_listed(outputs)}. "
            f"Say it with --output {unclear}=OUTPUT"
        )
    _check_pairs([(name, carried[name]) for name in states], inputs, outputs, where)
    left = [name for name in outputs if name not in carried.values()]
    actions = action_output(left, given)
    if actions is None:
        shown = _listed({name: outputs[name] for name in left}) or "(none)"
        raise CheckpointError(
            f"{where}: which of its outputs {shown} is the action is unclear. Say it with --output OUTPUT"
            + (". If LEAPP wrote the file, put LEAPP's YAML beside it, which says so" if len(flat) > 1 else "")
        )
    prefixed = prefixed or any(len(shape) == 1 for shape in flat.values())
    if prefixed and seen:
        raise CheckpointError(
            f"{where}: {next(iter(flat))} has no batch axis beside the image {seen[0].name}; export it with one"
        )
    vectors = tuple(_vector(name, shape, where, prefixed=prefixed) for name, shape in flat.items())
    batch = next(iter(flat.values()))[0]
    plain = len(vectors) == len(vectors[0].shape) == 1
    size = _folded(outputs[actions], prefixed=prefixed)
    return GraphInputs(
        vectors=vectors,
        obs=vectors[0].name if plain else _OBS,
        actions=actions if size is None else f"policy_port_{actions}",
        flat_actions="" if size is None else actions,
        action_size=size or 0,
        states=tuple(state_port(name, carried[name], inputs[name], batch, where, prefixed=prefixed) for name in states),
        images=tuple(_image(item, inputs[item.name], where) for item in seen),
        fixed_batch=prefixed or batch == 1,
        prefixed=prefixed,
        others=tuple(name for name in left if name != actions),
    )


def _vector(name: str, shape: Sizes, where: str, *, prefixed: bool) -> Vector:
    own = shape if prefixed else shape[1:]
    sizes = [size if isinstance(size, int) else 1 if prefixed else 0 for size in own]
    if not all(sizes):
        raise CheckpointError(f"{where}: the width of {name} is not fixed in the file ({shape})")
    return Vector(name, tuple(sizes))


def _folded(shape: Sizes, *, prefixed: bool) -> int | None:
    """Width of an action that has other axes than (batch, width); None where it has these, or they can't be told."""
    if prefixed:
        return None if len(shape) == 1 else math.prod(size if isinstance(size, int) else 1 for size in shape)
    if len(shape) != 3 or 1 not in shape[:2] or not isinstance(shape[2], int):
        return None
    return shape[2]


def _check_flat(flat: Mapping[str, Sizes], inputs: Mapping[str, Sizes], where: str) -> None:
    if not flat or not all(1 <= len(shape) <= 3 for shape in flat.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in inputs.items())
        raise CheckpointError(
            f"{where}: its inputs are {listed or 'none'}; expected one observation (batch, width) and, where the "
            "policy has them, images (four axes) and states (layers, batch, hidden)"
        )


def _check_sizes(shapes: Mapping[str, Sizes], where: str) -> None:
    for name, shape in shapes.items():
        if any(isinstance(size, int) and not 0 <= size <= _LARGEST for size in shape):
            raise CheckpointError(f"{where}: {name} has the sizes {shape}; no policy is larger than {_LARGEST}")


def _listed(values: Mapping[str, Sizes]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in values.items())


def _check_given(given: Mapping[str, str], states: Sequence[str], outputs: Mapping[str, Sizes], where: str) -> None:
    """Raise where a user names a role or an output that is not there."""
    for role, output in given.items():
        if role != ACTIONS and role not in states:
            raise CheckpointError(
                f"{where}: --output {role}={output}: there is no state {role}{closest(role, states) or '.'} Its "
                f"states are {', '.join(states) or 'none'}"
            )
        if output not in outputs:
            told = output if role == ACTIONS else f"{role}={output}"
            raise CheckpointError(
                f"{where}: --output {told}: there is no output {output}{closest(output, outputs) or '.'} Its "
                f"outputs are {_listed(outputs)}"
            )


def _check_pairs(
    pairs: Sequence[tuple[str, str]],
    inputs: Mapping[str, Sizes],
    outputs: Mapping[str, Sizes],
    where: str,
) -> None:
    """Raise where two states are carried on by one output, or one by an output of another shape."""
    for name, output in pairs:
        before, after = inputs[name], outputs[output]
        sizes = zip(before, after, strict=True) if len(after) == len(before) else [(0, 1)]
        differ = any(isinstance(one, int) and isinstance(other, int) and one != other for one, other in sizes)
        if differ or [out for _, out in pairs].count(output) > 1:
            raise CheckpointError(
                f"{where}: the state {name} {inputs[name]} can't be carried on by {output} {outputs[output]}, which "
                f"has another shape or carries on another state. Say it with --output {name}=OUTPUT"
            )


def _image(item: onnx.ValueInfoProto, sizes: Sizes, where: str) -> ImageSpec:
    """Tell the layout of an image from its sizes."""
    dtype = _IMAGE_TYPES.get(item.type.tensor_type.elem_type)
    if dtype is None:
        raise CheckpointError(f"{where}: the image {item.name} is neither uint8 nor float32")
    first, rows, last = sizes[1:]
    if not (isinstance(first, int) and isinstance(rows, int) and isinstance(last, int)):
        raise CheckpointError(f"{where}: the size of the image {item.name} is not fixed in the file ({sizes})")
    if min(first, last) > _MOST_CHANNELS or max(first, last) < 2 * min(first, last):
        raise CheckpointError(
            f"{where}: whether the image {item.name} {sizes} has its channels first or last can't be told"
        )
    if last < first:
        return ImageSpec(
            name=item.name, height=first, width=rows, channels=last, layout="nhwc", dtype=dtype, scale=None
        )
    return ImageSpec(name=item.name, height=rows, width=last, channels=first, layout="nchw", dtype=dtype, scale=None)
