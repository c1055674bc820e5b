"""Where the tests find what does not ship with the project, and which of them can't run here."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

# Before any test imports MuJoCo: a machine without a screen renders through EGL.
os.environ.setdefault("MUJOCO_GL", "egl")
# Before any test imports matplotlib: plots are written, never shown.
os.environ.setdefault("MPLBACKEND", "Agg")

pytest_plugins = ["tests.small_networks"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared"))


TESTS = Path(__file__).parent
REAL_TIME = (
    TESTS / "robots",
    *(TESTS / "cli" / f"test_{name}.py" for name in ("emulate", "play_free", "play_real", "play_real_env", "robot")),
)
"""Tests of an arm emulated in real time: beside other work, deadlines are missed that the code does not miss."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has to run alone."""
    for item in items:
        if any(item.path.is_relative_to(place) for place in REAL_TIME):
            item.add_marker("real_time")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real policies and checkpoints beside the project; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent (POLICY_PORT_SHARED names another place)")
    return SHARED


@functools.cache
def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no NVIDIA GPU that torch can use"


@functools.cache
def _no_vulkan() -> str:
    from policy_port.system import probe

    answer = probe("sapien")
    if answer.get("rendered"):
        return ""
    return f"SAPIEN can't render ({answer.get('error') or answer['reason']}); policy-port doctor says what mends it"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with the reason, what this machine can't run."""
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent (POLICY_PORT_SHARED names another place)")
    if item.get_closest_marker("gpu") and _no_gpu():
        pytest.skip(_no_gpu())
    if item.get_closest_marker("vulkan") and _no_vulkan():
        pytest.skip(_no_vulkan())
    if item.get_closest_marker("arm") and "POLICY_PORT_ARM" not in os.environ:
        pytest.skip("no arm: POLICY_PORT_ARM names no serial port")
