"""One robot in a SAPIEN scene of its own: its joints, its pose, and what moves it."""

from __future__ import annotations

import numpy as np
import sapien
from sapien import physx

from policy_port.arrays import Array
from policy_port.control.plant import LinkState, PlantState
from policy_port.errors import RobotError, closest
from policy_port.plants import maniskill_build as build
from policy_port.plants.places import ORIGIN, Link, Places, Pose
from policy_port.plants.sapien_drive import SapienDrive
from policy_port.plants.sapien_physics import Coordinates
from policy_port.plants.sapien_sensing import read_link
from policy_port.plants.setup import PlantSetup, standing_height

STILL = [0.0, 0.0, 0.0]
"""No torque."""


class RobotScene:
    """One robot in a scene of its own."""

    def __init__(self, robot: build.SapienRobot, setup: PlantSetup) -> None:
        self.scene = sapien.Scene([physx.PhysxCpuSystem()])
        self.scene.set_timestep(setup.timestep)
        build.add_ground(self.scene, robot, setup)
        self.articulation = build.load(self.scene, robot, setup)
        self.gains = build.set_up_joints(self.articulation, robot, setup)
        self._robot = robot
        self._setup = setup
        self.file = robot.urdf.path
        """The robot file."""
        names = [joint.name for joint in self.articulation.active_joints]
        self.joints = setup.in_order(names, robot=str(robot.urdf.path), followers=robot.followers)
        """The plant's joints."""
        self.joint_names = tuple(joint.name for joint in self.joints)
        self.coordinates = Coordinates(names, list(self.joint_names), robot.followers)
        """Where they are among SAPIEN's."""
        columns = np.arange(len(names))[self.coordinates.columns]
        self.driven_joints = [self.articulation.active_joints[column] for column in columns]
        """SAPIEN's joints in the plant's order."""
        self.base = self.articulation.root if setup.floating else self.link(robot.base_link)
        """The base link."""
        self._frame = self.link(setup.frame) if setup.frame is not None else self.base
        self.frame_moves = setup.floating or self._frame is not self.articulation.root
        self._centre_of_mass = self._frame.cmass_local_pose.p.tolist()
        self.explicit = setup.actuation != "implicit"
        """Whether the drives are computed here, not by PhysX."""
        self._springs = robot.physics.spring_rows(names)
        self._at_positions = self.gains.only("position")
        efforts = self.gains.only("effort")
        self._efforts = efforts if efforts.any() and not self.explicit else None
        self.drive = SapienDrive(self.gains, 1)
        """What applies the torques where PhysX does not."""
        self._joint_pos, self._joint_vel = np.zeros_like(self.drive.torque), np.zeros_like(self.drive.torque)
        self._force = np.zeros(len(names))
        self.beside = np.zeros(len(self.joints))
        """The joints' own damping beside an implicit drive's [N m s/rad or N s/m], shape (joints,)."""
        self.applied: Array | None = None
        """What drives joints beside their drives [N m or N], shape (joints,); None where nothing ever did."""
        self.stepped = False
        """Whether a physics step was made since the reset."""
        self.pulled: dict[physx.PhysxArticulationLinkComponent, list[float]] = {}
        """Forces at links' centres of mass, world axes [N]; PhysX forgets them with every step."""
        self._leaning: list[tuple[physx.PhysxArticulationLinkComponent, list[float]]] = []

    def reset(self, joint_pos: Array) -> None:
        """Put the robot at rest at `joint_pos` [rad or m], shape (joints,), where its setup places it."""
        articulation, still = self.articulation, np.zeros(len(self._force), dtype=np.float32)
        articulation.set_qpos(self.coordinates.all(joint_pos).astype(np.float32))
        articulation.set_qvel(still)
        articulation.set_qf(still)
        place, height = self._robot.urdf.place, self._setup.height
        if self._setup.floating and height is None:
            height = self.stand()
        x, y, z = place.position
        if self._robot.base_link != articulation.root.name:
            # The world is a link of its own there, and the height is in the joint that hangs on it.
            height = None
        articulation.set_root_pose(sapien.Pose([x, y, z if height is None else height], list(place.rotation)))
        if self._setup.floating:
            articulation.set_root_linear_velocity([0.0, 0.0, 0.0])
            articulation.set_root_angular_velocity([0.0, 0.0, 0.0])
        self.write(joint_pos * self._at_positions)
        self.drive.torque[:] = 0.0
        self.applied = None
        self.stepped = False
        self.pulled.clear()

    def stand(self) -> float:
        """Height of the base at which the present pose stands on the ground [m]; the base is left at height 0."""
        place = self._robot.urdf.place
        self.articulation.set_root_pose(sapien.Pose([*place.position[:2], 0.0], list(place.rotation)))
        lowest, urdf = build.lowest_point(self.articulation, self._robot), self._robot.urdf
        return standing_height(lowest, robot=urdf.path)

    def read_base(self, state: PlantState, row: int) -> None:
        """Measure pose and velocity of the base into a row of `state`."""
        base = (state.base_pos[row], state.base_quat[row], state.base_lin_vel[row], state.base_ang_vel[row])
        read_link(self._frame, self._centre_of_mass, LinkState(*base))

    def write(self, target: Array) -> None:
        """Set joint targets [SI, of each drive's quantity], shape (joints,)."""
        self.drive.target[0] = target
        if not self.explicit:
            for joint, value, drive in zip(self.driven_joints, target.tolist(), self.gains.drives, strict=True):
                if drive == "position":
                    joint.set_drive_target(value)
                elif drive == "velocity":
                    joint.set_drive_velocity_target(value)

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        for _ in range(count):
            if self.explicit or any(part is not None for part in (self._springs, self._efforts, self.applied)):
                self._push()
            for link, force in (*self.pulled.items(), *self._leaning):
                link.add_force_torque(force, STILL)
            self.scene.step()
        self.stepped = True

    def lean(self, gravity: Array | None) -> None:
        """Have another gravity [m/s^2], shape (3,); the scene's own, if None. PhysX holds a scene to its own."""
        self._leaning = []
        if gravity is not None:
            missing = gravity - np.array(self.scene.physx_system.config.gravity)
            heavy = [link for link in self.articulation.links if not link.disable_gravity]
            self._leaning = [(link, (float(link.mass) * missing).tolist()) for link in heavy]

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains, shape (joints,); see `SimulatedPlant.set_gains`."""
        if self.explicit or all(drive == "position" for drive in self.gains.drives):
            self.drive.set_gains(stiffness, damping)
        if self.explicit:
            return
        for index, (item, joint) in enumerate(zip(self.joints, self.driven_joints, strict=True)):
            # An effort is a force of its own in PhysX, which the drive does not bound.
            limit = build.NO_LIMIT if item.drive == "effort" else float(self.gains.limit[index])
            both = float(damping[index] + self.beside[index])
            if item.leader is None:
                joint.set_drive_properties(float(stiffness[index]), both, force_limit=limit, mode="force")

    def _push(self) -> None:
        """Apply what PhysX does not: explicit drives, efforts, and springs of the file."""
        position, columns = self.articulation.qpos, self.coordinates.columns
        self._force[:] = 0.0
        if self.explicit:
            self._joint_pos[0] = position[columns]
            self._joint_vel[0] = self.articulation.qvel[columns]
            self._force[columns] = self.drive.apply(self._joint_pos, self._joint_vel)[0]
        if self._efforts is not None:
            limit = self.gains.limit
            self._force[columns] = self._efforts * np.clip(self.drive.target[0], -limit, limit)
        if self.applied is not None:
            self._force[columns] += self.applied
        if self._springs is not None:
            stiffness, rest = self._springs
            self._force += stiffness * (rest - position)
        self.articulation.set_qf(self._force.astype(np.float32))

    def link(self, name: str) -> physx.PhysxArticulationLinkComponent:
        """A link by name.

        Raises:
            RobotError: When there is none.
        """
        for link in self.articulation.links:
            if link.name == name:
                return link
        names = [link.name for link in self.articulation.links]
        raise RobotError(
            f"{self._robot.urdf.path}: has no link '{name}'{closest(name, names) or '.'} It has: {', '.join(names)}"
        )

    def places(self) -> Places:
        """What is fixed to the base link, as SAPIEN has it; sites of an MJCF are links here."""
        root = self.base
        links: dict[str, Link] = {}
        for link in self.articulation.links:
            parent = link.parent
            if link is not root and (parent is None or parent.name not in links):
                # The world, and what hangs on it beside the robot.
                continue
            joint = link.joint
            pose = ORIGIN
            if link is not root:
                outer, inner = (Pose.of(pose.p, pose.q) for pose in (joint.pose_in_parent, joint.pose_in_child))
                pose = outer.then(inner.inverse())
            links[link.name] = Link(
                name=link.name,
                parent="" if parent is None else parent.name,
                moved_by="" if link is root or joint.type == "fixed" else joint.name,
                pose=pose,
                mass=float(link.mass),
                centre_of_mass=np.array(link.cmass_local_pose.p, dtype=np.float64),
            )
        file = self._robot.urdf.path
        return Places(
            file=file, links=list(links.values()), sensors=self._robot.physics.sensors, frame=self._setup.frame
        )
