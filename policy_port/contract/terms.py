"""Observation and action terms: what each number of the network's input and output means.

An observation term's value is `scale * clip(raw) + offset`, element by element, with raw in SI units and the joint's
unit, base vectors in the base frame. History comes last: what is stacked are the scaled values.

All that a term is stands in its class, in the files beside this one (`base_terms`, `command_terms`, `joint_terms`,
`motion_terms`, `task_terms`, `actions`); whoever builds, remaps or samples an observation asks it. To add one:

1. Write its class in the file of its kind, derived from `Term`, from `BaseTerm` for a vector of three, or from
   `PerJointTerm` or `JointTerm` where its elements are joints, which a remap then follows by name. `BaseHeight` in
   `tests/contract/test_new_term.py` is the smallest.
2. Add the class to the union `ObservationTerm`.
3. Where its `readings` name a signal that `control/signals.py` does not have, give it columns with `columns` and write
   what fills them, a class with a row in `READERS` of `control/base_terms.py`.
4. Write it a second time in `proof/reference.py`, against which every port is proved, and in `verdict/signals.py` and
   `verdict/rebuild.py`, against which traces are held. They share nothing with this file's readings on purpose, and
   refuse a term that they don't know.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from policy_port.contract.base_terms import BaseAngVelTerm, BaseLinVelTerm, ProjectedGravityTerm, VelocityCommandTerm
from policy_port.contract.command_terms import CommandTerm, GaitClockTerm
from policy_port.contract.history import PRESENT, Group, History, Stack
from policy_port.contract.joint_terms import (
    JointPosRelTerm,
    JointPosTerm,
    JointTargetTerm,
    JointVelTerm,
    LastActionTerm,
)
from policy_port.contract.motion_terms import (
    MotionAnchorOriTerm,
    MotionAnchorPosTerm,
    MotionJointPosTerm,
    MotionJointVelTerm,
    MotionPhaseTerm,
)
from policy_port.contract.task_terms import ConstantTerm, ExternalTerm, GaitPhaseTerm, GoalTerm
from policy_port.contract.term import Bounds, Term
from policy_port.contract.time_terms import ElapsedTerm
from policy_port.contract.yaml_file import Strict

ObservationTerm = Annotated[
    BaseLinVelTerm
    | BaseAngVelTerm
    | ProjectedGravityTerm
    | VelocityCommandTerm
    | CommandTerm
    | JointPosTerm
    | JointPosRelTerm
    | JointVelTerm
    | JointTargetTerm
    | LastActionTerm
    | GaitPhaseTerm
    | GaitClockTerm
    | MotionJointPosTerm
    | MotionJointVelTerm
    | MotionAnchorOriTerm
    | MotionAnchorPosTerm
    | MotionPhaseTerm
    | ElapsedTerm
    | GoalTerm
    | ConstantTerm
    | ExternalTerm,
    Field(discriminator="term"),
]
"""Every observation term there is, told apart by `term`."""


class Observation(Strict):
    """The network's input."""

    terms: tuple[ObservationTerm, ...] = Field(min_length=1)
    """Terms in the order in which they are concatenated."""
    history: History | None = None
    """Required when a term has history above 1."""
    groups: dict[str, Group] = {}
    """Histories by name, for the terms whose `group` says the name."""
    clip: Bounds | None = None
    """Bounds of the whole observation, applied after scale."""

    def stack(self, term: Term) -> Stack:
        """The steps of a term, its group's or its own."""
        if term.group is not None:
            group = self.groups[term.group]
            return Stack(group.ages, group.layout == "time_major", group.fill, term.group)
        if self.history is None:
            return PRESENT
        ages = range(term.history) if self.history.order == "newest_first" else range(term.history - 1, -1, -1)
        return Stack(tuple(ages), self.history.layout == "time_major", self.history.fill, None)

    def laid_out(self) -> tuple[tuple[ObservationTerm, ...], ...]:
        """The terms, those together of which a whole step stands before the next step."""
        runs: list[list[ObservationTerm]] = []
        for term in self.terms:
            stack = self.stack(term)
            if runs and stack.time_major and self.stack(runs[-1][0]) == stack:
                runs[-1].append(term)
            else:
                runs.append([term])
        return tuple(map(tuple, runs))
