"""Mistakes in histories: the present in or out, strides, order, fill and layout of a group, lengths exchanged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from mutation_kinds import Data, NotApplicableError, terms_of
from mutation_mistake import Mutation, wrote


def of_histories() -> list[Mutation]:
    """What a user wrongly wrote of which steps the network sees."""
    return [
        wrote(
            "history without the present step",
            "1",
            grouped(newest=1),
            r"with the present step in the source",
            r"one step early",
        ),
        wrote("history of every second step", "1", grouped(stride=2), r"every step in the source"),
        wrote(
            "past-only block with the present step in it",
            "1",
            steps(newest=0),
            r"without the present step in the source",
            r"one step late",
        ),
        wrote("past-only block turned round", "1", turned, r"(newest|oldest) first in the source"),
        wrote(
            "past-only block filled otherwise",
            "+",
            exchanged("fill", "zero", "first"),
            r"filled with (the first|zeros)",
        ),
        wrote(
            "past-only block laid out the other way",
            "1",
            exchanged("layout", "term_major", "time_major"),
            r"(term|time)-major in the source",
        ),
        wrote("lengths of two groups exchanged", "1", two_lengths, r"histories .* exchanged"),
        wrote("a motion that takes longer", "2", elapsed_length, r"the motion takes {a} s"),
        wrote("a motion from its first step on", "3", elapsed_start, r"it begins at {a} s"),
    ]


def grouped(**changes: int) -> Callable[[Data], None]:
    """The history of all terms, in a group with other steps of the same number."""

    def mutate(data: Data) -> None:
        observation = data["observation"]
        lengths = {term.get("history", 1) for term in observation["terms"]} - {1}
        if "history" not in observation or len(lengths) != 1:
            raise NotApplicableError
        for term in observation["terms"]:
            if term.pop("history", 1) > 1:
                term["group"] = "past"
        stated = observation.pop("history")
        table = {"length": lengths.pop(), "newest": 0, "order": stated.pop("order"), **changes}
        observation["groups"] = {"past": {**stated, "steps": table}}

    return mutate


def first_group(data: Data) -> dict[str, Any]:
    """The first group of a contract that has one with a table of steps."""
    found = [group for group in data["observation"].get("groups", {}).values() if isinstance(group["steps"], dict)]
    if not found:
        raise NotApplicableError
    return found[0]


def steps(**changes: int) -> Callable[[Data], None]:
    """Other steps of a group."""
    return lambda data: first_group(data)["steps"].update(changes)


def turned(data: Data) -> None:
    """The steps of a group the other way round."""
    table = first_group(data)["steps"]
    table["order"] = "oldest_first" if table["order"] == "newest_first" else "newest_first"


def exchanged(key: str, one: str, other: str) -> Callable[[Data], None]:
    """One of two words for the other in a group."""

    def mutate(data: Data) -> None:
        group = first_group(data)
        group[key] = other if group[key] == one else one

    return mutate


def elapsed_length(data: Data) -> dict[str, str]:
    """The motion takes a fifth longer than it does."""
    found = terms_of(data, "elapsed")
    right = found[0]["length"]
    for term in found:
        term["length"] = 1.2 * right
    return {"a": f"{right:g}"}


def elapsed_start(data: Data) -> dict[str, str]:
    """Time counted from the first observation, where training had counted a step before it."""
    found = [term for term in terms_of(data, "elapsed") if term.get("start")]
    if not found:
        raise NotApplicableError
    starts = [term.pop("start") for term in found]
    return {"a": f"{starts[0]:g}"}


def two_lengths(data: Data) -> None:
    """Two groups whose steps were written down the wrong way round, and give the same width."""
    groups = data["observation"].get("groups", {})
    for one, other in itertools.combinations(groups, 2):
        if groups[one]["steps"] != groups[other]["steps"]:
            groups[one]["steps"], groups[other]["steps"] = groups[other]["steps"], groups[one]["steps"]
            return
    raise NotApplicableError
