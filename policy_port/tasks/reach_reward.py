"""What a step of the reach task is worth, in whatever it is simulated."""

from __future__ import annotations

import torch

from policy_port.tasks.reach import ReachTask


class ReachReward:
    """Rewards closeness to the goal; charges large and jerky actions, idle joints, limits and a low tip."""

    largest = 2.0
    """Reward of a step at the goal in which nothing is charged."""

    lowest_tip = 0.04
    """Height below which the tip is charged [m]."""

    limit_guard = 0.02
    """Distance from the joint limits at which targets begin to be charged [rad]."""

    def __init__(self, task: ReachTask, device: torch.device | str = "cpu") -> None:
        """Prepare the reward of `task` on `device`."""
        self._success_distance = task.success_distance
        self._lower = torch.tensor(task.joint_lower, device=device) + self.limit_guard
        self._upper = torch.tensor(task.joint_upper, device=device) - self.limit_guard
        self._held = [task.joint_names.index(name) for name in task.held_joints]
        start = torch.tensor(task.start_joint_pos, dtype=torch.float32, device=device)
        self._held_pos = start[self._held]

    def __call__(
        self,
        *,
        tip_pos: torch.Tensor,
        goal: torch.Tensor,
        joint_target: torch.Tensor,
        action: torch.Tensor,
        last_action: torch.Tensor,
    ) -> torch.Tensor:
        """Return the reward of one control step, shape (num_envs,).

        Args:
            tip_pos: Tip after the step [m], shape (num_envs, 3).
            goal: Goal [m], shape (num_envs, 3).
            joint_target: Controller target after the step [rad], shape (num_envs, 6).
            action: Action of the step, not clipped, shape (num_envs, 6).
            last_action: Action of the step before, shape (num_envs, 6).
        """
        distance = torch.linalg.norm(tip_pos - goal, dim=1)
        near = 1.0 - torch.tanh(distance / 0.15)
        exact = torch.exp(-distance / self._success_distance)
        motion = 0.01 * action.square().sum(dim=1) + 0.02 * (action - last_action).square().sum(dim=1)
        return near + exact - motion - self._safety_cost(tip_pos, joint_target)

    def _safety_cost(self, tip_pos: torch.Tensor, joint_target: torch.Tensor) -> torch.Tensor:
        # The terms saturate: a target that nothing clamps can wander radians away while the policy still explores,
        # and would otherwise drown the goal.
        above = (joint_target - self._upper).clamp(min=0)
        below = (self._lower - joint_target).clamp(min=0)
        beyond = torch.tanh((above + below) / 0.1).sum(dim=1)
        idle = torch.tanh((joint_target[:, self._held] - self._held_pos).abs() / 0.3).sum(dim=1)
        low = torch.tanh((self.lowest_tip - tip_pos[:, 2]).clamp(min=0) / 0.02)
        return beyond + 0.3 * idle + low
