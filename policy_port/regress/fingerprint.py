"""What a case's outcome depends on, as hashes and versions."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from policy_port import __version__
from policy_port.contract import load_contract
from policy_port.contract.mapping import find_mapping
from policy_port.files import hash_data, hash_file, hash_files, source_hash
from policy_port.plants.registry import SIMULATORS
from policy_port.port.format import CONTRACT, MANIFEST
from policy_port.regress.play import ListFile, Play
from policy_port.regress.suite import Case, Suite
from policy_port.robot_models.find import find_robot, robot_files

ALWAYS = ("numpy", "onnx", "onnxruntime", "torch")

ROOMS = (
    *("checkpoints", "contract", "control", "deploy", "dynamics", "export", "mistakes", "motion", "plants", "port"),
    *("proof", "regress", "remap", "replay", "robot_models", "tasks", "verdict"),
)
"""Rooms of this package that have a part in a verdict."""


def versions(case: Play) -> dict[str, str]:
    """Versions of what computes: this package, the simulator, torch, ONNX Runtime, and the kind of machine."""
    simulator = "maniskill" if case.plant is None else case.plant.simulator
    found = {"policy_port": __version__, "python": platform.python_version(), "machine": _machine()}
    for name in (*SIMULATORS[simulator].packages, *ALWAYS):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def dependencies(suite: ListFile, case: Play) -> dict[str, str]:
    """SHA-256 of each file or folder that the case is made of, by what it is.

    Raises:
        PolicyPortError: When a mapping or a robot is not there.
    """
    found: dict[str, str] = {}
    if case.port is not None:
        folder = suite.resolve(case.port)
        # The manifest holds the date of the export: the same port made again is the same port.
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != MANIFEST]
        found["port"] = hash_files(folder, files)
    else:
        assert case.checkpoint is not None
        assert case.contract is not None
        checkpoint = suite.resolve(case.checkpoint)
        found["checkpoint"] = hash_file(checkpoint)
        found["contract"] = hash_file(suite.resolve(case.contract))
        agents = [
            folder / "agent.yaml"
            for folder in (checkpoint.parent / "params", checkpoint.parent, checkpoint.parent.parent / "params")
        ]
        agent = next((path for path in agents if path.is_file()), None)
        if agent is not None:
            found["agent.yaml"] = hash_file(agent)
        if checkpoint.suffix == ".zip":
            # Stable-Baselines3's: which of the statistics beside it are its own is the loader's to say.
            beside = [path for ending in ("pkl", "yml") for depth in ("", "*/") for path in
                      checkpoint.parent.glob(f"{depth}*.{ending}") if path.is_file()]  # fmt: skip
            given = suite.resolve(case.statistics or "none")
            found["statistics"] = hash_files(checkpoint.parent, sorted(beside))
            found["statistics named"] = hash_file(given) if given.is_file() else ""
    for key in ("mapping", "through"):
        text = getattr(case, key)
        if text is not None:
            found[key] = hash_file(find_mapping(suite.resolve_or_name(text)))
    if case.schedule is not None:
        found["schedule"] = hash_file(suite.resolve(case.schedule))
    if case.plant is not None:
        found["robot"] = _robot(suite, case)
    return found


PARTS = ("checkpoint", "contract", "agent.yaml", "statistics", "statistics named", "mapping")
"""Dependencies that go into a port that the suite makes."""


def made_from(suite: ListFile, case: Play) -> str:
    """Hash of what a port that the suite makes is made from."""
    found = dependencies(suite, case)
    parts = {key: found.get(key) for key in PARTS}
    options = {key: getattr(case, key) for key in ("fold", "library", "statistics", "ignore", "activation")}
    return hash_data({**parts, **options, "source": package_source()})[:32]


def key(suite: Suite, case: Case) -> str:
    """Hash of all that the verdict on a case depends on, its baseline included."""
    return hash_data(
        {
            "dependencies": dependencies(suite, case),
            "versions": versions(case),
            "source": package_source(),
            "case": case.model_dump(mode="json"),
            "rates": [suite.alarm_rate, suite.miss_rate],
            "baseline": [hash_file(path) if path.is_file() else "" for path in suite.baseline_files(case.name)],
        }
    )


def package_source() -> str:
    """Hash of the source of what computes a verdict: the package's version does not change between two edits."""
    return source_hash(ROOMS)


def _robot(suite: ListFile, case: Play) -> str:
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
    return hash_files(path.resolve().parent, robot_files(path))


def _machine() -> str:
    # Other instruction sets round differently, inside the simulator too.
    return f"{platform.system()} {platform.machine()}"
