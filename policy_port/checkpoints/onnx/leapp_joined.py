"""Several models of one LEAPP pipeline as one graph: what one writes and another reads in the same step is joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import compose

from policy_port.checkpoints.files.leapp_yaml import LeappModel, LeappTensor, Pipeline, own_model
from policy_port.checkpoints.files.safe_load import read_bounded
from policy_port.checkpoints.onnx.read import check_model, parse_model
from policy_port.errors import CheckpointError


def whole_model(
    pipeline: Pipeline, path: Path, data: bytes, also: frozenset[str]
) -> tuple[Pipeline, LeappModel, bytes, tuple[str, ...]]:
    """The model of a file, joined with those that compute for it or read it.

    Args:
        pipeline: The YAML.
        path: The file of one of its models.
        data: The file's bytes.
        also: Operators that may be in a model beside those of a network.

    Returns:
        Pipeline, model and bytes as if there were one model, and a note where there were several.

    Raises:
        CheckpointError: Naming the model that can't be joined, and why.
    """
    own = pipeline.model_of(path)
    assert own is not None
    names = _connected(pipeline, own.name)
    if len(names) == 1:
        return pipeline, own_model(pipeline, path, data), data, ()
    models = [pipeline.models[name] for name in names]
    joined = _Joined(pipeline, models, {own.name: data}, also)
    files = ", ".join(model.file.name for model in models)
    return *joined.result(), (f"{pipeline.path.name} joins {files} to one policy",)


def _connected(pipeline: Pipeline, name: str) -> list[str]:
    """The models that data flows to or from within a step, in the order in which they run."""
    found = {name}
    pairs = [(source.partition("/")[0], target.partition("/")[0]) for target, source in pipeline.data.items()]
    while more := {end for pair in pairs if found.intersection(pair) for end in pair} - found:
        found |= more
    return [model for model in pipeline.models if model in found]


class _Joined:
    """Models become one, their tensors named MODEL/TENSOR as the YAML names them."""

    def __init__(
        self, pipeline: Pipeline, models: list[LeappModel], read: Mapping[str, bytes], also: frozenset[str]
    ) -> None:
        self.pipeline, self.models = pipeline, models
        for model in models:
            if model.backend != "onnx":
                raise CheckpointError(
                    f"{pipeline.path}: models.{model.name} is exported as {model.backend}; models that compute for "
                    "each other are joined where all are ONNX. Export with export_with='onnx'"
                )
        order = [model.name for model in models]
        for target, source in pipeline.data.items():
            before, after = (name.partition("/")[0] for name in (source, target))
            if before in order and order.index(before) >= order.index(after):
                raise CheckpointError(
                    f"{pipeline.path}: pipeline.data_flow leads from {source} to {target}, but {after} runs before "
                    f"{before}; what is read a step later belongs into feedback_flow"
                )
        graphs = [self._graph(model, read.get(model.name), also) for model in models]
        self.same = self._same_inputs()
        self.short = self._short_names()
        self.graph = self._put_together(graphs)

    def _graph(self, model: LeappModel, data: bytes | None, also: frozenset[str]) -> onnx.ModelProto:
        data = read_bounded(model.file) if data is None else data
        self.pipeline.check(model, data)
        graph = parse_model(model.file, data)
        check_model(graph, model.file, also)
        return compose.add_prefix(graph, f"{model.name}/")

    def _tensors(self, side: str) -> Iterable[tuple[str, LeappTensor]]:
        return ((f"{model.name}/{item.name}", item) for model in self.models for item in getattr(model, side))

    def _same_inputs(self) -> dict[str, str]:
        """Inputs that a model reads as another did already: of one name, shape, kind and connection."""
        first: dict[tuple[object, ...], str] = {}
        found: dict[str, str] = {}
        filled = {*self.pipeline.data, *self.pipeline.feedback}
        for name, item in self._tensors("inputs"):
            if name not in filled:
                key = (item.name, item.shape, item.kind, item.names, item.connection)
                found[name] = first.setdefault(key, name)
        return {name: other for name, other in found.items() if name != other}

    def _short_names(self) -> dict[str, str]:
        """The tensor's own name for what is an input or output of the whole, where no other has it."""
        inputs = [name for name, _ in self._tensors("inputs") if name not in self.pipeline.data]
        names = [name for name in inputs if name not in self.same]
        names += [name for name, _ in self._tensors("outputs")]
        counts = Counter(name.partition("/")[2] for name in names)
        return {name: own if counts[own := name.partition("/")[2]] == 1 else name for name in names}

    def _name(self, name: str) -> str:
        name = self.pipeline.data.get(name, name)
        name = self.same.get(name, name)
        return self.short.get(name, name)

    def _put_together(self, graphs: list[onnx.ModelProto]) -> onnx.ModelProto:
        versions = {(item.domain, item.version) for graph in graphs for item in graph.opset_import}
        if len({version for domain, version in versions if domain in ("", "ai.onnx")}) > 1:
            raise CheckpointError(
                f"{self.pipeline.path}: its models are of different ONNX opsets ({sorted(versions)}); export all with "
                "the same one"
            )
        whole = onnx.ModelProto()
        whole.CopyFrom(graphs[-1])
        graph = whole.graph
        for field in (graph.node, graph.initializer, graph.input, graph.output, graph.value_info):
            del field[:]
        inner = {*self.pipeline.data, *self.same}
        for part in graphs:
            stored = {tensor.name for tensor in part.graph.initializer}
            for node in part.graph.node:
                node.input[:] = [self._name(name) if name else "" for name in node.input]
                node.output[:] = [self._name(name) if name else "" for name in node.output]
            graph.node.extend(part.graph.node)
            graph.initializer.extend(part.graph.initializer)
            graph.input.extend(item for item in part.graph.input if item.name not in inner | stored)
            graph.output.extend(item for item in part.graph.output if item.name in self._outputs())
        for item in (*graph.input, *graph.output):
            item.name = self._name(item.name)
        return whole

    def _outputs(self) -> set[str]:
        """What leaves the whole: what no other model reads in this step, what says what it is, what is fed back."""
        read = set(self.pipeline.data.values())
        fed = set(self.pipeline.feedback.values())
        return {name for name, item in self._tensors("outputs") if name not in read or item.kind or name in fed}

    def result(self) -> tuple[Pipeline, LeappModel, bytes]:
        """The pipeline of one model."""
        last, inner, data = self.models[-1], {*self.pipeline.data, *self.same}, self.graph.SerializeToString()
        label = "+".join(model.name for model in self.models)

        def renamed(side: str, keep: Iterable[str]) -> tuple[LeappTensor, ...]:
            return tuple(replace(item, name=self._name(name)) for name, item in self._tensors(side) if name in keep)

        inputs = renamed("inputs", {name for name, _ in self._tensors("inputs")} - inner)
        model = replace(last, name=label, inputs=inputs, outputs=renamed("outputs", self._outputs()))
        own = {name.name for name in self.models}

        def moved(name: str) -> str:
            return f"{label}/{self._name(name)}" if name.partition("/")[0] in own else name

        others = {name: other for name, other in self.pipeline.models.items() if name not in own}
        return (
            replace(
                self.pipeline,
                models={**others, label: model},
                data={},
                feedback={moved(target): moved(source) for target, source in self.pipeline.feedback.items()},
                initial={moved(name): value for name, value in self.pipeline.initial.items()},
            ),
            model,
            data,
        )
