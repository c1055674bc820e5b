"""A probe in words."""

from __future__ import annotations

from collections.abc import Iterator

from policy_port.contract.layout import Slot
from policy_port.probe.extremes import Extreme
from policy_port.probe.mirror import partner, turned
from policy_port.probe.orders import TermOrder
from policy_port.probe.probe import Probe

SHOWN = 4
"""Alternatives and groups of joints that are shown."""
GROWN = 3.0
"""Deviations from which a departure at an end is told."""
GROUPS = 4
"""Kinds of joints up to which each has a column."""


def text(probe: Probe) -> str:
    """The probe for a person."""
    lines = [*_moves(probe), *_odd(probe), *_order(probe), *_symmetry(probe), *_extremes(probe), *_verdict(probe)]
    return "\n".join(f"{title:<12}{line}".rstrip() for title, line in lines)


def _moves(probe: Probe) -> Iterator[tuple[str, str]]:
    """The table of blocks by kinds of joints."""
    groups = probe.blocks.groups(probe.contract)
    if not 1 < len(groups) <= GROUPS:
        groups = {}
    observation = probe.contract.observation
    past = any(observation.stack(term).ages != (0,) for term in observation.terms)
    head = ["all", *groups, *(["newest step"] if past else []), "per unit"]
    rows = []
    for block in probe.blocks.blocks:
        parts = [sum(block.shares[place] for place in places) / len(places) for places in groups.values()]
        shares = [f"{100.0 * share:.0f} %" for share in (block.share, *parts)]
        newest = [f"{100.0 * block.newest:.0f} %"] if past else []
        rows.append([block.label, *shares, *newest, f"{block.per_unit:.3g}"])
    widths = [max(map(len, column)) for column in zip(["", *head], *rows, strict=True)]
    yield "moves", _row(["", *head], widths) + "   (share of the actions' movement; raw action per unit)"
    for row in rows:
        yield "", _row(row, widths)


def _row(cells: list[str], widths: list[int]) -> str:
    first, *rest = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join((first.strip().ljust(widths[0]), *rest))


def _odd(probe: Probe) -> Iterator[tuple[str, str]]:
    dead = list(_grouped(probe, probe.blocks.dead))
    yield "dead", "; ".join(dead) + ": moves no action" if dead else "none: each number moves some action"
    for slot, times in probe.blocks.loud[:SHOWN]:
        words = "its deviation in the normaliser is probably near zero, as it never changed in training"
        yield "loud", f"{slot} moves the actions {times:.0f} times as much as the middle of {slot.term}: {words}"
    rest = len(probe.blocks.loud) - SHOWN
    if rest > 0:
        yield "", f"and {rest} more (--json lists them)"


def _grouped(probe: Probe, slots: tuple[Slot, ...]) -> Iterator[str]:
    for term in probe.contract.observation.terms:
        own = [slot for slot in slots if slot.term == term.label]
        many = probe.contract.term_size(term) * len(probe.contract.observation.stack(term).ages)
        if own and len(own) == many:
            yield f"all of {term.label}"
        elif own:
            more = f", ... ({len(own)} of {many})" if len(own) > SHOWN else ""
            yield ", ".join(map(str, own[:SHOWN])) + more


def _order(probe: Probe) -> Iterator[tuple[str, str]]:
    title = "order"
    for term in probe.orders.terms:
        yield title, f"{term.label}: {_term_order(term)}"
        title = ""
    if not probe.orders.terms:
        yield title, "can't be told: no term observes joints"


def _term_order(term: TermOrder) -> str:
    standing = f"standing {term.stated:.1f}"
    match term.verdict:
        case "sharp":
            return f"each action answers its own joint first ({standing}, chance reaches {term.chance:.1f})"
        case "fits":
            return (
                f"the stated order fits ({standing}, other orders in use up to {term.best:.1f}); whether two single "
                "joints are exchanged can't be told"
            )
        case "wrong":
            return f"another order fits better ({standing}, the other {max(term.best, term.free):.1f})"
        case _ if not term.chance:
            return "can't be told: too few joints"
    return f"can't be told ({standing}, other orders in use up to {term.best:.1f}, of all {term.free:.1f})"


def _symmetry(probe: Probe) -> Iterator[tuple[str, str]]:
    orders = probe.orders
    if orders.fit is None:
        yield "symmetry", f"can't be told: {orders.silent}"
        return
    words = f"left and right agree to {orders.fit.value:.2f} under the stated names (1 is a mirror image)"
    if orders.best_fit is not None and orders.best_fit > orders.fit.value:
        words += f"; under other orders in use to {orders.best_fit:.2f}"
    yield "symmetry", words
    for name in turned(probe.contract, orders.fit):
        ways = ("the same way", "opposite ways")
        said, seen = ways if orders.fit.signs[name] == -1 else ways[::-1]
        yield (
            "",
            (
                f"{name} and {partner(name)} turn {said} by their default pose, {seen} by the network: look at the "
                "sign of their defaults"
            ),
        )
    yield "", "all joints of the left exchanged with all of the right would look the same: that can't be told"


def _extremes(probe: Probe) -> Iterator[tuple[str, str]]:
    """Each term at whose ends something happens that ordinary observations don't bring."""
    title, quiet = "extremes", []
    for extreme in probe.extremes:
        words = _extreme(extreme)
        if extreme.label and len(words) == 1 and extreme.growth < GROWN:
            quiet.append(extreme)
            continue
        yield title, f"{extreme.label or 'ordinary'}: {', '.join(words)}"
        title = ""
    if quiet:
        most = max(extreme.growth for extreme in quiet)
        labels = ", ".join(extreme.label for extreme in quiet)
        yield title, f"{labels}: nothing saturates, actions within {most:.1f} ordinary deviations"


def _extreme(extreme: Extreme) -> list[str]:
    if extreme.broken:
        return ["an action is not finite", "the rest can't be told"]
    words = [f"actions reach {extreme.growth:.1f} ordinary deviations"]
    for share, what in (
        (extreme.clipped, "of the actions at raw_clip"),
        (extreme.beyond, "of the targets beyond joint limits"),
        (extreme.stuck, "of the actions hardly move any more"),
        (extreme.unseen, "of its numbers clipped inside the network"),
    ):
        if share is not None and share >= 0.005:
            words.append(f"{100.0 * share:.0f} % {what}")
    return words


def _verdict(probe: Probe) -> Iterator[tuple[str, str]]:
    for doubt in probe.doubts:
        yield "doubt", doubt
    for fault in probe.faults:
        yield "fault", fault
    others = probe.orders.looks_like
    if probe.orders.because and not others:
        yield "", "which order is the right one can't be told"
    if len(others) > 1:
        yield "", f"one of {len(others)} orders that can't be told apart:"
    for other in others[:SHOWN]:
        yield "", other.words
        edits = other.edits(probe.contract)
        for edit in edits:
            yield "", f"  edit    {edit}"
        if not edits:
            yield "", "  no edit of this contract says that"
    if len(others) > SHOWN:
        yield "", f"and {len(others) - SHOWN} more (--json lists them)"
    if probe.grey:
        yield "images", f"{', '.join(probe.grey)}: shown as plain grey; what they move is not told here"
    if probe.ok:
        yield "verdict", "nothing is certain to be wrong, which proves nothing right; a trace does, with verify"
    else:
        yield "verdict", "the network does not fit this contract; a trace of the source tells for certain, with verify"
