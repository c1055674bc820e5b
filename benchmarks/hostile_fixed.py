"""Hostile inputs, one by one: each is wrong in a known way, and has to be refused."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from benchmarks import hostile_good
from benchmarks.hostile_case import Case
from benchmarks.hostile_drawn import FAMILIES
from benchmarks.hostile_good import Good

Write = Callable[[Path], object]

LAUGHS = "\n".join(
    [f"l0: &l0 [{', '.join('x' * 10)}]"]
    + [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 10)]
)  # fmt: skip

IN_A_JOINT = {
    "true": "upper: true",
    "yes": "upper: yes",
    "a sexagesimal": "upper: 2:00",
    "an octal": "upper: 010",
    "5,000 digits": f"upper: {'9' * 5000}",
    "40 digits": f"upper: 1{'0' * 39}",
    "a nan": "upper: .nan",
    "an infinite lower": "lower: -.inf",
    "float foo": "upper: !!float foo",
    "int foo": "upper: !!int foo",
    "bool maybe": "upper: !!bool maybe",
    "30 February": "upper: 2026-02-30",
    "a Python object": "upper: !!python/object/apply:os.system ['touch ../canary']",
}
"""By what it is: the line that takes the place of `upper: 2.0` or stands beside it."""

OF_A_CONTRACT = {
    "billion laughs": LAUGHS,
    "an alias of itself": "loop: &a [*a]",
    "900 levels": "x: " + "[" * 900 + "]" * 900,
    "20,000 levels": "x: " + "[" * 20_000 + "]" * 20_000,
    "2,000 nested maps": "\n".join(" " * level + "a:" for level in range(2000)),
    "a list as a key": "? [a]\n: 1",
    "a map as a key": "? {a: b}\n: 1",
    "a lone surrogate as a key": '"\\ud800": 1',
    "a terminal's escape as a key": '"\\e[2J\\e]0;x\\a": 1',
    "two documents": "---\na: 1",
    "a key twice": "name: again",
    "a merge key": "<<: {name: other}",
    "a binary": "x: !!binary aGFsbG8=",
    "a directive": "%TAG ! tag:x,2000:",
}
"""By what it is: text that is put behind a right contract."""

OF_A_TERM = {
    "history of 10^9": {"history": 10**9},
    "an external term of 10^7 numbers": {"term": "external", "name": "x", "size": 10**7},
    "a scale of 10^5 numbers": {"scale": [1.0] * 100_000},
    "a nan as scale": {"scale": float("nan")},
    "a clip the wrong way round": {"clip": [1.0, -1.0]},
}
"""By what it is: keys that are put into the first term."""


def fixed(good: Good) -> Iterator[Case]:
    """Every fixed input."""

    def case(family: str, name: str, write: Write, args: list[str] | None = None) -> Case:
        kind = FAMILIES[family]

        def both(folder: Path) -> None:
            good.copy(folder, *kind.beside)
            write(folder)

        return Case(family, name, kind.args if args is None else args, both)

    yield from _contracts(case)
    yield from _mappings(case)
    yield case("suite", "billion laughs", _text("s.regress.yaml", LAUGHS))
    yield case("robot file", "voltage the wrong way round", _robot(good, "voltage: [4.6, 8.4]", "voltage: [8.4, 4.6]"))
    yield case("robot file", "an id out of its folder", _robot(good, "id: so100", "id: ../../canary"))
    yield case("robot file", "speed 1000", _robot(good, "speed: 1.2", "speed: 1000"))
    yield case("robot file", "yes as a limit", _robot(good, "upper: 2.0", "upper: yes"))
    yield case("robot file", "a tracking error of 10", _robot(good, "tracking_error: 0.3", "tracking_error: 10"))
    yield case("robot file", "a heartbeat of 10^9 s", _robot(good, "heartbeat: 1.0", "heartbeat: 1.0e+9"))
    yield from _checkpoints(case)
    yield from _torchscripts(good, case)
    yield from _ports(case, good)
    yield from _traces(good, case)
    yield from _robots(case)


def _text(name: str, text: str) -> Write:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")


def _robot(good: Good, old: str, new: str) -> Write:
    text = (good.path / "r.yaml").read_text()
    assert old in text, old
    return _text("r.yaml", text.replace(old, new))


def _contracts(case: Callable[..., Case]) -> Iterator[Case]:
    right = yaml.safe_dump(hostile_good.contract(), sort_keys=False)
    for name, line in IN_A_JOINT.items():
        key = line.partition(":")[0]
        kept = "\n".join(row for row in right.split("\n") if not row.strip().startswith(f"{key}:"))
        yield case("contract", name, _text("contract.yaml", kept.replace("  right:\n", f"  right:\n    {line}\n")))
    for name, text in OF_A_CONTRACT.items():
        yield case("contract", name, _text("contract.yaml", f"{right}{text}\n"))
    for name, keys in OF_A_TERM.items():
        data = hostile_good.contract()
        data["observation"]["terms"][0].update(keys)
        yield case("contract", name, _text("contract.yaml", yaml.safe_dump(data)))
    for name, number in (("60,000 joints with a wrong key each", 60_000), ("200,000 joints", 200_000)):
        joints = "\n".join(f"  j{i}: {{defalt: 0}}" for i in range(number))
        yield case("contract", name, _text("contract.yaml", f"contract_version: 1\njoints:\n{joints}\n"))
    yield case("contract", "a Latin and a Cyrillic a", _text("contract.yaml", right.replace("  right:", "  le\u0430ft:")
                                                             .replace("  left:", "  leaft:")))  # fmt: skip
    yield case("contract", "a zero width space", _text("contract.yaml", right.replace("  right:", "  left\u200b:")))
    yield case("contract", "a fifo", lambda folder: os.mkfifo(folder / "contract.yaml"))
    yield case("contract", "/dev/zero", lambda folder: (folder / "contract.yaml").symlink_to("/dev/zero"))
    yield case("contract", "a folder", lambda folder: (folder / "contract.yaml").mkdir())
    yield case("contract", "bytes", lambda folder: (folder / "contract.yaml").write_bytes(bytes(range(256)) * 100))
    yield case("contract", "1 GB of nothing", lambda folder: _sparse(folder / "contract.yaml", 1 << 30))

    def loop(folder: Path) -> None:
        (folder / "contract.yaml").write_text(right)
        (folder / "out").symlink_to("out")

    yield case("contract", "--out is a link to itself", loop)


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _mappings(case: Callable[..., Case]) -> Iterator[Case]:
    for name, change in (
        ("a denormal scale", {"joints": {"left": {"scale": 1e-320}}}),
        ("a scale of 10^300", {"joints": {"left": {"scale": 1e300}}}),
        ("a joint twice", {"source_joint_names": ["left", "left"]}),
        ("200,000 joints", {"source_joint_names": [f"j{i}" for i in range(200_000)]}),
    ):
        yield case("mapping", name, _text("map.yaml", json.dumps(hostile_good.mapping() | change)))


def _checkpoints(case: Callable[..., Case]) -> Iterator[Case]:
    def saved(change: Callable[[dict[str, Any]], object]) -> Write:
        def write(folder: Path) -> None:
            data = hostile_good.checkpoint()
            change(data)
            torch.save(data, folder / "m.pt")

        return write

    def shared(data: dict[str, Any]) -> None:
        level: dict[str, Any] = {"x": torch.zeros(1)}
        for _ in range(60):
            level = {"a": level, "b": level}
        data["infos"] = level
        data["model_state_dict"]["actor.0.weight"] = torch.zeros(3)

    def looped(data: dict[str, Any]) -> None:
        data["infos"] = data
        data["model_state_dict"]["actor.2.weight"] = torch.zeros(3)

    wide = torch.zeros(1).expand(200_000, 200_000)
    state = "model_state_dict"
    yield case("checkpoint", "2^60 paths, and a wrong weight", saved(shared))
    yield case("checkpoint", "holds itself, and a wrong weight", saved(looped))
    yield case("checkpoint", "a weight of stride 0", saved(lambda data: data[state].update({"actor.0.weight": wide})))
    yield case("checkpoint", "a bias of stride 0", saved(lambda data: data[state].update({"actor.0.bias": wide[0]})))
    yield case("checkpoint", "a weight of NaN", saved(lambda data: data[state]["actor.0.weight"].fill_(float("nan"))))
    for name, kind in (("a complex weight", torch.complex64), ("a weight of whole numbers", torch.int64)):
        weight = torch.zeros(16, 14, dtype=kind)
        yield case(
            "checkpoint", name, saved(lambda data, weight=weight: data[state].update({"actor.0.weight": weight}))
        )
    yield case("checkpoint", "code in its pickle", _evil)
    yield case("checkpoint", "1 GB of nothing", lambda folder: _sparse(folder / "m.pt", 1 << 30))
    yield case("checkpoint", "a fifo", lambda folder: os.mkfifo(folder / "m.pt"))
    yield case("archive", "60,000 members", lambda folder: _many(folder / "m.pt"))


class _Touch:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ../canary",)


def _evil(folder: Path) -> None:
    torch.save(hostile_good.checkpoint() | {"infos": _Touch()}, folder / "m.pt")


def _many(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(60_000):
            archive.writestr(f"archive/data/{index}", b"")


class _Endless(nn.Module):
    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        while bool(obs.numel() > 0):
            obs = obs + 1
        return obs[:, :2]


def _torchscripts(good: Good, case: Callable[..., Case]) -> Iterator[Case]:
    def members(change: Callable[[dict[str, bytes]], object]) -> Write:
        def write(folder: Path) -> None:
            with zipfile.ZipFile(good.path / "ts.pt") as archive:
                data = {name: archive.read(name) for name in archive.namelist()}
            change(data)
            with zipfile.ZipFile(folder / "ts.pt", "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in data.items():
                    archive.writestr(name, content)

        return write

    yield case("TorchScript", "60,000 members", lambda folder: _many(folder / "ts.pt"))
    yield case("TorchScript", "300 MB of zeros in a ratio of 1,000",
               members(lambda data: data.update({"ts/data/9": bytes(300_000_000)})))  # fmt: skip
    yield case("TorchScript", "writes a file", members(_saving))
    yield case("TorchScript", "an endless loop",
               lambda folder: torch.jit.script(_Endless()).save(str(folder / "ts.pt")))  # fmt: skip


def _saving(data: dict[str, bytes]) -> None:
    """Another forward, which writes a file."""
    name = next(name for name in data if name.endswith("container.py"))
    head, _, _ = data[name].partition(b"  def forward")
    data[name] = head + b'  def forward(self, x: Tensor) -> Tensor:\n    torch.save(x, "../canary")\n    return x\n'


def _ports(case: Callable[..., Case], good: Good) -> Iterator[Case]:
    def forged(name: str, data: bytes) -> Write:
        from policy_port.port.format import FILES, MANIFEST, OWN_SUM
        from policy_port.port.manifest import write_manifest

        def write(folder: Path) -> None:
            good.copy(folder, "port")
            port = folder / "port"
            (port / name).write_bytes(data)
            about = json.loads((port / MANIFEST).read_text())
            (port / MANIFEST).unlink()
            del about[FILES], about[OWN_SUM]
            write_manifest(port, about)

        return write

    sample = good.arrays("port/sample.npz")
    yield case("port", "policy.onnx is no model", forged("policy.onnx", b"no model" * 100))
    yield case("port", "parity.json is no JSON", forged("parity.json", b"{"))
    yield case("port", "parity.json is a list", forged("parity.json", b"[1, 2]"))
    yield case("port", "parity.json is deep", forged("parity.json", b"[" * 100_000 + b"]" * 100_000))
    yield case("port", "sample.npz is no archive", forged("sample.npz", b"\x80\x04N."))
    yield case("port", "sample.npz without its arrays", forged("sample.npz", _npz({"obs": sample["obs"]})))
    yield case("port", "sample.npz with objects", forged("sample.npz", _npz(sample | {"obs": np.array([{}])})))
    yield case("port", "sample.npz of another shape",
               forged("sample.npz", _npz(sample | {"obs": np.zeros((3, 5), np.float32)})))  # fmt: skip
    yield case("port", "sample.npz of 5 TB", forged("sample.npz", _npz(sample, obs=_header((2, 3, 10**12)))))
    yield case("port", "sample.npz with other actions",
               forged("sample.npz", _npz(sample | {"actions": sample["actions"] + 1})))  # fmt: skip

    def changed(change: Callable[[Path], object]) -> Write:
        def write(folder: Path) -> None:
            good.copy(folder, "port")
            change(folder / "port")

        return write

    def linked(port: Path) -> None:
        (port / "policy.onnx").unlink()
        (port / "policy.onnx").symlink_to(good.path / "p.onnx")

    yield case("port", "a manifest that is a list", changed(lambda port: (port / "manifest.json").write_text("[]")))
    yield case("port", "a link", changed(linked))
    yield case("port", "one changed byte", changed(lambda port: _flip(port / "policy.onnx")))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """An array that claims a shape and has no bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _npz(arrays: dict[str, np.ndarray], **raw: bytes) -> bytes:
    """A .npz of arrays, some of them replaced by bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", raw.get(name, member.getvalue()))
    return buffer.getvalue()


def _traces(good: Good, case: Callable[..., Case]) -> Iterator[Case]:
    with zipfile.ZipFile(good.path / "trace.npz") as archive:
        right = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(right["header.json"])
    steps = np.load(io.BytesIO(right["observation.npy"])).shape

    def array(value: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, value)
        return buffer.getvalue()

    def with_member(name: str, data: Callable[[], bytes]) -> Write:
        def write(folder: Path) -> None:
            with zipfile.ZipFile(folder / "trace.npz", "w", zipfile.ZIP_DEFLATED) as archive:
                for member, content in (right | {name: data()}).items():
                    archive.writestr(member, content)

        return write

    def header(**changes: Any) -> bytes:
        return json.dumps(about | changes).encode()

    members: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
        ("a scalar", "joint_pos.npy", lambda: array(np.array(1.0, np.float32))),
        ("text", "joint_pos.npy", lambda: array(np.full(steps, "x"))),
        ("complex numbers", "joint_pos.npy", lambda: array(np.zeros(steps, np.complex64))),
        ("a NaN", "joint_pos.npy", lambda: array(np.full((*steps[:2], 2), np.nan, np.float32))),
        ("an infinite action", "action.npy", lambda: array(np.full((*steps[:2], 2), np.inf, np.float32))),
        ("5 * 10^12 numbers", "joint_pos.npy", lambda: _header((5, 10**12))),
        ("1 GB of zeros", "joint_pos.npy", lambda: _header((10, 1, 25 * 10**6)) + bytes(10**9)),
        ("a header that is a list", "header.json", lambda: b"[]"),
        ("a header 100,000 deep", "header.json", lambda: b"[" * 100_000 + b"]" * 100_000),
        ("a control_dt of NaN", "header.json", lambda: header(control_dt=float("nan"))),
        ("a control_dt of text", "header.json", lambda: header(control_dt="fast")),
        ("a control_dt of zero", "header.json", lambda: header(control_dt=0)),
        ("joint names that are a number", "header.json", lambda: header(joint_names=7)),
        ("joint names twice", "header.json", lambda: header(joint_names=["left", "left"])),
    )
    for name, member, data in members:
        yield case("trace, verify", name, with_member(member, data))
        yield case("trace, compare", name, with_member(member, data))


def _robots(case: Callable[..., Case]) -> Iterator[Case]:
    mjcf, urdf = hostile_good.MJCF, hostile_good.URDF
    growing = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    entity = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{growing}]>'
    for name, text in (
        ("entities that grow", entity + mjcf.replace('model="cart"', 'model="&j;"')),
        ("includes itself", mjcf.replace("<worldbody>", '<include file="robot.xml"/><worldbody>')),
        ("includes /dev/zero", mjcf.replace("<worldbody>", '<include file="/dev/zero"/><worldbody>')),
        ("a mass of NaN", mjcf.replace('mass="3"', 'mass="nan"')),
        ("a negative size", mjcf.replace('size="0.05"', 'size="-1"')),
        ("no XML", "robot"),
        ("2,000 nested bodies", "<mujoco><worldbody>" + "<body>" * 2000 + "</body>" * 2000 + "</worldbody></mujoco>"),
    ):
        yield case("MJCF", name, _text("robot.xml", text))
    for name, text in (
        ("entities that grow", entity + urdf.replace('name="cart"', 'name="&j;"')),
        ("a link that is its own child", urdf.replace('<child link="r"/>', '<child link="trunk"/>')),
        ("a mass of NaN", urdf.replace('value="3"', 'value="nan"')),
        ("an axis of zero", urdf.replace('<axis xyz="0 1 0"/>', '<axis xyz="0 0 0"/>')),
        ("a joint twice", urdf.replace('name="right"', 'name="left"')),
    ):
        yield case("URDF", name, _text("robot.urdf", text))
