"""ONNX operators of networks that see, recorded as PyTorch operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from policy_port.checkpoints.onnx.record import Attributes, GraphRecord, Translator
from policy_port.errors import CheckpointError


def _window(reader: GraphRecord, attributes: Attributes, kind: str) -> tuple[list[int], list[int], list[int]]:
    """Strides, padding and dilations of two spatial axes."""
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or attributes.get("ceil_mode", 0):
        raise CheckpointError(f"{reader.where}: a {kind} with auto_pad or ceil_mode is not understood")
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    strides, dilations = list(attributes.get("strides", [1, 1])), list(attributes.get("dilations", [1, 1]))
    if len(pads) != 4 or pads[:2] != pads[2:] or len(strides) != 2:
        raise CheckpointError(f"{reader.where}: a {kind} with the padding {pads} is not understood")
    return strides, pads[:2], dilations


def _conv(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    strides, pads, dilations = _window(reader, attributes, "Conv")
    bias = inputs[2] if len(inputs) > 2 else None
    group = attributes.get("group", 1)
    return reader.apply("conv2d", functional.conv2d, inputs[0], inputs[1], bias, strides, pads, dilations, group)


def _max_pool(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    strides, pads, dilations = _window(reader, attributes, "MaxPool")
    kernel = list(attributes["kernel_shape"])
    return reader.apply("max_pool2d", torch.max_pool2d, inputs[0], kernel, strides, pads, dilations)


def _average_pool(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    strides, pads, _ = _window(reader, attributes, "AveragePool")
    kernel, counted = list(attributes["kernel_shape"]), bool(attributes.get("count_include_pad", 0))
    return reader.apply("avg_pool2d", functional.avg_pool2d, inputs[0], kernel, strides, pads, False, counted)


def _global(label: str, function: Callable[..., Any]) -> Translator:
    def run(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
        return reader.apply(label, function, inputs[0], [2, 3], True)

    return run


IMAGE_TRANSLATORS: dict[str, Translator] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "GlobalAveragePool": _global("mean", torch.mean),
    "GlobalMaxPool": _global("amax", torch.amax),
    "MaxPool": _max_pool,
}
"""Translation of each operator."""
