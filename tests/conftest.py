"""Where the tests find what does not ship with the project, and which of them can't run here."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from policy_port.report import drawing

# libyaml reads and writes what the tests make as the package's own reader does, in a tenth of the time.
yaml.SafeLoader, yaml.SafeDumper = yaml.CSafeLoader, yaml.CSafeDumper  # type: ignore[misc, assignment]

# A busy machine takes its time over an example; none of these tests is about time.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# Before any test imports torch or NumPy: each core has its tests, and several threads would spend most of their time on
# waiting for one another, at full load.
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")
# Before any test imports MuJoCo: a machine without a screen renders through EGL.
os.environ.setdefault("MUJOCO_GL", "egl")
# Before any test imports matplotlib: plots are written, never shown.
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell starts what it puts into the background with Ctrl-C ignored, and all below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported and collected here is kept to the end: looking through it for garbage took a sixth of the time.
gc.set_threshold(50_000, 20, 20)

pytest_plugins = ["tests.forked", "tests.small_networks"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared"))
RASTERISED = drawing.rasterised
BLANK = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)
"""A picture of one white pixel."""
WATCHED = 0.3
"""For how long the machine's lateness is measured before a test in real time [s]."""
LATE = 0.02
"""A machine that is so late misses deadlines that the code does not miss [s]: LeRobot gives an answer 0.05."""
WATCHES = 10
"""How often a quiet moment is looked for."""


@pytest.fixture(autouse=True, scope="module")
def what_lasts_is_not_searched() -> None:
    """Libraries and test items live to the end: whoever collects garbage, as ManiSkill does for each environment, would
    look through all of them each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_watchdog_is_left() -> Iterator[None]:
    """Watchdogs of an arm that is gone would look for ten minutes at whatever emulated arm gets its port next."""
    yield
    # It is imported by those tests alone that need it.
    watchdog: Any = sys.modules.get("policy_port.robots.arm.watchdog")
    for port in [] if watchdog is None else list(watchdog._LEFT):
        watchdog.dismiss(port)


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
        from policy_port.plants.sapien_drawing import drawing_device

        # Tests that make ManiSkill's environments themselves draw much faster beside a renderer that stays.
        drawing_device()
        return ""
    return f"SAPIEN can't render ({answer.get('error') or answer['reason']}); policy-port doctor says what mends it"


def _lateness() -> float:
    """The longest time for which this process, asleep or at work, was kept from going on in its best moment [s]."""
    best = float("inf")
    for _ in range(WATCHES):
        worst, before = 0.0, time.monotonic()
        for end, pause in ((before + WATCHED / 2, 0.0), (before + WATCHED, 0.002)):
            while before < end:
                time.sleep(pause)
                now = time.monotonic()
                worst, before = max(worst, now - before - pause), now
        best = min(best, worst)
        if best <= LATE:
            break
    return best


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with the reason, what this machine can't run."""
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent (POLICY_PORT_SHARED names another place)")
    if item.get_closest_marker("gpu") and _no_gpu():
        pytest.skip(_no_gpu())
    if item.get_closest_marker("vulkan") and _no_vulkan():
        pytest.skip(_no_vulkan())
    if item.get_closest_marker("real_time") and (late := _lateness()) > LATE:
        pytest.skip(f"this machine is busy: it is {1000 * late:.0f} ms late, tests in real time bear {1000 * LATE:g}")
    if item.get_closest_marker("arm") and "POLICY_PORT_ARM" not in os.environ:
        pytest.skip("no arm: POLICY_PORT_ARM names no serial port")
    # To lay a plot out takes a second or two. What draws it is called all the same.
    drawing.rasterised = RASTERISED if item.get_closest_marker("pictures") else lambda canvas: BLANK
    _watch_arms(not (item.get_closest_marker("real_time") or item.get_closest_marker("arm")))


def _watch_arms(watched: bool) -> None:
    """Have a test fail that drives an emulated arm by the machine's time beside others: by chance it would anyway."""
    module = sys.modules.get("policy_port.robots.arm.servo_line")
    if module is None:
        return
    line = module.ServoLine
    opens = getattr(line.open, "__wrapped__", line.open)

    @functools.wraps(opens)
    def open_by_a_virtual_clock(self: Any) -> None:
        assert self._clock is not module.REAL, "drive this arm by a VirtualClock, or mark the test real_time"
        opens(self)

    line.open = open_by_a_virtual_clock if watched else opens
