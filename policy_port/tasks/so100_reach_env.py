"""The reach task as a ManiSkill environment, registered as `PolicyPortSO100Reach-v1`.

Observation in mode "state", shape (num_envs, 15), in this order and nothing else:
`joint_pos` (6) [rad], `joint_target` (6), the controller's current target [rad], `goal` (3) [m, base frame].
All three exist on the real arm as well.

The robot's base pose is the identity, so base frame and world frame coincide (ManiSkill's own keyframes turn the
base by 90 degrees). The controllers are ManiSkill's: action 1 in `pd_joint_target_delta_pos` adds 0.05 rad (gripper
0.2 rad) to the target, and the target is never clamped to the joint limits. Gravity does not act on the arm, because
ManiSkill's agents are compensated by switching it off. The ground is drawn and does not collide.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import sapien
import torch
from mani_skill.agents.controllers.pd_joint_pos import PDJointPosController
from mani_skill.agents.robots.so100.so_100 import SO100
from mani_skill.envs.sapien_env import BaseEnv
from mani_skill.sensors.camera import CameraConfig
from mani_skill.utils import common, sapien_utils
from mani_skill.utils.building import actors
from mani_skill.utils.registration import register_env
from mani_skill.utils.structs.pose import Pose
from mani_skill.utils.structs.types import SimConfig

from policy_port.errors import TaskError
from policy_port.tasks.reach import SO100_REACH, ReachTask
from policy_port.tasks.reach_reward import ReachReward

ENV_ID = "PolicyPortSO100Reach-v1"
"""Name under which the environment is registered."""

SIM_FREQUENCY = 100
"""Physics steps per second [Hz]."""


@register_env(ENV_ID, max_episode_steps=SO100_REACH.episode_steps)
class SO100ReachEnv(BaseEnv):
    """Bring the gripper's tip to a goal and hold it there.

    `reset(seed=s)` starts `ReachTask.episode(s)`. With several environments, ManiSkill derives the seeds after the
    first one from it; pass a list of seeds, or `options={"episode_seeds": [...]}`, to choose each.
    `episode_seeds` holds the ones in use. An episode always lasts all its steps: being at the goal does not end
    it, because the arm has to stay there.
    """

    SUPPORTED_ROBOTS: ClassVar[list[str]] = ["so100"]
    SUPPORTED_OBS_MODES = ("state", "state_dict", "none")
    SUPPORTED_REWARD_MODES = ("dense", "normalized_dense", "sparse", "none")
    agent: SO100

    def __init__(
        self,
        *args: Any,
        task: ReachTask = SO100_REACH,
        robot_uids: str = "so100",
        control_mode: str = "pd_joint_target_delta_pos",
        obs_mode: str = "state",
        **kwargs: Any,
    ) -> None:
        """Build the scene.

        Args:
            *args: Passed on to ManiSkill's `BaseEnv`.
            task: Start poses, goals and limits of the episodes.
            robot_uids: The robot; only ManiSkill's so100 fits the task.
            control_mode: One of the so100's controllers.
            obs_mode: "state" for the flat observation, "state_dict" for its terms by name.
            **kwargs: Passed on to ManiSkill's `BaseEnv`.
        """
        self.task = task
        self.episode_seeds = np.zeros(0, dtype=np.int64)
        self._reset_has_seed = False
        super().__init__(*args, robot_uids=robot_uids, control_mode=control_mode, obs_mode=obs_mode, **kwargs)

    @property
    def _default_sim_config(self) -> SimConfig:
        return SimConfig(sim_freq=SIM_FREQUENCY, control_freq=self.task.control_frequency)

    @property
    def _default_human_render_camera_configs(self) -> CameraConfig:
        pose = sapien_utils.look_at(eye=[0.36, -0.54, 0.30], target=[0.0, -0.15, 0.12])
        return CameraConfig("render_camera", pose, 640, 480, 0.8, 0.01, 10.0)

    def _load_agent(self, options: dict[str, Any]) -> None:
        super()._load_agent(options, sapien.Pose())
        names = tuple(joint.name for joint in self.agent.robot.active_joints)
        if names != self.task.joint_names:
            raise TaskError(
                f"{ENV_ID}: the robot's joints are {', '.join(names)}, but the task is written for "
                f"{', '.join(self.task.joint_names)}. Use robot_uids='so100' or a task for this robot"
            )
        controller = self.agent.controller
        if not isinstance(controller, PDJointPosController):
            raise TaskError(
                f"{ENV_ID}: control_mode {self.agent.control_mode!r} has no joint position target to observe. Use "
                f"pd_joint_target_delta_pos, pd_joint_delta_pos or pd_joint_pos"
            )
        self._controller = controller

    def _load_lighting(self, options: dict[str, Any]) -> None:
        self.scene.set_ambient_light([0.35, 0.35, 0.35])
        self.scene.add_directional_light([-0.6, 0.8, -1.0], [1.2, 1.2, 1.2], shadow=False)

    def _load_scene(self, options: dict[str, Any]) -> None:
        self.goal = torch.zeros((self.num_envs, 3), device=self.device)
        self._last_action = torch.zeros((self.num_envs, len(self.task.joint_names)), device=self.device)
        self._reward = ReachReward(self.task, self.device)
        self.episode_seeds = np.zeros(self.num_envs, dtype=np.int64)
        self._build_ground()
        self.goal_marker = actors.build_sphere(
            self.scene,
            radius=self.task.success_distance,
            color=[0.1, 0.75, 0.25, 1.0],
            name="goal_marker",
            body_type="kinematic",
            add_collision=False,
            initial_pose=sapien.Pose([0.0, 0.0, 0.5]),
        )

    def _build_ground(self) -> None:
        builder: Any = self.scene.create_actor_builder()
        material = sapien.render.RenderMaterial(base_color=[0.34, 0.38, 0.44, 1.0], roughness=0.9)
        builder.add_box_visual(half_size=(3.0, 3.0, 0.01), material=material)
        builder.initial_pose = Pose.create_from_pq(torch.tensor([[0.0, -0.2, -0.01]]))
        builder.build_static(name="ground")

    def reset(
        self, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: Episode seed, or one for each environment.
            options: ManiSkill's options, and `episode_seeds`: one seed for each environment that is reset, which
                takes precedence over `seed`.
        """
        self._reset_has_seed = seed is not None
        return super().reset(seed=seed, options=options)

    def _initialize_episode(self, env_idx: torch.Tensor, options: dict[str, Any]) -> None:
        seeds = self._seeds_for(common.to_numpy(env_idx), options)
        episodes = [self.task.episode(int(seed)) for seed in seeds]
        joint_pos = torch.tensor(np.stack([pose for pose, _ in episodes]), dtype=torch.float32, device=self.device)
        goal = torch.tensor(np.stack([goal for _, goal in episodes]), dtype=torch.float32, device=self.device)
        self.goal[env_idx] = goal
        self._last_action[env_idx] = 0.0
        self.agent.robot.set_pose(sapien.Pose())
        self.agent.reset(joint_pos)
        self.goal_marker.set_pose(Pose.create_from_pq(goal))

    def _seeds_for(self, env_idx: npt.NDArray[np.int64], options: dict[str, Any]) -> npt.NDArray[np.int64]:
        """Return and store the episode seed of each environment that is reset, shape (len(env_idx),)."""
        given = options.get("episode_seeds")
        if given is not None:
            seeds = np.asarray(given, dtype=np.int64).reshape(-1)
            if len(seeds) != len(env_idx):
                raise TaskError(
                    f"{ENV_ID}: reset option episode_seeds holds {len(seeds)} seeds, but {len(env_idx)} environments "
                    f"are reset. Give one seed for each"
                )
        elif self._reset_has_seed or self._enhanced_determinism:
            seeds = np.asarray(self._episode_seed, dtype=np.int64)[env_idx]
        else:
            # ManiSkill keeps the old episode seed when a reset brings none; its random state has moved on.
            seeds = np.asarray(self._batched_episode_rng[env_idx].randint(2**31), dtype=np.int64).reshape(-1)
        self.episode_seeds[env_idx] = seeds
        return seeds

    def step(
        self, action: npt.NDArray[np.float32] | torch.Tensor | None
    ) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance one control step; `action` is in [-1, 1], shape (num_envs, 6) or (6,)."""
        observation, reward, _, truncated, info = super().step(action)
        if action is not None:
            self._last_action[:] = torch.as_tensor(action, device=self.device).reshape(self.num_envs, -1)
        return observation, reward, torch.zeros_like(truncated), truncated, info

    @property
    def joint_target(self) -> torch.Tensor:
        """The controller's current target [rad], shape (num_envs, 6); it may lie beyond the joint limits."""
        # The public controller state has the target only in modes that accumulate it; here every mode needs it.
        target = self._controller._target_qpos
        if target is None:
            raise RuntimeError(f"{ENV_ID}: there is no target before the first reset")
        return torch.as_tensor(target)

    @property
    def tip_pos(self) -> torch.Tensor:
        """Midpoint of the tip links [m], shape (num_envs, 3), base frame."""
        first, second = (self.agent.robot.links_map[name].pose.p for name in self.task.tip_links)
        return (first + second) / 2

    def _get_obs_agent(self) -> dict[str, torch.Tensor]:
        return {"joint_pos": self.agent.robot.get_qpos(), "joint_target": self.joint_target.clone()}

    def _get_obs_extra(self, info: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"goal": self.goal.clone()}

    def evaluate(self) -> dict[str, torch.Tensor]:
        """Return `distance` from tip to goal [m] and whether that is a `success` at this moment, shape (num_envs,)."""
        distance = torch.linalg.norm(self.tip_pos - self.goal, dim=1)
        return {"success": distance <= self.task.success_distance, "distance": distance}

    def compute_dense_reward(self, obs: Any, action: torch.Tensor, info: dict[str, Any]) -> torch.Tensor:
        """Return `ReachReward` of the present state, shape (num_envs,)."""
        return self._reward(
            tip_pos=self.tip_pos,
            goal=self.goal,
            joint_target=self.joint_target,
            action=action,
            last_action=self._last_action,
        )

    def compute_normalized_dense_reward(self, obs: Any, action: torch.Tensor, info: dict[str, Any]) -> torch.Tensor:
        """The dense reward, scaled so that 1 is the most a step can give."""
        return self.compute_dense_reward(obs=obs, action=action, info=info) / ReachReward.largest
