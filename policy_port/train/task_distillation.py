"""DAgger's data set for RSL-RL's distillation: what a step showed is learnt from more often than it was paid for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor

from policy_port.train.distillation import Distillation

WHITE = 255.0
"""What a byte of a picture is divided by; bytes are kept, which takes a quarter of the memory."""


class Aggregated(Distillation):
    """Learns from every rollout since the last checkpoint, mixed, where RSL-RL learns from the newest alone.

    For students without a memory. A checkpoint holds no rollouts, so that the data set begins anew at each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A CPU core learns from a picture in two thirds of the time so.
        self._raw_student.to(memory_format=torch.channels_last)  # type: ignore[no-matching-overload]
        self._kept: dict[str, Tensor] = {}
        self._labels_kept = torch.zeros(0)

    def update(self) -> dict[str, float]:
        """Learn, in as many epochs as ever, each of them over all that is kept."""
        storage, student = self.storage, self._raw_student
        pictures: list[str] = vars(student).get("obs_groups_2d", [])
        assert storage.observations is not None
        assert storage.privileged_actions is not None
        new = {name: storage.observations[name].flatten(0, 1) for name in self._raw_student.obs_groups}
        for name in pictures:
            new[name] = (storage.observations[name].flatten(0, 1) * WHITE).round().to(torch.uint8)
        labels = storage.privileged_actions.flatten(0, 1)
        if self._kept:
            new = {name: torch.cat([self._kept[name], values]) for name, values in new.items()}
            labels = torch.cat([self._labels_kept, labels])
        self._kept, self._labels_kept = {name: values.clone() for name, values in new.items()}, labels.clone()
        storage.generator = self._mixed
        return super().update()

    def load(self, loaded_dict: dict[str, Any], load_cfg: dict[str, Any] | None, strict: bool) -> bool:
        """Load a checkpoint, and begin the data set."""
        self._kept = {}
        return super().load(loaded_dict, load_cfg, strict)

    def _mixed(self) -> Generator[RolloutStorage.Batch]:
        """All that is kept once, in batches of the storage's size."""
        rows = self.storage.num_envs
        dones = torch.zeros(rows, 1, dtype=torch.uint8, device=self.device)
        for chosen in torch.randperm(len(self._labels_kept)).split(rows):
            seen = {name: values[chosen] for name, values in self._kept.items()}
            seen = {name: v.float() / WHITE if v.dtype == torch.uint8 else v for name, v in seen.items()}
            observations = TensorDict(seen, batch_size=[rows])
            yield RolloutStorage.Batch(
                observations=observations, privileged_actions=self._labels_kept[chosen], dones=dones
            )
