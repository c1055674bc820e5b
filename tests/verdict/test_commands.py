"""A trace of a policy that is told things by name: the usual mistakes about command and clock are named and mended."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.mistakes.edits import plain
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.verify import verify_contract
from tests.control.test_commands import parsing, recorded, schedule, shown

RIGHT: dict[str, Any] = {
    "elements": [{"wave": "cos"}, {"wave": "sin"}],
    "period": 0.7,
    "standing": "freeze",
    "below": 0.4,
}
FEET: dict[str, Any] = {
    "elements": [{"wave": "sin", "foot": "left"}, {"wave": "sin", "offset": 0.25, "foot": "right"}],
    "period": 0.7,
    "start": 0.1,
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Evidence]:
    """Traces of clocks, recorded once each."""
    made: dict[str, Evidence] = {}

    def of(clock: dict[str, Any]) -> Evidence:
        if str(clock) not in made:
            rng = np.random.default_rng(1)
            contract, episodes = parsing(clock), [[schedule(rng, 60), schedule(rng, 60)] for _ in range(2)]
            path = tmp_path_factory.mktemp("told") / "t.npz"
            made[str(clock)] = read_evidence(recorded(path, contract, episodes, shown(contract, episodes)))
        return made[str(clock)]

    return of


def changed(contract: Contract, change: Callable[[dict[str, Any]], Any]) -> Contract:
    data = plain(contract)
    change(data)
    return Contract.model_validate(data)


def clock_of(data: dict[str, Any]) -> dict[str, Any]:
    return data["observation"]["terms"][-1]


def without(name: str, key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda data: data["command"][name].pop(key)


MISTAKES: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], Any], str]] = {
    "elements exchanged": (
        RIGHT,
        lambda data: data["observation"]["terms"][0].update(elements=["base_height", "ang_vel_z", "lin_vel_x"]),
        "in another order in the source, ang_vel_z, base_height, lin_vel_x",
    ),
    "a scale of one element": (
        RIGHT,
        lambda data: data["observation"]["terms"][0]["scale"].update(ang_vel_z=1.0),
        "ang_vel_z scaled 4.00: scale 1 instead of 0.25",
    ),
    "slew left out": (RIGHT, without("ang_vel_z", "slew"), "ang_vel_z: slew limit 2 missing"),
    "another slew": (RIGHT, lambda data: data["command"]["ang_vel_z"].update(slew=3.0), "slew limit 3 instead of 2"),
    "dead zone left out": (RIGHT, without("lin_vel_x", "dead_zone"), "lin_vel_x: dead zone 0.[123]"),
    "sine first": (
        RIGHT,
        lambda data: clock_of(data).update(elements=[{"wave": "sin"}, {"wave": "cos"}]),
        "sine and cosine exchanged",
    ),
    "feet exchanged": (
        FEET,
        lambda data: clock_of(data).update(elements=FEET["elements"][::-1]),
        "waves sin_right and sin_left exchanged",
    ),
    "half a turn": (
        RIGHT,
        lambda data: clock_of(data).update(elements=[{"wave": "cos", "offset": 0.5}, {"wave": "sin", "offset": 0.5}]),
        "half a turn off",
    ),
    "another period": (FEET, lambda data: clock_of(data).update(period=0.8), "period 0.8 s instead of 0.7 s"),
    "late": (FEET, lambda data: clock_of(data).update(start=0.05), "the source's clock is 0.05 s ahead"),
    "running on": (RIGHT, lambda data: [clock_of(data).pop(k) for k in ("standing", "below")], r"otherwise \(freeze\)"),
    "another threshold": (RIGHT, lambda data: clock_of(data).update(standing="zero"), r"otherwise \(freeze\)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_about_what_is_told_is_named_and_mended(
    name: str, evidence: Callable[[dict[str, Any]], Evidence]
) -> None:
    """The first hypothesis says what is wrong, and its edits leave nothing that differs."""
    clock, change, words = MISTAKES[name]
    seen, right = evidence(clock), parsing(clock)
    assert verify_contract(right, seen).ok
    wrong = changed(right, change)
    assert verify_contract(wrong, seen).wrong
    diagnosis = diagnose_contract(wrong, seen)
    first = diagnosis.hypotheses[0]
    told = "\n".join(diagnosis.lines())
    assert re.search(words, told), told
    assert verify_contract(first.contract, seen).ok, told
