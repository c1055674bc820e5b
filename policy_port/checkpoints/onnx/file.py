"""ONNX files: read within bounds, checked, and turned into an actor with explicit state."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from policy_port.checkpoints.files.safe_load import require_finite
from policy_port.checkpoints.networks.tape import BATCH, GRAPH_ERRORS, Ref, TapeActor, Traced, in_batches
from policy_port.checkpoints.onnx.canonical import MARK, canonical
from policy_port.checkpoints.onnx.clip import clip_inside
from policy_port.checkpoints.onnx.graph_inputs import GraphInputs, find_ports
from policy_port.checkpoints.onnx.leapp import read_policy
from policy_port.checkpoints.onnx.nodes import TRANSLATORS
from policy_port.checkpoints.onnx.operators import ELEMENTWISE
from policy_port.checkpoints.onnx.record import GraphRecord, is_size, label, size_arithmetic
from policy_port.checkpoints.onnx.runner import OnnxOriginal
from policy_port.checkpoints.onnx.state_ports import StatePort
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError, UnsafeFileError

SUPPORTED = (
    "ONNX with one observation vector, or several that a contract names, with or without a batch axis, images and "
    "recurrent state under any name, also inside a BeyondMimic or Exploy file, or in one or several of LEAPP beside "
    "its YAML; weights inside or in a file beside it"
)
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is an ONNX file, or nothing."""
    if source.container != "onnx":
        return ()
    return ("named *.onnx",) if source.path.suffix.lower() == ".onnx" else ("begins like an ONNX model",)


def load(source: Source, options: LoadOptions) -> Loaded:
    """Check the model and record its graph."""
    where = str(source.path)
    model, left_out = read_policy(source.path, source.data, options.outputs, mean=options.mean)
    reader, actor = _followed(model, where, options)
    ports = reader.ports
    require_finite(dict(actor.named_buffers()), where)
    serialised = model.SerializeToString()
    notes = [*left_out]
    notes += [
        f"image {image}: the layout is told from the sizes, the scale is inside the graph" for image in ports.images
    ]
    if ports.fixed_batch:
        notes.append("the file takes one observation at a time; the actor takes any number")
    notes += [_state_note(state) for state in ports.states]
    if reader.forgets:
        notes.append(
            "its recurrent layer starts anew at every call: the state is neither input nor output, so it was probably "
            "lost when the file was exported"
        )
    if ports.others:
        notes.append(f"outputs not used: {', '.join(ports.others)}")
    notes += [f"metadata {entry.key}: {entry.value[:80]}" for entry in model.metadata_props]
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return Loaded(
        version=f"opset {opset}, by {model.producer_name or 'an unnamed producer'} {model.producer_version}".strip(),
        actor=actor,
        architecture=actor.describe(),
        distribution=f"not in the file; the actor returns the output {ports.output}",
        leftovers=reader.leftovers(),
        notes=tuple(notes),
        clip=clip_inside(source.path, source.data),
        original=lambda: OnnxOriginal(serialised, ports),
        vectors=tuple((vector.name, vector.width) for vector in ports.vectors),
    )


def _followed(model: onnx.ModelProto, where: str, options: LoadOptions) -> tuple[GraphReader, TapeActor]:
    """The graph read for any number of observations: as it stands, or where that fails with a batch axis in front."""
    ports = find_ports(model, where, options.outputs)
    reader = GraphReader(model, ports, where)
    try:
        return reader, reader.run()
    except UnsafeFileError:
        raise
    except CheckpointError as error:
        if ports.prefixed or not ports.fixed_batch or ports.images:
            raise
        first = error
    try:
        reader = GraphReader(model, find_ports(model, where, options.outputs, prefixed=True), where)
        return reader, reader.run()
    except CheckpointError as second:
        raise CheckpointError(f"{first}. Nor does it with a batch axis put in front: {second}") from second


def _state_note(state: StatePort) -> str:
    return f"state {state.name}: input {state.input} {list(state.shape)}, carried on by {state.output}"


class GraphReader(GraphRecord):
    """Executes the nodes of a model on a recorder."""

    def __init__(self, model: onnx.ModelProto, ports: GraphInputs, where: str) -> None:
        super().__init__(ports, where)
        self._model = model = canonical(model, ports, where)
        self._values: dict[str, Any] = {"": None, ports.obs: self.obs}
        for image in ports.images:
            dtype = torch.uint8 if image.dtype == "uint8" else torch.float32
            self._values[image.name] = self.recorder.input(image.shape(BATCH), dtype)
        for state in ports.states:
            self._values[state.reads] = self.recorder.input((state.size[0], BATCH, state.size[1]))
        for image in ports.images:
            if image.dtype == "float32":
                # In the precision that the actor runs in, whatever the graph was written in.
                self._values[image.name] = self.apply("cast", Tensor.type_as, self._values[image.name], self.obs)
        self._initial: dict[str, Tensor] = {}
        for tensor in model.graph.initializer:
            value = self._tensor(tensor)
            self._initial[tensor.name] = value
            self.recorder.name_constant(value, tensor.name)
        self._values.update(self._initial)

    def run(self) -> TapeActor:
        """Read every node and return the actor."""
        for node in self._model.graph.node:
            missing = [name for name in node.input if name not in self._values]
            if missing:
                raise CheckpointError(f"{self.where}: {node.op_type} reads {missing[0]}, which nothing writes")
            self.output_count = len(node.output)
            self.node = label(node)
            attributes = {attribute.name: self._attribute(attribute) for attribute in node.attribute}
            inputs = [self._values[name] for name in node.input]
            try:
                result = self._node(node.op_type, attributes, inputs)
            except CheckpointError as error:
                if self.node in str(error) or isinstance(error, UnsafeFileError):
                    raise
                said = str(error).removeprefix(f"{self.where}: ")
                raise CheckpointError(f"{self.where}: {self.node}: {said}") from error
            except GRAPH_ERRORS as error:
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise CheckpointError(
                    f"{self.where}: {self.node} can't be followed for any batch ({reason})"
                ) from error
            results = result if len(node.output) > 1 and isinstance(result, list) else [result]
            self._values.update(zip(node.output, results, strict=False))
        actions = self._output(self.ports.actions, 2)
        assert isinstance(actions.meta, Tensor)
        refs: list[Ref] = [actions.ref]
        refs += [self._output(state.writes, 3).ref for state in self.ports.states]
        sizes = tuple(state.size for state in self.ports.states)
        return TapeActor(
            self.recorder,
            outputs=refs,
            obs_size=self.ports.width,
            action_size=actions.meta.shape[1],
            state_names=tuple(state.name for state in self.ports.states),
            state_shapes=sizes,
            images=self.ports.images,
            initial=tuple(torch.zeros(layers, 1, hidden) for layers, hidden in sizes),
        )

    def leftovers(self) -> tuple[str, ...]:
        """The initialisers that no node reads."""
        read = {name for node in self._model.graph.node for name in node.input}
        own = {name: value for name, value in self._initial.items() if not name.startswith(MARK)}
        return tuple(f"{name} {tuple(value.shape)}" for name, value in own.items() if name not in read)

    def _node(self, kind: str, attributes: dict[str, Any], inputs: list[Any]) -> Any:
        if kind in TRANSLATORS:
            return TRANSLATORS[kind](self, attributes, inputs)
        function = ELEMENTWISE[kind]
        if any(attributes.values()):
            raise CheckpointError(f"{self.where}: {kind} with {', '.join(attributes)} is not understood")
        if any(is_size(item) for item in inputs):
            return size_arithmetic(self, kind, inputs)
        if kind in ("Max", "Min", "Sum") and len(inputs) != 2:
            result = inputs[0]
            for other in inputs[1:]:
                result = self.apply(kind.lower(), function, result, other)
            return result
        return self.apply(kind.lower(), function, *inputs)

    def _output(self, name: str, rank: int) -> Traced:
        value = self._values.get(name)
        shape = tuple(value.meta.shape) if isinstance(value, Traced) and isinstance(value.meta, Tensor) else ()
        if rank == 2 and len(shape) == 3 and shape[0] == BATCH:
            raise CheckpointError(
                f"{self.where}: the output {name} holds chunks of {shape[1]} actions. ONNX files of such policies are "
                "not read; export from the folder that LeRobot wrote"
            )
        if len(shape) != rank or shape[rank - 2] != BATCH:
            by = next((f" of {label(node)}" for node in self._model.graph.node if name in node.output), "")
            raise CheckpointError(
                f"{self.where}: the output {name}{by} has shape {in_batches(shape) or 'unknown'}, without the batch"
            )
        assert isinstance(value, Traced)
        return value

    def _attribute(self, attribute: onnx.AttributeProto) -> Any:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            return self._tensor(value)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, (int, float)):
            return value
        return [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value]

    def _tensor(self, proto: onnx.TensorProto) -> Tensor:
        try:
            return torch.from_numpy(np.array(numpy_helper.to_array(proto)))
        except (ValueError, TypeError, RuntimeError, KeyError) as error:
            raise CheckpointError(f"{self.where}: the tensor {proto.name} is damaged ({error})") from error
