"""What a report rests on: versions of the libraries, and hashes of the files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from policy_port import __version__
from policy_port.files import sha256

LIBRARIES = ("numpy", "torch", "onnx", "onnxruntime", "mujoco", "mani_skill", "sapien", "newton", "mujoco-warp")
"""Distributions whose version can change a number."""


def versions() -> dict[str, str]:
    """Versions of policy-port, Python, the system and the libraries that are installed, without loading them."""
    found = {
        "policy-port": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file by the name to show; one that is not there says so."""
    return {name: sha256(path) if path.is_file() else "not there" for name, path in files.items()}
