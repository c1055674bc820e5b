"""Opening a ManiSkill environment."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")

import gymnasium as gym

from policy_port.replay.open_env import open_env
from policy_port.tasks.so100_reach_env import ENV_ID


def test_an_environment_can_not_change_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """ManiSkill's grasping task puts tensors into its camera's settings, which a training writes into its run."""

    def make(env_id: str, *, base_camera_settings: dict[str, Any], **options: Any) -> str:
        base_camera_settings["pos"] = None
        return env_id

    monkeypatch.setattr(gym, "make", make)
    settings = {"pos": [0.1, 0.2, 0.3]}
    assert open_env(ENV_ID, control_mode=None, draws=False, base_camera_settings=settings) == ENV_ID
    assert settings == {"pos": [0.1, 0.2, 0.3]}
