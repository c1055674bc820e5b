"""Observation layouts that public tasks share, for descriptors that name no terms or say nothing of their meaning.

A layout is never taken unasked: `--layout` is the user's statement that the policy was trained on that task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policy_port.errors import ContractError, closest

HISTORY = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
"""Isaac Lab's history, which mjlab and BeyondMimic share."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the terms of a task's observation are, by the task's names, in the task's order."""

    source: str
    """Where it is written down."""
    terms: dict[str, dict[str, Any]]
    """Term as a contract writes it, by the task's name for it."""

    def term(self, name: str) -> dict[str, Any]:
        """The term that the task calls `name`.

        Raises:
            ContractError: When the task has no such term.
        """
        if name not in self.terms:
            raise ContractError(
                f"observation term '{name}' is not in the layout ({self.source}){closest(name, self.terms) or '.'} "
                f"Its terms are: {', '.join(self.terms)}. Choose another --layout, or take it as numbers of "
                f"its task with --size {name}=N"
            )
        return dict(self.terms[name])


_ANGULAR = {name: {"term": name} for name in ("base_ang_vel", "projected_gravity")}
_BASE = {"base_lin_vel": {"term": "base_lin_vel", "point": "com"}, **_ANGULAR}
"""Isaac Lab's `mdp.base_lin_vel` is the velocity of the base link's centre of mass."""
_MJLAB_BASE = {
    "base_lin_vel": {"term": "base_lin_vel", "point": {"sensor": "imu_lin_vel"}},
    "base_ang_vel": {"term": "base_ang_vel", "frame": {"sensor": "imu_ang_vel"}},
    "projected_gravity": {"term": "projected_gravity"},
}
"""mjlab's tasks read a velocimeter and a gyro of the robot's MJCF."""
_COMMAND = {"term": "velocity_command"}
_JOINTS = {
    "joint_pos": {"term": "joint_pos_rel"},
    "joint_vel": {"term": "joint_vel"},
    "actions": {"term": "last_action"},
}
_MOTION = {
    "command": {"term": "motion_command"},
    **{name: {"term": name} for name in ("motion_anchor_pos_b", "motion_anchor_ori_b")},
}
_DISTANCES = {name: {"term": "external", "name": name, "size": 3} for name in ("ee_to_cube", "cube_to_goal")}

LAYOUTS: dict[str, Layout] = {
    "isaaclab_velocity": Layout(
        source="Isaac Lab's locomotion velocity task on flat ground: 9 + 3 + 3 n numbers, no scales, no history",
        terms={**_BASE, "velocity_commands": _COMMAND, **_JOINTS},
    ),
    "mjlab_velocity": Layout(
        source="mjlab's velocity task: joint_pos is relative to the default",
        terms={**_MJLAB_BASE, **_JOINTS, "command": _COMMAND},
    ),
    "mjlab_tracking": Layout(
        source="mjlab's tracking task: joint_pos is relative to the default, command is the reference motion",
        terms={**_MOTION, **_MJLAB_BASE, **_JOINTS},
    ),
    "mjlab_lift_cube": Layout(
        source="mjlab's cube lifting task: joint_pos is relative to the default, distances are in the base frame",
        terms={**_JOINTS, **_DISTANCES},
    ),
    "beyondmimic": Layout(
        source="BeyondMimic's tracking task: joint_pos is relative to the default, command is the reference motion",
        terms={**_MOTION, **_BASE, **_JOINTS},
    ),
}
"""Layouts by the name that `--layout` takes."""


def find_layout(name: str, allowed: tuple[str, ...]) -> Layout:
    """The layout of that name.

    Raises:
        ContractError: When there is none, or it does not belong to this kind of descriptor.
    """
    if name not in allowed:
        raise ContractError(f"--layout {name}: unknown here{closest(name, allowed) or '.'} Known: {', '.join(allowed)}")
    return LAYOUTS[name]
