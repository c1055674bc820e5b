"""An engine in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")
pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from tests.engine.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Commands that leave what theirs would."""
    return Lab(tmp_path)
