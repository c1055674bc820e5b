"""The search: MuJoCo's least squares on the multi-step residual, with priors, and what its minimum says.

Residuals are radians over their own standard deviation, one per sample and joint, and one per parameter for its prior.
The optimiser is the one that mujoco.sysid runs. sysid itself is not used: it starts each sequence from a state that is
given, not from a measurement that an offset and a gain turn into one, interpolates commands, and normalises each signal
by its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from mujoco.minimize import Verbosity, least_squares

from policy_port.arrays import Array
from policy_port.identify.parameters import Space, Values
from policy_port.identify.segments import Segments

DIFFERENCE = 0.01
"""Step of derivatives by differences, in standard deviations of the prior."""
GAINED = 0.1
"""A search whose last step lowered the cost by less is over."""
DAMPED, DAMPED_MORE = 0.1, 4.0
"""Least damping of a step, next to the priors' curvature of 1, and by how much it grows where a step fails."""
ON_BOUND, OFF_BOUND = 1e-3, 0.02
"""What lies so near a bound starts so far from it, as shares of the room between the bounds."""
FREE = 0.5
"""A parameter whose standard deviation the data leave above this share of the prior's is not identified."""


class Predictor(Protocol):
    """A simulator that predicts segments."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints of the columns."""
        ...

    @property
    def stock(self) -> Values:
        """What robot file and contract say."""
        ...

    @property
    def limits(self) -> Array:
        """Lower and upper position limit of each joint [rad], infinite where there is none; shape (joints, 2)."""
        ...

    @property
    def timestep(self) -> float:
        """Physics timestep [s]."""
        ...

    @property
    def quick(self) -> Predictor | None:
        """A quicker simulator of the same robot, in which a search of this one starts; None for one that is quick."""
        ...

    def predict(self, columns: Sequence[Values], segments: Segments) -> Array:
        """Readings [rad], shape (columns, segments, samples, joints)."""
        ...

    def close(self) -> None:
        """Free its threads, and end its processes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Segments to be predicted, and what is searched."""

    predictor: Predictor
    """The simulator."""
    segments: Segments
    """What is fitted."""
    weights: Array
    """One over the standard deviation that a residual of each joint is judged by [1/rad], shape (joints,)."""
    lead: int = 0
    """Samples at the start of each segment that are predicted and not judged: until then the noise of the start, of
    its velocity above all, has died away, which would drown what a delay of a few milliseconds changes."""

    def errors(self, columns: Sequence[Values]) -> Array:
        """Predicted less measured [rad], shape (columns, segments, judged samples, joints)."""
        return (self.predictor.predict(columns, self.segments) - self.segments.measured)[:, :, self.lead :]

    def residuals(self, space: Space, points: Array) -> Array:
        """Residuals at points, shape (segments * samples * joints + parameters, points); `points`: (parameters, n)."""
        error = self.errors([space.values(z) for z in points.T]) * self.weights
        return np.concatenate([error.reshape(points.shape[1], -1).T, points])

    def cost(self, space: Space, z: Array) -> float:
        """Squares summed over all residuals."""
        return float((self.residuals(space, z[:, None]) ** 2).sum())

    def minimise(self, space: Space, start: Array, most: int) -> Array:
        """Coordinates of the minimum that is reached from `start`."""
        low, high = space.bounds
        # A search that starts on a bound can stay there.
        room = high - low
        begin = np.where(start - low <= ON_BOUND * room, low + OFF_BOUND * room, start)
        begin = np.where(high - begin <= ON_BOUND * room, high - OFF_BOUND * room, begin)
        before = np.inf

        def slope(x: Array, at: Array) -> Array:
            nonlocal before
            cost = float((at**2).sum())
            if before - cost < GAINED:
                # Without a slope the search is over.
                return np.zeros((len(at), len(x)))
            before = cost
            return self.slope(space, x[:, 0], at[:, 0])

        found, _ = least_squares(
            *(begin, lambda x: self.residuals(space, x), [low, high], slope),
            max_iter=most,
            mu_min=DAMPED,
            mu_factor=DAMPED_MORE,
            xtol=1e-3,
            gtol=1e-4,
            verbose=Verbosity.SILENT,
        )
        return np.asarray(found, np.float64)

    def jacobian(self, space: Space, z: Array) -> tuple[Array, Array]:
        """Residuals at a point, shape (n,), and their derivatives, shape (n, parameters)."""
        residual = self.residuals(space, z[:, None])[:, 0]
        return residual, self.slope(space, z, residual, central=self.predictor.quick is None)

    def slope(self, space: Space, z: Array, residual: Array, *, central: bool = False) -> Array:
        """Derivatives at a point by differences, one-sided or central ones, shape (n, parameters)."""
        low, high = (end[:, None] for end in space.bounds)
        moves, here = DIFFERENCE * space.directions, z[:, None]
        # Away from a bound.
        moves = np.where(here + moves > high, -moves, moves)
        ahead, behind = (np.clip(here + sign * moves, low, high) for sign in (1.0, -1.0))
        if central:
            found = self.residuals(space, np.concatenate([ahead, behind], axis=1))
            change, step = found[:, : len(z)] - found[:, len(z) :], ahead - behind
        else:
            change, step = self.residuals(space, ahead) - residual[:, None], ahead - here
        return np.asarray(np.linalg.solve(step.T, change.T).T, np.float64)
