"""A suite around the embedded policy that a test can spoil: all it is made of lies in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from policy_port.resources import assets_dir, mappings_dir

CASE: dict[str, Any] = {
    "name": "arm",
    "checkpoint": "model.pt",
    "contract": "contract.yaml",
    "mapping": "mapping.yaml",
    "through": "through.yaml",
    "plant": {"simulator": "mujoco", "meshes": False},
    "task": "so100-reach",
    "episodes": 80,
    "timeout": 120,
    "expect": {"open_loop": {}, "golden": {}, "statistical": {}},
}


def write_suite(folder: Path, *cases: dict[str, Any], **more: Any) -> Path:
    path = folder / "arm.regress.yaml"
    path.write_text(yaml.safe_dump({"suite_version": 1, **more, "cases": list(cases or (CASE,))}, sort_keys=False))
    return path


def write_arm(folder: Path) -> Path:
    """Checkpoint, contract and mapping in `folder`, whose network reads positions relative to the default pose.

    The embedded policy reads absolute ones; its normaliser takes up the difference, so that it moves as before.
    """
    source = assets_dir() / "so100_reach"
    (folder / "params").mkdir(parents=True)
    shutil.copy(source / "params" / "agent.yaml", folder / "params")
    shutil.copy(source / "model.pt", folder)
    for name in ("mapping.yaml", "through.yaml"):
        shutil.copy(mappings_dir() / "so100_maniskill_to_lerobot.yaml", folder / name)
    contract = yaml.safe_load((source / "contract.yaml").read_text())
    contract["observation"]["terms"][0] = {"term": "joint_pos_rel"}
    (folder / "contract.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    defaults = [joint["default"] for joint in contract["joints"].values()]

    def absolute(state: dict[str, Any]) -> None:
        mean = state["obs_normalizer._mean"]
        mean[0, :6] -= mean.new_tensor(defaults)

    change_weights(folder, absolute)
    return write_suite(folder)


def change_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    import torch

    stored = torch.load(folder / "model.pt", weights_only=True)
    change(stored["actor_state_dict"])
    torch.save(stored, folder / "model.pt")


def change_yaml(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False))
