"""What a velocity command is held against: when a walking robot has fallen, and where it was trained."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.contract import Contract
from policy_port.control.loop import Rows
from policy_port.control.plant import PlantState
from policy_port.control.signals import Signals

SETTLING = 2.0
"""Seconds at the start that count for survival, not for the mean velocity [s]."""

FALLEN_HEIGHT = 0.5
"""Where the contract has no min_height: an episode ends below this share of the base's height at the start."""

FALLEN_TILT = 1.0
"""Where the contract has no max_tilt: an episode ends beyond this tilt [rad]."""


@dataclass(frozen=True, kw_only=True)
class FallRule:
    """When a robot counts as fallen."""

    min_height: float
    """Lowest height of the base [m]."""
    max_tilt: float
    """Largest angle between the base's z axis and the vertical [rad]."""
    text: str
    """The rule in words, with where it comes from."""

    @staticmethod
    def of(contract: Contract, start_height: float) -> FallRule:
        """The contract's rule; a plain one where it states none."""
        if not contract.base.floating:
            return FallRule(min_height=-math.inf, max_tilt=math.inf, text="never: the base is fixed")
        height, tilt = contract.base.min_height, contract.base.max_tilt
        height_source = f"{100 * FALLEN_HEIGHT:.0f} % of the start" if height is None else "contract"
        tilt_source = "usual" if tilt is None else "contract"
        lowest = FALLEN_HEIGHT * start_height if height is None else height
        most = FALLEN_TILT if tilt is None else tilt
        text = f"base below {lowest:.3f} m ({height_source}) or tilted beyond {most:.2f} rad ({tilt_source})"
        return FallRule(min_height=lowest, max_tilt=most, text=text)

    def fallen(self, signals: Signals) -> Rows:
        """The environments that lie on the ground, or whose simulation has diverged."""
        return self.fallen_in(signals.state)

    def fallen_in(self, state: PlantState) -> Rows:
        """The same of a measurement alone."""
        return self.lies(state.base_pos, state.base_quat)

    def stand(self, signals: Signals) -> bool:
        """True when nobody has fallen: the common case, quickly answered."""
        numbers = signals.numbers
        if numbers is None:
            return np.count_nonzero(self._standing(signals.state)) == signals.num_envs
        # Plain numbers: of one environment the array operations take ten times as long.
        first = signals.column["base_quat"]
        x, y = numbers[first + 1], numbers[first + 2]
        height = numbers[signals.column["base_pos"] + 2]
        return height >= self.min_height and x * x + y * y <= self._most_lean

    def _standing(self, state: PlantState) -> Rows:
        return ~self.lies(state.base_pos, state.base_quat)

    def lies(self, base_pos: Any, base_quat: Any) -> Any:
        """Who lies on the ground by position [m] and orientation wxyz, both with a row per environment.

        They may be arrays or torch tensors, and so is what comes out, shape (num_envs,).
        """
        x, y = base_quat[:, 1], base_quat[:, 2]
        # Written so that NaN does not count as standing.
        return ~((base_pos[:, 2] >= self.min_height) & (x * x + y * y <= self._most_lean))

    @functools.cached_property
    def _most_lean(self) -> float:
        """Largest x^2 + y^2 of the base's quaternion: 0 is upright, 1 upside down."""
        return math.inf if self.max_tilt >= math.pi else 0.5 - 0.5 * math.cos(self.max_tilt)


def outside_trained_range(contract: Contract, command: Sequence[float]) -> list[str]:
    """A sentence for each element of the whole command that the policy reads and was never asked in training."""
    found = []
    for key, value in zip(contract.command.names, command, strict=True):
        bounds = contract.command.bounds(key)
        if key in contract.commanded and bounds is not None and not bounds[0] <= value <= bounds[1]:
            found.append(
                f"command {key} = {value:g} is outside [{bounds[0]:g}, {bounds[1]:g}], the range that contract "
                f"'{contract.name}' was trained in"
            )
    return found
