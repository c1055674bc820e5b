"""A port's network in torch, on any device, its memory outside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from policy_port.contract.spec import check_network_width
from policy_port.errors import MissingDependencyError, PortError
from policy_port.port.pilot import Pilot
from policy_port.port.torchscript import open_torchscript


class TensorPolicy:
    """The port's TorchScript, called with its memory as arguments.

    The memory is one set of buffers, written in place: a CUDA graph finds it where it was.
    """

    def __init__(self, pilot: Pilot, num_envs: int, device: torch.device) -> None:
        """Load it.

        Args:
            pilot: The policy.
            num_envs: Number of environments.
            device: Where it runs.

        Raises:
            PortError: When the port holds no TorchScript, or answers with chunks.
            ContractError: When its widths are not the contract's.
        """
        if why := why_no_tensors(pilot):
            raise PortError(f"{pilot.onnx.parent}: {why}")
        assert pilot.torchscript is not None
        module = open_torchscript(pilot.torchscript, pilot.held.get(pilot.torchscript)).to(device).eval()
        self._core: Any = module.core
        names = [name for name in ("initial_hidden_state", "initial_cell_state") if hasattr(module, name)]
        self._initial = [getattr(module, name).detach() for name in names]
        self.memory = [initial.repeat(1, num_envs, 1) for initial in self._initial]
        """The recurrent state that the next call reads, each of shape (layers, num_envs, size)."""
        self._remap, contract = pilot.remap, pilot.network_contract
        with torch.inference_mode():
            answer = self._core(torch.zeros(num_envs, contract.observation_size, device=device), *self.memory)[0]
        check_network_width(contract, int(module.width), answer.shape[1], policy=str(pilot.torchscript))

    def __call__(self, observation: Tensor) -> Tensor:
        """Raw actions, shape (num_envs, action size), of observations, float32; advances the memory."""
        remap = self._remap
        if remap is not None:
            observation = remap.observation(observation)
            if remap.observation_clip is not None:
                observation = observation.clamp(*remap.observation_clip)
        action, *memory = self._core(observation, *self.memory)
        for mine, new in zip(self.memory, memory, strict=False):
            mine.copy_(new)
        if remap is None:
            return action
        return remap.action(action if remap.action_clip is None else action.clamp(*remap.action_clip))

    def reset(self, rows: Tensor | None = None) -> None:
        """Clear the memory of environments, shape (num_envs,); of all, if None."""
        for mine, initial in zip(self.memory, self._initial, strict=True):
            mine.copy_(initial.expand_as(mine) if rows is None else torch.where(rows[None, :, None], initial, mine))


def why_no_tensors(pilot: Pilot) -> str:
    """Why a port's network can't run on a device; empty where it can."""
    if pilot.torchscript is None:
        return f"holds no {Path('policy.pt')}, which is what runs there; export it with --format torchscript,onnx"
    if pilot.chunking() is not None:
        return "its policy answers with chunks of actions, which are performed on the host"
    return ""


def find_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        MissingDependencyError: When it is not here.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError(
            f"the policy was asked to run on {name}, and torch {torch.__version__} finds no NVIDIA GPU or driver "
            "here; ask for cpu"
        )
    return device
