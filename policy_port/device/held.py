"""A replay under what is held, on the device from start to end: no trace, the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from policy_port.contract import Contract
from policy_port.device.controller import Captured, TensorController
from policy_port.device.figures import Sums
from policy_port.plants.newton_plant import NewtonPlant
from policy_port.plants.newton_tensors import NewtonTensors
from policy_port.port.pilot import Pilot
from policy_port.port.tensor_policy import TensorPolicy, find_device, why_no_tensors
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, asked_words, episode_steps
from policy_port.replay.held_metrics import held_metrics
from policy_port.replay.recording import plant_header, setting_of
from policy_port.replay.result import Result
from policy_port.replay.velocity import FallRule

LOOK = 50
"""Control steps between two looks from the host at whether all is done."""


def why_on_the_host(pilot: Pilot, held: Held) -> str:
    """Why a replay can't run on the device; empty where it can."""
    contract = pilot.contract
    if why := why_no_tensors(pilot):
        return why
    if contract.motion is not None:
        return "the policy follows a motion, which is judged from a trace"
    if contract.action.inner:
        return f"action.{contract.action.inner[0]} tells the joints something else in each physics step"
    for name in ("contacts", "scans"):
        if getattr(contract.senses, name):
            return f"an observation term reads {name}, which the host measures"
    return ""


class DeviceReplay:
    """The episodes of a replay; see `HeldEpisodes`, which says the same on the host."""

    def __init__(self, pilot: Pilot, plant: NewtonPlant, held: Held, goals: HeldGoals) -> None:
        """Stand everything up and start the first episodes.

        Args:
            pilot: The policy.
            plant: The robot on flat ground.
            held: Command, goals and length.
            goals: The goals of the policy.
        """
        contract = goals.contract
        self.plant = NewtonTensors(plant, contract.senses)
        device = self._device = find_device(str(self.plant.device))
        policy = TensorPolicy(pilot, plant.num_envs, device)
        self.controller = TensorController(
            contract, policy, self.plant.state, plant.joint_names, mountings=plant.mounting
        )
        self._steps, self._decimation = episode_steps(held, contract), round(contract.control_dt / plant.timestep)
        count = held.episodes or plant.num_envs
        self.sums = Sums(contract, plant.joint_names, count, plant.num_envs, device)
        """What is measured."""
        default = default_pose(contract, plant.joint_names)
        self._start = self.plant.starts(default[None])
        table = [goals.episode(held.seed + episode) for episode in range(count)]
        table.append(np.zeros_like(table[0]))
        self._goals = torch.as_tensor(np.stack(table), dtype=torch.float32, device=device)
        told = held.told(contract)
        if told is not None:
            self.controller.command[:] = torch.tensor(told, device=device)
        self._number = torch.full((plant.num_envs,), count, device=device)
        self._begun = torch.zeros((), dtype=torch.int64, device=device)
        self._left = torch.full((), count, device=device)
        self._age = torch.zeros(plant.num_envs, dtype=torch.int64, device=device)
        self._last = torch.zeros_like(self.controller.target), torch.zeros_like(self.controller.action)
        self._decide = Captured(self._decided, device)
        self._judge = Captured(self._judged, device)
        everyone = torch.ones(plant.num_envs, dtype=torch.bool, device=device)
        self._started = everyone
        self._begin()
        self.plant.settle(everyone)
        self.plant.read()
        self.rule = FallRule.of(contract, float(self.plant.state["base_pos"][:, 2].mean()))
        """When a robot counts as fallen."""

    def run(self, on_step: Callable[[], object] = lambda: None) -> None:
        """Do every episode.

        Raises:
            TaskError: When an observation or an action is NaN or infinite.
        """
        with torch.inference_mode():
            step = 0
            while step % LOOK or int(self._left) > 0:
                self.step()
                step += 1
                on_step()
            self.controller.check()
            self.plant.check_room()

    def step(self) -> None:
        """Do one control step in every environment; those whose episode ends start anew."""
        self._decide()
        self.plant.step(self._decimation)
        self._judge()
        self.plant.settle(self._started)

    def _decided(self) -> None:
        controller, state = self.controller, self.plant.state
        self.plant.read()
        controller.reset(self._started)
        target = controller()
        self.sums.add(self._age, state, self.plant.effort(), self._last, controller.action)
        for mine, new in zip(self._last, (target, controller.action), strict=True):
            mine.copy_(new)
        self.plant.write(target)

    def _judged(self) -> None:
        self.plant.read()
        state = self.plant.state
        self._age += 1
        down = self.rule.lies(state["base_pos"], state["base_quat"]) | ~torch.isfinite(state["joint_pos"]).all(1)
        ended = down | (self._age >= self._steps)
        counted = ended & (self._number < len(self._goals) - 1)
        self.sums.close(self._number, ended, self._age, down)
        self._left -= counted.sum()
        self._started.copy_(ended)
        self._begin()

    def _begin(self) -> None:
        """Start the next episode of environments at the default pose; without one left, one that nobody counts."""
        rows = self._started
        order = self._begun + torch.cumsum(rows, 0) - 1
        self._number.copy_(torch.where(rows, order.clamp(max=len(self._goals) - 1), self._number))
        self._begun += rows.sum()
        self.controller.goal.copy_(
            torch.where(rows[:, None], self._goals.index_select(0, self._number), self.controller.goal)
        )
        self._age.masked_fill_(rows, 0)
        self.plant.reset(rows, self._start)


def default_pose(contract: Contract, joint_names: tuple[str, ...]) -> np.ndarray:
    """The contract's default pose [rad or m], shape (joints,), plant joint order; 0 where unnamed."""
    pose = {name: joint.default / contract.per_si(name) for name, joint in contract.joints.items()}
    return np.array([pose.get(name, 0.0) for name in joint_names])


def replay_on_device(
    pilot: Pilot, plant: NewtonPlant, held: Held, *, decimation: int, on_step: Callable[[], object] = lambda: None
) -> Result:
    """Let a policy run under what is held, and measure it, on the plant's device.

    Args:
        pilot: The policy.
        plant: The robot on flat ground.
        held: Command, goals and length.
        decimation: Physics steps per control step.
        on_step: Called after each control step.

    Raises:
        TaskError: When what is held does not fit what the policy reads.
        PortError: When the port holds no TorchScript.
    """
    contract, goals = pilot.contract, held.goals_of(pilot.contract)
    replay = DeviceReplay(pilot, plant, held, goals)
    replay.run(on_step)
    header: dict[str, Any] = plant_header(pilot, plant, decimation)
    sums = replay.sums
    lasted, fallen = sums.lasted[:-1].cpu().numpy(), sums.fallen[:-1].cpu().numpy()
    told = {**asked_words(contract, held, goals, len(lasted)), "fall": replay.rule.text}
    told["control"] = f"torch {torch.__version__} on {replay.plant.device}, statistics alone"
    return Result(
        setting={**setting_of(header), **told},
        metrics=held_metrics(
            sums.figures(), contract, lasted, fallen, seconds=held.seconds, commanded=held.command is not None
        ),
    )
