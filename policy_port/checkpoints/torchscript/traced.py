"""The example inputs that torch.jit.trace keeps beside a module: their shapes, with the data left out on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy_port.checkpoints.files.inert_pickle import Inert, read_inert
from policy_port.errors import CheckpointError

_TRACED = "traced_inputs"


def without_traced_inputs(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members that are the network; its example inputs declare data that the archive need not hold."""
    return {
        name: data for name, data in members.items() if name != f"{_TRACED}.pkl" and not name.startswith(f"{_TRACED}/")
    }


def traced_width(members: Mapping[str, bytes]) -> int | None:
    """Width of the observation that forward() was traced with; None where the file keeps none that can be read."""
    try:
        kept = read_inert(members.get(f"{_TRACED}.pkl", b"N."), _TRACED)
    except CheckpointError:
        return None
    forward = _untagged(kept)
    inputs = _untagged(forward.get("forward")) if isinstance(forward, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1:
        return None
    tensor = inputs[0]
    shape = tensor.arguments[2] if isinstance(tensor, Inert) and len(tensor.arguments) > 3 else None
    if not isinstance(shape, tuple) or not shape or not all(isinstance(size, int) for size in shape):
        return None
    return shape[-1] if 0 < shape[-1] <= 100_000 else None


def _untagged(value: Any) -> Any:
    """What TorchScript's type tag is wrapped around."""
    if isinstance(value, Inert) and value.dotted.endswith(".restore_type_tag") and value.arguments:
        return value.arguments[0]
    return value
