"""Hidden dynamics found again, what the data do not tell named, and models that lack something noticed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.dynamics.document import load_dynamics, write_dynamics
from policy_port.identify.document import dynamics_of as document_of
from policy_port.identify.document import rounded
from policy_port.identify.errors_left import quantisation
from policy_port.identify.estimate import ratios_of
from policy_port.identify.fit import Problem
from policy_port.identify.grid import beside, profile
from policy_port.identify.identify import Effort, Identified, find_misfits, identify
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import load_priors, make_space
from policy_port.identify.recording import Recording
from policy_port.identify.segments import cut
from policy_port.identify.setups import fitted_setup, stock_setup
from tests.identify.hidden_arm import HIDDEN, JOINTS, dynamics_of, play


@pytest.fixture(scope="module")
def simulators(arm: Path) -> tuple[MujocoPredictor, MujocoPredictor]:
    """The arm whose numbers can be set, and as it comes."""
    stock = stock_setup(arm, None, None)
    return MujocoPredictor(arm, fitted_setup(arm, stock)), MujocoPredictor(arm, stock)


@pytest.fixture(scope="module")
def found(simulators: tuple[MujocoPredictor, MujocoPredictor], recordings: list[Recording]) -> Identified:
    """The arm with hidden dynamics, of which inertia and limits are known; three recordings, the fourth held out."""
    predictor, stock = simulators
    priors = load_priors("sts3215")
    known = {
        joint: {
            key: priors.joint[key].model_copy(update={"fit": False, "prior": HIDDEN[joint][key]})
            for key in ("armature", "friction", "effort_limit")
        }
        for joint in JOINTS
    }
    space = make_space(priors.model_copy(update={"joints": known}), JOINTS, stock.stock)
    return identify(predictor, stock, space, (recordings[:3], recordings[3:]), Effort(segments=14, rounds=6))


def test_hidden_numbers_are_inside_their_intervals(found: Identified) -> None:
    """Of identified parameters nine in ten are inside their intervals; delays to 1 ms, offsets to 0.3 degrees."""
    estimates = found.estimates
    inside = []
    for index, item in enumerate(estimates.space.parameters):
        joint, _, key = item.name.partition(".")
        if not estimates.identified[index]:
            continue
        true, value = HIDDEN[joint][key], estimates.value[index]
        inside.append(estimates.interval[index][0] <= true <= estimates.interval[index][1])
        assert key != "delay" or abs(value - true) < 1e-3, item.name
        assert key != "offset" or abs(value - true) < math.radians(0.3), item.name
    assert len(inside) >= 9
    assert np.mean(inside) >= 0.9


def test_held_out_recordings_are_predicted_three_times_better_than_stock(found: Identified) -> None:
    """Half a second ahead, errors are a third of stock's at most, and below the lag's; nothing is called a misfit."""
    error = next(one for one in found.errors if one.horizon == 0.5)
    assert error.median("identified") < error.median("stock") / 3.0
    assert error.median("identified") < error.median("lag")
    assert found.held_out
    assert not found.misfits


def test_what_was_found_is_read_back(found: Identified, arm: Path, recordings: list[Recording], tmp_path: Path) -> None:
    """The document keeps values within intervals, names the readings' step and the arm, and is read back equal."""
    named = replace(recordings[1], arm="a" * 64)
    document = document_of(found, arm, JOINTS, ((recordings[0], named), recordings[3:]))
    assert document.robot.calibration_sha256 == "a" * 64
    write_dynamics(tmp_path / "dynamics.yaml", document)
    assert load_dynamics(tmp_path / "dynamics.yaml") == document
    assert document.common.encoder_step is not None
    assert document.common.encoder_step.value == pytest.approx(0.0015)
    assert document.posterior is not None
    assert "elbow.delay" in document.posterior.names


def test_what_nothing_excites_keeps_its_prior(simulators: tuple[MujocoPredictor, MujocoPredictor], arm: Path) -> None:
    """Of small slow motions the effort limit is not identified: named, and its prior stays to the digit."""
    hidden = dynamics_of(HIDDEN, {"encoder_noise": 0.001})
    item = play(arm, hidden, 0, rows=300)
    small = [replace(item, command=0.2 * item.command, measured=0.2 * item.measured)]
    predictor, stock = simulators
    priors = load_priors("sts3215")
    fixed = {
        key: item.model_copy(update={"fit": item.fit and key in ("effort_limit", "stiffness", "offset")})
        for key, item in priors.joint.items()
    }
    space = make_space(priors.model_copy(update={"joint": fixed}), JOINTS, stock.stock)
    result = identify(predictor, stock, space, (small, []), Effort(segments=10, rounds=2)).estimates
    names = [parameter.name for parameter in space.parameters]
    assert "elbow.effort_limit" in result.kept
    index = names.index("elbow.effort_limit")
    assert not result.identified[index]
    assert result.values["effort_limit"][1] == space.parameters[index].prior


@pytest.mark.parametrize("key", ["delay", "backlash"])
def test_a_model_that_lacks_something_is_noticed(
    key: str, simulators: tuple[MujocoPredictor, MujocoPredictor], found: Identified, recordings: list[Recording]
) -> None:
    """Fitted without a delay, or without backlash, a model's errors are not noise, and it is said."""
    priors = load_priors("sts3215")
    lacking = priors.joint[key].model_copy(update={"fit": False, "prior": 0.0})
    space = make_space(priors.model_copy(update={"joint": {**priors.joint, key: lacking}}), JOINTS, simulators[1].stock)
    segments = cut(recordings[:3], 0.5).some(12)
    problem = Problem(predictor=simulators[0], segments=segments, weights=np.full(2, 250.0))
    z = problem.minimise(space, space.coordinates(found.estimates.values), 4)
    told = find_misfits(simulators[0], space.values(z), recordings[:3])
    assert {item.joint for item in told} == set(JOINTS)
    assert "are not noise" in str(told[0])


def test_a_delay_a_step_off_that_inertia_makes_up_for_is_left(
    simulators: tuple[MujocoPredictor, MujocoPredictor], recordings: list[Recording]
) -> None:
    """Delays a physics step short, with inertia that makes up for it: a whole step leads to the true ones at once."""
    priors = load_priors("sts3215")
    fixed = {
        key: item.model_copy(update={"fit": key in ("delay", "armature", "friction")})
        for key, item in priors.joint.items()
    }
    space = make_space(priors.model_copy(update={"joint": fixed}), JOINTS, simulators[1].stock)
    for key in space.fixed.keys() & HIDDEN[JOINTS[0]].keys():
        space.fixed[key] = np.array([HIDDEN[name][key] for name in JOINTS])
    segments = cut(recordings[:3], 0.9).some(8)
    problem = Problem(predictor=simulators[0], segments=segments, weights=np.full(2, 250.0), lead=15)
    true = space.values(space.coordinates(space.fixed))
    short = {key: array.copy() for key, array in true.items()}
    short["delay"] -= 0.005
    short["armature"] += 0.005 * true["damping"]
    left = space.values(profile(problem, space, space.coordinates(short), "delay", (0.1,)).best)
    assert np.abs(left["delay"] - true["delay"]).max() < 5e-4
    assert np.abs(left["armature"] / true["armature"] - 1.0).max() < 0.2
    # One joint short, with friction that went along, which a profile does not follow: that joint alone is led back.
    start = space.coordinates({key: np.where([True, False], short[key], true[key]) for key in true})
    start[[item.name == f"{JOINTS[0]}.friction" for item in space.parameters]] += 1.0
    found = space.values(beside(problem, space, start))
    assert np.abs(found["delay"] - true["delay"]).max() < 5e-4
    assert found["friction"][0] == pytest.approx(true["friction"][0], rel=0.2)


def test_what_scales_together_is_moved_together(simulators: tuple[MujocoPredictor, MujocoPredictor]) -> None:
    """Stiffness takes along all that scales with it, by one factor; a scale that the data leave open is named."""
    space = make_space(load_priors("sts3215"), JOINTS, simulators[1].stock)
    column = [item.name for item in space.parameters].index("elbow.stiffness")
    before, after = (space.values(z) for z in (np.zeros(len(space.parameters)), 0.1 * space.directions[:, column]))
    moved = {key: after[key] / before[key] for key in ("armature", "damping", "friction", "stiffness", "effort_limit")}
    for ratio in moved.values():
        assert ratio == pytest.approx([1.0, moved["stiffness"][1]])
    assert after["delay"] == pytest.approx(before["delay"])
    assert ratios_of(space, np.eye(len(space.parameters)) * 1e-6) == {}
    assert list(ratios_of(space, np.eye(len(space.parameters)))) == list(JOINTS)


def test_no_more_digits_than_the_interval_has() -> None:
    """A value is rounded to two digits of its interval's half width, and stays inside."""
    assert rounded(1.23456, (1.1, 1.4)) == (1.23, (1.1, 1.4))
    assert rounded(17.3333, (3.0, 41.0)) == (17.0, (3.0, 41.0))
    assert rounded(0.0433219, (0.04327, 0.04338)) == (0.043322, (0.04327, 0.04338))


def test_the_step_of_an_encoder_is_seen() -> None:
    """Readings in steps show their step, smooth ones none."""
    wave = np.sin(np.linspace(0.0, 20.0, 900))
    assert quantisation(np.round(wave / 0.01) * 0.01) == pytest.approx(0.01)
    assert quantisation(wave) == 0.0
