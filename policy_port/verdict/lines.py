"""Changes in which a term has another scale, offset or default pose: read off as the line from raw to observed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from policy_port.contract.base_terms import BaseTerm
from policy_port.contract.command_terms import GaitClockTerm, NamedTerm
from policy_port.contract.joint_terms import JointTerm, PerJointTerm
from policy_port.contract.motion_terms import MotionJointTerm
from policy_port.contract.sensed_terms import HeightScanTerm, SensedTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import GoalTerm
from policy_port.contract.terms import ObservationTerm
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import snapped, stated_values, unlike_others, with_joint_values, with_term
from policy_port.mistakes.numbers import apart, ratio, rounding_words
from policy_port.mistakes.orders import known_orders, listed
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.fits import Line, fit, present, settled_rows
from policy_port.verdict.rebuild import factors
from policy_port.verdict.signals import RecordedSignals
from policy_port.verdict.units import is_the_traces, unit_words

FINER = 16.0
"""How much closer to a line's gain a written number has to be than the gain is known for sure."""


_LINED = (BaseTerm, NamedTerm, PerJointTerm, GoalTerm, SensedTerm)


def line_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Another scale of a term, alone and together with another offset, default pose or kind."""
    for term in contract.observation.terms:
        if term.label not in failing or not isinstance(term, _LINED):
            continue
        lines = _lines(contract, evidence, term)
        if not any(line.explains for line in lines):
            continue
        elements = contract.term_elements(term)
        old = [factors(contract, term, element)[0] for element in elements]
        scales = common_scales(lines, old)
        # A clock of the other sign is half a turn off, which is how somebody would have written it.
        turned = isinstance(term, GaitClockTerm) and scales == [-scale for scale in old]
        if turned or is_the_traces(old, scales):
            continue
        key = as_written(term, elements, scales)
        rescaled = contract if scales == old else with_term(contract, term.label, scale=key)
        if rescaled is None:
            continue
        words = [_scale_words(elements, old, scales)] if scales != old else []
        if words:
            yield rescaled, f"{term.label}: {words[0]}"
        if isinstance(term, JointTerm) and term.term in ("joint_pos", "joint_pos_rel"):
            other = "joint_pos" if term.term == "joint_pos_rel" else "joint_pos_rel"
            # with_term drops what is None: a name that says no more than the kind.
            name = None if term.name == other else term.name
            done = (
                "default pose not subtracted"
                if other == "joint_pos_rel"
                else "default pose subtracted though the source does not"
            )
            if name or not unlike_others(contract, term.label, other):
                swapped = with_term(rescaled, term.label, term=other, name=name)
                yield swapped, f"{term.label}: {', '.join([*words, done])}"
        if isinstance(term, JointTerm) and term.term == "joint_pos_rel":
            defaults = _defaults(contract, term, lines, scales)
            said = default_words(contract, defaults, known_orders(contract, evidence.joint_names))
            moved = with_joint_values(rescaled, "default", defaults)
            yield moved, f"{term.label}: {', '.join([*words, said])}"
        # A scan has an offset of its own before its scale, which the search finds.
        shifts = BaseTerm | NamedTerm | JointTerm | MotionJointTerm | SensedTerm
        if isinstance(term, shifts) and not isinstance(term, HeightScanTerm):
            offsets = _offsets(contract, term, lines, scales)
            written = as_written(term, elements, offsets)
            shifted = with_term(rescaled, term.label, offset=written)
            said = offset_words(elements, [factors(contract, term, element)[2] for element in elements], offsets)
            yield shifted, f"{term.label}: {', '.join([*words, said])}"


def common_scales(lines: list[Line], old: list[float]) -> list[float]:
    """The one scale that fits every element, or each one's own; an element that stands still takes the others'.

    Args:
        lines: The line of each element; its gain is the scale, told as somebody would have written it.
        old: The scales that the contract states.
    """
    own = [_told_scale(line, before) for line, before in zip(lines, old, strict=True)]
    known = [(line, scale) for line, scale in zip(lines, own, strict=True) if line.tells]
    if len(known) > 1:
        best = min(known, key=lambda pair: pair[0].gain_uncertainty)[1]
        if all(abs(line.gain - best) <= line.gain_uncertainty for line, _ in known):
            return [best] * len(lines)
    return own


def _told_scale(line: Line, before: float) -> float:
    """The number behind a line: the one that stands there, or the shortest that still explains what the line does.

    A line is allowed more than a comparison: whatever is written in its place has to pass that.
    """
    if not line.tells or abs(before - line.gain) <= line.gain_uncertainty:
        return before
    return snapped(line.gain, line.gain_uncertainty / FINER)


def as_written(term: ObservationTerm, elements: tuple[str, ...], values: list[float]) -> Any:
    """Numbers of a term as its YAML holds them: one, a list of three, or a table by joint."""
    if isinstance(term, BaseTerm | SensedTerm) and len(set(values)) > 1:
        return values
    if isinstance(term, MotionJointTerm):
        elements = tuple(map(term.key, elements))
    table = dict(zip(elements, values, strict=True))
    return stated_values(table) if isinstance(term, PerJointTerm | NamedTerm) else values[0]


def default_words(contract: Contract, defaults: dict[str, float], orders: dict[tuple[str, ...], str]) -> str:
    """What another default pose looks like."""
    names = contract.joint_names
    old = [contract.joints[name].default for name in names]
    new = [defaults.get(name, contract.joints[name].default) for name in names]
    wrong = [name for name, a, b in zip(names, old, new, strict=True) if a != b]
    if len(wrong) > 1 and all(value == 0.0 for name, value in zip(names, old, strict=True) if name in wrong):
        return "default pose not stated: it is zero in the contract"
    if len(wrong) > 1 and np.allclose(sorted(old), sorted(new), atol=1e-6):
        by_name = dict(zip(names, new, strict=True))
        for order, who in orders.items():
            if np.allclose([by_name[name] for name in order], old, atol=1e-6):
                return f"default pose in another order, that of {who}"
        return f"default pose in another order: {listed(wrong)} differ"
    pairs = [(contract.joints[name].default, defaults[name]) for name in wrong]
    shown = [f"{name} {' instead of '.join(apart(*pair))}" for name, pair in zip(wrong, pairs, strict=True)]
    return f"default position of {listed(shown)}{rounding_words(*zip(*pairs, strict=True)) if pairs else ''}"


def offset_words(elements: tuple[str, ...], old: list[float], new: list[float]) -> str:
    """What other offsets look like: "offset 0.02 missing", or element by element."""
    changed = [(name, a, b) for name, a, b in zip(elements, old, new, strict=True) if a != b]
    if len(changed) == len(elements) and len({(a, b) for _, a, b in changed}) == 1:
        _, a, b = changed[0]
        return f"offset {b:g} missing" if not a else f"offset {' instead of '.join(apart(a, b))}"
    told = [f"{name} {b:+.6g}" if not a else f"{name} {' instead of '.join(apart(a, b))}" for name, a, b in changed]
    if all(not a for _, a, _ in changed):
        return f"offset missing, a constant bias of what is shown: {listed(told)}"
    return f"offset of {listed(told)}"


def _lines(contract: Contract, evidence: Evidence, term: ObservationTerm) -> list[Line]:
    signals = RecordedSignals(contract, evidence)
    rows = settled_rows(evidence)
    found = []
    for element, recorded in zip(contract.term_elements(term), present(contract, evidence, term), strict=True):
        raw = signals.of(term, element)
        line = fit(recorded, raw.values, rows & raw.known, rounding=evidence.rounding, size=raw.size)
        found.append(_through_zero(line, raw.values) if term.term in ("velocity_command", "command") else line)
    return found


def _through_zero(line: Line, raw: Values) -> Line:
    """The line of a command that is held throughout: no command is no number, so one command shows the scale."""
    held = float(raw.flat[0])
    if line.tells or not line.explains or held == 0.0 or np.ptp(raw) != 0.0:
        return line
    return replace(line, gain=line.bias / held, bias=0.0, gain_uncertainty=line.allowed / abs(held))


def _defaults(contract: Contract, term: JointTerm, lines: list[Line], scales: list[float]) -> dict[str, float]:
    """The default position that each line crosses its offset at."""
    found = {}
    for name, line, scale in zip(contract.observation_joints(term), lines, scales, strict=True):
        before = contract.joints[name].default
        offset = factors(contract, term, name)[2]
        # A joint that stands still has no gain of its own: nothing is known of its zero either.
        if line.tells and scale != 0.0:
            doubt = 2.0 * line.allowed / abs(scale) + abs(line.bias / scale) * line.gain_uncertainty / abs(scale)
            found[name] = snapped((offset - line.bias) / line.gain, doubt, prefer=before)
        else:
            found[name] = before
    return found


def _offsets(contract: Contract, term: ObservationTerm, lines: list[Line], scales: list[float]) -> list[float]:
    found = []
    for element, line, scale in zip(contract.term_elements(term), lines, scales, strict=True):
        _, zero, offset = factors(contract, term, element)
        needed = line.bias + scale * zero
        found.append(snapped(needed, 2.0 * line.allowed, prefer=offset) if line.explains else offset)
    return found


def _scale_words(elements: tuple[str, ...], old: list[float], new: list[float]) -> str:
    """What another scale looks like: a factor, a sign, or single elements."""
    if len(set(old)) == 1 and len(set(new)) == 1 and new[0]:
        return scale_words(old[0], new[0])
    flipped = [name for name, a, b in zip(elements, old, new, strict=True) if a == -b and a != b]
    wrong = [name for name, a, b in zip(elements, old, new, strict=True) if a != b]
    if flipped == wrong:
        return f"sign of {', '.join(flipped)} flipped"
    if len(set(old)) == 1 and old[0] == 1.0 and len(wrong) > 1:
        return f"the scale ({listed(_numbers(elements, new))}) is missing"
    if len(set(new)) == 1 and new[0] == 1.0 and len(wrong) > 1:
        return f"the scale ({listed(_numbers(elements, old))}) is one too many"
    return scaled_words(elements, old, new)


def scaled_words(elements: tuple[str, ...], old: list[float], new: list[float]) -> str:
    """Elements that have another scale each: "left_knee scaled 0.74: scale 0.185 instead of 0.25, ..."."""
    wrong = [(name, a, b) for name, a, b in zip(elements, old, new, strict=True) if a != b]
    told = [
        f"{name} scaled {ratio(a / b)}: scale {' instead of '.join(apart(a, b))}{unit_words(a, b)}"
        if b
        else f"{name} has scale {a:g} instead of 0"
        for name, a, b in wrong
    ]
    return listed(told) + rounding_words([a for _, a, _ in wrong], [b for _, _, b in wrong])


def scale_words(old: float, new: float) -> str:
    """One scale instead of another."""
    if not new:
        return f"scale {old:g} instead of 0"
    factor, unit = f"factor {ratio(old / new)}", unit_words(old, new) or rounding_words([old], [new])
    if old == -new:
        return "sign flipped"
    mine, true = apart(old, new)
    if old == 1.0:
        return f"{factor}: the scale {true} is missing{unit}"
    if new == 1.0:
        return f"{factor}: the scale {mine} is one too many{unit}"
    return f"{factor}: scale {mine} instead of {true}{unit}"


def _numbers(elements: tuple[str, ...], values: list[float]) -> list[str]:
    return [f"{name} {value:g}" for name, value in zip(elements, values, strict=True)]
