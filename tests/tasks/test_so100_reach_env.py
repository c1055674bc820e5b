"""The reach task in ManiSkill, on CPU physics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from policy_port.errors import TaskError
from policy_port.tasks.reach import SO100_REACH

# gymnasium and SAPIEN warn about their own use of others.
pytestmark = pytest.mark.filterwarnings("ignore")


def _zero_action() -> torch.Tensor:
    return torch.zeros(1, 6)


def test_observation_is_joint_pos_then_target_then_goal(env: Any) -> None:
    """The flat observation is joint positions, controller target and goal, in this order, and nothing else."""
    env.reset(seed=4)
    observation, *_ = env.step(torch.full((1, 6), 0.5))
    robot = env.agent.robot
    controller_target = torch.stack([joint.drive_target.reshape(-1) for joint in robot.active_joints], dim=1)
    terms = (robot.get_qpos(), controller_target, env.goal_marker.pose.p)
    assert torch.equal(observation, torch.cat(terms, dim=1))


def test_joint_order_and_limits_are_the_robots(env: Any) -> None:
    """The task names the joints in the simulator's order, with the simulator's limits."""
    robot = env.agent.robot
    assert tuple(joint.name for joint in robot.active_joints) == SO100_REACH.joint_names
    limits = robot.get_qlimits()[0].numpy()
    assert limits[:, 0] == pytest.approx(np.array(SO100_REACH.joint_lower), abs=1e-5)
    assert limits[:, 1] == pytest.approx(np.array(SO100_REACH.joint_upper), abs=1e-5)


def test_rates_are_the_tasks(env: Any) -> None:
    """Physics runs at 100 Hz and control at the task's frequency."""
    assert (env.sim_freq, env.control_freq) == (100, SO100_REACH.control_frequency)


@pytest.mark.parametrize("seed", [0, 99, 123_456])
def test_seed_starts_the_tasks_episode(env: Any, seed: int) -> None:
    """reset(seed=s) starts episode s: its pose, its goal, and a target equal to the pose."""
    joint_pos, goal = SO100_REACH.episode(seed)
    observation, _ = env.reset(seed=seed)
    assert observation[0].numpy() == pytest.approx(np.concatenate([joint_pos, joint_pos, goal]), abs=1e-6)
    assert env.episode_seeds.tolist() == [seed]


def test_episode_seeds_option_takes_precedence(env: Any) -> None:
    """options["episode_seeds"] chooses the episode, whatever the seed."""
    observation, _ = env.reset(seed=1, options={"episode_seeds": [7]})
    assert observation[0, 12:].numpy() == pytest.approx(SO100_REACH.episode(7)[1], abs=1e-6)


def test_episode_seeds_must_match_the_environments(env: Any) -> None:
    """Too many seeds are an error that says how many are wanted."""
    with pytest.raises(TaskError, match=r"episode_seeds holds 2 seeds, but 1 environments"):
        env.reset(options={"episode_seeds": [1, 2]})


def test_resets_without_seed_are_new_and_reproducible(env: Any) -> None:
    """Resets that follow a seed give new episodes, the same ones each time."""

    def three() -> list[int]:
        seeds = []
        for seed in (11, None, None):
            env.reset(seed=seed)
            seeds += env.episode_seeds.tolist()
        return seeds

    first = three()
    assert len(set(first)) == 3
    assert three() == first


def test_success_is_being_at_the_goal_now(env: Any) -> None:
    """Success holds with the goal within 0.02 m of the tip, not a millimetre farther, and does not end the episode."""
    env.reset(seed=2)
    direction = torch.tensor([[0.6, 0.0, 0.8]])
    for distance, arrived in ((0.0, True), (0.0195, True), (0.0205, False)):
        env.goal[:] = env.tip_pos + distance * direction
        result = env.evaluate()
        assert bool(result["success"]) is arrived
        assert float(result["distance"]) == pytest.approx(distance, abs=1e-6)
    env.goal[:] = env.tip_pos
    _, _, terminated, truncated, info = env.step(_zero_action())
    assert bool(info["success"])
    assert not bool(terminated)
    assert not bool(truncated)


def test_tip_is_between_the_jaw_tips(env: Any) -> None:
    """The tip is the midpoint of the two tip links, in the base frame."""
    env.reset(seed=3)
    links = [env.agent.robot.links_map[name].pose.p for name in ("Fixed_Jaw_tip", "Moving_Jaw_tip")]
    assert torch.allclose(env.tip_pos, sum(links) / 2)


def test_base_frame_is_the_world_frame(env: Any) -> None:
    """The base stands at the origin, unrotated, so positions in the world are positions in the base frame."""
    env.reset(seed=3)
    pose = torch.cat([env.agent.robot.pose.p, env.agent.robot.pose.q], dim=1)[0]
    assert pose.numpy() == pytest.approx([0, 0, 0, 1, 0, 0, 0], abs=1e-6)


def test_azimuth_is_the_pan_joint_reversed(env: Any) -> None:
    """With shoulder_pan at 0 the tip is straight ahead (-y); turning the joint by +0.5 rad turns it to azimuth -0.5."""
    env.reset(seed=0)
    for pan in (0.0, 0.5):
        pose = torch.tensor(SO100_REACH.start_joint_pos, dtype=torch.float32)[None]
        pose[0, 0] = pan
        env.agent.robot.set_qpos(pose)
        x, y, _ = env.tip_pos[0].tolist()
        azimuth = np.arctan2(x - SO100_REACH.pan_axis_xy[0], SO100_REACH.pan_axis_xy[1] - y)
        assert azimuth == pytest.approx(-pan, abs=1e-4)


def test_action_moves_the_target_by_a_twentieth_of_a_radian(env: Any) -> None:
    """Action 1 adds 0.05 rad to the target (gripper 0.2 rad), and larger actions add no more."""
    env.reset(seed=5)
    before = env.joint_target.clone()
    env.step(torch.full((1, 6), 3.0))
    moved = (env.joint_target - before)[0].numpy()
    assert moved == pytest.approx([0.05] * 5 + [0.2], abs=1e-6)


def test_target_is_never_clamped(env: Any) -> None:
    """A target driven past the joint limit goes on past it: what drives the arm has to keep it inside."""
    env.reset(seed=6)
    action = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    for _ in range(60):
        env.step(action)
    assert float(env.joint_target[0, 0]) > SO100_REACH.joint_upper[0] + 0.9
    assert float(env.agent.robot.get_qpos()[0, 0]) <= SO100_REACH.joint_upper[0] + 0.01


def test_gravity_does_not_bend_the_arm(env: Any) -> None:
    """Held for a second, the arm stays where it is: its gravity is switched off."""
    observation, _ = env.reset(seed=8)
    start = observation[0, :6].clone()
    for _ in range(20):
        observation, *_ = env.step(_zero_action())
    assert observation[0, :6].numpy() == pytest.approx(start.numpy(), abs=1e-4)


def test_reward_grows_towards_the_goal(env: Any) -> None:
    """With equal actions, being nearer pays more, and one step pays at most 1."""
    env.reset(seed=9)
    rewards = []
    for distance in (0.3, 0.1, 0.02, 0.0):
        env.goal[:] = env.tip_pos + torch.tensor([[distance, 0.0, 0.0]])
        _, reward, *_ = env.step(_zero_action())
        rewards.append(float(reward))
    assert rewards == sorted(rewards)
    assert rewards[-1] <= 1.0
