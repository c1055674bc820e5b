"""What a robot's joint names tell of its build: on which side a joint is, and which other joints are its like."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from policy_port.mistakes.orders import Names

SIDES = ("left", "right", "fl", "fr", "rl", "rr", "lf", "rf", "lh", "rh", "hl", "hr", "l", "r")
"""Words in joint names that stand for a side or a leg."""

MOST_SIDES = 4
"""Sides that are put into every order; a robot of more legs keeps its own."""


def split(name: str) -> tuple[str, str]:
    """Side and kind of a joint: "left" and "*_knee" of left_knee; no side where the name tells none."""
    words = name.split("_")
    place = next((i for i, word in enumerate(words) if word.lower() in SIDES), None)
    if place is None:
        return "", name
    return words[place], "_".join((*words[:place], "*", *words[place + 1 :]))


def alike(names: Names) -> dict[str, Names]:
    """Joints of the same kind on all sides, by kind; kinds that stand alone are left out."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(split(name)[1], []).append(name)
    return {kind: tuple(joints) for kind, joints in found.items() if len(joints) > 1}


def grouped_orders(names: Names) -> Iterator[tuple[Names, str]]:
    """The joints side by side and kind by kind, as depth-first and breadth-first parsers have them, sides in any order.

    Args:
        names: The joints; kinds come in the order in which they stand here.
    """
    sides = list(dict.fromkeys(split(name)[0] for name in names))
    kinds = list(dict.fromkeys(split(name)[1] for name in names))
    by_side_and_kind = {split(name): name for name in names}
    for order in _permutations(sides):
        for how, pairs in (
            ("side by side", [(side, kind) for side in order for kind in kinds]),
            ("kind by kind", [(side, kind) for kind in kinds for side in order]),
        ):
            said = ", ".join(side for side in order if side)
            yield tuple(by_side_and_kind[pair] for pair in pairs if pair in by_side_and_kind), f"{how}: {said}"


def exchanged_sides(names: Names) -> Iterator[tuple[Names, str]]:
    """The order as it is, but with the sides' names permuted: left for right, front for rear."""
    sides = list(dict.fromkeys(split(name)[0] for name in names if split(name)[0]))
    by_side_and_kind = {split(name): name for name in names}
    for order in _permutations(sides):
        other = dict(zip(sides, order, strict=True)) | {"": ""}
        swapped = tuple(by_side_and_kind.get((other[split(name)[0]], split(name)[1]), "") for name in names)
        if order != tuple(sides) and set(swapped) == set(names):
            yield swapped, f"{', '.join(sides)} are {', '.join(order)}"


def _permutations(sides: list[str]) -> Iterator[tuple[str, ...]]:
    if len(sides) > MOST_SIDES:
        yield tuple(sides)
        return
    yield from itertools.permutations(sides)
