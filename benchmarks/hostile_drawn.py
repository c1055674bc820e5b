"""Hostile inputs by the hundred: right files whose structure is changed, not only their bytes, drawn by Hypothesis."""

from __future__ import annotations

import copy
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks import hostile_good
from benchmarks.hostile_binary import archive, checkpoint, graph, port, safetensors, trace
from benchmarks.hostile_case import Case, Ended
from benchmarks.hostile_good import Good
from benchmarks.hostile_values import Draw, changed

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
    "checkpoint": Family(["export", "m.pt", *EXPORT], "m.pt", ("contract.yaml",), checkpoint),
    "agent.yaml": Family(
        ["export", "m.pt", *PORTED, "--agent", "agent.yaml"],
        "agent.yaml",
        ("m.pt", "contract.yaml"),
        _yaml("agent.yaml", hostile_good.agent_yaml),
    ),
    "archive": Family(["export", "m.pt", *EXPORT], "m.pt", ("contract.yaml",), archive("m.pt")),
    "TorchScript": Family(["export", "ts.pt", *PORTED], "ts.pt", ("contract.yaml",), archive("ts.pt")),
    "safetensors": Family(["inspect", "m.safetensors"], "", (), safetensors),
    "ONNX": Family(["export", "p.onnx", *PORTED], "p.onnx", ("contract.yaml",), graph),
    "port": Family(["play", "port", "--robot", "robot.xml", *PLAY], "port", ("robot.xml",), port),
    "trace, verify": Family(["verify", "port", "--trace", "trace.npz"], "trace.npz", ("port",), trace),
    "trace, diagnose": Family(["diagnose", "port", "--trace", "trace.npz"], "trace.npz", ("port",), trace),
    "trace, compare": Family(["compare", "trace.npz", "trace.npz", "--out", "out"], "trace.npz", (), trace),
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

    for left in (2, 1, 0) if kind.drawn else ():
        right = attempt(lambda folder: good.copy(folder, kind.drawn), "right")
        # An emulated arm in real time may miss an answer on a busy machine; what is wrong is wrong every time.
        if not (wrong := right.faults((0,))):
            break
        if not left:
            raise RuntimeError(f"the right input of {family} fails: {wrong}, {right.said}")

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
