"""Checkpoints, archives, graphs, arrays and ports whose contents Hypothesis changes, not only their bytes."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
import yaml
from hypothesis import strategies as st
from onnx import TensorProto

from benchmarks import hostile_good
from benchmarks.hostile_good import Good
from benchmarks.hostile_values import TEXTS, Draw, changed, values

DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool, torch.complex64)


@st.composite
def tensors(draw: Draw) -> torch.Tensor:
    """Tensors that a network can't use, or hardly."""
    kind = draw(st.sampled_from(("shape", "type", "stride", "empty", "nan", "sparse", "large")))
    shape = draw(st.lists(st.integers(0, 17), max_size=4))
    tensor = torch.ones(shape)
    if kind == "type":
        tensor = tensor.to(draw(st.sampled_from(DTYPES)))
    elif kind == "stride":
        tensor = torch.zeros(1).expand(draw(st.sampled_from(((200_000, 200_000), (16, 14), (10**9,), (8, 16)))))
    elif kind == "empty":
        tensor = torch.empty(0, draw(st.integers(0, 2**40)))
    elif kind == "nan":
        tensor = torch.full((16, 14), draw(st.sampled_from((math.nan, math.inf, 1e38))))
    elif kind == "sparse":
        tensor = torch.eye(16, 14).to_sparse()
    elif kind == "large":
        tensor = torch.zeros(draw(st.sampled_from((1_000_000,))))
    return tensor


def checkpoint(good: Good, folder: Path, draw: Draw) -> None:
    data = changed(draw, hostile_good.checkpoint(), st.one_of(tensors(), tensors(), values))
    if draw(st.booleans()) and isinstance(data, dict):
        data["again"] = draw(st.sampled_from((data, [data])))
    torch.save(data, folder / "m.pt")


def archive(name: str) -> Callable[[Good, Path, Draw], object]:
    def write(good: Good, folder: Path, draw: Draw) -> None:
        with zipfile.ZipFile(good.path / name) as archive:
            members = [(member, archive.read(member)) for member in archive.namelist()]
        for _ in range(draw(st.integers(1, 2))):
            index = draw(st.integers(0, len(members) - 1))
            member, data = members[index]
            how = draw(st.sampled_from(("drop", "twice", "rename", "empty", "cut", "flip", "zeros", "lines")))
            if how == "drop" and len(members) > 1:
                del members[index]
            elif how == "twice":
                members.append((member, data[::-1]))
            elif how == "rename":
                members[index] = (draw(st.sampled_from(("../../canary", "/canary", "a" * 5000, member + "x"))), data)
            elif how == "zeros":
                members[index] = (member, bytes(300_000_000))
            elif how == "lines":
                lines = data.split(b"\n")
                place = draw(st.integers(0, len(lines) - 1))
                members[index] = (member, b"\n".join(lines[:place] + lines[place : place + 1] * 3 + lines[place + 1 :]))
            elif how != "flip":
                members[index] = (member, data[: draw(st.integers(0, len(data)))] if how == "cut" else b"")
            elif data:
                place = draw(st.integers(0, len(data) - 1))
                members[index] = (member, data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members:
                archive.writestr(member, data)

    return write


def onnx_changed(draw: Draw, data: bytes) -> bytes:
    model = onnx.load_model_from_string(data)
    graph = model.graph
    for _ in range(draw(st.integers(1, 3))):
        node = graph.node[draw(st.integers(0, len(graph.node) - 1))]
        weight = graph.initializer[draw(st.integers(0, len(graph.initializer) - 1))]
        shape = draw(st.sampled_from([*graph.input, *graph.output])).type.tensor_type.shape
        ints = draw(st.sampled_from(([0], [-1], [2**40], [2**62, 2**62], [])))
        how = draw(st.integers(0, 15))
        if how == 0:
            node.op_type = draw(st.sampled_from(("Loop", "If", "Scan", "Foo", "", "LSTM", "Gemm", "Resize", "Expand")))
        elif how == 1:
            node.domain = draw(st.sampled_from(("com.stranger", "ai.onnx.ml", "")))
        elif how == 2 and node.input:
            node.input[0] = draw(st.sampled_from(("", node.output[0], "nowhere", graph.output[0].name)))
        elif how == 3:
            node.output[0] = draw(st.sampled_from(("", "obs", "x" * 10_000)))
        elif how == 4:
            node.attribute.append(onnx.helper.make_attribute("axis", draw(st.sampled_from((2**62, -9, 1.5, "x")))))
        elif how == 5:
            del weight.dims[:]
            weight.dims.extend(ints)
        elif how == 6:
            weight.raw_data = weight.raw_data[: draw(st.integers(0, 8))]
        elif how == 7:
            weight.data_type = draw(
                st.sampled_from((0, 999, TensorProto.STRING, TensorProto.INT64, TensorProto.DOUBLE))
            )
        elif how == 8:
            weight.data_location = TensorProto.EXTERNAL
            path = draw(st.sampled_from(("../canary", "/etc/passwd", "/dev/zero", "", "a\u0000b")))
            del weight.external_data[:]
            for key, value in (("location", path), ("offset", "-1"), ("length", "99999999999")):
                weight.external_data.add(key=key, value=value)
        elif how == 9:
            del shape.dim[:]
            for value in ints:
                shape.dim.add(dim_value=value)
        elif how == 10:
            model.opset_import[0].version = draw(st.sampled_from((0, -1, 1, 999, 2**40)))
        elif how == 11:
            model.ir_version = draw(st.sampled_from((0, 10**6)))
        elif how == 12:
            graph.output.extend([graph.output[0]] * draw(st.sampled_from((1, 500))))
        elif how == 13:
            model.metadata_props.add(
                key=draw(st.sampled_from(("contract", "producer", "x"))), value=draw(st.sampled_from(TEXTS))
            )
        elif how == 14:
            (graph.node if draw(st.booleans()) else graph.initializer).pop()
            if not graph.node or not graph.initializer:
                break
        elif how == 15:
            node.name = weight.name = draw(st.sampled_from(TEXTS))
    return model.SerializeToString()


def graph(good: Good, folder: Path, draw: Draw) -> None:
    (folder / "p.onnx").write_bytes(onnx_changed(draw, (good.path / "p.onnx").read_bytes()))


@st.composite
def headers(draw: Draw) -> bytes:
    """An array of a .npz: a header that may lie, and bytes that may not be enough."""
    shape = draw(
        st.one_of(st.just(()), st.lists(st.sampled_from((0, 1, 2, 14, 25, 10**6, 10**12, -1)), max_size=5).map(tuple))
    )
    kind = draw(
        st.sampled_from(("<f4", "<f8", "<i8", "|b1", "<c16", "<U8", "|O", "<M8[s]", "|V4", ">f4", "<f2", "|S3"))
    )
    buffer = io.BytesIO()
    np.lib.format.write_array_header_2_0(buffer, {"descr": kind, "fortran_order": draw(st.booleans()), "shape": shape})
    return buffer.getvalue() + draw(st.sampled_from((b"", bytes(64), bytes(4096), b"\xff" * 800)))


def npz_changed(draw: Draw, good: Good, name: str) -> bytes:
    """A .npz with one to three arrays or its header changed."""
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(good.path / name) as archive:
        members |= {member: archive.read(member) for member in archive.namelist()}
    right = dict(members)
    for member in draw(st.lists(st.sampled_from(sorted(right)), min_size=1, max_size=3, unique=True)):
        if member.endswith(".json"):
            text = changed(draw, json.loads(right[member]))
            members[member] = json.dumps(text).encode()
            continue
        how = draw(st.sampled_from(("header", "header", "values", "drop", "rows", "cut", "swap")))
        array = np.load(io.BytesIO(right[member]))
        if how == "header":
            members[member] = draw(headers())
        elif how == "drop" and len(members) > 1:
            del members[member]
        elif how == "cut":
            members[member] = members[member][: draw(st.integers(0, len(members[member])))]
        elif how == "swap":
            members[member] = right[draw(st.sampled_from(sorted(right)))]
        else:
            if how == "values" and array.size and array.dtype.kind == "f":
                array = array.copy()
                array.reshape(-1)[draw(st.integers(0, array.size - 1))] = draw(
                    st.sampled_from((math.nan, math.inf, 1e30))
                )
            elif array.ndim:
                array = array[: draw(st.integers(0, 3))]
            buffer = io.BytesIO()
            np.save(buffer, array)
            members[member] = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return buffer.getvalue()


def trace(good: Good, folder: Path, draw: Draw) -> None:
    (folder / "trace.npz").write_bytes(npz_changed(draw, good, "trace.npz"))


def port(good: Good, folder: Path, draw: Draw) -> None:
    """One file of a port is another one, and every sum is made right again."""
    from policy_port.port.format import FILES, MANIFEST, ONNX, OWN_SUM, PARITY, SAMPLE
    from policy_port.port.manifest import write_manifest

    good.copy(folder, "port")
    port = folder / "port"
    about = json.loads((port / MANIFEST).read_text())
    (port / MANIFEST).unlink()
    which = draw(
        st.sampled_from((MANIFEST, MANIFEST, PARITY, SAMPLE, SAMPLE, ONNX, ONNX, "contract.yaml", "policy.pt"))
    )
    if which == PARITY:
        (port / which).write_text(json.dumps(changed(draw, json.loads((port / which).read_text()))))
    elif which == SAMPLE:
        (port / which).write_bytes(npz_changed(draw, good, f"port/{SAMPLE}"))
    elif which == ONNX:
        (port / which).write_bytes(onnx_changed(draw, (port / which).read_bytes()))
    elif which == "contract.yaml":
        (port / which).write_text(yaml.safe_dump(changed(draw, yaml.safe_load((port / which).read_text()))))
    elif which == "policy.pt":
        archive("port/policy.pt")(good, folder, draw)
    del about[FILES], about[OWN_SUM]
    write_manifest(port, about)
    if which == MANIFEST:
        import hashlib

        about = changed(draw, json.loads((port / MANIFEST).read_text()))
        if isinstance(about, dict):
            about.pop(OWN_SUM, None)
            text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
            about[OWN_SUM] = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        (port / MANIFEST).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def safetensors(good: Good, folder: Path, draw: Draw) -> None:
    header = {
        "actor.0.weight": {"dtype": "F32", "shape": [16, 14], "data_offsets": [0, 896]},
        "__metadata__": {"format": "pt"},
    }
    text = json.dumps(changed(draw, header)).encode()
    length = draw(st.sampled_from((len(text), len(text), 0, 2**63, len(text) + 7)))
    (folder / "m.safetensors").write_bytes(struct.pack("<Q", length) + text + bytes(896))
