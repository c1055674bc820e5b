"""What a training tells of its task before it begins: sensors without noise, odd commands, a critic that sees less."""

from __future__ import annotations

import pytest

from policy_port.contract import Contract
from policy_port.contract.measurable import measurable
from policy_port.tasks.velocity import load_task
from policy_port.train.disturbance import blind_critic, odd_commands, quiet_sensors
from policy_port.train.ppo import critic_contract
from tests.train.hopper import hopper_contract, hopper_task

NOISE = {"joint_pos": 0.01, "joint_vel": 0.5, "base_ang_vel": 0.2, "orientation": 0.05}


@pytest.mark.parametrize(
    ("noise", "told"),
    [
        ({}, "base_lin_vel, base_ang_vel, orientation, joint_pos, joint_vel"),
        (dict.fromkeys(NOISE, 0.0), "base_lin_vel, base_ang_vel, orientation, joint_pos, joint_vel"),
        ({"joint_pos": 0.01}, "base_lin_vel, base_ang_vel, orientation, joint_vel"),
        ({**NOISE, "base_lin_vel": 0.1, "joint_vel": 0.0}, "joint_vel"),
        ({**NOISE, "base_lin_vel": 0.1}, ""),
    ],
)
def test_sensors_without_noise_are_told(noise: dict[str, float], told: str) -> None:
    """No table, zeros throughout, one sensor alone left out: each sensor that the policy reads is named."""
    notes = quiet_sensors(hopper_task(noise=noise), hopper_contract())
    assert [note.partition("adds no noise to ")[2].partition(", which")[0] for note in notes] == [told] * bool(told)
    assert all("state how much under noise in the task file" in note for note in notes)
    student = measurable(hopper_contract(), ("imu", "encoders")).student()
    assert [note.replace("base_lin_vel, ", "").replace("hopper_student", "hopper") for note in notes] == [
        note.replace("hopper_student", "hopper") for note in quiet_sensors(hopper_task(noise=noise), student)
    ]


def test_what_a_task_can_make_no_noise_of_is_told() -> None:
    """A switch at a foot never bounces here; what is told or computed needs no noise."""
    told = {"observation": {"terms": [{"term": "velocity_command"}, {"term": "last_action"}]}}
    assert quiet_sensors(hopper_task(), hopper_contract(**told)) == []
    told["observation"]["terms"].append({"term": "contact", "links": ["left_foot"], "threshold": 1.0})
    (note,) = quiet_sensors(hopper_task(), hopper_contract(**told))
    assert "knows no noise of contact, which contract 'hopper' reads" in note


def test_commands_that_are_odd_are_told() -> None:
    """A task that only lets stand, and one that asks for more than a contract says its policy knows."""
    assert odd_commands(hopper_task(), hopper_contract()) == []
    for command in ({"lin_vel_x": [0.0, 0.0]}, {"lin_vel_x": [-1.0, 1.0], "standing": 1.0}):
        assert "nothing but to stand still" in odd_commands(hopper_task(command=command))[0]
    narrow = hopper_contract(command={"lin_vel_x": [-0.3, 0.6], "lin_vel_y": [0.0, 0.0]})
    (note,) = odd_commands(hopper_task(), narrow)
    assert "beyond those of contract 'hopper': lin_vel_x [-0.5, 0.5], where it says [-0.3, 0.6]" in note


def test_a_critic_that_is_shown_less_than_its_actor_is_told() -> None:
    """What the actor acts on and the critic is not shown is named; other names of the same numbers are none of it."""
    actor = hopper_contract()
    assert blind_critic(actor, critic_contract(actor)) == []
    terms = actor.observation.terms
    for at, term in enumerate(terms):
        fewer = actor.observation.model_copy(update={"terms": (*terms[:at], *terms[at + 1 :])})
        (note,) = blind_critic(actor, actor.model_copy(update={"observation": fewer}))
        assert f"lacks {term.label}, which the actor acts on" in note
        assert "leave --critic-contract out" in note
    data = actor.model_dump(mode="json", exclude_none=True)
    data["observation"]["terms"][4]["term"] = "joint_pos"
    assert blind_critic(actor, Contract.model_validate(data)) == []


@pytest.mark.parametrize("name", ["go2_velocity", "g1_velocity"])
def test_shipped_tasks_let_the_actors_sensors_err(name: str) -> None:
    """Whoever trains in a shipped task hears of no sensor that is perfect there and in no robot."""
    assert quiet_sensors(load_task(name), hopper_contract()) == []
