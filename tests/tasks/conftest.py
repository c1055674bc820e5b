"""One ManiSkill environment for all tests of the reach task."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def env() -> Iterator[Any]:
    """One environment for all tests; every test resets it."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gymnasium as gym

        from policy_port.tasks.so100_reach_env import ENV_ID

        try:
            made = gym.make(ENV_ID, sim_backend="physx_cpu", render_backend="none", reward_mode="normalized_dense")
        except RuntimeError as error:
            if "rendering device" not in str(error):
                raise
            pytest.skip(f"SAPIEN found no Vulkan driver: {error}")
    yield made.unwrapped
    made.close()
