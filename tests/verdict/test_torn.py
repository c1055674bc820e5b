"""Claims about traces that are cut, count from one period or have no clock: every row that can tell still tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.verdict.evidence import Evidence, read_evidence
from policy_port.verdict.verify import verify_contract
from tests.verdict.mistakes import MISTAKES, edited
from tests.verdict.networks import Perceptron, Recurrent
from tests.verdict.synthetic import header, simulate, stacked, toy, write

Arrays = dict[str, np.ndarray]
LENGTHS = (40, 30, 30)


def without(*names: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {name: array for name, array in arrays.items() if name not in names}


def rows(*kept: slice) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {name: np.concatenate([array[part] for part in kept]) for name, array in arrays.items()}


def clock(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {"time": change(arrays["time"])}


def both(*changes: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
    def change(arrays: Arrays) -> Arrays:
        for each in changes:
            arrays = each(arrays)
        return arrays

    return change


SHAPES: dict[str, Callable[[Arrays], Arrays]] = {
    "zero": lambda arrays: arrays,
    "one period": clock(lambda time: time + 0.02),
    "one episode from one period on": both(rows(slice(0, 40)), clock(lambda time: time + 0.02)),
    "middle of a run": rows(slice(12, 40)),
    "middle, then whole episodes": rows(slice(12, 100)),
    "gaps": rows(slice(0, 9), slice(12, 30), slice(35, 80), slice(88, 100)),
    "no numbers of episodes": without("episode"),
    "no clock": without("time"),
    "no clock, cut": both(rows(slice(12, 100)), without("time")),
    "neither clock nor episodes, one run": both(rows(slice(12, 40)), without("time", "episode")),
    "a clock that stands still": both(rows(slice(0, 40)), clock(np.zeros_like)),
    "a computer's clock": clock(lambda time: 1.7e9 + 0.02 * np.arange(len(time))),
    "a clock that runs on": clock(lambda time: 0.02 * np.arange(len(time))),
    "episodes cut at both ends": rows(slice(5, 35), slice(45, 65), slice(75, 95)),
}


def evidence(folder: Path, contract: Contract, arrays: Arrays, dtype: Any = None) -> Evidence:
    return read_evidence(write(folder / "t.npz", arrays, header(contract), dtype))


def contract_of(name: str) -> Contract:
    return toy() if name == "toy" else stacked(fill=name)


@cache
def whole(name: str, *, network: bool = True) -> Arrays:
    """What is torn: runs of a contract, with or without its network; nobody writes into it."""
    contract = contract_of(name)
    return simulate(contract, lengths=LENGTHS, act=Perceptron(contract).act if network else None)


@pytest.mark.parametrize("name", ["toy", "first", "zero"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_right_port_passes_whatever_the_clock(tmp_path: Path, shape: str, name: str) -> None:
    """Observations, targets and actions are compared and equal; only rows whose past is unknown are left out."""
    contract = contract_of(name)
    arrays = SHAPES[shape](whole(name))
    verdict = verify_contract(contract, evidence(tmp_path, contract, arrays), Perceptron(contract))
    assert verdict.ok, verdict.text()
    (action,) = [check for check in verdict.checks if check.label == "action"]
    assert (action.status, action.rows, action.rows_left_out) == ("equal", len(arrays["action"]), 0)
    # Three stacked last actions are three rows without their past, in each of four stretches at most.
    assert all(check.rows_left_out <= 3 * 4 for check in verdict.checks)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_weights_are_caught_whatever_the_clock(tmp_path: Path, shape: str) -> None:
    """A network of the same widths with other weights is wrong, in every shape of a trace; with a history, too."""
    contract = contract_of("first")
    arrays = SHAPES[shape](whole("first"))
    verdict = verify_contract(contract, evidence(tmp_path, contract, arrays), Perceptron(contract, seed=1))
    assert [check.label for check in verdict.wrong] == ["action"]
    assert "another network" in verdict.text()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fault_in_any_row_of_the_action_is_caught(tmp_path: Path, shape: str) -> None:
    """Without memory there is no row that does not tell: one wrong number in the first or the last is wrong."""
    contract = toy()
    arrays = SHAPES[shape](whole("toy"))
    for row in (0, -1):
        action = arrays["action"].copy()
        action[row, 1] += 0.01
        trace = evidence(tmp_path, contract, arrays | {"action": action})
        verdict = verify_contract(contract, trace, Perceptron(contract))
        assert "action" in {check.label for check in verdict.wrong}


WRONG = ("scale missing", "two joints", "default left out", "action offset", "one sign")
TURNS = [(shape, WRONG[i % len(WRONG)]) for i, shape in enumerate(SHAPES)]
"""Each shape with one mistake, and the most torn one with all."""


@pytest.mark.parametrize(("shape", "mistake"), [*TURNS, *(("gaps", mistake) for mistake in WRONG)])
def test_a_mistake_in_the_contract_is_caught_whatever_the_clock(tmp_path: Path, shape: str, mistake: str) -> None:
    """A torn trace shows what a whole one shows."""
    contract = toy()
    arrays = SHAPES[shape](whole("toy", network=False))
    change, _, labels = MISTAKES[mistake]
    verdict = verify_contract(edited(contract, change), evidence(tmp_path, contract, arrays))
    assert {check.label for check in verdict.wrong} == labels


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_gait_period_is_caught_whatever_the_clock(tmp_path: Path, shape: str) -> None:
    """Where no clock tells the origin of a gait, its rate still does."""
    contract = toy()
    arrays = SHAPES[shape](whole("toy", network=False))
    wrong = edited(contract, MISTAKES["gait"][0])
    assert not verify_contract(wrong, evidence(tmp_path, contract, arrays)).ok


@pytest.mark.parametrize("shape", ["zero", "one period", "no clock", "a clock that runs on"])
def test_a_wrong_fill_is_no_cut_trace(tmp_path: Path, shape: str) -> None:
    """A history that was just filled is a reset, whichever fill the contract states: the wrong one stays wrong."""
    arrays = SHAPES[shape](simulate(stacked(), lengths=LENGTHS))
    assert not verify_contract(stacked(fill="zero"), evidence(tmp_path, stacked(), arrays)).ok


def recorded(contract: Contract, network: Recurrent, shape: str) -> Arrays:
    return SHAPES[shape](simulate(contract, lengths=LENGTHS, act=network.actor(LENGTHS)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_memory_that_fades_is_compared_behind_its_warm_up(tmp_path: Path, shape: str) -> None:
    """The right recurrent port passes with the number of rows said; other weights of the same widths are wrong."""
    contract = toy()
    network = Recurrent(contract)
    trace = evidence(tmp_path, contract, recorded(contract, network, shape))
    verdict = verify_contract(contract, trace, Recurrent(contract))
    assert verdict.ok, verdict.text()
    wrong = verify_contract(contract, trace, Recurrent(contract, seed=1))
    assert [check.label for check in wrong.wrong] == ["action"]


def test_the_rows_of_a_warm_up_are_said(tmp_path: Path) -> None:
    """Text and JSON say how many rows the memory before the cut leaves unknown, and how many were compared."""
    contract = toy()
    network = Recurrent(contract)
    arrays = recorded(contract, network, "middle of a run")
    verdict = verify_contract(contract, evidence(tmp_path, contract, arrays), Recurrent(contract))
    (action,) = [check for check in verdict.checks if check.label == "action"]
    assert 8 <= action.rows_left_out <= 24
    assert action.rows == len(arrays["time"]) - action.rows_left_out
    assert f"4 elements in {action.rows} of {len(arrays['time'])} rows" in verdict.text()
    assert "the network has a memory, which is not known at" in verdict.text()


def test_a_memory_that_stays_is_not_verified(tmp_path: Path) -> None:
    """Where the memory before the cut matters to the end, nothing is compared, and that is no success."""
    contract = toy()
    network = Recurrent(contract, kept=0.999)
    arrays = recorded(contract, network, "middle of a run")
    verdict = verify_contract(contract, evidence(tmp_path, contract, arrays), Recurrent(contract, kept=0.999))
    assert (verdict.ok, verdict.wrong) == (False, ())
    assert "verdict: not verified: equal in 16 of 17 comparisons; 1 could not be made: action" in verdict.text()
    assert "record from a reset on" in verdict.text()


@pytest.mark.parametrize("shape", ["one period", "no clock", "gaps", "a clock that runs on"])
def test_a_memory_that_stays_is_looked_for(tmp_path: Path, shape: str) -> None:
    """A network that does throughout what it would do from its start, or with nothing missing, began there."""
    contract = toy()
    arrays = recorded(contract, Recurrent(contract, kept=0.999), shape)
    if shape == "gaps":
        # Rows that a late clock parts, and none that is missing.
        arrays = simulate(contract, lengths=LENGTHS, act=Recurrent(contract, kept=0.999).actor(LENGTHS))
        arrays["time"][20:40] += 0.05
    trace = evidence(tmp_path, contract, arrays)
    right = verify_contract(contract, trace, Recurrent(contract, kept=0.999))
    (action,) = [check for check in right.checks if check.label == "action"]
    assert (action.status, action.rows_left_out) == ("equal", 0)
    assert not verify_contract(contract, trace, Recurrent(contract, seed=1, kept=0.999)).ok
