"""The arm as joints that follow their targets with a first-order lag: thousands of times faster than physics."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from transforms3d.euler import euler2mat

from policy_port.errors import RobotError
from policy_port.tasks.reach import ReachTask
from so100_training.task import TRAINING_TASK, Randomization, final_figures

# Of ManiSkill's so100 with its controller pd_joint_target_delta_pos, for the first stage.
DRIVE_STIFFNESS = 1000.0
DRIVE_DAMPING = 100.0
ACTION_SCALE = (0.05, 0.05, 0.05, 0.05, 0.05, 0.2)


def _attributes(joint: ElementTree.Element, tag: str) -> dict[str, str]:
    """Return the attributes of a joint's child element; a joint of a robot description has it or is malformed."""
    element = joint.find(tag)
    if element is None:
        raise RobotError(f"joint {joint.get('name')!r} has no <{tag}>. The robot description is malformed.")
    return element.attrib


class ArmKinematics:
    """Tip position of a batch of joint positions, from a robot description (URDF)."""

    def __init__(self, urdf: Path, task: ReachTask) -> None:
        """Read the joints that lead to the task's tip links."""
        joints = {_attributes(joint, "child")["link"]: joint for joint in ElementTree.parse(urdf).iter("joint")}
        self._chains = [self._chain(joints, link, task.joint_names) for link in task.tip_links]

    def _chain(
        self, joints: dict[str, ElementTree.Element], link: str, names: tuple[str, ...]
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, int]]:
        """Return offset, rotation, cross-product matrix of the axis (None when fixed) and joint index, base first."""
        chain = []
        while link in joints:
            joint = joints[link]
            origin = _attributes(joint, "origin")
            offset = np.array(origin["xyz"].split(), dtype=float)
            rotation = euler2mat(*np.array(origin["rpy"].split(), dtype=float), axes="sxyz")
            skew, index = None, -1
            if joint.attrib["type"] != "fixed":
                x, y, z = np.array(_attributes(joint, "axis")["xyz"].split(), dtype=float)
                skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float32)
                index = names.index(joint.attrib["name"])
            chain.append((torch.tensor(offset).float(), torch.tensor(rotation).float(), skew, index))
            link = _attributes(joint, "parent")["link"]
        return chain[::-1]

    def tip_pos(self, joint_pos: torch.Tensor) -> torch.Tensor:
        """Return the midpoint of the tip links [m], shape (n, 3), for joint positions [rad], shape (n, 6)."""
        ends = []
        for chain in self._chains:
            position = torch.zeros(len(joint_pos), 3)
            rotation = torch.eye(3).expand(len(joint_pos), 3, 3)
            for offset, fixed, skew, index in chain:
                position = position + rotation @ offset
                rotation = rotation @ fixed
                if skew is not None:
                    angle = joint_pos[:, index, None, None]
                    turn = torch.eye(3) + torch.sin(angle) * skew + (1 - torch.cos(angle)) * (skew @ skew)
                    rotation = rotation @ turn
            ends.append(position)
        return (ends[0] + ends[1]) / 2


class LaggingVecEnv(VecEnv):
    """The reach task on joints that follow their targets with a first-order lag, all environments in one batch.

    A drive of stiffness k and damping d that outweighs the link's inertia closes 1 - exp(-k / d * t) of the
    distance to its target in the time t.
    """

    def __init__(self, *, num_envs: int, seed: int, first_episode_seed: int) -> None:
        """Start `num_envs` episodes of the training task."""
        from mani_skill.agents.robots.so100.so_100 import SO100

        from policy_port.tasks.reach_reward import ReachReward

        self.num_envs = num_envs
        self.num_actions = len(TRAINING_TASK.joint_names)
        self.max_episode_length = TRAINING_TASK.episode_steps
        self.device = "cpu"
        self.cfg = {}
        self._task = TRAINING_TASK
        self._kinematics = ArmKinematics(Path(str(SO100.urdf_path)), TRAINING_TASK)
        self._reward = ReachReward(TRAINING_TASK)
        self._randomization = Randomization()
        self._rng = torch.Generator().manual_seed(seed)
        self._episode_seed = first_episode_seed
        self._lower = torch.tensor(TRAINING_TASK.joint_lower)
        self._upper = torch.tensor(TRAINING_TASK.joint_upper)
        self._joint_pos = torch.zeros(num_envs, self.num_actions)
        self._target = torch.zeros(num_envs, self.num_actions)
        self._last_action = torch.zeros(num_envs, self.num_actions)
        self._goal = torch.zeros(num_envs, 3)
        self._follow = torch.zeros(num_envs, 1)
        self.episode_length_buf = torch.randint(0, self.max_episode_length, (num_envs,), generator=self._rng)
        self._restart(torch.ones(num_envs, dtype=torch.bool))

    def _restart(self, which: torch.Tensor) -> None:
        count = int(which.sum())
        episodes = [self._task.episode(self._episode_seed + index) for index in range(count)]
        self._episode_seed += count
        self._joint_pos[which] = torch.tensor(np.stack([pose for pose, _ in episodes]), dtype=torch.float32)
        self._goal[which] = torch.tensor(np.stack([goal for _, goal in episodes]), dtype=torch.float32)
        self._target[which] = self._joint_pos[which]
        self._last_action[which] = 0.0
        span = self._randomization.drive_gain_range
        stiffness, damping = 1 + span * (2 * torch.rand(2, count, 1, generator=self._rng) - 1)
        rate = DRIVE_STIFFNESS / DRIVE_DAMPING * stiffness / damping
        self._follow[which] = 1 - torch.exp(-rate / self._task.control_frequency)

    def get_observations(self) -> TensorDict:
        """Return the current observations."""
        noise = torch.randn(self._joint_pos.shape, generator=self._rng) * self._randomization.joint_pos_noise
        observation = torch.cat([self._joint_pos + noise, self._target, self._goal], dim=1)
        return TensorDict({"policy": observation}, batch_size=[self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance all environments by one control step."""
        self._target = self._target + actions.clamp(-1, 1) * torch.tensor(ACTION_SCALE)
        self._joint_pos = self._joint_pos + self._follow * (self._target - self._joint_pos)
        self._joint_pos = torch.maximum(torch.minimum(self._joint_pos, self._upper), self._lower)
        tip_pos = self._kinematics.tip_pos(self._joint_pos)
        reward = self._reward(
            tip_pos=tip_pos,
            goal=self._goal,
            joint_target=self._target,
            action=actions,
            last_action=self._last_action,
        )
        self._last_action = actions.clone()
        self.episode_length_buf = self.episode_length_buf + 1
        done = self.episode_length_buf >= self.max_episode_length
        extras: dict[str, Any] = {"time_outs": done.float(), "log": {}}
        if done.any():
            extras["log"] = final_figures(torch.linalg.norm(tip_pos - self._goal, dim=1)[done])
            self.episode_length_buf[done] = 0
            self._restart(done)
        return self.get_observations(), reward / self._reward.largest, done.long(), extras
