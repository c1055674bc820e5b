"""The reach task on a plant as RSL-RL's vectorised environment: observation and action by the code of a replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.control.action import ActionDecoder
from policy_port.control.inner_loop import inner_loop
from policy_port.control.joint_map import joint_indices
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import SimulatedPlant
from policy_port.control.signals import Signals
from policy_port.errors import TrainError
from policy_port.plants.supervised import SupervisedPlant
from policy_port.replay.reach import check_reach
from policy_port.replay.recording import tip_position
from policy_port.tasks.reach_reward import ReachReward
from policy_port.tasks.reach_training import ReachTraining
from policy_port.train.tensors import TensorDict

Rows = NDArray[np.bool_]
STOPPED = 5.0
"""What being stopped costs, in steps at the goal: where each step costs something, an end must not be a way out."""


class ReachEnvironment:
    """Environments of one plant for RSL-RL; an observation group per contract, under its name.

    The group `acting` drives the plant, and it alone sees the task's noise. An episode lasts all its steps: being at
    the goal does not end it, because the arm has to stay there. Where the arm's supervisor would stop it, it ends, at a
    cost.
    """

    def __init__(
        self,
        plant: SimulatedPlant,
        contracts: Mapping[str, Contract],
        acting: str,
        task: ReachTraining,
        *,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Connect them and begin.

        Args:
            plant: The arm, its base at the world's origin, set up from the acting contract.
            contracts: A contract per group: {"actor": ..., "critic": ...}.
            acting: The group whose actions drive the plant.
            task: Where episodes start and lead to.
            seed: Of all that is drawn.
            device: Torch's device of what comes out.

        Raises:
            TaskError: When the policy reads no goal point, or runs at another rate than the task.
            RobotError: When the plant lacks a joint or a tip link.
        """
        self.plant, self.task, self.acting, self.contract = plant, task, acting, contracts[acting]
        self.num_envs, self.num_actions, self.device = plant.num_envs, self.contract.action_size, torch.device(device)
        self._learnt = task.learnt
        for contract in contracts.values():
            check_reach(contract, self._learnt)
        # The acting group comes first: the others are told what it remembers.
        names = (acting, *(name for name in contracts if name != acting))
        self._seen = {
            name: Signals(contracts[name], plant.joint_names, plant.num_envs, plant.mounting) for name in names
        }
        self._builders = {name: ObservationBuilder(contracts[name], signals) for name, signals in self._seen.items()}
        self.signals = self._seen[acting]
        """What the acting group remembers."""
        self._decoder = ActionDecoder(self.contract, self.signals)
        self._perform = inner_loop(plant, self, round(self.contract.control_dt / plant.timestep))
        self._order = joint_indices(self._learnt.joint_names, plant.joint_names, wanted_by="the reach task")
        self._reward = ReachReward(self._learnt)
        self._lag = np.full(len(self._order), np.inf if task.lag is None else task.lag)
        if isinstance(plant, SupervisedPlant):
            self._lag = np.minimum(self._lag, plant.limits.column("tracking_error", self._learnt.joint_names))
        self.max_episode_length = self._learnt.episode_steps
        """Control steps of an episode."""
        self.cfg: dict[str, Any] = {"task": task.model_dump(mode="json"), "plant": plant.name}
        """What the environment was made of, for whoever keeps records."""
        self._goal, self._last = np.zeros((self.num_envs, 3)), np.zeros((self.num_envs, self.num_actions))
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Start every environment anew, from what the seed draws alone."""
        self._rng = np.random.default_rng(seed)
        # Not part of the protocol: a plant under identified dynamics draws its encoders' noise.
        if (reseed := getattr(self.plant, "reseed", None)) is not None:
            reseed(seed)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        self._start(everyone)
        self._observations = self._observe(everyone)

    def get_observations(self) -> TensorDict:
        """The present observations, shape (num_envs, observation size) under each group's name."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Do one control step in every environment; see `PlantEnvironment.step`.

        Raises:
            TrainError: When an action is no number.
        """
        raw = actions.detach().to("cpu", torch.float32).numpy()
        if not np.isfinite(raw).all():
            raise TrainError("the network's action is NaN or infinite")
        self._perform(self._decoder.decode(raw))
        self.plant.read(self.signals.state)
        tip = tip_position(self.plant, self._learnt.tip_links)
        diverged = ~np.isfinite(tip).all(axis=1)
        tip[diverged] = 1e3
        stopped = np.zeros(self.num_envs, dtype=np.bool_)
        stopped[list(self.plant.stops if isinstance(self.plant, SupervisedPlant) else ())] = True
        distance = np.linalg.norm(tip - self._goal, axis=1)
        reward = self._reward(
            tip_pos=torch.from_numpy(tip),
            goal=torch.from_numpy(self._goal),
            joint_target=torch.from_numpy(self.signals.joint_target[:, self._order]),
            action=torch.from_numpy(raw),
            last_action=torch.from_numpy(self._last),
        ) - torch.from_numpy(self._behind() + STOPPED * self._reward.largest * stopped)
        self._last = raw.astype(np.float64)
        lengths = self.episode_length_buf + 1
        late = lengths.cpu().numpy() >= self.max_episode_length
        ended = late | diverged | stopped
        arrived = (distance <= self._learnt.success_distance) & ~stopped
        log: dict[str, Any] = {"error/distance [m]": float(distance[~diverged].mean()) if not diverged.all() else 0.0}
        if late.any():
            log["episode/success"] = float(arrived[late].mean())
        if isinstance(self.plant, SupervisedPlant) and ended.any():
            log["episode/stopped"] = float(stopped[ended].mean())
        extras = {"time_outs": self._tensor(late & ~diverged & ~stopped), "log": log}
        returned = (reward / self._reward.largest).float().to(self.device), self._tensor(ended.astype(np.int64))
        self.episode_length_buf = torch.where(returned[1] > 0, 0, lengths)
        if ended.any():
            self._start(ended)
        self._observations = self._observe(ended)
        return self._observations, *returned, extras

    def close(self) -> None:
        """Free the simulator."""
        self.plant.close()

    def _behind(self) -> NDArray[np.float64]:
        """What joints that stay behind their targets cost, shape (num_envs,)."""
        away = np.abs(self.signals.joint_target - self.signals.state.joint_pos)[:, self._order]
        return np.tanh(np.maximum(np.nan_to_num(away) - self._lag, 0.0) / 0.1).sum(axis=1)

    def _start(self, rows: Rows) -> None:
        """Start the next episode of environments."""
        start = self.signals.default_joint_pos()
        for row in np.flatnonzero(rows):
            pose, goal = self._learnt.episode(int(self._rng.integers(2**31)))
            start[row, self._order] = pose
            self._goal[row] = goal
        self._last[rows] = 0.0
        self.plant.reset(start, rows)

    def _observe(self, started: Rows) -> TensorDict:
        """Build every group's observation of the state as it stands."""
        built = {}
        for name, signals in self._seen.items():
            self.plant.read(signals.state)
            if started.any():
                signals.reset(started)
                self._builders[name].reset(started)
            if name != self.acting:
                signals.joint_target[...] = self.signals.joint_target
                signals.last_action[...] = self.signals.last_action
            else:
                for key, noise in self.task.noise.model_dump().items():
                    if noise:
                        measured = getattr(signals.state, key)
                        measured += self._rng.normal(0.0, noise, measured.shape)
            signals.goal[...] = self._goal
            signals.time[...] = self.episode_length_buf.cpu().numpy()[:, None] * self.contract.control_dt
            built[name] = self._tensor(self._builders[name].build().copy())
        return TensorDict(built, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
