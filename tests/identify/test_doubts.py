"""What is wrong in commands and readings alike is told by the model that predicts better without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.identify.doubts import doubts
from policy_port.identify.fit import Problem
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import load_priors, make_space
from policy_port.identify.recording import Recording
from policy_port.identify.segments import cut
from policy_port.identify.setups import fitted_setup, stock_setup
from tests.identify.hidden_arm import HIDDEN, JOINTS

Mistake = Callable[[Array], Array]


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (lambda columns: columns, None),
        (lambda columns: columns * [1.0, -1.0], "with elbow turned over"),
        (lambda columns: columns[:, ::-1], "with shoulder and elbow exchanged"),
    ],
    ids=["right", "sign", "exchanged"],
)
def test_the_mistake_is_named(arm: Path, recordings: list[Recording], mistake: Mistake, says: str | None) -> None:
    """A turned sign and an exchange are each named first; right recordings raise no doubt."""
    stock = stock_setup(arm, None, None)
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
    items = [replace(one, measured=mistake(one.measured), command=mistake(one.command)) for one in recordings[:3]]
    problem = Problem(predictor=predictor, segments=cut(items, 0.9).some(6), weights=np.full(2, 250.0), lead=15)
    z = problem.minimise(space, space.coordinates(space.fixed), 5)
    told = [str(one) for one in doubts(problem, space, z, JOINTS)]
    predictor.close()
    assert (says in told[0]) if says else not told, told
