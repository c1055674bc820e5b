"""A robot in MuJoCo, on flat ground, driven by joint position targets."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.errors import MissingDependencyError, RobotError, closest
from policy_port.plants.mujoco_model import build_robot, lowest_of_geom
from policy_port.plants.plant import Array, PlantState
from policy_port.plants.setup import PlantSetup

if TYPE_CHECKING:
    from policy_port.plants.mujoco_scene import TrackingView

CLEARANCE = 0.001
"""Gap between the ground and the lowest point of a robot whose base height is not given [m]."""


class _FreeBase:
    """Views of a free joint's numbers in MuJoCo's state."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, body: int) -> None:
        joint = model.body_jntadr[body]
        position, velocity = model.jnt_qposadr[joint], model.jnt_dofadr[joint]
        self.pos = data.qpos[position : position + 3]
        self.quat = data.qpos[position + 3 : position + 7]
        self.world_linear = data.qvel[velocity : velocity + 3]
        self.body_angular = data.qvel[velocity + 3 : velocity + 6]


class MujocoPlant:
    """A robot file in MuJoCo, set up from a contract; several environments share one model and step in threads.

    The file's joint friction loss, joint limits, contacts and inertias stay; PlantSetup says what becomes of its
    actuators and damping. Targets beyond a joint's limits are not clamped, save by the file's own actuators (kind
    "model"). A simulation that diverges shows NaN.
    """

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
        self.skipped_meshes = robot.skipped_meshes
        self._file = Path(robot_file)
        self._setup = setup
        self._robot = robot
        self._model = robot.model
        self._data = [mujoco.MjData(robot.model) for _ in range(num_envs)]
        self._fresh = [False] * num_envs
        self._frame_kind, self._frame = self._find_frame(setup.frame)
        self._velocity = np.zeros(6)
        self._control = np.zeros(len(robot.joint_names))
        self._inverse = np.zeros(4)
        self._bases = [_FreeBase(robot.model, data, robot.base_body) for data in self._data] if setup.floating else []
        self._base_is_frame = setup.floating and setup.frame is None
        self._view: TrackingView | None = None
        self._view_size = (0, 0)
        self._pool = ThreadPoolExecutor(min(num_envs, os.cpu_count() or 1)) if num_envs > 1 else None
        joints = setup.in_order(robot.joint_names, robot=str(robot_file))
        self.reset(np.tile([joint.default for joint in joints], (num_envs, 1)))

    @property
    def name(self) -> str:
        """Simulator and version."""
        return f"mujoco {mujoco.__version__}"

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Hinge and slide joints in the file's order, which is depth-first."""
        return self._robot.joint_names

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return len(self._data)

    @property
    def timestep(self) -> float:
        """Physics timestep [s]."""
        return float(self._model.opt.timestep)

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints); see `Plant.reset`."""
        for row, data in enumerate(self._data):
            if rows is not None and not rows[row]:
                continue
            mujoco.mj_resetData(self._model, data)
            data.qpos[self._robot.qpos_index] = joint_pos[row]
            if self._setup.floating:
                pos = self._bases[row].pos
                pos[2] = 0.0 if self._setup.height is None else self._setup.height
                if self._setup.height is None:
                    pos[2] = CLEARANCE + self._ground_height() - self._lowest_point(data)
            data.ctrl[self._robot.ctrl_index] = joint_pos[row] * self._robot.ctrl_per_target
            self._fresh[row] = False

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement."""
        robot = self._robot
        for row, data in enumerate(self._data):
            data.qpos.take(robot.qpos_index, out=state.joint_pos[row], mode="clip")
            data.qvel.take(robot.dof_index, out=state.joint_vel[row], mode="clip")
            if self._base_is_frame:
                base = self._bases[row]
                state.base_pos[row] = base.pos
                state.base_quat[row] = base.quat
                state.base_ang_vel[row] = base.body_angular
                mujoco.mju_negQuat(self._inverse, base.quat)
                mujoco.mju_rotVecQuat(state.base_lin_vel[row], base.world_linear, self._inverse)
                continue
            self._refresh(row)
            if self._frame_kind == mujoco.mjtObj.mjOBJ_SITE:
                state.base_pos[row] = data.site_xpos[self._frame]
                mujoco.mju_mat2Quat(state.base_quat[row], data.site_xmat[self._frame])
            else:
                state.base_pos[row] = data.xpos[self._frame]
                state.base_quat[row] = data.xquat[self._frame]
            mujoco.mj_objectVelocity(self._model, data, self._frame_kind, self._frame, self._velocity, 1)
            state.base_ang_vel[row] = self._velocity[:3]
            state.base_lin_vel[row] = self._velocity[3:]

    def write(self, target: Array) -> None:
        """Set joint position targets [rad or m], shape (num_envs, joints), plant joint order."""
        for row, data in enumerate(self._data):
            np.multiply(target[row], self._robot.ctrl_per_target, out=self._control)
            data.ctrl[self._robot.ctrl_index] = self._control

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        if self._pool is None:
            mujoco.mj_step(self._model, self._data[0], count)
        else:
            for _ in self._pool.map(lambda data: mujoco.mj_step(self._model, data, count), self._data):
                pass
        self._fresh[:] = [False] * len(self._fresh)

    def effort(self) -> Array:
        """Torque or force of the drives in the last physics step [N m or N], shape (num_envs, joints)."""
        dof = self._robot.dof_index
        if self._setup.actuation == "implicit":
            # The damping of an implicit drive is the joint's own; see mujoco_model.
            return np.stack([data.qfrc_actuator[dof] + data.qfrc_damper[dof] for data in self._data])
        return np.stack([data.qfrc_actuator[dof] for data in self._data])

    def link_position(self, link: str) -> Array:
        """Position of a link's or site's origin in the world [m], shape (num_envs, 3)."""
        kind, index = self._find_frame(link)
        for row in range(self.num_envs):
            self._refresh(row)
        site = kind == mujoco.mjtObj.mjOBJ_SITE
        return np.stack([(data.site_xpos if site else data.xpos)[index] for data in self._data])

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, the camera following the base, shape (height, width, 3).

        Raises:
            MissingDependencyError: When the machine can't draw off screen.
        """
        self._refresh(0)
        if self._view is None or self._view_size != (height, width):
            self._open_view(height, width)
        assert self._view is not None
        mujoco.mj_camlight(self._model, self._data[0])
        return self._view.image(self._data[0])

    def close(self) -> None:
        """Free threads and graphics. Calling it twice is harmless."""
        if self._view is not None:
            self._view.close()
            self._view = None
        if self._pool is not None:
            self._pool.shutdown()

    def _refresh(self, row: int) -> None:
        # After a step MuJoCo's positions and velocities of bodies are still those of the step's start.
        if not self._fresh[row]:
            mujoco.mj_kinematics(self._model, self._data[row])
            mujoco.mj_comPos(self._model, self._data[row])
            mujoco.mj_comVel(self._model, self._data[row])
            self._fresh[row] = True

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

    def _ground_height(self) -> float:
        planes = np.flatnonzero((self._model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (self._model.geom_bodyid == 0))
        return float(self._model.geom_pos[planes[0], 2]) if planes.size else 0.0

    def _lowest_point(self, data: mujoco.MjData) -> float:
        """Height of the lowest point of the robot's collision geometry [m]."""
        model = self._model
        mujoco.mj_kinematics(model, data)
        mine = model.body_rootid[model.geom_bodyid] == self._robot.base_body
        touching = np.flatnonzero(mine & ((model.geom_contype | model.geom_conaffinity) != 0))
        if not touching.size:
            raise RobotError(
                f"{self._file}: nothing of the robot can touch the ground, so its height can't be found; give "
                "base.height in the contract" + (" or leave out --no-meshes" if self.skipped_meshes else "")
            )
        return min(lowest_of_geom(model, data, int(geom)) for geom in touching)

    def _open_view(self, height: int, width: int) -> None:
        from policy_port.plants.mujoco_scene import TrackingView

        if self._view is not None:
            self._view.close()
            self._view = None
        data = self._data[0]
        mine = self._model.body_rootid == self._robot.base_body
        reach = np.linalg.norm(data.xpos[mine] - data.xpos[self._robot.base_body], axis=1).max()
        try:
            self._view = TrackingView(
                self._model, self._robot.base_body, height=height, width=width, size=max(0.25, 1.3 * float(reach))
            )
        except Exception as cause:
            raise MissingDependencyError(
                f"MuJoCo can't draw off screen here ({cause}). Set MUJOCO_GL=egl; on Debian and Ubuntu it needs "
                "libegl1 and libgl1-mesa-dri"
            ) from cause
        self._view_size = (height, width)
