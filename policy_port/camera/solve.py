"""A camera's pose from pictures of an arm at known joint positions, without a marker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from policy_port.arrays import Array
from policy_port.camera.links import Links
from policy_port.camera.refine import PASSES, Refined, Unknowns, refine
from policy_port.camera.search import anywhere, nearby
from policy_port.camera.silhouette import Outlines, Overlap, Shot
from policy_port.camera.view import Uncertainty, View, three
from policy_port.errors import CameraError

FEWEST, MOST = 5, 30
"""Pictures that a pose is solved from."""
MOVED = math.radians(10.0)
"""A joint whose positions all lie within so much has not moved."""
MOVING = 3
"""So many joints have to move at least; of an arm with fewer, all."""
LEAST_OVERLAP = 0.8
"""Smallest mean overlap of a pose that is believed; ragged masks of an arm far away come to 0.87."""
HOPELESS = 0.5
"""A mean overlap below which neither joints' zeros nor the field of view are the reason: with all six zeros of an SO100
off by 12 degrees a pose comes to 0.66, with pictures of other poses to 0.3."""
ENOUGH = 8
"""Pictures that tell why nothing fits."""
OUTLIER = 3.0
"""A picture whose outline lies off so many times as far as the others' is of another pose."""
ZERO, FOV, SIGMAS = math.radians(1.0), 1.0, 4.0
"""A zero [rad] or field of view [degrees] that is off by so much, and so many standard deviations, is told."""
CHECKED = (3.0, 1.5, 1.0, 1.0)
"""Passes of a refinement that starts at another's end."""
UNSURE, UNSURE_TURN = 0.03, math.radians(3.0)
"""A pose that is known no better is none: half the widths of 95 % intervals [m, rad]."""
MIRRORED = 0.05
"""How much better mirrored pictures have to overlap to be named as the cause."""
POINTS, COARSE_POINTS, COARSE_ROWS, AREA = 60_000, 5_000, 96, 12_000.0
"""Points of the arm, in all and in the search; rows of the search; pixels that the arm has in the refinement."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is computed; tests compute less."""

    points: int = POINTS
    coarse_points: int = COARSE_POINTS
    rows: int = COARSE_ROWS
    area: float = AREA
    evaluations: int = 600
    """Views tried in the search."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """A camera's pose that was found."""

    view: View
    """It."""
    start: View
    """Where the search began: what was given, or the best of those all around the arm."""
    zeros: dict[str, float]
    """By how much joints stand further than they say [rad]; those that were solved for."""
    zeros_std: dict[str, float]
    """Standard deviations of these [rad]."""
    uncertainty: Uncertainty
    """How well it is known."""
    overlaps: tuple[float, ...]
    """Intersection over union in each picture, masks grown by `edges`."""
    edges: tuple[float, ...]
    """By how much each mask is too small all around [pixels of the pictures]."""
    notes: tuple[str, ...] = ()
    """What a person should know of it."""

    @property
    def overlap(self) -> float:
        """The mean of `overlaps`."""
        return float(np.mean(self.overlaps))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a pose is solved from."""

    links: Links
    """The arm."""
    shots: Sequence[Shot]
    """Pictures of one size."""
    lens: View
    """Field of view, size, principal point and distortion; where it stands counts only with `near`."""
    near: bool
    """Whether `lens` stands near, by some centimetres and degrees, to where the camera is."""
    fov: bool = False
    """Whether the field of view is solved for."""
    principal: bool = False
    """Whether the principal point is."""
    zeros: bool = False
    """Whether joints' zeros are."""
    effort: Effort = field(default_factory=Effort)
    """How much is computed."""
    progress: Callable[[str], None] = lambda _: None
    """Told what is being done."""


def solve(problem: Problem) -> Solved:
    """Find where the camera stands.

    Raises:
        CameraError: When the pictures are too few or too similar, one is of another pose, zeros are off, or nothing
            fits, with what is known of the reason.
    """
    check_poses(problem)
    problem.progress("searching")
    start = _first(problem, problem.shots)
    problem.progress("refining")
    outlines = Outlines(problem.links, problem.shots, area=problem.effort.area)
    joints = problem.links.arm.joints
    unknowns = Unknowns(fov=problem.fov, principal=problem.principal)
    best = refine(outlines, start, unknowns)
    if (reached := float(_overlaps(outlines, best).mean())) < HOPELESS:
        raise CameraError(_no_fit(problem, reached))
    if problem.zeros:
        best = refine(outlines, best.view, replace(unknowns, zeros=joints), passes=PASSES + PASSES[-2:])
    # What was given for sure is set free once more: where it moves, it was wrong, and the pose with it.
    told = refine(outlines, best.view, replace(unknowns, fov=True, zeros=joints), zeros=best.zeros, passes=CHECKED)
    told_overlaps, overlaps = _overlaps(outlines, told), _overlaps(outlines, best)
    _refuse_outlier(problem, told, told_overlaps)
    if told_overlaps.mean() >= LEAST_OVERLAP:
        # A distortion that is none bends the arm as joints' zeros would.
        if problem.lens.distortion:
            _refuse_straight(outlines, best, unknowns)
        _refuse_given(problem, told)
    if overlaps.mean() < LEAST_OVERLAP:
        raise CameraError(_no_fit(problem, float(overlaps.mean())))
    return _result(problem, start, outlines, best, overlaps)


def check_poses(problem: Problem) -> None:
    """Refuse pictures that can't tell a pose.

    Raises:
        CameraError: Saying which pictures to add.
    """
    shots, joints = problem.shots, problem.links.arm.joints
    if not FEWEST <= len(shots) <= MOST:
        raise CameraError(
            f"{len(shots)} pictures: a pose is solved from {FEWEST} to {MOST}, of different poses; 8 to 12 are good"
        )
    table = np.array([[shot.joint_pos[name] for name in joints] for shot in shots])
    still = [name for name, span in zip(joints, np.ptp(table, axis=0), strict=True) if span < MOVED]
    if len(joints) - len(still) < min(MOVING, len(joints)):
        raise CameraError(
            f"the poses are too similar: {', '.join(still)} never moved by {math.degrees(MOVED):.0f} degrees. Add "
            "pictures with the arm stretched out, drawn in and turned to both sides; if the joints did move, the table "
            "has another unit than it says"
        )
    distinct: list[Array] = []
    for row in table:
        if all(np.abs(row - other).max() > MOVED / 2.0 for other in distinct):
            distinct.append(row)
    if len(distinct) < FEWEST:
        raise CameraError(
            f"the {len(shots)} pictures show {len(distinct)} different poses only; add pictures of others, "
            f"{FEWEST} at least"
        )


def _first(problem: Problem, shots: Sequence[Shot]) -> View:
    """The best pose of the coarse search."""
    effort = problem.effort
    overlap = Overlap(problem.links, shots, rows=effort.rows, count=effort.coarse_points)
    if problem.near:
        return nearby(overlap, problem.lens, evaluations=effort.evaluations, fov=problem.fov)
    best = max(_around(problem, shots), key=lambda view: float(overlap.of(view).mean()))
    return nearby(overlap, best, evaluations=effort.evaluations // 2, fov=problem.fov)


def _around(problem: Problem, shots: Sequence[Shot]) -> list[View]:
    """The most promising poses from anywhere around the arm, as few points tell them."""
    effort = problem.effort
    coarse = Overlap(problem.links, shots, rows=effort.rows // 2, count=effort.coarse_points // 5)
    starts = anywhere(coarse, problem.lens, keep=4)
    return [nearby(coarse, view, evaluations=effort.evaluations // 2) for view in starts]


def _overlaps(outlines: Outlines, best: Refined) -> Array:
    return np.array([outlines.overlap(index, best.view, best.zeros, edge) for index, edge in enumerate(best.edges)])


def _refuse_outlier(problem: Problem, best: Refined, overlaps: Array) -> None:
    off = np.array([float(np.median(np.abs(part))) for part in best.residual])
    odd = (off > max(OUTLIER * float(np.median(off)), 1.0)) | (overlaps < 0.7 * np.median(overlaps))
    if 0 < odd.sum() <= len(off) // 3 and np.median(overlaps) > LEAST_OVERLAP:
        names = ", ".join(problem.shots[index].name for index in np.flatnonzero(odd))
        raise CameraError(
            f"{names}: the arm stands elsewhere than the table says: it overlaps by {overlaps[odd].min():.2f}, in the "
            f"other pictures by {np.median(overlaps[~odd]):.2f}. Mend the table, or take the picture out of it"
        )


def _refuse_given(problem: Problem, told: Refined) -> None:
    std = dict(zip(told.unknowns.names, np.sqrt(np.diag(told.covariance())).tolist(), strict=True))
    off = (
        []
        if problem.zeros
        else [
            f"{name} by {math.degrees(angle):+.1f} +- {math.degrees(std[name]):.1f} degrees"
            for name, angle in told.zeros.items()
            if abs(angle) > max(ZERO, SIGMAS * std[name])
        ]
    )
    if off:
        raise CameraError(
            f"the arm's zeros are off: it stands further than the table says in {'; '.join(off)}. Calibrate it anew, "
            "or solve for zeros with --zeros; without, the pose would be off by centimetres"
        )
    wrong = math.degrees(told.view.fov - problem.lens.fov)
    if not problem.fov and abs(wrong) > max(FOV, SIGMAS * math.degrees(std["fov"])):
        raise CameraError(
            f"the field of view is given as {math.degrees(problem.lens.fov):.1f} degrees, and the pictures fit "
            f"{math.degrees(told.view.fov):.1f} +- {math.degrees(std['fov']):.1f}: the pose would be off by "
            "centimetres. Calibrate the camera (camera calibrate), or solve for it with --fov free"
        )


def _no_fit(problem: Problem, reached: float) -> str:
    """Why nothing fits, as far as it can be told."""
    text = (
        f"no pose of the camera fits: the arm and its masks overlap by {reached:.2f} at best, and {LEAST_OVERLAP:g} is "
        "the least. Nothing was written. "
    )
    problem.progress("nothing fits; looking for the reason")
    shots = problem.shots[:: -(-len(problem.shots) // ENOUGH)]
    flipped = [replace(shot, mask=np.ascontiguousarray(shot.mask[:, ::-1])) for shot in shots]

    def best(some: Sequence[Shot]) -> float:
        """The best overlap all around the arm."""
        overlap = Overlap(problem.links, some, rows=problem.effort.rows, count=problem.effort.coarse_points)
        return max(float(overlap.of(view).mean()) for view in _around(problem, some))

    there, here = best(flipped), best(shots)
    if there > max(here + MIRRORED, HOPELESS):
        return text + (
            f"The pictures are mirrored: turned over left to right they overlap by {there:.2f}. Switch the camera's "
            "mirroring off. An arm whose first joint is counted the other way round looks the same: see to its sign"
        )
    if problem.near and here > max(reached + MIRRORED, HOPELESS):
        return text + f"Elsewhere around the arm the overlap is {here:.2f}: leave --start out"
    return text + (
        "Look at what was taken for the arm: --masks FOLDER writes it. Where that is not the whole arm, as with a pale "
        "arm on a pale table, lay a coloured cloth under it and take them again, or give the arm's --colour, or "
        "click its corners (outline in poses.yaml). Where it is, look whether each row of poses.yaml is its picture's; "
        "give the camera's --intrinsics if its field of view was guessed, --zeros where a joint is calibrated wrongly"
    )


def _refuse_straight(outlines: Outlines, best: Refined, unknowns: Unknowns) -> None:
    """Refuse pictures whose distortion was undone already."""

    def off(refined: Refined) -> float:
        return float(np.sqrt(np.mean(np.concatenate(refined.residual) ** 2)))

    straight = refine(outlines, replace(best.view, distortion=()), unknowns, zeros=best.zeros, passes=CHECKED)
    if off(straight) < 0.9 * off(best):
        raise CameraError(
            "the intrinsics state a distortion, and the pictures fit better without it "
            f"({off(straight):.2f} against {off(best):.2f} pixels): it was undone in them already. Write "
            "distortion: [] into the intrinsics of such pictures"
        )


def _result(problem: Problem, start: View, outlines: Outlines, best: Refined, overlaps: Array) -> Solved:
    covariance = best.covariance()
    std = np.sqrt(np.diag(covariance))
    wide = best.half_width(std)
    if wide[:3].max() > UNSURE or wide[3:6].max() > UNSURE_TURN:
        table = np.array([[shot.joint_pos[name] for name in problem.links.arm.joints] for shot in problem.shots])
        least = [problem.links.arm.joints[index] for index in np.argsort(np.ptp(table, axis=0))[:2]]
        raise CameraError(
            f"the pictures don't tell the pose: it is known to {1e3 * wide[:3].max():.0f} mm and "
            f"{math.degrees(wide[3:6].max()):.1f} degrees only (95 %), {', '.join(best.weakest())} least of all. "
            f"Nothing was written. Add pictures in which {' and '.join(least)} stand elsewhere and the arm reaches "
            "other parts of the picture" + ("; or give the field of view, with --intrinsics" if problem.fov else "")
        )
    names = best.unknowns.names
    known = dict(zip(names, std.tolist(), strict=True))
    uncertainty = Uncertainty(
        position=three(std[:3]),
        direction=three(std[3:6]),
        position_95=three(wide[:3]),
        direction_95=three(wide[3:6]),
        fov=known.get("fov"),
        fov_95=float(wide[names.index("fov")]) if problem.fov else None,
    )
    shrink = problem.shots[0].mask.shape[0] / outlines.size[0]
    return Solved(
        view=best.view,
        start=problem.lens if problem.near else start,
        zeros=best.zeros,
        zeros_std={name: known[name] for name in best.unknowns.zeros},
        uncertainty=uncertainty,
        overlaps=tuple(overlaps.tolist()),
        edges=tuple((best.edges * shrink).tolist()),
        notes=_trade_off(best, covariance) if problem.fov else (),
    )


def _trade_off(best: Refined, covariance: Array) -> tuple[str, ...]:
    """How far a free field of view trades off against the distance."""
    place = best.unknowns.names.index("fov")
    along = np.zeros(len(covariance))
    along[:3] = best.view.forward
    distance = math.sqrt(max(float(along @ covariance @ along), 1e-18))
    fov = math.sqrt(max(float(covariance[place, place]), 1e-18))
    both = float(along @ covariance[:, place]) / (distance * fov)
    return (
        f"the field of view was solved for and trades off against the distance: a degree of it is as good as "
        f"{abs(both) * distance / fov * math.radians(1.0) * 1e2:.1f} cm along the line of sight (correlation "
        f"{both:+.2f}). Calibrate the camera (camera calibrate) where that matters",
    )
