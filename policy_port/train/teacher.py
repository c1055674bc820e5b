"""Any policy that policy-port reads as the frozen teacher of RSL-RL's distillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from policy_port.checkpoints import LoadedPolicy, load_policy
from policy_port.contract import Contract
from policy_port.contract.layout import observation_blocks
from policy_port.contract.named_columns import named_columns
from policy_port.contract.spec import check_network_width
from policy_port.errors import CheckpointError, ContractError
from policy_port.port.folder import load_port
from policy_port.port.format import MANIFEST
from policy_port.train.run import open_run

if TYPE_CHECKING:
    from tensordict import TensorDict

CLASS = f"{__name__}:Teacher"
"""The class as RSL-RL's `class_name` takes it."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A teacher as the user names it: the file, and what its network reads and writes."""

    policy: LoadedPolicy
    """The policy."""
    contract: Contract
    """Its contract, which fits its widths."""


def open_teacher(path: Path, contract: Contract | None, **options: Any) -> Taught:
    """Read a teacher and hold it against its contract.

    Args:
        path: A policy file of any library, ONNX, TorchScript, a port folder, or the folder of a training run.
        contract: What its network reads and writes; None for a port or a run, which hold their own.
        **options: Further arguments of `load_policy`.

    Raises:
        CheckpointError: When the file can't be read rightly, sees images, or answers with chunks.
        ContractError: When the contract does not fit the file, saying both widths, or there is none, or two.
    """
    file, own = _network_in(path)
    if own is not None and contract is not None and contract != own:
        raise ContractError(
            f"{path}: holds its own contract, and --teacher-contract gives another one. Leave --teacher-contract out, "
            f"or name the network in it as the teacher: {file}"
        )
    contract = contract or own
    if contract is None:
        raise ContractError(
            f"{path}: does not say what its numbers mean, and is no port and no run's folder, which would; give "
            "--teacher-contract"
        )
    said: dict[str, Any] = {
        "width": contract.observation_size,
        "terms": observation_blocks(contract),
        "names": named_columns(contract),
        **options,
    }
    policy = load_policy(file, **said)
    check_teacher(policy, contract)
    return Taught(policy=policy, contract=contract)


def _network_in(path: Path) -> tuple[Path, Contract | None]:
    """The policy file that a path stands for, and the contract that it holds, where it holds one."""
    if (path / MANIFEST).is_file():
        port = load_port(path)
        file = port.onnx or port.torchscript
        assert file is not None, "a port holds a network"
        return file, port.contract
    if (path / "run.yaml").is_file():
        run = open_run(path)
        return run.result()[0], run.contract()
    return path, None


def check_teacher(policy: LoadedPolicy, contract: Contract) -> None:
    """Hold a teacher against its contract.

    Raises:
        CheckpointError: When it leaves out part of its file, sees images, or answers with chunks.
        ContractError: When the widths differ.
    """
    policy.require_explained()
    actor = policy.actor
    if actor.images or contract.images:
        seen = ", ".join(str(image) for image in actor.images) or ", ".join(image.name for image in contract.images)
        raise CheckpointError(
            f"{policy.path}: sees images ({seen}), and a teacher reads numbers alone: it is to know more than cameras "
            "show. Take a teacher that was trained from state"
        )
    if actor.chunk is not None:
        raise CheckpointError(
            f"{policy.path}: answers with chunks of {actor.chunk} actions, and a student copies one action per step. "
            "Take a teacher that answers step by step"
        )
    check_network_width(contract, actor.obs_size, actor.action_size, policy=f"teacher {policy.path}")


def teacher_config(teacher: Taught, options: Mapping[str, Any]) -> dict[str, Any]:
    """RSL-RL's `teacher` section: plain data from which `Teacher` is made again.

    Args:
        teacher: The teacher that was opened.
        options: The further arguments of `load_policy` that it was opened with.
    """
    return {
        "class_name": CLASS,
        "file": str(teacher.policy.path.resolve()),
        "sha256": teacher.policy.sha256,
        "contract": teacher.contract.model_dump_json(exclude_none=True),
        "options": {key: value if not isinstance(value, Path) else str(value) for key, value in options.items()},
    }


class Teacher(nn.Module):
    """A frozen policy that labels what it is shown; RSL-RL's model by duck typing.

    It keeps the recurrent state of each environment, and forgets it where an episode ends. RSL-RL's own teachers lose
    theirs in each update, which walks through the student's steps alone; see `Distillation.update` of this room.
    """

    is_recurrent = False
    """To RSL-RL: nobody but this class keeps the state."""

    def __init__(
        self,
        obs: TensorDict,
        obs_groups: Mapping[str, list[str]],
        obs_set: str,
        output_dim: int,
        *,
        file: str,
        sha256: str,
        contract: str,
        options: Mapping[str, Any],
    ) -> None:
        """Load the policy.

        Args:
            obs: An observation of the environment, by group.
            obs_groups: Groups by the role that reads them.
            obs_set: This role.
            output_dim: Width of the student's action.
            file: The policy file.
            sha256: What its content was when the run began.
            contract: Its contract, JSON.
            options: Further arguments of `load_policy`.

        Raises:
            CheckpointError: When the file is no longer what it was when the run began.
            ContractError: When the environment shows it another width than it reads.
        """
        super().__init__()
        stated = Contract.model_validate_json(contract)
        policy = open_teacher(Path(file), stated, **options).policy
        if policy.sha256 != sha256:
            raise CheckpointError(
                f"{file}: the teacher is another one than when the run began (SHA-256 {policy.sha256[:12]}, then "
                f"{sha256[:12]}). Put the old file back, or begin a new run with another --out"
            )
        self.obs_groups = tuple(obs_groups[obs_set])
        shown = sum(obs[group].shape[-1] for group in self.obs_groups)
        if shown != policy.actor.obs_size:
            raise ContractError(
                f"teacher {file}: reads {policy.actor.obs_size} numbers, and the environment shows it {shown} "
                f"({', '.join(f'{group} {obs[group].shape[-1]}' for group in self.obs_groups)})"
            )
        self.actor = policy.actor
        low, high = stated.raw_bounds
        self.register_buffer("low", torch.tensor(low, dtype=torch.float32))
        self.register_buffer("high", torch.tensor(high, dtype=torch.float32))
        self.as_student: Callable[[Tensor], Tensor] | None = None
        """From the teacher's raw actions to the student's, where their contracts parse actions differently."""
        self.memory: tuple[Tensor, ...] | None = None
        """Recurrent state, each (layers, num_envs, hidden); None before the first step."""
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(
        self, obs: TensorDict, masks: Tensor | None = None, hidden_state: Any = None, stochastic_output: bool = False
    ) -> Tensor:
        """The labels of one step, and the memory advanced by it.

        Args:
            obs: Observations by group, batch (num_envs,).
            masks: RSL-RL's; a teacher is shown no trajectories.
            hidden_state: RSL-RL's; the state is kept here.
            stochastic_output: RSL-RL's; a teacher draws nothing.

        Returns:
            What takes effect of the teacher's action (behind its own raw_clip, and no other), in the raw units and the
            order of the student's, shape (num_envs, student's action size).
        """
        seen = torch.cat([obs[group] for group in self.obs_groups], dim=-1)
        if self.memory is None:
            self.memory = self.actor.initial_state(len(seen), device=seen.device)
        action, *memory = self.actor(seen, *self.memory)
        self.memory = tuple(memory)
        label = torch.minimum(torch.maximum(action, self.low), self.high)
        return label if self.as_student is None else self.as_student(label)

    def reset(self, dones: Tensor | None = None, hidden_state: Any = None) -> None:
        """Forget the past of environments whose episode has ended, `dones` (num_envs,); of all, if None."""
        if dones is None or self.memory is None:
            self.memory = None
            return
        start = self.actor.initial_state(self.memory[0].shape[1], device=dones.device) if self.memory else ()
        ended = dones.view(1, -1, 1) > 0
        self.memory = tuple(torch.where(ended, new, old) for new, old in zip(start, self.memory, strict=True))

    def get_hidden_state(self) -> None:
        """To RSL-RL there is none."""

    def detach_hidden_state(self, dones: Tensor | None = None) -> None:
        """Nothing here has a gradient."""
