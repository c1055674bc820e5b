"""A robot in SAPIEN as ManiSkill sets it up, on flat ground, driven by joint targets."""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien import physx

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import LinkState, Mounting, PlantState, Sensed
from policy_port.errors import RobotError, closest
from policy_port.plants import maniskill_build as build
from policy_port.plants.places import ORIGIN, Link, Places, Pose
from policy_port.plants.sapien_physics import Coordinates
from policy_port.plants.sapien_sensing import SapienSensing, read_link
from policy_port.plants.setup import PlantSetup, standing_height

if TYPE_CHECKING:
    from policy_port.plants.maniskill_view import TrackingView


STILL = [0.0, 0.0, 0.0]
"""No torque."""


class ManiSkillPlant:
    """A robot file in SAPIEN with ManiSkill's solver settings, set up from a contract.

    On physx_cpu every environment is a scene of its own and they are stepped in turn. Joint friction is zero. The
    effort of an implicit drive is not measured by PhysX: it is stiffness and damping applied to the state after the
    step, which is what an implicit drive solves for.
    """

    def __init__(self, robot_file: Path, setup: PlantSetup, *, num_envs: int = 1, meshes: bool = True) -> None:
        """Load the robot and put it at its default pose.

        Args:
            robot_file: A URDF or MJCF file.
            setup: What the contract asks for. Kind "model" needs an MJCF file with position actuators: their gains
                are applied explicitly, as MuJoCo does.
            num_envs: Number of environments.
            meshes: False leaves every mesh out, visual and collision; `skipped_meshes` counts them.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
        """
        built = build.read_robot(Path(robot_file), setup, meshes=meshes)
        self.skipped_meshes = built.urdf.skipped_meshes
        """Number of meshes that were left out."""
        self.left_out = built.physics.left_out
        """What of the file SAPIEN can't do, a clause each."""
        build.configure_physics(built.physics.gravity)
        self._built = built
        self._setup = setup
        self._robots = [_Robot(built, setup) for _ in range(num_envs)]
        package = ""
        with contextlib.suppress(PackageNotFoundError):
            package = f"maniskill {version('mani_skill')}, "
        self.name = f"{package}sapien {sapien.__version__}, physx_cpu"
        """Simulator and version."""
        self.joint_names = self._robots[0].joint_names
        """SAPIEN's active joints: breadth-first, siblings in the file's order."""
        self.num_envs = num_envs
        """Number of environments."""
        self.timestep = setup.timestep
        """Physics timestep [s]."""
        self._view: TrackingView | None = None
        self._sensing: SapienSensing | None = None
        joints = self._robots[0].joints
        self._columns = self._robots[0].coordinates.columns
        self._state = PlantState.allocate(num_envs, len(joints))
        self._measured = False
        self._drive = _Drive(self._robots[0].gains, num_envs)
        self._applied = np.zeros_like(self._drive.torque)
        self.reset(np.tile([joint.default for joint in joints], (num_envs, 1)))
        if setup.falls and setup.height is not None:
            # From any height it would fall through the ground, if nothing of it can touch that.
            self._robots[0].stand()
            self.reset(np.tile([joint.default for joint in joints], (num_envs, 1)))
        for row, robot in enumerate(self._robots):
            robot.read_base(self._state, row)

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints); see `Plant.reset`."""
        for row, robot in enumerate(self._robots):
            if rows is None or rows[row]:
                robot.reset(joint_pos[row])
                self._drive.target[row] = robot.drive.target[0]
        self._measured = False

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement."""
        self._measure()
        state.fill(self._state)
        if state.sensed is not None:
            self._sense(state, state.sensed)

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (num_envs, joints), plant joint order; see `Plant.write`."""
        self._drive.target[...] = target
        for row, robot in enumerate(self._robots):
            robot.write(target[row])

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        for robot in self._robots:
            robot.step(count)
        self._measured = False

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N]; see `Plant.effort`."""
        if self._setup.actuation != "implicit":
            return np.concatenate([robot.drive.torque for robot in self._robots], out=self._applied)
        self._measure()
        return self._drive.apply(self._state.joint_pos, self._state.joint_vel)

    def _sense(self, state: PlantState, sensed: Sensed) -> None:
        """Measure what terms read beside joints and base."""
        if self._sensing is None or self._sensing.sensed is not sensed:
            robots = [(robot.scene, robot.link) for robot in self._robots]
            self._sensing = SapienSensing(robots, self._built.physics.ground_height, sensed, self.timestep)
        self._sensing.read(state, [robot.stepped for robot in self._robots])
        if sensed.effort is not None:
            sensed.effort[...] = self.effort()

    def _measure(self) -> None:
        if self._measured:
            return
        for row, robot in enumerate(self._robots):
            self._state.joint_pos[row] = robot.articulation.qpos[self._columns]
            self._state.joint_vel[row] = robot.articulation.qvel[self._columns]
            if robot.frame_moves:
                robot.read_base(self._state, row)
        self._measured = True

    def link_position(self, link: str) -> Array:
        """Position of a link's origin in the world [m], shape (num_envs, 3)."""
        return np.stack([robot.link(link).entity_pose.p.astype(np.float64) for robot in self._robots])

    def push(self, link: str, force: Array) -> None:
        """Pull at a link's centre of mass; see `SimulatedPlant.push`."""
        for robot, row in zip(self._robots, force.tolist(), strict=True):
            robot.pulled[robot.link(link)] = row

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains; see `SimulatedPlant.set_gains`."""
        self._setup.refuse_foreign_gains(self._built.urdf.path)
        driven = np.array([joint.leader is None for joint in self._robots[0].joints], dtype=np.float64)
        self._drive.set_gains(stiffness * driven, damping * driven)
        for robot in self._robots:
            robot.set_gains(stiffness * driven, damping * driven)

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Where a place is on the base; see `Plant.mounting`."""
        found = [robot.places().mounting(place, 1) for robot in self._robots]
        return found[0]._replace(position=np.concatenate([mounting.position for mounting in found]))

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, the camera following the base, shape (height, width, 3).

        Raises:
            MissingDependencyError: When there is no Vulkan device to draw with.
        """
        articulation = self._robots[0].articulation
        return self.picture(height, width, articulation.root_pose, articulation.qpos)

    @property
    def base_link(self) -> str:
        """Name of the base link."""
        return self._robots[0].base.name

    @property
    def root_pose(self) -> sapien.Pose:
        """Pose of the base link of environment 0."""
        return self._robots[0].articulation.root_pose

    def picture(self, height: int, width: int, root: sapien.Pose, joint_pos: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Colour image of the robot with its base link at `root` and its joints at `joint_pos` [rad or m]."""
        from policy_port.plants.maniskill_view import TrackingView

        if self._view is None or self._view.shape != (height, width):
            self._view = TrackingView(self._built, self._setup, height=height, width=width)
        return self._view.image(root, joint_pos)

    def close(self) -> None:
        """Free the scenes. Calling it twice is harmless."""
        self._view = None
        for robot in self._robots:
            robot.scene.clear()
        self._robots = self._robots[:1]


class _Robot:
    """One robot in a scene of its own."""

    def __init__(self, robot: build.SapienRobot, setup: PlantSetup) -> None:
        self.scene = sapien.Scene([physx.PhysxCpuSystem()])
        self.scene.set_timestep(setup.timestep)
        build.add_ground(self.scene, robot, setup)
        self.articulation = build.load(self.scene, robot, setup)
        self.gains = build.set_up_joints(self.articulation, robot, setup)
        self._robot = robot
        self._setup = setup
        names = [joint.name for joint in self.articulation.active_joints]
        self.joints = setup.in_order(names, robot=str(robot.urdf.path), followers=robot.followers)
        """The plant's joints."""
        self.joint_names = tuple(joint.name for joint in self.joints)
        self.coordinates = Coordinates(names, list(self.joint_names), robot.followers)
        """Where they are among SAPIEN's."""
        columns = np.arange(len(names))[self.coordinates.columns]
        self._joints = [self.articulation.active_joints[column] for column in columns]
        self.base = self.articulation.root if setup.floating else self.link(robot.base_link)
        """The base link."""
        self._frame = self.link(setup.frame) if setup.frame is not None else self.base
        self.frame_moves = setup.floating or self._frame is not self.articulation.root
        self._centre_of_mass = self._frame.cmass_local_pose.p.tolist()
        self._explicit = setup.actuation != "implicit"
        self._springs = robot.physics.spring_rows(names)
        self._at_positions = self.gains.only("position")
        efforts = self.gains.only("effort")
        self._efforts = efforts if efforts.any() and not self._explicit else None
        self.drive = _Drive(self.gains, 1)
        """What applies the torques where PhysX does not."""
        self._joint_pos, self._joint_vel = np.zeros_like(self.drive.torque), np.zeros_like(self.drive.torque)
        self._force = np.zeros(len(names))
        self.stepped = False
        """Whether a physics step was made since the reset."""
        self.pulled: dict[physx.PhysxArticulationLinkComponent, list[float]] = {}
        """Forces at links' centres of mass, world axes [N]; PhysX forgets them with every step."""

    def reset(self, joint_pos: Array) -> None:
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
        self.stepped = False
        self.pulled.clear()

    def stand(self) -> float:
        """Height of the base at which the present pose stands on the ground [m]; the base is left at height 0."""
        place = self._robot.urdf.place
        self.articulation.set_root_pose(sapien.Pose([*place.position[:2], 0.0], list(place.rotation)))
        lowest, urdf = build.lowest_point(self.articulation, self._robot), self._robot.urdf
        return standing_height(lowest, robot=urdf.path)

    def read_base(self, state: PlantState, row: int) -> None:
        base = (state.base_pos[row], state.base_quat[row], state.base_lin_vel[row], state.base_ang_vel[row])
        read_link(self._frame, self._centre_of_mass, LinkState(*base))

    def write(self, target: Array) -> None:
        self.drive.target[0] = target
        if not self._explicit:
            for joint, value, drive in zip(self._joints, target.tolist(), self.gains.drives, strict=True):
                if drive == "position":
                    joint.set_drive_target(value)
                elif drive == "velocity":
                    joint.set_drive_velocity_target(value)

    def step(self, count: int) -> None:
        for _ in range(count):
            if self._explicit or self._springs is not None or self._efforts is not None:
                self._push()
            for link, force in self.pulled.items():
                link.add_force_torque(force, STILL)
            self.scene.step()
        self.stepped = True

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        self.drive.set_gains(stiffness, damping)
        if not self._explicit:
            for index, (item, joint) in enumerate(zip(self.joints, self._joints, strict=True)):
                if item.leader is None:
                    limit = float(self.gains.limit[index])
                    joint.set_drive_properties(
                        float(stiffness[index]), float(damping[index]), force_limit=limit, mode="force"
                    )

    def _push(self) -> None:
        """Apply what PhysX does not: explicit drives, efforts, and springs of the file."""
        position, columns = self.articulation.qpos, self.coordinates.columns
        self._force[:] = 0.0
        if self._explicit:
            self._joint_pos[0] = position[columns]
            self._joint_vel[0] = self.articulation.qvel[columns]
            self._force[columns] = self.drive.apply(self._joint_pos, self._joint_vel)[0]
        if self._efforts is not None:
            limit = self.gains.limit
            self._force[columns] = self._efforts * np.clip(self.drive.target[0], -limit, limit)
        if self._springs is not None:
            stiffness, rest = self._springs
            self._force += stiffness * (rest - position)
        self.articulation.set_qf(self._force.astype(np.float32))

    def link(self, name: str) -> physx.PhysxArticulationLinkComponent:
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


class _Drive:
    """What an explicit drive applies, and what PhysX's implicit one, which does not tell, has applied."""

    def __init__(self, gains: build.Gains, num_envs: int) -> None:
        rows = (num_envs, 1)
        self._gain, self._damping = np.tile(gains.gain, rows), np.tile(gains.damping, rows)
        self._upper, self._lower = np.tile(gains.limit, rows), np.tile(-gains.limit, rows)
        self._part = np.zeros_like(self._upper)
        self._clips = bool(np.isfinite(gains.targets).any())
        self._lowest, self._highest = (np.tile(bound, rows) for bound in gains.targets)
        at_positions, at_velocities = gains.only("position"), gains.only("velocity")
        self._mixed = None if at_positions.all() else (np.tile(at_positions, rows), np.tile(at_velocities, rows))
        self.target: Array = np.zeros_like(self._upper)
        """Joint targets in force [SI, of each drive's quantity], shape (num_envs, joints)."""
        self.torque: Array = np.zeros_like(self._upper)
        """The gains applied to a state, within the limits [N m or N], shape (num_envs, joints)."""

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Take other gains from now on."""
        self._gain[:], self._damping[:] = stiffness, damping

    def apply(self, joint_pos: Array, joint_vel: Array) -> Array:
        """Compute and return `torque` at positions [rad or m] and velocities [rad/s or m/s]."""
        torque, part, target = self.torque, self._part, self.target
        if self._clips:
            target = np.clip(target, self._lowest, self._highest, out=torque)
        if self._mixed is None:
            np.subtract(target, joint_pos, torque)
        else:
            np.multiply(self._mixed[0], joint_pos, part)
            np.subtract(target, part, torque)
            np.multiply(self._mixed[1], joint_vel, part)
            np.subtract(torque, part, torque)
        np.multiply(self._gain, torque, torque)
        np.multiply(self._damping, joint_vel, part)
        np.subtract(torque, part, torque)
        np.maximum(torque, self._lower, torque)
        np.minimum(torque, self._upper, torque)
        return torque
