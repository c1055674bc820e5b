"""What an ONNX file says about itself; apart from the exporter, so that reading a port does without torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from policy_port import __version__

CONTRACT_KEY = "contract"
"""Metadata key of the contract, as JSON at full precision."""


def set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Replace the graph's metadata and name this program as its producer."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    model.producer_name = "policy-port"
    model.producer_version = __version__


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the graph's metadata by key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
