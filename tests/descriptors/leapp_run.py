"""A policy of LEAPP at the controls, under the contract that it is read as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.checkpoints.load import load_policy
from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.port.runtime import CameraInputs
from tests.checkpoints.onnx.leapp_files import (
    JOINTS,
    NODE,
    Moment,
    moments,
    whole,
)
from tests.descriptors.importing import imported

GIVEN: dict[str, Any] = {"robot": "toy", "timestep": 0.005, "actuation": "explicit", "settings": {}}


class ActorPolicy:
    """The network of a file, at the controls."""

    images: CameraInputs = {}

    def __init__(self, path: Path) -> None:
        import torch

        self._torch, self._actor = torch, load_policy(path).actor
        self.observation = np.zeros((1, self._actor.obs_size), np.float32)
        self.action_size = self._actor.action_size
        self.reset()

    def act(self) -> NDArray[np.float32]:
        with self._torch.no_grad():
            action, *self._state = self._actor(self._torch.from_numpy(self.observation.copy()), *self._state)
        return action.numpy()

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        self._state = list(self._actor.initial_state(1))


def contract_of(path: Path, **more: Any) -> Contract:
    return imported(path, **(GIVEN | more)).contract


def ported(path: Path, contract: Contract, steps: Sequence[Moment], model: str = f"{NODE}.onnx") -> NDArray[Any]:
    """The targets of the network under its contract, in the contract's joint order."""
    at_origin = contract.model_dump(mode="json", exclude_none=True)
    for term in at_origin["observation"]["terms"]:
        # The state below has no centre of mass beside the link's origin.
        term.pop("point", None)
    contract = Contract.model_validate(at_origin)
    controller = Controller(contract, ActorPolicy(path.parent / model), contract.joint_names, 1)
    controller.reset()
    rows = []
    for moment in steps:
        state = controller.state
        state.joint_pos[0], state.joint_vel[0] = moment.joint_pos, moment.joint_vel
        state.base_lin_vel[0], state.base_ang_vel[0] = moment.lin_vel, moment.ang_vel
        state.base_quat[0] = np.roll(moment.quat, 1)
        controller.command[0] = moment.command
        rows.append(controller()[0].copy())
    return np.array(rows)


def agrees(path: Path, **more: Any) -> Contract:
    """The contract, after the port computed what the whole does."""
    contract = contract_of(path, **more)
    assert contract.joint_names == JOINTS
    np.testing.assert_allclose(ported(path, contract, moments()), whole(path, moments()), atol=1e-6)
    return contract


def terms(contract: Contract) -> list[dict[str, Any]]:
    return [
        term.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for term in contract.observation.terms
    ]
