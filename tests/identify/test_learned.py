"""Networks beside the drives: kept where they help for sure, and the same in a plant as where they were judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.dynamics.document import load_dynamics, write_dynamics
from policy_port.errors import EvidenceError
from policy_port.identify.document import with_networks
from policy_port.identify.learned import Learned, check_held_out, learn, predict_with
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import Values
from policy_port.identify.recording import Recording
from policy_port.identify.segments import cut
from tests.identify.hidden_arm import HIDDEN, JOINTS, SETUP, dynamics_of, play
from tests.identify.test_predictor import values_of

BARE = {joint: {**HIDDEN[joint], "backlash": 0.0} for joint in JOINTS}
FRICTIONLESS = {joint: {**BARE[joint], "friction": 0.0, "damping": 0.5 * BARE[joint]["damping"]} for joint in JOINTS}


@pytest.fixture(scope="module")
def motions(arm: Path) -> list[Recording]:
    """Seven motions of an arm without backlash, of which the last five are held out."""
    hidden = dynamics_of(BARE, {"encoder_noise": 0.0005})
    return [play(arm, hidden, kind, rows=300 if kind < 2 else 120, seed=kind) for kind in range(7)]


@pytest.fixture(scope="module")
def learned(arm: Path, motions: list[Recording]) -> dict[str, Learned]:
    """Networks beside a model that is right, and beside one without friction and with half of the damping."""
    predictor = MujocoPredictor(arm, SETUP)
    found = {}
    for label, numbers in (("right", BARE), ("lacking", FRICTIONLESS)):
        values: Values = values_of(predictor, numbers)
        found[label] = learn(predictor, (values, values), (motions[:2], motions[2:]), 0.4, lambda _: None)
    predictor.close()
    return found


def test_a_network_is_kept_only_where_it_helps_for_sure(learned: dict[str, Learned], motions: list[Recording]) -> None:
    """What a model lacks, a network makes up for; beside a right model none is kept."""
    assert learned["lacking"].kept
    assert np.median(learned["lacking"].errors[1]) < 0.6 * np.median(learned["lacking"].errors[0])
    assert "is kept: held-out errors go from" in str(learned["lacking"])
    assert not learned["right"].kept
    assert "brings nothing significant and is left out" in str(learned["right"])
    check_held_out(motions[2:])
    with pytest.raises(EvidenceError, match="name more with --held-out"):
        check_held_out(motions[3:])


def test_a_plant_runs_the_network_that_was_judged(
    learned: dict[str, Learned], arm: Path, motions: list[Recording], tmp_path: Path
) -> None:
    """Written beside a dynamics.yaml and read back, networks move a plant as they moved the predictions."""
    network = learned["lacking"]
    document = with_networks(dynamics_of(HIDDEN), network, JOINTS)
    write_dynamics(tmp_path / "dynamics.yaml", document)
    item = play(arm, load_dynamics(tmp_path / "dynamics.yaml"), 0, rows=60)
    predictor, rows = MujocoPredictor(arm, SETUP), np.arange(1, 51)
    whole = replace(cut([item], 1.0), start=np.zeros(1), position=item.measured[:1], velocity=np.zeros((1, 2)))
    whole = replace(whole, after=item.time[None, rows], measured=item.measured[None, rows])
    stated = {key: np.array([document_value(document, joint, key) for joint in JOINTS]) for key in BARE["elbow"]}
    values = {**predictor.stock, **stated}
    told = predict_with(predictor, values, replace(whole, of=np.zeros(1, np.int64)), network.networks, network.spacing)
    assert np.abs(told[0] - whole.measured[0]).max() < 1e-4
    predictor.close()


def document_value(document: object, joint: str, key: str) -> float:
    """A number of a joint as the document has it, 0 where it has none."""
    stated = getattr(document.joints[joint], key)  # type: ignore[attr-defined]
    return 0.0 if stated is None else stated.value
