"""The demonstration does the project's main job, end to end."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.vulkan
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_demonstration_ends_with_its_table_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its remap the policy succeeds in both simulators, without it in neither, and the pictures are there."""
    out = tmp_path / "demo"
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--episodes", "1", "--out", str(out)])
    demo = importlib.import_module("demo")
    # Without a GPU a picture takes longer than a second of simulation.
    monkeypatch.setattr(demo, "EPISODE_SECONDS", 0.1)
    demo.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("maniskill ", "mujoco "))]
    assert [(row[0], "left" in row, row[-4]) for row in rows] == [
        ("maniskill", False, "100"),
        ("maniskill", True, "0"),
        ("mujoco", False, "100"),
        ("mujoco", True, "0"),
    ]
    for path in ("replay.png", "maniskill_remapped/video.mp4", "mujoco_remapped/video.mp4", "port/manifest.json"):
        assert (out / path).stat().st_size > 0
