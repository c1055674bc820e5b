"""The manifest of a port: the SHA-256 of every file in it, of itself too, and where the policy came from."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from policy_port.errors import PortError
from policy_port.files import sha256
from policy_port.plain_yaml import read_bytes, read_text
from policy_port.port.format import CHUNK, FILES, MANIFEST, OWN_SUM, POLICY

MAX_FILE_BYTES = 2 * 1024**3
"""Largest file of a port that is read."""
MAX_BYTES = 4 * 1024 * 1024
"""Largest manifest or report read; they take some kilobytes."""

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


def check_manifest(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read every file of a port once and hold what was read against its manifest.

    Returns:
        The manifest, and the bytes that were checked by the file's name. Whoever runs the port runs these: the folder
        may hold something else by then.

    Raises:
        PortError: Naming the file that is missing, changed or unknown, and what to do.
    """
    manifest = _read(folder)
    files: dict[str, str] = manifest[FILES]
    held: dict[str, bytes] = {}
    present = {file.name for file in folder.iterdir()} - {MANIFEST}
    for name in sorted(present - files.keys()):
        raise PortError(f"{folder / name}: is not in the port's manifest; move it out of the folder")
    for name, expected in files.items():
        if name not in present:
            raise PortError(f"{folder / name}: is missing from the port. {_ADVICE}")
        if (folder / name).is_symlink():
            raise PortError(f"{folder / name}: is a link, which a port never holds. {_ADVICE}")
        held[name] = _content(folder / name)
        if hashlib.sha256(held[name]).hexdigest() != expected:
            raise PortError(f"{folder / name}: was changed after the port was written. {_ADVICE}")
    return manifest, held


def _content(path: Path) -> bytes:
    """The bytes of a regular file that is no link."""
    try:
        return read_bytes(path, PortError, what="a port's file", max_bytes=MAX_FILE_BYTES, flags=os.O_NOFOLLOW)
    except PortError as cause:
        raise PortError(f"{cause}. It was changed after the port was written. {_ADVICE}") from None


def _read(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        what = "is a file; give the port's folder" if folder.exists() else "no such folder"
        raise PortError(f"{folder}: {what}")
    path = folder / MANIFEST
    if not path.is_file():
        raise PortError(f"{path}: is missing, so this is no port. `policy-port remap` and `export` write ports")
    try:
        text = read_text(path, PortError, what="a port's manifest", max_bytes=MAX_BYTES)
    except PortError as cause:
        raise PortError(f"{cause}. Where it was one, it was changed after the port was written. {_ADVICE}") from None
    try:
        manifest = json.loads(text)
        rest = {key: value for key, value in manifest.items() if key != OWN_SUM}
        # The whole text counts, so that not even a space can change unseen.
        intact = text == _text(manifest) and hashlib.sha256(_text(rest).encode()).hexdigest() == manifest[OWN_SUM]
    except (ValueError, KeyError, AttributeError, RecursionError):
        intact, manifest = False, {}
    if not intact:
        raise PortError(f"{path}: was changed after the port was written. {_ADVICE}")
    files, policy = manifest.get(FILES), manifest.get(POLICY)
    named = isinstance(files, dict) and all(isinstance(total, str) for total in files.values())
    if not named or not isinstance(policy, dict) or not isinstance(policy.get(CHUNK), int | None):
        raise PortError(f"{path}: lists no files with their sums, or no policy, as every port does. {_ADVICE}")
    return manifest


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
