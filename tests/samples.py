"""Small contracts for tests, written out by hand."""

from __future__ import annotations

from typing import Any

LEGS = ("left_hip", "left_knee", "right_hip", "right_knee")


def contract_data(**changes: Any) -> dict[str, Any]:
    """A valid contract of a two-legged toy as plain data; top-level keys can be replaced."""
    data: dict[str, Any] = {
        "contract_version": 1,
        "name": "toy",
        "robot": "toy",
        "trained_in": "nowhere",
        "quaternion_order": "wxyz",
        "timestep": 0.005,
        "decimation": 4,
        "base": {"floating": True},
        "actuation": {"kind": "implicit"},
        "joints": {
            name: {"default": 0.1 * (i + 1), "lower": -1.0, "upper": 2.0, "stiffness": 10.0 + i, "damping": 1.0}
            for i, name in enumerate(LEGS)
        },
        "observation": {
            "terms": [
                {"term": "base_ang_vel", "scale": 0.25},
                {"term": "velocity_command", "scale": [2.0, 2.0, 0.25]},
                {"term": "joint_pos_rel"},
                {"term": "joint_pos"},
                {"term": "joint_vel", "scale": 0.05},
                {"term": "last_action"},
                {"term": "gait_phase", "period": 0.8},
            ]
        },
        "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
    }
    return data | changes
