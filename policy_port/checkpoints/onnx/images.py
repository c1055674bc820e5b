"""ONNX operators of networks that see or slide over time, recorded as PyTorch operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from policy_port.checkpoints.onnx.record import Attributes, GraphRecord, Translator, meta
from policy_port.errors import CheckpointError


def _window(reader: GraphRecord, attributes: Attributes, value: Any) -> tuple[list[int], list[int], list[int]]:
    """Strides, padding and dilations of one spatial axis or two."""
    axes = meta(value).ndim - 2
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or attributes.get("ceil_mode", 0):
        raise CheckpointError(f"{reader.where}: {reader.node} with auto_pad or ceil_mode is not understood")
    pads = list(attributes.get("pads", [0] * 2 * axes))
    strides, dilations = list(attributes.get("strides", [1] * axes)), list(attributes.get("dilations", [1] * axes))
    if axes not in (1, 2) or pads[:axes] != pads[axes:] or len(strides) != axes:
        raise CheckpointError(f"{reader.where}: {reader.node} with the padding {pads} is not understood")
    return strides, pads[:axes], dilations


def _conv(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    strides, pads, dilations = _window(reader, attributes, inputs[0])
    bias = inputs[2] if len(inputs) > 2 else None
    group = attributes.get("group", 1)
    function, label = (functional.conv1d, "conv1d") if len(strides) == 1 else (functional.conv2d, "conv2d")
    return reader.apply(label, function, inputs[0], inputs[1], bias, strides, pads, dilations, group)


def _max_pool(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    strides, pads, dilations = _window(reader, attributes, inputs[0])
    kernel = list(attributes["kernel_shape"])
    function, label = (torch.max_pool1d, "max_pool1d") if len(strides) == 1 else (torch.max_pool2d, "max_pool2d")
    return reader.apply(label, function, inputs[0], kernel, strides, pads, dilations)


def _average_pool(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    strides, pads, _ = _window(reader, attributes, inputs[0])
    kernel, counted = list(attributes["kernel_shape"]), bool(attributes.get("count_include_pad", 0))
    if len(strides) == 1:
        return reader.apply("avg_pool1d", functional.avg_pool1d, inputs[0], kernel, strides, pads, False, counted)
    return reader.apply("avg_pool2d", functional.avg_pool2d, inputs[0], kernel, strides, pads, False, counted)


def _global(label: str, function: Callable[..., Any]) -> Translator:
    def run(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
        return reader.apply(label, function, inputs[0], list(range(2, meta(inputs[0]).ndim)), True)

    return run


IMAGE_TRANSLATORS: dict[str, Translator] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "GlobalAveragePool": _global("mean", torch.mean),
    "GlobalMaxPool": _global("amax", torch.amax),
    "MaxPool": _max_pool,
}
"""Translation of each operator."""
