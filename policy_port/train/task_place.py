"""Task environments of ManiSkill side by side: what trains in them sees their state, their pictures, or both."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_port.contract import Contract
from policy_port.errors import TaskError
from policy_port.replay.env_cameras import EnvCameras, observation_mode
from policy_port.replay.open_env import episode_steps, in_state_mode, open_env, registered, state_parts
from policy_port.train.place import check_device

TOLD = ("success", "distance")
"""What of an environment's own words is kept."""

CUDA = "physx_cuda"
"""The backend that steps many environments at once; of the other each is an environment of its own."""


@dataclass(frozen=True, kw_only=True)
class TaskPlace:
    """Which environments, and how many."""

    env_id: str
    """Name under which the environment is registered."""
    control_mode: str | None = None
    """One of its controllers; its own default, if None."""
    sim_backend: str = "physx_cpu"
    """"physx_cpu" or "physx_cuda"."""
    num_envs: int = 16
    """Number of environments."""
    seed: int = 0
    """Seed of the run."""
    device: str = "cpu"
    """Torch's device of the networks."""
    episode_steps: int | None = None
    """Control steps after which an episode of the training ends; those of the environment, if None."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """More of what the environment is made with, such as `base_camera_settings`."""
    arrange: Callable[[Any], None] | None = None
    """Does to each open environment, without its wrappers, what no option says."""

    def __post_init__(self) -> None:
        """Refuse a device that is not there."""
        check_device(self.device)

    def asked(self) -> dict[str, Any]:
        """Its part of a run's record."""
        return {"plant": self.env_id, "num_envs": self.num_envs, "seed": self.seed, "device": self.device}

    def document(self) -> dict[str, Any]:
        """What the environments are made of, as plain data."""
        names = ("control_mode", "sim_backend", "episode_steps")
        said = {"env": self.env_id, **{name: getattr(self, name) for name in names}, "options": dict(self.options)}
        if (background := self.options.get("greenscreen_overlay_path")) is not None:
            said["background_sha256"] = hashlib.sha256(Path(background).read_bytes()).hexdigest()
        return said


class Worlds:
    """Open environments of a place, a row each.

    They move in torch's inference mode alone: RSL-RL steps in it, and what was made in it can only be changed in it.
    """

    def __init__(self, place: TaskPlace, seeing: Contract) -> None:
        """Open them.

        Args:
            place: Which, and how many.
            seeing: A contract whose images the cameras are to make, in the sizes that it states.

        Raises:
            TaskError: When there is no such environment, it shows no such picture, or its episodes never end.
            MissingDependencyError: When ManiSkill, or a driver or library that it needs, is not here.
        """
        self.place, self.num_envs = place, place.num_envs
        kind = registered(place.env_id)
        steps = episode_steps(place.env_id)
        if steps is None:
            raise TaskError(f"{place.env_id}: its episodes never end, so no success can be told. Take one whose do")
        if (place.episode_steps or 1) > steps:
            raise TaskError(
                f"{place.env_id}: its episodes have {steps} steps, and --episode-steps {place.episode_steps} asks for "
                "more; leave it out, or ask for fewer"
            )
        self.steps = steps
        """Control steps of an episode."""
        mode = observation_mode(place.env_id, kind.SUPPORTED_OBS_MODES, seeing)
        batched = place.sim_backend == CUDA
        self._rows_each = place.num_envs if batched else 1
        draws = {"obs_mode": mode, "draws": bool(seeing.images), "num_envs": self._rows_each, **place.options}

        def opened(**more: Any) -> Any:
            said: dict[str, Any] = {"control_mode": place.control_mode, "sim_backend": place.sim_backend} | draws | more
            made = open_env(place.env_id, **said).unwrapped
            if place.arrange is not None:
                place.arrange(made)
            return made

        self.envs: list[Any] = [opened()]
        """The environments without their wrappers."""
        self._shown: list[Any] = [None] * (place.num_envs // self._rows_each)
        try:
            self.cameras = EnvCameras(place.env_id, self.envs[0], seeing)
            sizes = self.cameras.options()
            if sizes is not None:
                self.envs.pop().close()
            others = dict(place.options.get("sensor_configs", {}))
            resized = {name: {**others.get(name, {}), **size} for name, size in (sizes or {}).items()}
            more = {} if sizes is None else {"sensor_configs": others | resized}
            while len(self.envs) < place.num_envs // self._rows_each:
                self.envs.append(opened(**more))
            with in_state_mode(self.envs[0]):
                self.parts = state_parts(self.envs[0], None)
                """Name and width of each part of the state, in order."""
            self.beside = state_parts(self.envs[0], self.envs[0]._init_raw_obs)
            """The same of the numbers that are shown beside pictures; of the state, where there are none."""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free them."""
        while self.envs:
            self.envs.pop().close()

    @torch.inference_mode()
    def reset(self, seeds: Sequence[int], rows: NDArray[np.intp], *, anew: bool = False, looks: bool = True) -> None:
        """Start episodes.

        Args:
            seeds: One for each of the rows.
            rows: Which environments.
            anew: Build the scenes again, so that nothing of what was before can show.
            looks: Whether pictures are made.
        """
        for number, env in enumerate(self.envs):
            mine = np.flatnonzero(rows // self._rows_each == number)
            if not len(mine):
                continue
            given: list[int] | None = [int(seeds[place]) for place in mine]
            options: dict[str, Any] = {"reconfigure": True} if anew else {}
            if len(mine) < self._rows_each:
                # A list of seeds is for all rows: the batch's own generator, seeded at the start, draws theirs.
                options["env_idx"] = torch.tensor(rows[mine] % self._rows_each, device=env.device)
                given = None
            with contextlib.nullcontext() if looks else in_state_mode(env):
                self._shown[number] = env.reset(seed=given, options=options)[0]

    @torch.inference_mode()
    def step(
        self, actions: NDArray[np.float32], *, looks: bool, count: int | None = None
    ) -> tuple[Tensor, NDArray[np.bool_], dict[str, Tensor]]:
        """One control step of every environment.

        Args:
            actions: As the controllers take them, shape (num_envs, action size).
            looks: Whether pictures are made, which takes most of the time.
            count: How many of the rows matter; the others need not move, and tell zeros. All, if None.

        Returns:
            Rewards, which episodes ended before their time, and what the environments tell, each (num_envs,).

        Raises:
            TaskError: When the environment does not tell whether an episode succeeded.
        """
        told = []
        for number, env in enumerate(self.envs):
            if count is not None and number * self._rows_each >= count:
                told.append({name: torch.zeros_like(value) for name, value in told[0].items()})
                continue
            mine = torch.as_tensor(actions[number * self._rows_each : (number + 1) * self._rows_each])
            with contextlib.nullcontext() if looks else in_state_mode(env):
                observation, reward, terminated, _, info = env.step(mine.to(env.device, torch.float32))
            self._shown[number] = observation
            if "success" not in info:
                raise TaskError(f"{self.place.env_id}: does not tell whether an episode succeeded: nothing can be said")
            told.append({"reward": reward, "ended": terminated, **{name: info[name] for name in TOLD if name in info}})
        found = {name: torch.cat([one[name].reshape(-1).cpu() for one in told]) for name in told[0]}
        return found.pop("reward").float(), found.pop("ended").numpy().astype(np.bool_), found

    @torch.inference_mode()
    def state(self) -> Tensor:
        """Everything that the environments know, as in mode "state", shape (num_envs, width)."""
        states = []
        for env in self.envs:
            with in_state_mode(env):
                states.append(env.get_obs(env.get_info()).cpu())
        return torch.cat(states).float()

    def frames(self, camera: str) -> NDArray[np.uint8]:
        """What a camera showed after the last step or reset, shape (num_envs, height, width, 3)."""
        return np.concatenate([self.cameras.frames(shown, camera) for shown in self._shown])
