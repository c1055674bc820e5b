"""Raw signals of poses, contacts and scans over a whole trace: a second way to what the control loop shows the network.

Rotations are matrices here: angles are read off their entries, and a scan is held against where its rays must be.
"""

from __future__ import annotations

import math

import numpy as np

from policy_port.contract.base_terms import XYZ, MeasuredTerm
from policy_port.contract.sensed_terms import (
    BaseEulerTerm,
    BaseQuatTerm,
    ContactTerm,
    HeadingErrorTerm,
    HeadingParts,
    HeightScanTerm,
    LinkHeightTerm,
    LinkPosTerm,
    SensedTerm,
)
from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError
from policy_port.verdict.command_signals import CommandSignals
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.motion_signals import matrices
from policy_port.verdict.quaternions import base_quaternion, wxyz

EDGE = 1e-4
"""How near to a jump a number is not told: of an angle [rad], or of a force, relative to the threshold."""

STEEP = 0.02
"""Cosine of a pitch below which roll and yaw are no longer told."""

BESIDE = 1e-3
"""How far from its ray a recorded end may lie [m]."""


class SensedSignals:
    """What terms of poses, contacts and scans are made of; each term is computed once."""

    def __init__(self, contract: Contract, evidence: Evidence) -> None:
        self._contract, self._evidence = contract, evidence
        self._kept: dict[str, tuple[Values, float, Mask]] = {}

    def of(self, term: SensedTerm | MeasuredTerm, element: str) -> tuple[Values, float, Mask]:
        """Raw numbers of one element, the size that rounding is relative to, and where they are known.

        Raises:
            EvidenceError: When the trace lacks what they are made of.
        """
        key = term.model_dump_json()
        if key not in self._kept:
            self._kept[key] = self._compute(term)
        values, size, known = self._kept[key]
        column = self._contract.term_elements(term).index(element)
        return values[:, :, column], size, known[:, :, column]

    def _compute(self, term: SensedTerm | MeasuredTerm) -> tuple[Values, float, Mask]:
        """All elements, shape (steps, environments, elements)."""
        where = f"'{term.label}' of contract '{self._contract.name}'"
        known: Mask | None = None
        match term:
            case MeasuredTerm():
                values = self._vector(term, where)
            case BaseEulerTerm():
                values, known = self._euler(term, where)
            case BaseQuatTerm():
                values, known = self._quat(term, where)
            case LinkHeightTerm():
                values = self._height(term, where)
            case LinkPosTerm():
                values = self._position(term, where)
            case HeadingParts():
                values, known = self._heading(term, where)
            case ContactTerm():
                values, known = self._contact(term, where)
            case HeightScanTerm():
                values, known = self._scan(term, where)
            case _:
                raise NotImplementedError(f"verdict/sensed_signals.py does not say what {where} is made of")
        told = np.where(np.isfinite(values), np.abs(values), 0.0)
        size = max(float(told.max(initial=0.0)), self._reach(term, where))
        return values, size, np.ones(values.shape, dtype=np.bool_) if known is None else known

    def _reach(self, term: SensedTerm | MeasuredTerm, where: str) -> float:
        """Largest number of what a term is computed from."""
        if isinstance(term, LinkPosTerm | LinkHeightTerm | HeightScanTerm):
            places = [self._place(link, where) for link in {None, term.link} if link is not None or self._has_base()]
            return max((float(np.abs(place).max(initial=0.0)) for place in places), default=1.0)
        return math.pi if isinstance(term, BaseEulerTerm | HeadingParts) else 1.0

    def _has_base(self) -> bool:
        return "base_pos" in self._evidence.arrays

    def _place(self, link: str | None, where: str) -> Values:
        return self._evidence.array("base_pos" if link is None else f"link_pos_{link}", wanted_by=where)

    def _turned(self, link: str | None, where: str) -> Values:
        """Quaternions wxyz of a link, or of the base."""
        if link is None:
            return base_quaternion(self._evidence, where)
        return wxyz(self._evidence, self._evidence.array(f"link_quat_{link}", wanted_by=where))

    def _vector(self, term: MeasuredTerm, where: str) -> Values:
        if term.term == "projected_gravity":
            # The world's third axis, turned round, in the link's: the last row of its matrix.
            return -matrices(self._turned(term.link, where))[..., 2, :]
        return self._evidence.array(f"link_{term.term.removeprefix('base_')}_{term.link}", wanted_by=where)

    def _euler(self, term: BaseEulerTerm, where: str) -> tuple[Values, Mask]:
        m = matrices(self._turned(term.link, where))
        pitch = np.arctan2(-m[..., 2, 0], np.hypot(m[..., 0, 0], m[..., 1, 0]))
        angles = {
            "roll": np.arctan2(m[..., 2, 1], m[..., 2, 2]),
            "pitch": pitch,
            "yaw": np.arctan2(m[..., 1, 0], m[..., 0, 0]),
        }
        values = np.stack([angles[name] for name in term.angles], axis=2)
        known = np.abs(np.abs(values) - math.pi) > EDGE
        if term.interval == "positive":
            known = np.abs(values) > EDGE
            values = np.where(values < 0.0, values + math.tau, values)
        return values, known & (np.cos(pitch) > STEEP)[..., None]

    def _quat(self, term: BaseQuatTerm, where: str) -> tuple[Values, Mask]:
        quat = self._turned(term.link, where)
        known = np.ones(quat.shape, dtype=np.bool_)
        if term.positive_w:
            known &= np.abs(quat[..., :1]) > EDGE
            quat = np.where(quat[..., :1] < 0.0, -quat, quat)
        letters = "wxyz"
        return quat[..., [letters.index(name) for name in term.elements(self._contract)]], known

    def _height(self, term: LinkHeightTerm, where: str) -> Values:
        height = self._place(term.link, where)[..., 2]
        if term.above:
            height = height - np.stack([self._place(link, where)[..., 2] for link in term.above]).min(axis=0)
        return height[..., None]

    def _position(self, term: LinkPosTerm, where: str) -> Values:
        place = self._place(term.link, where)
        if term.frame != "world":
            axes = matrices(self._turned(None, where))
            if term.frame == "yaw":
                axes = _about_the_vertical(axes)
            place = np.einsum("teji,tej->tei", axes, place - self._place(None, where))
        return place[..., [XYZ.index(axis) for axis in term.axes]]

    def _heading(self, term: HeadingParts, where: str) -> tuple[Values, Mask]:
        m = matrices(self._turned(term.link, where))
        angle = np.arctan2(m[..., 1, 0], m[..., 0, 0])
        known = np.hypot(m[..., 1, 0], m[..., 0, 0]) > STEEP
        if isinstance(term, HeadingErrorTerm):
            commanded, told = CommandSignals(self._contract, self._evidence).element("heading", where)
            angle, known = commanded - angle, known & told
            angle = np.arctan2(np.sin(angle), np.cos(angle))
        parts = {"angle": angle, "cos": np.cos(angle), "sin": np.sin(angle)}
        edge = np.abs(np.abs(angle) - math.pi) > EDGE
        sure = [known & edge if name == "angle" else known for name in term.parts]
        return np.stack([parts[name] for name in term.parts], axis=2), np.stack(sure, axis=2)

    def _contact(self, term: ContactTerm, where: str) -> tuple[Values, Mask]:
        forces = [self._evidence.array(f"contact_force_{link}", wanted_by=where) for link in term.links]
        if term.measure == "vector":
            values = np.concatenate(forces, axis=2)
        elif term.measure == "vertical":
            values = np.stack([force[..., 2] for force in forces], axis=2)
        else:
            values = np.stack([np.sqrt((force**2).sum(axis=2)) for force in forces], axis=2)
        known = np.ones(values.shape, dtype=np.bool_)
        if term.threshold is not None:
            known = np.abs(values - term.threshold) > EDGE * max(term.threshold, EDGE)
            known |= values == 0.0
            values = np.where(values > term.threshold, 1.0, 0.0)
        return values, known

    def _scan(self, term: HeightScanTerm, where: str) -> tuple[Values, Mask]:
        """Heights where the contract has its rays; a ray that the trace lacks is off by the way to the next."""
        place, axes = self._place(term.link, where), matrices(self._turned(term.link, where))
        ends = self._evidence.array(term.scan.name, wanted_by=where)
        if ends.shape[2] % 3:
            raise EvidenceError(
                f"{self._evidence.path}: {term.scan.name} has {ends.shape[2]} columns; record x, y and z of where each "
                "ray ends, ray by ray"
            )
        ends = ends.reshape(*ends.shape[:2], -1, 3)
        grid = np.array([(x, y, 0.0) for x, y in term.grid])
        turn = {"link": axes, "yaw": _about_the_vertical(axes), "world": np.broadcast_to(np.eye(3), axes.shape)}
        starts = place[:, :, None] + np.einsum("teij,rj->teri", turn[term.frame], grid)
        down = -axes[..., 2] if term.frame == "link" else np.broadcast_to([0.0, 0.0, -1.0], place.shape)
        if ends.shape[2] == starts.shape[2]:
            off = _beside(ends, starts, down[:, :, None])
            found = ends
        else:
            off, found = np.full(starts.shape[:3], np.inf), np.zeros_like(starts)
        for step, env in np.argwhere((off > BESIDE).any(axis=2)).tolist():
            apart = _beside(ends[step, env][None], starts[step, env][:, None], down[step, env])
            nearest = np.nanargmin(np.where(np.isnan(apart), np.inf, apart), axis=1)
            rays = np.arange(len(nearest))
            off[step, env], found = apart[rays, nearest], found.copy() if found is ends else found
            found[step, env] = ends[step, env][nearest]
        missed = np.isnan(found[..., 2])
        heights = place[..., None, 2] - found[..., 2] - term.height_offset
        heights = np.where(missed, 0.0 if term.miss is None else term.miss, heights)
        return heights + np.where(off > BESIDE, off, 0.0), ~(missed & (term.miss is None))


def _about_the_vertical(axes: Values) -> Values:
    """The rotations about the vertical that bring the x axis where the matrices have it in the plane."""
    length = np.maximum(np.hypot(axes[..., 0, 0], axes[..., 1, 0]), 1e-300)
    turned = np.zeros(axes.shape)
    turned[..., 0, 0] = turned[..., 1, 1] = axes[..., 0, 0] / length
    turned[..., 1, 0], turned[..., 0, 1] = axes[..., 1, 0] / length, -axes[..., 1, 0] / length
    turned[..., 2, 2] = 1.0
    return turned


def _beside(ends: Values, starts: Values, down: Values) -> Values:
    """How far ends lie beside the lines from starts along `down` [m]; NaN for rays that ended nowhere."""
    gap = ends - starts
    along = (gap * down).sum(axis=-1, keepdims=True)
    return np.linalg.norm(gap - along * down, axis=-1)
