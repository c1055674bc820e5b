"""Fixtures of the loaders' tests."""

from __future__ import annotations

import pytest

from tests.checkpoints.libraries.sb3_files import classes


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Classes that pickle under the names of gymnasium's and Stable-Baselines3's."""
    return classes(monkeypatch)
