"""What a case's outcome depends on, as hashes and versions."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import policy_port
from policy_port import __version__
from policy_port.contract import load_contract
from policy_port.contract.mapping import find_mapping
from policy_port.files import sha256
from policy_port.port.format import CONTRACT, MANIFEST
from policy_port.regress.suite import Case, Suite
from policy_port.robot_models.find import find_robot

ALWAYS = ("numpy", "onnx", "onnxruntime", "torch")
OF_SIMULATOR = {
    "mujoco": ("mujoco",),
    "maniskill": ("mani_skill", "sapien"),
    "newton": ("newton", "mujoco-warp", "mujoco"),
}

ROOMS = (
    *("checkpoints", "contract", "control", "export", "motion", "plants", "port"),
    *("proof", "regress", "remap", "replay", "robot_models", "tasks"),
)
"""Rooms of this package that have a part in a verdict."""

ROBOT_FILES = {".xml", ".urdf", ".mjcf", ".stl", ".obj", ".dae", ".glb", ".ply"}
"""Endings of the files that make a robot; those in the robot file's folder and below count."""


def versions(case: Case) -> dict[str, str]:
    """Versions of what computes: this package, the simulator, torch, ONNX Runtime, and the kind of machine."""
    simulator = "maniskill" if case.plant is None else case.plant.simulator
    found = {"policy_port": __version__, "python": platform.python_version(), "machine": _machine()}
    for name in (*OF_SIMULATOR[simulator], *ALWAYS):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def dependencies(suite: Suite, case: Case) -> dict[str, str]:
    """SHA-256 of each file or folder that the case is made of, by what it is.

    Raises:
        PolicyPortError: When a mapping or a robot is not there.
    """
    found: dict[str, str] = {}
    if case.port is not None:
        folder = suite.resolve(case.port)
        # The manifest holds the date of the export: the same port made again is the same port.
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != MANIFEST]
        found["port"] = _hash_files(folder, files)
    else:
        assert case.checkpoint is not None
        assert case.contract is not None
        checkpoint = suite.resolve(case.checkpoint)
        found["checkpoint"] = _hash_file(checkpoint)
        found["contract"] = _hash_file(suite.resolve(case.contract))
        agents = [
            folder / "agent.yaml"
            for folder in (checkpoint.parent / "params", checkpoint.parent, checkpoint.parent.parent / "params")
        ]
        agent = next((path for path in agents if path.is_file()), None)
        if agent is not None:
            found["agent.yaml"] = _hash_file(agent)
        if checkpoint.suffix == ".zip":
            # Stable-Baselines3's: which of the statistics beside it are its own is the loader's to say.
            beside = [path for ending in ("pkl", "yml") for depth in ("", "*/") for path in
                      checkpoint.parent.glob(f"{depth}*.{ending}") if path.is_file()]  # fmt: skip
            given = suite.resolve(case.statistics or "none")
            found["statistics"] = _hash_files(checkpoint.parent, sorted(beside))
            found["statistics named"] = _hash_file(given) if given.is_file() else ""
    for key in ("mapping", "through"):
        text = getattr(case, key)
        if text is not None:
            found[key] = _hash_file(find_mapping(suite.resolve_or_name(text)))
    if case.schedule is not None:
        found["schedule"] = _hash_file(suite.resolve(case.schedule))
    if case.plant is not None:
        found["robot"] = _robot(suite, case)
    return found


PARTS = ("checkpoint", "contract", "agent.yaml", "statistics", "statistics named", "mapping")
"""Dependencies that go into a port that the suite makes."""


def made_from(suite: Suite, case: Case) -> str:
    """Hash of what a port that the suite makes is made from."""
    found = dependencies(suite, case)
    parts = {key: found.get(key) for key in PARTS}
    options = {key: getattr(case, key) for key in ("fold", "library", "statistics", "ignore", "activation")}
    return _hash({**parts, **options, "source": package_source()})[:32]


def key(suite: Suite, case: Case) -> str:
    """Hash of all that the verdict on a case depends on, its baseline included."""
    return _hash(
        {
            "dependencies": dependencies(suite, case),
            "versions": versions(case),
            "source": package_source(),
            "case": case.model_dump(mode="json"),
            "rates": [suite.alarm_rate, suite.miss_rate],
            "baseline": [_hash_file(path) if path.is_file() else "" for path in suite.baseline_files(case.name)],
        }
    )


@functools.cache
def package_source() -> str:
    """Hash of the source of what computes a verdict: the package's version does not change between two edits."""
    root = Path(policy_port.__file__).parent
    return _hash_files(root, sorted(file for room in ROOMS for file in (root / room).rglob("*.py")))


def _robot(suite: Suite, case: Case) -> str:
    assert case.plant is not None
    name: str | Path | None = case.plant.robot
    if name is not None:
        name = suite.resolve_or_name(str(name))
    elif case.contract is not None:
        name = load_contract(suite.resolve(case.contract)).robot
    else:
        assert case.port is not None
        name = load_contract(suite.resolve(case.port) / CONTRACT).robot
    path = find_robot(name)
    folder = path.resolve().parent
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in ROBOT_FILES and file.is_file()]
    return _hash_files(folder, files)


def _machine() -> str:
    # Other instruction sets round differently, inside the simulator too.
    return f"{platform.system()} {platform.machine()}"


def _hash_files(root: Path, files: list[Path]) -> str:
    return _hash([[file.relative_to(root).as_posix(), _hash_file(file)] for file in files])


def _hash_file(path: Path) -> str:
    stat = path.stat()
    return _hash_unchanged(str(path), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _hash_unchanged(path: str, _modified: int, _size: int) -> str:
    return sha256(path)


def _hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
