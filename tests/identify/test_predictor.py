"""Predictions against playing: the physics of identify are those of a plant under dynamics.yaml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import Values
from policy_port.identify.segments import cut
from tests.identify.hidden_arm import HIDDEN, JOINTS, SETUP, dynamics_of, play

SAME = 1e-9
"""Rounding between two ways to compute the same [rad]."""


def values_of(predictor: MujocoPredictor, hidden: dict[str, dict[str, float]]) -> Values:
    """Hidden numbers as a predictor takes them."""
    values = {key: array.copy() for key, array in predictor.stock.items()}
    for column, joint in enumerate(JOINTS):
        for key, value in hidden[joint].items():
            values[key][column] = value
    return values


@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_a_played_recording_is_predicted_exactly(arm: Path, tilt: float) -> None:
    """From the state at which a recording starts, identify's model predicts all of it to rounding."""
    common = {"gravity_tilt": [tilt, -tilt]} if tilt else {}
    dynamics = dynamics_of({name: {**HIDDEN[name], "gain": 1.02} for name in JOINTS}, common)  # type: ignore[arg-type]
    item = play(arm, dynamics, 0, rows=80)
    predictor = MujocoPredictor(arm, SETUP)
    values = values_of(predictor, {name: {**HIDDEN[name], "gain": 1.02} for name in JOINTS})
    values["gravity_tilt_x"][0], values["gravity_tilt_y"][0] = tilt, -tilt
    whole = replace(cut([item], 1.4), start=np.zeros(1), position=item.measured[:1], velocity=np.zeros((1, 2)))
    rows = np.arange(1, 71)
    whole = replace(whole, after=item.time[None, rows], measured=item.measured[None, rows])
    assert np.abs(predictor.predict([values], whole)[0] - whole.measured).max() < SAME
    # Every number counts: with one of them wrong the same recording is missed.
    for key in HIDDEN["elbow"].keys() - {"drive_damping", "effort_limit"}:
        wrong = {name: array.copy() for name, array in values.items()}
        wrong[key][1] *= 0.8
        assert np.abs(predictor.predict([wrong], whole)[0] - whole.measured).max() > 1e-5, key
    predictor.close()
