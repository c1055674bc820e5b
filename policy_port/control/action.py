"""From the network's output to joint targets, in the plant's joint order: of each joint in its drive's quantity."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.spec import Contract
from policy_port.control.derived import computed
from policy_port.control.reshaping import reshaping, target_smoothing
from policy_port.control.signals import Signals
from policy_port.deploy.reference import targets
from policy_port.deploy.targets import HELD, joint_targets


class ActionDecoder:
    """Turns raw actions into targets; allocates nothing after its construction.

    A joint's target is a position, a velocity or an effort, whatever its drive is; all come about alike. A joint that
    the action does not drive keeps the target that it has from reset: its start position.
    """

    def __init__(self, contract: Contract, signals: Signals) -> None:
        """Plan the scatter.

        Args:
            contract: The contract that says what the action means.
            signals: Where the last action and the targets are kept.

        Raises:
            ContractError: When a joint is in a unit that has no fixed ratio to SI.
            MotionError: When the action adds to a reference motion that nobody gives, or that lacks its joints.
        """
        self._source = signals.row
        self._last_action = signals.last_action
        self._target = signals.joint_target
        self._joint_pos = signals.state.joint_pos
        self._raw_clip = contract.action.raw_clip
        # NumPy is quicker where nothing lies between the rows, as in an array of many environments' signals.
        self._apart = signals.num_envs > 1
        self._last = np.zeros(self._last_action.shape) if self._apart else self._last_action
        self._raw_lower, self._raw_upper = (np.tile(bound, (signals.num_envs, 1)) for bound in contract.raw_bounds)
        self._reshaping = reshaping(contract, signals)
        self._in_force = self._last if self._reshaping is None else self._reshaping.values
        self._smoothing = target_smoothing(contract, signals)

        driven, first = joint_targets(contract), _first_column(contract, signals)
        drives = [driven.get(name, HELD) for name in signals.joint_names]
        column = {name: first + element for element, name in enumerate(driven)}
        columns = [column.get(name, signals.column["zero"]) for name in signals.joint_names]
        self._columns = np.array(columns, dtype=np.intp)
        # One row per environment although all are equal: NumPy takes a third of the time when nothing is broadcast.
        rows = (signals.num_envs, 1)
        self._gain = np.tile([drive.gain for drive in drives], rows)
        self._bias = np.tile([drive.bias for drive in drives], rows)
        self._keep_target = np.tile([float(drive.reference == "joint_target") for drive in drives], rows)
        self._keep_pos = np.tile([float(drive.reference == "joint_pos") for drive in drives], rows)
        self._lower = np.tile([drive.clip[0] for drive in drives], rows)
        self._upper = np.tile([drive.clip[1] for drive in drives], rows)
        self._adds_to_target = bool(self._keep_target.any())
        self._all_add_to_target = bool(self._keep_target.all())
        self._adds_to_pos = bool(self._keep_pos.any())
        self._clips = bool(np.isfinite(self._lower).any() or np.isfinite(self._upper).any())
        self._shifts = bool(self._bias.any())
        self._in_order = self._columns.tolist() == list(range(first, first + contract.action_size))
        self._raw = np.zeros_like(self._gain)
        self._measured = np.zeros_like(self._raw)
        followed = tuple(name for name, drive in driven.items() if drive.reference == "motion")
        self._reference = np.zeros_like(self._raw)
        wanted = {"reference": (partial(targets, names=followed), self._reference)}
        self._follow = computed(signals, wanted) if followed else None

    def decode(self, action: NDArray[np.float32]) -> Array:
        """Set `signals.last_action` and `signals.joint_target` from the network's output.

        Args:
            action: Raw actions, shape (num_envs, action size).

        Returns:
            `signals.joint_target` [SI], shape (num_envs, joints), plant joint order.
        """
        last, raw, target = self._last, self._raw, self._target
        last[...] = action
        if self._raw_clip is not None:
            np.maximum(last, self._raw_lower, last)
            np.minimum(last, self._raw_upper, last)
        if self._apart:
            self._last_action[...] = last
        if self._reshaping is not None:
            self._reshaping(last)
        if self._in_order:
            np.multiply(self._in_force, self._gain, raw)
        else:
            # mode="clip" only because the other modes buffer `out`; the columns are in range by construction.
            self._source.take(self._columns, 1, raw, "clip")
            np.multiply(raw, self._gain, raw)
        if self._adds_to_pos:
            np.multiply(self._joint_pos, self._keep_pos, self._measured)
            np.add(raw, self._measured, raw)
        if self._follow is not None:
            self._follow()
            np.add(raw, self._reference, raw)
        if self._adds_to_target:
            if self._shifts:
                np.add(raw, self._bias, raw)
            if not self._all_add_to_target:
                np.multiply(target, self._keep_target, target)
            np.add(target, raw, target)
        else:
            np.add(raw, self._bias, target)
        if self._clips:
            np.maximum(target, self._lower, target)
            np.minimum(target, self._upper, target)
        if self._smoothing is not None:
            self._smoothing(target)
        return target


def _first_column(contract: Contract, signals: Signals) -> int:
    """Where in the row the raw actions in force begin."""
    return signals.column["filtered_action" if contract.action.reshapes_raw else "last_action"]
