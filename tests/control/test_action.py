"""Targets against a reference that knows only names and dictionaries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_port.contract import Contract
from policy_port.control.action import ActionDecoder
from policy_port.control.signals import Signals
from tests.samples import contract_data

JOINTS = ("hip", "knee", "ankle", "jaw")
PLANT = ("jaw", "knee", "wheel", "hip", "ankle")
UNITS = {"hip": "rad", "knee": "deg", "ankle": "rad", "jaw": "m"}
PER_SI = {"rad": 1.0, "m": 1.0, "deg": 180.0 / math.pi}
DEFAULTS = {"hip": 0.1, "knee": 20.0, "ankle": -0.3, "jaw": 0.4}

number = st.floats(-3.0, 3.0, allow_nan=False).map(lambda x: round(x, 3))
bounds = st.tuples(st.floats(-2.0, -0.1), st.floats(0.1, 2.0))


def make_contract(terms: list[dict[str, Any]], raw_clip: Any = None) -> Contract:
    return Contract.model_validate(
        contract_data(
            joints={n: {"default": DEFAULTS[n], "unit": UNITS[n]} for n in JOINTS},
            observation={"terms": [{"term": "joint_pos"}]},
            action={"terms": terms, "raw_clip": raw_clip},
        )
    )


def per_joint(values: st.SearchStrategy[Any], joints: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return values | st.fixed_dictionaries({name: values for name in joints})


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    names = draw(st.permutations(JOINTS))
    cut = draw(st.integers(1, 4))
    terms = []
    for joints in (tuple(names[:cut]), tuple(names[cut:])[: draw(st.integers(0, 3))]):
        if not joints:
            continue
        term: dict[str, Any] = {
            "joints": joints,
            "scale": draw(per_joint(number, joints)),
            "clip": draw(st.none() | per_joint(bounds, joints)),
        }
        if draw(st.booleans()):
            term |= {"term": "joint_position", "offset": draw(st.just("default") | per_joint(number, joints))}
        else:
            reference = draw(st.sampled_from(["joint_pos", "joint_target"]))
            term |= {"term": "joint_position_delta", "reference": reference, "offset": draw(per_joint(number, joints))}
        terms.append(term)
    return make_contract(terms, raw_clip=draw(st.none() | bounds))


def reference(
    contract: Contract, action: list[float], measured: dict[str, float], target: dict[str, float]
) -> tuple[list[float], dict[str, float]]:
    """last_action, and the new target [SI] of every plant joint."""
    low, high = contract.action.raw_clip or (-math.inf, math.inf)
    raw = [min(max(value, low), high) for value in action]
    result, queue = dict(target), list(raw)
    for term in contract.action.terms:
        for name in term.joints or JOINTS:
            per_si = PER_SI[UNITS[name]]

            def pick(given: Any, name: str = name) -> Any:
                return given[name] if isinstance(given, dict) else given

            offset = DEFAULTS[name] if term.offset == "default" else pick(term.offset)
            value = offset + pick(term.scale) * queue.pop(0)
            if term.term == "joint_position_delta":
                value += (measured if term.reference == "joint_pos" else target)[name] * per_si
            if term.clip is not None:
                value = min(max(value, pick(term.clip)[0]), pick(term.clip)[1])
            result[name] = value / per_si
    return raw, result


@settings(max_examples=80, deadline=None)
@given(contracts(), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_any_target_equals_the_reference_by_name(contract: Contract, num_envs: int, seed: int) -> None:
    """Any terms, units, clips, scales and joint subsets; joints that nothing drives keep their start position."""
    rng = np.random.default_rng(seed)
    signals = Signals(contract, PLANT, num_envs)
    decoder = ActionDecoder(contract, signals)
    signals.state.joint_pos[:] = rng.normal(size=(num_envs, 5))
    signals.reset()
    targets = [dict(zip(PLANT, row, strict=True)) for row in signals.state.joint_pos.tolist()]
    for _ in range(4):
        signals.state.joint_pos[:] = rng.normal(size=(num_envs, 5))
        action = rng.normal(size=(num_envs, contract.action_size)).astype(np.float32)
        decoded = decoder.decode(action)
        for row in range(num_envs):
            measured = dict(zip(PLANT, signals.state.joint_pos[row].tolist(), strict=True))
            raw, targets[row] = reference(contract, action[row].tolist(), measured, targets[row])
            np.testing.assert_allclose(decoded[row], [targets[row][name] for name in PLANT], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(signals.last_action[row], raw, rtol=1e-12)
    assert decoded.dtype == np.float64


def test_maniskill_target_delta() -> None:
    """Target += (high + low) / 2 + (high - low) / 2 * clip(action, -1, 1), never clamped, whatever is measured."""
    low, high = np.array([-0.05] * 3 + [-0.2]), np.array([0.05] * 3 + [0.2])
    term = {
        "term": "joint_position_delta",
        "reference": "joint_target",
        "scale": dict(zip(JOINTS, ((high - low) / 2).tolist(), strict=True)),
        "offset": dict(zip(JOINTS, ((high + low) / 2).tolist(), strict=True)),
    }
    contract = make_contract([term], raw_clip=(-1.0, 1.0))
    data = contract.model_dump()
    for joint in data["joints"].values():
        joint["unit"] = "rad"
    contract = Contract.model_validate(data)
    signals = Signals(contract, JOINTS, 1)
    decoder = ActionDecoder(contract, signals)
    signals.state.joint_pos[0] = start = np.array([0.3, -0.2, 0.1, 0.0])
    signals.reset()
    expected = start.copy()
    rng = np.random.default_rng(1)
    for _ in range(100):
        action = rng.normal(loc=2.0, size=(1, 4)).astype(np.float32)
        expected = expected + (high + low) / 2 + (high - low) / 2 * np.clip(action[0], -1.0, 1.0)
        signals.state.joint_pos[0] = rng.normal(size=4)
        np.testing.assert_allclose(decoder.decode(action)[0], expected, atol=1e-12)
    assert signals.joint_target.max() > 4.0


@pytest.mark.parametrize("num_envs", [1, 2])
def test_reset_of_one_row_starts_its_target_at_the_measurement(num_envs: int) -> None:
    """The other rows go on from their own target."""
    term = {"term": "joint_position_delta", "reference": "joint_target", "scale": 1.0}
    contract = make_contract([term])
    signals = Signals(contract, JOINTS, num_envs)
    decoder = ActionDecoder(contract, signals)
    signals.reset()
    decoder.decode(np.full((num_envs, 4), 7.0, np.float32))
    before = signals.joint_target.copy()
    signals.state.joint_pos[:] = 0.25
    rows = np.zeros(num_envs, dtype=bool)
    rows[0] = True
    signals.reset(rows)
    assert (signals.joint_target[0] == 0.25).all()
    assert (signals.last_action[0] == 0.0).all()
    assert (signals.joint_target[1:] == before[1:]).all()
    assert (signals.last_action[1:] == 7.0).all()
