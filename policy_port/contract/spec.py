"""The contract: everything that a policy's weights silently assume, as one frozen, strictly validated document."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from policy_port.contract.actions import Action, ActionTerm, Drive
from policy_port.contract.base_terms import BaseLinVelTerm
from policy_port.contract.checks import (
    check_filtered_action,
    check_gains,
    check_heading,
    check_held_targets,
    check_history,
    check_motion,
    check_names,
    check_places,
    check_quaternion_order,
    check_raw_clip,
)
from policy_port.contract.command import Command, check_commands, commanded
from policy_port.contract.image import ImageInput
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.joints import UNIT_PER_SI, Joint, Positive
from policy_port.contract.motion import Following
from policy_port.contract.sensing import Sensing
from policy_port.contract.term import Term
from policy_port.contract.terms import Observation
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import ContractError
from policy_port.plain_yaml import DUMPER


class Base(Strict):
    """The base of the robot, and when an episode on flat ground is over."""

    floating: bool
    """True for a walking robot, False for an arm that is bolted down."""
    height: float | None = None
    """Height of the base above the ground at reset [m]; found by settling, if not given."""
    frame: str | None = None
    """Link or site in whose frame all base terms are measured, and whose origin's velocity base_lin_vel is; the base
    link, if not given. Terms that state a `point` or `frame` of their own stand in for it."""
    min_height: float | None = None
    """An episode ends when the base is lower than this [m]."""
    max_tilt: Positive | None = None
    """An episode ends when the base leans more than this [rad]."""


class Actuation(Strict):
    """How joint targets became torques in the simulator the policy was trained in."""

    kind: Literal["implicit", "explicit", "model"]
    """implicit: the solver integrates the position drive. explicit: torque = stiffness * error - damping * velocity,
    computed once per physics step. model: the robot file's own actuators hold the gains."""
    gravity_compensation: bool = False
    """True when the robot's links do not feel gravity (ManiSkill's default for arms)."""


class Contract(Strict):
    """A policy contract. `joints` gives the joint order; every number of a joint stands under its name."""

    contract_version: Literal[1]
    """Version of this format."""
    name: str
    """Name of the policy."""
    robot: str
    """Name of the robot."""
    trained_in: str
    """Simulator, physics engine and version, in words."""
    quaternion_order: Literal["wxyz", "xyzw", "none"] | None = None
    """Order of the quaternions that a term holds, where one does: base_quat, or an external term, which its task
    fills. Most contracts leave this out."""
    timestep: Annotated[float, Field(ge=1e-6, le=1.0)]
    """Physics timestep of training [s]."""
    decimation: Annotated[int, Field(ge=1, le=10_000)]
    """Physics steps per control step; the control period is timestep * decimation."""
    base: Base
    """Base of the robot."""
    actuation: Actuation
    """How targets became torques."""
    joints: dict[str, Joint] = Field(min_length=1, max_length=4096)
    """Joints by name, in the policy's joint order."""
    observation: Observation
    """The network's input."""
    action: Action
    """The network's output."""
    command: Command = Command()
    """What the policy is told: trained ranges, and the elements beside the velocity's three."""
    motion: Following | None = None
    """How the policy follows a reference motion; required where a term reads one."""
    images: tuple[ImageInput, ...] = ()
    """Camera images, for policies that see."""
    sources: dict[str, str] = {}
    """Where numbers came from: key path (such as "joints.*.stiffness") to a sentence."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in the policy's joint order."""
        return tuple(self.joints)

    @property
    def control_dt(self) -> float:
        """Control period [s]."""
        return self.timestep * self.decimation

    @property
    def commanded(self) -> tuple[str, ...]:
        """The elements of the command that the policy reads; empty for one that can't be told anything."""
        return commanded(self, self.observation.terms)

    @property
    def keeps_time(self) -> bool:
        """Whether anything follows from the time since reset: a term, or how the command is shaped."""
        follows = any(term.adds_to == "motion" for term in self.action.terms)
        return self.command.shaped or follows or any(term.keeps_time for term in self.observation.terms)

    def observation_joints(self, term: JointTerm) -> tuple[str, ...]:
        """Joint names that `term` observes, in order."""
        return term.elements(self)

    def action_joints(self, term: ActionTerm) -> tuple[str, ...]:
        """Joint names that `term` drives, in order."""
        return term.joints if term.joints is not None else self.joint_names

    def holding_action(self, joint: str, position: float) -> float:
        """The raw action that keeps a joint of the action at `position` [unit], or a wheel from turning."""
        term = next(term for term in self.action.terms if joint in self.action_joints(term))
        return term.hold(self, joint, position)

    @property
    def drives(self) -> dict[str, Drive]:
        """What the targets of each joint are; a joint that the action does not drive is held at a position."""
        held: dict[str, Drive] = dict.fromkeys(self.joints, "position")
        for term in self.action.terms:
            held.update(dict.fromkeys(self.action_joints(term), term.drive))
        return held

    @property
    def action_joint_names(self) -> tuple[str, ...]:
        """Joint name of each element of the action, over all action terms."""
        return tuple(name for term in self.action.terms for name in self.action_joints(term))

    @property
    def action_size(self) -> int:
        """Width of the network's output."""
        return len(self.action_joint_names)

    @property
    def raw_bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lower and upper bounds of the raw action, action order; infinite where nothing clips it."""
        lower, upper = zip(*(self.action.raw_bounds(name) for name in self.action_joint_names), strict=True)
        return lower, upper

    def term_size(self, term: Term) -> int:
        """Number of elements of one step of `term`, without history."""
        return len(self.term_elements(term))

    def term_elements(self, term: Term) -> tuple[str, ...]:
        """Name of each element of one step of `term`: joint names, axes, or indices."""
        return term.elements(self)

    @property
    def observation_size(self) -> int:
        """Width of the network's input, history included."""
        return sum(self.term_size(term) * len(self.observation.stack(term).ages) for term in self.observation.terms)

    @property
    def sha256(self) -> str:
        """SHA-256 of the contract's YAML."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()

    def per_si(self, joint: str) -> float:
        """Contract units per radian or metre of a joint.

        Raises:
            ContractError: When the unit is percent, whose ratio only a mapping knows.
        """
        unit = self.joints[joint].unit
        if unit == "percent":
            raise ContractError(
                f"joint '{joint}' of contract '{self.name}' is in percent of its sweep, which no plant speaks; play "
                "the policy through the mapping that it was ported with"
            )
        return UNIT_PER_SI[unit]

    @property
    def senses(self) -> Sensing:
        """What a plant measures beside joints and base because an observation term reads it."""
        return Sensing.of(term.senses() for term in self.observation.terms)

    def widths(self) -> str:
        """The sum that makes up the observation's width, in words: "base_ang_vel 3 + joint_vel 12 x 5 = 63"."""
        steps = [(term, len(self.observation.stack(term).ages)) for term in self.observation.terms]
        parts = [f"{term.label} {self.term_size(term)}" + (f" x {many}" if many > 1 else "") for term, many in steps]
        return " + ".join(parts) + f" = {self.observation_size}"

    @model_validator(mode="after")
    def _parts_agree(self) -> Contract:
        check_names(self, self.observation, self.action)
        check_commands(self, self.observation.terms)
        check_raw_clip(self, self.action)
        check_filtered_action(self.observation, self.action)
        if self.actuation.kind != "model":
            check_gains(self, self.action, self.joints)
        check_held_targets(self, self.observation, self.drives)
        check_history(self.observation)
        check_quaternion_order(self.observation, self.quaternion_order)
        check_heading(self.observation, self.command)
        check_motion(self.observation, self.action, self.motion, floating=self.base.floating, joints=self.joints)
        check_places(self.observation, self.base.frame)
        return self

    def to_yaml(self) -> str:
        """The contract as YAML at full precision; `load_contract` reads back an equal one."""
        data = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        sources = {"sources": data.pop("sources")} if "sources" in data else {}
        # Joints and terms one a line, sources one a line: a person reads and compares this file.
        style: dict[str, Any] = {"Dumper": DUMPER, "sort_keys": False, "allow_unicode": True, "width": 160}
        text = yaml.dump(data, **style, default_flow_style=None)
        return text + (yaml.dump(sources, **style) if sources else "")


def load_contract(path: Path | str, data: bytes | None = None) -> Contract:
    """Read a contract file, or its bytes where they were read already.

    Raises:
        ContractError: With file, line and key, when the file is missing, malformed or contradicts itself.
    """
    return parse(Contract, read_yaml(path, ContractError, data), ContractError)


def check_network_width(contract: Contract, observation_size: int, action_size: int, *, policy: str) -> None:
    """Hold the network's widths against the contract's.

    Raises:
        ContractError: Naming both widths and the terms that add up to the contract's.
    """
    if observation_size != contract.observation_size:
        raise ContractError(
            f"{policy}: the network reads {observation_size} numbers, contract '{contract.name}' describes "
            f"{contract.observation_size}: {contract.widths()}. Add, drop or resize a term"
        )
    if action_size != contract.action_size:
        raise ContractError(
            f"{policy}: the network writes {action_size} numbers, contract '{contract.name}' drives "
            f"{contract.action_size} joints: {', '.join(contract.action_joint_names)}"
        )


def unset_values(contract: Contract) -> list[str]:
    """List what the contract does not state and a replay may need, a sentence each."""
    findings = []
    per_joint = ["armature", "effort_limit"]
    if contract.actuation.kind != "model":
        per_joint = ["stiffness", "damping", *per_joint]
    for key in per_joint:
        absent = [name for name, joint in contract.joints.items() if getattr(joint, key) is None]
        if absent:
            which = "any joint" if len(absent) == len(contract.joints) else ", ".join(absent)
            findings.append(f"{key} is not stated for {which}")
    if contract.base.floating and contract.base.height is None:
        findings.append("base.height is not stated; a replay finds it by settling the robot on the ground")
    for term in contract.observation.terms:
        if isinstance(term, BaseLinVelTerm) and term.point is None and contract.base.frame is None:
            findings.append(
                f"{term.label}: whose velocity it is, is not stated; taken as the link's origin. Isaac Lab's is the "
                f"centre of mass (point: com), mjlab's a velocimeter (point: {{sensor: NAME}})"
            )
    for name in contract.commanded:
        if contract.command.bounds(name) is None:
            findings.append(f"command.{name}: the trained range is not stated, so no replay can warn outside it")
    for name in contract.command.names[3:]:
        if name not in contract.commanded:
            findings.append(f"command.{name}: no observation term reads it, so telling it changes nothing")
    return findings
