"""A robot in SAPIEN as ManiSkill sets it up, on flat ground, driven by joint targets."""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import sapien
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import Mounting, PlantState, Sensed
from policy_port.plants import maniskill_build as build
from policy_port.plants.maniskill_scene import RobotScene
from policy_port.plants.physics import Physics
from policy_port.plants.sapien_changes import CAN, SceneChanges
from policy_port.plants.sapien_drive import SapienDrive
from policy_port.plants.sapien_sensing import SapienSensing
from policy_port.plants.setup import PlantSetup

if TYPE_CHECKING:
    from policy_port.plants.maniskill_view import TrackingView


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
        self._robots = [RobotScene(built, setup) for _ in range(num_envs)]
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
        self._changes = [SceneChanges(robot, row) for row, robot in enumerate(self._robots)]
        self._drive = SapienDrive(self._robots[0].gains, num_envs)
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

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives; see `EffortPlant.apply_effort`."""
        for robot, row in zip(self._robots, effort, strict=True):
            robot.applied = row.copy()

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

    def set_physics(self, physics: Physics) -> None:
        """Give environments other physics; see `PhysicalPlant`. An effort limit bounds a joint's own damping too."""
        physics.check(self.num_envs, self.joint_names, can=CAN, simulator=self.name)
        if physics.stiffness is not None or physics.damping is not None:
            self._setup.refuse_foreign_gains(self._built.urdf.path)
        for changes in self._changes:
            changes.set(physics)
        gains = [robot.drive.gains for robot in self._robots]
        self._drive.set_gains(*(np.concatenate(rows) for rows in zip(*gains, strict=True)))
        self._drive.set_limits(np.stack([robot.gains.limit for robot in self._robots]))
        self._measured = False

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
