"""What a plant needs to know of a contract to stand a robot up, in SI units and by joint name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from policy_port.contract import Contract
from policy_port.contract.actions import LIMP, Drive
from policy_port.contract.joints import SI_UNITS
from policy_port.errors import ContractError, RobotError, closest
from policy_port.robot_models.coupling import Followers, in_chain_order

ActuationKind = Literal["implicit", "explicit", "model"]

MAPPED = "; or remap the policy by a mapping that has it under rename, or under only_in_source"
HELD = "under only_in_target of the mapping, with the position to hold, stiffness and damping"
NAMED = (
    "under joints of the contract, with default, stiffness and damping, and name in its action's `joints` those that "
    "the policy drives"
)
"""What to do where joints do not fit: with a policy's mapping, and where there is none."""

CLEARANCE = 0.001
"""Gap between the ground and the lowest point of a robot whose base height is not given [m]."""


@dataclass(frozen=True, kw_only=True)
class JointSetup:
    """One driven joint; None leaves what the robot file says."""

    name: str
    """Name of the joint in the robot file."""
    default: float
    """Default position [rad or m]."""
    drive: Drive = "position"
    """What its targets are: positions [rad or m], velocities [rad/s or m/s], or efforts [N m or N]."""
    commanded: bool = False
    """Whether a policy sets its targets; else it is held where it starts, or swings freely."""
    stiffness: float | None = None
    """Position gain [N m/rad or N/m]; needed by a drive to positions unless the actuation kind is "model"."""
    damping: float | None = None
    """Velocity gain [N m s/rad or N s/m]; needed unless the actuation kind is "model"."""
    armature: float | None = None
    """Reflected rotor inertia [kg m^2 or kg]."""
    effort_limit: float | None = None
    """Largest torque or force of the drive [N m or N]; unlimited when the robot file has none either."""
    leader: str | None = None
    """The joint that it follows by the robot file: it is read and never driven."""


@dataclass(frozen=True, kw_only=True)
class PlantSetup:
    """A robot on flat ground under joint control, whatever the simulator.

    Every simulator reads the three kinds of actuation alike:

    - implicit: the drive replaces the file's actuators and joint damping; the solver integrates it.
    - explicit: torque = stiffness * (target - position) - damping * velocity, once per physics step; it replaces the
      file's actuators, and the file's joint damping stays as the joint's own friction.
    - model: the file's own actuators and damping stay as they are: a position, velocity or motor actuator per joint.

    The torque of a drive to velocities is damping * (target - velocity), of a drive to efforts target - damping *
    velocity, both within the effort limit.
    """

    joints: tuple[JointSetup, ...]
    """Every joint of the robot, in any order: plants look them up by name."""
    actuation: ActuationKind
    """How targets become torques."""
    timestep: float
    """Physics timestep [s]."""
    control_dt: float
    """Control period [s]: a whole number of timesteps."""
    floating: bool
    """True for a walking robot, False for an arm that is bolted down."""
    height: float | None = None
    """Height of the base link's origin above the ground at reset [m]. None: a floating robot stands with its lowest
    point on the ground, a fixed one where its file puts it."""
    frame: str | None = None
    """Link or site whose frame the base measurements are given in; the base link, if None."""
    gravity_compensation: bool = False
    """True when the robot's links do not feel gravity."""
    friction: float = 1.0
    """Friction coefficient of the ground that the plant adds, and of robot parts whose file states none."""
    ported: bool = True
    """Whether a policy that exists is carried here, so that a mapping can mend what does not fit, or the contract alone
    says what is to be."""

    def __post_init__(self) -> None:
        steps = self.control_dt / self.timestep if self.timestep > 0.0 else 0.0
        if not 0.5 < steps < 1e6 or abs(steps - round(steps)) > 1e-6 * steps:
            raise RobotError(
                f"a physics timestep of {self.timestep:g} s does not divide the control period of "
                f"{self.control_dt:g} s into a whole number of steps; give for example {self.control_dt / 4:g}"
            )

    @property
    def decimation(self) -> int:
        """Physics steps per control step."""
        return round(self.control_dt / self.timestep)

    @property
    def falls(self) -> bool:
        """Whether nothing but the ground holds the robot up."""
        return self.floating and not self.gravity_compensation

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints in the setup's own order, which is nobody else's."""
        return tuple(joint.name for joint in self.joints)

    def drives(self, followers: Followers) -> dict[str, Drive]:
        """What the targets of each joint are that follows no other."""
        return {joint.name: joint.drive for joint in self.joints if joint.name not in followers}

    def in_order(
        self, names: Sequence[str], *, robot: str, followers: Followers | None = None
    ) -> tuple[JointSetup, ...]:
        """The joints that a plant drives or reads, in its order.

        A joint that follows another need not be in the setup; where it is, it is read, and has `leader` and no gains.

        Args:
            names: Joint names of the robot file, in the plant's order.
            robot: The robot file, for the message.
            followers: Joints of the file that follow others.

        Raises:
            RobotError: When a joint stands on one side only, or one that follows another is given a drive.
        """
        following = followers or {}
        by_name = {joint.name: joint for joint in self.joints}
        for name in by_name:
            if name not in names:
                raise RobotError(
                    f"{robot}: has no joint '{name}', which the contract names{closest(name, names) or '.'} "
                    f"Its joints are: {', '.join(names) or 'none'}. Write it in the contract as the robot has it"
                    + (MAPPED if self.ported else ", or leave it out there")
                )
        idle = [name for name in names if name not in by_name and name not in following]
        if idle:
            raise RobotError(
                f"{robot}: nobody drives joint {', '.join(idle)}: the contract does not name "
                f"{'it' if len(idle) == 1 else 'them'}. List {'it' if len(idle) == 1 else 'them'} "
                + (HELD if self.ported else NAMED)
            )
        for name, follower in following.items():
            joint = by_name.get(name)
            if joint is None:
                continue
            if self.actuation != "model" and (joint.stiffness or joint.damping):
                raise RobotError(
                    f"{robot}: joint '{name}' follows joint '{follower.leader}' ({follower.said_by}), and nobody "
                    f"drives a follower, but the contract gives it stiffness {joint.stiffness or 0.0:g} and damping "
                    f"{joint.damping or 0.0:g}. Make both 0 in the contract"
                    + (", or under only_in_target of the mapping where it stands there" if self.ported else "")
                    + "; a follower need not be named at all"
                )
            by_name[name] = replace(joint, leader=follower.leader, stiffness=0.0, damping=0.0)
        found = tuple(by_name[name] for name in names if name in by_name)
        for joint in found if self.actuation != "model" else ():
            if joint.commanded and joint.leader is None and joint.drive == "position" and not joint.stiffness:
                raise RobotError(f"{robot}: the policy sets positions of joint '{joint.name}', {LIMP}")
        return found

    def followers(self, said: Followers, *, robot: str) -> Followers:
        """The followers of a robot file, each turned so that the one that the setup drives leads.

        A coupling binds both ways, and files differ in which of the two they call the first.

        Raises:
            RobotError: When joints then follow each other in a circle, or one follows two.
        """
        model = self.actuation == "model"
        driven = {j.name for j in self.joints if model or j.stiffness or j.damping or j.drive != "position"}
        turned = [
            item.turned() if item.name in driven and item.leader not in driven and item.line else item
            for item in said.values()
        ]
        return in_chain_order(turned, robot=robot)

    def refuse_foreign_gains(self, robot: Path) -> None:
        """Refuse to change the gains of drives that are the robot file's own, or of others than drives to positions.

        Raises:
            RobotError: When they are.
        """
        others = [joint.name for joint in self.joints if joint.drive != "position"]
        if others:
            raise RobotError(
                f"{robot}: {', '.join(others)} is driven by velocity or effort, and ports take turns at drives to "
                "positions only"
            )
        if self.actuation == "model":
            raise RobotError(
                f"{robot}: the contract's actuation.kind is model, so the gains are the robot file's, and nobody else "
                "can change them; write kind: implicit or explicit, with stiffness and damping per joint"
            )

    @staticmethod
    def from_contract(contract: Contract, *, timestep: float | None = None, ported: bool = True) -> PlantSetup:
        """Take from a contract what a plant needs.

        Args:
            contract: The contract of the plant's side, after any remap.
            timestep: Physics timestep [s] to use instead of the training simulator's; the control period stays.
            ported: Whether a policy is carried here that a mapping can mend; see the field.

        Raises:
            RobotError: When joints are not in radians or metres, or the timestep does not divide the control period.
            ContractError: When drives are to be set up and the contract does not state their gains.
        """
        foreign = {name: joint.unit for name, joint in contract.joints.items() if joint.unit not in SI_UNITS}
        if foreign:
            name, unit = next(iter(foreign.items()))
            raise RobotError(
                f"contract '{contract.name}': joint '{name}' is in {unit}, a simulator speaks radians and metres; "
                + ("pass the mapping between the two with --through MAPPING" if ported else "state it in rad or m")
            )
        drives, commanded = contract.drives, set(contract.action_joint_names)
        if contract.actuation.kind != "model":
            for key in ("stiffness", "damping"):
                absent = [
                    name
                    for name, joint in contract.joints.items()
                    if getattr(joint, key) is None and (key == "damping" or drives[name] == "position")
                ]
                if absent:
                    raise ContractError(
                        f"contract '{contract.name}': actuation.kind is {contract.actuation.kind}, but {key} is not "
                        f"stated for {', '.join(absent)}; add it, or write kind: model if the robot file holds the "
                        "gains"
                    )
        return PlantSetup(
            joints=tuple(
                JointSetup(
                    name=name,
                    default=joint.default,
                    drive=drives[name],
                    commanded=name in commanded,
                    stiffness=joint.stiffness,
                    damping=joint.damping,
                    armature=joint.armature,
                    effort_limit=joint.effort_limit,
                )
                for name, joint in contract.joints.items()
            ),
            actuation=contract.actuation.kind,
            timestep=contract.timestep if timestep is None else timestep,
            control_dt=contract.control_dt,
            floating=contract.base.floating,
            height=contract.base.height,
            frame=contract.base.frame,
            gravity_compensation=contract.actuation.gravity_compensation,
            ported=ported,
        )


def find_link(name: str, links: Sequence[str], robot: Path) -> int:
    """Index of a link among a robot's.

    Raises:
        RobotError: When it has none of that name, naming those it has.
    """
    if name not in links:
        raise RobotError(f"{robot}: has no link '{name}'{closest(name, links) or '.'} It has: {', '.join(links)}")
    return list(links).index(name)


def standing_height(lowest: float | None, *, robot: Path) -> float:
    """Height of the base at which a robot stands on the ground [m].

    Args:
        lowest: Height of its lowest point over the ground when its base is at 0 [m]; None when nothing of it can
            touch the ground.
        robot: The robot file, for the message.

    Raises:
        RobotError: When nothing of it can touch the ground, through which it would fall from any height.
    """
    if lowest is None:
        raise RobotError(
            f"{robot}: nothing of the robot can touch the ground, so it would fall through it. Give its feet "
            "<collision> shapes (URDF), or a contype and conaffinity that meet the ground's 1 and 1, or a <pair> with "
            "a floor of the file (MJCF)"
        )
    return CLEARANCE - lowest
