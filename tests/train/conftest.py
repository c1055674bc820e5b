"""Fixtures of the training's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from policy_port.train import report


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a run goes."""
    return tmp_path / "run"


@pytest.fixture
def drawn() -> None:
    """For those that want a run's curves on its page: they are drawn."""


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a short run's time would go into the curves of a page that nobody reads."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(report, "draw_png", lambda *_: b"")
