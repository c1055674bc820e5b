"""Descriptors written on the spot, and the shortest way to a contract of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from policy_port.contract import Contract
from policy_port.descriptors.dotted import label
from policy_port.descriptors.draft import source_of
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.registry import Imported, import_contract

COMPLETE: dict[str, Any] = {
    "robot": "toy",
    "quaternion_order": "wxyz",
    "timestep": 0.005,
    "actuation": "implicit",
}
"""What a user adds to a descriptor that says nothing of the simulator."""


def write(path: Path, data: Any) -> Path:
    """Write a descriptor: text as it is, anything else as YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def imported(*files: Path, kind: str | None = None, **options: Any) -> Imported:
    """Import `files` with the options given and nothing else."""
    return import_contract(list(files), kind, ImportOptions(**({"name": "toy"} | options)))


def contract(*files: Path, kind: str | None = None, **options: Any) -> Contract:
    """Import `files` with `COMPLETE` and the options given."""
    return imported(*files, kind=kind, **(COMPLETE | options)).contract


def unsourced(made: Contract) -> list[str]:
    """Dotted keys of a contract that no entry of its `sources` covers."""
    data = made.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    data.pop("sources", None)
    data.pop("contract_version", None)
    return [key for key in _keys(data) if source_of(made.sources, key) is None]


def _keys(data: Any, where: str = "") -> Iterator[str]:
    """Dotted keys of every value that is no mapping and no list of mappings."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _keys(value, f"{where}.{name}".lstrip("."))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for i, item in enumerate(data):
            yield from _keys(item, f"{where}.{label(item) or i}")
    else:
        yield where


def linear_policy(path: Path, read: int, written: int, metadata: dict[str, str] | None = None) -> Path:
    """Write an ONNX network of one layer, with metadata."""
    import onnx
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, (read, written), [0.0] * (read * written))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "w"], ["actions"])],
        "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [1, read])],
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, [1, written])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path
