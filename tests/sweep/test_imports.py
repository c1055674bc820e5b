"""What a process brings along that plays in MuJoCo."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["sweep.worker", "regress.player", "replay.play"])
def test_only_sapien_brings_sapien(module: str) -> None:
    """Workers of sweeps and suites, and play, load neither SAPIEN nor ManiSkill before a case asks for them."""
    code = f"import sys, policy_port.{module}; print({{'sapien', 'mani_skill'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
