"""Hostile inputs by the hundred: right files whose structure is changed, not only their bytes, drawn by Hypothesis."""

from __future__ import annotations

import copy
import io
import json
import math
import struct
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import onnx
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from benchmarks import hostile_good
from benchmarks.hostile import Case, Ended
from benchmarks.hostile_good import Good

Draw = Callable[[st.SearchStrategy[Any]], Any]

PLAY = ["--plant", "mujoco", "--command", "0,0,0", "--seconds", "0.1", "--out", "out"]
EXPORT = ["--contract", "contract.yaml", "--activation", "elu", "--out", "out"]
IMPORT = ["--robot", "cart", "--quaternion-order", "wxyz", "--set", "base.floating=true", "--out", "out"]

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
LEROBOT = ["--robot", "so100", "--actuation", "explicit", "--set", "base.floating=false", "--set", "joints.*.unit=deg",
           "--set", "joints.*.default=0", "--out", "out"]  # fmt: skip


@dataclass(frozen=True)
class Family:
    """One kind of file: the command that reads it, what lies beside it, and how to write one that is drawn."""

    args: list[str]
    drawn: str
    """Name of the input among the good ones; empty where no file of this kind alone is right."""
    beside: tuple[str, ...]
    write: Callable[[Good, Path, Draw], object]
    """Called with the good inputs, the folder and Hypothesis's draw, after `beside` was copied there."""


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


NUMBERS = (0, -1, 1, 3, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320, math.nan, math.inf, -math.inf)
TEXTS = ("", " ", "yes", "~", "0x10", "1e3", "2:00", "left", "../../canary", "/dev/zero", "\x1b[2J", "\u202e", "\u0430",
         "x" * 20_000, "{}", "[", "!!python/object", "*", ".*", "(a+)+$", "%s%n", "\n", "\u0000", "NaN")  # fmt: skip
LARGE = (
    [0.0] * 5000,
    ["left"] * 5000,
    {f"k{i}": 1.0 for i in range(5000)},
    [[1.0] * 50] * 50,
    _nested(60),
    _nested(400),
)
scalars = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from([None, True, False]))
values = st.one_of(
    scalars,
    st.sampled_from(LARGE),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(TEXTS), inner)),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside nested dicts and lists, the outermost first."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path] + [place for key, value in inner for place in places(value, (*path, key))]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        data = data[key]
    return data


def changed(draw: Draw, data: Any, values: st.SearchStrategy[Any] = values) -> Any:
    """Nested data with one to three changes of its structure or values."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        spots = places(data)
        *path, key = draw(st.sampled_from(spots[1:])) if len(spots) > 1 else ((), None)
        if key is None:
            return copy.deepcopy(draw(values))
        holder = at(data, tuple(path))
        how = draw(st.sampled_from(("value", "value", "value", "drop", "rename", "add", "wrap", "swap", "repeat")))
        if how == "value":
            holder[key] = copy.deepcopy(draw(values))
        elif how == "drop":
            del holder[key]
        elif how == "wrap":
            holder[key] = draw(st.sampled_from(([holder[key]], {"value": holder[key]}, [holder[key]] * 3)))
        elif how == "swap":
            holder[key] = copy.deepcopy(at(data, draw(st.sampled_from(spots[1:]))))
        elif isinstance(holder, list):
            holder.extend([holder[key]] * draw(st.sampled_from((1, 2, 1000))))
        elif how == "rename":
            holder[draw(st.sampled_from(TEXTS) | st.sampled_from(NUMBERS))] = holder.pop(key)
        else:
            holder[draw(st.sampled_from(TEXTS))] = copy.deepcopy(draw(values))
    return data


def _yaml(name: str, data: Callable[[], Any]) -> Callable[[Good, Path, Draw], object]:
    def write(good: Good, folder: Path, draw: Draw) -> None:
        (folder / name).write_text(yaml.safe_dump(changed(draw, data()), sort_keys=False))

    return write


def _robot(good: Good, folder: Path, draw: Draw) -> None:
    data = yaml.safe_load((good.path / "r.yaml").read_text())
    (folder / "r.yaml").write_text(yaml.safe_dump(changed(draw, data), sort_keys=False))


def _json(name: str, data: Callable[[], Any]) -> Callable[[Good, Path, Draw], object]:
    def write(good: Good, folder: Path, draw: Draw) -> None:
        (folder / name).write_text(json.dumps(changed(draw, data())))

    return write


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


def _checkpoint(good: Good, folder: Path, draw: Draw) -> None:
    data = changed(draw, hostile_good.checkpoint(), st.one_of(tensors(), tensors(), values))
    if draw(st.booleans()) and isinstance(data, dict):
        data["again"] = draw(st.sampled_from((data, [data])))
    torch.save(data, folder / "m.pt")


def _archive(name: str) -> Callable[[Good, Path, Draw], object]:
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


def _onnx_changed(draw: Draw, data: bytes) -> bytes:
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


def _onnx(good: Good, folder: Path, draw: Draw) -> None:
    (folder / "p.onnx").write_bytes(_onnx_changed(draw, (good.path / "p.onnx").read_bytes()))


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


def _npz_changed(draw: Draw, good: Good, name: str) -> bytes:
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


def _trace(good: Good, folder: Path, draw: Draw) -> None:
    (folder / "trace.npz").write_bytes(_npz_changed(draw, good, "trace.npz"))


def _port(good: Good, folder: Path, draw: Draw) -> None:
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
        (port / which).write_bytes(_npz_changed(draw, good, f"port/{SAMPLE}"))
    elif which == ONNX:
        (port / which).write_bytes(_onnx_changed(draw, (port / which).read_bytes()))
    elif which == "contract.yaml":
        (port / which).write_text(yaml.safe_dump(changed(draw, yaml.safe_load((port / which).read_text()))))
    elif which == "policy.pt":
        _archive("port/policy.pt")(good, folder, draw)
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


ATTRIBUTES = (
    "",
    "nan",
    "inf",
    "1e308",
    "-1",
    "0",
    "0 0 0",
    "1 2",
    "a b c",
    "x" * 20_000,
    "../../../../etc/passwd",
    "1e-320",
    "/dev/zero",
    "\u202e",
    "0 0 0 0",
    "left",
    "1 " * 5000,
    "true",
    "package://x/y.stl",
)


def _xml(name: str, text: str) -> Callable[[Good, Path, Draw], object]:
    def write(good: Good, folder: Path, draw: Draw) -> None:
        root = ET.fromstring(text)
        for _ in range(draw(st.integers(1, 3))):
            parents = [(parent, child) for parent in root.iter() for child in parent]
            parent, child = draw(st.sampled_from(parents))
            how = draw(st.integers(0, 6))
            if how <= 2 and child.attrib:
                child.set(draw(st.sampled_from(sorted(child.attrib))), draw(st.sampled_from(ATTRIBUTES)))
            elif how == 3:
                parent.remove(child)
            elif how == 4:
                parent.extend([copy.deepcopy(child) for _ in range(draw(st.sampled_from((1, 300))))])
            elif how == 5:
                child.tag = draw(
                    st.sampled_from(("include", "body", "geom", "link", "joint", "default", "replicate", "x"))
                )
            elif how == 6:
                child.append(copy.deepcopy(draw(st.sampled_from(parents))[1]))
            if len(root) == 0:
                break
        (folder / name).write_bytes(ET.tostring(root))

    return write


def _safetensors(good: Good, folder: Path, draw: Draw) -> None:
    header = {
        "actor.0.weight": {"dtype": "F32", "shape": [16, 14], "data_offsets": [0, 896]},
        "__metadata__": {"format": "pt"},
    }
    text = json.dumps(changed(draw, header)).encode()
    length = draw(st.sampled_from((len(text), len(text), 0, 2**63, len(text) + 7)))
    (folder / "m.safetensors").write_bytes(struct.pack("<Q", length) + text + bytes(896))


UNTOLD = ["--actuation", "implicit", "--timestep", "0.005"]
DEPLOY = ["contract", "import", "deploy.yaml", "--names", "names.yaml", *UNTOLD, *IMPORT]
CONFIG = ["contract", "import", "config.json", "info.json", *LEROBOT]
PORTED = ["--contract", "contract.yaml", "--out", "out"]

FAMILIES: dict[str, Family] = {
    "contract": Family(
        ["export", "m.pt", *EXPORT], "contract.yaml", ("m.pt",), _yaml("contract.yaml", hostile_good.contract)
    ),
    "mapping": Family(
        ["map", "check", "map.yaml", "--source", "contract.yaml"],
        "map.yaml",
        ("contract.yaml",),
        _yaml("map.yaml", hostile_good.mapping),
    ),
    "suite": Family(
        ["regress", "s.regress.yaml", "--update", "--jobs", "1"],
        "s.regress.yaml",
        ("port", "robot.xml"),
        _yaml("s.regress.yaml", hostile_good.suite),
    ),
    "robot file": Family(["robot", "check", "--robot", "r.yaml", "--emulated"], "r.yaml", (), _robot),
    "io.yaml": Family(
        ["contract", "import", "io.yaml", "--actuation", "implicit", *IMPORT],
        "io.yaml",
        (),
        _yaml("io.yaml", hostile_good.io_descriptors),
    ),
    "env.yaml": Family(
        ["contract", "import", "io.yaml", "env.yaml", *IMPORT],
        "env.yaml",
        ("io.yaml",),
        _yaml("env.yaml", hostile_good.env_yaml),
    ),
    "deploy.yaml": Family(DEPLOY, "deploy.yaml", ("names.yaml",), _yaml("deploy.yaml", hostile_good.deploy_yaml)),
    "names.yaml": Family(
        DEPLOY, "names.yaml", ("deploy.yaml",), _yaml("names.yaml", lambda: {"joint_names": list(hostile_good.JOINTS)})
    ),
    "config.json": Family(CONFIG, "config.json", ("info.json",), _json("config.json", hostile_good.lerobot_config)),
    "info.json": Family(CONFIG, "info.json", ("config.json",), _json("info.json", hostile_good.lerobot_info)),
    "checkpoint": Family(["export", "m.pt", *EXPORT], "m.pt", ("contract.yaml",), _checkpoint),
    "agent.yaml": Family(
        ["export", "m.pt", *PORTED, "--agent", "agent.yaml"],
        "agent.yaml",
        ("m.pt", "contract.yaml"),
        _yaml("agent.yaml", hostile_good.agent_yaml),
    ),
    "archive": Family(["export", "m.pt", *EXPORT], "m.pt", ("contract.yaml",), _archive("m.pt")),
    "TorchScript": Family(["export", "ts.pt", *PORTED], "ts.pt", ("contract.yaml",), _archive("ts.pt")),
    "safetensors": Family(["inspect", "m.safetensors"], "", (), _safetensors),
    "ONNX": Family(["export", "p.onnx", *PORTED], "p.onnx", ("contract.yaml",), _onnx),
    "port": Family(["play", "port", "--robot", "robot.xml", *PLAY], "port", ("robot.xml",), _port),
    "trace, verify": Family(["verify", "port", "--trace", "trace.npz"], "trace.npz", ("port",), _trace),
    "trace, diagnose": Family(["diagnose", "port", "--trace", "trace.npz"], "trace.npz", ("port",), _trace),
    "trace, compare": Family(["compare", "trace.npz", "trace.npz", "--out", "out"], "trace.npz", (), _trace),
    "MJCF": Family(
        ["play", "port", "--robot", "robot.xml", *PLAY], "robot.xml", ("port",), _xml("robot.xml", hostile_good.MJCF)
    ),
    "URDF": Family(
        ["play", "port", "--robot", "robot.urdf", *PLAY], "robot.urdf", ("port",), _xml("robot.urdf", hostile_good.URDF)
    ),
}


def draw(good: Good, family: str, count: int, seed: int, tried: Callable[[Case], Ended]) -> list[Ended]:
    """Try `count` drawn inputs of a family, always the same ones for a seed; the right input has to pass."""
    kind = FAMILIES[family]
    ended: list[Ended] = []

    def attempt(write: Callable[[Path], object], name: str) -> Ended:
        def both(folder: Path) -> None:
            good.copy(folder, *kind.beside)
            write(folder)

        suite = ("here/.regress_cache", "here/s.baselines") if family == "suite" else ()
        return tried(Case(family, name, kind.args, both, (*Case.may_write, *suite)))

    if kind.drawn and (right := attempt(lambda folder: good.copy(folder, kind.drawn), "right")).faults((0,)):
        raise RuntimeError(f"the right input of {family} fails: {right.faults((0,))}, {right.said}")

    @hypothesis.seed(seed)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=SLOW,
    )  # fmt: skip
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        ended.append(attempt(lambda folder: kind.write(good, folder, data.draw), str(len(ended))))

    attack()
    return ended
