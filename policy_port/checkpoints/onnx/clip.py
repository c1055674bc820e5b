"""The reference motion inside a BeyondMimic file: tables that an input of its own, the step, picks a row of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from policy_port.checkpoints.onnx.read import parse_model, with_data

STEP = "time_step"
"""The input that says which frame is played."""
ARRAYS = ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w", "body_ang_vel_w")
"""The outputs that are a clip's."""


def clip_inside(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """Arrays of the clip by the output's name, frames first; empty where the file plays none.

    Args:
        path: An ONNX file.
        data: Its bytes.

    Raises:
        CheckpointError: When it is no ONNX file that can be read safely.
    """
    graph = parse_model(path, data).graph
    if STEP not in {item.name for item in graph.input}:
        return {}
    tables = {tensor.name: tensor for tensor in graph.initializer}
    tables |= {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    moved = _of_the_step(graph)
    found = {}
    for node in graph.node:
        name = node.output[0] if node.output else ""
        rows = next((item.i for item in node.attribute if item.name == "axis"), 0) == 0
        if name in ARRAYS and node.op_type == "Gather" and rows and node.input[0] in tables and node.input[1] in moved:
            found[name] = numpy_helper.to_array(with_data(tables[node.input[0]], path))
    return found


def _of_the_step(graph: onnx.GraphProto) -> set[str]:
    """Values that are computed from the step and constants alone."""
    given = {item.name for item in graph.input} - {STEP}
    known = {STEP}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if known.intersection(inputs) and not given.intersection(inputs):
            known.update(node.output)
    return known
