"""DAgger's data set for RSL-RL's distillation: what a step showed is learnt from more often than it was paid for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor

from policy_port.train.distillation import Distillation


class Aggregated(Distillation):
    """Learns from every rollout since the last checkpoint, mixed, where RSL-RL learns from the newest alone.

    For students without a memory. A checkpoint holds no rollouts, so that the data set begins anew at each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: list[tuple[TensorDict, Tensor]] = []

    def update(self) -> dict[str, float]:
        """Learn, in as many epochs as ever, each of them over all that is kept."""
        storage = self.storage
        read = self._raw_student.obs_groups + getattr(self._raw_student, "obs_groups_2d", [])
        assert storage.observations is not None
        assert storage.privileged_actions is not None
        seen = storage.observations.select(*read).flatten(0, 1).clone()
        self._kept.append((seen, storage.privileged_actions.flatten(0, 1).clone()))
        storage.generator = self._mixed  # pyright: ignore[reportAttributeAccessIssue]
        return super().update()

    def load(self, loaded_dict: dict[str, Any], load_cfg: dict[str, Any] | None, strict: bool) -> bool:
        """Load a checkpoint, and begin the data set."""
        self._kept.clear()
        return super().load(loaded_dict, load_cfg, strict)

    def _mixed(self) -> Iterator[RolloutStorage.Batch]:
        """All that is kept once, in batches of the storage's size."""
        rows, count = self.storage.num_envs, len(self._kept[0][1])
        order = torch.randperm(len(self._kept) * count).split(rows)
        dones = torch.zeros(rows, 1, dtype=torch.uint8, device=self.device)
        for chosen in order:
            shares = list(self._shares(chosen, count))
            # TensorDict has a `cat` of its own, which torch's finds.
            seen: Any = torch.cat([kept[0][mine] for kept, mine in shares])  # pyright: ignore[reportArgumentType]
            labels = torch.cat([kept[1][mine] for kept, mine in shares])
            yield RolloutStorage.Batch(observations=seen, privileged_actions=labels, dones=dones)

    def _shares(self, chosen: Tensor, count: int) -> Iterator[tuple[tuple[TensorDict, Tensor], Tensor]]:
        """Each rollout of which something was chosen, and what of it."""
        for number, kept in enumerate(self._kept):
            mine = chosen[chosen // count == number] % count
            if len(mine):
                yield kept, mine
