"""A robot in Newton with its MuJoCo solver, on flat ground, driven by joint targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import mujoco
import newton
import numpy as np
import warp
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.ghost import Ghost
from policy_port.control.plant import LinkState, Mounting, PlantState
from policy_port.errors import MissingDependencyError, RobotError, closest
from policy_port.plants.mujoco_contacts import Footing
from policy_port.plants.mujoco_physics import CAN, model_with, set_gains
from policy_port.plants.mujoco_scene import TrackingView
from policy_port.plants.newton_file import NAMED
from policy_port.plants.newton_model import build_robot, is_native
from policy_port.plants.newton_physics import WarpModel, locate, rounded
from policy_port.plants.newton_sensing import NewtonSensing, read_frame, rotate_xyzw
from policy_port.plants.newton_worlds import Worlds
from policy_port.plants.physics import Physics, known
from policy_port.plants.setup import PlantSetup, standing_height
from policy_port.robot_models.coupling import follow


class NewtonPlant:
    """A robot file in Newton, set up from a contract.

    On the CPU the solver is MuJoCo's C library behind Newton: environments are states of one model and step in turn.
    On CUDA they are worlds of one model and step together in MuJoCo Warp. State is 32-bit. Contact margins of an MJCF
    are lost, as its collision detection in Newton has none; otherwise PlantSetup and the file say what they say to
    the MuJoCo plant. The first use on a machine compiles Warp's kernels, which takes half a minute.
    """

    _sensing: NewtonSensing | None = None
    _ghost: mujoco.MjData | None = None
    """The second robot of a picture, once one was drawn."""

    def __init__(
        self,
        robot_file: Path,
        setup: PlantSetup,
        *,
        num_envs: int = 1,
        meshes: bool = True,
        device: str = "cpu",
        native: bool | None = None,
    ) -> None:
        """Load the robot and put it at its default pose.

        Args:
            robot_file: A URDF, MJCF or USD file, read by Newton's importers.
            setup: What the contract asks for.
            num_envs: Number of environments.
            meshes: False leaves every mesh out, visual and collision; `skipped_meshes` counts them.
            device: Warp's name of the device: "cpu", "cuda" or "cuda:1".
            native: Whether MuJoCo's C library steps; where it is None, it does on the CPU. False there has Warp run
                the kernels that a GPU would.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
            MissingDependencyError: When the device is not here.
        """
        # Warp would tell of every kernel that it loads.
        warp.config.log_level = max(warp.config.log_level, warp.LOG_WARNING)
        if device != "cpu" and not warp.is_cuda_available():
            raise MissingDependencyError(
                f"Newton was asked to run on {device}, and Warp finds no NVIDIA GPU or driver here; ask for cpu"
            )
        native = is_native(device) if native is None else native
        worlds = 1 if native else num_envs
        robot = build_robot(Path(robot_file), setup, worlds=worlds, meshes=meshes, device=device, native=native)
        # MuJoCo's own handler writes a log into the working folder; what it warns of shows as NaN in the state.
        mujoco.set_mju_user_warning(lambda message: None)
        self.name = f"newton {newton.__version__}, {'mujoco' if native else 'mujoco warp'} on {device}"
        """Simulator and version, and the solver that did the work."""
        self.joint_names = tuple(joint.name for joint in robot.joints)
        """Hinges and slides in Newton's order: depth-first, bodies in the <frame>s of an MJCF last first."""
        self.num_envs = num_envs
        """Number of environments."""
        self.timestep = setup.timestep
        """Physics timestep [s]."""
        self.skipped_meshes = robot.skipped_meshes
        """Number of meshes that were left out."""
        self.left_out = robot.left_out
        """What of the file Newton can't do, a clause each."""
        self._file, self._setup = Path(robot_file), setup
        self.robot = robot
        """The model, and where things are in it."""
        self.worlds = Worlds(robot, num_envs, setup.timestep)
        """The states of its environments."""
        self._located, self._physics = locate(robot, foreign=setup.actuation == "model"), Physics()
        self._warp = None if native else WarpModel(robot.solver)
        self._pose = mujoco.MjData(robot.solver.mj_model)
        # Newton's arrays are optional to the type checker: a model of particles has none of them.
        model, held = cast(Any, robot.model), cast(Any, robot.solver)
        self._start = model.joint_q.numpy().reshape(model.world_count, -1)[0].astype(np.float64)
        self._joint_q_start, self._joint_type = model.joint_q_start.numpy(), model.joint_type.numpy()
        self._joint_of = held.mjc_jnt_to_newton_jnt.numpy()[0]
        self._frame = self.frame_of(None)
        base = self._located.base_body
        self._view = TrackingView(robot.solver.mj_model, base, drawer="MuJoCo, which draws for Newton,")
        self._footing = Footing(robot.solver.mj_model, base)
        default = np.array([joint.default for joint in robot.joints])
        self.reset(np.tile(default, (num_envs, 1)))
        if setup.falls:
            self._stand(self.start_of(default))
            self._footing.refuse_lost_feet(self._pose, self._file)

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints); see `Plant.reset`."""
        chosen = np.ones(self.num_envs, dtype=np.bool_) if rows is None else rows
        picked = np.flatnonzero(chosen)
        if picked.size:
            self.worlds.reset(picked, np.stack([self.start_of(joint_pos[row]) for row in picked]))
        if self._sensing is not None:
            self._sensing.forget(chosen)

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement."""
        robot, worlds, (body, local) = self.robot, self.worlds, self._frame
        state.joint_pos[...] = worlds.host("joint_q")[:, robot.q_index]
        state.joint_vel[...] = worlds.host("joint_qd")[:, robot.qd_index]
        base = LinkState(state.base_pos, state.base_quat, state.base_lin_vel, state.base_ang_vel)
        read_frame(worlds, body, local, base)
        if state.sensed is not None:
            if self._sensing is None or self._sensing.sensed is not state.sensed:
                self._sensing = NewtonSensing(robot, worlds, self.frame_of, state.sensed)
            self._sensing.read(state)
            if state.sensed.effort is not None:
                state.sensed.effort[...] = self.effort()

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (num_envs, joints), plant joint order; see `Plant.write`."""
        self.worlds.write(target)

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives; see `EffortPlant.apply_effort`."""
        self.worlds.apply_effort(effort)

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        self.worlds.step(count)
        self.worlds.check_room()

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N], shape (num_envs, joints)."""
        return self.worlds.effort()

    def link_position(self, link: str) -> Array:
        """Position of a link's or site's origin in the world [m], shape (num_envs, 3)."""
        body, local = self.frame_of(link)
        poses = self.worlds.host("body_q")[:, body].astype(np.float64)
        return poses[:, :3] + rotate_xyzw(poses[:, 3:], local[:3])

    def push(self, link: str, force: Array) -> None:
        """Pull at a link's centre of mass; see `SimulatedPlant.push`."""
        body, local = self.frame_of(link)
        if local[:6].any():
            raise RobotError(f"{self._file}: '{link}' is a site, and only a link can be pushed: name the one it is on")
        self.worlds.push(body, force)

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains; see `SimulatedPlant.set_gains`."""
        self._setup.refuse_foreign_gains(self._file)
        gains = rounded(Physics(stiffness=stiffness, damping=damping))
        set_gains(self.robot.solver.mj_model, self._located, self._setup, gains.stiffness, gains.damping)
        if self._setup.actuation == "implicit":
            self.robot.damping[self._located.driven] = damping[self._located.driven]
        self._give(replace(self._physics, stiffness=None, damping=None))

    def set_physics(self, physics: Physics) -> None:
        """Give environments other physics; see `PhysicalPlant.set_physics`."""
        physics.check(self.num_envs, self.joint_names, can=CAN, simulator=self.name)
        self._give(physics)

    def _give(self, physics: Physics) -> None:
        mine, setup, robot = rounded(physics), self._setup, self._located
        model, damping = self.robot.solver.mj_model, np.tile(self.robot.damping, (self.num_envs, 1))
        models = [model] * self.num_envs
        if physics.stated:
            models = [model_with(model, robot, setup, self._file, mine, row) for row in range(self.num_envs)]
        if physics.damping is not None and setup.actuation == "implicit":
            damping[:, robot.driven] = known(physics.damping, damping)[:, robot.driven]
        if self._warp is not None:
            self._warp.take(models)
        self.worlds.damping = damping
        self.worlds.use(models)
        self._physics = physics

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Where a place is on the base; see `Plant.mounting`."""
        return self.robot.places.mounting(place, self.num_envs)

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, the camera following the base, shape (height, width, 3).

        Newton's own viewers need a screen. MuJoCo draws what Newton's solver holds: the collision shapes.

        Raises:
            MissingDependencyError: When the machine can't draw off screen.
        """
        self._pose_robot(self.worlds.host("joint_q")[0])
        return self._view.image(self._pose, height, width)

    def render_with(self, ghost: Ghost, height: int, width: int) -> NDArray[np.uint8]:
        """The same with a second robot; see `DrawsGhosts`."""
        joint_q, base = self.start_of(ghost.joint_pos), self.robot.base_q
        if base is not None:
            joint_q[base : base + 7] = [*ghost.base_pos, *np.roll(ghost.base_quat, -1)]
        shown = self._ghost = self._ghost or mujoco.MjData(self.robot.solver.mj_model)
        self._pose_robot(joint_q)
        shown.qpos[:] = self._pose.qpos
        mujoco.mj_kinematics(self.robot.solver.mj_model, shown)
        self._pose_robot(self.worlds.host("joint_q")[0])
        return self._view.image(self._pose, height, width, ghost=shown, aside=ghost.aside)

    def close(self) -> None:
        """Free the graphics. Calling it twice is harmless."""
        self._view.close()

    def frame_of(self, name: str | None) -> tuple[int, Array]:
        """Body and pose in it (x, y, z, quaternion xyzw) of a link or site; of the base frame, if None.

        Raises:
            RobotError: When the robot has no such link, naming those it has.
        """
        name, frames = name or self._setup.frame, self.robot.frames
        if name is None:
            return self.robot.base_body, np.array([0.0] * 6 + [1.0])
        if name not in frames:
            raise RobotError(
                f"{self._file}: has no link or site '{name}'{closest(name, frames) or '.'} It has: {', '.join(frames)}"
            )
        return frames[name]

    def start_of(self, joint_pos: Array) -> Array:
        """A world's joint_q with the robot at `joint_pos`, its base at the start height."""
        start = self._start.copy()
        start[self.robot.q_index] = joint_pos
        if self.robot.followers:
            places = self.robot.q_places
            position = {name: float(start[place]) for name, place in places.items()}
            follow(self.robot.followers, position)
            for name in self.robot.followers:
                start[places[name]] = position[name]
        if self.robot.base_q is not None:
            height = self._setup.height
            start[self.robot.base_q + 2] = self._stand(start) if height is None else height
        return start

    def _stand(self, start: Array) -> float:
        """Height of the base at which a pose stands on the ground [m]."""
        assert self.robot.base_q is not None
        self._pose_robot(start)
        lowest = self._footing.lowest(self._pose)
        at_zero = None if lowest is None else lowest - float(start[self.robot.base_q + 2])
        return standing_height(at_zero, robot=self._file)

    def _pose_robot(self, joint_q: NDArray[np.floating]) -> None:
        """Put MuJoCo's picture of a world at Newton's coordinates."""
        model = self.robot.solver.mj_model
        for joint, mine in enumerate(self._joint_of):
            place, start = model.jnt_qposadr[joint], self._joint_q_start[mine]
            if self._joint_type[mine] in NAMED:
                self._pose.qpos[place] = joint_q[start]
            elif self._joint_type[mine] == newton.JointType.FREE:
                self._pose.qpos[place : place + 3] = joint_q[start : start + 3]
                x, y, z, w = joint_q[start + 3 : start + 7]
                self._pose.qpos[place + 3 : place + 7] = w, x, y, z
        mujoco.mj_kinematics(model, self._pose)
        mujoco.mj_comPos(model, self._pose)
