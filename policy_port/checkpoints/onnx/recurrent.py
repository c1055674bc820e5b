"""ONNX's LSTM and GRU as PyTorch's, whose gates are in another order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from policy_port.checkpoints.networks.tape import BATCH, Traced
from policy_port.checkpoints.onnx.record import GraphRecord
from policy_port.errors import CheckpointError

_LSTM_GATES = (0, 2, 3, 1)
"""PyTorch's input, forget, cell, output among ONNX's input, output, forget, cell."""
_GRU_GATES = (1, 0, 2)
"""PyTorch's reset, update, new among ONNX's update, reset, hidden."""


def recurrent(reader: GraphRecord, kind: str, attributes: dict[str, Any], inputs: list[Any]) -> list[Any]:
    """Record an LSTM or a GRU; return Y, Y_h and, for an LSTM, Y_c."""
    _require_plain(reader, kind, attributes, inputs)
    gates = _LSTM_GATES if kind == "LSTM" else _GRU_GATES
    hidden = attributes["hidden_size"]
    sequence, weight, recurrence = inputs[0], inputs[1], inputs[2]
    bias = inputs[3] if len(inputs) > 3 and inputs[3] is not None else torch.zeros(1, 2 * len(gates) * hidden)
    if not all(isinstance(item, Tensor) for item in (weight, recurrence, bias)):
        raise CheckpointError(f"{reader.where}: a {kind} whose weights are computed is not understood")
    weights = [
        _ordered(weight[0], gates, hidden),
        _ordered(recurrence[0], gates, hidden),
        _ordered(bias[0, : len(gates) * hidden], gates, hidden),
        _ordered(bias[0, len(gates) * hidden :], gates, hidden),
    ]
    for tensor, name in zip(weights, ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), strict=True):
        reader.recorder.name_constant(tensor, f"{kind.lower()}_{name}")
    h = _state(reader, inputs, 5, hidden)
    options = (True, 1, 0.0, False, False, False)
    if kind == "LSTM":
        c = _state(reader, inputs, 6, hidden)
        results = reader.apply("lstm", torch.ops.aten.lstm, sequence, [h, c], weights, *options)
    else:
        results = reader.apply("gru", torch.ops.aten.gru, sequence, h, weights, *options)
    out, *states = results
    return [reader.apply("unsqueeze", torch.unsqueeze, out, 1), *states]


def _require_plain(reader: GraphRecord, kind: str, attributes: dict[str, Any], inputs: list[Any]) -> None:
    """Raise on variants that PyTorch has no counterpart of."""
    usual = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}[kind]
    odd = [
        name
        for name, is_odd in (
            ("direction", attributes.get("direction", "forward") != "forward"),
            ("activations", [name.lower() for name in attributes.get("activations", usual)] != usual),
            ("clip", "clip" in attributes),
            ("layout", attributes.get("layout", 0) != 0),
            ("input_forget", attributes.get("input_forget", 0) != 0),
            ("linear_before_reset 0", kind == "GRU" and attributes.get("linear_before_reset", 0) != 1),
            ("sequence lengths", len(inputs) > 4 and inputs[4] is not None),
            ("peepholes", len(inputs) > 7 and inputs[7] is not None),
        )
        if is_odd
    ]
    if odd:
        raise CheckpointError(f"{reader.where}: a {kind} with unusual {', '.join(odd)} is not understood")


def _ordered(tensor: Tensor, gates: tuple[int, ...], hidden: int) -> Tensor:
    parts = tensor.split(hidden)
    return torch.cat([parts[gate] for gate in gates])


def _state(reader: GraphRecord, inputs: list[Any], index: int, hidden: int) -> Any:
    """An initial state; one that is not an input of the model starts anew at every call."""
    given = inputs[index] if len(inputs) > index else None
    if isinstance(given, Traced):
        return given
    reader.forgets = True
    start = torch.zeros(1, 1, hidden) if given is None else given
    rows = reader.recorder.size(reader.obs, 0)
    assert start.shape[1] in (1, BATCH)
    return reader.apply("expand", Tensor.expand, start, [1, rows, hidden])
