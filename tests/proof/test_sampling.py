"""Observations drawn from a contract."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.proof.reference import layout
from policy_port.proof.sampling import GROUPS, admissible, sample_observations
from tests.samples import contract_data

LEGS = ("hip", "knee")


def _contract(**observation) -> Contract:
    terms = [
        {"term": "base_ang_vel", "scale": 0.25},
        {"term": "projected_gravity"},
        {"term": "velocity_command", "scale": [2.0, 2.0, 0.25]},
        {"term": "joint_pos"},
        {"term": "joint_pos_rel", "offset": 1.0},
        {"term": "joint_vel", "scale": 0.05, "clip": [-6.0, 6.0]},
        {"term": "last_action"},
        {"term": "gait_phase", "period": 0.8, "offsets": [0.0, 0.5]},
        {"term": "goal", "size": 2, "frame": "base, m", "low": [0.1, -0.2], "high": [0.3, 0.2]},
        {"term": "constant", "value": [0.5]},
        {"term": "external", "name": "force", "size": 1},
    ]
    history = observation.pop("steps", 1)
    terms = [{**term, "history": history} for term in terms]
    if history > 1:
        observation["history"] = {"layout": "time_major", "order": "newest_first", "fill": "first"}
    return Contract.model_validate(
        contract_data(
            joints={"hip": {"default": 0.2, "lower": -1.0, "upper": 0.0}, "knee": {"default": 40.0, "unit": "deg"}},
            observation={"terms": terms} | observation,
            action=contract_data()["action"] | {"raw_clip": [-1.0, 1.5]},
            command={"lin_vel_x": [0.0, 1.0], "ang_vel_z": [-0.5, 0.5]},
        )
    )


def _columns(contract: Contract, group: np.ndarray) -> dict[tuple[str, str, int], np.ndarray]:
    return {key: group[..., i].astype(float) for i, key in enumerate(layout(contract))}


def test_groups_and_shapes():
    """Four groups of float32 in the contract's width."""
    contract = _contract()
    groups = sample_observations(contract, 5, 3, np.random.default_rng(0))
    assert tuple(groups) == GROUPS
    for group in groups.values():
        assert group.shape == (5, 3, contract.observation_size)
        assert group.dtype == np.float32
        assert np.isfinite(group).all()


def test_a_seed_gives_the_same_numbers():
    """Equal generators give bit-equal observations, other generators others."""
    first, again, other = (sample_observations(_contract(), 4, 2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for name in GROUPS:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_realistic_values_are_those_a_robot_shows():
    """Gravity is a unit vector, clocks run on the circle, joints, goals and commands keep to their ranges."""
    contract = _contract()
    group = sample_observations(contract, 60, 40, np.random.default_rng(0))["realistic"]
    shown = _columns(contract, group)

    def of(term: str, element: str) -> np.ndarray:
        return shown[term, element, 0]

    gravity = np.stack([of("projected_gravity", axis) for axis in "xyz"], axis=-1)
    assert np.linalg.norm(gravity, axis=-1) == pytest.approx(1.0, abs=1e-6)
    for k in "01":
        assert of("gait_phase", f"sin{k}") ** 2 + of("gait_phase", f"cos{k}") ** 2 == pytest.approx(1.0, abs=1e-6)
    for values, low, high in (
        (of("velocity_command", "lin_vel_x"), 0.0, 2.0),
        (of("velocity_command", "lin_vel_y"), -2.0, 2.0),
        (of("velocity_command", "ang_vel_z"), -0.125, 0.125),
        (of("joint_pos", "hip"), -1.0, 0.0),
        (of("joint_pos", "knee"), 40.0 - 28.7, 40.0 + 28.7),
        (of("joint_vel", "hip"), -0.3, 0.3),
        (of("last_action", "hip"), -1.0, 1.5),
        (of("goal", "0"), 0.1, 0.3),
        (of("goal", "1"), -0.2, 0.2),
    ):
        assert low - 1e-6 <= values.min()
        assert values.max() <= high + 1e-6
        assert values.max() - values.min() > 0.8 * (high - low)
    assert (of("constant", "0") == 0.5).all()


def test_joint_terms_tell_the_same_story():
    """joint_pos_rel is joint_pos less the default, at the same instant."""
    contract = _contract()
    shown = _columns(contract, sample_observations(contract, 9, 4, np.random.default_rng(0))["realistic"])
    relative = shown["joint_pos_rel", "hip", 0] - 1.0
    assert relative == pytest.approx(shown["joint_pos", "hip", 0] - 0.2, abs=1e-6)


def test_history_is_what_was_shown_before():
    """The entry of age k is the present of k steps ago, and positions move little in a step."""
    contract = _contract(steps=3)
    shown = _columns(contract, sample_observations(contract, 30, 4, np.random.default_rng(0))["realistic"])
    for label, element, age in shown:
        assert np.array_equal(shown[label, element, age][age:], shown[label, element, 0][: 30 - age])
    assert np.abs(np.diff(shown["joint_pos", "hip", 0], axis=0)).max() < 0.35


def test_tails_reach_ten_times_as_far():
    """The tails go far beyond the other groups where no clip stands in the way."""
    groups = sample_observations(_contract(), 20, 20, np.random.default_rng(0))
    assert np.abs(groups["tails"]).max() > 5 * np.abs(groups["realistic"]).max()
    assert np.abs(groups["tails"]).max() > 5 * np.abs(groups["normal"]).max()


def test_clip_edges_straddle_every_clip():
    """Values lie on and just inside the contract's clips, and on both sides of where libraries put theirs."""
    contract = _contract(clip=[-18.0, 18.0])
    shown = _columns(contract, sample_observations(contract, 50, 20, np.random.default_rng(0))["clip_edges"])
    speed = shown["joint_vel", "hip", 0]
    assert (speed == np.float32(0.3)).any()
    assert ((speed > 0.299) & (speed < np.float32(0.3))).any()
    force = shown["force", "0", 0]
    assert (force == 18.0).any()
    assert ((force > 17.9) & (force < 18.0)).any()
    free = _contract()
    force = _columns(free, sample_observations(free, 50, 20, np.random.default_rng(0))["clip_edges"])["force", "0", 0]
    for edge in (3.0, 5.0, 100.0):
        assert ((force > edge) & (force < 1.01 * edge)).any()
        assert ((force < edge) & (force > 0.99 * edge)).any()


def test_no_observation_lies_beyond_what_the_contract_clips():
    """What the observation builder would clip is never drawn, and clipping it again changes nothing."""
    contract = _contract(clip=[-18.0, 18.0])
    for group in sample_observations(contract, 10, 10, np.random.default_rng(0)).values():
        assert np.abs(group).max() <= 18.0
        assert np.abs(_columns(contract, group)["joint_vel", "hip", 0]).max() <= np.float32(0.3)
        assert np.array_equal(admissible(contract, group), group)
