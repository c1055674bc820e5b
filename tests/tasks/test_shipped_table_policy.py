"""The policy for the emulated arm's table: its files, its figures, and a green screen that is that table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="needs policy-port[camera]")

from policy_port.camera.env_file import load_env_file
from policy_port.camera.stills import read_still
from policy_port.contract import load_contract
from policy_port.robots.emulator.scene import TABLE

FOLDER = Path(__file__).resolve().parents[2] / "policy_port" / "assets" / "so100_reach_ball_table"


def test_the_files_belong_together() -> None:
    """A small harmless checkpoint; the green screen has the contract's size and the colour of the emulated table."""
    state = torch.load(FOLDER / "model.pt", weights_only=True)
    assert "student_state_dict" in state
    assert (FOLDER / "model.pt").stat().st_size < 1_000_000
    image, given = load_contract(FOLDER / "contract.yaml").images[0], load_env_file(FOLDER / "env.yaml")
    assert given.background_file is not None
    picture = read_still(given.background_file)
    assert picture.shape == (image.height, image.width, 3)
    assert picture.reshape(-1, 3).mean(axis=0) == pytest.approx(np.array(TABLE), abs=20)


def test_published_figures_tell_what_the_picture_is_worth() -> None:
    """On seeds 0 to 99 it does better than half as well as its teacher, and is lost without its picture."""
    figures = json.loads((FOLDER / "evaluation.json").read_text())
    assert figures["seeds"] == [0, 99]
    assert figures["teacher, from state"]["success_rate"] >= 0.95
    assert figures["student"]["success_rate"] >= 0.5
    assert figures["student without its picture"]["success_rate"] <= 0.1
