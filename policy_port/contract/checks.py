"""What must hold between the parts of a contract; every check raises ValueError, naming what contradicts what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from policy_port.contract.actions import Action, Drive, gains_against
from policy_port.contract.base_terms import BaseTerm, MeasuredTerm
from policy_port.contract.command import Command
from policy_port.contract.joint_terms import JointTargetTerm, JointTerm, LastActionTerm
from policy_port.contract.joints import Joint
from policy_port.contract.motion import Following
from policy_port.contract.motion_terms import (
    MotionAnchorOriTerm,
    MotionAnchorPosTerm,
    MotionJointTerm,
    ReferenceTerm,
)
from policy_port.contract.parsing import Parsing
from policy_port.contract.sensed_terms import HeadingErrorTerm
from policy_port.contract.term import Term
from policy_port.contract.terms import Observation
from policy_port.errors import closest


def check_names(contract: Parsing, observation: Observation, action: Action) -> None:
    """Terms are named once, their joints are the contract's, and their tables are whole."""
    labels = [term.label for term in observation.terms]
    _refuse_repeats(labels, "observation term", "give one of them another `name`")
    observed = [term for term in observation.terms if isinstance(term, JointTerm | MotionJointTerm)]
    for term in (*observed, *action.terms):
        kind, label = ("observation", term.label) if isinstance(term, Term) else ("action", term.term)
        names = contract.joint_names if term.joints is None else term.joints
        _check_joints(term.joints, contract.joint_names, f"{kind} term '{label}'")
        for key in ("scale", "offset", "clip"):
            value = getattr(term, key)
            if isinstance(value, dict):
                names = term.keys(contract) if isinstance(term, MotionJointTerm) else names
                _check_keys(value, names, f"{label}.{key}")
    for term in observation.terms:
        for key in ("scale", "clip") if isinstance(term, BaseTerm | LastActionTerm) else ():
            if isinstance(value := getattr(term, key), dict):
                _check_keys(value, term.elements(contract), f"{term.label}.{key}", what="element")
    _refuse_repeats(contract.action_joint_names, "joint of the action", "let one action term drive it")


def check_raw_clip(contract: Parsing, action: Action) -> None:
    """Bounds of raw actions by joint name all joints of the action."""
    if isinstance(action.raw_clip, dict):
        _check_keys(action.raw_clip, contract.action_joint_names, "action.raw_clip")


def check_filtered_action(observation: Observation, action: Action) -> None:
    """A term shows what a filter or delay makes of the raw action only where there is one."""
    for term in observation.terms:
        if term.term == "last_action" and term.of == "filtered" and not action.reshapes_raw:
            instead = "of: raw is what there is"
            if action.filter is not None:
                instead = "a target behind its filter is joint_target"
            raise ValueError(
                f"observation term '{term.label}' is of: filtered, but the action has neither a delay nor a filter "
                f"of: raw; {instead}"
            )


def check_gains(contract: Parsing, action: Action, joints: Mapping[str, Joint]) -> None:
    """The gains of each joint do what its action asks."""
    for term in action.terms:
        for name in contract.action_joints(term):
            if problem := gains_against(term.drive, joints[name]):
                raise ValueError(f"action term '{term.term}' drives joint '{name}', {problem}")


def check_held_targets(contract: Parsing, observation: Observation, drives: Mapping[str, Drive]) -> None:
    """A term of position targets is of joints that have one."""
    for term in observation.terms:
        names = term.elements(contract) if isinstance(term, JointTargetTerm) else ()
        for name in names:
            if drives[name] != "position":
                raise ValueError(
                    f"observation term '{term.label}' holds position targets, and joint '{name}' is driven by "
                    f"{drives[name]}; name the joints that have one under joints of the term"
                )


def check_history(observation: Observation) -> None:
    """Layout, order and fill of every stacked term are stated, and what is laid out together stands together."""
    stacked = [term for term in observation.terms if term.history > 1]
    layout = observation.history
    if stacked and layout is None:
        raise ValueError(
            f"observation.history is missing: '{stacked[0].label}' has history {stacked[0].history}, so layout "
            "(term_major or time_major), order (oldest_first or newest_first) and fill (first or zero) must be "
            "stated; a wrong guess has the right width"
        )
    _check_groups(observation)
    if layout is not None and layout.layout == "time_major":
        lengths = {term.label: term.history for term in observation.terms if term.group is None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"a time_major history needs the same length in every term, given: {lengths}")
    ended: dict[str | None, str] = {}
    for run in observation.laid_out():
        stack = observation.stack(run[0])
        whose = "observation.history" if stack.group is None else f"observation.groups.{stack.group}"
        if stack.group in ended and stack.time_major and len(stack.ages) > 1:
            raise ValueError(
                f"{whose} is time_major, so that a step of all its terms stands together, and another term stands "
                f"between '{ended[stack.group]}' and '{run[0].label}'; move that term, or give what follows it a "
                "group of its own"
            )
        ended[stack.group] = run[-1].label


def _check_groups(observation: Observation) -> None:
    groups = observation.groups
    for term in observation.terms:
        if term.group is not None and term.group not in groups:
            raise ValueError(
                f"observation term '{term.label}' is of group '{term.group}', which is not in "
                f"observation.groups{closest(term.group, groups) or '.'} They are: {', '.join(groups) or 'none'}"
            )
    idle = [name for name in groups if name not in {term.group for term in observation.terms}]
    if idle:
        raise ValueError(f"observation.groups.{idle[0]} is no term's `group`; name it in a term, or leave it out")


def check_quaternion_order(observation: Observation, order: str | None) -> None:
    """The order of quaternions is stated where a term holds one."""
    holding = [term.label for term in observation.terms if term.holds_quaternion]
    if holding and order not in ("wxyz", "xyzw"):
        raise ValueError(f"quaternion_order must be wxyz or xyzw, since {', '.join(holding)} holds a quaternion")


def check_heading(observation: Observation, command: Command) -> None:
    """A heading is commanded where a term compares the robot's with it."""
    wanting = [term.label for term in observation.terms if isinstance(term, HeadingErrorTerm)]
    if wanting and "heading" not in command.names:
        raise ValueError(
            f"command.heading is missing: observation term '{wanting[0]}' is the commanded heading less the "
            "robot's; write its trained range [rad], such as heading: [-3.14, 3.14]"
        )


def check_motion(
    observation: Observation, action: Action, motion: Following | None, *, floating: bool, joints: Collection[str]
) -> None:
    """A reference motion is described where it is read, and only there, with what its terms compare."""
    reading = [term for term in observation.terms if isinstance(term, ReferenceTerm)]
    following = [term.term for term in action.terms if term.adds_to == "motion"]
    if motion is None:
        if reading or following:
            who = f"observation term '{reading[0].label}'" if reading else f"action term '{following[0]}'"
            raise ValueError(
                f"motion is missing: {who} reads a reference motion, so align (none, yaw or yaw_and_position), end "
                "(hold, repeat or stop) and the anchor link must be stated"
            )
        return
    if not reading and not following:
        raise ValueError("motion says how a reference motion is followed, and no term reads one")
    placed = [term for term in reading if isinstance(term, MotionAnchorOriTerm | MotionAnchorPosTerm)]
    if placed and not floating:
        raise ValueError(f"observation term '{placed[0].label}' is of a floating base, and base.floating is false")
    if placed and motion.anchor is None:
        raise ValueError(f"motion.anchor is missing: observation term '{placed[0].label}' compares that link's pose")
    for step in motion.chain:
        if step.joint is not None and step.joint not in joints:
            raise ValueError(
                f"motion.chain turns link '{step.link}' by joint '{step.joint}', which is not in "
                f"joints{closest(step.joint, joints)}"
            )


def check_places(observation: Observation, base_frame: str | None) -> None:
    """The frame of base terms is stated for all of them at once or term by term."""
    for term in observation.terms:
        placed = isinstance(term, MeasuredTerm) and term.where and term.link is None
        if placed and base_frame is not None:
            raise ValueError(
                f"base.frame '{base_frame}' says where all base terms are measured, and observation term "
                f"'{term.label}' is {term.where}; leave base.frame out and give each base term its `frame`, "
                "base_lin_vel its `point` too"
            )


def _check_joints(names: tuple[str, ...] | None, joints: Collection[str], where: str) -> None:
    if names is None:
        return
    _refuse_repeats(names, f"joint of {where}", "name each joint once")
    for name in names:
        if name not in joints:
            raise ValueError(
                f"{where} names joint '{name}', which is not in joints{closest(name, joints) or '.'} "
                f"The joints are: {', '.join(joints)}"
            )


def _check_keys(given: Iterable[str], needed: tuple[str, ...], where: str, what: str = "joint") -> None:
    given = list(given)
    for name in given:
        if name not in needed:
            raise ValueError(f"{where} names {what} '{name}', which the term does not have{closest(name, needed)}")
    absent = [name for name in needed if name not in given]
    if absent:
        raise ValueError(f"{where} leaves out {', '.join(absent)}; give every {what} of the term a number")


def _refuse_repeats(names: Iterable[str], what: str, advice: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} '{name}' stands twice; {advice}")
        seen.add(name)
