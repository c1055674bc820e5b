"""The learning curve: what RSL-RL's runner tells its logger, a row an iteration, and nothing that a clock says.

RSL-RL's own logger keeps averages over the last hundred episodes, which no checkpoint holds; a run that was killed
would draw another curve. Here a row is made of its own iteration alone.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from policy_port.errors import TrainError

Row = dict[str, str]
"""Numbers by name, written so that they read back as they were; "" where there is none."""

BOARD = {
    "return": "Train/mean_reward",
    "length": "Train/mean_episode_length",
    "learning_rate": "Loss/learning_rate",
    "action_std": "Policy/mean_std",
}
"""Names of RSL-RL's own curves, so that runs lie over one another in TensorBoard."""


class Curve:
    """Stands where RSL-RL's runner expects its logger."""

    writer = None
    """RSL-RL's runner saves and uploads where its logger has a writer; here the loop saves."""
    log_dir = None

    def __init__(self, rows: list[Row], num_envs: int, device: str, board: Any = None, bar: Any = None) -> None:
        """Go on from `rows`.

        Args:
            rows: The iterations so far; new ones are appended.
            num_envs: Number of environments.
            device: Where the environment's tensors are.
            board: A TensorBoard writer.
            bar: A tqdm bar, one step an iteration.
        """
        self.rows = rows
        self.step = 1.0
        """Share of RSL-RL's rate at which the actor learns; what is told is the actor's."""
        self._board, self._bar = board, bar
        self._sums = torch.zeros((2, num_envs), device=device)
        self._told: dict[str, list[Any]] = {}
        self._empty()

    def begin(self) -> None:
        """Every environment starts a new episode."""
        self._sums.zero_()
        self._empty()

    def init_logging_writer(self) -> None:
        """RSL-RL would open TensorBoard and copy the difference of the repository around it."""

    def save_model(self, path: str, it: int) -> None:
        """RSL-RL would upload it."""

    def stop_logging_writer(self) -> None:
        """The loop closes TensorBoard."""

    def process_env_step(
        self, rewards: Tensor, dones: Tensor, extras: Mapping[str, Any], intrinsic_rewards: Tensor | None = None
    ) -> None:
        """Add one step. Nothing here waits for the device."""
        ended = dones > 0
        self._sums += torch.stack([rewards, torch.ones_like(rewards)])
        early = ended & ~(extras["time_outs"] > 0) if "time_outs" in extras else ended
        totals = [rewards.sum(), ended.sum(), early.sum(), *(self._sums * ended).sum(1)]
        self._totals += torch.stack([total.double() for total in totals])
        self._sums *= ~ended
        self._steps += 1
        for name, value in extras.get("log", {}).items():
            self._told.setdefault(name, []).append(value)

    def log(self, *, it: int, loss_dict: Mapping[str, float], learning_rate: float, **more: Any) -> None:
        """End an iteration: make its row, and stop where a number is none.

        Raises:
            TrainError: Naming what is not finite.
        """
        total, ended, early, returns, lengths = self._totals.tolist()
        mean = {
            "reward": total / self._steps / self._sums.shape[1],
            "episodes": ended,
            "return": returns / ended if ended else None,
            "length": lengths / ended if ended else None,
            "ended_early": early / ended if ended else None,
            "learning_rate": learning_rate * self.step,
            "action_std": more["action_std"].mean().item(),
            **{f"Loss/{name}": value for name, value in loss_dict.items()},
            **{name: _mean(values) for name, values in self._told.items()},
        }
        bad = [name for name, value in mean.items() if value is not None and not math.isfinite(value)]
        if bad:
            raise TrainError(
                f"iteration {it}: {', '.join(bad)} came to {mean[bad[0]]}, which is no number to learn from"
            )
        self.rows.append({"iteration": str(it), **{n: "" if v is None else repr(v) for n, v in mean.items()}})
        self._show(it, mean, more["collect_time"] + more["learn_time"])
        self._empty()

    def undo(self, iterations: int) -> None:
        """Take the newest iterations back: the rows, the bar, and what TensorBoard shows."""
        del self.rows[-iterations:]
        if self._bar is not None:
            self._bar.update(-iterations)
        if self._board is not None:
            from tensorboard.compat.proto import event_pb2

            made: Any = event_pb2
            again = made.SessionLog(status=made.SessionLog.START)
            self._board.file_writer.add_event(made.Event(step=len(self.rows), session_log=again))

    def _empty(self) -> None:
        self._totals = torch.zeros(5, dtype=torch.float64, device=self._sums.device)
        self._steps = 0
        self._told.clear()

    def _show(self, it: int, mean: Mapping[str, float | None], seconds: float) -> None:
        if self._board is not None:
            for name, value in mean.items():
                if value is not None:
                    self._board.add_scalar(BOARD.get(name, name if "/" in name else f"Train/{name}"), value, it)
            self._board.add_scalar("Perf/total_fps", self._steps * self._sums.shape[1] / seconds, it)
        if self._bar is not None:
            errors = [name for name in mean if "error" in name] or [name for name in mean if name == "Loss/behavior"]
            shown = {"reward": mean["reward"], **{name.rpartition("/")[2]: mean[name] for name in errors[:1]}}
            self._bar.set_postfix({name: f"{value:.3g}" for name, value in shown.items()}, refresh=False)
            self._bar.update(1)


def _mean(values: Iterable[Any]) -> float:
    """Mean over the steps of an iteration: of numbers, or of tensors on one device."""
    return torch.stack([torch.as_tensor(value, dtype=torch.float64).mean() for value in values]).mean().item()


def csv_text(rows: list[Row]) -> str:
    """Rows as CSV; a column for every name, in the order in which they came up."""
    names = dict.fromkeys(name for row in rows for name in row)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def read_rows(path: Path, before: int | None = None) -> list[Row]:
    """The rows of a CSV file of a run; only those of iterations below `before`, where it is given. None: no rows."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [dict(row) for row in csv.DictReader(stream)]
    return [row for row in rows if before is None or int(row["iteration"]) < before]
