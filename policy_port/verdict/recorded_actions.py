"""Explanations in which the contract is right and the trace's action is not what the network put out.

It was scaled, clipped, filtered, put in another order, late or drawn at random; or its target is not what it set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from policy_port.contract.actions import TARGETS
from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError
from policy_port.mistakes.orders import listed
from policy_port.verdict.answers import ACTION_TOLERANCE
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.explanations import INEXACT, PROVEN, Explanation, Explanations
from policy_port.verdict.filters import LONGEST, low_pass
from policy_port.verdict.fits import PLATEAU, Line, fit, match, moves
from policy_port.verdict.rebuild import decode, driven_joints, per_element, recorded_targets, stated_offset
from policy_port.verdict.shaping import mean_of

ROUNDING = 1e-6
"""Relative rounding of a network's answers, which two runtimes differ by."""

RIGHT = "the contract is right"


def recorded_actions(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """What the recorded actions and targets are of what the network answers, where they are not that themselves."""
    if "action" in failing and evidence.answers is not None:
        yield from _actions(contract, evidence, failing)
    if "target" in failing:
        yield from _filtered_targets(contract, evidence)


def _actions(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    assert evidence.answers is not None
    answers = evidence.answers
    known = answers.known & evidence.usable
    found = next(_relations(contract, evidence, answers.values, known), None)
    if found is not None:
        words, remedy = found
        yield _answered(contract, evidence, words, remedy)
        return
    noise = _noise(evidence, answers.values, known)
    if noise:
        words = f"the recorded action is the network's with noise of {noise:.2g}"
        remedy = f"{RIGHT}: record with the policy's mean, without the exploration of training"
        # Either the robot was moved so as well, or the recorder alone drew.
        yield _answered(contract, evidence, words, remedy)
        yield _blind(contract, evidence, words, remedy)
    elif failing == {"action"}:
        words = "action: another network, another normaliser or another checkpoint: every step differs"
        remedy = "export the checkpoint that was recorded, or record with the one that was exported"
        yield _blind(contract, evidence, words, remedy)


def _answered(contract: Contract, evidence: Evidence, words: str, remedy: str) -> Explanation:
    """The trace with what the network puts out in place of what was recorded."""
    assert evidence.answers is not None
    known = evidence.answers.known
    changed = evidence.with_arrays({"action": evidence.answers.values}, known & evidence.earlier(known, 1)[0])
    return Explanation(contract=contract, evidence=changed, words=words, remedy=remedy, weight=PROVEN)


def _blind(contract: Contract, evidence: Evidence, words: str, remedy: str) -> Explanation:
    return Explanation(
        contract=contract, evidence=evidence.unable("action", words), words=words, remedy=remedy, weight=INEXACT
    )


def _relations(contract: Contract, evidence: Evidence, answers: Values, known: Mask) -> Iterator[tuple[str, str]]:
    """What the recorded actions are of the network's, and what to do about it; the first that explains all."""
    recorded = evidence.arrays["action"]
    before = f"{RIGHT}: record the action before that, as the network puts it out"
    if _is_target(contract, evidence):
        yield (
            "the trace holds the joint targets in place of the action",
            before,
        )
    for direct in (_as_stated(contract, recorded, answers, known), _lines(contract, recorded, answers, known)):
        if direct is not None:
            yield direct, before
    for steps, when in ((1, "one step late"), (-1, "one step early")):
        moved, there = evidence.earlier(answers, steps)
        if _lines(contract, recorded, moved, known & there, plain=True) is not None:
            yield (
                f"the recorded action is the network's {when}",
                (f"{RIGHT}: record the action in the row of the observation that it answers"),
            )
    bounded = np.tanh(answers)
    if _lines(contract, recorded, bounded, known, plain=True) is not None:
        yield "the trace holds the action after a tanh", before
    allowed = 10.0 * ACTION_TOLERANCE * np.maximum(np.abs(recorded).max(axis=(0, 1)), 1e-3)
    passed = low_pass(evidence, recorded, answers, known, allowed)
    if passed is not None:
        yield f"the trace holds the action behind a low-pass filter that keeps {passed.kept:.2g} of the last", before


def _as_stated(contract: Contract, recorded: Values, answers: Values, known: Mask) -> str | None:
    """The recorded actions as the network's behind the contract's own scale and offset, clipped perhaps, in words."""
    terms = driven_joints(contract)
    scales = np.array([float(per_element(term.scale, name)) for term, name in terms])
    offsets = np.array([stated_offset(contract, term, name) for term, name in terms])
    if not scales.all():
        return None
    ways = [("", 1.0 + 0.0 * scales, 0.0 * offsets), ("after its scale", scales, 0.0 * offsets)]
    ways.append(("after its scale and offset", scales, offsets))
    for said, scale, offset in ways:
        raw = ((recorded - offset) / scale)[known]
        shown = answers[known]
        allowed = 10.0 * ACTION_TOLERANCE * max(1.0, float(np.abs(shown).max()))
        # One pair of bounds for all joints, or one for each.
        for axis in (None, 0):
            low, high = raw.min(axis=axis), raw.max(axis=axis)
            bounded = np.clip(shown, low, high)
            if float(np.abs(bounded - raw).max()) > allowed:
                continue
            words = [said] if said else []
            if float(np.abs(bounded - shown).max()) > allowed:
                pair = f"[{float(np.min(low)):.4g}, {float(np.max(high)):.4g}]"
                words.append(f"after a clip to {pair}" + ("" if axis is None else " at most, another for each joint"))
            return f"the trace holds the action {', '.join(words)}" if words else None
    return None


def _lines(contract: Contract, recorded: Values, answers: Values, known: Mask, *, plain: bool = False) -> str | None:
    """The recorded actions as lines of the network's, joint by joint, in words; None where they are not.

    Args:
        contract: The contract.
        recorded: The recorded actions.
        answers: The network's.
        known: Rows to use.
        plain: Only the actions themselves will do, clipped perhaps.
    """
    names = contract.action_joint_names
    columns, shown = ([array[:, :, place] for place in range(len(names))] for array in (recorded, answers))
    places = match(columns, shown, known, rounding=ROUNDING)
    lines: list[Line | None] = []
    for place, column in enumerate(columns):
        source = places[place]
        if source is None:
            # A joint that stands at one bound throughout, or whose network never moves, tells nothing.
            if moves(column, known, rounding=ROUNDING):
                return None
            lines.append(None)
            continue
        lines.append(fit(column, shown[source], known, rounding=ROUNDING))
    told = [line for line in lines if line is not None and line.tells]
    if not told or 2 * len(told) < len(lines):
        return None
    order = [place for place in places if place is not None]
    gains = [line.gain for line in told]
    itself = all(abs(line.gain - 1.0) < 1e-3 and abs(line.bias) < 1e-3 for line in told)
    moved = [place for place, source in enumerate(places) if source not in (None, place)]
    if plain:
        return None if moved or not itself else "itself"
    words = []
    if moved:
        if len(set(order)) < len(order):
            return None
        pairs = listed([f"{names[place]} holds that of {names[places[place] or 0]}" for place in moved])
        words.append(f"in another order: {pairs}")
    if not itself:
        words.append(_after(contract, lines, gains))
    bounds = _bounds(columns, shown, places, lines, known)
    if bounds:
        words.append(f"after a clip to {bounds}")
    return f"the trace holds the action {', '.join(words)}" if words else None


def _after(contract: Contract, lines: list[Line | None], gains: list[float]) -> str:
    """Whose scale and offset the recorded actions went through."""
    terms = driven_joints(contract)

    def agrees(value: float, stated: float) -> bool:
        return abs(value - stated) <= 2e-3 * max(abs(stated), 1e-2)

    for factor, unit in ((1.0, ""), (180.0 / np.pi, ", in degrees"), (np.pi / 180.0, ", in radians")):
        pairs = [(line, term, name) for line, (term, name) in zip(lines, terms, strict=True) if line and line.tells]
        if all(agrees(line.gain, factor * float(per_element(term.scale, name))) for line, term, name in pairs):
            if all(abs(line.bias) < 1e-3 for line, _, _ in pairs):
                return f"after its scale{unit}"
            if all(agrees(line.bias, factor * stated_offset(contract, term, name)) for line, term, name in pairs):
                return f"after its scale and offset{unit}"
    factor = float(np.median(gains))
    if all(agrees(gain, factor) for gain in gains):
        biased = any(line is not None and abs(line.bias) > 1e-3 for line in lines)
        return f"after a scale of {factor:.4g}" + (" and an offset" if biased else "")
    return "after a scale of its own for each joint"


def _bounds(
    columns: list[Values], shown: list[Values], places: list[int | None], lines: list[Line | None], known: Mask
) -> str:
    """The bounds at which recorded actions stand while the network goes beyond; nothing where there are none."""
    found: set[float] = set()
    for column, source, line in zip(columns, places, lines, strict=True):
        if source is None or line is None or not line.tells:
            continue
        y, x = column[known], line.gain * shown[source][known] + line.bias
        off = np.abs(y - x) > max(line.allowed, 1e-3 * float(np.abs(y).max()))
        for bound in (float(y.min()), float(y.max())):
            if int((off & (y == bound)).sum()) >= PLATEAU:
                found.add(float(f"{bound / line.gain:.4g}"))
    if not found:
        return ""
    low, high = min(found), max(found)
    return f"[{low:g}, {high:g}]" if low < 0.0 < high else f"{low:g}"


def _is_target(contract: Contract, evidence: Evidence) -> bool:
    """Whether the recorded action is the recorded target, in SI or in the contract's unit."""
    if not any(TARGETS[term.drive] in evidence.arrays for term in contract.action.terms):
        return False
    try:
        targets = recorded_targets(contract, evidence)
    except EvidenceError:
        return False
    action = evidence.arrays["action"]
    for units in (False, True):
        scaled = [
            targets[:, :, place] * (term.per_si(contract, name) if units else 1.0)
            for place, (term, name) in enumerate(driven_joints(contract))
        ]
        if np.allclose(np.stack(scaled, axis=2), action, rtol=1e-5, atol=1e-5):
            return True
    return False


def _noise(evidence: Evidence, answers: Values, known: Mask) -> float | None:
    """The size of what was added at random to the network's actions; None where that is not it."""
    gap = (evidence.arrays["action"] - answers)[known]
    signal = answers[known]
    if len(gap) < 20:
        return None
    spread = gap.std(axis=0)
    steady = np.abs(np.mean(gap[1:] * gap[:-1], axis=0)) / np.maximum(spread**2, 1e-12)
    linked = np.abs(np.mean((gap - gap.mean(axis=0)) * (signal - signal.mean(axis=0)), axis=0))
    linked = linked / np.maximum(spread * signal.std(axis=0), 1e-12)
    limit = 5.0 / np.sqrt(len(gap))
    centred = np.abs(gap.mean(axis=0)) < limit * spread
    quiet = (spread > 0) & centred & (steady < limit) & (linked < limit)
    return float(spread.mean()) if quiet.mean() >= 0.9 else None


def _filtered_targets(contract: Contract, evidence: Evidence) -> Explanations:
    """Targets recorded behind a filter that no contract says.

    What they are added to did not go through it, or resets do not reset it.
    """
    recorded = recorded_targets(contract, evidence)
    allowed = 1e-5 * np.maximum(np.abs(recorded).max(axis=(0, 1)), 1e-3)
    for runs_on, made in _unfiltered(contract, evidence):
        rows = evidence.usable & (evidence.age >= 1)
        passed = low_pass(evidence, recorded, made, rows, allowed)
        steps = None if passed or runs_on else _averaged(evidence, recorded, made, allowed)
        if steps is not None:
            said = f"the mean of the last {steps} (moving_average), from which the next target does not start"
        elif passed is not None and not (runs_on and not _runs_on(contract, evidence, made, passed.kept)):
            said = f"behind a low-pass filter that keeps {passed.kept:.2g} of the last target"
            said += ", also of the episode before" if runs_on else ""
        else:
            continue
        told = {array: evidence.arrays[array].copy() for array in TARGETS.values() if array in evidence.arrays}
        for place, (term, name) in enumerate(driven_joints(contract)):
            if TARGETS[term.drive] in told:
                column = evidence.joint_column(name, wanted_by="the action")
                told[TARGETS[term.drive]][:, :, column] = made[:, :, place]
        yield Explanation(
            contract=contract,
            evidence=evidence.with_arrays(told),
            words=f"target: {said}",
            remedy=f"state it, action.filter: {{kind: first_order, alpha: {1.0 - passed.kept:.4g}, of: target}}, and "
            "reset it with each episode in the loop that was recorded"
            if runs_on and passed
            else "the next target starts from the one before the filter, which no contract says: record that one, or "
            "put the filter into the loop that runs the port",
            weight=PROVEN,
        )
        return


def _averaged(evidence: Evidence, recorded: Values, made: Values, allowed: Values) -> int | None:
    """Over how many targets the recorded ones are means; None where they are none."""
    for steps in range(2, LONGEST + 1):
        rows = evidence.usable & evidence.whole & (evidence.age >= steps - 1)
        off = np.abs(mean_of(evidence, steps, made, made) - recorded)[rows]
        if len(off) >= 8 and (off <= allowed).all():
            return steps
    return None


def _runs_on(contract: Contract, evidence: Evidence, made: Values, kept: float) -> bool:
    """Whether the first target of an episode keeps its share of the last one of the episode before."""
    steps, envs = np.nonzero(evidence.started & (np.arange(len(made)) > 0)[:, None] & evidence.usable)
    if not len(steps):
        return False
    rolled = {name: np.roll(evidence.arrays[name], 1, axis=0) for name in {*TARGETS.values()} & {*evidence.arrays}}
    last = recorded_targets(contract, evidence.with_arrays({**rolled, **evidence.before}))[steps, envs]
    expected = kept * last + (1.0 - kept) * made[steps, envs]
    apart = np.abs(last - made[steps, envs]).max()
    off = np.abs(recorded_targets(contract, evidence)[steps, envs] - expected).max()
    return bool(apart > 1e-3 and off < 1e-4 * max(apart, 1e-3))


def _unfiltered(contract: Contract, evidence: Evidence) -> Iterator[tuple[bool, Values]]:
    """What a filter may have had before it, and whether it is then one that runs on over resets.

    Each row's, of one that runs on; where a target starts from the last one, what the actions set all along.
    """
    each = decode(contract, evidence).values
    yield True, each
    following = [term.adds_to == "joint_target" for term, _ in driven_joints(contract)]
    if not any(following):
        return
    recorded = recorded_targets(contract, evidence)
    before, known = evidence.earlier(recorded, 1)
    start = np.stack(
        [
            evidence.arrays["joint_pos"][:, :, evidence.joint_column(name, wanted_by="the action")]
            for name in contract.action_joint_names
        ],
        axis=2,
    )
    added = each - np.where(known[:, :, None], before, start)
    made = each.copy()
    for step in range(1, len(made)):
        goes_on = (evidence.since[step] < step)[:, None] & np.array(following)
        made[step] = np.where(goes_on, made[step - 1] + added[step], each[step])
    yield False, made
