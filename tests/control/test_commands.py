"""Named elements of the command and gait clocks, against an oracle that goes one number at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from policy_port.contract import Contract
from policy_port.control.observation import ObservationBuilder
from policy_port.control.signals import Signals
from policy_port.trace import Recorder
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.rebuild import rebuild
from tests.samples import LEGS, contract_data

DT = 0.02
NAMES = ("lin_vel_x", "lin_vel_y", "ang_vel_z", "base_height", "gait_frequency", "gait_offset", "stance_share")
COMMAND: dict[str, Any] = {
    "base_height": {"range": [0.5, 0.8], "default": 0.74, "slew": 0.4, "dead_zone": 0.02},
    "gait_frequency": {"range": [1.0, 3.0], "default": 2.0},
    "gait_offset": [-0.5, 0.5],
    "stance_share": {"range": [0.3, 0.8], "default": 0.5},
    "ang_vel_z": {"range": [-1.0, 1.0], "slew": 2.0},
    "lin_vel_x": {"range": [-1.0, 1.0], "dead_zone": 0.3},
}
SEEN = ("ang_vel_z", "base_height", "lin_vel_x")
CLOCKS: dict[str, dict[str, Any]] = {
    "cosine first": {"elements": [{"wave": "cos"}, {"wave": "sin"}], "period": 0.7},
    "late": {"elements": [{"wave": "sin"}, {"wave": "sin", "offset": 0.5}], "period": 0.7, "start": -0.13},
    "feet": {
        "elements": [
            {"wave": "phase", "foot": "left"},
            {"wave": "phase", "offset": 0.5, "foot": "right", "plus": ["gait_offset"]},
            {"wave": "cos", "offset": 0.25},
        ],
        "frequency": "gait_frequency",
        "start": 0.1,
    },
    "long stance": {
        "elements": [{"wave": "sin", "offset": 0.5, "foot": "left"}, {"wave": "phase"}],
        "period": 0.7,
        "stance": 0.6,
        "start": 0.22,
    },
    "stance from the command": {
        "elements": [{"wave": "sin"}],
        "frequency": "gait_frequency",
        "stance": "stance_share",
    },
    "frozen": {"elements": [{"wave": "cos"}], "frequency": "gait_frequency", "standing": "freeze", "below": 0.4},
    "zero": {
        "elements": [{"wave": "cos", "offset": 0.5}],
        "period": 0.7,
        "standing": "zero",
        "below": 1.9,
        "norm_of": ["gait_frequency"],
    },
    "a value": {"elements": [{"wave": "sin"}], "period": 0.7, "standing": {"value": 1.0}, "below": 0.4},
    "set, then on": {
        "elements": [{"wave": "cos"}, {"wave": "cos", "offset": 0.5}],
        "period": 0.7,
        "standing": {"phase": 0.5},
        "below": 0.4,
    },
    "set, then anew": {
        "elements": [{"wave": "phase"}, {"wave": "sin", "offset": 0.5}],
        "frequency": "gait_frequency",
        "start": 0.05,
        "standing": {"phase": 0.3, "then": "restart"},
        "below": 0.4,
    },
}


def parsing(clock: dict[str, Any] | None = None) -> Contract:
    terms: list[dict[str, Any]] = [
        {"term": "command", "elements": list(SEEN), "scale": {"ang_vel_z": 0.25, "base_height": 2.0, "lin_vel_x": 1.0}},
        {"term": "joint_pos"},
    ]
    if clock is not None:
        terms.append({"term": "gait_clock", "scale": 0.5, "offset": 0.25, **clock})
    return Contract.model_validate(contract_data(command=COMMAND, observation={"terms": terms}))


def oracle(told: list[list[float]], clock: dict[str, Any] | None) -> list[list[float]]:
    """What the network sees in one episode, from what it is told, one number at a time."""
    rest = {"base_height": 0.74, "gait_frequency": 2.0, "stance_share": 0.5}
    shown: dict[str, float] = {name: rest.get(name, 0.0) for name in NAMES}
    phases: list[float] = []
    stood, rows = False, []
    for step, numbers in enumerate(told):
        for name, value in zip(NAMES, numbers, strict=True):
            stated = COMMAND.get(name, {})
            limits = stated if isinstance(stated, dict) else {}
            if abs(value - rest.get(name, 0.0)) < limits.get("dead_zone", 0.0):
                value = rest.get(name, 0.0)
            most = limits.get("slew", math.inf) * DT
            shown[name] += max(-most, min(most, value - shown[name]))
        row = [0.25 * shown["ang_vel_z"], 2.0 * shown["base_height"], shown["lin_vel_x"], 0.1, 0.2, 0.3, 0.4]
        if clock is not None:
            rate = 1.0 / clock["period"] if "period" in clock else shown[clock["frequency"]]
            of = clock.get("norm_of", NAMES[:3])
            stands = math.sqrt(sum(shown[name] ** 2 for name in of)) < clock.get("below", 0.0)
            how = clock.get("standing", "run")
            began = [clock.get("start", 0.0) * rate + wave.get("offset", 0.0) for wave in clock["elements"]]
            if step == 0:
                phases = began
            elif not (stands and how == "freeze"):
                phases = [phase + DT * rate for phase in phases]
            if isinstance(how, dict) and "phase" in how:
                if stands:
                    phases = [how["phase"]] * len(phases)
                elif stood and how.get("then") == "restart":
                    phases = began
            stood = stands
            for wave, phase in zip(clock["elements"], phases, strict=True):
                at = phase + sum(shown[name] for name in wave.get("plus", ()))
                share = clock.get("stance", 0.5)
                share = shown[share] if isinstance(share, str) else share
                at -= math.floor(at + 1e-9)
                at = 0.5 * at / share if at < share else 0.5 + 0.5 * (at - share) / (1.0 - share)
                value = {
                    "sin": math.sin(2 * math.pi * at),
                    "cos": math.cos(2 * math.pi * at),
                    "phase": at,
                }[wave["wave"]]
                if stands and (how == "zero" or (isinstance(how, dict) and "value" in how)):
                    value = 0.0 if how == "zero" else how["value"]
                row.append(0.5 * value + 0.25)
        rows.append(row)
    return rows


def schedule(rng: np.random.Generator, length: int) -> list[list[float]]:
    """Stretches of walking and standing; heights near and far from the usual one."""
    rows: list[list[float]] = []
    while len(rows) < length:
        moving = rng.random() < 0.6
        velocity = rng.uniform(-1, 1, 3) if moving else 0.1 * rng.uniform(-1, 1, 3)
        row = [*velocity, 0.74 + rng.choice([0.01, -0.1, 0.05]), rng.uniform(1, 3), rng.uniform(-0.5, 0.5), 0.6]
        rows += [[float(value) for value in row]] * int(rng.integers(3, 15))
    return rows[:length]


def shown(contract: Contract, episodes: list[list[list[list[float]]]]) -> np.ndarray:
    """What the control loop shows, shape (steps, environments, numbers); episodes of one environment each."""
    signals = Signals(contract, LEGS, len(episodes))
    builder = ObservationBuilder(contract, signals)
    signals.state.joint_pos[:] = [0.1, 0.2, 0.3, 0.4]
    clocks = [[(step, row) for told in mine for step, row in enumerate(told)] for mine in episodes]
    found = []
    for moment in zip(*clocks, strict=True):
        signals.time[:] = [[step * DT] for step, _ in moment]
        signals.command[:] = [row for _, row in moment]
        found.append(builder.build().copy())
    return np.array(found)


def recorded(path: Path, contract: Contract, episodes: list[list[list[list[float]]]], seen: np.ndarray) -> Path:
    """A trace of what was told and shown, two episodes in each environment."""
    header = {"joint_names": list(LEGS), "command_names": list(contract.command.names), "control_dt": DT}
    with Recorder(path, header, durable=False) as recorder:
        for step in range(len(seen)):
            moments = [(0, step) if step < len(mine[0]) else (1, step - len(mine[0])) for mine in episodes]
            recorder.record(
                time=np.array([DT * at for _, at in moments]),
                episode=np.array([float(episode) for episode, _ in moments]),
                joint_pos=np.tile([0.1, 0.2, 0.3, 0.4], (2, 1)),
                command=np.array([mine[e][at] for mine, (e, at) in zip(episodes, moments, strict=True)]),
                observation=seen[step],
                action=np.zeros((2, 4)),
            )
    return path


@pytest.mark.parametrize("name", CLOCKS)
def test_the_loop_and_a_verdict_show_what_the_oracle_does(name: str, tmp_path: Path) -> None:
    """Any order of waves, frequency, start and standing, after dead zone and slew limit; resets apart in each row."""
    clock, rng = CLOCKS[name], np.random.default_rng(1)
    contract = parsing(clock)
    episodes = [[schedule(rng, n) for n in lengths] for lengths in ((40, 70), (65, 45))]
    expected = np.array([[row for told in mine for row in oracle(told, clock)] for mine in episodes]).swapaxes(0, 1)
    seen = shown(contract, episodes)
    np.testing.assert_allclose(seen, expected, atol=1e-6)

    again = rebuild(contract, read_evidence(recorded(tmp_path / "t.npz", contract, episodes, seen)))
    np.testing.assert_allclose(again.values, expected, atol=1e-6)
    assert again.known.all()


def test_a_clock_that_leaves_something_open_is_refused() -> None:
    """Two equal waves without a foot, no pace or two, a threshold without a state; with a foot each they are taken."""
    twice: dict[str, Any] = {"elements": [{"wave": "sin"}, {"wave": "sin"}], "period": 0.7}
    for clock, words in (
        (twice, "both sin0: give each of them its `foot`"),
        (CLOCKS["cosine first"] | {"frequency": "gait_frequency"}, "exactly one of period"),
        (CLOCKS["cosine first"] | {"below": 0.1}, "go together"),
        (CLOCKS["cosine first"] | {"standing": "freeze"}, "go together"),
        (CLOCKS["feet"] | {"frequency": "gait_freqency"}, "did you mean 'gait_frequency'"),
        (CLOCKS["cosine first"] | {"scale": {"cos0": 1.0}}, "the term's elements are cos0, sin0"),
    ):
        with pytest.raises(ValidationError, match=words):
            parsing(clock)
    named = [{"wave": "sin", "foot": "left"}, {"wave": "sin", "foot": "right"}]
    assert parsing(twice | {"elements": named}).observation.terms[2].elements(parsing()) == ("sin_left", "sin_right")


def test_a_wave_in_another_place_is_another_observation() -> None:
    """A cosine before a sine, the feet exchanged, or a clock half a turn off: each shows other numbers."""
    rng = np.random.default_rng(0)
    told = [[schedule(rng, 40)]]
    right = shown(parsing(CLOCKS["cosine first"]), told)
    for wrong in (
        {"elements": [{"wave": "sin"}, {"wave": "cos"}], "period": 0.7},
        {"elements": [{"wave": "cos", "offset": 0.5}, {"wave": "sin", "offset": 0.5}], "period": 0.7},
        CLOCKS["cosine first"] | {"period": 0.8},
        CLOCKS["cosine first"] | {"start": 0.02},
        CLOCKS["cosine first"] | {"standing": "freeze", "below": 0.4},
    ):
        assert np.abs(shown(parsing(wrong), told) - right).max() > 0.05
