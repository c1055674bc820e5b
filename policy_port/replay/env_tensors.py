"""Episodes of a ManiSkill environment whose tensors stay on its device until they have ended: physx_cuda."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policy_port.control.controller import explain
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import NonFiniteError
from policy_port.port.tensor_policy import TensorPolicy, why_no_tensors
from policy_port.replay.env_cameras import flat_state
from policy_port.replay.env_episodes import LONGEST, EnvEpisode, EpisodeRunner, as_array
from policy_port.replay.result import Episode

LOOK = 10
"""Control steps between two looks from the host at whether all have ended."""


def why_on_the_host(pilot: Pilot) -> str:
    """Why a policy can't run where the environment's tensors are; empty where it can."""
    return "it reads camera images" if pilot.contract.images else why_no_tensors(pilot)


class TensorEpisodes(EpisodeRunner):
    """The same episodes as `EpisodeRunner`'s, observed, decided and recorded on the environment's device."""

    def _open_policy(self) -> TensorPolicy:
        return TensorPolicy(self._job.pilot, self._num_envs, self._inner.device)

    def run(self, seeds: Sequence[int]) -> list[EnvEpisode]:
        """Do one episode per seed, at most as many as there are rows; see `EpisodeRunner.run`."""
        count = len(seeds)
        padded = [*seeds, *[seeds[-1]] * (self._num_envs - count)]
        with torch.inference_mode():
            observation, info = self._begin(padded), self._inner.evaluate()
            running = torch.arange(self._num_envs, device=self._inner.device) < count
            lasted = torch.zeros(self._num_envs, dtype=torch.int64, device=running.device)
            last: dict[str, Tensor] = {"once": torch.zeros_like(running)}
            moments: list[dict[str, Tensor]] = []
            frames: list[np.ndarray] = []
            for step in range(LONGEST):
                moment = self._moment(observation, info, step)
                if self._job.draw_seed in seeds:
                    frames.append(as_array(self._env.render())[seeds.index(self._job.draw_seed)])
                low, high = (torch.as_tensor(each, device=running.device) for each in self._contract.raw_bounds)
                command = moment["action"].clamp(low, high).to(torch.float32)
                observation, _, terminated, truncated, info = self._env.step(command)
                if "success" not in info:
                    raise TaskError(
                        f"{self._job.env_id}: does not tell whether an episode succeeded, so nothing can be said"
                    )
                moments.append({**moment, "target": self._targets()})
                lasted += running
                ended = running & (_flag(terminated, running) | _flag(truncated, running))
                last["once"] |= running & _flag(info["success"], running)
                for name in ("success", "distance"):
                    if name in info:
                        value = torch.as_tensor(info[name], device=running.device).reshape(-1)
                        last[name] = torch.where(ended, value, last.get(name, torch.zeros_like(value)))
                running &= ~ended
                if (step + 1) % LOOK == 0 and not bool(running.any()):
                    break
            else:
                raise TaskError(f"{self._job.env_id}: an episode has not ended after {LONGEST} steps")
            steps = lasted.cpu().tolist()
            recorded = {name: self._on_host(name, [m[name] for m in moments], steps) for name in moments[0]}
        told = {name: values.cpu().tolist() for name, values in last.items()}
        return [
            EnvEpisode(
                ended=Episode(
                    seed=seed,
                    steps=steps[row],
                    success=bool(told["success"][row]),
                    final_distance=float(told["distance"][row]) if "distance" in told else None,
                    success_once=bool(told["once"][row]),
                ),
                arrays={name: values[: steps[row], row] for name, values in recorded.items()},
                frames=frames[: steps[row]] if seed == self._job.draw_seed else [],
                first_frames={},
            )
            for row, seed in enumerate(seeds)
        ]

    def _moment(self, observation: Any, info: dict[str, Any], step: int) -> dict[str, Tensor]:
        """Run the policy; what is worth recording of this moment, rows first, on the device."""
        seen = flat_state(observation, self._inner.device)[:, torch.as_tensor(self._columns)].to(torch.float32)
        if self._contract.observation.clip is not None:
            seen = seen.clamp(*self._contract.observation.clip)
        robot = self._inner.agent.robot
        moment = {
            "time": torch.full((self._num_envs,), step * self._contract.control_dt, dtype=torch.float64),
            # PhysX keeps its buffers: what is to be recorded has to be taken out of them.
            "joint_pos": robot.get_qpos().to(torch.float64, copy=True),
            "joint_vel": robot.get_qvel().to(torch.float64, copy=True),
            "observation": seen,
            "action": self._policy(seen).clone(),
        }
        if "distance" in info:
            moment["tip_distance"] = info["distance"].to(torch.float64, copy=True)
        return moment

    def _targets(self) -> Tensor:
        """Joint position targets that the last action has set [rad or m], shape (num_envs, joints)."""
        joints = self._inner.agent.robot.active_joints
        return torch.stack([joint.drive_target.reshape(-1) for joint in joints], dim=1).to(torch.float64)

    def _on_host(self, name: str, values: list[Tensor], steps: list[int]) -> np.ndarray:
        """What was recorded of all steps, shape (steps, num_envs, ...).

        Raises:
            TaskError: When an observation or an action of an episode that ran was NaN or infinite.
        """
        found = torch.stack(values).cpu().numpy()
        if name in ("observation", "action"):
            for moment, rows in enumerate(found):
                odd = ~np.isfinite(rows) & (np.array(steps) > moment)[:, None]
                if odd.any():
                    cause = NonFiniteError(name, np.where(odd, rows, 0.0).astype(np.float32))
                    raise TaskError(f"{self._job.env_id}: {explain(cause, self._contract)}")
        return found


def _flag(value: Any, like: Tensor) -> Tensor:
    """A truth per environment, of a tensor or of one truth for all."""
    return torch.as_tensor(value, device=like.device).reshape(-1).to(torch.bool).expand_as(like)
