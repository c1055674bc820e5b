"""Changes to a contract: made as data, validated, and told as the YAML edits that make them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from policy_port.contract.spec import Contract


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of a contract file."""

    key: str
    """Key path, such as observation.terms[joint_vel].scale."""
    before: Any
    """What stands there; None where nothing does."""
    after: Any
    """What should; None where nothing should."""

    def __str__(self) -> str:
        """The edit on one line: "observation.terms[joint_vel].scale: 1.0 -> 0.05"."""
        return f"{self.key}: {_yaml(self.before)} -> {_yaml(self.after)}"


def plain(contract: Contract) -> dict[str, Any]:
    """The contract as data to change."""
    return contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def validated(data: dict[str, Any]) -> Contract | None:
    """The contract that `data` is; None where it is none."""
    try:
        return Contract.model_validate(data)
    except ValidationError:
        return None


def with_joint_order(contract: Contract, names: Sequence[str], *, values_stay: bool = False) -> Contract | None:
    """The joints in another order.

    Args:
        contract: The contract.
        names: Every joint, in the new order.
        values_stay: The list of values stays as it is and the names move over it: what was written down from two
            lists, one of which was in another order.
    """
    data = plain(contract)
    rows = data["joints"]
    old = list(rows.values())
    data["joints"] = {name: old[place] if values_stay else rows[name] for place, name in enumerate(names)}
    return validated(data)


def with_joint_values(contract: Contract, key: str, values: Mapping[str, float]) -> Contract | None:
    """A joint field replaced by name."""
    data = plain(contract)
    for name, value in values.items():
        data["joints"][name][key] = value
    return validated(data)


def with_term(contract: Contract, label: str, **changes: Any) -> Contract | None:
    """Keys of an observation term replaced; None leaves a key out."""
    data = plain(contract)
    _change(data["observation"]["terms"][_place(contract, label)], changes)
    return validated(data)


def with_new_term(contract: Contract, label: str, term: dict[str, Any]) -> Contract | None:
    """An observation term replaced by another, with the history of the old one."""
    data = plain(contract)
    place = _place(contract, label)
    kept = {key: value for key, value in data["observation"]["terms"][place].items() if key in ("history", "group")}
    data["observation"]["terms"][place] = term | kept
    return validated(data)


def with_term_order(contract: Contract, order: Sequence[int]) -> Contract | None:
    """The observation terms in another order, by their places in the old one."""
    data = plain(contract)
    data["observation"]["terms"] = [data["observation"]["terms"][place] for place in order]
    return validated(data)


def with_observation(contract: Contract, **changes: Any) -> Contract | None:
    """Keys of the observation replaced; None leaves a key out."""
    data = plain(contract)
    _change(data["observation"], changes)
    return validated(data)


def with_action(contract: Contract, place: int | None, **changes: Any) -> Contract | None:
    """Keys of an action term replaced, or of the action itself where `place` is None; None leaves a key out."""
    data = plain(contract)
    _change(data["action"] if place is None else data["action"]["terms"][place], changes)
    return validated(data)


def with_keys(contract: Contract, **changes: Any) -> Contract | None:
    """Top-level keys replaced; a table is merged into the one that is there."""
    data = plain(contract)
    for key, value in changes.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) else value
    return validated(data)


def edits_between(before: Contract, after: Contract) -> tuple[Edit, ...]:
    """The edits that turn one contract file into another."""
    old, new = plain(before), plain(after)
    edits: list[Edit] = []
    if tuple(old["joints"]) != tuple(new["joints"]):
        edits.append(Edit(key="joints (order)", before=list(old["joints"]), after=list(new["joints"])))
    fields = list(dict.fromkeys(field for row in (*old["joints"].values(), *new["joints"].values()) for field in row))
    for field in fields:
        for name, row in new["joints"].items():
            _compare(f"joints.{name}.{field}", old["joints"].get(name, {}).get(field), row.get(field), edits)
    _terms(before, after, old["observation"].pop("terms"), new["observation"].pop("terms"), edits)
    for place, (one, other) in enumerate(zip(old["action"].pop("terms"), new["action"].pop("terms"), strict=True)):
        for key in dict.fromkeys((*one, *other)):
            _compare(f"action.terms[{place}].{key}", one.get(key), other.get(key), edits)
    for side in (old, new):
        side.pop("joints")
        side.pop("sources", None)
    _tables("", old, new, edits)
    return tuple(edits)


def weight(edits: Sequence[Edit]) -> int:
    """How much an edit changes: one for each entry that is another; an order counts as one."""
    total = 0
    for edit in edits:
        if isinstance(edit.before, dict) and isinstance(edit.after, dict):
            total += sum(edit.before.get(key) != value for key, value in edit.after.items())
        elif isinstance(edit.after, dict):
            # One number becomes a table: what differs from the number counts, and the table itself.
            total += 1 + sum(value != edit.before for value in edit.after.values())
        else:
            total += 1
    return total


def snapped(value: float, uncertainty: float, *, prefer: float | None = None) -> float:
    """The number that a person would have written: `prefer`, or the shortest decimal, within the uncertainty."""
    if prefer is not None and abs(prefer - value) <= uncertainty:
        return prefer
    if abs(value) <= uncertainty:
        return 0.0
    for digits in range(1, 13):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= uncertainty:
            return short
    return value


def stated_order(contract: Contract, order: tuple[str, ...]) -> list[str] | None:
    """A term's joints as its YAML holds them; nothing where they are the contract's own."""
    return None if order == contract.joint_names else list(order)


def stated_values(values: Mapping[str, float]) -> float | dict[str, float]:
    """Numbers of joints as a term's YAML holds them: one, or a table where they differ."""
    numbers = list(values.values())
    return numbers[0] if len(set(numbers)) == 1 else dict(values)


def value_of(stated: float | Mapping[str, float], name: str) -> float:
    """The number of one joint; see `stated_values`."""
    return stated[name] if isinstance(stated, Mapping) else stated


def unlike_others(contract: Contract, label: str, kind: str) -> dict[str, str]:
    """The name that a term of another kind needs in the place of `label`: none, unless another term is called so."""
    others = [term.label for term in contract.observation.terms if term.label != label]
    return {"name": label} if kind in others else {}


def _change(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value


def _place(contract: Contract, label: str) -> int:
    return [term.label for term in contract.observation.terms].index(label)


def _terms(
    before: Contract, after: Contract, old: list[dict[str, Any]], new: list[dict[str, Any]], edits: list[Edit]
) -> None:
    labels = [[term.label for term in contract.observation.terms] for contract in (before, after)]
    if sorted(labels[0]) == sorted(labels[1]):
        if labels[0] != labels[1]:
            edits.append(Edit(key="observation.terms (order)", before=labels[0], after=labels[1]))
        by_label = dict(zip(labels[1], new, strict=True))
        new = [by_label[label] for label in labels[0]]
    for label, one, other in zip(labels[0], old, new, strict=True):
        if one["term"] != other["term"]:
            edits.append(Edit(key=f"observation.terms[{label}]", before=one, after=other))
            continue
        for key in dict.fromkeys((*one, *other)):
            _compare(f"observation.terms[{label}].{key}", one.get(key), other.get(key), edits)


def _tables(prefix: str, old: dict[str, Any], new: dict[str, Any], edits: list[Edit]) -> None:
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            _tables(f"{prefix}{key}.", one, other, edits)
        else:
            _compare(f"{prefix}{key}", one, other, edits)


def _compare(key: str, before: Any, after: Any, edits: list[Edit]) -> None:
    same = before == after
    if isinstance(before, float) and isinstance(after, float):
        same = math.isclose(before, after, rel_tol=1e-12)
    if not same:
        edits.append(Edit(key=key, before=before, after=after))


def _yaml(value: Any) -> str:
    """A value on one line, as YAML reads it."""
    if value is None:
        return "(not stated)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)
