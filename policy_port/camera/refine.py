"""A camera's pose by least squares on outlines, and how well it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from policy_port.arrays import Array
from policy_port.camera.silhouette import Outlines, Zeros
from policy_port.camera.view import View

STEP = 1e-4
"""Step of the differences by which derivatives are taken [m or rad]."""
SHARED = 0.4
"""What all pictures' outlines may have in common and the jackknife can't see [pixels worked in]: how points stand for
surfaces, how masks are ragged. From benchmarks/camera_solve.py: with less, the truth is too often outside."""
PER_LINK = 0.25
"""By how much one link's outline may be wider than the others' in every picture [pixels worked in]. A joint's zero and
the camera's place trade off against each other, and this is what tells them apart. From benchmarks/camera_solve.py."""
LIKELY_ZERO = math.radians(4.0)
"""By how much a joint's zero usually is off [rad]: one that the pictures hardly tell stays where it is said."""
STEPS = 5
"""Steps of a pass, and shorter ones tried in its place, at most."""
PASSES = (6.0, 3.0, 1.5, 1.0, 1.0, 1.0)
"""Distance from which on a point of the outline counts for less, pass by pass [pixels]."""


@dataclass(frozen=True, kw_only=True)
class Unknowns:
    """What is solved for beside a camera's position and direction."""

    fov: bool = False
    """Its field of view."""
    principal: bool = False
    """Its principal point."""
    zeros: tuple[str, ...] = ()
    """Joints whose zeros may be off."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers, in their order."""
        lens = ("fov",) * self.fov + ("principal x", "principal y") * self.principal
        return ("x", "y", "z", "roll", "pitch", "yaw", *lens, *self.zeros)

    def applied(self, view: View, zeros: Zeros, change: Array) -> tuple[View, dict[str, float]]:
        """A view and zeros, changed by numbers in the order of `names` [m, rad, and rows for the principal point]."""
        rest = list(change[6:])
        lens: dict[str, object] = {}
        if self.fov:
            lens["fov"] = float(np.clip(view.fov + rest.pop(0), 0.05, 2.8))
        if self.principal:
            x, y = view.principal
            rows = view.size[0]
            lens["principal"] = (x + rows * float(rest.pop(0)), y + rows * float(rest.pop(0)))
        moved = {name: zeros.get(name, 0.0) + float(value) for name, value in zip(self.zeros, rest, strict=True)}
        return view.moved(change[:3], change[3:6], **lens), {**zeros, **moved}


@dataclass(frozen=True, kw_only=True)
class Refined:
    """A view that fits the outlines best."""

    view: View
    """It."""
    zeros: dict[str, float]
    """By how much joints stand further than they say [rad]."""
    edges: Array
    """By how much each mask is too small all around [pixels worked in], shape (pictures,)."""
    unknowns: Unknowns
    """What was solved for."""
    jacobian: list[Array] = field(repr=False)
    """Of each picture: weighted derivatives, shape (points, unknowns + 1); the last is the edge's."""
    residual: list[Array] = field(repr=False)
    """Of each picture, weighted [pixels], shape (points,)."""
    links: list[NDArray[np.intp]] = field(repr=False)
    """Of each picture, the link that each point is on, shape (points,)."""

    slip: float
    """What a pixel worked in is at the camera [rad]."""
    distance: float
    """From the camera to the arm [m]."""

    def covariance(self) -> Array:
        """Covariance of the unknowns by the jackknife over pictures, and what these share, in the order of their names.

        What disturbs an outline, a ragged mask or a shadow, disturbs it along whole links: points are not independent,
        pictures are. The covariance is what leaving each picture out changes.
        """
        parts = [_without_edge(jac, res) for jac, res in zip(self.jacobian, self.residual, strict=True)]
        normal, gradient = sum(part[0] for part in parts), sum(part[1] for part in parts)
        count = len(parts)
        left = [-np.linalg.pinv(normal - part[0]) @ (gradient - part[1]) for part in parts]
        away = np.array(left) - np.mean(left, axis=0)
        aside = SHARED * self.slip * self.distance
        known = {"roll": SHARED * self.slip, "pitch": SHARED * self.slip, "yaw": SHARED * self.slip}
        known |= {"x": aside, "y": aside, "z": aside, "fov": 2.0 * SHARED * self.slip}
        shared = np.array([known.get(name, 0.0) for name in self.unknowns.names])
        wider = PER_LINK * np.linalg.pinv(normal) @ self._of_links()
        return (count - 1) / count * away.T @ away + np.diag(shared**2) + wider @ wider.T

    def _of_links(self) -> Array:
        """Gradients where one link's outline is a pixel wider in every picture, shape (unknowns, links)."""
        # The edge's derivative is minus what a point counts.
        wide = [
            [
                _without_edge(jac, -jac[:, -1] * (links == link))[1]
                for jac, links in zip(self.jacobian, self.links, strict=True)
            ]
            for link in np.unique(np.concatenate(self.links))
        ]
        return np.sum(wide, axis=1).T

    def half_width(self, std: Array) -> Array:
        """Half the widths of intervals that hold three numbers together with 95 %."""
        return np.asarray(std) * float(stdtrit(len(self.jacobian) - 1, 1.0 - 0.025 / 3.0))

    def weakest(self) -> tuple[str, ...]:
        """The unknowns that the pictures tell least of, those that trade off against each other together."""
        normal = sum(_without_edge(jac, res)[0] for jac, res in zip(self.jacobian, self.residual, strict=True))
        scale = np.sqrt(np.diag(normal)).clip(1e-12)
        direction = np.linalg.eigh(normal / np.outer(scale, scale))[1][:, 0]
        share = np.abs(direction) / np.abs(direction).max()
        return tuple(name for name, part in zip(self.unknowns.names, share, strict=True) if part > 0.5)


def _without_edge(jac: Array, res: Array) -> tuple[Array, Array]:
    """Normal matrix and gradient of a picture's unknowns, its edge solved for."""
    edge = jac[:, -1:]
    share = np.einsum("ni,n->i", jac[:, :-1], edge[:, 0]) / max(float((edge * edge).sum()), 1e-9)
    inner = jac[:, :-1] - edge * share
    return np.einsum("ni,nj->ij", inner, inner), np.einsum("ni,n->i", inner, res)


class _Pass:
    """Residuals and derivatives for outlines that are held fixed on the arm while the camera moves."""

    def __init__(self, outlines: Outlines, view: View, zeros: Zeros, unknowns: Unknowns) -> None:
        self.outlines, self.view, self.zeros, self.unknowns = outlines, view, zeros, unknowns
        self.contours = [outlines.contour(index, view, zeros) for index in range(len(outlines.shots))]
        lengths = [len(part) for part in self.contours]
        self.ends = np.cumsum([0, *lengths])
        self.picture = np.repeat(np.arange(len(lengths)), lengths)
        self._still = self._placed(zeros)

    @property
    def distance(self) -> float:
        """From the camera to the arm's outlines [m]."""
        return float(np.median(self.view.project(self._still)[1]))

    def _placed(self, zeros: Zeros) -> Array:
        return np.concatenate([self.outlines.placed(index, part, zeros) for index, part in enumerate(self.contours)])

    def _distances(self, change: Array) -> Array:
        view, zeros = self.unknowns.applied(self.view, self.zeros, change)
        placed = self._still if zeros == self.zeros else self._placed(zeros)
        return self.outlines.distances(self.picture, placed, view)

    def unlikely(self, numbers: Array) -> tuple[Array, Array]:
        """How far zeros are from where they are said to be, in `LIKELY_ZERO`, and its derivatives' diagonal."""
        off, slope = np.zeros(len(numbers)), np.zeros(len(numbers))
        names = self.unknowns.names
        for name in self.unknowns.zeros:
            place = names.index(name)
            off[place] = (self.zeros.get(name, 0.0) + numbers[place]) / LIKELY_ZERO
            slope[place] = 1.0 / LIKELY_ZERO
        return off, slope

    def residual(self, numbers: Array) -> Array:
        """Distances less what the masks' edges are off [pixels]."""
        count = len(self.unknowns.names)
        return self._distances(numbers[:count]) - np.repeat(numbers[count:], np.diff(self.ends))

    def jacobian(self, numbers: Array) -> Array:
        """Derivatives of `residual`."""
        count = len(self.unknowns.names)
        both = np.zeros((self.ends[-1], len(numbers)))
        for column in range(count):
            step = np.zeros(count)
            step[column] = STEP
            ahead, behind = (self._distances(numbers[:count] + sign * step) for sign in (1.0, -1.0))
            both[:, column] = (ahead - behind) / (2.0 * STEP)
        for picture, (first, last) in enumerate(zip(self.ends[:-1], self.ends[1:], strict=True)):
            both[first:last, count + picture] = -1.0
        return both


def _descended(now: _Pass, numbers: Array, scale: float) -> Array:
    """Numbers with smaller residuals, large ones counting as Cauchy's loss says: Levenberg and Marquardt's steps.

    Written out, by normal equations: SciPy's takes singular values of the whole Jacobian, whose threads wait for each
    other ten times as long as they compute on a machine that does anything else.
    """

    def costing(numbers: Array, residual: Array) -> float:
        return float(np.log1p((residual / scale) ** 2).sum() + (now.unlikely(numbers)[0] ** 2).sum())

    damping = 1e-3
    residual = now.residual(numbers)
    cost = costing(numbers, residual)
    for _ in range(STEPS):
        weight = 1.0 / (1.0 + (residual / scale) ** 2)
        jac = now.jacobian(numbers)
        off, slope = now.unlikely(numbers)
        normal = np.einsum("ni,nj->ij", jac * weight[:, None], jac) + np.diag((scale * slope) ** 2)
        gradient = np.einsum("ni,n->i", jac, weight * residual) + scale**2 * slope * off
        for _ in range(STEPS):
            tried = numbers - np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-9), gradient)
            there = now.residual(tried)
            lower = costing(tried, there)
            damping *= 0.1 if lower < cost else 10.0
            if lower < cost:
                break
        else:
            break
        gain, numbers, residual, cost = cost - lower, tried, there, lower
        if gain < 1e-5 * cost:
            break
    return numbers


def refine(
    outlines: Outlines,
    view: View,
    unknowns: Unknowns,
    *,
    zeros: Zeros | None = None,
    passes: Sequence[float] = PASSES,
) -> Refined:
    """Move a camera until the arm's outlines lie on those of the masks.

    Args:
        outlines: The pictures.
        view: Where to start, some centimetres and degrees off.
        unknowns: What to solve for.
        zeros: By how much joints stand further than they say [rad], to start from; none, if not given.
        passes: As `PASSES`.
    """
    found: dict[str, float] = {name: 0.0 for name in unknowns.zeros} | dict(zeros or {})
    full, view = view.size, outlines.view(view)
    count, edges = len(unknowns.names), np.zeros(len(outlines.shots))
    for scale in passes:
        now = _Pass(outlines, view, found, unknowns)
        numbers = np.concatenate([np.zeros(count), edges])
        best = _descended(now, numbers, scale)
        view, found = unknowns.applied(view, found, best[:count])
        edges = best[count:]
    last = _Pass(outlines, view, found, unknowns)
    numbers = np.concatenate([np.zeros(count), edges])
    residual, jacobian = last.residual(numbers), last.jacobian(numbers)
    weight = 1.0 / np.sqrt(1.0 + (residual / passes[-1]) ** 2)
    rows = [slice(*ends) for ends in zip(last.ends[:-1], last.ends[1:], strict=True)]
    return Refined(
        view=view.resized(full),
        zeros=found,
        edges=edges,
        slip=1.0 / view.focal,
        distance=last.distance,
        unknowns=unknowns,
        jacobian=[
            (jacobian[part] * weight[part, None])[:, [*range(count), count + picture]]
            for picture, part in enumerate(rows)
        ],
        residual=[residual[part] * weight[part] for part in rows],
        links=[outlines.link(part) for part in last.contours],
    )
