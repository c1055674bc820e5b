"""What training asks for: more than the task on every side, with noise."""

import dataclasses

import torch

from policy_port.tasks.reach import SO100_REACH

# Wider than the task on every side, so that the task lies well inside of what the policy has seen.
TRAINING_TASK = dataclasses.replace(
    SO100_REACH,
    joint_noise=(0.8, 0.45, 0.45, 0.45, 0.15, 0.04),
    goal_radius=(0.18, 0.36),
    goal_azimuth=(-1.0, 1.0),
    goal_height=(0.05, 0.24),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Randomization:
    """What differs from step to step and from episode to episode in training."""

    joint_pos_noise: float = 0.005
    """Standard deviation of the noise on observed joint positions [rad]."""

    drive_gain_range: float = 0.2
    """Stiffness and damping are scaled, each on its own, by up to 1 -+ this."""


def final_figures(distance: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what the progress shows of episodes that ended at these distances [m], shape (n,)."""
    success = (distance <= SO100_REACH.success_distance).float()
    return {"/final_distance": distance.mean(), "/success": success.mean()}
