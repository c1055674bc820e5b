"""Ports from strangers: every sum is right, and one file is not what it should be. One message, and soon."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from policy_port.errors import PolicyPortError, PortError
from policy_port.export import write
from policy_port.export.write import write_port
from policy_port.port.folder import load_port
from policy_port.port.format import CONTRACT_KEY, FILES, MANIFEST, ONNX, OWN_SUM, PARITY, POLICY, SAMPLE
from policy_port.port.manifest import write_manifest
from policy_port.remap import identity_remap


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def port_path(kept: Path, tmp_path: Path, make_actor, make_policy, contract, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a port of ONNX alone, which is written once."""
    monkeypatch.setattr(write, "_prove", lambda *args: '{"max_error": 1e-7, "max_ratio": 0.1}')
    if not (kept / "port").exists():
        write_port(kept / "port", make_policy(make_actor()), identity_remap(contract), formats=("onnx",))
    return Path(shutil.copytree(kept / "port", tmp_path / "port"))


def forged(port: Path, name: str, data: bytes) -> None:
    """Put other bytes in a file's place, and sum everything up anew."""
    (port / name).write_bytes(data)
    about = json.loads((port / MANIFEST).read_text())
    (port / MANIFEST).unlink()
    del about[FILES], about[OWN_SUM]
    write_manifest(port, about)


def signed(port: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and sum it up anew."""
    about = json.loads((port / MANIFEST).read_text())
    del about[OWN_SUM]
    change(about)
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    about[OWN_SUM] = hashlib.sha256(text.encode()).hexdigest()
    (port / MANIFEST).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def sample(**changes: Any) -> bytes:
    """A sample's bytes, with other arrays; None leaves one out."""
    arrays: dict[str, Any] = {
        "obs": np.zeros((2, 3, 15), np.float32),
        "reset": np.ones((2, 3), bool),
        "actions": np.zeros((2, 3, 4), np.float32),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{key: value for key, value in (arrays | changes).items() if value is not None})
    return buffer.getvalue()


def bomb() -> bytes:
    """An array that says it is 5 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2, 3, 10**12)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("obs.npy", header.getvalue())
    return buffer.getvalue()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "no archive": lambda: b"nothing",
    "empty": lambda: b"",
    "an array is missing": lambda: sample(actions=None),
    "objects": lambda: sample(obs=np.full((2, 3, 15), {}, dtype=object)),
    "text": lambda: sample(obs=np.full((2, 3, 15), "x")),
    "complex numbers": lambda: sample(obs=np.zeros((2, 3, 15), np.complex64)),
    "another width": lambda: sample(obs=np.zeros((2, 3, 7), np.float32)),
    "no steps": lambda: sample(obs=np.zeros((0, 3, 15), np.float32)),
    "other steps": lambda: sample(reset=np.ones((5, 3), bool)),
    "resets are numbers": lambda: sample(reset=np.ones((2, 3))),
    "one axis": lambda: sample(obs=np.zeros(15, np.float32)),
    "other answers": lambda: sample(actions=np.zeros((2, 3, 9), np.float32)),
    "an image that nobody reads": lambda: sample(image_front=np.zeros((2, 3, 8, 8, 3), np.uint8)),
    "terabytes": bomb,
    "numbers beyond all bounds": lambda: sample(actions=np.full((2, 3, 4), np.inf, np.float32)),
}


@pytest.mark.parametrize("case", SAMPLES)
def test_a_strangers_sample_is_one_message(port_path: Path, case: str) -> None:
    """Whatever stands where the sample should, with its sum made right."""
    forged(port_path, SAMPLE, SAMPLES[case]())
    began = time.monotonic()
    with pytest.raises(PortError, match=r"sample\.npz|policy\.onnx"):
        load_port(port_path)
    assert time.monotonic() - began < 10.0


def graph(inputs: list[tuple[str, list[Any]]], contract: str | None) -> bytes:
    """A graph that adds nothing to its first input."""
    nodes = [helper.make_node("Identity", [inputs[0][0]], ["actions"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    out = helper.make_tensor_value_info("actions", TensorProto.FLOAT, inputs[0][1])
    model = helper.make_model(helper.make_graph(nodes, "g", values, [out]), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if contract is not None:
        helper.set_model_props(model, {CONTRACT_KEY: contract})
    return model.SerializeToString()


@pytest.mark.parametrize(
    "case", ["garbage", "empty", "no contract", "a contract that is none", "another input", "another width", "no axes"]
)
def test_a_strangers_graph_is_one_message(port_path: Path, contract, case: str) -> None:
    """Whatever stands where the graph should."""
    own = contract.model_dump_json(exclude_none=True)
    data = {
        "garbage": lambda: b"\x00garbage" * 100,
        "empty": lambda: b"",
        "no contract": lambda: graph([("obs", ["batch", 15])], None),
        "a contract that is none": lambda: graph([("obs", ["batch", 15])], '{"joints": 3}'),
        "another input": lambda: graph([("camera", ["batch", 15])], own),
        "another width": lambda: graph([("obs", ["batch", 9])], own),
        "no axes": lambda: graph([("obs", [])], own),
    }[case]()
    forged(port_path, ONNX, data)
    with pytest.raises(PortError, match=r"policy\.onnx"):
        load_port(port_path)


@pytest.mark.parametrize("text", ["", "[1]", "3", "nonsense", "[" * 100_000, '{"a": ' * 5000])
def test_a_strangers_report_is_one_message(port_path: Path, text: str) -> None:
    """A parity report that is none."""
    forged(port_path, PARITY, text.encode())
    with pytest.raises(PortError, match=r"parity\.json"):
        load_port(port_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update({FILES: ["policy.onnx"]}),
        lambda about: about.update({FILES: {"policy.onnx": 3}}),
        lambda about: about.update({FILES: None}),
        lambda about: about.update({POLICY: []}),
        lambda about: about.update({POLICY: {"chunk": "many"}}),
        lambda about: about.pop(FILES),
        lambda about: about.pop(POLICY),
    ],
)
def test_a_strangers_manifest_is_one_message(port_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A manifest whose own sum is right and whose content is not."""
    signed(port_path, change)
    with pytest.raises(PortError, match=r"manifest\.json|was changed"):
        load_port(port_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "[" * 100_000, ""])
def test_a_manifest_of_another_shape_is_one_message(port_path: Path, text: str) -> None:
    """JSON that is no object, and no JSON."""
    (port_path / MANIFEST).write_text(text)
    with pytest.raises(PortError, match=r"manifest\.json"):
        load_port(port_path)


def test_a_link_is_no_file_of_a_port(port_path: Path, tmp_path: Path) -> None:
    """Even to the very bytes: what it leads to can be exchanged after the check."""
    (port_path / ONNX).rename(tmp_path / "elsewhere.onnx")
    (port_path / ONNX).symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(PortError, match=r"policy\.onnx: is a link"):
        load_port(port_path)


def test_the_forgeries_are_refused_for_their_content(port_path: Path) -> None:
    """The same forging with the right bytes is read."""
    forged(port_path, SAMPLE, (port_path / SAMPLE).read_bytes())
    signed(port_path, lambda about: None)
    assert load_port(port_path).onnx is not None


def test_bytes_turned_over_anywhere_are_one_message(port_path: Path) -> None:
    """Two hundred damaged files of each kind, sums made right: a port, or an error of ours."""
    rng = np.random.default_rng(0)
    for name in (SAMPLE, ONNX, PARITY, "contract.yaml"):
        whole = (port_path / name).read_bytes()
        for _ in range(50):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 3):
                data[place] ^= int(rng.integers(1, 256))
            forged(port_path, name, bytes(data))
            try:
                load_port(port_path)
            except PolicyPortError as error:
                assert name in str(error) or "contract" in str(error) or "policy.onnx" in str(error)  # noqa: PT017
        forged(port_path, name, whole)
    assert onnx.load_model(port_path / ONNX).graph.node
