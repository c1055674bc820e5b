"""A loop in which every action takes effect one control step later: delays are usual in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.controller import Controller


class LateController(Controller):
    """A controller whose targets are those of the step before; after a reset, the start pose."""

    _held: Array | None = None

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget the past; see `Controller.reset`."""
        super().reset(rows)
        chosen = slice(None) if rows is None else rows
        if self._held is None:
            self._held = self.signals.joint_target.copy()
        self._held[chosen] = self.signals.joint_target[chosen]

    def __call__(self) -> Array:
        """Do one control step; see `Controller`."""
        assert self._held is not None, "the control loop resets a controller before its first step"
        given, self._held = self._held, super().__call__().copy()
        return given
