"""A plant that behaves as identified: dynamics.yaml applied to any simulator.

What a simulator computes itself (masses, friction, gains, bounds, gravity) is set through `set_physics`; what none has
(delay, backlash, the reading of encoders) happens here, and so is the same in each.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.ghost import DrawsGhosts, Ghost
from policy_port.control.plant import PlantState, SimulatedPlant
from policy_port.dynamics.document import Dynamics, JointDynamics, check_robot
from policy_port.errors import DynamicsError
from policy_port.plants.around import PlantAround
from policy_port.plants.learned_drives import LearnedDrives, replaced_drives
from policy_port.plants.physics import Physics, set_physics
from policy_port.plants.play import CommandDelay, Play, Reading
from policy_port.plants.setup import PlantSetup

GRAVITY = 9.81
"""[m/s^2]; what leans is its direction."""
PHYSICS = {
    "joint_damping": "damping",
    "joint_friction": "friction",
    "armature": "armature",
    "stiffness": "stiffness",
    "damping": "drive_damping",
    "effort_limit": "effort_limit",
}
"""Fields of `Physics` by joint, and the keys of a joint's dynamics that they are."""
OF_DRIVES = ("stiffness", "drive_damping", "effort_limit", "delay", "backlash")
"""Keys that a joint without a drive can't have."""


class DynamicPlant(PlantAround):
    """A simulated plant under identified dynamics; see `SimulatedPlant`.

    - delay: in each physics step the drives aim at what was commanded that long before the step. Where a command
      changes within a step, they aim at the mean over it, so that fractions of a step count and nothing jumps.
    - backlash: play between motor and joint. While the joint is within half the width of its target the drive gives
      it no torque, neither stiffness nor damping; beyond it pushes, and never pulls, towards the nearer edge of the
      play. A joint that gravity loads lies against that edge, one that friction holds stays where it is.
    - actuator: a network is told each physics step what the drives then aim at, where the joints truly are, and how
      fast; its torque holds for that step. Where it takes the place of drives, their gains are 0.
    - reading: gain * truth + offset + noise, in multiples of the encoder's step; velocities are gain * truth. Noise is
      drawn once for each moment that is read, of each environment's own generator. Only readings are changed: drives
      act on the truth, as does whatever asks for links or the base.
    """

    def __init__(
        self, plant: SimulatedPlant, setup: PlantSetup, robot: Path, dynamics: Sequence[Dynamics], *, seed: int = 0
    ) -> None:
        """Give a plant other dynamics.

        Args:
            plant: The plant, which belongs to this one from now on.
            setup: What it was set up with.
            robot: Its robot file.
            dynamics: One for every environment, or one for each.
            seed: Seed of the encoders' noise.

        Raises:
            DynamicsError: When the dynamics are another robot's, or say what this robot can't have.
            RobotError: When this simulator can't, naming what.
        """
        if len(dynamics) not in (1, plant.num_envs):
            raise DynamicsError(
                f"{len(dynamics)} dynamics for {plant.num_envs} environments: give one, or one for each"
            )
        super().__init__(plant)
        self._setup = setup
        self._dynamics = tuple(dynamics) * (plant.num_envs if len(dynamics) == 1 else 1)
        for one in dynamics:
            check_robot(one, robot, self.joint_names)
            check_setup(one, setup)
        others = any(one != dynamics[0] for one in dynamics)
        self.name = f"{plant.name}, dynamics {dynamics[0].sha256[:12]}" + (" and others" if others else "")
        """Simulator and version, and which dynamics."""
        self._given = tuple(dynamics)
        self._by_name = {joint.name: joint for joint in setup.joints}
        self._replaced = replaced_drives(self._dynamics, setup, self.joint_names)
        self._stiffness = self._gain("stiffness", "stiffness")
        self._damping = self._gain("drive_damping", "damping")
        self._delay = CommandDelay(self._of_joints("delay", 0.0) / self.timestep)
        self._play = Play(0.5 * self._of_joints("backlash", 0.0), self._stiffness, self._damping)
        noise, step = (self._of_all(key, 0.0)[:, None] for key in ("encoder_noise", "encoder_step"))
        self._reading = Reading(self._of_joints("gain", 1.0), self._of_joints("offset", 0.0), noise, step, seed)
        self._state = PlantState.allocate(self.num_envs, len(self.joint_names))
        self._at_rest = np.array([float(self._drive(name) == "position") for name in self.joint_names])
        self._command = np.zeros((self.num_envs, len(self.joint_names)))
        self.forced = np.full_like(self._command, np.nan)
        """What drives aim at whatever was commanded, at once and without play [rad]; NaN for none. Shape (num_envs,
        joints)."""
        physics = self._physics()
        learns = any(one.actuator for one in dynamics)
        self._learned = LearnedDrives(plant, setup, robot, self._dynamics, physics) if learns else None
        if physics.stated:
            set_physics(plant, physics)
        default = [self._by_name[name].default if name in self._by_name else 0.0 for name in self.joint_names]
        self.reset(np.tile(default, (self.num_envs, 1)))

    @functools.cached_property
    def hashes(self) -> list[str]:
        """SHA-256 of each document."""
        return [one.sha256 for one in self._given]

    def _drive(self, joint: str) -> str:
        return self._by_name[joint].drive if joint in self._by_name else "position"

    def _of_joints(self, key: str, absent: float) -> Array:
        """A number of each joint's dynamics, shape (num_envs, joints)."""
        none = JointDynamics()
        found = [[getattr(one.joints.get(name, none), key) for name in self.joint_names] for one in self._dynamics]
        return np.array([[absent if item is None else item.value for item in row] for row in found], dtype=np.float64)

    def _of_all(self, key: str, absent: float) -> Array:
        """A number of what the joints have in common, shape (num_envs,)."""
        found = [getattr(one.common, key) for one in self._dynamics]
        return np.array([absent if item is None else item.value for item in found])

    def _gain(self, key: str, contract: str) -> Array:
        """A gain of the drives: as identified, else as the contract says, shape (num_envs, joints)."""
        stated = [getattr(self._by_name.get(name), contract, None) or 0.0 for name in self.joint_names]
        return self._gain_or(key, np.array(stated))

    def _gain_or(self, key: str, otherwise: Array | float) -> Array:
        """A gain as identified, 0 where a network stands for the drive, else `otherwise`."""
        found = self._of_joints(key, np.nan)
        return np.where(self._replaced, 0.0, np.where(np.isnan(found), otherwise, found))

    def _physics(self) -> Physics:
        """What the simulator is told; NaN leaves a joint as it is."""
        found: dict[str, Any] = {field: self._of_joints(key, np.nan) for field, key in PHYSICS.items()}
        found |= {field: self._gain_or(PHYSICS[field], np.nan) for field in ("stiffness", "damping")}
        for key in ("ground_friction", "base_mass"):
            found[key] = self._of_all(key, np.nan)
        found = {field: values for field, values in found.items() if not np.isnan(values).all()}
        carried = [one.common.payload for one in self._dynamics]
        links = dict.fromkeys(payload.link for payload in carried if payload is not None)
        if links:
            found["link_mass"] = {
                link: np.array([item.mass.value if item and item.link == link else 0.0 for item in carried])
                for link in links
            }
        tilts = [one.common.gravity_tilt for one in self._dynamics]
        if any(tilt is not None for tilt in tilts):
            found["gravity"] = np.array([leaning(tilt[0].value, tilt[1].value) if tilt else leaning(0.0, 0.0)
                                         for tilt in tilts])  # fmt: skip
        return Physics(**found)

    @property
    def header(self) -> dict[str, Any]:
        """What a trace says of the dynamics: their hash, and the drives in force."""
        if len(self.hashes) > 1:
            return {"dynamics_sha256": self.hashes}
        found: dict[str, Any] = {**self._dynamics[0].identity}
        for field in ("stiffness", "damping", "armature", "effort_limit"):
            stated = dict(zip(self.joint_names, self._of_joints(PHYSICS[field], np.nan)[0].tolist(), strict=True))
            known = {name: value for name, value in stated.items() if not np.isnan(value)}
            if known:
                set_up = {joint.name: value for joint in self._setup.joints if (value := getattr(joint, field))}
                found[field] = set_up | known
        return found

    def reseed(self, seed: int) -> None:
        """Start the encoders' noise anew."""
        self._reading.reseed(seed)

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at the true `joint_pos`; see `Plant.reset`. What was commanded is forgotten."""
        self._plant.reset(joint_pos, rows)
        chosen = np.ones(self.num_envs, dtype=np.bool_) if rows is None else rows
        self._command[chosen] = (joint_pos * self._at_rest)[chosen]
        self._delay.forget(self._command, chosen)
        if self._learned is not None:
            self._learned.reset(chosen)
        self._reading.draw(chosen)

    def read(self, state: PlantState) -> None:
        """Fill `state` with what the encoders say, and the rest as it is; see `Plant.read`."""
        self._plant.read(state)
        self._reading.of(state)

    def truth(self, state: PlantState) -> None:
        """Fill `state` with what is, whatever encoders say."""
        self._plant.read(state)

    def write(self, target: Array) -> None:
        """Set joint targets, which the drives learn after the delay; see `Plant.write`."""
        self._command[...] = target

    def step(self, count: int) -> None:
        """Advance by `count` physics steps; see `Plant.step`."""
        held, acting = 0, self._delay.next(self._command)
        forced = None if np.isnan(self.forced).all() else ~np.isnan(self.forced)
        for left in range(count - 1, -1, -1):
            if self._play.there or forced is not None or self._learned is not None:
                self._plant.read(self._state)
                target = self._play.through(acting, self._state)
                target = target if forced is None else np.where(forced, self.forced, target)
                if self._learned is not None:
                    self._learned.apply(target, self._state)
                self._plant.write(target)
                self._plant.step(1)
                acting = self._delay.next(self._command) if left else acting
                continue
            held += 1
            following = self._delay.next(self._command) if left else acting
            if not left or not np.array_equal(following, acting):
                # Steps in which nothing changes are done at once.
                self._plant.write(acting)
                self._plant.step(held)
                held = 0
            acting = following
        self._reading.draw()

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains, save those that the dynamics state; see `SimulatedPlant.set_gains`."""
        self._plant.set_gains(stiffness, damping)
        found = [self._gain_or(key, other) for key, other in (("stiffness", stiffness), ("drive_damping", damping))]
        self._play.stiffness, self._play.damping = self._stiffness, self._damping = found
        self.set_physics(Physics(stiffness=found[0], damping=found[1]))

    def set_physics(self, physics: Physics) -> None:
        """Change the physics beside what the dynamics state; see `PhysicalPlant.set_physics`."""
        given = {name: getattr(physics, name) for name in physics.stated}
        set_physics(self._plant, replace(self._physics(), **given))

    def effort(self) -> Array:
        """See `Plant.effort`; within the play none. What learned actuators gave is in it."""
        effort = self._plant.effort()
        return effort if self._learned is None else effort + self._learned.effort


class DrawingDynamicPlant(DynamicPlant):
    """The same of a plant that draws a second robot."""

    def render_with(self, ghost: Ghost, height: int, width: int) -> NDArray[np.uint8]:
        """See `DrawsGhosts`."""
        plant: Any = self._plant
        return plant.render_with(ghost, height, width)


def with_dynamics(
    plant: SimulatedPlant, setup: PlantSetup, robot: Path, dynamics: Sequence[Dynamics], *, seed: int = 0
) -> DynamicPlant:
    """A plant under identified dynamics; see `DynamicPlant`. A plant that they do not fit is closed."""
    kind = DrawingDynamicPlant if isinstance(plant, DrawsGhosts) else DynamicPlant
    try:
        return kind(plant, setup, robot, dynamics, seed=seed)
    except BaseException:
        plant.close()
        raise


def leaning(about_x: float, about_y: float) -> tuple[float, float, float]:
    """Gravity in the frame of a mount that leans by these angles [rad], about x first [m/s^2]."""
    return (
        float(-GRAVITY * np.sin(about_y) * np.cos(about_x)),
        float(GRAVITY * np.sin(about_x)),
        float(-GRAVITY * np.cos(about_y) * np.cos(about_x)),
    )


def check_setup(dynamics: Dynamics, setup: PlantSetup) -> None:
    """Refuse dynamics that a robot set up so can't have.

    Raises:
        DynamicsError: Naming the parameter.
    """
    for joint in setup.joints:
        stated = dynamics.joints.get(joint.name)
        if stated is None:
            continue
        where = f"dynamics: joints.{joint.name}"
        for key in OF_DRIVES if joint.leader is not None else ():
            if getattr(stated, key) is not None:
                raise DynamicsError(f"{where}.{key}: the joint follows '{joint.leader}' and has no drive; leave it out")
        if not (stated.backlash and stated.backlash.value):
            continue
        if joint.drive != "position" or setup.actuation == "model" or not (stated.stiffness or joint.stiffness):
            raise DynamicsError(
                f"{where}.backlash: the play is between a joint and a drive to positions whose stiffness is known; "
                f"this one is driven by {joint.drive} under actuation.kind {setup.actuation}. Write kind: implicit or "
                "explicit in the contract, with stiffness and damping of the joint"
            )
    if dynamics.common.gravity_tilt is not None and (setup.floating or setup.gravity_compensation):
        why = "has a floating base, and no mount that leans" if setup.floating else "does not feel gravity"
        raise DynamicsError(f"dynamics: common.gravity_tilt: by the contract the robot {why}; leave it out")
