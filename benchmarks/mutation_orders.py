"""Mistakes of order: of joints, of values beside them, and of terms."""

from __future__ import annotations

from collections.abc import Callable

from mutation_kinds import Data, NotApplicableError, names_of, terms_of, unequal_pair


def by_kind(names: list[str]) -> list[str]:
    """Joints grouped by kind, as a breadth-first parser has them; by leg where they are grouped by kind already."""

    def kind(name: str) -> str:
        for side in ("left_", "right_", "FL_", "FR_", "RL_", "RR_", "LF_", "LH_", "RF_", "RH_"):
            if name.startswith(side):
                return name.removeprefix(side)
        return name

    kinds = list(dict.fromkeys(map(kind, names)))
    grouped = [name for wanted in kinds for name in names if kind(name) == wanted]
    if grouped != names:
        return grouped
    sides = list(dict.fromkeys(name.partition("_")[0] for name in names))
    return [name for side in sides for name in names if name.partition("_")[0] == side]


def reorder(data: Data, order: list[str]) -> None:
    """The joints in another order: those of the table where it says one, and those that terms name."""
    names = names_of(data)
    if order == names:
        raise NotApplicableError
    terms = [*data["action"]["terms"], *(t for t in data["observation"]["terms"] if t["term"].startswith("joint_"))]
    if not all(term.get("joints") for term in terms):
        data["joints"] = {name: data["joints"][name] for name in order}
    for term in terms:
        if mine := term.get("joints"):
            moved = [[name for name in listed if name in mine] for listed in (names, order)]
            instead = dict(zip(*moved, strict=True))
            term["joints"] = [instead[name] for name in mine]


def other_side(name: str) -> str:
    for a, b in (("left_", "right_"), ("FL_", "FR_"), ("RL_", "RR_"), ("LF_", "RF_"), ("LH_", "RH_")):
        if name.startswith(a):
            return b + name.removeprefix(a)
        if name.startswith(b):
            return a + name.removeprefix(b)
    return name


def joint_order_parser(data: Data) -> None:
    reorder(data, by_kind(names_of(data)))


def joint_order_sorted(data: Data) -> None:
    reorder(data, sorted(names_of(data)))


def joint_order_reversed(data: Data) -> None:
    reorder(data, names_of(data)[::-1])


def joint_order_left_right(data: Data) -> None:
    reorder(data, [other_side(name) for name in names_of(data)])


def joint_pair(data: Data) -> dict[str, str]:
    a, b = unequal_pair(data)
    order = names_of(data)
    i, j = order.index(a), order.index(b)
    order[i], order[j] = order[j], order[i]
    reorder(data, order)
    return {"a": a, "b": b}


def names_over_values(data: Data) -> None:
    """The list of names in another order than the lists of values beside it."""
    order = by_kind(names_of(data))
    if order == names_of(data):
        raise NotApplicableError
    data["joints"] = dict(zip(order, list(data["joints"].values()), strict=True))


def another(names: list[str]) -> list[str]:
    """Another order of some joints: by kind, or turned round where that changes nothing."""
    return order if (order := by_kind(names)) != names else names[::-1]


def one_term_order(kind: str) -> Callable[[Data], None]:
    def mutate(data: Data) -> None:
        term = terms_of(data, kind)[0]
        term["joints"] = another(term.get("joints") or names_of(data))

    return mutate


def action_order(data: Data) -> None:
    term = data["action"]["terms"][0]
    term["joints"] = another(term.get("joints") or names_of(data))


def field_in_other_order(*fields: str) -> Callable[[Data], None]:
    """Values beside the names in another order."""

    def mutate(data: Data) -> None:
        order = by_kind(names_of(data))
        rows = data["joints"]
        changed = False
        for field in fields:
            if any(field not in row for row in rows.values()):
                raise NotApplicableError
            values = [rows[name][field] for name in order]
            for name, value in zip(list(rows), values, strict=True):
                changed |= rows[name][field] != value
                rows[name][field] = value
        if not changed:
            raise NotApplicableError

    return mutate


def terms_sorted(data: Data) -> None:
    terms = data["observation"]["terms"]
    ordered = sorted(terms, key=lambda term: term["term"])
    if ordered == terms:
        raise NotApplicableError
    data["observation"]["terms"] = ordered


def terms_exchanged(a: str, b: str) -> Callable[[Data], dict[str, str]]:
    def mutate(data: Data) -> dict[str, str]:
        first, second = terms_of(data, a)[0], terms_of(data, b)[0]
        terms = data["observation"]["terms"]
        i, j = terms.index(first), terms.index(second)
        terms[i], terms[j] = terms[j], terms[i]
        return {"a": a, "b": b}

    return mutate


def front_and_rear(data: Data) -> None:
    """Front and rear legs exchanged."""
    names = names_of(data)
    if not any(name.startswith(("FL_", "LF_")) for name in names):
        raise NotApplicableError
    swap = {
        "FL_": "RL_",
        "RL_": "FL_",
        "FR_": "RR_",
        "RR_": "FR_",
        "LF_": "LH_",
        "LH_": "LF_",
        "RF_": "RH_",
        "RH_": "RF_",
    }
    reorder(data, [swap[name[:3]] + name[3:] for name in names])
