"""What a replay is measured by, summed up on the device: one row per episode, to the host when all is done."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from policy_port.contract import Contract
from policy_port.replay import metrics
from policy_port.replay.held_metrics import Figures
from policy_port.replay.velocity import SETTLING


class Sums:
    """Sums over the steps of each environment's episode; pure tensors, nothing of them on the host."""

    def __init__(
        self, contract: Contract, joint_names: tuple[str, ...], episodes: int, num_envs: int, device: torch.device
    ) -> None:
        """Make room for so many episodes."""
        driven = [joint_names.index(name) for name in contract.action_joint_names]
        drives = contract.drives
        self._placed = self._index([at for at in driven if drives[joint_names[at]] == "position"], device)
        self._turned = self._index([at for at in driven if drives[joint_names[at]] == "velocity"], device)
        limits = {name: joint.effort_limit for name, joint in contract.joints.items()}
        limited = [at for at in driven if limits[joint_names[at]] is not None]
        self._limited = self._index(limited, device)
        bounds = [metrics.SATURATED * float(limits[joint_names[at]] or 0.0) for at in limited]
        self._bounds = torch.tensor(bounds, dtype=torch.float32, device=device)
        self._settled = round(SETTLING / contract.control_dt)
        self._actions = contract.action_size
        # Columns: velocity x, y and yaw; squared errors of positions and velocities; changes of actions; drives at
        # their limit; whether an effort was told. In 64 bits, as sums of many steps.
        self._now = torch.zeros(num_envs, 8, dtype=torch.float64, device=device)
        # One row more than there are episodes takes what nobody counts.
        self._ended = torch.zeros(episodes + 1, 8, dtype=torch.float64, device=device)
        self.lasted: Tensor = torch.zeros(episodes + 1, dtype=torch.int64, device=device)
        """Control steps of each episode."""
        self.fallen: Tensor = torch.zeros(episodes + 1, dtype=torch.bool, device=device)
        """Which ended in a fall."""

    @staticmethod
    def _index(numbers: list[int], device: torch.device) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=device)

    def add(
        self, age: Tensor, state: dict[str, Tensor], effort: Tensor, last: tuple[Tensor, Tensor], action: Tensor
    ) -> None:
        """Count one moment of decision.

        Args:
            age: Control steps since each environment's start, shape (num_envs,).
            state: What was measured.
            effort: What the drives applied, shape (num_envs, joints).
            last: Target and action of the step before; nothing is counted of them where the age is 0.
            action: The raw action now.
        """
        target, before = last
        now, later = self._now, (age >= 1).to(torch.float64)
        settled = (age >= self._settled).to(torch.float64)[:, None]
        now[:, 0:2] += settled * state["base_lin_vel"][:, :2]
        now[:, 2:3] += settled * state["base_ang_vel"][:, 2:]
        now[:, 3] += later * _squares(target, state["joint_pos"], self._placed)
        now[:, 4] += later * _squares(target, state["joint_vel"], self._turned)
        now[:, 5] += later * (action - before).abs().sum(1)
        told = effort.index_select(1, self._limited)
        now[:, 6] += (told.abs() >= self._bounds).sum(1)
        now[:, 7] += (~torch.isfinite(told)).sum(1)

    def close(self, number: Tensor, rows: Tensor, age: Tensor, fallen: Tensor) -> None:
        """Write down the episodes that ended.

        Args:
            number: The episode of each environment; one past the last where nobody counts it, shape (num_envs,).
            rows: The environments whose episode ended.
            age: Steps that it lasted.
            fallen: Whether it ended in a fall.
        """
        place = torch.where(rows, number, len(self.lasted) - 1)
        self._ended.index_copy_(0, place, self._now)
        self.lasted.index_copy_(0, place, age)
        self.fallen.index_copy_(0, place, fallen)
        self._now.masked_fill_(rows[:, None], 0.0)

    def figures(self) -> list[Figures]:
        """What is known of each episode, on the host."""
        sums, lasted = self._ended[:-1].cpu().tolist(), self.lasted[:-1].cpu().tolist()
        limited, placed, turned = len(self._limited), len(self._placed), len(self._turned)
        found = []
        for row, steps in zip(sums, lasted, strict=True):
            moving, pairs = steps - self._settled, steps - 1
            known = limited > 0 and row[7] == 0.0
            found.append(
                Figures(
                    velocity=tuple(value / moving for value in row[:3]) if moving > 0 else None,
                    error=_root(row[3], pairs * placed),
                    slip=_root(row[4], pairs * turned),
                    rate=row[5] / (pairs * self._actions) if pairs > 0 else math.nan,
                    saturated=row[6] / (steps * limited) if known else None,
                )
            )
        return found


def _squares(target: Tensor, found: Tensor, joints: Tensor) -> Tensor:
    return (target.index_select(1, joints) - found.index_select(1, joints)).square().sum(1)


def _root(total: float, count: int) -> float:
    return math.sqrt(total / count) if count > 0 else math.nan
