"""What is wrong in commands and readings alike is told by the model that predicts better without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.errors import EvidenceError
from policy_port.identify.doubts import check_doubts, doubts
from policy_port.identify.fit import Problem
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import Space, load_priors, make_space
from policy_port.identify.recording import Recording
from policy_port.identify.segments import cut
from policy_port.identify.setups import fitted_setup, stock_setup
from tests.identify.hidden_arm import HIDDEN, JOINTS, dynamics_of, play

Mistake = Callable[[Array], Array]


def right(columns: Array) -> Array:
    """Nothing is wrong."""
    return columns


def scaled(*by: float) -> Mistake:
    """Columns multiplied."""
    return lambda columns: columns * np.array(by)


def fitted(arm: Path, items: list[Recording]) -> tuple[Problem, Space, Array]:
    """What is fitted of the arm with hidden dynamics, what is searched, and the minimum."""
    stock = stock_setup(arm, None, 0.01)
    predictor = MujocoPredictor(arm, fitted_setup(arm, stock))
    priors = load_priors("sts3215")
    fixed = {
        key: item.model_copy(update={"fit": key in ("stiffness", "damping", "offset", "delay")})
        for key, item in priors.joint.items()
    }
    space = make_space(priors.model_copy(update={"joint": fixed}), JOINTS, predictor.stock)
    for key in space.fixed.keys() & HIDDEN[JOINTS[0]].keys():
        # The same of both: what is not searched favours no order.
        space.fixed[key] = np.full(2, sum(HIDDEN[name][key] for name in JOINTS) / 2.0)
    problem = Problem(predictor=predictor, segments=cut(items, 0.7).some(6), weights=np.full(2, 250.0), lead=5)
    return problem, space, problem.minimise(space, space.coordinates(space.fixed), 4)


@pytest.mark.parametrize("odd", ["none", "arm", "sign"])
def test_a_recording_of_another_arm_is_named(odd: str, arm: Path, recordings: list[Recording]) -> None:
    """One of three, of an arm with other zeros and gains or with its elbow turned over; of right ones none is."""
    items = recordings[:3]
    if odd == "arm":
        other = {"shoulder": HIDDEN["elbow"], "elbow": HIDDEN["shoulder"]}
        items[1] = replace(play(arm, dynamics_of(other), 1), name="odd")
    if odd == "sign":
        turned = np.array([1.0, -1.0])
        items[1] = replace(items[1], name="odd", measured=items[1].measured * turned, command=items[1].command * turned)
    problem, space, z = fitted(arm, items)
    said = "predicted better .* without odd: it is another arm's, or a sign, a zero.* --accept mixed"
    with nullcontext() if odd == "none" else pytest.raises(EvidenceError, match=said):
        check_doubts(problem, space, z)
    if odd != "none":
        (raised,) = check_doubts(problem, space, z, ["mixed"])
        assert raised.name == "mixed"


@pytest.mark.parametrize("turned", [False, True])
def test_a_slow_simulator_has_to_share_a_quick_ones_doubt(
    turned: bool, arm: Path, recordings: list[Recording], tmp_path: Path
) -> None:
    """Of right recordings a quick simulator whose elbow is turned over doubts the elbow's sign, the slow one does not.

    Where the recordings have it turned over and the quick simulator is right, both do.
    """
    file = tmp_path / arm.name
    axis = '<joint name="elbow" axis="0 1 0"'
    text = arm.read_text()
    assert axis in text
    file.write_text(text if turned else text.replace(axis, axis.replace("0 1 0", "0 -1 0")))
    by = scaled(1.0, -1.0) if turned else right
    items = [replace(one, measured=by(one.measured), command=by(one.command)) for one in recordings[:3]]
    problem, space, z = fitted(arm, items)
    assert isinstance(problem.predictor, MujocoPredictor)
    quick = MujocoPredictor(file, fitted_setup(file, stock_setup(file, None, 0.01)))
    alone = replace(problem, predictor=quick)
    assert "sign:elbow" in [one.name for one in doubts(alone, space, alone.minimise(space, z, 4))]
    problem.predictor.quick = quick
    assert ("sign:elbow" in [one.name for one in doubts(problem, space, z)]) == turned


@pytest.mark.parametrize(
    ("readings", "commands", "says"),
    [
        (right, right, None),
        (scaled(1.0, -1.0), scaled(1.0, -1.0), "with elbow turned over"),
        (lambda columns: columns[:, ::-1], lambda columns: columns[:, ::-1], "with shoulder and elbow exchanged"),
        (scaled(1.0, 0.6), right, "with elbow's readings 1.7 times as large"),
    ],
    ids=["right", "sign", "exchanged", "scale"],
)
def test_the_mistake_is_named(
    arm: Path, recordings: list[Recording], readings: Mistake, commands: Mistake, says: str | None
) -> None:
    """A turned sign, an exchange and a scale are each named first; right recordings raise no doubt."""
    items = [replace(one, measured=readings(one.measured), command=commands(one.command)) for one in recordings[:3]]
    problem, space, z = fitted(arm, items)
    said = f"^motion 0, motion 1, motion 2: the recordings are predicted better [^;]*{says}.*--mapping FILE"
    with pytest.raises(EvidenceError, match=said) if says else nullcontext():
        check_doubts(problem, space, z)
    if says and "turned" in says:
        raised = [one.name for one in doubts(problem, space, z)]
        assert raised[0] == "sign:elbow"
        assert [one.name for one in check_doubts(problem, space, z, raised)] == raised
