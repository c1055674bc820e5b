"""docs/supported.md says what the program's own tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = [sys.executable, str(ROOT / "scripts" / "support_table.py")]


def test_the_table_is_the_programs_own() -> None:
    """The block between the markers is what the script prints."""
    done = subprocess.run([*TABLE, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_library_has_a_row() -> None:
    """Each name that --from takes is in the table, with what is read."""
    from policy_port.checkpoints.load import LIBRARIES, loader_of

    text = (ROOT / "docs" / "supported.md").read_text(encoding="utf-8")
    for name in LIBRARIES:
        assert f"| `{name}` |" in text
        assert loader_of(name).SUPPORTED in text
