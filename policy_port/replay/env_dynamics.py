"""Identified dynamics of the robot of a ManiSkill environment: what its scene can have; the rest is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policy_port.dynamics.document import Dynamics, JointDynamics, check_robot
from policy_port.errors import DynamicsError
from policy_port.plants.sapien_brake import brake, set_brake

CAN = ("armature", "damping", "friction", "stiffness", "drive_damping", "effort_limit", "payload_mass", "base_mass")
"""Parameters that an environment's scene can have. Commands and readings are the environment's own business."""


class EnvDynamics:
    """Puts dynamics into an environment's scene, after each of its resets."""

    def __init__(self, env_id: str, env: Any, dynamics: Dynamics, sim_backend: str) -> None:
        """Hold them against the environment's robot.

        Args:
            env_id: The environment's name.
            env: It, without its wrappers.
            dynamics: What was identified.
            sim_backend: Where its physics runs.

        Raises:
            DynamicsError: When they are another robot's, or say what an environment can't have.
        """
        agent = env.agent
        self._env, self._dynamics = env, dynamics
        joints = tuple(joint.name for joint in agent.robot.active_joints)
        check_robot(dynamics, Path(agent.urdf_path or agent.mjcf_path), joints)
        unable = sorted({name.rpartition(".")[2] for name, _ in dynamics.estimates()} - set(CAN))
        unable += ["actuator"] if dynamics.actuator else []
        if unable:
            raise DynamicsError(
                f"{env_id}: {', '.join(unable)} can't be given to a ManiSkill environment, which has commands and "
                f"readings of its own; it can be given {', '.join(CAN)}. Take the others out of the dynamics, or play "
                "on a plant with --plant maniskill"
            )
        if sim_backend == "physx_cuda":
            raise DynamicsError(f"{env_id}: dynamics are set in PhysX on the CPU, and it runs on {sim_backend}")
        links = self._links()
        payload = dynamics.common.payload
        if payload is not None and payload.link not in links:
            raise DynamicsError(f"{env_id}: the robot has no link '{payload.link}'; it has: {', '.join(links)}")
        self._drives = {
            name: (joint.stiffness, joint.damping, joint.force_limit, joint.drive_mode)
            for name, joint in self._joints().items()
        }
        self._weights = {name: (link.mass, np.array(link.inertia)) for name, link in links.items()}
        self._brakes: dict[Any, Any] = {}

    def _joints(self) -> dict[str, Any]:
        """PhysX's joints by the robot file's names: an environment on the CPU has one scene."""
        return {joint.name: joint._objs[0] for joint in self._env.agent.robot.active_joints}

    def _links(self) -> dict[str, Any]:
        return {link.name: link._objs[0] for link in self._env.agent.robot.links}

    def apply(self) -> None:
        """Set everything that is stated; what was set before is set again."""
        common, links = self._dynamics.common, self._links()
        for name, joint in self._joints().items():
            self._set_joint(name, joint, self._dynamics.joints.get(name, JointDynamics()))
        added = {} if common.payload is None else {common.payload.link: common.payload.mass.value}
        if common.base_mass is not None:
            root = next(iter(links))
            added[root] = added.get(root, 0.0) + common.base_mass.value
        for name, more in added.items():
            mass, inertia = self._weights[name]
            factor = (mass + more) / mass
            if factor <= 0.0:
                raise DynamicsError(f"link '{name}' weighs {mass:g} kg, and {more:g} kg added leave nothing of it")
            links[name].set_mass(mass * factor)
            links[name].set_inertia((factor * inertia).tolist())

    def _set_joint(self, name: str, joint: Any, said: JointDynamics) -> None:
        stiffness, damping, limit, mode = self._drives[name]
        numbers = {key: found.value for key in CAN[:6] if (found := getattr(said, key)) is not None}
        joint.set_drive_properties(
            numbers.get("stiffness", stiffness),
            numbers.get("drive_damping", damping) + numbers.get("damping", 0.0),
            force_limit=numbers.get("effort_limit", limit),
            mode=mode,
        )
        if "armature" in numbers:
            joint.set_armature(np.array([numbers["armature"]], dtype=np.float32))
        if "friction" in numbers:
            scene = self._env.scene.sub_scenes[0]
            if joint not in self._brakes:
                self._brakes[joint] = brake(scene, joint)
            set_brake(self._brakes[joint], joint, numbers["friction"], scene.timestep)
