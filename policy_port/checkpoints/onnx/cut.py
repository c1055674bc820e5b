"""The network inside an ONNX file that holds more than a network.

BeyondMimic's files play the reference motion beside the network; Exploy's compute the observation in front of it and
the targets behind it. A contract describes all of that by itself, so only what lies between observation and action is
kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from policy_port.checkpoints.onnx.roles import action_output
from policy_port.checkpoints.onnx.state_ports import state_outputs

OBSERVATIONS = ("obs", "observation", "observations")
"""Names under which an exporter shows the vector that the network reads."""


def cut_network(model: onnx.ModelProto, given: Mapping[str, str]) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Leave out what the action does not need, where a file has several vectors as inputs.

    Args:
        model: A model as it was read; it is not changed.
        given: Outputs by the role that the user names.

    Returns:
        The model of the network alone, and what was left out, in words. A model that has one vector as its input, or
        whose action really depends on several, comes back as it is.
    """
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = {item.name: item for item in graph.input if item.name not in stored}
    outputs = {item.name: item for item in graph.output}
    states = state_outputs(graph, given)
    actions = action_output([name for name in outputs if name not in states.values()], given)
    nested = any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute)
    if actions is None or nested or len(_flat(inputs.values())) < 2:
        return model, ()
    wanted, cut = _needed(graph, states, actions, None), None
    if len(_flat(inputs[name] for name in wanted & inputs.keys())) > 1:
        shown = next((name for name in OBSERVATIONS if name in outputs and _rank(outputs[name]) == 2), None)
        if shown is None:
            return model, ()
        wanted, cut = _needed(graph, states, actions, shown), shown
        if cut not in wanted or _flat(inputs[name] for name in wanted & inputs.keys()):
            # The action also depends on a vector beside that observation.
            return model, ()
    return _part(model, wanted, cut, actions, states), _notes(inputs, outputs, wanted, cut)


def _needed(
    graph: onnx.GraphProto,
    states: Mapping[str, str],
    actions: str,
    cut: str | None,
) -> set[str]:
    """Names of all values that the action, and the states that it needs, are computed from; `cut` is taken as given."""
    producers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    open_ends = [actions]
    while open_ends:
        name = open_ends.pop()
        if name in found or not name:
            continue
        found.add(name)
        if name in states:
            open_ends.append(states[name])
        if name != cut and name in producers:
            open_ends += producers[name].input
    return found


def _part(
    model: onnx.ModelProto, wanted: set[str], cut: str | None, actions: str, states: Mapping[str, str]
) -> onnx.ModelProto:
    """The model of the wanted values alone."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    stored = {tensor.name for tensor in graph.initializer}
    nodes = [node for node in model.graph.node if any(name in wanted and name != cut for name in node.output)]
    shown = [item for item in model.graph.output if item.name == cut]
    carried = {states[item.name] for item in model.graph.input if item.name in wanted & states.keys()}
    inputs = [item for item in model.graph.input if item.name in wanted or item.name in stored]
    outputs = [item for item in model.graph.output if item.name == actions or item.name in carried]
    for field, items in ((graph.node, nodes), (graph.input, [*shown, *inputs]), (graph.output, outputs)):
        del field[:]
        field.extend(items)  # type: ignore[arg-type]
    return part


def _notes(
    inputs: dict[str, onnx.ValueInfoProto], outputs: dict[str, onnx.ValueInfoProto], wanted: set[str], cut: str | None
) -> tuple[str, ...]:
    unused = ", ".join(name for name in inputs if name not in wanted)
    others = ", ".join(name for name in outputs if name not in wanted)
    begins = "" if cut is None else f"the network begins at {cut}, which the file computes from its inputs; "
    return (f"{begins}left out, as a contract says it: inputs {unused or 'none'}, outputs {others or 'none'}",)


def _flat(items: Iterable[onnx.ValueInfoProto]) -> list[str]:
    return [item.name for item in items if _rank(item) == 2]


def _rank(item: onnx.ValueInfoProto) -> int:
    return len(item.type.tensor_type.shape.dim)
