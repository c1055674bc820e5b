"""How this program opens a graph in ONNX Runtime: on one thread of the CPU, quiet, and its refusal in one message."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from policy_port.errors import PolicyPortError

if TYPE_CHECKING:
    import onnxruntime


def open_session(model: Path | bytes, error: type[PolicyPortError], where: str) -> onnxruntime.InferenceSession:
    """Load a graph.

    Args:
        model: The file, or its bytes.
        error: What to raise when ONNX Runtime refuses it.
        where: How that error's sentence begins, such as "port/policy.onnx:".
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The layers of a policy are too small to share: waiting for other threads costs far more than it gains.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime raises classes of its own that share no base but Exception.
    except Exception as cause:
        reason = str(cause).strip().splitlines() or [type(cause).__name__]
        raise error(f"{where} ONNX Runtime can't load it: {reason[0]}") from cause


def bound_call(session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding) -> Callable[[], object]:
    """One inference on what is bound.

    ONNX Runtime's own method looks whether a graph is being captured on WebGPU, which takes as long as a small layer
    (0.3 us), and what it does by default waits for other devices (0.7 us). On the CPU there is nothing to look or to
    wait for, so the call goes to the session inside, where there is one.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    inside, bound = getattr(session, "_sess", None), getattr(binding, "_iobinding", None)
    if inside is None or bound is None:
        return partial(session.run_with_iobinding, binding, options)
    return partial(inside.run_with_iobinding, bound, options)
