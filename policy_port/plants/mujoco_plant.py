"""A robot in MuJoCo, on flat ground, driven by joint targets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, turn
from policy_port.contract.place import Place
from policy_port.control.ghost import Ghost
from policy_port.control.plant import Mounting, PlantState, Sensed
from policy_port.errors import RobotError, closest
from policy_port.plants.capacity import refuse_too_many
from policy_port.plants.mujoco_columns import Columns
from policy_port.plants.mujoco_contacts import Footing
from policy_port.plants.mujoco_model import build_robot
from policy_port.plants.mujoco_physics import CAN, dof_damping, model_with, set_gains
from policy_port.plants.mujoco_scene import TrackingView
from policy_port.plants.mujoco_sensing import MujocoSensing
from policy_port.plants.physics import Physics
from policy_port.plants.setup import PlantSetup, find_link, standing_height
from policy_port.robot_models.coupling import follow

_BADCTRL = int(mujoco.mjtWarning.mjWARN_BADCTRL)


class MujocoPlant:
    """A robot file in MuJoCo, set up from a contract; several environments step in threads.

    They share one model until `set_physics` gives others to those whose physics differ.

    The file's joint friction loss, joint limits, contacts and inertias stay; PlantSetup says what becomes of its
    actuators and damping. Targets beyond a joint's limits are not clamped, save by the file's own actuators (kind
    "model"). A simulation that diverges shows NaN.
    """

    _ghost: mujoco.MjData | None = None
    """The second robot of a picture, once one was drawn."""

    def __init__(
        self, robot_file: Path, setup: PlantSetup, *, num_envs: int = 1, meshes: bool = True, shadows: bool = True
    ) -> None:
        """Load the robot and put it at its default pose.

        Args:
            robot_file: A URDF or MJCF file.
            setup: What the contract asks for.
            num_envs: Number of environments.
            meshes: False leaves every mesh out, visual and collision; `skipped_meshes` counts them.
            shadows: False draws without shadows, which without a GPU takes an eighth of the time.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
        """
        robot = build_robot(Path(robot_file), setup, meshes=meshes)
        if not shadows:
            robot.model.light_castshadow[:] = 0
        # MuJoCo's own handler writes a log into the working folder; what it warns of shows as NaN in the state.
        mujoco.set_mju_user_warning(lambda message: None)
        self.name = f"mujoco {mujoco.__version__}"
        """Simulator and version."""
        self.joint_names = tuple(joint.name for joint in robot.joints)
        """Hinge and slide joints of the setup in the file's order, which is depth-first."""
        self.num_envs = num_envs
        """Number of environments."""
        self.timestep = setup.timestep
        """Physics timestep [s]."""
        self.skipped_meshes = robot.skipped_meshes
        """Number of meshes that were left out."""
        self._file = Path(robot_file)
        self._setup = setup
        self._robot = robot
        self._model = robot.model
        self._models = [robot.model] * num_envs
        self._driven_damping: Array | None = None
        refuse_too_many(num_envs, mujoco.MjData(robot.model).nbuffer, self.name)
        self._data = [mujoco.MjData(robot.model) for _ in range(num_envs)]
        self._ctrl = [data.ctrl for data in self._data]
        self._bad_targets = [data.warning[_BADCTRL] for data in self._data]
        self._footing = Footing(robot.model, robot.base_body)
        self._fresh: set[int] = set()
        self._sensing: MujocoSensing | None = None
        self._frames: dict[str, tuple[mujoco.mjtObj, int]] = {}
        self._frame_kind, self._frame = self._find_frame(setup.frame)
        site = self._frame_kind == mujoco.mjtObj.mjOBJ_SITE
        self._frame_moves = bool(self._model.body_weldid[self._model.site_bodyid[self._frame] if site else self._frame])
        self._velocity = np.zeros(6)
        self._control = np.zeros((num_envs, len(robot.joints)))
        self._base_is_frame = setup.floating and setup.frame is None
        self._measured = self._bind()
        self._view = TrackingView(robot.model, robot.base_body)
        self._helpers = min(num_envs, len(os.sched_getaffinity(0))) - 1
        self._pool = ThreadPoolExecutor(self._helpers) if self._helpers else None
        self.reset(np.tile([joint.default for joint in robot.joints], (num_envs, 1)))
        if setup.falls:
            self._stand(self._data[0])
            self._footing.refuse_lost_feet(self._data[0], self._file)
        if not self._frame_moves:
            self._read_frame()

    @property
    def joint_stops(self) -> dict[str, tuple[float, float]]:
        """Lower and upper stop of each joint that has them [rad or m], by the robot file."""
        joints = [self._model.joint(name) for name in self.joint_names]
        ranges = {joint.name: self._model.jnt_range[joint.id] for joint in joints if self._model.jnt_limited[joint.id]}
        return {name: (float(low), float(high)) for name, (low, high) in ranges.items()}

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints); see `Plant.reset`."""
        for row, data in enumerate(self._data):
            if rows is not None and not rows[row]:
                continue
            mujoco.mj_resetData(self._models[row], data)
            data.qpos[self._robot.qpos_index] = joint_pos[row]
            self._place_followers(data)
            if self._setup.floating:
                height = self._setup.height
                data.qpos[self._base_qpos + 2] = self._stand(data) if height is None else height
            start = joint_pos[row] if self._robot.at_rest is None else joint_pos[row] * self._robot.at_rest
            data.ctrl[self._robot.ctrl_index] = (start * self._robot.ctrl_per_target)[self._robot.driven]
            self._fresh.discard(row)

    def _stand(self, data: mujoco.MjData) -> float:
        """Height of the base at which a state's pose stands on the ground [m]."""
        height = float(data.qpos[self._base_qpos + 2])
        mujoco.mj_kinematics(self._model, data)
        lowest = self._footing.lowest(data)
        at_zero = None if lowest is None else lowest - height
        return standing_height(at_zero, robot=self._file)

    def _place_followers(self, data: mujoco.MjData) -> None:
        if self._robot.followers:
            places = {self._model.joint(i).name: self._model.jnt_qposadr[i] for i in range(self._model.njnt)}
            position = {name: float(data.qpos[place]) for name, place in places.items()}
            follow(self._robot.followers, position)
            for name in self._robot.followers:
                data.qpos[places[name]] = position[name]

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement."""
        self._positions.read()
        self._velocities.read()
        if self._base_is_frame:
            np.multiply(self._measured.base_quat, self._conjugate, self._inverse)
            if self.num_envs == 1:
                # Making the views takes as long as turning one velocity.
                mujoco.mju_rotVecQuat(*self._linear)
            else:
                turn(self._measured.base_lin_vel, self._world_vel, self._inverse)
        elif self._frame_moves:
            self._read_frame()
        state.fill(self._measured)
        if state.sensed is not None:
            self._sense(state, state.sensed)

    def _sense(self, state: PlantState, sensed: Sensed) -> None:
        """Measure what terms read beside joints and base."""
        if self._sensing is None or self._sensing.sensed is not sensed:
            self._sensing = MujocoSensing(
                self._model, self._data, self._robot.base_body, self._find_frame, sensed, self._file
            )
            self._fresh.clear()
        for row in range(self.num_envs):
            self._refresh(row)
        self._sensing.read(state)
        if sensed.effort is not None:
            sensed.effort[...] = self.effort()

    def _read_frame(self) -> None:
        measured = self._measured
        for row, data in enumerate(self._data):
            self._refresh(row)
            if self._frame_kind == mujoco.mjtObj.mjOBJ_SITE:
                measured.base_pos[row] = data.site_xpos[self._frame]
                mujoco.mju_mat2Quat(measured.base_quat[row], data.site_xmat[self._frame])
            else:
                measured.base_pos[row] = data.xpos[self._frame]
                measured.base_quat[row] = data.xquat[self._frame]
            mujoco.mj_objectVelocity(self._model, data, self._frame_kind, self._frame, self._velocity, 1)
            measured.base_ang_vel[row] = self._velocity[:3]
            measured.base_lin_vel[row] = self._velocity[3:]

    def write(self, target: Array) -> None:
        """Set joint targets [SI], shape (num_envs, joints), plant joint order; see `Plant.write`."""
        np.multiply(target, self._robot.ctrl_per_target, self._control)
        for row, ctrl in enumerate(self._ctrl):
            ctrl[self._robot.ctrl_index] = self._control[row, self._robot.driven]

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives; see `EffortPlant.apply_effort`."""
        for data, row in zip(self._data, effort, strict=True):
            data.qfrc_applied[self._robot.dof_index] = row

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        # Whoever is free takes the next environment: the threads share one iterator, whose steps are atomic.
        waiting = iter(range(self.num_envs))
        helping = (
            []
            if self._pool is None
            else [self._pool.submit(self._advance, waiting, count) for _ in range(self._helpers)]
        )
        self._advance(waiting, count)
        for helper in helping:
            helper.result()
        self._fresh = set() if self._sensing is None else set(range(self.num_envs))
        for row, warning in enumerate(self._bad_targets):
            if warning.number:
                # MuJoCo then drives nothing at all, which looks like a calm robot.
                raise RobotError(
                    f"{self.name}: a target in environment {row} is infinite or beyond 1e10, by which MuJoCo drives "
                    "nothing; the policy's actions diverge, or the contract's scale does"
                )

    def _advance(self, waiting: Iterator[int], count: int) -> None:
        for row in waiting:
            mujoco.mj_step(self._models[row], self._data[row], count)
            if self._sensing is not None:
                self._place_bodies(row)

    def _place_bodies(self, row: int) -> None:
        """Bring positions and velocities of bodies up to date: after a step they are still those of its start."""
        model, data = self._models[row], self._data[row]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        if self._sensing is not None:
            self._sensing.look(row)

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N]; see `Plant.effort`."""
        if self._setup.actuation != "implicit":
            return self._torque.read()
        # The damping of an implicit drive is the joint's own; see mujoco_model.
        damping = self._damping.now()
        if self._driven_damping is not None:
            damping = np.multiply(damping, self._driven_damping, self._damping.values)
        return np.add(self._torque.now(), damping, self._torque.values)

    def link_position(self, link: str) -> Array:
        """Position of a link's or site's origin in the world [m], shape (num_envs, 3)."""
        if link not in self._frames:
            self._frames[link] = self._find_frame(link)
        kind, index = self._frames[link]
        for row in range(self.num_envs):
            self._refresh(row)
        site = kind == mujoco.mjtObj.mjOBJ_SITE
        return np.stack([(data.site_xpos if site else data.xpos)[index] for data in self._data])

    def push(self, link: str, force: Array) -> None:
        """Pull at a link's centre of mass; see `SimulatedPlant.push`."""
        body = find_link(link, [self._model.body(i).name for i in range(1, self._model.nbody)], self._file) + 1
        for data, row in zip(self._data, force, strict=True):
            data.xfrc_applied[body, :3] = row

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains; see `SimulatedPlant.set_gains`."""
        self._setup.refuse_foreign_gains(self._file)
        for model in {id(model): model for model in (self._model, *self._models)}.values():
            set_gains(model, self._robot, self._setup, stiffness, damping)

    def set_physics(self, physics: Physics) -> None:
        """Give environments other physics; see `PhysicalPlant.set_physics`."""
        physics.check(self.num_envs, self.joint_names, can=CAN, simulator=self.name)
        pristine, robot, setup = self._model, self._robot, self._setup
        if not physics.stated:
            self._models, self._driven_damping = [pristine] * self.num_envs, None
            return
        keys, made = [physics.key(row) for row in range(self.num_envs)], dict[bytes, mujoco.MjModel]()
        for row, key in enumerate(keys):
            # A model with its meshes takes tens of megabytes.
            if key not in made:
                made[key] = model_with(pristine, robot, setup, self._file, physics, row)
        self._models = [made[key] for key in keys]
        self._driven_damping = None
        if physics.joint_damping is not None and setup.actuation == "implicit":
            every = np.stack([dof_damping(model)[robot.dof_index] for model in self._models])
            mine = every - np.nan_to_num(physics.joint_damping)
            self._driven_damping = np.divide(mine, every, out=np.ones_like(every), where=every > 0.0)
        self._fresh.clear()

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Where a place is on the base; see `Plant.mounting`."""
        return self._robot.places.mounting(place, self.num_envs)

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, the camera following the base, shape (height, width, 3).

        Raises:
            MissingDependencyError: When the machine can't draw off screen.
        """
        self._refresh(0)
        return self._view.image(self._data[0], height, width)

    def render_with(self, ghost: Ghost, height: int, width: int) -> NDArray[np.uint8]:
        """The same with a second robot; see `DrawsGhosts`."""
        data = self._ghost = self._ghost or mujoco.MjData(self._model)
        data.qpos[self._robot.qpos_index] = ghost.joint_pos
        self._place_followers(data)
        if self._setup.floating:
            data.qpos[self._base_qpos : self._base_qpos + 7] = [*ghost.base_pos, *ghost.base_quat]
        mujoco.mj_kinematics(self._model, data)
        self._refresh(0)
        return self._view.image(self._data[0], height, width, ghost=data, aside=ghost.aside)

    def close(self) -> None:
        """Free threads and graphics. Calling it twice is harmless."""
        self._view.close()
        if self._pool is not None:
            self._pool.shutdown()

    def _bind(self) -> PlantState:
        """Say which of MuJoCo's numbers are read, joints first, then those of a floating base; return where they go."""
        model, robot, rows, joints = self._model, self._robot, self.num_envs, len(self.joint_names)
        qpos, qvel = list(robot.qpos_index), list(robot.dof_index)
        if self._setup.floating:
            joint = model.body_jntadr[robot.base_body]
            self._base_qpos, base_qvel = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
            qpos += range(self._base_qpos, self._base_qpos + 7)
            qvel += range(base_qvel, base_qvel + 6)
        self._positions = Columns([data.qpos for data in self._data], qpos)
        self._velocities = Columns([data.qvel for data in self._data], qvel)
        self._torque = Columns([data.qfrc_actuator for data in self._data], list(robot.dof_index))
        self._damping = Columns([data.qfrc_damper for data in self._data], list(robot.dof_index))
        self._conjugate = np.tile([1.0, -1.0, -1.0, -1.0], (rows, 1))
        self._inverse = np.zeros((rows, 4))
        measured = PlantState.allocate(rows, joints)
        positions, velocities = self._positions.values, self._velocities.values
        self._world_vel = velocities[:, joints : joints + 3]
        self._linear = measured.base_lin_vel[0], self._world_vel[0], self._inverse[0]
        own = self._base_is_frame
        return PlantState(
            joint_pos=positions[:, :joints],
            joint_vel=velocities[:, :joints],
            base_pos=positions[:, joints : joints + 3] if own else measured.base_pos,
            base_quat=positions[:, joints + 3 :] if own else measured.base_quat,
            base_lin_vel=measured.base_lin_vel,
            base_ang_vel=velocities[:, joints + 3 :] if own else measured.base_ang_vel,
        )

    def _refresh(self, row: int) -> None:
        if row not in self._fresh:
            self._place_bodies(row)
            self._fresh.add(row)

    def _find_frame(self, name: str | None) -> tuple[mujoco.mjtObj, int]:
        if name is None:
            return mujoco.mjtObj.mjOBJ_XBODY, self._robot.base_body
        for kind in (mujoco.mjtObj.mjOBJ_SITE, mujoco.mjtObj.mjOBJ_XBODY):
            index = mujoco.mj_name2id(self._model, kind, name)
            if index >= 0:
                return kind, index
        names = [self._model.body(i).name for i in range(1, self._model.nbody)]
        names += [self._model.site(i).name for i in range(self._model.nsite)]
        names = [known for known in names if known]
        raise RobotError(
            f"{self._file}: has no link or site '{name}'{closest(name, names) or '.'} It has: {', '.join(names)}"
        )
