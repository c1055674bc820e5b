"""The usual mistakes about poses, contacts and scans: which link, which order, which frame, what is above what."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from policy_port.contract.base_terms import XYZ, MeasuredTerm
from policy_port.contract.sensed_terms import (
    BaseEulerTerm,
    BaseQuatTerm,
    ChoosingTerm,
    ContactTerm,
    HeadingErrorTerm,
    HeadingTerm,
    HeightScanTerm,
    LinkHeightTerm,
    LinkPosTerm,
    PosedTerm,
    SensedTerm,
)
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import snapped, with_keys, with_term
from policy_port.verdict.evidence import Evidence, Read
from policy_port.verdict.explanations import Explanation, Explanations
from policy_port.verdict.fits import present
from policy_port.verdict.rebuild import factors
from policy_port.verdict.sensed_signals import BESIDE
from policy_port.verdict.signals import RecordedSignals

LINK = "link_quat_"
THRESHOLDS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Forces above which trainers say that a foot stands [N]."""


def sensed_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Contracts that state a failing term otherwise: another link, order, frame, threshold or grid."""
    for term in contract.observation.terms:
        if term.label not in failing or not isinstance(term, SensedTerm | MeasuredTerm):
            continue
        for keys, words in _otherwise(contract, evidence, term):
            other = with_term(contract, term.label, **keys)
            if other != contract:
                yield other, f"{term.label}: {words}"
        if isinstance(term, BaseQuatTerm):
            stated = contract.quaternion_order
            order = "xyzw" if stated == "wxyz" else "wxyz"
            yield (
                with_keys(contract, quaternion_order=order),
                f"quaternion order: {term.label} is {order}, not {stated}",
            )


def sensed_readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """A heading error that the source does not wrap."""
    for term in contract.observation.terms:
        if term.label not in failing or not isinstance(term, HeadingErrorTerm) or term.parts != ("angle",):
            continue
        raw = RecordedSignals(contract, evidence).of(term, "angle")
        scale, _, offset = factors(contract, term, "angle")
        shown = (present(contract, evidence, term)[0] - offset) / (scale or 1.0)
        turns = np.round((shown - raw.values) / math.tau)
        if turns.any():
            read = Read(raw.values + math.tau * turns, raw.known)
            yield Explanation(
                contract=contract,
                evidence=evidence.seen_as({(term.label, "angle"): read}),
                words=f"{term.label}: not wrapped into -pi to pi where it is shown",
                remedy="wrap the difference where the observation is made: atan2(sin(error), cos(error))",
            )


Keys = Iterator[tuple[dict[str, Any], str]]
"""Keys of a term to change, and what would be wrong with it as it is."""


def _otherwise(contract: Contract, evidence: Evidence, term: SensedTerm | MeasuredTerm) -> Keys:
    if isinstance(term, ChoosingTerm):
        yield from _orders(term)
    if isinstance(term, PosedTerm | MeasuredTerm):
        for link in (None, *_links(evidence)):
            if link != term.link:
                was, then = (f"'{name}'" if name else "the base" for name in (term.link, link))
                yield {"link": link}, f"it is of {then}, not of {was}"
    match term:
        case BaseEulerTerm():
            other = "positive" if term.interval == "signed" else "signed"
            spans = {"signed": "from -pi to pi", "positive": "from 0 to 2 pi"}
            yield {"interval": other}, f"angles run {spans[other]}, not {spans[term.interval]}"
        case BaseQuatTerm():
            words = "w is made positive" if not term.positive_w else "w is not made positive"
            yield {"positive_w": not term.positive_w}, words
        case LinkHeightTerm():
            yield from _heights(evidence, term)
        case LinkPosTerm():
            for frame in ("world", "base", "yaw"):
                if frame != term.frame:
                    yield {"frame": frame}, f"in the {frame} frame, not in {term.frame}"
        case ContactTerm():
            yield from _contacts(contract, evidence, term)
        case HeightScanTerm():
            yield from _scans(contract, evidence, term)


def _links(evidence: Evidence) -> list[str]:
    return [name.removeprefix(LINK) for name in evidence.arrays if name.startswith(LINK)]


def _orders(term: ChoosingTerm) -> Keys:
    """The same numbers in another order, or others of as many."""
    for order in itertools.permutations(term.known, len(term.names)):
        if order != term.names:
            yield {term.key: list(order)}, f"it is {', '.join(order)}, not {', '.join(term.names)}"


def _heights(evidence: Evidence, term: LinkHeightTerm) -> Keys:
    links = _links(evidence)
    if term.above:
        yield {"above": None}, f"above the ground, not above {', '.join(term.above)}"
    for count in range(1, min(len(links), 4) + 1):
        for above in itertools.combinations(links, count):
            if set(above) != set(term.above):
                was = f"above {', '.join(term.above)}" if term.above else "above the ground"
                yield {"above": list(above)}, f"above {', '.join(above)}, not {was}"


def _contacts(contract: Contract, evidence: Evidence, term: ContactTerm) -> Keys:
    if 1 < len(term.links) <= 4:
        for links in itertools.permutations(term.links):
            if links != term.links:
                yield {"links": list(links)}, f"links in the order {', '.join(links)}, not {', '.join(term.links)}"
    for measure in ("magnitude", "vertical"):
        if term.measure != "vector":
            found = _threshold(contract, evidence, term, measure)
            for keys, words in (({}, ""), *found):
                changed = {"measure": measure, **keys} if measure != term.measure else keys
                said = [f"it is the {measure} force" if measure != term.measure else "", words]
                if changed:
                    yield changed, ", ".join(filter(None, said))
    if term.threshold is not None:
        yield {"threshold": None}, "the force itself, not whether it is above a threshold"


def _threshold(contract: Contract, evidence: Evidence, term: ContactTerm, measure: str) -> list[tuple[Any, str]]:
    """The threshold that parts what was shown as 0 from what was shown as 1, the usual one where one does."""
    force = term.model_copy(update={"measure": measure, "threshold": None})
    signals = RecordedSignals(contract, evidence)
    below, above = 0.0, math.inf
    for name, column in zip(term.links, present(contract, evidence, term), strict=True):
        scale, _, offset = factors(contract, term, name)
        shown = (column - offset) / (scale or 1.0)
        if not (np.isclose(shown, 0.0) | np.isclose(shown, 1.0)).all():
            return []
        values = signals.of(force, name).values
        below = max(below, float(values[shown < 0.5].max(initial=0.0)))
        above = min(above, float(values[shown > 0.5].min(initial=math.inf)))
    if below >= above or not math.isfinite(above):
        return []
    usual = next((value for value in THRESHOLDS if below <= value < above), None)
    middle = snapped(0.5 * (below + above), 0.4 * (above - below)) if usual is None else usual
    was = "" if term.threshold is None else f", not {term.threshold:g}"
    return [({"threshold": middle}, f"threshold {middle:g} N{was} (forces of {below:.3g} to {above:.3g} N part it)")]


def _scans(contract: Contract, evidence: Evidence, term: HeightScanTerm) -> Keys:
    other = "yx" if term.ordering == "xy" else "xy"
    first = {"xy": "x changes first", "yx": "y changes first"}
    yield {"ordering": other}, f"rays in the order {other} ({first[other]}), not {term.ordering}"
    for frame in ("yaw", "world", "link"):
        if frame != term.frame:
            yield {"frame": frame}, f"the grid turns with {frame}, not with {term.frame}"
            yield {"frame": frame, "ordering": other}, f"the grid turns with {frame}, rays in the order {other}"
    if term.size[0] != term.size[1]:
        yield {"size": list(term.size[::-1])}, "length and width exchanged"
        yield (
            {"size": list(term.size[::-1]), "ordering": other},
            f"length and width exchanged, rays in the order {other}",
        )
    centre = _centre(contract, evidence, term)
    if centre is not None and centre != term.centre:
        yield {"centre": list(centre)}, f"the grid's middle is at {list(centre)}, not at {list(term.centre)}"
    scale, _, offset = factors(contract, term, "0")
    if scale and not isinstance(term.scale, tuple):
        signals = RecordedSignals(contract, evidence)
        raw = np.stack([signals.of(term, name).values for name in term.names], axis=2)
        shown = (np.stack(present(contract, evidence, term), axis=2) - offset) / scale
        gap = float(np.median(raw - shown))
        off = snapped(term.height_offset + gap, 1e-5)
        if abs(gap) > 1e-5:
            words = f"height_offset {off:g}, not {term.height_offset:g}"
            yield {"height_offset": off}, words


def _centre(contract: Contract, evidence: Evidence, term: HeightScanTerm) -> tuple[float, float] | None:
    """Middle of the recorded grid from the link's origin, as it turns with the link's yaw."""
    ends = evidence.arrays.get(term.scan.name)
    if ends is None or ends.shape[2] != 3 * term.rays or term.frame != "yaw":
        return None
    from_base = LinkPosTerm(term="link_pos", link=term.link, frame="world")
    signals = RecordedSignals(contract, evidence)
    place = np.stack([signals.of(from_base, axis).values for axis in XYZ], axis=2)
    yaw = signals.of(HeadingTerm(term="heading", link=term.link), "angle").values
    x, y = np.moveaxis((ends.reshape(*ends.shape[:2], -1, 3).mean(axis=2) - place)[..., :2], 2, 0)
    along, across = np.cos(yaw) * x + np.sin(yaw) * y, np.cos(yaw) * y - np.sin(yaw) * x
    if not np.isfinite(along).all() or max(np.ptp(along), np.ptp(across)) > BESIDE:
        return None
    return snapped(float(along.mean()), BESIDE), snapped(float(across.mean()), BESIDE)
