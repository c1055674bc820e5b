"""A policy at the controls of environments on one device: the contract's control step, batched, in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policy_port.contract import Contract
from policy_port.control.controller import explain
from policy_port.control.joint_map import joint_indices
from policy_port.deploy.module import StepModule
from policy_port.deploy.places import Finder
from policy_port.deploy.step import by_name
from policy_port.errors import TaskError
from policy_port.port.runtime import NonFiniteError
from policy_port.port.tensor_policy import TensorPolicy

JOINTS = ("joint_pos", "joint_vel", "joint_effort")
"""Signals that have a column for each joint."""


class TensorController:
    """The same control step as `Controller`, on tensors of a device.

    Everything that it is given and leaves behind is in buffers that stay, so that a step can be captured in a CUDA
    graph; nothing of a step is on the host. It computes in 32 bits.
    """

    def __init__(
        self,
        contract: Contract,
        policy: TensorPolicy,
        measured: Mapping[str, Tensor],
        joint_names: Sequence[str],
        *,
        mountings: Finder | None = None,
    ) -> None:
        """Connect a policy to a plant's joints by name.

        Args:
            contract: The contract of the policy's inputs and outputs.
            policy: The policy, with as many rows as what is measured.
            measured: The plant's signals by name, joints in its order; filled in place by the plant.
            joint_names: Joint names in the plant's order.
            mountings: Where places are on the base: `plant.mounting`.

        Raises:
            RobotError: When the plant lacks a joint or a place of the contract.
            TaskError: When an observation term needs a task environment, or the host to be measured.
        """
        self.contract, self.policy = contract, policy
        joint_pos = measured["joint_pos"]
        self.num_envs, self.device = len(joint_pos), joint_pos.device
        order = joint_indices(contract.joint_names, joint_names, wanted_by=f"contract '{contract.name}'")
        self._from_plant = torch.as_tensor(order, dtype=torch.int64, device=self.device)
        step = by_name(contract, mountings=mountings)
        self._module = StepModule(step).to(self.device, torch.float32)
        self._state = self._module.initial_state(self.num_envs, self.device)
        rows, names = self.num_envs, contract.command.names
        self.command: Tensor = self._zeros(rows, len(names))
        """What the next step is told, shape (num_envs, elements), in the order of `contract.command.names`."""
        self.command[:] = torch.tensor(contract.command.defaults, device=self.device)
        width = step.layout.sizes.get("goal", 0)
        self.goal: Tensor = self._zeros(rows, width)
        """The goal that the next step works on, shape (num_envs, goal size)."""
        known = {**measured, "velocity_command": self.command, "goal": self.goal}
        if unknown := [name for name in step.signals if name not in known]:
            raise TaskError(f"contract '{contract.name}' reads {', '.join(unknown)}, which the host alone can tell")
        self._given = {name: known[name] for name in step.signals}
        self.observation: Tensor = self._zeros(rows, contract.observation_size)
        """What the network saw in the last step."""
        self.action: Tensor = self._zeros(rows, contract.action_size)
        """What the network put out in the last step, before raw_clip."""
        self.target: Tensor = self._zeros(rows, len(joint_names))
        """Joint targets of the last step [SI], shape (num_envs, joints), plant joint order."""
        # Joints that are not the contract's keep the target that they have from reset.
        self._foreign = [index for index, name in enumerate(joint_names) if name not in contract.joint_names]
        self._measured_pos = joint_pos
        self._odd = {name: torch.zeros_like(values, dtype=torch.bool) for name, values in self._shown().items()}

    def reset(self, rows: Tensor) -> None:
        """Forget the past of environments whose start pose was just measured, shape (num_envs,)."""
        for state in self._state.values():
            state.masked_fill_(rows[:, None], 0.0)
        self.policy.reset(rows)
        for joint in self._foreign:
            held = self.target[:, joint]
            held.copy_(torch.where(rows, self._measured_pos[:, joint], held))

    def __call__(self) -> Tensor:
        """Do one control step; returns `target`."""
        given = {
            name: values.index_select(1, self._from_plant) if name in JOINTS else values
            for name, values in self._given.items()
        }
        out = self._module({**given, **self._state}, self.policy)
        for name, values in self._module.next_state(out).items():
            self._state[name].copy_(values)
        self.observation.copy_(out["observation"])
        self.action.copy_(out["action"])
        self.target.index_copy_(1, self._from_plant, out["joint_target"])
        for name, values in self._shown().items():
            self._odd[name] |= ~torch.isfinite(values)
        return self.target

    def check(self) -> None:
        """Look back on the steps so far; the one look at the host that they take.

        Raises:
            TaskError: When an observation or an action was NaN or infinite, naming it.
        """
        for name, odd in self._odd.items():
            if bool(odd.any()):
                values = np.where(odd.cpu().numpy(), np.nan, 0.0).astype(np.float32)
                raise TaskError(explain(NonFiniteError(name, values), self.contract))

    def _shown(self) -> dict[str, Tensor]:
        return {"observation": self.observation, "action": self.action}

    def _zeros(self, rows: int, columns: int) -> Tensor:
        return torch.zeros(rows, columns, device=self.device)


class Captured:
    """A call on fixed buffers: on CUDA a graph from the fourth time on, elsewhere the call itself."""

    def __init__(self, call: Callable[[], Any], device: torch.device) -> None:
        """Take over a call that reads and writes the same tensors each time, and nothing of the host."""
        self._call, self._device = call, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._done = 0

    def __call__(self) -> None:
        """Do it."""
        if self._device.type != "cuda" or self._done < 3:
            # Three times as it is, so that everything is loaded and allocated that the first calls need.
            self._call()
            self._done += 1
            return
        if self._graph is None:
            torch.cuda.synchronize(self._device)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._call()
        self._graph.replay()
