"""Changes in which the raw action means another target: scale, offset, reference and clips, read off the targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from policy_port.contract.actions import TARGETS, ActionTerm
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import snapped, stated_values, with_action, with_joint_values
from policy_port.mistakes.orders import known_orders, listed
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.fits import PLATEAU, Line, fit, present, settled_rows
from policy_port.verdict.lines import common_scales, default_words, offset_words, scale_words, scaled_words
from policy_port.verdict.rebuild import per_element, recorded_targets
from policy_port.verdict.signals import RecordedSignals, clipped_action
from policy_port.verdict.units import is_the_traces

USUAL_CLIPS = (1.0, 5.0, 10.0, 100.0)
"""Bounds that trainers put on raw actions."""

ABSOLUTE = "none"
"""Reference of an action that is not a delta."""

REFERENCES = {
    ABSOLUTE: "absolute",
    "joint_pos": "relative to the measured position",
    "joint_target": "relative to the previous target",
    "motion": "relative to the reference motion",
}
"""What targets are, by their reference."""


def action_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Another meaning of the action, where recorded targets or the last action differ."""
    kinds = {term.term for term in contract.observation.terms if term.label in failing}
    if {"target", "action"} & failing or "last_action" in kinds:
        yield from _raw_clips(contract, evidence)
    if "target" not in failing:
        return
    for place, term in enumerate(contract.action.terms):
        yield from _target_clips(contract, evidence, place, term)
        if term.drive == "position":
            follows = () if contract.motion is None or evidence.motion is None else ("motion",)
            for reference in dict.fromkeys((term.adds_to, ABSOLUTE, "joint_target", "joint_pos", *follows)):
                yield from _lines(contract, evidence, place, term, reference)
        elif not _idle(contract, evidence, term):
            yield from _lines(contract, evidence, place, term, ABSOLUTE)
        yield from _other_drives(contract, evidence, place, term)


def _lines(contract: Contract, evidence: Evidence, place: int, term: ActionTerm, reference: str) -> Changes:
    names = contract.action_joints(term)
    lines = _fits(contract, evidence, term, reference)
    if not any(line.explains for line in lines):
        return
    old = [float(per_element(term.scale, name)) for name in names]
    scales = common_scales(lines, old)
    if is_the_traces(old, scales, out=True):
        return
    changes: dict[str, Any] = {}
    if term.drive == "position":
        delta = reference in ("joint_target", "joint_pos")
        changes["term"] = "joint_position_delta" if delta else "joint_position"
        changes["reference"] = reference if delta else None
    if scales != old:
        changes["scale"] = stated_values(dict(zip(names, scales, strict=True)))
    words = [_scale_words(names, old, scales)] if scales != old else []
    if reference != term.adds_to:
        words.append(f"targets are {REFERENCES[reference]}, not {REFERENCES[term.adds_to]}")

    def said(*more: str) -> str:
        whose = f" of {listed(names)}" if len(contract.action.terms) > 1 else ""
        return f"action{whose}: {', '.join([*words, *more])}"

    kept = term.offset
    if reference == "motion":
        if words:
            yield with_action(contract, place, **changes, offset="motion"), said()
        return
    if reference == ABSOLUTE and term.adds_to != ABSOLUTE:
        kept = "default"
    elif reference != ABSOLUTE and kept in ("default", "motion"):
        kept = 0.0
    plain = with_action(contract, place, **changes, offset=kept)
    if words:
        yield plain, said()
    # The offset that the targets show: the default pose, one number, or one per joint.
    offsets = []
    for name, line in zip(names, lines, strict=True):
        before = contract.joints[name].default if kept == "default" else float(per_element(kept, name))
        offsets.append(snapped(line.bias, 2.0 * line.allowed, prefer=before) if line.explains else before)
    if reference == ABSOLUTE and term.drive == "position":
        by_default = [contract.joints[name].default for name in names]
        if kept != "default" and np.allclose(offsets, by_default, atol=1e-5):
            changed = with_action(contract, place, **changes, offset="default")
            yield changed, said("the default pose is not added as offset")
        if kept == "default" and plain is not None:
            defaults = dict(zip(names, offsets, strict=True))
            pose = default_words(contract, defaults, known_orders(contract, evidence.joint_names))
            yield with_joint_values(plain, "default", defaults), said(pose)
    written = stated_values(dict(zip(names, offsets, strict=True)))
    zero = "default pose added as offset though the source does not"
    if written != 0.0 or kept != "default":
        before = [0.0 if kept == "default" else float(per_element(kept, name)) for name in names]
        zero = offset_words(names, before, offsets)
    yield with_action(contract, place, **changes, offset=written), said(zero)


def _fits(contract: Contract, evidence: Evidence, term: ActionTerm, reference: str) -> list[Line]:
    """Line from each raw action to its recorded target [contract unit], less the reference."""
    signals = RecordedSignals(contract, evidence)
    action, targets = clipped_action(contract, evidence), recorded_targets(contract, evidence)
    rows = settled_rows(evidence)
    names, found = contract.action_joint_names, []
    for name in contract.action_joints(term):
        column = names.index(name)
        target = targets[:, :, column] * term.per_si(contract, name)
        size = float(np.abs(target).max())
        if reference != ABSOLUTE:
            start = signals.raw("motion_joint_pos" if reference == "motion" else reference, name)
            target = target - start.values
        # The rounding of what was subtracted is seen through the gain, which is not known yet; 1 is large for one.
        found.append(_loose(fit(target, action[:, :, column], rows, rounding=evidence.rounding), size, evidence))
    return found


def _loose(line: Line, size: float, evidence: Evidence) -> Line:
    """The line with the rounding of the whole target allowed, of which the fitted part is a difference."""
    allowed = line.allowed + 32.0 * evidence.rounding * size
    return replace(line, allowed=allowed, gain_uncertainty=line.gain_uncertainty * allowed / line.allowed)


def _raw_clips(contract: Contract, evidence: Evidence) -> Changes:
    if contract.action.raw_clip is not None:
        words = f"raw_clip {list(contract.action.raw_clip)} too many"
        yield with_action(contract, None, raw_clip=None), words
    for bound in (*USUAL_CLIPS, *_shown_bounds(contract, evidence)):
        words = f"raw_clip to [{-bound:g}, {bound:g}] missing"
        if contract.action.raw_clip is not None:
            words = f"raw_clip {list(contract.action.raw_clip)} instead of [{-bound:g}, {bound:g}]"
        yield with_action(contract, None, raw_clip=[-bound, bound]), words


def _shown_bounds(contract: Contract, evidence: Evidence) -> list[float]:
    """The largest action, and the largest last_action beyond which none is shown, that several rows show exactly."""
    recorded = np.abs(evidence.arrays["action"])
    largest = float(recorded.max())
    kept = [float(f"{largest:.6g}")] if largest > 0.0 and int((recorded == largest).sum()) >= PLATEAU else []
    signals = RecordedSignals(contract, evidence)
    names = contract.action_joint_names
    shown = [term for term in contract.observation.terms if term.term == "last_action"]
    scales = np.array([shown[0].entry("scale", name) for name in names]) if shown else np.zeros(1)
    if not scales.all():
        return kept
    raw = np.stack([signals.raw("last_action", name).values for name in names])
    seen = np.abs(np.stack(present(contract, evidence, shown[0])) / scales[:, None, None])
    bound = float(seen.max())
    if float(np.abs(raw).max()) > bound and int((seen == bound).sum()) >= PLATEAU:
        return [*kept, float(f"{bound:.6g}")]
    return kept


def _target_clips(contract: Contract, evidence: Evidence, place: int, term: ActionTerm) -> Changes:
    if term.clip is not None:
        yield with_action(contract, place, clip=None), "action: clip of the targets too many"
    names = contract.action_joints(term)
    limits = {name: (contract.joints[name].lower, contract.joints[name].upper) for name in names}
    if term.drive == "position" and all(None not in pair for pair in limits.values()):
        clip = {name: list(pair) for name, pair in limits.items()}
        words = "action: clip of the targets to the joint limits missing"
        yield with_action(contract, place, clip=clip), words
    targets, columns = recorded_targets(contract, evidence), contract.action_joint_names
    shown = {name: _bounds(targets[:, :, columns.index(name)] * term.per_si(contract, name)) for name in names}
    if any(pair != WIDE for pair in shown.values()):
        words = "action: clip of the targets missing"
        clip = {name: list(pair) for name, pair in shown.items()}
        yield with_action(contract, place, clip=clip), words


WIDE = (-1e9, 1e9)
"""Bounds of a joint that the trace shows none of."""


def _bounds(target: Values) -> tuple[float, float]:
    low, high = float(target.min()), float(target.max())
    return (
        float(f"{low:.7g}") if int((target == low).sum()) >= PLATEAU else WIDE[0],
        float(f"{high:.7g}") if int((target == high).sum()) >= PLATEAU else WIDE[1],
    )


def _scale_words(names: tuple[str, ...], old: list[float], new: list[float]) -> str:
    if len(set(old)) == 1 and len(set(new)) == 1:
        return scale_words(old[0], new[0])
    flipped = [name for name, a, b in zip(names, old, new, strict=True) if a == -b and a != b]
    if len(flipped) == sum(a != b for a, b in zip(old, new, strict=True)):
        return f"sign of joint {', '.join(flipped)} flipped"
    return scaled_words(tuple(f"joint {name}" for name in names), old, new)


def _idle(contract: Contract, evidence: Evidence, term: ActionTerm) -> bool:
    """Whether the trace tells no target of this drive: its array holds zeros for joints that are driven otherwise."""
    places = [contract.action_joint_names.index(name) for name in contract.action_joints(term)]
    return not recorded_targets(contract, evidence)[:, :, places].any()


def _other_drives(contract: Contract, evidence: Evidence, place: int, term: ActionTerm) -> Changes:
    """Targets that stand in another array of the trace: the joints are driven otherwise."""
    for drive, array in TARGETS.items():
        if drive == term.drive or array not in evidence.arrays:
            continue
        zero = {"joint_position": "default"}.get(f"joint_{drive}", 0.0)
        changed = with_action(contract, place, term=f"joint_{drive}", reference=None, offset=zero)
        if changed is None:
            continue
        said = f"action: {listed(contract.action_joints(term))} driven by {drive}, not by {term.drive}"
        yield changed, said
        lines = _fits(changed, evidence, changed.action.terms[place], ABSOLUTE)
        if any(line.explains for line in lines):
            names = contract.action_joints(term)
            scales = common_scales(lines, [float(per_element(term.scale, name)) for name in names])
            scale = stated_values(dict(zip(names, scales, strict=True)))
            yield with_action(changed, place, scale=scale), f"{said}, at another scale"
