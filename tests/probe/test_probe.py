"""Claims about what moves the actions, dead and loud numbers, saturation, and the networks that can be probed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policy_port.arrays import Array
from policy_port.checkpoints.actor import Actor, ImageSpec
from policy_port.checkpoints.networks.layers import Clamp, FeedForwardActor, Normaliser
from policy_port.contract import Contract
from policy_port.contract.layout import observation_slots
from policy_port.errors import CheckpointError, ContractError
from policy_port.probe.network import Network, ordinary_observations
from policy_port.probe.probe import Probe, probe
from policy_port.probe.words import text
from tests.probe.quadruped import contract, linear, noise, symmetric, with_feedback

GAINS = {"joint_pos_rel": -1.0, "joint_vel": -0.05}


def probed(stated: Contract, weights: Array, **layers: nn.Module) -> Probe:
    return probe(linear(weights, **layers), stated, policy="a.pt")


def columns(stated: Contract, label: str) -> list[int]:
    return [i for i, slot in enumerate(observation_slots(stated)) if slot.term == label]


def test_shares_are_those_of_a_linear_network() -> None:
    """An action's movement is the sum of its weights' squares times the numbers' variances; shares sum to one."""
    stated = contract()
    weights = noise(stated, 1.0)
    found = probed(stated, weights)
    obs = ordinary_observations(stated, np.random.default_rng(0)).reshape(-1, stated.observation_size)
    moved = np.float32(weights).astype(float) ** 2 * obs.var(axis=0)
    for block in found.blocks.blocks:
        own = moved[:, columns(stated, block.label)].sum(axis=1) / moved.sum(axis=1)
        np.testing.assert_allclose(block.shares, own, rtol=1e-6)
    assert sum(block.share for block in found.blocks.blocks) == pytest.approx(1.0)


def test_effects_are_told_in_the_units_of_the_robot() -> None:
    """A scale of the contract is undone: the same network under scale 0.05 answers less to a rad/s."""
    weights = noise(contract(), 1.0)
    terms = ("base_ang_vel", "projected_gravity", "velocity_command", "joint_pos_rel", "joint_vel", "last_action")
    scaled = contract(terms=tuple({"term": t, "scale": 0.05} if t == "joint_vel" else t for t in terms))
    whole, small = (
        {block.label: block.per_unit for block in probed(stated, weights).blocks.blocks}
        for stated in (contract(), scaled)
    )
    assert small["joint_vel"] == pytest.approx(0.05 * whole["joint_vel"])
    assert small["joint_pos_rel"] == pytest.approx(whole["joint_pos_rel"])


def with_history() -> Contract:
    history = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
    terms = [{"term": "joint_pos_rel", "history": 3}, {"term": "joint_vel", "history": 3}]
    return contract(observation={"terms": terms, "history": history}, quaternion_order="none")


def test_dead_numbers_are_named_by_joint_and_age() -> None:
    """A whole block, and single numbers of a history's slot."""
    stated = with_history()
    weights = noise(stated, 1.0)
    slots = observation_slots(stated)
    dead = [i for i, s in enumerate(slots) if s.term == "joint_vel" or (s.age == 2 and s.element == "FL_hip")]
    weights[:, dead] = 0.0
    found = probed(stated, weights)
    assert found.blocks.dead == tuple(slots[i] for i in dead)
    assert "all of joint_vel" in text(found)
    assert "joint_pos_rel[FL_hip]@-2" in text(found)
    assert found.ok


def test_the_newest_step_of_a_history_has_its_share() -> None:
    """A network that looks at the newest step alone has all its effect there."""
    stated = with_history()
    weights = noise(stated, 1.0)
    weights[:, [i for i, slot in enumerate(observation_slots(stated)) if slot.age]] = 0.0
    assert [block.newest for block in probed(stated, weights).blocks.blocks] == [1.0, 1.0]


def test_the_newest_step_may_be_all_that_is_heard() -> None:
    """A network that hears it hundreds of times as well as the older ones raises nothing; one number still does."""
    stated = with_history()
    weights, slots = noise(stated, 1.0), observation_slots(stated)
    weights[:, [i for i, slot in enumerate(slots) if slot.age]] *= 1e-3
    assert probed(stated, weights).blocks.loud == ()
    one = next(i for i, slot in enumerate(slots) if slot.age == 1 and slot.element == "FR_calf")
    weights[:, one] *= 1e3
    assert [slot for slot, _ in probed(stated, weights).blocks.loud] == [slots[one]]


def test_a_number_that_never_changed_in_training_is_loud() -> None:
    """A deviation near zero in the normaliser makes one number move the actions many times as much as its like."""
    stated = contract()
    deviation = torch.ones(stated.observation_size)
    loud = columns(stated, "joint_vel")[3]
    deviation[loud] = 1e-3
    normaliser = Normaliser(torch.zeros(stated.observation_size), deviation, None)
    found = probed(stated, noise(stated, 1.0), normaliser=normaliser)
    assert [slot for slot, _ in found.blocks.loud] == [observation_slots(stated)[loud]]
    assert "loud        joint_vel[FR_hip] moves the actions" in text(found)


def test_an_action_that_nothing_moves_is_a_fault() -> None:
    """Named by its joint."""
    stated = contract()
    weights = noise(stated, 1.0)
    weights[4] = 0.0
    found = probed(stated, weights)
    assert found.faults == ("nothing moves the action of FR_thigh",)
    assert "fault       nothing moves the action of FR_thigh" in text(found)


def test_positions_and_velocities_that_look_exchanged_are_doubted() -> None:
    """A network that answers a rad/s more than a rad may have been given the one for the other."""
    terms = ("base_ang_vel", "joint_pos_rel", "joint_vel")
    weights = with_feedback(contract(terms=terms), GAINS, 0.001)
    assert probed(contract(terms=terms), weights).doubts == ()
    found = probed(contract(terms=("base_ang_vel", "joint_vel", "joint_pos_rel")), weights)
    (doubt,) = found.doubts
    assert doubt.startswith("joint_vel moves the actions")
    assert f"doubt       {doubt}" in text(found)
    assert found.ok


def test_a_default_of_the_wrong_sign_is_told() -> None:
    """Hips that turn opposite ways in the network, and have equal defaults in the contract."""
    right = contract()
    joints = {name: {"default": joint.default} for name, joint in right.joints.items()}
    found = probed(contract(joints=joints | {"FR_hip": {"default": 0.1}}), symmetric(right))
    assert found.document()["symmetry"]["against_defaults"] == ["FL_hip"]
    assert "FL_hip and FR_hip turn the same way by their default pose, opposite ways by the network" in text(found)
    assert probed(right, symmetric(right)).document()["symmetry"]["against_defaults"] == []


def test_a_clip_inside_the_network_is_seen_at_the_ends() -> None:
    """A normaliser that clips at the middle of the range no longer sees velocities at their ends."""
    stated = contract(terms=("joint_pos_rel", "joint_vel"), quaternion_order="none")
    size = stated.observation_size
    found = probed(stated, noise(stated, 1.0), normaliser=Normaliser(torch.zeros(size), torch.ones(size), 5.0))
    unseen = {extreme.label: extreme.unseen for extreme in found.extremes}
    assert unseen["joint_pos_rel"] == unseen[""] == 0.0
    assert unseen["joint_vel"] > 0.9
    assert "of its numbers clipped inside the network" in text(found)


def test_a_saturated_head_is_seen_at_the_ends() -> None:
    """Behind a tanh the actions hardly move any more where a term is at its ends."""
    stated = contract(terms=("joint_pos_rel", "joint_vel"), quaternion_order="none")
    found = probed(stated, noise(stated, 1.0), head=nn.Tanh())
    stuck = {extreme.label: extreme.stuck for extreme in found.extremes}
    assert stuck["joint_vel"] > 0.5
    assert stuck["joint_vel"] > stuck["joint_pos_rel"]
    assert "of the actions hardly move any more" in text(found)


def test_raw_clip_and_joint_limits_are_counted() -> None:
    """Shares of actions at the clip and of targets beyond the limits, of the joints that state any."""
    joints = {name: {"default": 0.0} for name in contract().joint_names}
    joints |= {"FL_hip": {"default": 0.0, "lower": -0.1, "upper": 0.1}}
    term = {"term": "joint_position", "scale": 0.25, "offset": "default"}
    stated = contract(joints=joints, action={"terms": [term], "raw_clip": [-1.0, 1.0]})
    found = probed(stated, 50.0 * noise(stated, 1.0))
    ordinary = found.extremes[0]
    assert ordinary.clipped is not None
    assert ordinary.beyond is not None
    assert ordinary.clipped > 0.9
    assert ordinary.beyond > 0.9
    assert probed(contract(), noise(contract())).extremes[0].beyond is None


class Broken(nn.Module):
    """Not a number for what is large."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(20.0 - x.abs().amax(dim=-1, keepdim=True)) + x


def test_an_action_that_is_not_finite_at_the_ends_is_a_fault() -> None:
    """The term is named, and the rest goes on."""
    stated = contract(terms=("joint_pos_rel", "joint_vel"), quaternion_order="none")
    found = probed(stated, with_feedback(stated, {"joint_vel": 3.0}, 0.01), head=Broken())
    assert found.faults == ("an action is not finite with joint_vel at the ends of its range",)
    assert "joint_vel: an action is not finite" in text(found)


def test_ordinary_actions_that_are_not_finite_are_refused() -> None:
    """There is nothing to measure, and the error says where."""
    stated = contract()
    with pytest.raises(CheckpointError, match=r"a\.pt: on ordinary observations an action"):
        probed(stated, 1000.0 * noise(stated), head=Broken())


def test_widths_that_differ_are_refused() -> None:
    """With the sum of the contract's terms."""
    with pytest.raises(ContractError, match="the network reads 45 numbers"):
        probed(contract(terms=("joint_vel",), quaternion_order="none"), noise(contract()))


class Rounded(nn.Module):
    """What has no derivative."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x * 1e6) / 1e6


def test_what_has_no_derivative_is_probed_by_differences() -> None:
    """A network that rounds gives the same table, and it is said how it was made."""
    stated = contract()
    weights = with_feedback(stated, {"joint_pos_rel": -1.0})
    plain, rounded = probed(stated, weights), probed(stated, weights, head=Rounded())
    assert (plain.response.by, rounded.response.by) == ("autograd", "finite differences")
    np.testing.assert_allclose(rounded.response.mean, plain.response.mean, atol=1e-3)
    assert rounded.orders.terms[0].verdict == "sharp"


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_network_that_remembers_is_asked_at_its_start_and_later(kind: str, make_actor: Any) -> None:
    """The mean derivative is that of first and last steps of the sequences, by finite differences."""
    stated = contract()
    actor = make_actor(kind, obs_size=stated.observation_size, action_size=stated.action_size, hidden=16)
    obs = ordinary_observations(stated, np.random.default_rng(0))
    response = Network(actor).response(obs)
    moved = np.zeros(obs.shape)
    moved[-1, :, 7] = 1e-5
    expected = np.zeros(stated.action_size)
    for sequences, step in ((obs[:1], moved[-1:]), (obs, moved)):
        outputs = []
        for shown in (sequences + step, sequences - step):
            state = actor.double().initial_state(shown.shape[1], dtype=torch.float64)
            for row in shown:
                action, *rest = actor(torch.from_numpy(row), *state)
                state = tuple(rest)
            outputs.append(action.numpy())
        expected += ((outputs[0] - outputs[1]) / 2e-5).mean(axis=0) / 2.0
    np.testing.assert_allclose(response.mean[:, 7], expected, rtol=1e-4, atol=1e-8)


class Seeing(Actor):
    """Answers with three steps, of which the first is linear in the observation, and reads an image."""

    def __init__(self, weights: Array) -> None:
        super().__init__()
        self.register_buffer("weights", torch.as_tensor(weights))
        self.obs_size, self.action_size = weights.shape[1], weights.shape[0]
        self.state_names, self.state_shapes = (), ()
        self.chunk = self.chunk_steps = 3
        self.images = (
            ImageSpec(name="front", height=4, width=4, channels=3, layout="nhwc", dtype="uint8", scale=1 / 255),
        )

    def forward(self, obs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        first = obs @ self.weights.T + rest[0].double().mean()
        return (torch.stack((first, torch.zeros_like(first), torch.zeros_like(first)), dim=1),)


def test_a_chunk_and_an_image_are_no_hindrance() -> None:
    """The first step counts; images are plain grey, and that is said."""
    stated = contract()
    weights = with_feedback(stated, {"joint_pos_rel": -1.0})
    found = probe(Seeing(weights), stated, policy="a.pt")
    np.testing.assert_allclose(found.response.mean, weights, atol=1e-9)
    assert "front: shown as plain grey" in text(found)


def test_terms_of_every_kind_are_drawn() -> None:
    """Clock, goal, constant and external terms, another unit and an action of scale zero stand in no one's way."""
    terms = [
        {"term": "gait_phase", "period": 0.8},
        {"term": "goal", "size": 2, "frame": "world, m", "low": [0.0, 0.0], "high": [1.0, 2.0]},
        {"term": "constant", "value": [1.0, 0.0]},
        {"term": "external", "name": "obj", "size": 4},
        *({"term": term} for term in ("joint_pos", "joint_target", "joint_vel", "last_action")),
    ]
    joints = {name: {"default": 50.0, "unit": "percent"} for name in contract().joint_names}
    action = {"terms": [{"term": "joint_position", "scale": 0.0, "offset": "default"}]}
    stated = contract(joints=joints, observation={"terms": terms}, action=action)
    found = probed(stated, noise(stated, 1.0))
    assert found.ok
    assert [block.share for block in found.blocks.blocks if block.label == "constant"] == [0.0]
    json.dumps(found.document(), allow_nan=False)


def test_a_clamped_network_that_answers_alike_always_is_a_fault() -> None:
    """A head that clips everything away moves no action."""
    stated = contract()
    found = probed(stated, noise(stated), head=Clamp(0.5, 0.5))
    assert found.faults[0].startswith("nothing moves the action of FL_hip, FL_thigh")
    assert isinstance(found.document(), dict)


def test_the_network_given_stays_as_it_was() -> None:
    """Probing works on a copy in double precision."""
    stated = contract()
    actor = linear(noise(stated))
    assert isinstance(actor, FeedForwardActor)
    probe(actor, stated, policy="a.pt")
    assert {tensor.dtype for tensor in actor.state_dict().values()} == {torch.float32}
