"""Predictions against playing: the physics of identify are those of a plant under dynamics.yaml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.identify.fit import Predictor
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import Values
from policy_port.identify.segments import Segments, cut
from tests.identify.hidden_arm import HIDDEN, JOINTS, SETUP, dynamics_of, play

SAME = 1e-9
"""Rounding between two ways to compute the same [rad]."""


def values_of(predictor: Predictor, hidden: dict[str, dict[str, float]]) -> Values:
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


def test_sapien_predicts_what_was_played_and_parts_keep_their_order(arm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SAPIEN's model predicts a recording that was played there, and parted among workers it says the same."""
    pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
    from policy_port.identify import sapien_predictor

    item = play(arm, dynamics_of(HIDDEN), 0, rows=40, plant_kind="maniskill")  # type: ignore[arg-type]
    predictor = sapien_predictor.SapienPredictor(arm, SETUP)
    values = values_of(predictor, HIDDEN)
    rows = np.arange(1, 31)
    whole = replace(cut([item], 0.6).take(np.zeros(1, np.int64)), start=np.zeros(1), position=item.measured[:1])
    whole = replace(whole, velocity=np.zeros((1, 2)), after=item.time[None, rows], measured=item.measured[None, rows])
    other = {**values, "stiffness": 2.0 * values["stiffness"]}
    third = {**values, "delay": 0.0 * values["delay"]}
    found = predictor.predict([values, other, third], whole)
    assert np.abs(found[0] - whole.measured).max() < 1e-4
    assert min(np.abs(found[0] - found[index]).max() for index in (1, 2)) > 1e-3

    class Inline:
        """Workers that are this process."""

        def map(self, call: object, parts: list[list[Values]], segments: list[Segments]) -> list[Array]:
            return [predictor._predict(part, one) for part, one in zip(parts, segments, strict=True)]

        def shutdown(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr(sapien_predictor, "WORTH_IT", 0)
    predictor._cores, predictor._pool = 2, Inline()  # type: ignore[assignment]
    np.testing.assert_array_equal(predictor.predict([values, other, third], whole), found)
    predictor.close()
