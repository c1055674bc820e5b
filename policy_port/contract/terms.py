"""Observation and action terms: what each number of the network's input and output means.

An observation term's value is `scale * clip(raw) + offset`, element by element, with raw in SI units and the joint's
unit, base vectors in the base frame. History comes last: the group stacks the scaled values.

All that a term is stands in its class, in the files beside this one (`base_terms`, `command_terms`, `joint_terms`,
`motion_terms`, `sensed_terms`, `task_terms`, `actions`); whoever builds, remaps or samples an observation asks it. To
add one:

1. Write its class in the file of its kind, derived from `Term`, from `BaseTerm` for a vector of three, or from
   `PerJointTerm` or `JointTerm` where its elements are joints, which a remap then follows by name. `BaseHeight` in
   `tests/contract/test_new_term.py` is the smallest.
2. Add the class to the union `ObservationTerm`.
3. What a plant has to measure for it beside joints and base, `senses` says (`sensing.py`); each plant measures it in a
   file of its own beside the plant's.
4. Where its `readings` name a signal that `control/signals.py` does not have, give it columns with `columns` and write
   what fills them, a class with a row in `READERS` of `control/base_terms.py`.
5. Write it a second time in `proof/reference.py`, against which every port is proved, and in `verdict/signals.py` and
   `verdict/rebuild.py`, against which traces are held. They share nothing with this file's readings on purpose, and
   refuse a term that they don't know.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from policy_port.contract.base_terms import BaseAngVelTerm, BaseLinVelTerm, ProjectedGravityTerm, VelocityCommandTerm
from policy_port.contract.command_terms import CommandTerm, GaitClockTerm
from policy_port.contract.joint_terms import (
    JointEffortTerm,
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
from policy_port.contract.sensed_terms import (
    BaseEulerTerm,
    BaseQuatTerm,
    ContactTerm,
    HeadingErrorTerm,
    HeadingTerm,
    HeightScanTerm,
    LinkHeightTerm,
    LinkPosTerm,
)
from policy_port.contract.task_terms import ConstantTerm, ExternalTerm, GaitPhaseTerm, GoalTerm
from policy_port.contract.term import Bounds
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
    | JointEffortTerm
    | LastActionTerm
    | BaseEulerTerm
    | BaseQuatTerm
    | LinkHeightTerm
    | LinkPosTerm
    | HeadingTerm
    | HeadingErrorTerm
    | ContactTerm
    | HeightScanTerm
    | GaitPhaseTerm
    | GaitClockTerm
    | MotionJointPosTerm
    | MotionJointVelTerm
    | MotionAnchorOriTerm
    | MotionAnchorPosTerm
    | MotionPhaseTerm
    | GoalTerm
    | ConstantTerm
    | ExternalTerm,
    Field(discriminator="term"),
]
"""Every observation term there is, told apart by `term`."""


class History(Strict):
    """How stacked steps are laid out. Isaac Lab: term_major, oldest_first, first. Nothing here has a default."""

    layout: Literal["term_major", "time_major"]
    """term_major: all steps of one term, then the next term. time_major: all terms of one step, then the next step."""
    order: Literal["oldest_first", "newest_first"]
    """Order of the steps."""
    fill: Literal["first", "zero"]
    """What stands for the steps before reset: the first observation, or zero."""


class Observation(Strict):
    """The network's input."""

    terms: tuple[ObservationTerm, ...] = Field(min_length=1)
    """Terms in the order in which they are concatenated."""
    history: History | None = None
    """Required when a term has history above 1."""
    clip: Bounds | None = None
    """Bounds of the whole observation, applied after scale."""
