"""Episodes that several processes do; here threads stand in for them, which start at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from policy_port.replay import env_workers


class Runner:
    """Its first episode ends after all others."""

    about = "an environment"

    def __init__(self, seeds: list[int]) -> None:
        self.left, self.last = set(seeds[1:]), threading.Event()

    def run(self, seeds: list[int]) -> list[str]:
        self.left -= {*seeds}
        if not self.left:
            self.last.set()
        if seeds[0] == 7:
            assert self.last.wait(10.0)
        return [f"episode {seed}" for seed in seeds]


def test_episodes_come_in_the_order_of_their_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever ends first, and each once."""
    seeds, job = [7, 3, 5, 4], object()
    monkeypatch.setattr(env_workers, "ProcessPoolExecutor", lambda count, **_: ThreadPoolExecutor(count))
    monkeypatch.setattr(env_workers, "_runner", Runner(seeds))
    found: Any = env_workers.in_processes(job, seeds, 2)  # type: ignore[arg-type]
    with found as (about, episodes):
        assert (about, list(episodes)) == ("an environment", [f"episode {seed}" for seed in seeds])
