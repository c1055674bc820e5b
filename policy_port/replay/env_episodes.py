"""Episodes of a ManiSkill environment with a policy at the controls, as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from policy_port.control.controller import explain
from policy_port.control.pilot import Pilot
from policy_port.control.policy import NonFiniteError
from policy_port.errors import MissingDependencyError, TaskError, closest
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


@dataclass(frozen=True, kw_only=True)
class EnvEpisode:
    """One episode."""

    ended: Episode
    """How it ended."""
    arrays: dict[str, np.ndarray]
    """What was recorded, by name, shape (steps, ...)."""
    frames: list[np.ndarray]
    """Pictures, one per step, where the job asks for them."""


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
        self._env = _make(job, num_envs)
        self._inner: Any = self._env.unwrapped
        try:
            _check(job, self._inner)
            self._policy = job.pilot.open(num_envs)
        except BaseException:
            self.close()
            raise
        self.about: dict[str, Any] = {
            "simulator": f"maniskill {version('mani_skill')}, sapien {version('sapien')}, {job.sim_backend}",
            "actuation": f"the environment's controller {self._inner.control_mode} (implicit drives)",
            "timestep": 1.0 / self._inner.sim_freq,
            "decimation": self._inner.sim_freq // self._inner.control_freq,
            "joint_names": [joint.name for joint in self._inner.agent.robot.active_joints],
        }
        """Simulator, actuation, rates and joint names of the environment."""

    def run(self, seeds: Sequence[int]) -> list[EnvEpisode]:
        """Do one episode per seed, at most as many as there are rows.

        Raises:
            TaskError: When the environment tells no success, never ends, or an observation is not finite.
        """
        count = len(seeds)
        padded = [*seeds, *[seeds[-1]] * (self._num_envs - count)]
        observation, _ = self._env.reset(seed=padded if self._num_envs > 1 else padded[0])
        self._policy.reset()
        info = self._inner.evaluate()
        running = np.ones(self._num_envs, dtype=np.bool_)
        once = np.zeros(self._num_envs, dtype=np.bool_)
        last: list[dict[str, Any]] = [{} for _ in range(self._num_envs)]
        steps: list[list[dict[str, Any]]] = [[] for _ in range(self._num_envs)]
        frames: list[np.ndarray] = []
        for step in range(LONGEST):
            moment = self._decide(observation, info, step)
            for row in np.flatnonzero(running[:count]):
                steps[row].append({name: value[row].copy() for name, value in moment.items()})
            if self._job.draw_seed in seeds:
                frames.append(_array(self._env.render())[seeds.index(self._job.draw_seed)])
            # A copy, because the buffer belongs to the policy's next step.
            observation, _, terminated, truncated, info = self._env.step(self._command(moment["action"]))
            if "success" not in info:
                raise TaskError(
                    f"{self._job.env_id}: does not tell whether an episode succeeded, so nothing can be said"
                )
            target = self._target()
            for row in np.flatnonzero(running[:count]):
                steps[row][-1]["target"] = target[row]
            once |= running & _array(info["success"]).astype(np.bool_)
            ended = running & (_array(terminated) | _array(truncated)).astype(np.bool_)
            for row in np.flatnonzero(ended):
                last[row] = {name: _array(info[name])[row] for name in ("success", "distance") if name in info}
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
            )
            for row, seed in enumerate(seeds)
        ]

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _decide(self, observation: Any, info: dict[str, Any], step: int) -> dict[str, np.ndarray]:
        """Run the policy; return what is worth recording of this moment, rows first."""
        self._policy.observation[...] = _array(observation)
        if self._contract.observation.clip is not None:
            np.clip(self._policy.observation, *self._contract.observation.clip, out=self._policy.observation)
        try:
            action = self._policy.act()
        except NonFiniteError as cause:
            raise TaskError(f"{self._job.env_id}: {explain(cause, self._contract)}") from None
        robot = self._inner.agent.robot
        moment = {
            "time": np.full(self._num_envs, step * self._contract.control_dt),
            "joint_pos": _array(robot.get_qpos()).astype(np.float64),
            "joint_vel": _array(robot.get_qvel()).astype(np.float64),
            "observation": self._policy.observation,
            "action": action,
        }
        if "distance" in info:
            moment["tip_distance"] = _array(info["distance"]).astype(np.float64)
        return moment

    def _target(self) -> np.ndarray:
        """Joint position targets that the last action has set [rad or m], shape (num_envs, joints)."""
        joints = self._inner.agent.robot.active_joints
        return np.stack([_array(joint.drive_target).reshape(-1) for joint in joints], axis=1).astype(np.float64)

    def _command(self, action: np.ndarray) -> np.ndarray:
        bounds = self._contract.action.raw_clip
        return np.clip(action, *bounds) if bounds is not None else action.copy()


def _make(job: EnvJob, num_envs: int) -> Any:
    try:
        import gymnasium as gym
        import mani_skill.envs  # noqa: F401  registers ManiSkill's tasks
        from mani_skill.utils.registration import REGISTERED_ENVS

        import policy_port.tasks.so100_reach_env  # noqa: F401  registers the project's own task
    except ModuleNotFoundError as cause:
        raise MissingDependencyError(
            f"--env needs the Python package {cause.name}, which is not installed: pip install 'policy-port[sim]'"
        ) from None
    if job.env_id not in REGISTERED_ENVS:
        hint = closest(job.env_id, REGISTERED_ENVS) or "."
        raise TaskError(f"ManiSkill has no environment '{job.env_id}'{hint} It has {len(REGISTERED_ENVS)} others")
    options: dict[str, Any] = {"control_mode": job.control_mode} if job.control_mode is not None else {}
    try:
        with warnings.catch_warnings():
            # gymnasium warns about habits of ManiSkill that no user can change.
            warnings.simplefilter("ignore")
            return gym.make(
                job.env_id,
                num_envs=num_envs,
                obs_mode="state",
                sim_backend=job.sim_backend,
                render_backend="none" if job.draw_seed is None else _render_backend(),
                render_mode=None if job.draw_seed is None else "rgb_array",
                **options,
            )
    except (RuntimeError, OSError) as cause:
        raise MissingDependencyError(
            f"{job.env_id}: ManiSkill can't start with {job.sim_backend}: {cause}. `policy-port doctor` says what "
            "would mend it"
        ) from cause


def _render_backend() -> str:
    import sapien

    try:
        sapien.Device("cuda")
    except RuntimeError:
        return "cpu"
    return "gpu"


def _check(job: EnvJob, env: Any) -> None:
    """Hold the environment's joints, widths and rate against the contract; an environment goes by index, not name."""
    contract = job.pilot.contract
    names = tuple(joint.name for joint in env.agent.robot.active_joints)
    if names != contract.joint_names:
        raise TaskError(
            f"{job.env_id}: its robot's joints are {', '.join(names)}, contract '{contract.name}' has "
            f"{', '.join(contract.joint_names)}. Name the mapping that the port was made with by --through, or make a "
            f"contract of the environment with `policy-port contract import --env {job.env_id}`"
        )
    reads = int(np.prod(env.single_observation_space.shape))
    writes = int(np.prod(env.single_action_space.shape))
    if reads != contract.observation_size:
        raise TaskError(
            f"{job.env_id}: observes {reads} numbers, contract '{contract.name}' describes "
            f"{contract.observation_size}: {contract.widths()}. Play another environment, or name the mapping with "
            "--through"
        )
    if writes != contract.action_size:
        raise TaskError(
            f"{job.env_id}: takes {writes} actions under {env.control_mode}, contract '{contract.name}' gives "
            f"{contract.action_size}: {', '.join(contract.action_joint_names)}. Name another controller with "
            "--control-mode"
        )
    if abs(contract.control_dt * env.control_freq - 1.0) > 1e-6:
        raise TaskError(
            f"{job.env_id}: runs at {env.control_freq} Hz, contract '{contract.name}' at {1 / contract.control_dt:g} Hz"
        )


def _array(value: Any) -> np.ndarray:
    """A torch tensor on whatever device, or an array, as an array."""
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value)
