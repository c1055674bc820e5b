"""Claims about pipelines of LEAPP with several models."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from policy_port.checkpoints.load import load_policy
from policy_port.errors import CheckpointError, ContractError
from tests.checkpoints.onnx.leapp_files import (
    NODE,
    moments,
    plain,
    whole,
)
from tests.descriptors.leapp_run import contract_of, ported, terms


def test_of_several_models_the_policy_is_named(tmp_path: Path) -> None:
    """Two policies side by side in one YAML: --policy says which."""
    path = plain(tmp_path)
    text = path.read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    other = yaml.safe_load(text.replace(NODE, "Other"))
    (tmp_path / f"{NODE}.onnx").rename(tmp_path / "Other.onnx")
    plain(tmp_path)
    data["models"] |= other["models"]
    for key in ("feedback_flow", "inputs", "outputs"):
        data["pipeline"][key] |= other["pipeline"][key]
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    with pytest.raises(ContractError, match=r"Toy\.onnx, Other\.onnx\. Say which with --policy FILE"):
        contract_of(path)
    assert contract_of(path, policy=tmp_path / "Other.onnx").observation_size == 21


def staged(folder: Path) -> Path:
    """The usual task in two models: the first halves the command, the second is the whole of before."""
    path = plain(folder)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    sizes = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in ("raw", "made")]
    half = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")
    node = onnx.helper.make_node("Mul", ["raw", "half"], ["made"])
    graph = onnx.helper.make_graph([node], "first", sizes[:1], sizes[1:], [half])
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), str(folder / "first.onnx"))
    inputs = data["models"][NODE]["inputs"]
    moved = next(item for item in inputs if item["name"] == "base_velocity")
    inputs[inputs.index(moved)] = {"name": "base_velocity", "shape": [1, 3], "dtype": "float32", "type": "tensor"}
    first = {"inputs": [moved | {"name": "raw"}], "outputs": [{"name": "made", "shape": [1, 3]}]}
    digest = hashlib.sha256((folder / "first.onnx").read_bytes()).hexdigest()
    own = {"model_path": "first.onnx", "sha256sum": digest}
    first["parameters"] = data["models"][NODE]["parameters"] | own
    data["models"] = {"first": first} | data["models"]
    data["pipeline"]["data_flow"] = {"first/made": [f"{NODE}/base_velocity"]}
    data["pipeline"]["inputs"]["first"] = ["raw"]
    data["pipeline"]["inputs"][NODE].remove("base_velocity")
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("file", ["first.onnx", f"{NODE}.onnx"])
def test_models_that_compute_for_each_other_are_one(tmp_path: Path, file: str) -> None:
    """Given by either of its files, a pipeline of two models is what they compute one after the other: the scale of the
    first is in the contract, and the last action still goes round.
    """
    path, steps = staged(tmp_path / "two"), moments()
    contract = contract_of(path)
    (command,) = [term for term in terms(contract) if term["term"] == "velocity_command"]
    assert command == {"term": "velocity_command", "scale": [1.0, 1.0, 0.125]}
    halved = [dataclasses.replace(moment, command=moment.command / 2) for moment in steps]
    wanted = whole(plain(tmp_path / "one"), halved)
    np.testing.assert_allclose(ported(path, contract, steps, file), wanted, atol=1e-6)
    assert any("joins first.onnx" in note for note in load_policy(path.parent / file).notes)


def test_models_that_can_not_be_joined_are_named(tmp_path: Path) -> None:
    """One that is no ONNX, one that runs before what it reads, one of another export: each is refused by its name."""
    path = staged(tmp_path)
    right = json.loads(path.read_text())

    def refused(words: str, edit: Callable[[Any], None]) -> None:
        data = json.loads(json.dumps(right))
        edit(data)
        path.write_text(json.dumps(data), encoding="utf-8")
        with pytest.raises(CheckpointError, match=words):
            load_policy(tmp_path / f"{NODE}.onnx")

    models = right["models"]
    refused(
        r"models\.first is exported as jit", lambda data: data["models"]["first"]["parameters"].update(backend="jit")
    )
    refused("runs before", lambda data: data.update(models=dict(reversed(models.items()))))
    refused(
        r"models\.first\.parameters\.sha256sum",
        lambda data: data["models"]["first"]["parameters"].update(sha256sum="0" * 64),
    )
