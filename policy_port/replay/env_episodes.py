"""Episodes of a ManiSkill environment with a policy at the controls, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from policy_port.control.controller import explain
from policy_port.dynamics.document import Dynamics
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import NonFiniteError
from policy_port.replay.env_cameras import EnvCameras, flat_state, observation_mode
from policy_port.replay.env_dynamics import EnvDynamics
from policy_port.replay.open_env import check_fit, open_env, registered, state_parts
from policy_port.replay.result import Episode

LONGEST = 100_000
"""Control steps after which an episode without an end is given up."""


@dataclass(frozen=True, kw_only=True)
class EnvJob:
    """Which environment to open for which policy; plain data that another process can read."""

    env_id: str
    """Name under which the environment is registered."""
    pilot: Pilot
    """The policy."""
    control_mode: str | None
    """One of the environment's controllers; its own default, if None."""
    sim_backend: str
    """"physx_cpu" or "physx_cuda"."""
    draw_seed: int | None
    """Seed of the episode to draw; none is, if None."""
    dynamics: Dynamics | None = None
    """What was identified of the robot; None for the environment's own."""


@dataclass(frozen=True, kw_only=True)
class EnvEpisode:
    """One episode."""

    ended: Episode
    """How it ended."""
    arrays: dict[str, np.ndarray]
    """What was recorded, by name, shape (steps, ...)."""
    frames: list[np.ndarray]
    """Pictures, one per step, where the job asks for them."""
    first_frames: dict[str, np.ndarray]
    """What each camera that the policy reads showed at the start, by its name, shape (height, width, 3)."""


class EpisodeRunner:
    """An open environment of `num_envs` rows and a policy for it."""

    def __init__(self, job: EnvJob, num_envs: int) -> None:
        """Open the environment.

        Raises:
            TaskError: When there is no such environment, or the policy's contract does not fit it.
            MissingDependencyError: When ManiSkill, or a driver or library that it needs, is not here.
        """
        self._job = job
        self._contract = job.pilot.contract
        self._num_envs = num_envs
        self._env, self._cameras = _open(job, num_envs)
        self._inner: Any = self._env.unwrapped
        try:
            parts = state_parts(self._inner, self._inner._init_raw_obs)
            self._columns = check_fit(job.env_id, self._inner, job.pilot.contract, parts)
            self._policy: Any = self._open_policy()
            given = job.dynamics
            self._dynamics = None if given is None else EnvDynamics(job.env_id, self._inner, given, job.sim_backend)
        except BaseException:
            self.close()
            raise
        self.about: dict[str, Any] = {
            "simulator": f"maniskill {version('mani_skill')}, sapien {version('sapien')}, {job.sim_backend}"
            + ("" if job.dynamics is None else f", dynamics {job.dynamics.sha256[:12]}"),
            "actuation": f"the environment's controller {self._inner.control_mode} (implicit drives)",
            "timestep": 1.0 / self._inner.sim_freq,
            "decimation": self._inner.sim_freq // self._inner.control_freq,
            "joint_names": [joint.name for joint in self._inner.agent.robot.active_joints],
            "images": self._cameras.header(),
        }
        """Simulator, actuation, rates, joint names and cameras of the environment."""

    def _open_policy(self) -> Any:
        """The policy, with a row for each environment."""
        return self._job.pilot.open(self._num_envs)

    def run(self, seeds: Sequence[int]) -> list[EnvEpisode]:
        """Do one episode per seed, at most as many as there are rows.

        Raises:
            TaskError: When the environment tells no success, never ends, or an observation is not finite.
        """
        count = len(seeds)
        padded = [*seeds, *[seeds[-1]] * (self._num_envs - count)]
        observation = self._begin(padded)
        info = self._inner.evaluate()
        running = np.ones(self._num_envs, dtype=np.bool_)
        once = np.zeros(self._num_envs, dtype=np.bool_)
        last: list[dict[str, Any]] = [{} for _ in range(self._num_envs)]
        steps: list[list[dict[str, Any]]] = [[] for _ in range(self._num_envs)]
        frames: list[np.ndarray] = []
        first = {name: self._cameras.frames(observation, name) for name in self._cameras.cameras.values()}
        for step in range(LONGEST):
            moment = self._decide(observation, info, step)
            for row in np.flatnonzero(running[:count]):
                steps[row].append({name: value[row].copy() for name, value in moment.items()})
            if self._job.draw_seed in seeds:
                frames.append(as_array(self._env.render())[seeds.index(self._job.draw_seed)])
            # A copy, because the buffer belongs to the policy's next step.
            observation, _, terminated, truncated, info = self._env.step(self._command(moment["action"]))
            if "success" not in info:
                raise TaskError(
                    f"{self._job.env_id}: does not tell whether an episode succeeded, so nothing can be said"
                )
            target = self._target()
            for row in np.flatnonzero(running[:count]):
                steps[row][-1]["target"] = target[row]
            once |= running & as_array(info["success"]).astype(np.bool_)
            ended = running & (as_array(terminated) | as_array(truncated)).astype(np.bool_)
            for row in np.flatnonzero(ended):
                last[row] = {name: as_array(info[name])[row] for name in ("success", "distance") if name in info}
            running &= ~ended
            if not running[:count].any():
                break
        else:
            raise TaskError(f"{self._job.env_id}: an episode has not ended after {LONGEST} steps")
        return [
            EnvEpisode(
                ended=Episode(
                    seed=seed,
                    steps=len(steps[row]),
                    success=bool(last[row]["success"]),
                    final_distance=float(last[row]["distance"]) if "distance" in last[row] else None,
                    success_once=bool(once[row]),
                ),
                arrays={name: np.stack([moment[name] for moment in steps[row]]) for name in steps[row][0]},
                frames=frames[: len(steps[row])] if seed == self._job.draw_seed else [],
                first_frames={name: shown[row].copy() for name, shown in first.items()},
            )
            for row, seed in enumerate(seeds)
        ]

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _begin(self, seeds: list[int]) -> Any:
        """Start an episode in each row; returns what is observed first."""
        import torch

        # Some environments shake their cameras at each step by torch's own generator, which reset leaves alone.
        torch.manual_seed(seeds[0])
        observation, _ = self._env.reset(seed=seeds if self._num_envs > 1 else seeds[0])
        if self._dynamics is not None:
            self._dynamics.apply()
        self._policy.reset()
        return observation

    def _decide(self, observation: Any, info: dict[str, Any], step: int) -> dict[str, np.ndarray]:
        """Run the policy; return what is worth recording of this moment, rows first."""
        self._policy.observation[...] = as_array(flat_state(observation, self._inner.device))[:, self._columns]
        if self._contract.observation.clip is not None:
            np.clip(self._policy.observation, *self._contract.observation.clip, out=self._policy.observation)
        seen = self._cameras.show(observation, self._policy) if self._cameras.cameras else {}
        try:
            action = self._policy.act()
        except NonFiniteError as cause:
            raise TaskError(f"{self._job.env_id}: {explain(cause, self._contract)}") from None
        robot = self._inner.agent.robot
        moment = {
            "time": np.full(self._num_envs, step * self._contract.control_dt),
            "joint_pos": as_array(robot.get_qpos()).astype(np.float64),
            "joint_vel": as_array(robot.get_qvel()).astype(np.float64),
            "observation": self._policy.observation,
            "action": action,
            **seen,
        }
        if "distance" in info:
            moment["tip_distance"] = as_array(info["distance"]).astype(np.float64)
        return moment

    def _target(self) -> np.ndarray:
        """Joint position targets that the last action has set [rad or m], shape (num_envs, joints)."""
        joints = self._inner.agent.robot.active_joints
        return np.stack([as_array(joint.drive_target).reshape(-1) for joint in joints], axis=1).astype(np.float64)

    def _command(self, action: np.ndarray) -> np.ndarray:
        return np.clip(action, *self._contract.raw_bounds)


def _open(job: EnvJob, num_envs: int) -> tuple[Any, EnvCameras]:
    """Open the environment, with the cameras that the contract reads in the sizes that it asks for."""
    env = _make(job, num_envs, {})
    try:
        cameras = EnvCameras(job.env_id, env.unwrapped, job.pilot.contract)
        if (sizes := cameras.options()) is None:
            return env, cameras
    except BaseException:
        env.close()
        raise
    env.close()
    return _make(job, num_envs, {"sensor_configs": sizes}), cameras


def _make(job: EnvJob, num_envs: int, options: dict[str, Any]) -> Any:
    contract, supported = job.pilot.contract, registered(job.env_id).SUPPORTED_OBS_MODES
    draws = job.draw_seed is not None
    return open_env(
        job.env_id,
        control_mode=job.control_mode,
        draws=draws or bool(contract.images),
        num_envs=num_envs,
        obs_mode=observation_mode(job.env_id, supported, contract),
        sim_backend=job.sim_backend,
        render_mode="rgb_array" if draws else None,
        **options,
    )


def as_array(value: Any) -> np.ndarray:
    """A torch tensor on whatever device, or an array, as an array."""
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value)
