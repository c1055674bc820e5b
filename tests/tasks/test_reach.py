"""The reach task's description, without a simulator."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_port.tasks.reach import SO100_REACH

SEEDS = st.integers(min_value=0, max_value=2**31 - 1)


@given(seed=SEEDS)
def test_seed_names_one_episode(seed: int) -> None:
    """The same seed gives the same start pose and goal, bit for bit."""
    first_pose, first_goal = SO100_REACH.episode(seed)
    second_pose, second_goal = SO100_REACH.episode(seed)
    assert np.array_equal(first_pose, second_pose)
    assert np.array_equal(first_goal, second_goal)


def test_episodes_stay_what_they_were_when_the_policy_was_trained() -> None:
    """Episode 0 is the one that published figures were measured on."""
    joint_pos, goal = SO100_REACH.episode(0)
    expected_pos = (0.0136961687, -1.5238213286, 1.4548973524, 0.6116527636, 0.0313270239, -1.0434897769)
    assert joint_pos == pytest.approx(expected_pos, abs=1e-9)
    assert goal == pytest.approx((0.1176320060, -0.3135735751, 0.1469799986), abs=1e-9)


def test_different_seeds_differ() -> None:
    """A hundred seeds are a hundred episodes."""
    goals = {tuple(SO100_REACH.episode(seed)[1]) for seed in range(100)}
    assert len(goals) == 100


@given(seed=SEEDS)
def test_goals_lie_in_the_region(seed: int) -> None:
    """Every goal lies in the annular sector, measured independently of the sampler."""
    _, (x, y, z) = SO100_REACH.episode(seed)
    ahead, aside = -(y - SO100_REACH.pan_axis_xy[1]), x - SO100_REACH.pan_axis_xy[0]
    radius, azimuth = np.sqrt(ahead**2 + aside**2), np.arctan(aside / ahead)
    tiny = 1e-12
    assert ahead > 0
    assert SO100_REACH.goal_radius[0] - tiny <= radius <= SO100_REACH.goal_radius[1] + tiny
    assert SO100_REACH.goal_azimuth[0] - tiny <= azimuth <= SO100_REACH.goal_azimuth[1] + tiny
    assert SO100_REACH.goal_height[0] <= z <= SO100_REACH.goal_height[1]


@pytest.mark.parametrize(
    ("goal", "inside"),
    [
        ((0.0, -0.0452 - 0.27, 0.14), True),
        ((0.0, -0.0452 + 0.27, 0.14), False),
        ((0.0, -0.0452 - 0.19, 0.14), False),
        ((0.0, -0.0452 - 0.35, 0.14), False),
        ((0.0, -0.0452 - 0.27, 0.23), False),
        ((0.27, -0.0452, 0.14), False),
    ],
)
def test_contains_knows_ahead_from_behind(goal: tuple[float, float, float], inside: bool) -> None:
    """A point straight ahead (-y) is inside; behind, too near, too far, too high and beside are outside."""
    assert SO100_REACH.contains(goal) is inside


@given(seed=SEEDS)
def test_starts_keep_off_the_joint_limits(seed: int) -> None:
    """Every start pose is at least the margin inside the joint limits, though the rest pose lies on three of them."""
    joint_pos, _ = SO100_REACH.episode(seed)
    margin = SO100_REACH.limit_margin - 1e-9
    assert np.all(joint_pos >= np.array(SO100_REACH.joint_lower) + margin)
    assert np.all(joint_pos <= np.array(SO100_REACH.joint_upper) - margin)


def test_start_is_close_to_rest() -> None:
    """The centre of the start poses differs from the rest pose by no more than margin and noise."""
    moved = np.abs(SO100_REACH.start_joint_pos - np.array(SO100_REACH.rest_joint_pos))
    assert np.all(moved <= np.array(SO100_REACH.joint_noise) + SO100_REACH.limit_margin + 1e-12)


def test_without_noise_the_start_is_its_centre() -> None:
    """Noise is all that moves a start pose from the centre."""
    quiet = dataclasses.replace(SO100_REACH, joint_noise=(0.0,) * 6)
    assert np.array_equal(quiet.episode(3)[0], quiet.start_joint_pos)


def test_joint_vectors_have_one_entry_for_each_joint() -> None:
    """Every joint vector of the task is as long as the list of names, and the held joints are among them."""
    lengths = {
        len(vector)
        for vector in (
            SO100_REACH.rest_joint_pos,
            SO100_REACH.joint_noise,
            SO100_REACH.joint_lower,
            SO100_REACH.joint_upper,
        )
    }
    assert lengths == {len(SO100_REACH.joint_names)}
    assert set(SO100_REACH.held_joints) <= set(SO100_REACH.joint_names)


def test_description_needs_no_simulator() -> None:
    """Importing the task's description loads neither torch nor a simulator."""
    code = "import sys, policy_port.tasks.reach; print({'torch', 'mani_skill', 'gymnasium'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
