"""Goals that are held through an episode: as given, or drawn from the range that the contract states."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import numpy as np

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.task_terms import ConstantTerm, ExternalTerm, GoalTerm
from policy_port.errors import TaskError, closest

DRAW: Literal["draw"] = "draw"
Goal = tuple[float, ...] | Literal["draw"]
"""Numbers to hold, or `draw`."""

QUATERNION = re.compile(r"quat|wxyz|xyzw", re.IGNORECASE)
"""What a goal is called whose elements make no rotation when they are drawn one by one."""

Form = Literal["option", "suite"]
"""Where goals are written: `--goal NAME=1,2,3` or `goals: {NAME: [1, 2, 3]}`."""


class HeldGoals:
    """What stands for each goal and external term of a contract while nobody else computes it."""

    def __init__(self, contract: Contract, given: Mapping[str, Goal], form: Form = "option") -> None:
        """Hold what is given against the contract.

        Args:
            contract: The contract that is flown.
            given: Raw values by the term's name, before its scale; `draw` for new ones in each episode.
            form: How the messages write a goal.

        Raises:
            TaskError: When a term gets nothing or what does not fit it, or a name is no such term's. Zero is a goal
                like any other: it is never assumed.
        """
        self._name, self._form, self._given = contract.name, form, dict(given)
        terms = [term for term in contract.observation.terms if isinstance(term, GoalTerm | ExternalTerm)]
        self._goals = [term for term in terms if isinstance(term, GoalTerm)]
        sizes = {term.label: term.size for term in terms}
        for name in given:
            if name not in sizes:
                there = ", ".join(f"{label} ({size})" for label, size in sizes.items())
                near = closest(name, sizes) or "."
                more = f"{near} Its goals, with their sizes: {there}" if there else f"; leave {self._written(name)} out"
                raise TaskError(f"contract '{contract.name}' has no goal '{name}'{more}")
        for term in terms:
            self._check(term)
        self.contract = contract if len(self._goals) == len(terms) else _with_constants(contract, self._given)
        """The contract to fly: external terms are the constants that they are held at."""

    @property
    def drawn(self) -> bool:
        """Whether any goal is drawn, so that episodes differ."""
        return DRAW in self._given.values()

    def episode(self, seed: int) -> Array:
        """Raw goals of the episode of that seed, one term after the other, shape (goal size,)."""
        rng = np.random.default_rng(seed)
        goals: list[Array] = [np.zeros(0)]
        for term in self._goals:
            value = self._given[term.label]
            goals.append(rng.uniform(term.low or (), term.high or ()) if value == DRAW else np.array(value, np.float64))
        return np.concatenate(goals)

    def outside(self) -> list[str]:
        """A sentence for each number of a goal that the policy was never asked in training."""
        found = []
        for term in self._goals:
            value = self._given[term.label]
            if value == DRAW or term.low is None or term.high is None:
                continue
            for index, (number, low, high) in enumerate(zip(value, term.low, term.high, strict=True)):
                if not low <= number <= high:
                    found.append(
                        f"goal {term.label}[{index}] = {number:g} is outside [{low:g}, {high:g}], the range that "
                        f"contract '{self._name}' was trained in"
                    )
        return found

    def text(self) -> str:
        """What is held, in words; empty where the policy reads no goal."""
        ranges = {term.label: f"drawn from [{_joined(term.low)}] to [{_joined(term.high)}]" for term in self._goals}
        return "; ".join(
            f"{name}: {ranges[name] if value == DRAW else _joined(value)}" for name, value in self._given.items()
        )

    def document(self) -> dict[str, str | list[float]]:
        """For the header of a trace."""
        return {name: DRAW if value == DRAW else list(value) for name, value in self._given.items()}

    def _check(self, term: GoalTerm | ExternalTerm) -> None:
        value, where = self._given.get(term.label), f"'{term.label}' of contract '{self._name}'"
        if value is None:
            raise TaskError(self._missing(term))
        if value == DRAW:
            if why := _undrawable(term):
                raise TaskError(f"goal {where} can't be drawn: {why}; give its numbers: {self._numbers(term)}")
        elif len(value) != term.size:
            raise TaskError(f"goal {where} has {term.size} numbers, given: {len(value)}; write {self._numbers(term)}")
        elif not all(map(math.isfinite, value)):
            raise TaskError(f"goal {where} takes finite numbers, given: {_joined(value)}")

    def _missing(self, term: GoalTerm | ExternalTerm) -> str:
        count = f"{term.size} number" + ("s" if term.size > 1 else "")
        if isinstance(term, ExternalTerm):
            env = "play it with --env" if self._form == "option" else "give the case an env instead of a plant"
            return (
                f"observation term '{term.label}' of contract '{self._name}' can only be computed by the task "
                f"environment that the policy was trained in: {env}, or hold its {count} with {self._numbers(term)}"
            )
        draw = "" if _undrawable(term) else f", or {self._written(term.label, DRAW)} for new ones from its range"
        return (
            f"contract '{self._name}' reads goal '{term.label}' ({count}; {term.frame}), and nobody gives it one: "
            f"{self._numbers(term)} holds these numbers{draw}"
        )

    def _numbers(self, term: GoalTerm | ExternalTerm) -> str:
        shown = ",".join(f"N{index}" for index in range(min(term.size, 3))) + (",..." if term.size > 3 else "")
        return self._written(term.label, shown)

    def _written(self, name: str, value: str = "") -> str:
        if self._form == "option":
            return f"--goal {name}={value}" if value else f"--goal {name}"
        inside = value if value == DRAW else f"[{value.replace(',', ', ')}]"
        return f"goals: {{{name}: {inside}}}" if value else f"{name} under goals"


def _undrawable(term: GoalTerm | ExternalTerm) -> str:
    """Why a term's numbers can't be drawn; empty where they can."""
    if isinstance(term, ExternalTerm):
        return "it is an external term, of which no range is stated"
    if term.low is None or term.high is None:
        return "the contract states no `low` and `high` of it"
    if QUATERNION.search(f"{term.label} {term.frame}"):
        return "it holds a quaternion, and elements drawn one by one are no rotation"
    return ""


def _with_constants(contract: Contract, given: Mapping[str, Goal]) -> Contract:
    terms = []
    for term in contract.observation.terms:
        if isinstance(term, ExternalTerm):
            value = given[term.label]
            assert value != DRAW
            term = ConstantTerm(term="constant", name=term.label, value=value, history=term.history, group=term.group)
        terms.append(term)
    observation = contract.observation.model_copy(update={"terms": tuple(terms)})
    return contract.model_copy(update={"observation": observation})


def _joined(values: tuple[float, ...] | None) -> str:
    shown = [f"{value:g}" for value in (values or ())[:12]]
    return ", ".join(shown) + (", ..." if len(values or ()) > 12 else "")
