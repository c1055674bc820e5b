"""Claims about the space of usual mistakes: what a user did wrongly is one guess away from what is right."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from policy_port.closed_loop.guesses import guesses, key_of
from policy_port.closed_loop.symmetry import alike, exchanged_sides, grouped_orders, split
from policy_port.contract import Contract
from policy_port.contract.diff import differences
from tests.samples import LEGS, contract_data
from tests.verdict.mistakes import edited, reorder, set_action, set_joint, set_scale, term
from tests.verdict.synthetic import stacked

Change = Callable[[dict[str, Any]], None]


@cache
def right() -> Contract:
    """The toy with equal gains on both sides, as robots have them, and no position beside the relative one."""
    contract = Contract.model_validate(contract_data())
    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for name, default, stiffness in zip(LEGS, (0.1, -0.4, 0.1, -0.4), (20.0, 40.0, 20.0, 40.0), strict=True):
        data["joints"][name] |= {"default": default, "stiffness": stiffness, "armature": 0.01}
    data["observation"]["terms"] = [each for each in data["observation"]["terms"] if each["term"] != "joint_pos"]
    return Contract.model_validate(data)


def over_values(*names: str) -> Change:
    return lambda data: data.update(joints=dict(zip(names, data["joints"].values(), strict=True)))


def permuted(field: str, *names: str) -> Change:
    """Values listed in the order `names` beside names in the contract's."""

    def change(data: dict[str, Any]) -> None:
        values = [data["joints"][name][field] for name in names]
        for name, value in zip(LEGS, values, strict=True):
            data["joints"][name][field] = value

    return change


def turned(kind: str, **keys: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        found = term(data, kind)
        found.clear()
        found.update(keys)

    return change


def moved(data: dict[str, Any]) -> None:
    data["observation"]["terms"].sort(key=lambda each: each["term"])


def flipped(data: dict[str, Any]) -> None:
    for kind, scale in (("joint_pos_rel", 1.0), ("joint_vel", 0.05)):
        term(data, kind)["scale"] = {name: -scale if name == "left_hip" else scale for name in LEGS}


def doubled(data: dict[str, Any]) -> None:
    for row in data["joints"].values():
        row["stiffness"] *= 2.0


BY_KIND = ("left_hip", "right_hip", "left_knee", "right_knee")
WRONG: dict[str, Change] = {
    "kind by kind": reorder(*BY_KIND),
    "sides exchanged": reorder("right_hip", "right_knee", "left_hip", "left_knee"),
    "two joints": reorder("left_knee", "left_hip", "right_hip", "right_knee"),
    "names over values": over_values(*BY_KIND),
    "one term's order": lambda data: term(data, "joint_vel").update(joints=list(BY_KIND)),
    "action's order": set_action(joints=list(BY_KIND)),
    "defaults in another order": permuted("default", *BY_KIND),
    "gains in another order": permuted("stiffness", *BY_KIND),
    "scale missing": set_scale("base_ang_vel", 1.0),
    "command scale": set_scale("velocity_command", 1.0),
    "turn in degrees": set_scale("velocity_command", [2.0, 2.0, 0.25 * 57.29577951308232]),
    "scale twice": set_scale("joint_vel", 0.0025),
    "one sign read": flipped,
    "one sign driven": set_action(scale=dict.fromkeys(LEGS, 0.25) | {"right_knee": -0.25}),
    "one action scale": set_action(scale=dict.fromkeys(LEGS, 0.25) | {"left_knee": 0.16}),
    "action scale": set_action(scale=0.5),
    "offset left out": set_action(offset=0.0),
    "delta": lambda data: data["action"].update(
        terms=[{"term": "joint_position_delta", "reference": "joint_pos", "scale": 0.25}]
    ),
    "raw clip": lambda data: data["action"].update(raw_clip=[-1.0, 1.0]),
    "default left out": turned("joint_pos_rel", term="joint_pos"),
    "last action zeroed": turned("last_action", term="constant", name="last_action", value=[0.0] * 4),
    "clock stopped": turned("gait_phase", term="constant", name="gait_phase", value=[0.0] * 2),
    "clock of another period": turned("gait_phase", term="gait_phase", period=0.75),
    "one default": set_joint("right_knee", "default", -0.3),
    "sign of one default": set_joint("left_hip", "default", -0.1),
    "stiffness of one": set_joint("left_knee", "stiffness", 22.0),
    "stiffness doubled": doubled,
    "actuation": lambda data: data["actuation"].update(kind="explicit"),
    "half the rate": lambda data: data.update(decimation=8),
    "twice the rate": lambda data: data.update(decimation=2),
    "terms exchanged": lambda data: data["observation"]["terms"].insert(0, data["observation"]["terms"].pop(1)),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_right_is_one_guess_away_from_a_usual_mistake(mistake: str) -> None:
    """Among the guesses at the wrong contract is the correct one, number by number."""
    wrong = edited(right(), WRONG[mistake])
    assert differences(wrong, right())
    found, exact = list(guesses(wrong, LEGS)), key_of(right())
    # Equal to the digit, as most are, needs no comparison of each number.
    assert any(key_of(guess.contract) == exact for guess in found) or any(
        not differences(guess.contract, right(), relative_tolerance=1e-9) for guess in found
    )
    assert all(guess.words for guess in found)


@pytest.mark.parametrize("wrong", [{"layout": "time_major"}, {"order": "newest_first"}, {"fill": "zero"}])
def test_every_history_is_guessed(wrong: dict[str, str]) -> None:
    """The key that is wrong, and the two others as they are."""
    assert any(guess.contract == stacked() for guess in guesses(stacked(**wrong), LEGS))


def test_each_guess_is_another_contract_of_the_same_width() -> None:
    """No guess is made twice, none is the contract itself but the delay, and the network fits all of them."""
    found = list(guesses(right(), LEGS))
    late = [guess for guess in found if guess.late]
    keys = [key_of(guess.contract) for guess in found if not guess.late]
    assert len(keys) == len(set(keys)) > 100
    assert key_of(right()) not in keys
    assert [guess.contract for guess in late] == [right()]
    assert {guess.contract.observation_size for guess in found} == {right().observation_size}
    assert {guess.contract.action_size for guess in found} == {right().action_size}


def test_the_simulators_own_order_is_guessed() -> None:
    """An order that no rule of names gives, because the simulator has it."""
    odd = ("right_knee", "left_hip", "left_knee", "right_hip")
    assert any(guess.contract.joint_names == odd for guess in guesses(right(), odd))
    assert not any(guess.contract.joint_names == odd for guess in guesses(right(), LEGS))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("left_hip_yaw_joint", ("left", "*_hip_yaw_joint")),
        ("FL_calf_joint", ("FL", "*_calf_joint")),
        ("LF_HAA", ("LF", "*_HAA")),
        ("waist_yaw", ("", "waist_yaw")),
        ("wrist_l", ("l", "wrist_*")),
    ],
)
def test_sides_are_read_off_names(name: str, expected: tuple[str, str]) -> None:
    """A word of its own is a side; a letter inside a word is not."""
    assert split(name) == expected


def test_orders_are_permutations() -> None:
    """Whatever is guessed names every joint once, middle joints too."""
    names = (*LEGS, "waist")
    for order, _ in (*grouped_orders(names), *exchanged_sides(names)):
        assert sorted(order) == sorted(names)
    assert ("right_hip", "right_knee", "left_hip", "left_knee", "waist") in dict(exchanged_sides(names))
    assert alike(names) == {"*_hip": ("left_hip", "right_hip"), "*_knee": ("left_knee", "right_knee")}


@pytest.mark.parametrize(("given", "source"), [(None, "com"), ("link", "com"), ("com", "link"), ([0.1, 0, 0], "com")])
def test_another_point_of_the_velocity_is_a_guess(given: Any, source: str) -> None:
    """The centre of mass where the contract has the link's origin or says nothing, and the reverse, each once."""
    data = right().model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    data["observation"]["terms"].append({"term": "base_lin_vel", **({} if given is None else {"point": given})})
    found = [guess for guess in guesses(Contract.model_validate(data), LEGS) if ": the velocity of" in guess.words]
    points = [term(guess.contract.model_dump(mode="json"), "base_lin_vel")["point"] for guess in found]
    assert points.count(source) == 1
    assert given not in points
