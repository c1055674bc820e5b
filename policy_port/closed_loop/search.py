"""The search: every usual mistake for a moment, the promising ones for longer, then what is still wrong after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from policy_port.closed_loop.guesses import guesses, key_of
from policy_port.closed_loop.outcome import Outcome, gain, widespread_gain, wins_surely
from policy_port.closed_loop.stage import Candidate, Stage, Trials
from policy_port.errors import ContractError, RobotError, TaskError
from policy_port.mistakes.orders import Names

MARGIN = 0.15
"""Least fall of the mean loss that counts as doing clearly better: 15 % of the commanded speed, or a seventh of the
trials saved from a fall. Simulators differ by that much among themselves, and a change that makes up for such a
difference is no mistake found."""

EVEN = 0.03
"""Difference of the mean loss below which two candidates do equally well, where the trials don't show a smaller one."""

GOOD = 0.2
"""Mean loss from which on no further mistake is looked for behind the one that was found."""

BAD = 0.5
"""Mean loss beyond which nothing is called mended, and a port that nothing does better than is still called bad: a
robot that stands still loses 1, whatever made it fall before."""

SECOND, FINAL = 32, 8
"""Candidates of a round that are played again for longer, and in full."""

ROUNDS = 3
"""Independent mistakes that are looked for."""

BEAM = 3
"""Candidates of a round that the next one starts from."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The trials that candidates have to pass, each level longer than the one before and from other start poses."""

    quick: Trials
    """What everyone plays."""
    longer: Trials
    """What the best of a round play."""
    whole: Trials
    """What the verdict rests on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """A candidate, and how it did in the trials that the verdict rests on."""

    candidate: Candidate
    """The candidate."""
    words: tuple[str, ...]
    """What would be wrong, a sentence for each round that led to it; none for the contract as it was given."""
    outcome: Outcome
    """How it did."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a search came to."""

    given: Played
    """The contract as it was given."""
    best: tuple[Played, ...]
    """Candidates that do clearly better than it, the best first; `tied` of them do equally well."""
    tied: int
    """How many of `best`, from the first on, do equally well within noise; 0 where none does clearly better."""
    tried: int
    """Candidates that were looked at, the contract as it was given left out."""
    unplayable: int
    """How many of them the simulator could not be set up for."""


Progress = Callable[[int, int], None]
"""Told after each candidate: how many are done, and how many there are as far as is known by then."""


def search(stage: Stage, given: Candidate, plant_names: Names, levels: Levels, progress: Progress) -> Found:
    """Look for what does better than a contract as it was given.

    Args:
        stage: Where candidates are played.
        given: The contract as it was given; the simulator can be set up for it.
        plant_names: The simulator's joint names, in its order.
        levels: The trials.
        progress: Told how far it is.
    """
    outcome = stage.play(given, levels.whole)
    first = Played(candidate=given, words=(), outcome=outcome)
    round_ = _Round(stage, levels, plant_names, progress)
    pool = [first]
    parents = [first]
    for number in range(ROUNDS):
        # No loss is below 0: where less than the margin is left to gain, nothing can do clearly better.
        if min(played.outcome.mean for played in pool) <= (GOOD if number else MARGIN):
            break
        found = round_.play(parents)
        pool += found
        parents = sorted(found, key=lambda played: played.outcome.progress)[:BEAM]
        if not parents:
            break
    return _ranked(first, pool, round_)


class _Round:
    """Plays everything that is one mistake away from some candidates."""

    def __init__(self, stage: Stage, levels: Levels, plant_names: Names, progress: Progress) -> None:
        self._stage, self._levels, self._names, self._progress = stage, levels, plant_names, progress
        self._seen: set[tuple[str, bool]] = set()
        self._done = 0
        self.tried = 0
        self.unplayable = 0

    def play(self, parents: list[Played]) -> list[Played]:
        """The candidates that passed all levels but the last, with how they did in it."""
        entries = list(self._children(parents))
        total = self._done + len(entries) + min(SECOND, len(entries))
        self.tried += len(entries)
        for keep, trials in ((SECOND, self._levels.quick), (FINAL, self._levels.longer)):
            scored = []
            for candidate, words in entries:
                try:
                    loss = self._stage.play(candidate, trials).progress
                except (ContractError, RobotError, TaskError):
                    # A candidate that the simulator can't be set up for; the contract as given was played before.
                    self.unplayable += 1
                    continue
                finally:
                    self._done += 1
                    self._progress(self._done, total)
                scored.append((loss, len(scored), candidate, words))
            entries = [(candidate, words) for _, _, candidate, words in sorted(scored)[:keep]]
        whole = self._levels.whole
        return [
            Played(candidate=candidate, words=words, outcome=self._stage.play(candidate, whole))
            for candidate, words in entries
        ]

    def _children(self, parents: list[Played]) -> Iterator[tuple[Candidate, tuple[str, ...]]]:
        for parent in parents:
            self._seen.add((key_of(parent.candidate.contract), parent.candidate.late))
            for guess in guesses(parent.candidate.contract, self._names):
                candidate = Candidate(
                    contract=guess.contract, words=guess.words, late=guess.late or parent.candidate.late
                )
                key = (key_of(candidate.contract), candidate.late)
                if key not in self._seen:
                    self._seen.add(key)
                    yield candidate, (*parent.words, guess.words)


def _ranked(given: Played, pool: list[Played], round_: _Round) -> Found:
    better = [
        played
        for played in pool
        if played is not given and played.outcome.mean <= BAD and clearly(given.outcome, played.outcome)
    ]
    better.sort(key=lambda played: played.outcome.mean)
    tied = [played for played in better if even(played.outcome, better[0].outcome)]
    rest = [played for played in better if played not in tied]
    # What does equally well is told in this order: few mistakes, and joints that do as they are told without haste.
    tied.sort(key=lambda played: played.outcome.mean + played.outcome.effort + EVEN * len(played.words))
    return Found(given=given, best=(*tied, *rest), tied=len(tied), tried=round_.tried, unplayable=round_.unplayable)


def clearly(before: Outcome, after: Outcome) -> bool:
    """Whether one does clearly better than another: by the margin and beyond chance, and not at one command alone."""
    fall, doubt = gain(before, after)
    sure = fall > doubt or wins_surely(before, after)
    return fall > MARGIN and sure and widespread_gain(before, after) > MARGIN / 2.0


def even(one: Outcome, best: Outcome) -> bool:
    """Whether one does as well as the best within noise."""
    behind, doubt = gain(one, best)
    return behind <= EVEN or (behind <= min(doubt, MARGIN) and not wins_surely(one, best))
