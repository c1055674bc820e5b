"""Which inputs and outputs of an ONNX model are observation, images, actions and state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from policy_port.checkpoints.actor import ImageSpec
from policy_port.checkpoints.onnx.roles import ACTIONS, action_output, state_outputs
from policy_port.errors import CheckpointError, closest

_IMAGE_TYPES: dict[int, Literal["uint8", "float32"]] = {
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.FLOAT: "float32",
}
_LARGEST = 1 << 24
_MOST_CHANNELS = 16


@dataclass(frozen=True, kw_only=True)
class GraphInputs:
    """Which inputs and outputs of a model are which."""

    obs: str
    actions: str
    states: tuple[tuple[str, str], ...]
    """Names of the input and the output of each state tensor, hidden before cell."""
    state_shapes: tuple[tuple[int, int], ...]
    width: int
    images: tuple[ImageSpec, ...]
    fixed_batch: bool
    others: tuple[str, ...]
    """Outputs without a role."""


def find_ports(model: onnx.ModelProto, where: str, given: Mapping[str, str]) -> GraphInputs:
    """Tell observation, actions and state apart by rank and name; `given` has outputs by the role that a user names."""
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = {item.name: _dimensions(item) for item in model.graph.input if item.name not in initial}
    outputs = {item.name: _dimensions(item) for item in model.graph.output}
    for name, shape in (inputs | outputs).items():
        if any(isinstance(size, int) and not 0 <= size <= _LARGEST for size in shape):
            raise CheckpointError(f"{where}: {name} has the sizes {shape}; no policy is larger than {_LARGEST}")
    listed = ", ".join(f"{name} {shape}" for name, shape in inputs.items())
    flat = [name for name, shape in inputs.items() if len(shape) == 2]
    states = [name for name, shape in inputs.items() if len(shape) == 3]
    seen = [item for item in model.graph.input if len(inputs.get(item.name, ())) == 4]
    if len(flat) != 1 or len(flat) + len(states) + len(seen) != len(inputs):
        raise CheckpointError(
            f"{where}: its inputs are {listed or 'none'}; expected one observation (batch, width) and, where the "
            f"policy has them, images (four axes) and states (layers, batch, hidden).{_reason(flat)}"
        )
    batch, width = inputs[flat[0]]
    if not isinstance(width, int) or width < 1:
        raise CheckpointError(f"{where}: the width of {flat[0]} is not fixed in the file ({inputs[flat[0]]})")
    states.sort(key=lambda name: (name.lower().startswith("c") or "cell" in name.lower(), name))
    _check_given(given, states, outputs, where)
    carried = state_outputs(model.graph, given)
    pairs, shapes = [], []
    for name in states:
        layers, _, hidden = inputs[name]
        if not isinstance(layers, int) or not isinstance(hidden, int):
            raise CheckpointError(f"{where}: the state {name} has no fixed size ({inputs[name]})")
        if name not in carried:
            raise CheckpointError(
                f"{where}: which output carries on the state {name} is unclear; the outputs are {_listed(outputs)}. "
                f"Say it with --output {name}=OUTPUT"
            )
        pairs.append((name, carried[name]))
        shapes.append((layers, hidden))
    _check_pairs(pairs, inputs, outputs, where)
    rest = [name for name in outputs if name not in {out for _, out in pairs}]
    actions = action_output(rest, given)
    if actions is None:
        shown = _listed({name: outputs[name] for name in rest}) or "(none)"
        raise CheckpointError(
            f"{where}: which of its outputs {shown} is the action is unclear. Say it with --output OUTPUT"
        )
    return GraphInputs(
        obs=flat[0],
        actions=actions,
        states=tuple(pairs),
        state_shapes=tuple(shapes),
        width=width,
        images=tuple(_image(item, inputs[item.name], where) for item in seen),
        fixed_batch=batch == 1,
        others=tuple(name for name in rest if name != actions),
    )


def _listed(values: Mapping[str, list[int | str]]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in values.items())


def _check_given(
    given: Mapping[str, str], states: Sequence[str], outputs: Mapping[str, list[int | str]], where: str
) -> None:
    """Raise where a user names a role or an output that is not there."""
    for role, output in given.items():
        if role != ACTIONS and role not in states:
            raise CheckpointError(
                f"{where}: --output {role}={output}: there is no state {role}{closest(role, states)}. Its states are "
                f"{', '.join(states) or 'none'}"
            )
        if output not in outputs:
            told = output if role == ACTIONS else f"{role}={output}"
            raise CheckpointError(
                f"{where}: --output {told}: there is no output {output}{closest(output, outputs)}. Its outputs are "
                f"{_listed(outputs)}"
            )


def _check_pairs(
    pairs: Sequence[tuple[str, str]],
    inputs: Mapping[str, list[int | str]],
    outputs: Mapping[str, list[int | str]],
    where: str,
) -> None:
    """Raise where two states are carried on by one output, or one by an output of another shape."""
    for name, output in pairs:
        before, after = inputs[name], outputs[output]
        sizes = [(before[at], after[at]) for at in (0, 2)] if len(after) == len(before) else [(0, 1)]
        differ = any(isinstance(one, int) and isinstance(other, int) and one != other for one, other in sizes)
        if differ or [out for _, out in pairs].count(output) > 1:
            raise CheckpointError(
                f"{where}: the state {name} {inputs[name]} can't be carried on by {output} {outputs[output]}, which "
                f"has another shape or carries on another state. Say it with --output {name}=OUTPUT"
            )


def _reason(flat: list[str]) -> str:
    """Say what several flat inputs mean."""
    if len(flat) < 2:
        return ""
    return (
        f" {', '.join(flat)} are several vectors, and the action needs more than one of them (as LEAPP and Exploy may "
        "export whole environments). Where the file has an output obs that the network reads, that is taken; this one "
        "has none. If LEAPP wrote the file, put LEAPP's YAML beside it, which says what each is. Export the network "
        "alone, from observation to action, otherwise"
    )


def _image(item: onnx.ValueInfoProto, sizes: list[int | str], where: str) -> ImageSpec:
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


def _dimensions(item: onnx.ValueInfoProto) -> list[int | str]:
    return [
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"
        for dimension in item.type.tensor_type.shape.dim
    ]
