"""The manifest of a port: the SHA-256 of every file in it, of itself too, and where the policy came from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from policy_port.errors import PortError
from policy_port.files import sha256
from policy_port.port.format import FILES, MANIFEST, OWN_SUM

_ADVICE = "Write the port again with `policy-port remap` or `export`, or copy it again from where it came"


def write_manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Sum up every file of `folder` and write the manifest beside them.

    Args:
        folder: A finished port folder, without a manifest.
        about: Provenance and options; anything JSON can hold.

    Returns:
        The manifest.
    """
    files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    manifest = {**about, FILES: files}
    manifest[OWN_SUM] = hashlib.sha256(_text(manifest).encode()).hexdigest()
    (folder / MANIFEST).write_text(_text(manifest), encoding="utf-8", newline="\n")
    return manifest


def check_manifest(folder: Path) -> dict[str, Any]:
    """Hold every file of a port against its manifest.

    Raises:
        PortError: Naming the file that is missing, changed or unknown, and what to do.
    """
    manifest = _read(folder)
    files: dict[str, str] = manifest[FILES]
    present = {file.name for file in folder.iterdir()} - {MANIFEST}
    for name in sorted(present - files.keys()):
        raise PortError(f"{folder / name}: is not in the port's manifest; move it out of the folder")
    for name, expected in files.items():
        if name not in present:
            raise PortError(f"{folder / name}: is missing from the port. {_ADVICE}")
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise PortError(f"{folder / name}: was changed after the port was written. {_ADVICE}")
    return manifest


def _read(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        what = "is a file; give the port's folder" if folder.exists() else "no such folder"
        raise PortError(f"{folder}: {what}")
    path = folder / MANIFEST
    if not path.is_file():
        raise PortError(f"{path}: is missing, so this is no port. `policy-port remap` and `export` write ports")
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        rest = {key: value for key, value in manifest.items() if key != OWN_SUM}
        # The whole text counts, so that not even a space can change unseen.
        intact = text == _text(manifest) and hashlib.sha256(_text(rest).encode()).hexdigest() == manifest[OWN_SUM]
    except (ValueError, KeyError, AttributeError, RecursionError):
        intact, manifest = False, {}
    if not intact:
        raise PortError(f"{path}: was changed after the port was written. {_ADVICE}")
    return manifest


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
