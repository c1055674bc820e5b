"""One process per environment, because PhysX on the CPU steps a single ManiSkill environment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from policy_port.replay.env_episodes import EnvEpisode, EnvJob, EpisodeRunner

_runner: EpisodeRunner | None = None


def in_processes(
    job: EnvJob, seeds: Sequence[int], processes: int
) -> tuple[dict[str, Any], Iterator[EnvEpisode], Callable[[], None]]:
    """Do one episode per seed in several processes.

    Returns:
        What there is to say about the environment, the episodes in the order of the seeds, and what to call at the
        end, however it came.
    """
    # Not fork: graphics drivers and PhysX do not survive it.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        about = pool.submit(_about, job).result()
        episodes = pool.map(_episode, [job] * len(seeds), seeds)
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    return about, episodes, lambda: pool.shutdown(cancel_futures=True)


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
