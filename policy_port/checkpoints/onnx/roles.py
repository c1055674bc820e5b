"""Which output of an ONNX graph is the action, and which carries on which state: as told, or where it is certain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx

ACTIONS = "actions"
"""The role of the action among those that a user names."""
_MEANS = ("mu", "mean", "loc")
"""How trainers name the mean of a Gaussian; it is the action where everything beside it is known to be none."""
_BESIDE = re.compile(r"(log_?)?(std|sigma|prob|probs)|sigmas|stds?|values?|neglogp|entropy|v|critic", re.IGNORECASE)
"""Outputs of a trainer's network that are no actions."""
_NO_ACTION = re.compile(r"std|sigma|var|prob|value|entropy|prev|last|mask", re.IGNORECASE)
"""What an output with `action` in its name is not, if it says this too."""


def action_output(names: Sequence[str], given: Mapping[str, str]) -> str | None:
    """Name of the output that is the action; None where that is not certain.

    Args:
        names: The outputs that carry no state.
        given: Outputs by the role that the user names; an output that is not there decides nothing.
    """
    if ACTIONS in given:
        return given[ACTIONS] if given[ACTIONS] in names else None
    exact = [name for name in names if name.lower() in ("actions", "action")]
    alike = [name for name in names if "action" in name.lower() and not _NO_ACTION.search(name)]
    means = [name for name in names if name.lower() in _MEANS]
    if means and any(name not in means and not _BESIDE.fullmatch(name) for name in names):
        means = []
    for found in (exact, alike, means, list(names)):
        if found:
            return found[0] if len(found) == 1 else None
    return None


def state_outputs(graph: onnx.GraphProto, given: Mapping[str, str]) -> dict[str, str]:
    """The output that carries on each input of three axes, where there is one: as told, by name, or by the layer."""
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [item.name for item in graph.input if item.name not in stored and len(_shape(item)) == 3]
    outputs = {item.name for item in graph.output}
    layers = _by_layer(graph)
    found = {}
    for name in inputs:
        candidates = (given[name],) if name in given else (_paired(name), layers.get(name))
        carried = next((output for output in candidates if output in outputs), None)
        if carried is not None:
            found[name] = carried
    return found


def _paired(name: str) -> str:
    """The usual name of the output beside an input of a state."""
    if name.endswith(".in"):
        return f"{name.removesuffix('.in')}.out"
    return name.replace("_in", "_out") if "_in" in name else f"{name}_out"


def _by_layer(graph: onnx.GraphProto) -> dict[str, str]:
    """By the input that a recurrent layer starts from, what the layer writes for the next step."""
    found = {}
    for node in graph.node:
        if node.op_type in ("LSTM", "GRU"):
            # Inputs 5 and 6 are the initial hidden and cell state, outputs 1 and 2 the last ones.
            found |= dict(zip(node.input[5:7], node.output[1:3], strict=False))
    return found


def _shape(item: onnx.ValueInfoProto) -> list[object]:
    return list(item.type.tensor_type.shape.dim)
