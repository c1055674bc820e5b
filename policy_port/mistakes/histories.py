"""Other histories than the one that a contract states: what is laid out, in which order, from which step on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from policy_port.contract.history import Group, Steps
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import plain, validated, with_observation

WORDS = {
    "term_major": "term-major",
    "time_major": "time-major",
    "oldest_first": "oldest first",
    "newest_first": "newest first",
    "first": "filled with the first observation at reset",
    "zero": "filled with zeros at reset",
}
"""What each key of a history means."""

STRIDES = (1, 2, 3, 4, 5, 10)
"""Distances between steps that trainers use [control steps]."""

KEYS = ("layout", "order", "fill")
CHOICES = (("term_major", "time_major"), ("oldest_first", "newest_first"), ("first", "zero"))


def history_changes(contract: Contract) -> Changes:
    """Every other layout, order and fill of a history; the present in or out; other strides; lengths exchanged."""
    yield from _of_all(contract)
    yield from _past_only(contract)
    for name, group in contract.observation.groups.items():
        yield from _of_group(contract, name, group)
    yield from _exchanged_lengths(contract)


def _of_all(contract: Contract) -> Changes:
    history = contract.observation.history
    if history is None:
        return
    stated: dict[str, str] = history.model_dump()
    for other in _combinations():
        if other != stated:
            true, said = _told(other, stated)
            yield with_observation(contract, history=other), f"history {true} in the source, {said} in the contract"


def _combinations() -> Iterator[dict[str, str]]:
    return (dict(zip(KEYS, values, strict=True)) for values in itertools.product(*CHOICES))


def _told(true: dict[str, str], said: dict[str, str]) -> tuple[str, str]:
    changed = [key for key in KEYS if true[key] != said[key]]
    first, second = (", ".join(WORDS[side[key]] for key in changed) for side in (true, said))
    return first, second


def _past_only(contract: Contract) -> Changes:
    """The terms of `observation.history` without the present, or with every k-th step: in a group of their own."""
    history = contract.observation.history
    lengths = {term.history for term in contract.observation.terms if term.history > 1}
    if history is None or len(lengths) != 1:
        return
    (length,) = lengths
    for newest, stride in ((1, 1), *((0, stride) for stride in STRIDES[1:])):
        data = plain(contract)
        observation = data["observation"]
        for term in observation["terms"]:
            if term.pop("history", 1) > 1:
                term["group"] = "past"
        steps = {"length": length, "newest": newest, "stride": stride, "order": history.order}
        past = {"steps": steps, "layout": history.layout, "fill": history.fill}
        observation["groups"] = {**observation.get("groups", {}), "past": past}
        del observation["history"]
        true = f"every {stride} steps" if newest == 0 else "without the present step"
        said = "every step" if newest == 0 else "with the present step"
        yield validated(data), f"history {true} in the source, {said} in the contract"


def _of_group(contract: Contract, name: str, group: Group) -> Changes:
    ages = group.ages
    newest_first = ages == tuple(sorted(ages))
    stated = {"layout": group.layout, "order": "newest_first" if newest_first else "oldest_first", "fill": group.fill}

    def put(steps: Any, true: str, said: str, **keys: str) -> Changes:
        other = {"layout": group.layout, "fill": group.fill, **keys, "steps": steps}
        groups = {key: value.model_dump(mode="json") for key, value in contract.observation.groups.items()}
        words = f"history '{name}' {true} in the source, {said} in the contract"
        yield with_observation(contract, groups={**groups, name: other}), words

    for other in _combinations():
        if other != stated:
            turned = other["order"] != stated["order"]
            keys = {"layout": other["layout"], "fill": other["fill"]}
            yield from put(_turned(group) if turned else _steps(group), *_told(other, stated), **keys)
    regular = _regular(group, stated["order"])
    if regular is None:
        return
    newest, stride = regular["newest"], regular["stride"]
    other = 0 if newest else 1
    presence = ("with the present step", "without the present step")
    yield from put({**regular, "newest": other}, presence[other], presence[1 - other])
    for each in STRIDES:
        if each != stride and len(ages) > 1:
            yield from put({**regular, "stride": each}, f"every {_steps_words(each)}", f"every {_steps_words(stride)}")


def _steps(group: Group) -> Any:
    return group.steps.model_dump(mode="json") if isinstance(group.steps, Steps) else list(group.steps)


def _turned(group: Group) -> Any:
    if not isinstance(group.steps, Steps):
        return list(reversed(group.steps))
    order = "oldest_first" if group.steps.order == "newest_first" else "newest_first"
    return {**group.steps.model_dump(mode="json"), "order": order}


def _regular(group: Group, order: str) -> dict[str, Any] | None:
    """The steps as a table, where they stand at equal distances."""
    ages = sorted(group.ages)
    gaps = {b - a for a, b in itertools.pairwise(ages)} or {1}
    if len(gaps) > 1 or group.ages not in (tuple(ages), tuple(reversed(ages))):
        return None
    return {"length": len(ages), "newest": ages[0], "stride": gaps.pop(), "order": order}


def _steps_words(stride: int) -> str:
    return "step" if stride == 1 else f"{stride} steps"


def _exchanged_lengths(contract: Contract) -> Changes:
    """Two groups, or two terms with a history of their own, whose lengths stand the wrong way round."""
    groups = contract.observation.groups
    for one, other in itertools.combinations(groups, 2):
        if groups[one].ages != groups[other].ages:
            data = plain(contract)
            mine = data["observation"]["groups"]
            mine[one]["steps"], mine[other]["steps"] = mine[other]["steps"], mine[one]["steps"]
            yield _as_wide(contract, data), f"steps of histories '{one}' and '{other}' exchanged"
    terms = contract.observation.terms
    for (i, one_term), (j, other_term) in itertools.combinations(enumerate(terms), 2):
        pair = (one_term, other_term)
        if one_term.group != other_term.group or one_term.history != other_term.history:
            data = plain(contract)
            mine = data["observation"]["terms"]
            kept = [{key: term.pop(key) for key in ("history", "group") if key in term} for term in (mine[i], mine[j])]
            mine[i], mine[j] = mine[i] | kept[1], mine[j] | kept[0]
            labels = " and ".join(term.label for term in pair)
            yield _as_wide(contract, data), f"histories of {labels} exchanged"


def _as_wide(contract: Contract, data: dict[str, Any]) -> Contract | None:
    changed = validated(data)
    return changed if changed is not None and changed.observation_size == contract.observation_size else None
