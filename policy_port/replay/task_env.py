"""Replay in a ManiSkill task environment, which computes the observations itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.files import write_atomic
from policy_port.port.pilot import Pilot
from policy_port.replay.env_cameras import FIRST_FRAMES
from policy_port.replay.env_cameras import UNITS as IMAGE_UNITS
from policy_port.replay.env_episodes import EnvEpisode, EnvJob, EpisodeRunner
from policy_port.replay.env_workers import in_processes
from policy_port.replay.recording import UNITS, policy_identity, trace_header
from policy_port.replay.result import Result, episode_metrics
from policy_port.trace import Recorder


def replay_in_env(
    pilot: Pilot,
    env_id: str,
    *,
    seed: int,
    episodes: int,
    num_envs: int,
    sim_backend: str,
    control_mode: str | None,
    trace: Path,
    on_episode: Callable[[], object] = lambda: None,
    on_frame: Callable[[np.ndarray], None] | None = None,
) -> Result:
    """Let a policy perform the episodes of a task environment.

    On physx_cpu an environment is a process of its own, and a result does not depend on their number. On physx_cuda
    all environments are one batch.

    Args:
        pilot: The policy; its contract must describe the environment's observation.
        env_id: Name under which the environment is registered.
        seed: Seed of the first episode; episode e has seed + e.
        episodes: Number of episodes.
        num_envs: Number of environments.
        sim_backend: "physx_cpu" or "physx_cuda".
        control_mode: One of the environment's controllers; its own default, if None.
        trace: The .npz to record.
        on_episode: Called after each episode.
        on_frame: Called with each picture of the first episode; nothing is drawn, if None.

    Raises:
        TaskError: When there is no such environment, or the policy's contract does not fit it.
        MissingDependencyError: When ManiSkill, or a driver or library that it needs, is not here.
    """
    job = EnvJob(
        env_id=env_id,
        pilot=pilot,
        control_mode=control_mode,
        sim_backend=sim_backend,
        draw_seed=seed if on_frame is not None else None,
    )
    num_envs = min(num_envs, episodes)
    seeds = list(range(seed, seed + episodes))
    if sim_backend == "physx_cuda" or num_envs == 1:
        runner = EpisodeRunner(job, num_envs)
        about = runner.about
        ended = (episode for start in range(0, episodes, num_envs) for episode in runner.run(seeds[start:][:num_envs]))
        close = runner.close
    else:
        about, ended, close = in_processes(job, seeds, num_envs)
    found: list[EnvEpisode] = []
    header = trace_header(
        pilot.contract,
        simulator=about["simulator"],
        timestep=float(about["timestep"]),
        decimation=int(about["decimation"]),
        actuation=about["actuation"],
        joint_names=about["joint_names"],
        **policy_identity(pilot.onnx),
        **_more(pilot, about["images"]),
    )
    try:
        with Recorder(trace, header) as recorder:
            for number, episode in enumerate(ended):
                _record(recorder, number, episode.arrays)
                if number == 0 and episode.first_frames:
                    write_atomic(trace.with_name(FIRST_FRAMES), _side_by_side(episode.first_frames))
                for frame in episode.frames if on_frame is not None else ():
                    on_frame(frame)  # type: ignore[misc]
                found.append(EnvEpisode(ended=episode.ended, arrays={}, frames=[], first_frames={}))
                on_episode()
            where = [{"seed": episode.ended.seed, "env": 0, "episode": n} for n, episode in enumerate(found)]
            recorder.close(episodes=where)
    finally:
        close()
    period = f"{pilot.contract.control_dt:g} s per control step"
    setting = {
        "simulator": str(about["simulator"]),
        "actuation": str(about["actuation"]),
        "timestep": f"{about['timestep']:g} s x {about['decimation']} = {period}",
        "task": env_id,
        "seeds": f"{seed} to {seed + episodes - 1}",
    }
    done = tuple(episode.ended for episode in found)
    return Result(setting=setting, metrics=episode_metrics(done), episodes=done)


def _more(pilot: Pilot, images: list[dict[str, Any]]) -> dict[str, Any]:
    """Entries of the header for policies that see, and for those that answer with chunks."""
    found: dict[str, Any] = {}
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
