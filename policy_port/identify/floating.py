"""A walking robot's dynamics from traces of a policy: ground friction, mass, delay and losses of all its joints.

Feet that touch and let go make multi-step errors jump, so stretches are short, large errors count less (soft L1), and
delays are tried on a grid first. Intervals take each stretch as one observation, whatever its samples share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator
from scipy.optimize import least_squares

from policy_port.arrays import Array
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import DynamicsError, EvidenceError, closest
from policy_port.identify.fit import FREE
from policy_port.identify.floating_predictor import WalkPredictor
from policy_port.identify.parameters import Parameter, Prior
from policy_port.identify.walks import Stretches, Walk, cut_walks
from policy_port.resources import assets_dir

KEYS = ("ground_friction", "base_mass", "delay", "friction", "damping")
"""What is searched: of the ground, of the base, and of every joint alike."""
PRIORS = "legged"
"""The priors that ship with the package."""
OF_JOINTS = ("delay", "friction", "damping")
HORIZON = 0.1
"""Longest stretch that is fitted [s]: what feet do when they touch grows from there."""
DELAYS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045, 0.06)
"""Tried before anything else [s]."""
FLOOR = np.array([1e-3, 1e-3, 1e-2, 2e-2])
"""Errors are never trusted more than this: joints [rad], position [m], linear [m/s] and angular velocity [rad/s]."""
STEP = 0.1
"""Step of derivatives, in standard deviations of the prior."""
TURNS = 6
"""Most times that errors are weighed anew and the search goes on."""
SETTLED = 0.01
"""A turn that moves every parameter by less is the last, in standard deviations of the priors."""
USELESS = 0.7
"""Predictions off by more than this share of what joints move are of another robot, or of shifted time stamps."""


class LeggedPriors(Strict):
    """A file of priors of a walking robot."""

    identify_legged_priors: Literal[1]
    """Version of this format."""
    parameters: dict[str, Prior]
    """By parameter."""

    @model_validator(mode="after")
    def _keys_are_known(self) -> LeggedPriors:
        for key in self.parameters:
            if key not in KEYS:
                raise ValueError(f"parameters: no parameter '{key}'{closest(key, KEYS)}; there are {', '.join(KEYS)}")
        lost = [key for key in KEYS if key not in self.parameters]
        if lost:
            raise ValueError(f"parameters: states nothing of {', '.join(lost)}; write fit: false to leave one alone")
        return self


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What was found."""

    parameters: tuple[Parameter, ...]
    """What was searched."""
    value: Array
    """Its values, shape (parameters,)."""
    covariance: Array
    """Of the values, shape (parameters, parameters)."""
    interval: Array
    """95 % intervals, shape (parameters, 2)."""
    identified: tuple[bool, ...]
    """Whether the data tell them."""
    errors: dict[str, Array]
    """Root mean square errors of "identified" and "stock": joints [rad], then position, linear and angular velocity of
    the base; shape (joints + 3,)."""
    growth: dict[str, Array]
    """Those of all joints together by time ahead, shape (samples,)."""
    ahead: Array
    """[s], shape (samples,)."""
    held_out: bool
    """Whether errors are of recordings that were not fitted."""


def load_legged(path: Path | str) -> LeggedPriors:
    """Read a file of priors, or the shipped one by its name ("legged").

    Raises:
        DynamicsError: When it is missing, malformed or contradicts itself.
    """
    file = Path(path) if Path(path).exists() else assets_dir() / "identify" / f"{path}.yaml"
    if not file.is_file():
        raise DynamicsError(f"{path}: no such file of priors; of walking robots {PRIORS} is shipped")
    return parse(LeggedPriors, read_yaml(file, DynamicsError), DynamicsError)


def identify_walk(
    predictor: WalkPredictor,
    walks: tuple[Sequence[Walk], Sequence[Walk]],
    priors: LeggedPriors,
    effort: tuple[float, int],
    note: Callable[[str], None] = lambda _: None,
) -> Walked:
    """Identify a walking robot.

    Args:
        predictor: The robot in its simulator.
        walks: What is fitted, and what is held out (may be none).
        priors: What is believed.
        effort: Longest stretch [s] and most stretches.
        note: Told what is being done.

    Raises:
        EvidenceError: When the recordings can't be this robot's.
    """
    horizon, most = min(effort[0], HORIZON), effort[1]
    fitted = cut_walks(walks[0], horizon, most)
    stock = predictor.stock
    search = _Search(predictor, fitted, _parameters(priors, stock), dict(stock))
    note(f"{fitted.segments.count} stretches of {horizon:g} s; delays on a grid")
    z = search.delays(np.zeros(len(search.parameters)))
    for turn in range(TURNS):
        note(f"searching ({turn + 1} of {TURNS} at most)")
        search.weigh(z)
        before, z = z, search.minimise(z)
        if np.abs(z - before).max() < SETTLED:
            break
    search.weigh(z)
    judged = cut_walks(walks[1] or walks[0], horizon)
    found = {"identified": predictor.errors(search.values(z), judged),
             "stock": predictor.errors(stock, judged, stock=True)}  # fmt: skip
    _refuse_useless(found["identified"], judged, len(predictor.joint_names))
    return _walked(search, z, bool(walks[1]), (found, judged))


def _refuse_useless(error: Array, judged: Stretches, joints: int) -> None:
    moved = judged.segments.measured - judged.segments.position[:, None]
    off, still = np.median(np.abs(error[..., :joints])), np.median(np.abs(moved))
    if off > USELESS * still:
        raise EvidenceError(
            f"{judged.segments.recordings[0].name}: predictions are off by {off:.3g} rad where joints move by "
            f"{still:.3g}: targets and readings are shifted against each other in time, belong to another robot, or "
            "reach it through another contract. Give the contract that was played with --contract FILE"
        )


def _parameters(priors: LeggedPriors, stock: dict[str, float]) -> list[Parameter]:
    made = []
    for key, prior in priors.parameters.items():
        value = stock[key] if prior.prior == "stock" else prior.prior
        if not prior.fit:
            stock[key] = value
            continue
        value = min(max(value, prior.bounds[0]), prior.bounds[1])
        spread = math.log(prior.factor) if prior.factor is not None else float(prior.spread or 1.0)
        made.append(Parameter(name=key, key=key, column=0, prior=value, spread=spread, log=prior.factor is not None,
                              bounds=prior.bounds, source=prior.source))  # fmt: skip
    return made


class _Search:
    """Residuals of stretches, weighed by what is left of them, and of the priors."""

    def __init__(
        self, predictor: WalkPredictor, stretches: Stretches, parameters: list[Parameter], fixed: dict[str, float]
    ) -> None:
        self.parameters, self.predictor, self._stretches, self._fixed = parameters, predictor, stretches, fixed
        self._joints = len(predictor.joint_names)
        self._weight = np.ones(self._joints + 9)
        self._low = np.array([item.coordinate(item.bounds[0]) for item in parameters])
        self._high = np.array([item.coordinate(item.bounds[1]) for item in parameters])
        self.weigh(np.zeros(len(parameters)))

    def values(self, z: Array) -> dict[str, float]:
        return self._fixed | {item.key: item.value(float(x)) for item, x in zip(self.parameters, z, strict=True)}

    def weigh(self, z: Array) -> None:
        """Weigh each kind of error by its usual size, a stretch's samples as few observations."""
        error = self.predictor.errors(self.values(z), self._stretches)
        size = 1.5 * np.median(np.abs(error), axis=(0, 1))
        kinds = np.repeat(np.arange(4), [self._joints, 3, 3, 3])
        usual = np.array([np.median(size[kinds == kind]) for kind in range(4)])
        self._weight = 1.0 / (np.maximum(usual, FLOOR)[kinds] * np.sqrt(error.shape[1]))

    def of_stretches(self, z: Array) -> Array:
        """Shape (stretches, residuals)."""
        error = self.predictor.errors(self.values(z), self._stretches) * self._weight
        return error.reshape(len(error), -1)

    def delays(self, z: Array) -> Array:
        """Coordinates with the delay that predicts best."""
        index = next((i for i, item in enumerate(self.parameters) if item.key == "delay"), None)
        if index is None:
            return z
        item, tried = self.parameters[index], []
        for delay in DELAYS:
            one = z.copy()
            one[index] = np.clip(item.coordinate(delay), self._low[index], self._high[index])
            tried.append((float(np.abs(self.of_stretches(one)).sum()), one))
        return min(tried, key=lambda pair: pair[0])[1]

    def minimise(self, z: Array) -> Array:
        inside = np.clip(z, self._low + 1e-6, self._high - 1e-6)
        # Its stubs say that derivatives are named, and not given.
        solve: Any = least_squares
        found = solve(
            lambda x: np.concatenate([self.of_stretches(x).reshape(-1), x]),
            inside, bounds=(self._low, self._high), loss="soft_l1", diff_step=STEP, x_scale=1.0, max_nfev=8,
            jac=self._slope,
        )  # fmt: skip
        return found.x

    def _slope(self, z: Array, *_: Any) -> Array:
        found = self._stretch_slopes(z)
        return np.concatenate([found.reshape(-1, len(z)), np.eye(len(z))])

    def _stretch_slopes(self, z: Array) -> Array:
        """Derivatives by central differences, shape (stretches, residuals, parameters)."""
        columns = []
        for index in range(len(z)):
            ahead, behind = z.copy(), z.copy()
            ahead[index] = min(z[index] + STEP, self._high[index])
            behind[index] = max(z[index] - STEP, self._low[index])
            columns.append((self.of_stretches(ahead) - self.of_stretches(behind)) / (ahead[index] - behind[index]))
        return np.stack(columns, axis=-1)

    def covariance(self, z: Array) -> Array:
        """Of the coordinates, with each stretch as one observation, and never less than the curvature's own."""
        residual, slope = self.of_stretches(z), self._stretch_slopes(z)
        soft = 1.0 / np.sqrt(1.0 + residual**2)
        gradient = np.einsum("sr,srp->sp", soft * residual, slope)
        inverse = np.linalg.inv(np.einsum("sr,srp,srq->pq", soft, slope, slope) + np.eye(len(z)))
        middle = gradient.T @ gradient + np.eye(len(z))
        wide = inverse @ middle @ inverse
        scale = np.sqrt(np.maximum(np.diag(wide), np.diag(inverse)) / np.diag(wide))
        return wide * np.outer(scale, scale)


def _walked(search: _Search, z: Array, held_out: bool, judged: tuple[dict[str, Array], Stretches]) -> Walked:
    covariance = search.covariance(z)
    spread = np.sqrt(np.diag(covariance))
    items, (found, stretches), joints = search.parameters, judged, search.predictor.joint_names
    known = tuple(bool(own < FREE) for own in spread)
    ends = np.array([[item.value(float(at + side * 1.96 * own)) for side in (-1, 1)]
                     for item, at, own in zip(items, z, spread, strict=True)])  # fmt: skip
    bounds = np.array([item.bounds for item in items])
    interval = np.clip(ends, bounds[:, :1], bounds[:, 1:])
    value = np.array([item.value(float(at)) if sure else item.prior
                      for item, at, sure in zip(items, z, known, strict=True)])  # fmt: skip
    slope = np.array([item.spread * (now if item.log else 1.0) for item, now in zip(items, value, strict=True)])
    errors, growth = {}, {}
    for name, error in found.items():
        square = error**2
        base = square[..., len(joints) :].mean(axis=(0, 1)).reshape(3, 3).sum(axis=1)
        errors[name] = np.sqrt(np.concatenate([square[..., : len(joints)].mean(axis=(0, 1)), base]))
        growth[name] = np.sqrt(square[..., : len(joints)].mean(axis=(0, 2)))
    return Walked(
        parameters=tuple(items),
        value=value,
        covariance=covariance * np.outer(slope, slope),
        interval=interval,
        identified=known,
        errors=errors,
        growth=growth,
        ahead=stretches.segments.after.mean(axis=0),
        held_out=held_out,
    )
