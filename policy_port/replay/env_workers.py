"""One process per environment, because PhysX on the CPU steps a single ManiSkill environment."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from policy_port.replay.env_episodes import EnvEpisode, EnvJob, EpisodeRunner

_runner: EpisodeRunner | None = None


@contextlib.contextmanager
def in_processes(
    job: EnvJob, seeds: Sequence[int], processes: int
) -> Iterator[tuple[dict[str, Any], Iterator[EnvEpisode]]]:
    """Do one episode per seed in several processes, which end with the block.

    Yields:
        What there is to say about the environment, and the episodes in the order of the seeds.
    """
    # Not fork: graphics drivers and PhysX do not survive it.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool.submit(_about, job).result(), pool.map(_episode, [job] * len(seeds), seeds)
    finally:
        pool.shutdown(cancel_futures=True)


def _opened(job: EnvJob) -> EpisodeRunner:
    """The process's own environment, opened at its first task."""
    global _runner
    if _runner is None:
        _runner = EpisodeRunner(job, 1)
    return _runner


def _about(job: EnvJob) -> dict[str, Any]:
    return _opened(job).about


def _episode(job: EnvJob, seed: int) -> EnvEpisode:
    return _opened(job).run([seed])[0]
