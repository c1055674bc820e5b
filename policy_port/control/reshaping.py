"""The delays and filters of a contract's action, on the signals of a controller; see `contract.shaping`."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.spec import Contract
from policy_port.control.shaping import Delay, Rows, Shaping, smoothing
from policy_port.control.signals import Signals


class Reshaping:
    """Delay and filter of raw actions; fills `signals.filtered_action`."""

    def __init__(self, contract: Contract, signals: Signals) -> None:
        self._kept = signals.filtered_action
        # As wide rows of their own where nothing else may lie between them; see `ActionDecoder`.
        self.values = np.zeros(self._kept.shape) if signals.num_envs > 1 else self._kept
        """The raw actions in force, shape (num_envs, action size)."""
        action, shape = contract.action, (signals.num_envs, contract.action_size)
        self._parts: list[Shaping] = []
        if action.late.steps:
            self._parts.append(Delay(shape, action.late.steps, first=action.late.fill == "first"))
        if action.filter is not None and action.filter.of == "raw":
            self._parts.append(smoothing(action.filter, shape, contract.control_dt))
        signals.at_reset.append(self._forget)

    def _forget(self, rows: Rows) -> None:
        for part in self._parts:
            part.reset(rows, 0.0)

    def __call__(self, raw: Array) -> None:
        """Take in the clipped raw actions of a step."""
        self.values[...] = raw
        for part in self._parts:
            part(self.values)
        if self.values is not self._kept:
            self._kept[...] = self.values


def reshaping(contract: Contract, signals: Signals) -> Reshaping | None:
    """What a contract does to raw actions; None where they take effect as they are."""
    return Reshaping(contract, signals) if contract.action.reshapes_raw else None


def target_smoothing(contract: Contract, signals: Signals) -> Shaping | None:
    """The filter of joint targets that a contract states; None where it states none."""
    stated = contract.action.filter
    if stated is None or stated.of != "target":
        return None
    target, default = signals.joint_target, signals.default_joint_pos()
    # A joint that the action does not drive is held where it started; a velocity or an effort starts from zero.
    positions = [name for name in contract.action_joint_names if contract.drives[name] == "position"]
    by_default = [stated.held == "default" and name in positions for name in signals.joint_names]
    filter_ = smoothing(stated, (signals.num_envs, len(signals.joint_names)), contract.control_dt)
    signals.at_reset.append(lambda rows: filter_.reset(rows, np.where(by_default, default, target)))
    return filter_
