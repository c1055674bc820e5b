"""Whether a policy can tell two contracts apart: the one place that says so, and what they disagree on in words."""

from __future__ import annotations

import itertools
import math
from typing import Any

from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.command_terms import CommandTerm, GaitClockTerm
from policy_port.contract.shaping import observation_delay
from policy_port.contract.spec import Contract
from policy_port.contract.term import UNBOUNDED, Term

IGNORED = ("name", "sources", "trained_in", "contract_version")
"""Keys that say where a contract comes from, not what the weights assume."""
_SPREAD = {"scale", "offset", "clip", "clip_after_scale", "joints", "name"}
"""Keys of a term that stand under its elements instead, however briefly they were written."""


class _Numbers(dict[str, Any]):
    """Numbers by element; where all disagree alike, that is said once."""


class _Listed(dict[str, Any]):
    """Items by label, whose order counts."""


def differences(a: Contract, b: Contract, *, relative_tolerance: float = 1e-9) -> list[str]:
    """List what `a` and `b` disagree on, a line each; empty when a policy can't tell them apart.

    Joint data is compared under the joint's name; the joint order is a line of its own.
    """
    found: list[str] = []
    if a.joint_names != b.joint_names:
        only_a = [name for name in a.joint_names if name not in b.joints]
        only_b = [name for name in b.joint_names if name not in a.joints]
        if only_a:
            found.append(f"joints: only the first has {', '.join(only_a)}")
        if only_b:
            found.append(f"joints: only the second has {', '.join(only_b)}")
        if not only_a and not only_b:
            found.append(f"joint order: {', '.join(a.joint_names)} against {', '.join(b.joint_names)}")
    apart = disagreements(a, b, relative_tolerance=relative_tolerance)
    told = {key: pair for key, pair in apart.items() if key != "joint_order" and key not in IGNORED}
    if found:
        absent = {f"joints.{name}" for name in a.joints.keys() ^ b.joints.keys()}
        told = {key: pair for key, pair in told.items() if key not in absent}
    return found + [f"{key}: {' against '.join(_words(side) for side in pair)}" for key, pair in told.items()]


def disagreements(a: Contract, b: Contract, *, relative_tolerance: float = 1e-9) -> dict[str, tuple[Any, Any]]:
    """What two contracts say of each key on which they differ; None where one of them does not state it.

    What counts is what a policy, a plant or a person would be told: names of terms, short forms of numbers, older names
    of terms and what is stated although it is the usual make no difference.

    Returns:
        By dotted key, such as "joints.left_knee.default" or "observation.terms[joint_vel].scale".
    """
    # Only what holds a quaternion has an order of one.
    held = any(term.holds_quaternion or term.term == "external" for side in (a, b) for term in side.observation.terms)
    # Another default pose is told of the joints, not once more of an action around it.
    around = all(getattr(t, "offset", 0.0) == "default" for side in (a, b) for t in side.action.terms if t.is_absolute)
    found: dict[str, tuple[Any, Any]] = {}
    one, other = (_plain(side, quaternion=held, around_default=around) for side in (a, b))
    if a.observation.groups.keys() != b.observation.groups.keys():
        one, other = _numbered(one), _numbered(other)
    _compare("", one, other, relative_tolerance, found)
    return found


def _numbered(plain: dict[str, Any]) -> dict[str, Any]:
    """With the groups of histories called by their number, since their names mean nothing."""
    observation = plain["observation"]
    names = dict.fromkeys(term["group"] for term in observation["terms"].values() if "group" in term)
    number = {name: str(place) for place, name in enumerate((*names, *observation["groups"])) if name not in names}
    number |= {name: str(place) for place, name in enumerate(names)}
    observation["groups"] = {number[name]: group for name, group in observation["groups"].items()}
    for term in observation["terms"].values():
        term |= {"group": number[term["group"]]} if "group" in term else {}
    return plain


def _plain(contract: Contract, *, quaternion: bool, around_default: bool) -> dict[str, Any]:
    """A contract's data in the one form that all ways of writing the same contract have."""
    data = contract.model_dump(mode="json", exclude_none=True)
    data |= {"joint_order": list(contract.joint_names)}
    for key in ("contract_version", "sources", "name", *(() if quaternion else ("quaternion_order",))):
        data.pop(key, None)
    terms = _Listed()
    for term in contract.observation.terms:
        label = term.label if term.term in ("external", "goal") else _newer(term).term
        terms[_unique(label, terms)] = _observed(contract, term)
    data["observation"]["terms"] = terms
    actions = _Listed()
    for term in contract.action.terms:
        joints = contract.action_joints(term)
        plain = term.model_dump(mode="json", exclude_none=True, exclude=_SPREAD) | {"adds_to": term.adds_to}
        plain["order"] = list(joints)
        plain |= {key: _Numbers({name: term.entry(key, name) for name in joints}) for key in ("scale", "clip")}
        if not (around_default and term.is_absolute):
            plain["offset"] = _Numbers({name: term.zero(contract, name) for name in joints})
        actions[_unique(term.term, actions)] = plain
    data["action"]["terms"] = actions
    if contract.action.raw_clip is not None:
        bounds = {name: list(contract.action.raw_bounds(name)) for name in contract.action_joint_names}
        data["action"]["raw_clip"] = _Numbers(bounds)
    data["action"]["delay"] = contract.action.late.model_dump(mode="json", exclude_none=True)
    return data


def _observed(contract: Contract, given: Term) -> dict[str, Any]:
    term = _newer(given)
    plain = term.model_dump(mode="json", exclude_none=True, exclude=_SPREAD)
    # Base terms that state no point or frame mean the base link's.
    plain |= {key: "link" for key in ("point", "frame") if getattr(term, key, "") is None}
    plain["delay"] = observation_delay(term.delay).model_dump()
    elements = term.elements(contract)
    plain["order"] = list(elements)
    for key in ("scale", "offset"):
        plain[key] = _Numbers({element: term.entry(key, element) for element in elements})
    bounds = {element: term.raw_clip(element) for element in elements}
    return plain | {"clip": _Numbers({name: None if pair == UNBOUNDED else pair for name, pair in bounds.items()})}


def _newer(term: Term) -> Term:
    """The newer term that an older one is another name of."""
    shared = {key: getattr(term, key) for key in ("name", "history", "group", "clip_after_scale", "delay")}
    match term.term:
        case "velocity_command":
            numbers = {key: getattr(term, key) for key in ("scale", "offset", "clip")}
            for key, value in numbers.items():
                if key != "clip" and isinstance(value, tuple):
                    numbers[key] = dict(zip(VELOCITY_COMMAND, value, strict=True))
            return CommandTerm.model_validate(
                {**shared, **numbers, "term": "command", "elements": list(VELOCITY_COMMAND)}
            )
        case "gait_phase":
            offsets: tuple[float, ...] = term.offsets  # type: ignore[attr-defined]
            names = [str(i) if offsets.count(offset) > 1 else None for i, offset in enumerate(offsets)]
            pairs = list(zip(offsets, names, strict=True))
            waves = [
                {"wave": wave, "offset": offset, "foot": foot} for wave in ("sin", "cos") for offset, foot in pairs
            ]
            period = term.period  # type: ignore[attr-defined]
            return GaitClockTerm.model_validate({**shared, "term": "gait_clock", "elements": waves, "period": period})
    return term


def _unique(label: str, taken: dict[str, Any]) -> str:
    numbered = (f"{label} {i}" for i in itertools.count(2))
    return next(name for name in itertools.chain((label,), numbered) if name not in taken)


def _compare(where: str, x: Any, y: Any, tolerance: float, found: dict[str, tuple[Any, Any]]) -> None:
    if isinstance(x, _Listed) and isinstance(y, _Listed) and list(x) != list(y):
        found[where] = (list(x), list(y))
    elif isinstance(x, dict) and isinstance(y, dict):
        mine: dict[str, tuple[Any, Any]] = {}
        for key in [*x, *(key for key in y if key not in x)]:
            label = f"{where}[{key}]" if isinstance(x, _Listed) else f"{where}.{key}".lstrip(".")
            _compare(label, x.get(key), y.get(key), tolerance, mine)
        alike = isinstance(x, _Numbers) and isinstance(y, _Numbers) and x.keys() == y.keys() and len(mine) == len(x)
        if alike and all(pair == next(iter(mine.values())) for pair in mine.values()):
            mine = {where: next(iter(mine.values()))}
        found |= mine
    elif isinstance(x, list | tuple) and isinstance(y, list | tuple) and len(x) == len(y):
        for i, (one, other) in enumerate(zip(x, y, strict=True)):
            label = one.get("name") or one.get("term") or i if isinstance(one, dict) else i
            _compare(f"{where}[{label}]", one, other, tolerance, found)
    elif isinstance(x, float | int) and isinstance(y, float | int) and not isinstance(x, bool):
        if not math.isclose(x, y, rel_tol=tolerance, abs_tol=1e-12):
            found[where] = (x, y)
    elif x != y:
        found[where] = (x, y)


def _words(value: Any) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_words(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[" + ", ".join(str(item.get("name") or item.get("term")) for item in value) + "]"
    return str(list(value) if isinstance(value, tuple) else value)
