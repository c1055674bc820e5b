"""Policies that take turns: what each sees, what the plant is given, and how the controls pass on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.relay import Handover, Relay, check_one_robot, differing_robots
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data

TERMS = {"terms": [{"term": "last_action"}, {"term": "joint_vel"}]}
B_LEGS = tuple(reversed(LEGS))


class Soft(FakePlant):
    """Joints stay where they are; the gains that it was given are kept."""

    def __init__(self) -> None:
        super().__init__(LEGS, rate=0.0)
        self.gains: list[np.ndarray] = []

    def set_gains(self, stiffness: np.ndarray, damping: np.ndarray) -> None:
        self.gains.append(np.array([stiffness, damping]))


def contract_of(name: str, legs: tuple[str, ...] = LEGS, stiffness: float = 10.0, **changes: Any) -> Contract:
    joints = {leg: {"default": 0.0, "stiffness": stiffness, "damping": 1.0} for leg in legs}
    return Contract.model_validate(
        contract_data(
            **{
                "name": name,
                "joints": joints,
                "observation": TERMS,
                "action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
                **changes,
            }
        )
    )


def relay_of(tmp_path: Path, plant: FakePlant, **contracts: Contract) -> Relay:
    """Each policy answers with its last action plus 0.1: its targets count its own steps."""
    controllers = {}
    for name, contract in contracts.items():
        # The second block of the observation is the velocity, which is zero; adding 0.1 is the contract's offset.
        matrix = np.vstack([np.eye(4), np.zeros((4, 4))])
        pilot = Pilot(onnx=save_linear(tmp_path / f"{name}.onnx", matrix), network_contract=contract)
        controllers[name] = Controller(contract, pilot.open(1), plant.joint_names, 1)
    relay = Relay(controllers, plant)  # type: ignore[arg-type]
    plant.reset(relay.default_joint_pos())
    plant.read(relay.state)
    relay.reset()
    return relay


def offset(value: float) -> dict[str, Any]:
    return {"terms": [{"term": "joint_position", "scale": 1.0, "offset": value}]}


def test_targets_and_gains_go_over_linearly(tmp_path: Path) -> None:
    """From 0.2 to 0.6 in ten steps, the first of which is still the old, and so the gains; joints by name."""
    plant = Soft()
    one = contract_of("one", action=offset(0.2))
    joints = {leg: {"default": 0.0, "stiffness": 30.0 + i, "damping": 3.0} for i, leg in enumerate(B_LEGS)}
    other = contract_of("other", joints=joints, action=offset(0.6))
    relay = relay_of(tmp_path, plant, one=one, other=other)
    assert np.allclose(relay(), 0.2)
    assert plant.gains == []
    relay.hand_over(Handover(to="other", blend=0.2))
    seen = np.array([relay().copy() for _ in range(12)])[:, 0]
    assert np.allclose(seen[:, 0], [*np.linspace(0.2, 0.6, 11), 0.6])
    assert np.allclose(plant.gains[-1], [[33.0, 32.0, 31.0, 30.0], [3.0] * 4])
    halfway = [21.5, 21.0, 20.5, 20.0]
    assert np.allclose(plant.gains[4][0], halfway)
    assert len(plant.gains) == 10
    (jump,) = relay.switches()
    assert (jump.to, jump.asked, jump.steps) == ("other", pytest.approx(0.04), 11)
    relay.reset()
    assert relay.playing == "one"
    assert np.allclose(plant.gains[-1], [[10.0] * 4, [1.0] * 4])


def test_a_jump_is_bounded_until_the_target_is_reached(tmp_path: Path) -> None:
    """Without a blend the target would leap by 0.4; with 0.1 at most it takes four steps, and both are told."""
    relay = relay_of(
        tmp_path, Soft(), one=contract_of("one", action=offset(0.2)), other=contract_of("other", action=offset(0.6))
    )
    relay()
    relay.hand_over(Handover(to="other", blend=0.0, largest_jump=0.1))
    seen = [float(relay()[0, 0]) for _ in range(6)]
    assert np.allclose(seen, [0.3, 0.4, 0.5, 0.6, 0.6, 0.6])
    (jump,) = relay.switches()
    assert (jump.asked, jump.made, jump.steps) == (pytest.approx(0.4), pytest.approx(0.1), 4)


@pytest.mark.parametrize(("last_action", "expected"), [("zero", 0.0), ("hold", 0.7)])
def test_the_new_policy_starts_as_at_a_reset(tmp_path: Path, last_action: Any, expected: float) -> None:
    """Its last action is zeros, or what holds the targets in force, by joint name; its past of before is forgotten."""
    clock = {"terms": [{"term": "last_action"}, {"term": "gait_phase", "period": 1.0}, {"term": "joint_vel"}]}
    controllers = {}
    plant = Soft()
    for name, contract in {
        "one": contract_of("one", action=offset(0.7)),
        "other": contract_of("other", B_LEGS, observation=clock),
    }.items():
        matrix = np.zeros((contract.observation_size, 4))
        pilot = Pilot(onnx=save_linear(tmp_path / f"{name}.onnx", matrix), network_contract=contract)
        controllers[name] = Controller(contract, pilot.open(1), plant.joint_names, 1)
    relay = Relay(controllers, plant)  # type: ignore[arg-type]
    plant.reset(relay.default_joint_pos())
    plant.read(relay.state)
    relay.reset()
    for _ in range(3):
        relay()
    for blend in (0.0, 0.0):
        relay.hand_over(Handover(to="other", blend=blend, last_action=last_action))
        relay()
        seen = relay.observation[0, -10:]
        assert np.allclose(seen[:4], expected, atol=1e-6)
        assert np.allclose(seen[4:6], [0.0, 1.0]), "its clock begins anew"
        assert np.isnan(relay.observation[0, :-10]).all(), "the other does not run"
        relay()
        relay.hand_over(Handover(to="one", blend=0.0))
        relay()


def test_held_targets_fade_where_the_old_policy_stops(tmp_path: Path) -> None:
    """With `before: holds` only the new one runs; the targets that were in force are faded out."""
    relay = relay_of(
        tmp_path, Soft(), one=contract_of("one", action=offset(0.2)), other=contract_of("other", action=offset(0.6))
    )
    relay()
    relay.hand_over(Handover(to="other", blend=0.04, before="holds"))
    assert np.allclose([float(relay()[0, 0]) for _ in range(3)], [0.2, 0.4, 0.6])
    assert np.isnan(relay.action[0, :4]).all()


def test_a_slower_policy_is_held_between_its_steps(tmp_path: Path) -> None:
    """At half the rate it acts in every second step, and its clock counts its own periods."""
    slow = contract_of(
        "slow",
        decimation=8,
        observation={"terms": [{"term": "gait_phase", "period": 1.0}, {"term": "last_action"}, {"term": "joint_vel"}]},
    )
    plant = Soft()
    controllers = {}
    for name, contract in {"quick": contract_of("quick"), "slow": slow}.items():
        matrix = np.zeros((contract.observation_size, 4))
        if name == "slow":
            matrix[0] = 1.0
        pilot = Pilot(onnx=save_linear(tmp_path / f"{name}.onnx", matrix), network_contract=contract)
        controllers[name] = Controller(contract, pilot.open(1), plant.joint_names, 1)
    relay = Relay(controllers, plant)  # type: ignore[arg-type]
    assert relay.control_dt == pytest.approx(0.02)
    plant.read(relay.state)
    relay.reset()
    relay.hand_over(Handover(to="slow", blend=0.0))
    seen = [float(relay()[0, 0]) for _ in range(4)]
    assert np.allclose(seen, [0.0, 0.0, np.sin(2 * np.pi * 0.04), np.sin(2 * np.pi * 0.04)], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": {"left_hop": {"default": 0.0, "stiffness": 1.0, "damping": 1.0}}}, "did you mean 'left_hip'"),
        ({"actuation": {"kind": "explicit"}}, "actuation.kind of their contracts is implicit and explicit"),
        ({"decimation": 5}, "no whole multiple of the shortest, 0.02 s"),
        ({"base": {"floating": False}}, "base.floating"),
    ],
)
def test_policies_of_two_robots_are_refused(change: dict[str, Any], words: str) -> None:
    """Joints, drives, rates and bases that don't fit are named."""
    if "joints" in change:
        kept = {leg: {"default": 0.0, "stiffness": 1.0, "damping": 1.0} for leg in LEGS[1:]}
        change = {"joints": change["joints"] | kept}
    with pytest.raises(TaskError, match="can't take turns on one robot.*" + words):
        check_one_robot({"one": contract_of("one"), "other": contract_of("other", **change)})


def test_targets_that_are_no_positions_do_not_take_turns() -> None:
    """A velocity can't be blended with a position."""
    wheels = SimpleNamespace(terms=[SimpleNamespace(term="joint_velocity")])
    rolling = contract_of("rolling").model_copy(update={"action": wheels})
    with pytest.raises(TaskError, match="port 'rolling' can't take turns: its action has a term joint_velocity"):
        check_one_robot({"one": contract_of("one"), "rolling": rolling})


def test_what_the_robot_cannot_have_twice_is_told() -> None:
    """Armature and effort limit are the first port's; what only one states is no contradiction."""
    joints = {leg: {"default": 0.0, "stiffness": 1.0, "damping": 1.0, "armature": 0.02} for leg in LEGS}
    more = {leg: {**joint, "armature": 0.03} for leg, joint in joints.items()}
    one, other = contract_of("one", joints=joints), contract_of("other", joints=more, timestep=0.01, decimation=2)
    found = differing_robots({"one": one, "other": other})
    assert "armature of left_hip, left_knee, right_hip and 1 more joints differs" in found[0]
    assert "trained with a timestep of 0.01 s" in found[1]
    assert differing_robots({"one": one, "plain": contract_of("plain")}) == []


def test_two_elements_of_one_name_are_one_only_where_they_mean_the_same(tmp_path: Path) -> None:
    """Policies with other elements, in another order, are each told their own; a name with two meanings is refused."""
    term = {"terms": [{"term": "command", "elements": ["base_height", "lin_vel_x"]}, {"term": "joint_vel"}]}
    height = {"base_height": {"range": [0.5, 0.8], "default": 0.7}}
    plant = Soft()
    matrix = {"one": np.zeros((8, 4)), "other": np.zeros((6, 4))}
    controllers = {}
    for name, contract in {
        "one": contract_of("one"),
        "other": contract_of("other", observation=term, command=height),
    }.items():
        pilot = Pilot(onnx=save_linear(tmp_path / f"{name}.onnx", matrix[name]), network_contract=contract)
        controllers[name] = Controller(contract, pilot.open(1), plant.joint_names, 1)
    relay = Relay(controllers, plant)  # type: ignore[arg-type]
    assert relay.contract.command.names == ("lin_vel_x", "lin_vel_y", "ang_vel_z", "base_height")
    plant.read(relay.state)
    relay.reset()
    relay.command[0] = [0.3, 0.0, 0.0, 0.6]
    relay.hand_over(Handover(to="other", blend=0.0))
    relay()
    assert np.allclose(relay.observation[0, 8:10], [0.6, 0.3])
    reel = {"base_height": {"range": [0.5, 0.8], "default": 0.7, "unit": "inches"}}
    clash = contract_of("clash", observation=term, command=reel)
    with pytest.raises(TaskError, match="'base_height' is m, above the ground of one, inches of port 'clash'"):
        Relay({"other": controllers["other"], "clash": Controller(clash, controllers["other"].policy, LEGS, 1)}, plant)  # type: ignore[arg-type]
