"""Changes in which an action is clipped, delayed or filtered otherwise before it sets a target, or is observed so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from policy_port.contract.shaping import FirstOrder
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import plain, snapped, with_action, with_term
from policy_port.verdict.delays import step_words
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.filters import LONGEST
from policy_port.verdict.fits import PLATEAU
from policy_port.verdict.rebuild import decode, per_element, recorded_targets
from policy_port.verdict.signals import RecordedSignals

LATEST = 6
"""Control steps by which an action is looked for."""

SHOWN = 8
"""How many ways of shaping an action are handed on to the search, the best first."""

FILLS = {"raw": ("zero", "first"), "target": ("start", "default", "first")}

UNBOUND = 1e9
"""A bound that the trace shows none of."""


class _Tried(NamedTuple):
    """One way of shaping the action, and what it leaves."""

    wrong: float
    """Share of the recorded targets that it does not explain."""
    contract: Contract


def shaping_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Another delay, filter or raw clip of the action where targets differ; another last action where it differs."""
    if "target" in failing:
        for tried in _ways(contract, evidence):
            yield tried.contract, _words(contract, tried.contract)
        yield from _raw_clips(contract, evidence)
    for term in contract.observation.terms:
        if term.term == "last_action" and term.label in failing:
            yield from _last_actions(contract, term.label, term.ago, term.of)


def _ways(contract: Contract, evidence: Evidence) -> list[_Tried]:
    """The ways of shaping the action that explain more of the targets, the best first, simple ones before others."""
    now, found, better = _wrong(contract, evidence), list[_Tried](), list[_Tried]()
    for ways in (_single(contract, evidence), _joint(contract, evidence)):
        found += [tried for way in ways for tried in _fillings(way, evidence, now)]
        better = sorted((tried for tried in found if tried.wrong < now - 1e-9), key=lambda tried: tried.wrong)
        if better and better[0].wrong == 0.0:
            return [tried for tried in better if tried.wrong == 0.0][:SHOWN]
    return better[:SHOWN]


def _fillings(way: Iterator[Contract | None], evidence: Evidence, now: float) -> Iterator[_Tried]:
    """One way with each of its fillings, which show in an episode's first rows: no other where the rest is wrong too.

    Args:
        way: The contract with each filling.
        evidence: The trace.
        now: What the contract as it is leaves.
    """
    for other in way:
        if other is not None:
            tried = _Tried(_wrong(other, evidence), other)
            yield tried
            if tried.wrong > now or tried.wrong == now > 0.5:
                return


def _single(contract: Contract, evidence: Evidence) -> Iterator[Iterator[Contract | None]]:
    """Either the delay or the filter is another."""
    for delay in _delays(contract):
        yield iter([with_action(contract, None, delay=delay)])
    yield iter([with_action(contract, None, filter=None)])
    yield from _filters(contract, evidence)


def _joint(contract: Contract, evidence: Evidence) -> Iterator[Iterator[Contract | None]]:
    """Both are."""
    for delay in _delays(contract):
        late = with_action(contract, None, delay=delay)
        if late is not None:
            yield iter([with_action(late, None, filter=None)])
            yield from _filters(late, evidence)


def _delays(contract: Contract) -> list[int | dict[str, Any] | None]:
    stated = contract.action.late
    if stated.physics_steps is not None:
        return []
    others = [steps for steps in range(LATEST + 1) if steps != stated.steps]
    filled = "first" if stated.fill == "zero" else "zero"
    fills: list[int | dict[str, Any] | None] = [{"steps": steps, "fill": filled} for steps in range(1, LATEST + 1)]
    return [steps or None for steps in others] + fills


def _filters(contract: Contract, evidence: Evidence) -> Iterator[Iterator[Contract | None]]:
    """Every filter that the targets suggest, given the contract's delay: by its weight, or a mean of some steps."""
    bare = with_action(contract, None, filter=None)
    if bare is None:
        return
    stated = contract.action.filter
    for of, fills in FILLS.items():
        # Of a target that starts from the last one, a first-order filter is another scale, which others find.
        same = of == "target" and all(term.adds_to == "joint_target" for term in contract.action.terms)
        weight = None if same else _weight(bare, evidence, of)
        ways: list[dict[str, Any]] = []
        if weight is not None:
            prefer = stated.weight(contract.control_dt) if isinstance(stated, FirstOrder) else None
            ways.append({"kind": "first_order", **_said_as(contract, snapped(weight, 2e-5, prefer=prefer))})
        ways += [{"kind": "moving_average", "steps": steps} for steps in range(2, LONGEST + 1)]
        for way in ways:
            filled = [{**way, "of": of, **({} if fill == fills[0] else {"fill": fill})} for fill in fills]
            yield (with_action(contract, None, filter=stated) for stated in filled)


def _said_as(contract: Contract, weight: float) -> dict[str, float]:
    """A weight as the contract says its own: by alpha or by the cutoff frequency."""
    stated = contract.action.filter
    if isinstance(stated, FirstOrder) and stated.cutoff_hz is not None:
        cutoff = -math.log1p(-weight) / (2.0 * math.pi * contract.control_dt)
        return {"cutoff_hz": snapped(cutoff, 1e-3 * cutoff, prefer=stated.cutoff_hz)}
    return {"alpha": weight}


def _weight(bare: Contract, evidence: Evidence, of: str) -> float | None:
    """The weight of the new number that most rows show; None where they show none."""
    made, shown = decode(bare, evidence).values, recorded_targets(bare, evidence)
    if of == "raw":
        made, shown = (_as_raw(bare, evidence, array) for array in (made, shown))
    before, known = evidence.earlier(shown, 1)
    step, gap = made - before, shown - before
    tells = known[:, :, None] & (np.abs(step) > 0.2 * np.maximum(made.std(axis=(0, 1)), 1e-9))
    if int(tells.sum()) < 8:
        return None
    weight = float(np.median(gap[tells] / step[tells]))
    return weight if 0.005 < weight < 0.995 else None


def _as_raw(contract: Contract, evidence: Evidence, targets: Values) -> Values:
    """Targets [SI] as the raw actions that set them, clips aside."""
    signals, place = RecordedSignals(contract, evidence), 0
    raw = np.empty_like(targets)
    for term in contract.action.terms:
        for name in contract.action_joints(term):
            values = targets[:, :, place] * term.per_si(contract, name)
            if term.adds_to != "none":
                added = "motion_joint_pos" if term.adds_to == "motion" else term.adds_to
                values = values - signals.raw(added, name).values
            scale = float(per_element(term.scale, name)) or 1.0
            raw[:, :, place] = (values - term.zero(contract, name)) / scale
            place += 1
    return raw


def _wrong(contract: Contract, evidence: Evidence) -> float:
    """Share of the recorded targets that a contract does not explain."""
    made = decode(contract, evidence)
    off = np.abs(made.values - recorded_targets(contract, evidence)) > made.allowed
    rows = int(made.known.sum())
    return int((off & made.known).sum()) / rows if rows else 1.0


def _words(before: Contract, after: Contract) -> str:
    """What differs between the actions of two contracts, in words."""
    words = []
    old, new = before.action.late, after.action.late
    one, other = (plain(contract)["action"].get("filter") for contract in (before, after))
    if one == other and new.steps and not old.steps:
        return f"target: {step_words(new.steps)} late, a delay of the action is missing"
    if old.steps != new.steps:
        if not old.steps:
            words.append(f"a delay of {step_words(new.steps or 0)} is missing")
        elif not new.steps:
            words.append(f"a delay of {step_words(old.steps)} too many")
        else:
            off = step_words(new.steps - old.steps)
            words.append(f"delay off by {off}: {step_words(new.steps)} instead of {step_words(old.steps)}")
    elif old.fill != new.fill:
        words.append(f"what a delay shows before is {new.fill}, not {old.fill}")
    if one != other:
        words.append(_filter_words(before, after, one, other))
    return f"action: {', '.join(words)}"


def _filter_words(before: Contract, after: Contract, one: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    if one is None:
        said = ", ".join(f"{key}: {value}" for key, value in (other or {}).items())
        return f"the filter {{{said}}} is missing"
    if other is None:
        return f"a filter of {one['of']} too many"
    words = []
    first, second = before.action.filter, after.action.filter
    if isinstance(first, FirstOrder) and isinstance(second, FirstOrder):
        a, b = (each.weight(before.control_dt) for each in (first, second))
        if abs(a + b - 1.0) < 1e-4 and a != b:
            words.append(f"alpha is the weight of the new, {b:g}, and not of the last, which gives {a:g}")
            one = one | {"alpha": other.get("alpha"), "cutoff_hz": other.get("cutoff_hz")}
    for key in dict.fromkeys((*one, *other)):
        if one.get(key) != other.get(key):
            said = " ".join(("its default" if one.get(key) is None else str(one[key]),))
            words.append(f"filter {key} {other.get(key, 'of its default')} instead of {said}")
    return ", ".join(words)


def _shared_bounds(old: dict[str, list[float]], differing: list[str]) -> list[float | None]:
    """Lower and upper bound of all joints that are not differing; None where they have not the same, or are none."""
    sides = ({old[name][side] for name in old if name not in differing} for side in (0, 1))
    return [bounds.pop() if len(bounds) == 1 else None for bounds in sides]


def _reached(bound: float, shared: float | None, furthest: float) -> float:
    """A bound; that of the other joints on a side that no action reached, where nothing went beyond theirs."""
    unreached = abs(bound) == UNBOUND and shared is not None and abs(furthest) <= 1.0001 * abs(shared)
    return shared if unreached and shared is not None else bound


def _raw_clips(contract: Contract, evidence: Evidence) -> Changes:
    """Bounds of its own for each joint, where targets stand still while actions go on."""
    if contract.action.filter is not None:
        return
    names = contract.action_joint_names
    in_force = _as_raw(contract, evidence, recorded_targets(contract, evidence))
    old = {name: [float(x) for x in np.clip(contract.action.raw_bounds(name), -UNBOUND, UNBOUND)] for name in names}
    new = {}
    for place, name in enumerate(names):
        shown, given = in_force[:, :, place], evidence.arrays["action"][:, :, place]
        new[name] = [_bound(shown, given, old[name], side) for side in (0, 1)]
    differing = [name for name in names if not np.allclose(new[name], old[name], rtol=1e-4)]
    if not differing:
        return
    shared = _shared_bounds(old, differing)
    for name in differing:
        shown = in_force[:, :, names.index(name)]
        new[name] = [_reached(new[name][side], shared[side], (shown.min(), shown.max())[side]) for side in (0, 1)]
    table = {name: new[name] if name in differing else old[name] for name in names}
    if all(abs(bound) == UNBOUND for pair in table.values() for bound in pair):
        yield with_action(contract, None, raw_clip=None), f"raw_clip of {', '.join(differing[:4])} too many"
        return
    said = ", ".join(f"{name} [{table[name][0]:g}, {table[name][1]:g}]" for name in differing[:4])
    more = f" and {len(differing) - 4} more joints" if len(differing) > 4 else ""
    alike = len(set(map(tuple, table.values()))) == 1
    stated = table[names[0]] if alike else table
    yield with_action(contract, None, raw_clip=stated), f"raw_clip of {said}{more} missing or another"


def _bound(shown: Values, action: Values, stated: list[float], side: int) -> float:
    """The bound of a raw action that a trace shows, lower (0) or upper (1); else the stated one, if it was kept.

    Args:
        shown: The raw actions that targets follow from.
        action: Those that were put out, same shape.
        stated: The bounds that a contract has.
        side: Which bound.
    """
    sign = (-1.0, 1.0)[side]
    shown, action, own = sign * shown, sign * action, sign * stated[side]
    end, room = float(shown.max()), 1e-5 * max(float(np.abs(shown).max()), 1e-3)
    if float(action.max()) > end + room and int((shown >= end - room).sum()) >= PLATEAU:
        return sign * float(f"{end:.5g}")
    return sign * (own if own >= end - room else UNBOUND)


def _last_actions(contract: Contract, label: str, ago: int, of: str) -> Changes:
    """The action on the other side of the filter, of this or another age; one that is late alone is a late term."""
    filtered = of == "raw"
    said = "the filtered action, not the raw one" if filtered else "the raw action, not the filtered one"
    for steps in range(1, LATEST + 1):
        words = [said] + [f"of {step_words(steps)} ago, not of {step_words(ago)} ago"] * (steps != ago)
        keys = {"of": "filtered" if filtered else None, "ago": None if steps == 1 else steps}
        yield with_term(contract, label, **keys), f"{label}: {', '.join(words)}"
