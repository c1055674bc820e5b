"""Whether observation and action name their joints in one order, and whether the names fit the robot's two sides."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from policy_port.arrays import Array
from policy_port.closed_loop.symmetry import exchanged_sides, grouped_orders, split
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import Edit, edits_between, with_action, with_joint_order, with_term
from policy_port.mistakes.orders import Names, exchanged, known_orders, listed
from policy_port.probe.assignment import best_assignment, standing
from policy_port.probe.mirror import SYMMETRIC, Fit, Mirror
from policy_port.probe.network import Response

# Measured by benchmarks/probe.py on policies whose contracts are known to be right.
LEAST_JOINTS = 5
"""Fewer joints than this have too few orders for any to stand out."""
STANDS_OUT = 5.0
"""Standing from which an order that somebody uses is no chance."""
AHEAD = 3.0
"""Standing by which it must be ahead of the stated one."""
APART = 1.5
"""Standing within which two orders can't be told apart."""
ENOUGH = 0.8
"""Share of the highest standing that does where few joints can't stand out so far."""
BEYOND_CHANCE = 5.0
"""Deviations by which the best order of all must be beyond the mean of what chance brings, where nobody uses it."""
EXCHANGE = 1.0
"""Standing by which that one must be ahead of the stated one."""
SHUFFLES = 100
"""Tables of the same numbers in random places, which show what chance brings."""
MORE_SYMMETRIC = 0.15
"""Fit by which other names must be ahead of the stated ones."""
AS_GOOD = 0.03
"""Fit that the right names may lack to ones with two joints exchanged."""
SAME = 1e-9
"""Fit within which two orders pair the same joints."""
AS_SYMMETRIC = 0.1
"""Fit within which two orders can't be told apart."""


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """Joints that bear other names than the contract says, at one place or at all."""

    words: str
    """What it looks like."""
    known: bool
    """True where somebody is known to use this order."""
    two: bool = False
    """True where two joints are exchanged, and nothing else."""
    action: Mapping[str, str] = field(default_factory=dict)
    """Stated name -> true name, in the action."""
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The same by the label of the joint term."""

    def mended(self, contract: Contract) -> Contract | None:
        """The contract with the true names; None where a contract can't say it."""
        changed: Contract | None = contract
        order = contract.joint_names
        if self.action and self.observed:
            names = tuple(self.action.get(name, name) for name in order)
            changed = with_joint_order(contract, names) if sorted(names) == sorted(order) else None
            order = names
        for term in contract.observation.terms:
            if changed is not None and isinstance(term, JointTerm) and term.label in self.observed:
                names = tuple(self.observed[term.label].get(name, name) for name in term.elements(contract))
                changed = with_term(changed, term.label, joints=None if names == order else list(names))
        for place, term in enumerate(contract.action.terms):
            if changed is not None and self.action:
                names = tuple(self.action.get(name, name) for name in contract.action_joints(term))
                changed = with_action(changed, place, joints=None if names == order else list(names))
        return changed

    def edits(self, contract: Contract) -> tuple[Edit, ...]:
        """The edits that mend the contract; none where a contract can't say it."""
        mended = self.mended(contract)
        return () if mended is None else edits_between(contract, mended)


@dataclass(frozen=True, kw_only=True)
class TermOrder:
    """What one joint term tells of its order against the action's."""

    label: str
    """The term."""
    stated: float
    """Standing of the stated order."""
    best: float
    """Standing of the best order that somebody uses, the stated one aside."""
    free: float
    """Standing of the best order of all."""
    chance: float
    """The most that chance brings to the best order of all."""
    verdict: str
    """"sharp": each action answers its own joint first. "fits": the stated order stands out, single joints aside.
    "wrong": another one does. "open": can't be told."""
    others: tuple[Relabelling, ...] = ()
    """Where it is wrong: the orders that are as good as the best."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What was found of the joint orders."""

    terms: tuple[TermOrder, ...]
    """Each joint term against the action."""
    silent: str
    """Why left and right can't be compared; empty where they can."""
    fit: Fit | None
    """How symmetric the network is under the stated names."""
    best_fit: float | None
    """The same under the best names that were tried."""
    looks_like: tuple[Relabelling, ...]
    """Names that explain the network better than the stated ones, and that it can't tell apart; empty where the right
    ones can't be told."""
    because: str
    """Why the stated names are certain to be wrong; empty where they are not."""


def judge_orders(contract: Contract, response: Response) -> Orders:
    """Hold the stated joint orders against the network's derivatives."""
    mirror = Mirror(contract, response)
    terms = tuple(_term_orders(contract, response))
    silent = mirror.silent
    fit = None if silent else mirror.fit({}, {})
    wrong = [term for term in terms if term.verdict == "wrong"]
    if wrong:
        others = _merged(contract, terms)
        if others and not silent:
            fits = [mirror.fit(other.action, other.observed).value for other in others]
            if max(fits) >= SYMMETRIC:
                others = [o for o, value in zip(others, fits, strict=True) if value >= max(fits) - AS_SYMMETRIC]
        said = "; ".join(f"{t.label}: standing {t.stated:.1f} as stated, {max(t.best, t.free):.1f} so" for t in wrong)
        return Orders(
            terms=terms, silent=silent, fit=fit, best_fit=None, looks_like=_likely_first(others), because=said
        )
    others, best_fit, because = ((), None, "") if fit is None else _more_symmetric(contract, mirror, terms, fit)
    return Orders(terms=terms, silent=silent, fit=fit, best_fit=best_fit, looks_like=others, because=because)


def _likely_first(others: Iterable[Relabelling]) -> tuple[Relabelling, ...]:
    """What somebody is known to use, then what changes the fewest names."""

    def changes(other: Relabelling) -> int:
        return sum(a != b for true in (other.action, *other.observed.values()) for a, b in true.items())

    return tuple(sorted(others, key=lambda other: (not other.known, changes(other))))


def orders_in_use(contract: Contract, names: Names) -> dict[Names, tuple[str, bool]]:
    """Other orders of `names`: what they are in words, and whether somebody is known to use them."""
    known = known_orders(contract, ()) if set(names) == set(contract.joint_names) else {}
    found = {order: (who, who != "left and right exchanged") for order, who in known.items()}
    for order, words in itertools.chain(exchanged_sides(names), grouped_orders(names)):
        if sorted(order) == sorted(names):
            found.setdefault(order, (words, False))
    found.pop(names, None)
    return found


def _term_orders(contract: Contract, response: Response) -> Iterator[TermOrder]:
    newest = {(s.term, s.element): column for column, s in enumerate(observation_slots(contract)) if s.age == 0}
    for term in contract.observation.terms:
        if isinstance(term, JointTerm) and 0 in contract.observation.stack(term).ages:
            rows = [name for name in contract.action_joint_names if name in term.elements(contract)]
            places = [contract.action_joint_names.index(name) for name in rows]
            columns = [newest[term.label, name] for name in rows]
            yield _term_order(contract, term, tuple(rows), response.mean[np.ix_(places, columns)])


def _term_order(contract: Contract, term: JointTerm, names: Names, mean: Array) -> TermOrder:
    """Judge one term.

    Args:
        contract: The contract.
        term: The term.
        names: The joints that it shares with the action, in the action's order.
        mean: Derivatives of their actions by their numbers, shape (names, names), both in the order of `names`.
    """
    if len(names) < LEAST_JOINTS:
        return TermOrder(label=term.label, stated=0.0, best=0.0, free=0.0, chance=0.0, verdict="open")
    score = standing(mean)
    every = np.arange(len(names))
    stated = float(np.trace(score))
    free = best_assignment(score)
    top = float(score[every, free].sum())
    rng = np.random.default_rng(0)
    shuffled = [standing(rng.permuted(mean.ravel()).reshape(mean.shape)) for _ in range(SHUFFLES)]
    tops = [table[every, best_assignment(table)].sum() for table in shuffled]
    chance = float(np.mean(tops) + BEYOND_CHANCE * np.std(tops))
    ranked = _ranked(contract, term, names, score)
    best = max((value for value, _, _ in ranked), default=0.0)
    enough = min(STANDS_OUT, ENOUGH * (len(names) - 1))
    elsewhere = [row for row in every if free[row] != row]
    # An assignment that is the stated one but for two joints is no chance; any other must be beyond it.
    told = top - stated >= EXCHANGE and (top >= chance or (len(elsewhere) == 2 and top >= enough))
    others: tuple[Relabelling, ...] = ()
    if best >= enough and best - stated >= AHEAD and not (told and top - best >= EXCHANGE):
        near = [(value, pairing, other) for value, pairing, other in ranked if value >= best - APART]
        if len({pairing for _, pairing, _ in near}) == 1:
            others = tuple(other for _, _, other in near)
    elif told:
        others = tuple(_paired(contract, term, names, free))
    verdict = "wrong" if others else "open"
    if not others and stated >= enough and stated > best:
        verdict = "sharp" if not elsewhere else "fits"
    return TermOrder(
        label=term.label, stated=stated, best=best, free=top, chance=chance, verdict=verdict, others=others
    )


def _ranked(
    contract: Contract, term: JointTerm, names: Names, score: Array
) -> list[tuple[float, tuple[int, ...], Relabelling]]:
    """Orders in use of the term or of the action: standing, the column that each row is paired with, and the order."""
    found = []
    for order, (words, known) in orders_in_use(contract, term.elements(contract)).items():
        true = dict(zip(term.elements(contract), order, strict=True))
        stated_for = {after: before for before, after in true.items()}
        pairing = [names.index(stated_for[name]) if stated_for[name] in names else -1 for name in names]
        if -1 not in pairing:
            other = Relabelling(words=f"{term.label} is {words}", known=known, observed={term.label: true})
            found.append((pairing, other))
    for order, (words, known) in orders_in_use(contract, contract.action_joint_names).items():
        true = dict(zip(contract.action_joint_names, order, strict=True))
        pairing = [names.index(true[name]) if true[name] in names else -1 for name in names]
        if -1 not in pairing:
            found.append((pairing, Relabelling(words=f"the action is {words}", known=known, action=true)))
    every = np.arange(len(names))
    rated = [(float(score[every, p].sum()), tuple(p), o) for p, o in found if p != list(every)]
    return sorted(rated, key=lambda row: -row[0])


def _paired(contract: Contract, term: JointTerm, names: Names, free: list[int]) -> Iterator[Relabelling]:
    """The best order of all, as one of the term and as one of the action."""
    for where, true in (
        (term.label, {names[column]: names[row] for row, column in enumerate(free)}),
        ("", {names[row]: names[column] for row, column in enumerate(free)}),
    ):
        elements = term.elements(contract) if where else contract.action_joint_names
        order = tuple(true.get(name, name) for name in elements)
        two = exchanged(elements, order)
        words = f"{two[0]} and {two[1]} exchanged" if two else f"in another order: {listed(order, 6)}"
        if where:
            yield Relabelling(words=f"{where} has {words}", known=False, observed={where: true})
        else:
            yield Relabelling(words=f"the action has {words}", known=False, action=true)


def _merged(contract: Contract, terms: Iterable[TermOrder]) -> list[Relabelling]:
    """What mends all terms at once: the same order of each wrong or open term of the same joints, or of the action."""
    judged = {term.label: term for term in terms}
    elements = {
        term.label: term.elements(contract) for term in contract.observation.terms if isinstance(term, JointTerm)
    }
    first = max((t for t in judged.values() if t.verdict == "wrong"), key=lambda t: max(t.best, t.free) - t.stated)
    found = []
    for other in first.others:
        if other.action:
            if not any(term.verdict in ("fits", "sharp") for term in judged.values()):
                found.append(other)
            continue
        true = other.observed[first.label]
        along = [
            label
            for label, term in judged.items()
            if term.verdict in ("wrong", "open") and elements[label] == elements[first.label]
        ]
        words = other.words if along == [first.label] else other.words.replace(first.label, ", ".join(along), 1)
        found.append(Relabelling(words=words, known=other.known, observed=dict.fromkeys(along, true)))
    return found


def _more_symmetric(
    contract: Contract, mirror: Mirror, terms: Iterable[TermOrder], fit: Fit
) -> tuple[tuple[Relabelling, ...], float, str]:
    """Names under which left and right are alike, where they are not under the stated ones; the best fit; and why."""
    told = any(term.verdict in ("fits", "sharp") for term in terms)
    rated = [(mirror.fit(o.action, o.observed).value, o) for o in _relabellings(contract, told=told)]
    best = max((value for value, _ in rated), default=fit.value)
    if best < SYMMETRIC or best - fit.value < MORE_SYMMETRIC:
        return (), max(best, fit.value), ""
    because = f"symmetry {fit.value:.2f} as stated, up to {best:.2f} under other names"
    same = [other for value, other in rated if value >= best - SAME]
    near = [other for value, other in rated if best - AS_SYMMETRIC <= value < best - SAME and value > fit.value]
    if any(mirror.fit(o.action, o.observed).value > best + AS_GOOD for o in _varied(contract, same[0])):
        return (), best, because
    if not _regular(contract.joint_names):
        # Which kind of joint is which is no matter to the symmetry. Orders in use are built on the stated sequence of
        # kinds, so where that is in doubt they are too, but for two joints exchanged.
        same, near = ([o for o in others if o.two] for others in (same, near))
    found = (*_likely_first(same), *_likely_first(near))
    if not any(term.verdict == "sharp" for term in terms):
        # Symmetry tells that two joints are exchanged, but hardly at which place.
        found = tuple(place for other in found for place in _places(other))
    return found, best, because


def _places(other: Relabelling) -> Iterator[Relabelling]:
    """Two joints exchanged in all, in the action alone, and in the observation alone; anything else as it is."""
    yield other
    if other.two:
        rest = other.words.removeprefix("all joints have")
        yield replace(other, words=f"the action has{rest}", observed={})
        yield replace(other, words=f"the observation has{rest}", action={})


def _regular(names: Names) -> bool:
    """Whether the kinds of joints come in the same sequence on each side."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        side, kind = split(name)
        kinds.setdefault(side, []).append(kind)
    return len({tuple(sequence) for side, sequence in kinds.items() if side}) == 1


def _varied(contract: Contract, other: Relabelling) -> Iterator[Relabelling]:
    """The same names but for two joints exchanged throughout: better ones mean that the right names were not tried."""
    for one, two in itertools.combinations(contract.joint_names, 2):
        turned = {one: two, two: one}

        def exchange(true: Mapping[str, str], turned: Mapping[str, str] = turned) -> dict[str, str]:
            names = {name: true.get(name, name) for name in contract.joint_names}
            return {name: turned.get(after, after) for name, after in names.items()}

        labels = [term.label for term in contract.observation.terms if isinstance(term, JointTerm)]
        observed = {label: exchange(other.observed.get(label, {})) for label in labels}
        yield Relabelling(words="", known=False, action=exchange(other.action), observed=observed)


def _relabellings(contract: Contract, *, told: bool) -> Iterator[Relabelling]:
    """Orders in use of observation and action together and, unless these are `told` to agree, of either alone.

    And two joints exchanged in both.
    """
    labels = [term.label for term in contract.observation.terms if isinstance(term, JointTerm)]
    for one, two in itertools.combinations(contract.joint_names, 2):
        true = {one: two, two: one}
        words = f"all joints have {one} and {two} exchanged"
        yield Relabelling(words=words, known=False, two=True, action=true, observed=dict.fromkeys(labels, true))
    for order, (words, known) in orders_in_use(contract, contract.joint_names).items():
        true = dict(zip(contract.joint_names, order, strict=True))
        observed = dict.fromkeys(labels, true)
        yield Relabelling(words=f"all joints are {words}", known=known, action=true, observed=observed)
        if not told:
            yield Relabelling(words=f"the observation is {words}", known=known, observed=observed)
            yield Relabelling(words=f"the action is {words}", known=known, action=true)
