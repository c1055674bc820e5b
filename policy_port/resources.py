"""Where the files that ship with the project lie: in a checkout, and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def mappings_dir() -> Path:
    """Folder of the shipped mapping files.

    A checkout keeps them at the top, where a reader looks for them; the wheel carries them in the package.
    """
    installed = _PACKAGE / "mappings"
    return installed if installed.is_dir() else _PACKAGE.parent / "mappings"


def assets_dir() -> Path:
    """Folder of the embedded policy: its checkpoint, agent configuration and contract."""
    return _PACKAGE / "assets"
