"""What a contract's terms have Newton measure beside joints and base: links, contact forces, rays to the ground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.plant import LinkState, PlantState, Sensed
from policy_port.errors import RobotError
from policy_port.plants.mujoco_sensing import ContactForces, Contacts, Terrain, no_such_link
from policy_port.plants.newton_model import NewtonRobot
from policy_port.plants.newton_worlds import Worlds
from policy_port.plants.scans import Rays, scan_ground


def read_frame(worlds: Worlds, body: int, local: Array, out: LinkState) -> None:
    """Fill pose and velocity of a frame on a body; `local` is its pose there, x, y, z and a quaternion xyzw."""
    pose, twist = worlds.host("body_q")[:, body], worlds.host("body_qd")[:, body]
    pose, twist = pose.astype(np.float64), twist.astype(np.float64)
    centre = np.asarray(worlds.centre_of_mass[body], dtype=np.float64)
    turned = pose[:, 3:]
    lever = rotate_xyzw(turned, local[:3] - centre)
    out.pos[...] = pose[:, :3] + rotate_xyzw(turned, local[:3])
    quat = _product(turned, local[3:])
    out.quat[:, 0], out.quat[:, 1:] = quat[:, 3], quat[:, :3]
    # Newton tells the velocity of the centre of mass in world axes; the frame's origin adds its lever arm.
    inverse = quat * np.array([-1.0, -1.0, -1.0, 1.0])
    out.lin_vel[...] = rotate_xyzw(inverse, twist[:, :3] + np.cross(twist[:, 3:], lever))
    out.ang_vel[...] = rotate_xyzw(inverse, twist[:, 3:])


def rotate_xyzw(quat: Array, vector: Array) -> Array:
    """Vectors turned by quaternions xyzw, shape (worlds, 3)."""
    axis = quat[..., :3]
    twice = 2.0 * np.cross(axis, vector)
    return vector + quat[..., 3:] * twice + np.cross(axis, twice)


def _product(left: Array, right: Array) -> Array:
    """Products of quaternions xyzw, shape (worlds, 4)."""
    vector = left[:, 3:] * right[:3] + right[3] * left[:, :3] + np.cross(left[:, :3], right[:3])
    scalar = left[:, 3] * right[3] - left[:, :3] @ right[:3]
    return np.concatenate([vector, scalar[:, None]], axis=1)


class NewtonSensing:
    """Fills what is sensed, of all environments.

    Contact forces are those of MuJoCo's C library behind Newton on the CPU; on CUDA Newton's solver keeps them to
    itself. The ground that stops rays is what the solver holds of the world.
    """

    def __init__(
        self,
        robot: NewtonRobot,
        worlds: Worlds,
        find: Callable[[str], tuple[int, Array]],
        sensed: Sensed,
    ) -> None:
        """Find links and ground.

        Args:
            robot: The model.
            worlds: The states of its environments.
            find: Finds a link or site by name: body and pose in it.
            sensed: What is filled.

        Raises:
            RobotError: When the robot has no such link, or forces are asked for on CUDA.
        """
        self.sensed = sensed
        """What is filled."""
        self._worlds = worlds
        self._frames = [(*find(link), state) for link, state in sensed.links.items()]
        self._forces = {link: np.zeros_like(array) for link, array in sensed.contacts.items()}
        held, model = cast(Any, robot.solver), robot.solver.mj_model
        body_of = held.mjc_body_to_newton.numpy()[0]
        if sensed.contacts:
            worlds.after_step = self._watch(robot, body_of)
        base = int(np.flatnonzero(body_of == robot.base_body)[0])
        self._terrain = Terrain(model, base) if sensed.scans else None
        self._scans = [(scan, Rays(scan), ends) for scan, ends in sensed.scans]

    def read(self, state: PlantState) -> None:
        """Measure; `state` is the present one."""
        for body, local, link in self._frames:
            read_frame(self._worlds, body, local, link)
        for link, array in self.sensed.contacts.items():
            array[...] = self._forces[link]
        if self._terrain is not None:
            scan_ground(self._terrain.distances, self._scans, state)

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Environments that were reset touch nothing yet."""
        for array in self._forces.values():
            array[rows] = 0.0

    def _watch(self, robot: NewtonRobot, body_of: NDArray[np.integer]) -> Callable[[int], None]:
        solver, path = cast(Any, robot.solver), robot.places.file
        if not solver.use_mujoco_cpu:
            raise RobotError(
                f"{path}: Newton on CUDA tells no contact forces, which an observation term reads; play it with "
                "--device cpu, or with --plant mujoco"
            )
        bodies = []
        for link in self._forces:
            body, local = robot.frames.get(link, (-1, np.zeros(7)))
            if body < 0 or not np.array_equal(local, [0, 0, 0, 0, 0, 0, 1]):
                raise no_such_link(link, list(robot.frames), path)
            bodies.append(int(np.flatnonzero(body_of == body)[0]))
        contacts = ContactForces(solver.mj_model, list(self._forces), bodies)

        def after_step(row: int) -> None:
            for force, array in zip(
                contacts.read([Contacts.of(solver.mj_data)])[0], self._forces.values(), strict=True
            ):
                array[row] = force

        return after_step
