"""How many steps late a term was shown, the same ones throughout or others from row to row: exactly, or in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.verdict.evidence import Evidence, Mask, Read, Values
from policy_port.verdict.fits import fit, present, settled_rows
from policy_port.verdict.rebuild import present_columns
from policy_port.verdict.signals import RecordedSignals

EARLIEST, LATEST = -3, 20
"""Steps that a term is looked for, ahead of the trace and behind it."""

LEAST = 8
"""Rows that have to reach back far enough before a delay is believed."""

LEFT = 0.3
"""Share of the difference that a delay between two steps may leave, and half of what the better of the two leaves."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True, kw_only=True, eq=False)
class Delay:
    """How late a term was shown."""

    lags: NDArray[np.intp]
    """Whole steps behind the trace, negative ahead of it, shape (steps, environments)."""
    more: float = 0.0
    """Share of the next step behind, from 0 to 1."""
    left: float = 0.0
    """Largest difference that is left [as observed]; nothing for whole steps."""

    @property
    def constant(self) -> int | None:
        """The one number of steps; None where there are several."""
        return int(self.lags.flat[0]) if int(np.ptp(self.lags)) == 0 and not self.more else None

    @property
    def words(self) -> str:
        """The delay in words: "two steps late"."""
        low, high = int(self.lags.min()), int(self.lags.max())
        if self.more:
            about = low + self.more
            return f"about {abs(about):.2g} steps {_side(about)}, between two rows of the trace"
        if low == high:
            return f"{step_words(low)} {_side(low)}"
        if (self.lags == self.lags[:1]).all():
            each = ", ".join(map(str, self.lags[0, :8])) + (", ..." if self.lags.shape[1] > 8 else "")
            return f"{each} steps late, another number in each environment"
        held = self._held()
        if held is not None:
            return f"refreshed every {step_words(held)} only, and late by {low} to {high} steps in between"
        usual = np.bincount((self.lags - low).ravel()).argmax() + low
        others = int((self.lags != usual).sum())
        rows = (
            f"{others} of {self.lags.size} rows are not {step_words(int(usual))} late"
            if usual
            else (f"{others} of {self.lags.size} rows are late")
        )
        return f"late by {low} to {high} steps, another number from row to row ({rows})"

    def _held(self) -> int | None:
        """The period at which a term is refreshed; None where its delay does not grow by a step at each row."""
        change = np.diff(self.lags, axis=0)
        fresh = [np.flatnonzero(change[:, env] < 0) for env in range(change.shape[1])]
        periods = {int(gap) for rows in fresh for gap in np.diff(rows)}
        steady = bool(((change == 1) | (change < 0)).all())
        return periods.pop() if steady and len(periods) == 1 else None


def step_words(steps: int) -> str:
    """A number of steps: "one step", "two steps"."""
    count = abs(steps)
    said = NUMBERS[count] if count < len(NUMBERS) else str(count)
    return f"{said} step{'' if count == 1 else 's'}"


def _side(steps: float) -> str:
    return "late" if steps > 0 else "early"


def delay_of(contract: Contract, evidence: Evidence, term: ObservationTerm) -> Delay | None:
    """How late a term was shown that differs from what the trace's own rows make it; None where that is not it.

    Raises:
        EvidenceError: When the trace lacks what the term is made of.
    """
    seen = np.stack(present(contract, evidence, term), axis=2)
    columns = present_columns(contract, evidence)[term.label]
    now = np.stack([column.values for column in columns], axis=2)
    told: Mask = np.logical_and.reduce([column.known for column in columns])
    allowed = np.array([column.allowed for column in columns])
    reach = np.arange(EARLIEST, LATEST + 1)
    gaps, right, known = [], [], []
    for steps in reach:
        moved, there = evidence.earlier(now, int(steps))
        there = there & evidence.earlier(told, int(steps))[0] & evidence.usable
        gap = np.abs(seen - moved)
        gaps.append(gap)
        known.append(there)
        right.append((gap <= allowed).all(axis=2))
    exact = _exact(reach, np.stack(right), np.stack(known), evidence.age < LATEST)
    return exact if exact is not None else _between(evidence, seen, now, reach, gaps, known)


def _exact(reach: NDArray[np.intp], right: Mask, known: Mask, young: Mask) -> Delay | None:
    """The delay of whole steps that explains every row that it reaches: one, one per environment, or one per row."""
    here = int(np.flatnonzero(reach == 0)[0])
    most = known[here]
    # The smallest first; a delay of none is what fails.
    order = [place for place in np.argsort(np.abs(reach - 0.1), kind="stable") if reach[place]]

    def explains(place: int, envs: slice | int) -> bool:
        rows = known[place][:, envs]
        enough = int(rows.sum()) >= max(LEAST, int(most[:, envs].sum()) // 2)
        return enough and bool((right[place][:, envs] | ~rows).all())

    for place in order:
        if explains(place, slice(None)):
            return Delay(lags=np.full(most.shape, reach[place]))
    each = [next((p for p in (here, *order) if explains(p, env)), None) for env in range(most.shape[1])]
    if all(place is not None for place in each):
        return Delay(lags=np.broadcast_to(reach[np.array(each, dtype=np.intp)], most.shape).copy())
    return _by_row(reach, right & known, most, young)


def _by_row(reach: NDArray[np.intp], fits: Mask, rows: Mask, young: Mask) -> Delay | None:
    """The delay of each row, where every row shows one of the past ones; late only, and never more than it has to.

    Args:
        reach: The delays that were looked for.
        fits: Where a row shows what the trace has so many steps before, shape (delays, steps, environments).
        rows: The rows to explain.
        young: Rows before which a delay may reach: they may show anything.
    """
    late = reach >= 0
    fits, steps = fits[late], reach[late]
    told = np.asarray(fits.any(axis=0))
    if not (told | ~rows | young).all() or int(told.sum()) < max(LEAST, int(rows.sum()) // 2):
        return None
    found = np.zeros(rows.shape, dtype=np.intp)
    for env in range(rows.shape[1]):
        for row in range(rows.shape[0]):
            if not told[row, env]:
                found[row, env] = LATEST
                continue
            mine = steps[fits[:, row, env]]
            before = found[row - 1, env] if row else 0
            # A signal that stands still shows several: the one that goes on as the row before did.
            going = [step for step in (before + 1, before) if step in mine]
            found[row, env] = mine[0] if 0 in mine or not going else going[0]
    return Delay(lags=found) if found[told].any() else None


def _between(
    evidence: Evidence, seen: Values, now: Values, reach: NDArray[np.intp], gaps: list[Values], known: list[Mask]
) -> Delay | None:
    """A delay between two rows, or of whole steps with something small beside it, by least squares."""
    size = np.maximum(now[evidence.usable].std(axis=0), 1e-9)
    here = int(np.flatnonzero(reach == 0)[0])
    common = np.asarray(np.logical_and.reduce(known[here - 1 : here + 4]))
    if int(common.sum()) < 4 * LEAST:
        return None

    def off(gap: Values) -> float:
        return float(np.sqrt(np.mean((gap[common] / size) ** 2)))

    plain = off(gaps[here])
    best: tuple[float, int, float, float] | None = None
    for place in range(here - 1, here + 3):
        a, b = (evidence.earlier(now, int(reach[place + more]))[0] for more in (0, 1))
        step, gap = (b - a)[common] / size, (seen - a)[common] / size
        share = float((step * gap).sum() / max(float((step * step).sum()), 1e-300))
        if not 0.05 < share < 0.95:
            continue
        rest = np.abs(seen - (1.0 - share) * a - share * b)
        if off(rest) < min(LEFT * plain, 0.5 * min(off(gaps[place]), off(gaps[place + 1]))) and (
            best is None or off(rest) < best[0]
        ):
            best = (off(rest), int(reach[place]), share, float(rest[common].max()))
    if best is None:
        return None
    return Delay(lags=np.full(evidence.shape, best[1]), more=best[2], left=best[3])


def delayed(contract: Contract, evidence: Evidence, term: ObservationTerm, delay: Delay) -> Evidence:
    """The evidence with a term that saw its signals as late as a delay says."""
    signals = RecordedSignals(contract, evidence)
    reads = {}
    for element in contract.term_elements(term):
        signal = signals.of(term, element)
        values, there = evidence.earlier(signal.values, delay.lags)
        known = there & evidence.earlier(signal.known, delay.lags)[0]
        if delay.more:
            next_, further = evidence.earlier(signal.values, delay.lags + 1)
            values, known = (1.0 - delay.more) * values + delay.more * next_, known & further
        reads[term.label, element] = Read(values, known)
    return evidence.seen_as(reads)


def late_lines(contract: Contract, evidence: Evidence, term: ObservationTerm) -> Delay | None:
    """The whole steps behind which a term is a line of its signals, which it is not at its own row; None where it is.

    Then it is late, and another scale or offset is wrong beside that.
    """
    signals = RecordedSignals(contract, evidence)
    columns = [
        (column, signals.of(term, element))
        for column, element in zip(present(contract, evidence, term), contract.term_elements(term), strict=True)
    ]
    rows = settled_rows(evidence)

    def explains(steps: int) -> bool:
        told = False
        for column, signal in columns:
            values, there = evidence.earlier(signal.values, steps)
            mine = rows & there & evidence.earlier(signal.known, steps)[0]
            options: dict[str, Any] = {"rounding": evidence.rounding, "size": signal.size}
            if int(mine.sum()) < max(LEAST, int(rows.sum()) // 2):
                return False
            line = fit(column, values, mine, **options)
            if not line.explains:
                return False
            told |= line.tells
        return told

    if explains(0):
        return None
    steps = next((step for step in (*range(1, LATEST + 1), *range(-1, EARLIEST - 1, -1)) if explains(step)), None)
    return None if steps is None else Delay(lags=np.full(evidence.shape, steps))
