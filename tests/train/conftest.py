"""Fixtures of the training's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rsl_rl", reason="needs policy-port[train]")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a run goes."""
    return tmp_path / "run"
