"""One trace of an actor, from which both the TorchScript file and the ONNX file are made."""

from __future__ import annotations

import warnings

import torch
from torch.jit._trace import TracerWarning

from policy_port.checkpoints.actor import Actor
from policy_port.port.torchscript import torchscript_on_purpose

# Two rows, so that no step of a network can mistake the batch for an axis of length one.
_BATCH = 2


def example_inputs(actor: Actor) -> tuple[torch.Tensor, ...]:
    """Return observations, images and state of the shapes the actor takes."""
    dtypes = {"uint8": torch.uint8, "float32": torch.float32}
    images = [torch.zeros(image.shape(_BATCH), dtype=dtypes[image.dtype]) for image in actor.images]
    return (torch.zeros(_BATCH, actor.obs_size), *images, *actor.initial_state(_BATCH))


def trace(actor: Actor) -> torch.jit.ScriptModule:
    """Record what `actor` computes; the state stays an argument and a result.

    Tracing is exact here because an actor is a straight line of tensor operations: nothing in it depends on the
    values that go through, and the batch size appears in no operation.
    """
    with torch.no_grad(), torchscript_on_purpose(), warnings.catch_warnings():
        # torch.nn.LSTM and GRU compare widths in Python, which are constants of the network.
        warnings.filterwarnings("ignore", category=TracerWarning, module=r"torch\.nn\.modules\.rnn")
        # ACT iterates over tokens and pixels, whose number is the network's, and compares widths of its attention.
        warnings.filterwarnings("ignore", category=TracerWarning, module=r"lerobot\.policies\.act\.")
        warnings.filterwarnings("ignore", category=TracerWarning, module=r"torch\.nn\.functional|einops\.")
        # check_trace would run the actor a second time and compare; parity does so against the written file.
        traced = torch.jit.trace(actor.eval(), example_inputs(actor), check_trace=False)
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced
