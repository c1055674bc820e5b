"""Many robots in one PhysX scene on an NVIDIA GPU: the ManiSkill plant on physx_cuda.

State lives in SAPIEN's CUDA buffers, one row per articulation or body; it is fetched once per reading.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien import physx

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import LinkState, Mounting, PlantState, Sensed
from policy_port.errors import MissingDependencyError, RobotError
from policy_port.plants import maniskill_build as build
from policy_port.plants.maniskill_plant import ManiSkillPlant
from policy_port.plants.sapien_physics import Coordinates
from policy_port.plants.scans import Rays, on_flat_ground, scan_ground
from policy_port.plants.setup import PlantSetup

SPACING = 5.0
"""Distance between environments [m]; PhysX simulates them side by side in one scene."""

MEMORY = {"max_rigid_patch_count": 2**18, "found_lost_pairs_capacity": 2**25}
"""ManiSkill's sizes where they differ from SAPIEN's."""


class ManiSkillGpuPlant:
    """The ManiSkill plant with all environments on the GPU; see `ManiSkillPlant` for what the numbers mean."""

    def __init__(self, robot_file: Path, setup: PlantSetup, *, num_envs: int = 1, meshes: bool = True) -> None:
        """Load the robots and put them at their default pose.

        Args:
            robot_file: A URDF or MJCF file.
            setup: What the contract asks for.
            num_envs: Number of environments.
            meshes: False leaves every mesh out, visual and collision.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
            MissingDependencyError: When PhysX's GPU library or the GPU is not here.
        """
        require_gpu_physics()
        # One robot on the CPU finds standing heights and draws pictures.
        self._model = ManiSkillPlant(robot_file, setup, meshes=meshes)
        self.skipped_meshes = self._model.skipped_meshes
        """Number of meshes that were left out."""
        self.left_out = self._model.left_out
        """What of the file SAPIEN can't do, a clause each."""
        self.name = self._model.name.replace("physx_cpu", "physx_cuda")
        """Simulator and version."""
        self.joint_names = self._model.joint_names
        """SAPIEN's active joints: breadth-first, siblings in the file's order."""
        self.num_envs = num_envs
        """Number of environments."""
        self.timestep = setup.timestep
        """Physics timestep [s]."""
        self._setup = setup
        built = build.read_robot(Path(robot_file), setup, meshes=meshes)
        build.configure_physics(built.physics.gravity)
        physx.set_gpu_memory_config(**MEMORY)
        self._ground_height = built.physics.ground_height
        self._px = physx.PhysxGpuSystem()
        self._px.timestep = setup.timestep
        side = math.ceil(math.sqrt(num_envs))
        self._robots: list[physx.PhysxArticulation] = []
        self._scenes: list[sapien.Scene] = []
        for row in range(num_envs):
            scene = sapien.Scene([self._px])
            self._px.set_scene_offset(scene, [SPACING * (row % side), SPACING * (row // side), 0.0])
            build.add_ground(scene, built, setup)
            self._robots.append(build.load(scene, built, setup))
            self._gains = build.set_up_joints(self._robots[-1], built, setup)
            self._scenes.append(scene)
        self._px.gpu_init()
        names = [joint.name for joint in self._robots[0].active_joints]
        self._joints = len(names)
        joints = setup.in_order(names, robot=str(robot_file), followers=built.followers)
        self._coordinates = Coordinates(names, list(self.joint_names), built.followers)
        self._springs = built.physics.spring_rows(names)
        self._rows = self._index([robot.gpu_index for robot in self._robots])
        self._roots = self._index([robot.root.gpu_pose_index for robot in self._robots])
        name = setup.frame or (self._robots[0].root.name if setup.floating else built.base_link)
        self._frames = self._links(name)
        self._centre_of_mass = self._centres(name)
        self._target = np.zeros((num_envs, len(joints)))
        self._effort, self._applied = np.zeros((num_envs, len(joints))), np.zeros((num_envs, len(joints)))
        self._pushes = setup.actuation != "implicit" or self._springs is not None or "effort" in self._gains.drives
        self.reset(np.tile([joint.default for joint in joints], (num_envs, 1)))

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints); see `Plant.reset`."""
        chosen = np.arange(self.num_envs) if rows is None else np.flatnonzero(rows)
        if not chosen.size:
            return
        poses = np.zeros((len(chosen), 13))
        for place, row in enumerate(chosen):
            if place == 0 or not np.array_equal(joint_pos[row], joint_pos[chosen[place - 1]]):
                self._model.reset(joint_pos[row : row + 1])
            poses[place, :3], poses[place, 3:7] = self._model.root_pose.p, self._model.root_pose.q
        self._fetch()
        px, index = self._px, self._rows[chosen.tolist()]
        px.cuda_articulation_qpos.torch()[index, : self._joints] = self._tensor(
            self._coordinates.all(joint_pos[chosen])
        )
        for buffer in (px.cuda_articulation_qvel, px.cuda_articulation_qf):
            buffer.torch()[index, : self._joints] = 0.0
        px.cuda_rigid_body_data.torch()[self._roots[chosen.tolist()], :13] = self._tensor(poses)
        px.gpu_apply_articulation_root_pose()
        px.gpu_apply_articulation_root_velocity()
        px.gpu_apply_articulation_qpos()
        px.gpu_apply_articulation_qvel()
        px.gpu_apply_articulation_qf()
        px.gpu_update_articulation_kinematics()
        target = self._target.copy()
        target[chosen] = joint_pos[chosen] * self._gains.only("position")
        self._effort[chosen], self._applied[chosen] = 0.0, 0.0
        self.write(target)

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement."""
        self._fetch()
        position, velocity = self._positions()
        state.joint_pos[:], state.joint_vel[:] = (
            position[:, self._coordinates.columns],
            velocity[:, self._coordinates.columns],
        )
        base = LinkState(state.base_pos, state.base_quat, state.base_lin_vel, state.base_ang_vel)
        self._read_frame(self._frames, self._centre_of_mass, base)
        if state.sensed is not None:
            self._sense(state, state.sensed)

    def _read_frame(self, frames: Any, centre_of_mass: Array, out: LinkState) -> None:
        body = self._px.cuda_rigid_body_data.torch()[frames].cpu().numpy().astype(np.float64)
        out.pos[:], out.quat[:] = body[:, :3], body[:, 3:7]
        out.ang_vel[:] = _into_frame(out.quat, body[:, 10:13])
        # PhysX tells the velocity of the centre of mass; the frame's origin moves by the lever arm less.
        out.lin_vel[:] = _into_frame(out.quat, body[:, 7:10]) - np.cross(out.ang_vel, centre_of_mass)

    def _sense(self, state: PlantState, sensed: Sensed) -> None:
        """Measure what terms read beside joints and base."""
        if sensed.contacts:
            raise RobotError(
                "ManiSkill's plant on the GPU tells no contact forces, which an observation term reads; play it with "
                "--sim-backend physx_cpu, or with --plant mujoco"
            )
        for link, at in sensed.links.items():
            self._read_frame(self._links(link), self._centres(link), at)

        def distances(starts: Array, direction: Array) -> Array:
            return on_flat_ground(starts, direction, self._ground_height)

        scan_ground(distances, [(scan, Rays(scan), out) for scan, out in sensed.scans], state)
        if sensed.effort is not None:
            sensed.effort[...] = self.effort()

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (num_envs, joints), plant joint order; see `Plant.write`."""
        self._target[:] = target
        if self._setup.actuation != "implicit":
            return
        px, turned = self._px, target * self._gains.only("velocity")
        px.cuda_articulation_target_qpos.torch()[self._rows, : self._joints] = self._tensor(
            self._coordinates.all(target * self._gains.only("position"))
        )
        px.gpu_apply_articulation_target_position()
        if "velocity" in self._gains.drives:
            px.cuda_articulation_target_qvel.torch()[self._rows, : self._joints] = self._tensor(
                self._coordinates.driven(turned)
            )
            px.gpu_apply_articulation_target_velocity()

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives; see `EffortPlant.apply_effort`."""
        # A force stays in PhysX's buffer until another is put there.
        self._applied[:], self._pushes = effort, True

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        for _ in range(count):
            if self._pushes:
                self._push()
            self._px.step()

    def _push(self) -> None:
        """Apply what PhysX does not: explicit drives, efforts, and springs of the file."""
        self._fetch()
        force = np.zeros((self.num_envs, self._joints))
        if self._setup.actuation != "implicit":
            self._effort[:] = self._drive()
            force[:, self._coordinates.columns] = self._effort
        else:
            wanted = np.clip(self._target, -self._gains.limit, self._gains.limit)
            force[:, self._coordinates.columns] = wanted * self._gains.only("effort")
        force[:, self._coordinates.columns] += self._applied
        if self._springs is not None:
            stiffness, rest = self._springs
            force += stiffness * (rest - self._positions()[0])
        self._px.cuda_articulation_qf.torch()[self._rows, : self._joints] = self._tensor(force)
        self._px.gpu_apply_articulation_qf()

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N], shape (num_envs, joints)."""
        if self._setup.actuation != "implicit":
            return self._effort.copy()
        self._fetch()
        return self._drive()

    def link_position(self, link: str) -> Array:
        """Position of a link's origin in the world [m], shape (num_envs, 3)."""
        index = self._links(link)
        self._fetch()
        return self._px.cuda_rigid_body_data.torch()[index, :3].cpu().numpy().astype(np.float64)

    def push(self, link: str, force: Array) -> None:
        """Refuse: see `SimulatedPlant.push`."""
        raise RobotError(f"{self.name} can't push link '{link}' of its robots; play it on --sim-backend physx_cpu")

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Refuse: see `SimulatedPlant.set_gains`."""
        raise RobotError(f"{self.name} can't change its drives while it runs; play it on --sim-backend physx_cpu")

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Where a place is on the base; see `Plant.mounting`."""
        found = self._model.mounting(place)
        position = np.tile(found.position, (self.num_envs, 1))
        if place == "com" and self._setup.frame is None:
            # The frame of a link is the file's; its centre of mass may be another in each environment.
            position = self._centres(self._model.base_link)
        return found._replace(position=position)

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, the camera following the base, shape (height, width, 3)."""
        self._fetch()
        root = self._px.cuda_rigid_body_data.torch()[self._roots[0]].cpu().numpy()
        positions, _ = self._positions()
        return self._model.picture(
            height, width, sapien.Pose(root[:3].tolist(), root[3:7].tolist()), positions[0].astype(np.float32)
        )

    def close(self) -> None:
        """Free the scenes. Calling it twice is harmless."""
        self._model.close()
        for scene in self._scenes:
            scene.clear()
        self._scenes = []

    def _fetch(self) -> None:
        self._px.gpu_fetch_articulation_link_pose()
        self._px.gpu_fetch_articulation_link_velocity()
        self._px.gpu_fetch_articulation_qpos()
        self._px.gpu_fetch_articulation_qvel()

    def _positions(self) -> tuple[Array, Array]:
        buffers = (self._px.cuda_articulation_qpos, self._px.cuda_articulation_qvel)
        position, velocity = (
            buffer.torch()[self._rows, : self._joints].cpu().numpy().astype(np.float64) for buffer in buffers
        )
        return position, velocity

    def _drive(self) -> Array:
        position, velocity = (values[:, self._coordinates.columns] for values in self._positions())
        target = np.clip(self._target, *self._gains.targets)
        gains = self._gains
        error = target - gains.only("position") * position - gains.only("velocity") * velocity
        torque = gains.gain * error - gains.damping * velocity
        return np.clip(torque, -self._gains.limit, self._gains.limit)

    def _centres(self, name: str) -> Array:
        """Centre of mass of a link in its own frame [m], shape (num_envs, 3)."""
        links = [next(link for link in robot.links if link.name == name) for robot in self._robots]
        return np.stack([link.cmass_local_pose.p for link in links]).astype(np.float64)

    def _links(self, name: str) -> Any:
        self._model.link_position(name)
        return self._index(
            [next(link for link in robot.links if link.name == name).gpu_pose_index for robot in self._robots]
        )

    def _index(self, rows: list[int]) -> Any:
        return self._px.cuda_articulation_qpos.torch().new_tensor(rows).long()

    def _tensor(self, values: Array) -> Any:
        return self._px.cuda_articulation_qpos.torch().new_tensor(values)


def require_gpu_physics() -> None:
    """Raise unless PhysX's GPU library lies where SAPIEN looks for it, which would else try to download it.

    Raises:
        MissingDependencyError: Naming the file.
    """
    library = Path.home() / ".sapien" / "physx" / physx.version() / "libPhysXGpu_64.so"
    if not library.is_file():
        raise MissingDependencyError(
            f"physx_cuda needs PhysX's GPU library, which is not at {library}. SAPIEN fetches it at first use of "
            "ManiSkill on the GPU; where its host is out of reach, copy the file there from another machine, or use "
            "--sim-backend physx_cpu"
        )


def _into_frame(quats: Array, vectors: Array) -> Array:
    """World vectors in the axes of frames whose orientations are `quats` (wxyz), row by row."""
    w, u = quats[:, :1], -quats[:, 1:]
    return vectors + 2.0 * np.cross(u, np.cross(u, vectors) + w * vectors)
