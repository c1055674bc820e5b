"""Filters, delays and the inner loop against references written with lists."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policy_port.contract import Contract, load_contract
from policy_port.control.action import ActionDecoder
from policy_port.control.inner_loop import Held, inner_loop
from policy_port.control.observation import ObservationBuilder
from policy_port.control.signals import Signals
from policy_port.descriptors.describe import describe
from tests.control.test_action import JOINTS, PLANT, make_contract

BOUNDS = {"hip": [-0.5, 0.5], "knee": [-1.0, 0.2], "ankle": [-0.1, 2.0], "jaw": [0.0, 1.0]}
TERM = {"term": "joint_position", "scale": 0.5, "offset": "default"}


def shaped(action: dict[str, Any], observation: list[dict[str, Any]] | None = None, **more: Any) -> Contract:
    data = make_contract([TERM]).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for joint in data["joints"].values():
        joint["unit"] = "rad"
    data["action"] |= action
    data["observation"] = {"terms": observation or [{"term": "joint_pos"}], **more}
    return Contract.model_validate(data)


def out_of(filter_: dict[str, Any], given_: list[float], held: float, dt: float = 0.02) -> list[float]:
    """What a filter makes of numbers, by its definition."""
    if filter_["kind"] == "moving_average":
        steps = filter_["steps"]
        padded = [held] * steps + given_
        return [sum(padded[k + 1 : k + 1 + steps]) / steps for k in range(len(given_))]
    weight = filter_.get("alpha") or 1.0 - np.exp(-2.0 * np.pi * filter_["cutoff_hz"] * dt)
    out = []
    for value in given_:
        held = weight * value + (1.0 - weight) * held
        out.append(held)
    return out


FILLS = ("zero", "start", "default", "first")
filters = st.sampled_from([{"alpha": 0.3}, {"cutoff_hz": 2.0}, {"steps": 3}]).map(
    lambda given_: {"kind": "moving_average" if "steps" in given_ else "first_order", **given_}
)


@settings(max_examples=40, deadline=None)
@given(
    st.none() | st.tuples(filters, st.sampled_from(["raw", "target"]), st.sampled_from(FILLS)),
    st.integers(0, 3),
    st.sampled_from(["zero", "first"]),
    st.sampled_from([1, 2]),
    st.integers(0, 2**31),
)  # fmt: skip
def test_targets_are_the_definitions(stated: Any, late: int, fill: str, num_envs: int, seed: int) -> None:
    """Clip, delay, filter of raw, scale and offset, filter of target: in that order, from each reset anew."""
    filter_: dict[str, Any] = {}
    action: dict[str, Any] = {"raw_clip": BOUNDS, "delay": {"steps": late, "fill": fill}}
    if stated is not None:
        held = {"raw": {"start": "zero", "default": "zero"}, "target": {"zero": "start"}}[stated[1]]
        filter_ = {**stated[0], "of": stated[1], "fill": held.get(stated[2], stated[2])}
        action["filter"] = filter_
    contract = shaped(action)
    rng = np.random.default_rng(seed)
    signals = Signals(contract, PLANT, num_envs)
    decoder = ActionDecoder(contract, signals)
    for episode in (5, 6):
        signals.state.joint_pos[:] = start = rng.normal(size=(num_envs, 5))
        signals.reset()
        given_ = rng.normal(size=(episode, num_envs, 4)).astype(np.float32)
        made, kept = [], []
        for row in given_:
            signals.state.joint_pos[:] = rng.normal(size=(num_envs, 5))
            made.append(decoder.decode(row).copy())
            kept.append(signals.last_action.copy())
        for env in range(num_envs):
            for column, name in enumerate(JOINTS):
                place, default = PLANT.index(name), contract.joints[name].default
                raw = [min(max(float(value), BOUNDS[name][0]), BOUNDS[name][1]) for value in given_[:, env, column]]
                np.testing.assert_allclose([row[env, column] for row in kept], raw, rtol=1e-12)
                before = raw[0] if fill == "first" else 0.0
                raw = ([before] * late + raw)[:episode]
                if filter_.get("of") == "raw":
                    raw = out_of(filter_, raw, raw[0] if filter_["fill"] == "first" else 0.0, contract.control_dt)
                target = [default + 0.5 * value for value in raw]
                if filter_.get("of") == "target":
                    first = {"start": start[env, place], "default": default, "first": target[0]}[filter_["fill"]]
                    target = out_of(filter_, target, first, contract.control_dt)
                np.testing.assert_allclose([row[env, place] for row in made], target, rtol=1e-12, atol=1e-12)
            wheel = PLANT.index("wheel")
            np.testing.assert_allclose([row[env, wheel] for row in made], start[env, wheel], rtol=1e-12)


def test_nothing_is_allocated_by_a_filter_or_a_delay() -> None:
    """After the first step, a hundred more hold no more memory than before."""
    action = {"delay": 2, "filter": {"kind": "moving_average", "steps": 4, "of": "target"}}
    contract = shaped(action, [{"term": "joint_pos", "delay": 3}])
    signals = Signals(contract, PLANT, 3)
    decoder, builder = ActionDecoder(contract, signals), ObservationBuilder(contract, signals)
    signals.reset()
    builder.reset()
    action = np.ones((3, 4), np.float32)
    for count in (2, 100):
        tracemalloc.start()
        for _ in range(count):
            builder.build()
            decoder.decode(action)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4000


@pytest.mark.parametrize("fill", ["first", "zero"])
@pytest.mark.parametrize("num_envs", [1, 2])
def test_terms_are_late_by_their_own_steps(fill: str, num_envs: int) -> None:
    """A delayed term, an action of three steps ago and a filtered one beside a term of now; history stacks the late."""
    terms = [
        {"term": "joint_pos", "name": "late", "delay": {"steps": 2, "fill": fill}, "scale": 2.0, "history": 2},
        {"term": "joint_pos", "name": "now", "joints": ["hip"]},
        {"term": "last_action", "ago": 3},
        {"term": "last_action", "name": "in_force", "of": "filtered"},
    ]
    contract = shaped(
        {"filter": {"kind": "first_order", "alpha": 0.25, "of": "raw"}}, terms,
        history={"layout": "term_major", "order": "newest_first", "fill": "first"},
    )  # fmt: skip
    signals = Signals(contract, JOINTS, num_envs)
    builder, decoder = ObservationBuilder(contract, signals), ActionDecoder(contract, signals)
    rng = np.random.default_rng(3)
    for _ in range(2):
        seen, actions, filtered = [], [np.zeros((num_envs, 4))] * 3, np.zeros((num_envs, 4))
        signals.reset()
        builder.reset()
        for k in range(6):
            signals.state.joint_pos[:] = rng.normal(size=(num_envs, 4))
            seen.append(signals.state.joint_pos.copy())
            nothing = np.zeros((num_envs, 4)) if fill == "zero" else seen[0]
            late = [2.0 * (seen[k - back] if k >= back else nothing) for back in (2, 3)]
            late[1] = late[0] if k == 0 else late[1]
            built = builder.build()
            expected = np.concatenate([*late, seen[k][:, :1], actions[-3], filtered], axis=1)
            np.testing.assert_allclose(built, expected, rtol=1e-6)
            action = rng.normal(size=(num_envs, 4)).astype(np.float32)
            decoder.decode(action)
            actions.append(action)
            filtered = 0.25 * action + 0.75 * filtered


class Told:
    """A plant that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[list[float]] = []
        self._target = np.zeros((1, 4))

    def write(self, target: np.ndarray) -> None:
        self._target = target.copy()

    def step(self, count: int) -> None:
        self.told += [self._target[0].tolist()] * count


class Flown:
    """The part of a controller that the inner loop looks at."""

    def __init__(self, contract: Contract) -> None:
        self.contract, self.signals = contract, Signals(contract, JOINTS, 1)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"between": "interpolate"}, [1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 2.8, 3.2, 3.6, 4.0]),
        ({"delay": {"physics_steps": 2, "fill": "start"}}, [1, 1, 2, 2, 2, 2, 2, 4, 4, 4]),
        ({"delay": {"physics_steps": 6, "fill": "first"}}, [2] * 10 + [2, 4, 4, 4, 4]),
        ({"between": "interpolate", "delay": {"physics_steps": 1, "fill": "start"}},
         [1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 2.8, 3.2, 3.6]),
        ({}, [2] * 5 + [4] * 5),
    ],
)  # fmt: skip
def test_joints_are_told_the_way_or_the_past(action: dict[str, Any], expected: list[float]) -> None:
    """Five physics steps a control step, targets 2 then 4 (then 4) from a start of 1; the next episode likewise."""
    plant, controller = Told(), Flown(shaped(action))
    perform = inner_loop(plant, controller, 5)  # type: ignore[arg-type]
    assert isinstance(perform, Held) == (not action)
    for _ in range(2):
        plant.told.clear()
        controller.signals.state.joint_pos[:] = 1.0
        controller.signals.reset()
        for target in (2.0, 4.0, 4.0)[: len(expected) // 5]:
            controller.signals.joint_target[:] = target
            perform(controller.signals.joint_target)
        np.testing.assert_allclose([row[0] for row in plant.told], expected)


FIRST_ORDER = {"kind": "first_order", "of": "raw"}


@pytest.mark.parametrize(
    ("action", "terms", "said"),
    [
        ({"raw_clip": {"hip": [-1, 1]}}, None, "action.raw_clip leaves out knee, ankle, jaw"),
        ({"raw_clip": BOUNDS | {"hipp": [0, 1]}}, None, "action.raw_clip names joint 'hipp'"),
        ({"filter": FIRST_ORDER}, None, "by alpha .* or cutoff_hz, one of the two"),
        ({"filter": FIRST_ORDER | {"alpha": 0.2, "cutoff_hz": 3.0}}, None, "one of the two"),
        ({"filter": FIRST_ORDER | {"alpha": 0.0}}, None, "greater than 0"),
        ({"filter": FIRST_ORDER | {"alpha": 0.5, "fill": "start"}}, None, "of: raw holds zero or first at reset"),
        ({"filter": FIRST_ORDER | {"alpha": 0.5, "of": "target", "fill": "zero"}}, None, "start or default or first"),
        ({"filter": {"kind": "moving_average", "steps": 1, "of": "raw"}}, None, "greater than or equal to 2"),
        ({"delay": -1}, None, "greater than or equal to 0"),
        ({"delay": {"fill": "zero"}}, None, "in steps .* or in physics_steps"),
        ({"delay": {"steps": 1, "fill": "start"}}, None, "steps delays raw actions: fill: zero, or fill: first"),
        ({"delay": {"physics_steps": 1, "fill": "zero"}}, None, "physics_steps delays targets: fill: start"),
        ({}, [{"term": "last_action", "of": "filtered"}], "nor a filter of: raw; of: raw is what there is"),
        ({"filter": {"kind": "first_order", "of": "target", "alpha": 0.5}}, [{"term": "last_action", "of": "filtered"}],
         "behind its filter is joint_target"),
        ({}, [{"term": "last_action", "ago": 0}], "greater than or equal to 1"),
        ({}, [{"term": "joint_pos", "delay": {"steps": 1}}], "fill"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(action: dict[str, Any], terms: Any, said: str) -> None:
    """Each error says what was given and what fits."""
    with pytest.raises(ValidationError, match=said):
        shaped(action, terms)


@pytest.mark.parametrize("fill", ["start", "default"])
def test_velocity_and_effort_targets_are_filtered_from_zero(fill: str) -> None:
    """A wheel's speed and a bare motor's torque begin at zero, whatever the joint's position or default is."""
    data = shaped({}).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    terms = [{"term": kind, "joints": [name], "scale": 2.0} for kind, name in (("joint_velocity", "hip"),
             ("joint_effort", "knee"))]  # fmt: skip
    filter_ = {"kind": "first_order", "alpha": 0.25, "of": "target", "fill": fill}
    data["action"] = {"terms": [*terms, TERM | {"joints": ["ankle"]}], "filter": filter_}
    for name in ("hip", "knee"):
        data["joints"][name] |= {"stiffness": 0.0, "damping": 1.0}
    contract = Contract.model_validate(data)
    signals = Signals(contract, JOINTS, 1)
    decoder = ActionDecoder(contract, signals)
    signals.state.joint_pos[:] = 0.7
    signals.reset()
    default = contract.joints["ankle"].default
    held = {"start": 0.7, "default": default}[fill]
    expected = [0.5, 0.5, 0.25 * (default + 0.5) + 0.75 * held, 0.7]
    np.testing.assert_allclose(decoder.decode(np.ones((1, 3), np.float32))[0], expected)


def test_a_contract_keeps_and_shows_its_shaping(tmp_path: Path) -> None:
    """YAML gives it back equal, and the contract's tables say every part of it, in words with their numbers."""
    action = {"raw_clip": BOUNDS, "delay": 1, "filter": {"kind": "first_order", "alpha": 0.2, "of": "raw"}}
    terms = [{"term": "joint_pos", "delay": {"steps": 2, "fill": "zero"}}, {"term": "last_action", "of": "filtered"}]
    for contract in (
        shaped(action | {"between": "interpolate"}, terms),
        shaped({"filter": {"kind": "moving_average", "steps": 4, "of": "target"},
                "delay": {"physics_steps": 3, "fill": "first"}}),
    ):  # fmt: skip
        (tmp_path / "c.yaml").write_text(contract.to_yaml())
        assert load_contract(tmp_path / "c.yaml") == contract
    for words in ("late by 3 physics steps, first before", "filter of target: mean of 4 steps, from start"):
        assert words in describe(contract)
    said = describe(shaped(action | {"between": "interpolate"}, terms))
    for words in (
        *("late by 1 control step, zero before", "filter of raw: 0.2 * new + 0.8 * last, from zero"),
        *("knee [-1, 0.2]", "interpolated between control steps", "joint_pos is shown 2 control steps late"),
    ):
        assert words in said
