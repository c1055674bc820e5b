"""The ONNX file: one file, any batch size, recurrent state as inputs and outputs, the contract in the metadata."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import onnx
import torch

from policy_port import __version__
from policy_port.checkpoints.actor import Actor
from policy_port.export.onnx_tidy import tidy
from policy_port.export.tracing import example_inputs
from policy_port.port.format import ACTIONS, OBSERVATION, STATE_IN, STATE_OUT

OPSET = 17
IR_VERSION = 8
"""What belongs to opset 17; ONNX Runtime reads it from 1.12 on."""

# The exporter that torch deprecates is used on purpose: its successor refuses TorchScript policies, unrolls an LSTM
# into its arithmetic and writes weights into a second file. What it says about that is no news to the user; state and
# batch size, which the LSTM warning is about, are inputs here.
_NAMED_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    (r"The feature will be removed\. Please remove usage of this function", DeprecationWarning),
    (r"no signature found for <torch\.ScriptMethod", UserWarning),
    (r"Constant folding - Only steps=1", UserWarning),
    (r"Exporting a model to ONNX with a batch_size other than 1", UserWarning),
)


def state_inputs(actor: Actor) -> tuple[str, ...]:
    """Names of the graph's state inputs, such as ("h_in", "c_in")."""
    return tuple(f"{name}{STATE_IN}" for name in actor.state_names)


def state_outputs(actor: Actor) -> tuple[str, ...]:
    """Names of the graph's state outputs, such as ("h_out", "c_out")."""
    return tuple(f"{name}{STATE_OUT}" for name in actor.state_names)


def build_onnx(traced: torch.jit.ScriptModule, actor: Actor) -> onnx.ModelProto:
    """Turn a traced actor into a graph `obs` (batch, n) -> `actions` (batch, m), with images and state beside them."""
    images = [image.name for image in actor.images]
    inputs = [OBSERVATION, *images, *state_inputs(actor)]
    outputs = [ACTIONS, *state_outputs(actor)]
    batch_axis = {name: 0 if name in (OBSERVATION, *images, ACTIONS) else 1 for name in (*inputs, *outputs)}
    written = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        for message, category in _NAMED_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        torch.onnx.export(
            traced,
            example_inputs(actor),
            written,  # type: ignore[arg-type]  # takes a stream since ever, its annotation forgot
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {axis: "batch"} for name, axis in batch_axis.items()},
        )
    model = onnx.load_model_from_string(written.getvalue())
    if actor.chunk is not None:
        # The exporter loses count of the chunk behind the transformer's reshapes.
        _, steps, width = model.graph.output[0].type.tensor_type.shape.dim
        steps.dim_value, width.dim_value = actor.chunk, actor.action_size
    tidy(model)
    model.ir_version = IR_VERSION
    model.graph.name = "policy"
    return model


def set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Replace the graph's metadata and name this program as its producer."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    model.producer_name = "policy-port"
    model.producer_version = __version__


def check(model: onnx.ModelProto) -> None:
    """Hold the graph against the ONNX standard, shapes included; a finding is a bug of this program."""
    onnx.checker.check_model(model, full_check=True)
