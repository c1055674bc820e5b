"""A ManiSkill task as RSL-RL's vectorised environment: the teacher reads its state, the student what a robot has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_port.contract import Contract
from policy_port.errors import TrainError
from policy_port.port.images import camera_inputs
from policy_port.replay.open_env import check_fit
from policy_port.train.labels import ActionConversion
from policy_port.train.task_place import Worlds
from policy_port.train.tensors import TensorDict

Rows = NDArray[np.intp]
Act = Callable[[TensorDict], Tensor]
"""From observations by group to raw actions, shape (num_envs, action size)."""


class Ended(NamedTuple):
    """How an episode ended."""

    success: bool
    """Whether it was a success at its last step."""
    once: bool
    """Whether it was one at any step."""
    distance: float
    """The environment's own `distance` at the last step; NaN where it tells none."""


class TaskEnvironment:
    """Environments for RSL-RL, which asks no base class (rsl_rl.env.VecEnv lists what it asks).

    Observation groups: "student" and "teacher", the numbers that each contract reads, shape (num_envs, width); and each
    image of the student's under its own name, as its network takes it. All are of one moment.
    """

    acting = "student"
    """Whose actions drive."""

    def __init__(self, worlds: Worlds, contracts: Mapping[str, Contract], *, seed: int, device: str = "cpu") -> None:
        """Connect them and begin.

        Args:
            worlds: The environments; closed with this.
            contracts: Of "student" and "teacher".
            seed: Of all that is drawn.
            device: Torch's device of what comes out.

        Raises:
            TaskError: When a contract does not fit the environment.
            TrainError: When the teacher's actions can't be said in the student's.
        """
        self._worlds, self.contracts = worlds, dict(contracts)
        self.contract = contracts[self.acting]
        env_id, inner = worlds.place.env_id, worlds.envs[0]
        self._columns = {
            name: check_fit(env_id, inner, one, worlds.parts, maps=False) for name, one in contracts.items()
        }
        self._conversions = {
            (one, other): ActionConversion(contracts[one], contracts[other]) for one in contracts for other in contracts
        }
        self.num_envs, self.num_actions = worlds.num_envs, self.contract.action_size
        self.device = torch.device(device)
        self.max_episode_length = worlds.place.episode_steps or worlds.steps
        """Control steps of an episode of the training that nothing else ends."""
        self.cfg: dict[str, Any] = {
            **worlds.place.document(),
            "contracts": {name: contract.sha256 for name, contract in contracts.items()},
        }
        """What the environment was made of, for whoever keeps records."""
        self._inputs, self._pixels = camera_inputs(self.contract.images, self.num_envs)
        self._all = np.arange(self.num_envs)
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Start every environment anew: nothing of what was before shows in anything after.

        Args:
            seed: Of all that is drawn from here on.
        """
        self._rng = np.random.default_rng(seed)
        # Some environments shake their cameras at each step by torch's own generator, which reset leaves alone.
        torch.manual_seed(seed)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._worlds.reset(self._seeds(self.num_envs), self._all, anew=True)
        self._observations = self._observe(looks=True)

    def get_observations(self) -> TensorDict:
        """The present observations by group."""
        return self._observations

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Do one control step in every environment; those whose episode ends start anew at once.

        Args:
            actions: Raw actions of the student, shape (num_envs, action size).

        Returns:
            Observations after it (of a new episode, where one ended), rewards, dones (1 where an episode ended), and
            extras: "time_outs" where it ended by its time alone, "log" with the share of ended ones that succeeded.

        Raises:
            TrainError: When an action is no number.
        """
        rewards, early, told = self._worlds.step(self._clipped(actions, self.contract), looks=bool(self._pixels))
        lengths = self.episode_length_buf.cpu().numpy() + 1
        late = lengths >= self.max_episode_length
        ended = np.flatnonzero(early | late)
        log = {"episode/success": told["success"][ended].float().mean().item()} if len(ended) else {}
        if len(ended):
            self._worlds.reset(self._seeds(len(ended)), ended)
            lengths[ended] = 0
        self.episode_length_buf = torch.from_numpy(lengths).to(self.device)
        self._observations = self._observe(looks=True)
        dones, time_outs = torch.from_numpy(early | late), torch.from_numpy(late & ~early)
        extras = {"time_outs": time_outs.float().to(self.device), "log": log}
        return self._observations, rewards.to(self.device), dones.long().to(self.device), extras

    def actions_as(self, values: Tensor, *, of: str, to: str) -> Tensor:
        """Raw actions of one contract as those of another that mean the same targets, by joint name."""
        return self._conversions[of, to].labels(values)

    def perform(self, seeds: Sequence[int], policy: Callable[[], Act], *, group: str, looks: bool) -> list[Ended]:
        """Whole episodes, a seed each; whoever trains here has to `begin` again.

        Args:
            seeds: Seeds of the episodes.
            policy: Gives a policy that remembers nothing yet.
            group: Whose actions it puts out.
            looks: Whether it is shown pictures; black ones, if not.
        """
        found: list[Ended] = []
        for start in range(0, len(seeds), self.num_envs):
            mine = list(seeds[start : start + self.num_envs])
            torch.manual_seed(mine[0])
            # A batch of the GPU takes seeds for all of its rows.
            self._worlds.reset([*mine, *[mine[-1]] * (self.num_envs - len(mine))], self._all, looks=looks)
            found += self._episodes(policy(), group, looks and bool(self._pixels), len(mine))
        return found

    def close(self) -> None:
        """Free the simulator."""
        self._worlds.close()

    def _episodes(self, act: Act, group: str, looks: bool, count: int) -> list[Ended]:
        """One episode in each of the first `count` environments."""
        running, once = np.arange(self.num_envs) < count, np.zeros(self.num_envs, dtype=np.bool_)
        last: list[Ended | None] = [None] * self.num_envs
        for step in range(self._worlds.steps):
            with torch.no_grad():
                raw = self._clipped(act(self._observe(looks=looks)), self.contracts[group])
            _, early, told = self._worlds.step(raw, looks=looks, count=count)
            success = told["success"].numpy().astype(np.bool_)
            distance = told["distance"].numpy() if "distance" in told else np.full(self.num_envs, np.nan)
            once |= running & success
            for row in np.flatnonzero(running & (early | (step + 1 == self._worlds.steps))):
                last[row] = Ended(bool(success[row]), bool(once[row]), float(distance[row]))
                running[row] = False
            if not running.any():
                break
        return [ended for ended in last if ended is not None]

    def _observe(self, *, looks: bool) -> TensorDict:
        """Every group's observation of the environments as they stand."""
        state, groups = self._worlds.state(), {}
        for name, contract in self.contracts.items():
            groups[name] = state[:, torch.from_numpy(self._columns[name])]
            if contract.observation.clip is not None:
                groups[name] = groups[name].clamp(*contract.observation.clip)
        for name, camera in self._worlds.cameras.cameras.items() if looks else ():
            self._inputs[name].show(self._worlds.frames(camera))
        for name, pixels in self._pixels.items():
            # A copy: RSL-RL keeps it until after the next step.
            shown = torch.from_numpy(pixels.copy())
            groups[name] = shown if looks else torch.zeros_like(shown)
        return TensorDict(groups, batch_size=[self.num_envs]).to(self.device)

    def _seeds(self, count: int) -> list[int]:
        return [int(seed) for seed in self._rng.integers(1, 2**31 - 1, count)]

    def _clipped(self, actions: Tensor, contract: Contract) -> NDArray[np.float32]:
        raw = actions.detach().to("cpu", torch.float32).numpy()
        if raw.shape != (self.num_envs, contract.action_size):
            raise TrainError(f"actions have shape {raw.shape}, not ({self.num_envs}, {contract.action_size})")
        if not np.isfinite(raw).all():
            row = int(np.argmax(~np.isfinite(raw).all(1)))
            raise TrainError(f"the network's action is NaN or infinite in environment {row}")
        return np.clip(raw, *contract.raw_bounds).astype(np.float32)
