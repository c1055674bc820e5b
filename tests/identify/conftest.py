"""The arm with hidden dynamics, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.identify.recording import Recording
from tests.identify.hidden_arm import ARM, HIDDEN, dynamics_of, play


@pytest.fixture(scope="session")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its robot file."""
    path = tmp_path_factory.mktemp("arm") / "arm.xml"
    path.write_text(ARM, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def recordings(arm: Path) -> list[Recording]:
    """Four motions of the arm with hidden dynamics, read with noise and in steps."""
    hidden = dynamics_of(HIDDEN, {"encoder_noise": 0.0005, "encoder_step": 0.0015})
    return [play(arm, hidden, kind, seed=kind) for kind in range(4)]
