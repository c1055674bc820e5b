"""Mistakes in commands and readings alike: would the recordings be predicted better without one?

A turned sign, two exchanged joints and a wrong clock move as right ones do, and differ by gravity and
inertia alone, and readings of another scale look like a drive that gives way. So no recording by itself tells them; the
model does, where it predicts clearly better once the mistake is undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from policy_port.arrays import Array, Integers
from policy_port.errors import EvidenceError, closest
from policy_port.identify.fit import Problem
from policy_port.identify.mixed import MIXED, odd_one
from policy_port.identify.parameters import Parameter, Space
from policy_port.identify.segments import Segments

FOLLOW = ("offset", "stiffness", "damping", "friction", "delay")
"""Parameters of the joints concerned that are searched once more."""
FIRST, ROUNDS = 1, 3
"""Iterations of that search for each mistake, and for those that look likeliest then."""
FEW, SHARE = 8, 8
"""Least segments that are looked at, and of how many one is, spread evenly."""
CLEARLY = 0.7
"""A mistake is believed where undoing it leaves less than this share of the cost."""
NEXT, ALIKE, WORSE, LIKELY = 10, 0.05, 1.5, 4
"""How many are searched on after the first iteration, how much undoing a mistake has to change the cost to be looked at
closely, how much it may add before that, and how many are looked at so."""
OWN = 8
"""Iterations to a quick simulator's own minimum: with PhysX's numbers MuJoCo errs by a hundred times the
readings' noise where effort limits are met, and anything seems to mend that."""
RATES = (0.5, 2.0)
"""Clocks that are tried."""
GAINS, FREELY = (0.8, 1.25), 0.7
"""Between these readings are of the right scale, and how far it is searched (standard deviation of the logarithm)."""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A mistake that the recordings may have."""

    name: str
    """As `--accept` has it; see `names`."""
    what: str
    """What would be another way, in words."""
    share: float
    """Cost that is left without it, over the cost with it."""

    def __str__(self) -> str:
        return f"the recordings are predicted better ({self.share:.0%} of the cost) {self.what}"


@dataclass(frozen=True, kw_only=True)
class _Undone:
    """A mistake, undone."""

    name: str
    what: str
    order: Integers
    """Where each column is from."""
    joints: tuple[int, ...] = ()
    """Those concerned; none for all."""
    sign: Array
    """What each column is multiplied by."""
    rate: float = 1.0
    gain: bool = False
    """Whether the scale of the joint's readings is searched, and is the mistake."""

    def problem(self, problem: Problem) -> Problem:
        """What is fitted without it."""
        return replace(problem, segments=self.segments(problem.segments), weights=problem.weights[self.order])

    def segments(self, segments: Segments) -> Segments:
        """What was recorded without it."""

        def turned(array: Array) -> Array:
            return array[..., self.order] * self.sign

        recordings = tuple(
            replace(
                item,
                time=self.rate * item.time,
                sent=self.rate * item.sent,
                measured=turned(item.measured),
                command=turned(item.command),
            )
            for item in segments.recordings
        )
        return replace(
            segments,
            recordings=recordings,
            start=self.rate * segments.start,
            after=self.rate * segments.after,
            horizon=self.rate * segments.horizon,
            position=turned(segments.position),
            velocity=turned(segments.velocity) / self.rate,
            measured=turned(segments.measured),
        )

    def start(self, problem: Problem, space: Space, z: Array) -> tuple[Space, Array]:
        """What is searched without it, and from where: each joint's numbers go with its column."""
        found = {key: array[self.order] if len(array) > 1 else array.copy() for key, array in space.values(z).items()}
        found["offset"] = found["offset"] * self.sign
        for key, power in (("delay", 1), ("damping", 1), ("drive_damping", 1), ("armature", 2)):
            found[key] = found[key] * self.rate**power
        if self.gain:
            (joint,), name = self.joints, f"{problem.predictor.joint_names[self.joints[0]]}.gain"
            gain = Parameter(name=name, key="gain", column=joint, prior=1.0, spread=FREELY, log=True,
                             bounds=(0.01, 100.0), source="")  # fmt: skip
            space = replace(space, parameters=(*space.parameters, gain))
            found["gain"] = found["gain"].copy()
            found["gain"][joint] = _scale(problem.segments, joint)
        return space, space.coordinates(found)

    def read(self, space: Space, z: Array) -> str | None:
        """What it is in words, once searched; None where that shows that it is none."""
        if not self.gain:
            return self.what
        gain = float(space.values(z)["gain"][self.joints[0]])
        return None if GAINS[0] < gain < GAINS[1] else self.what.format(1.0 / gain)


def names(joints: Sequence[str]) -> tuple[str, ...]:
    """What doubts of an arm's recordings can be called."""
    each = [f"{kind}:{joint}" for joint in joints for kind in ("sign", "scale")]
    pairs = [f"exchange:{one},{other}" for one, other in combinations(joints, 2)]
    return (*each, *pairs, *(f"clock:{rate:g}" for rate in RATES), MIXED)


def check_names(accepted: Sequence[str], joints: Sequence[str]) -> None:
    """Refuse a name that no doubt has.

    Raises:
        EvidenceError: Saying which there are.
    """
    known = names(joints)
    for name in accepted:
        if name not in known:
            raise EvidenceError(
                f"--accept {name}: no doubt has this name{closest(name, known) or '.'} There are: {', '.join(known)}"
            )


def check_raised(accepted: Sequence[str], raised: Sequence[Doubt]) -> None:
    """Refuse to have accepted what nobody doubted.

    Raises:
        EvidenceError: Naming it.
    """
    for name in accepted:
        if name not in [one.name for one in raised]:
            raise EvidenceError(f"--accept {name}: these recordings raise no such doubt; leave it out")


def check_doubts(problem: Problem, space: Space, z: Array, accepted: Sequence[str] = ()) -> tuple[Doubt, ...]:
    """Refuse recordings that would clearly be predicted better without a mistake.

    Args:
        problem: What was fitted.
        space: What was searched.
        z: The minimum.
        accepted: Names of doubts that somebody has accepted.

    Returns:
        Those that were raised, all of them accepted.

    Raises:
        EvidenceError: Naming the mistakes that were not accepted, the likeliest first.
    """
    found = doubts(problem, space, z)
    left = [one for one in found if one.name not in accepted]
    if left:
        each, listed = " --accept ".join(one.name for one in found), ", ".join(repr(one.name) for one in found)
        raise EvidenceError(
            f"{', '.join(item.name for item in problem.segments.recordings)}: {left[0]}"
            f"{''.join(f'; or ({one.share:.0%}) {one.what}' for one in left[1:3])}. State names, signs, zeros and "
            "units with --mapping FILE, the true rate with --rate HZ, or give the robot file of the robot that moved; "
            f"where the recordings are right, go on with --accept {each}; in an engine's file that "
            f"is identify: {{accept: [{listed}]}}"
        )
    return tuple(found)


def doubts(problem: Problem, space: Space, z: Array) -> list[Doubt]:
    """Mistakes without which the recordings would clearly be predicted better, the likeliest first.

    Where none of all recordings is likely, one recording may be odd. A slow simulator's are looked for in a quick one,
    about the quick one's own minimum, and believed where the slow one says the same.

    Args:
        problem: What was fitted.
        space: What was searched.
        z: The minimum.
    """
    quick, believed = problem.predictor.quick, list[Doubt]()
    fast = problem if quick is None else replace(problem, predictor=quick)
    end = z if quick is None else fast.minimise(space, z, OWN)
    found = _likely(fast, space, end)
    if quick is not None and found:
        few = _few(problem)
        again = few.cost(space, few.minimise(space, z, ROUNDS))
        for _, undone in found:
            believed += _judged(few, undone, *undone.start(few, space, z), again)
    elif found:
        believed = [doubt for doubt, _ in found]
    elif (odd := odd_one(fast, space, end)) is not None:
        what = f"without {odd[0]}: it is another arm's, or a sign, a zero, a unit or a clock is another in it"
        believed = [Doubt(name=MIXED, what=what, share=odd[1])]
    return sorted(believed, key=lambda one: one.share)


def _few(problem: Problem) -> Problem:
    return replace(problem, segments=problem.segments.some(max(FEW, problem.segments.count // SHARE)))


def _likely(problem: Problem, space: Space, z: Array) -> list[tuple[Doubt, _Undone]]:
    """Each mistake is undone, and the joints concerned are searched once more; of the likeliest, all parameters are."""
    few = _few(problem)
    usual, tried = few.cost(space, z), list[tuple[float, _Undone, Space, Array]]()
    for undone in _mistakes(few, space):
        whole, point = undone.start(few, space, z)
        tried.append(_followed(few, undone, whole, point, FIRST))
    first = sorted(tried, key=lambda one: one[0])[:NEXT]
    tried = [_followed(few, *one[1:], ROUNDS - FIRST) for one in first]
    # What changes nothing can't be told: a joint that turns upright looks the same turned over.
    shares = sorted(((one[0] / usual, *one[1:]) for one in tried), key=lambda one: one[0])
    likely = [one[1:] for one in shares if abs(one[0] - 1.0) > ALIKE and one[0] < WORSE][:LIKELY]
    again = few.cost(space, few.minimise(space, z, ROUNDS)) if likely else usual
    return [(doubt, one[0]) for one in likely for doubt in _judged(few, *one, again)]


def _judged(problem: Problem, undone: _Undone, whole: Space, point: Array, again: float) -> list[Doubt]:
    """The doubt, if what is left of the cost `again` once all parameters are searched is clearly less; none if not."""
    other = undone.problem(problem)
    end = other.minimise(whole, point, ROUNDS)
    share, what = other.cost(whole, end) / again, undone.read(whole, end)
    return [Doubt(name=undone.name, what=what, share=share)] if share < CLEARLY and what is not None else []


def _followed(
    problem: Problem, undone: _Undone, whole: Space, point: Array, rounds: int
) -> tuple[float, _Undone, Space, Array]:
    """What a mistake's undoing costs once the joints concerned have followed, and the point that was reached."""
    joints, other = problem.predictor.joint_names, undone.problem(problem)
    names = [joints[index] for index in undone.joints or range(len(joints))]
    keys = (*FOLLOW, "gain") if undone.joints else ("damping", "delay")
    followers = {f"{name}.{key}" for name in names for key in keys}
    rest = whole.without([item.name for item in whole.parameters if item.name not in followers])
    rest.fixed.update({key: array.copy() for key, array in whole.values(point).items()})
    if rest.parameters:
        point = whole.coordinates(rest.values(other.minimise(rest, rest.coordinates(rest.fixed), rounds)))
    return other.cost(whole, point), undone, whole, point


def _scale(segments: Segments, joint: int) -> float:
    """How far a joint moves over how far it is told to."""
    spans = [(np.std(item.measured[:, joint]), np.std(item.command[:, joint])) for item in segments.recordings]
    read, told = np.sum(spans, axis=0)
    return float(np.clip(read / max(told, 1e-9), 0.02, 50.0))


def _mistakes(problem: Problem, space: Space) -> Iterator[_Undone]:
    joints = problem.predictor.joint_names
    count = len(joints)
    same: Integers = np.arange(count, dtype=np.int64)
    plus = np.ones(count)
    both = "in commands and readings"
    for index, name in enumerate(joints):
        sign, mine = np.where(same == index, -1.0, 1.0), {"joints": (index,), "order": same}
        yield _Undone(name=f"sign:{name}", what=f"with {name} turned over, {both}", sign=sign, **mine)
        if not any(item.key == "gain" and item.column == index for item in space.parameters):
            what = f"with {name}'s readings {{:.2g}} times as large, its commands as they are"
            yield _Undone(name=f"scale:{name}", what=what, sign=plus, gain=True, **mine)
    for one, two in combinations(range(count), 2):
        order = same.copy()
        order[[one, two]] = two, one
        what = f"with {joints[one]} and {joints[two]} exchanged, {both}"
        name = f"exchange:{joints[one]},{joints[two]}"
        yield _Undone(name=name, what=what, joints=(one, two), sign=plus, order=order)
    for rate in RATES:
        what = f"with time stamps {rate:g} times as far apart"
        yield _Undone(name=f"clock:{rate:g}", what=what, sign=plus, order=same, rate=rate)
