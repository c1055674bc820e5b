"""Replay in a ManiSkill task environment, which computes the observations itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.dynamics.document import Dynamics
from policy_port.files import write_atomic
from policy_port.port.pilot import Pilot
from policy_port.replay.env_cameras import FIRST_FRAMES
from policy_port.replay.env_cameras import UNITS as IMAGE_UNITS
from policy_port.replay.env_episodes import EnvEpisode, EnvJob, EpisodeRunner
from policy_port.replay.env_workers import in_processes
from policy_port.replay.recording import UNITS, policy_identity, setting_of, trace_header
from policy_port.replay.result import Episode, Result, episode_metrics
from policy_port.trace import Recorder


def replay_in_env(
    job: EnvJob,
    seeds: Sequence[int],
    *,
    num_envs: int,
    trace: Path,
    on_episode: Callable[[], object] = lambda: None,
    on_frame: Callable[[np.ndarray], None] = lambda frame: None,
) -> Result:
    """Let a policy perform the episodes of a task environment.

    On physx_cpu an environment is a process of its own, and a result does not depend on their number. On physx_cuda
    all environments are one batch.

    Args:
        job: The environment and the policy, whose contract must describe the environment's observation.
        seeds: Seed of each episode.
        num_envs: Number of environments.
        trace: The .npz to record.
        on_episode: Called after each episode.
        on_frame: Called with each picture of the episode that the job draws.

    Raises:
        TaskError: When there is no such environment, or the policy's contract does not fit it.
        MissingDependencyError: When ManiSkill, or a driver or library that it needs, is not here.
    """
    pilot = job.pilot
    done: list[Episode] = []
    with _performed(job, seeds, min(num_envs, len(seeds))) as (about, ended):
        header = trace_header(
            pilot.contract,
            simulator=about["simulator"],
            timestep=float(about["timestep"]),
            decimation=int(about["decimation"]),
            actuation=about["actuation"],
            joint_names=about["joint_names"],
            **policy_identity(pilot),
            **_more(pilot, about["images"], job.dynamics),
        )
        with Recorder(trace, header) as recorder:
            for number, episode in enumerate(ended):
                _record(recorder, number, episode.arrays)
                if number == 0 and episode.first_frames:
                    write_atomic(trace.with_name(FIRST_FRAMES), _side_by_side(episode.first_frames))
                for frame in episode.frames:
                    on_frame(frame)
                done.append(episode.ended)
                on_episode()
            recorder.close(episodes=[{"seed": one.seed, "env": 0, "episode": n} for n, one in enumerate(done)])
    on_gpu = {"policy": where} if (where := about.get("policy", "")) else {}
    setting = {**setting_of(header), **on_gpu, "task": job.env_id, "seeds": f"{seeds[0]} to {seeds[-1]}"}
    return Result(setting=setting, metrics=episode_metrics(tuple(done)), episodes=tuple(done))


@contextlib.contextmanager
def _performed(
    job: EnvJob, seeds: Sequence[int], num_envs: int
) -> Iterator[tuple[dict[str, Any], Iterator[EnvEpisode]]]:
    """What there is to say about the environment, and the episodes in the order of the seeds."""
    if job.sim_backend != "physx_cuda" and num_envs > 1:
        with in_processes(job, seeds, num_envs) as found:
            yield found
        return
    kind: type[EpisodeRunner] = EpisodeRunner
    where = ""
    if job.sim_backend == "physx_cuda":
        from policy_port.replay.env_tensors import TensorEpisodes, why_on_the_host

        why = why_on_the_host(job.pilot)
        kind = EpisodeRunner if why else TensorEpisodes
        where = f"ONNX Runtime on the host, as {why}" if why else "torch, on the GPU with the environment"
    with contextlib.closing(kind(job, num_envs)) as runner:
        runner.about["policy"] = where
        starts = range(0, len(seeds), num_envs)
        yield runner.about, (episode for start in starts for episode in runner.run(seeds[start : start + num_envs]))


def _more(pilot: Pilot, images: list[dict[str, Any]], dynamics: Dynamics | None) -> dict[str, Any]:
    """Entries of the header for policies that see or answer with chunks, and for identified dynamics."""
    found: dict[str, Any] = {} if dynamics is None else {**dynamics.identity}
    if images:
        found |= {"images": images, "units": {**UNITS, **IMAGE_UNITS}}
    chunking = pilot.chunking()
    if chunking is not None:
        found["chunks"] = {
            **dataclasses.asdict(chunking),
            "asked": f"at the steps 0, {chunking.steps}, {2 * chunking.steps}, ... of each episode",
        }
    return found


def _side_by_side(frames: dict[str, np.ndarray]) -> bytes:
    """A PNG of what the cameras showed, in the policy's order from the left."""
    import imageio.v3 as imageio

    height = max(len(frame) for frame in frames.values())
    padded = [np.pad(frame, ((0, height - len(frame)), (0, 0), (0, 0))) for frame in frames.values()]
    return imageio.imwrite("<bytes>", np.concatenate(padded, axis=1), extension=".png")


def _record(recorder: Recorder, number: int, arrays: dict[str, np.ndarray]) -> None:
    """Append an episode; environments stand one after the other, as if there had been a single one."""
    for step in range(len(arrays["time"])):
        row: dict[str, Any] = {name: values[step][None] for name, values in arrays.items()}
        recorder.record(episode=np.array([number]), **row)
