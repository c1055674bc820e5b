"""The search: mujoco.sysid's optimiser on the multi-step residual, with priors, and what its minimum says.

Residuals are radians over their own standard deviation, one per sample and joint, and one per parameter for its prior.
mujoco.sysid's `build_residual_fn` is not used: it starts each sequence from a state that is given, not from a
measurement that an offset and a gain turn into one, interpolates commands, and normalises each signal by its range.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from mujoco.sysid import Parameter, ParameterDict, optimize

from policy_port.arrays import Array
from policy_port.identify.parameters import Space, Values
from policy_port.identify.segments import Segments

DIFFERENCE = 0.01
"""Step of derivatives by differences, in standard deviations of the prior."""
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
        wanted = ParameterDict(
            {
                item.name: Parameter(item.name, float(np.clip(value, a, b)), float(a), float(b))
                for item, value, a, b in zip(space.parameters, start, low, high, strict=True)
            }
        )

        def residual(x: Array, _: object) -> tuple[list[Array], None, None]:
            points = x.reshape(len(space.parameters), -1)
            found = self.residuals(space, points)
            return [found if x.ndim > 1 else found[:, 0]], None, None

        def jacobian(x: Array, at: Array) -> Array:
            return self.slope(space, x.reshape(-1), at.reshape(-1))

        # A search that starts on a bound can stay there.
        wanted.move_off_bounds(0.02)
        _, result = optimize(
            *(wanted, residual),
            optimizer="mujoco",
            verbose=False,
            max_iters=most,
            jacobian=jacobian,
            xtol=1e-3,
            gtol=1e-4,
            output=io.StringIO(),
        )
        return np.asarray(result.x, np.float64).reshape(-1)

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
