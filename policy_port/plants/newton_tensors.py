"""A Newton plant as torch sees it: views of the arrays that its solver steps, nothing copied or on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import warp
from torch import Tensor

from policy_port.arrays import Array
from policy_port.contract.sensing import Sensing
from policy_port.errors import RobotError
from policy_port.plants.newton_plant import NewtonPlant
from policy_port.plants.newton_worlds import no_room


class NewtonTensors:
    """State, targets and resets of all environments as tensors on the plant's device, float32.

    What it hands out is filled in place by `read` and stays the same tensors, so that a CUDA graph may look at them.
    Warp's streams wait for torch's default stream and it for them, so nothing here waits on the host.
    """

    def __init__(self, plant: NewtonPlant, senses: Sensing | None = None) -> None:
        """Look at the plant's arrays.

        Args:
            plant: A plant, at rest.
            senses: What is measured beside joints and base.

        Raises:
            RobotError: When something is to be sensed that only the host can measure, or a link is not there.
        """
        if senses is not None and (beyond := [name for name in ("contacts", "scans") if getattr(senses, name)]):
            raise RobotError(
                f"{plant.name}: {' and '.join(beyond)}, which an observation term reads, are measured on the host alone"
            )
        self.plant, self.worlds = plant, plant.worlds
        self.num_envs, self.joint_names = plant.num_envs, plant.joint_names
        robot, worlds = plant.robot, plant.worlds
        self.device = torch.device(warp.device_to_torch(robot.model.device))
        """Where the tensors are."""
        self._q, self._qd = self._rows(worlds.arrays["joint_q"]), self._rows(worlds.arrays["joint_qd"])
        self._poses, self._twists = self._rows(worlds.arrays["body_q"]), self._rows(worlds.arrays["body_qd"])
        self._force, self._last_qd = self._rows(worlds.force), self._rows(worlds.last_qd)
        self._pulls = [self._rows(array) for array in worlds.pulls]
        self._applied = self._rows(worlds.applied)
        self._mask = None if worlds.native else self._rows(worlds.articulations)
        self._overflow = None if worlds.native else warp.to_torch(worlds.overflow)
        self._overflowed = torch.zeros(plant.num_envs, dtype=torch.bool, device=self.device)
        self._q_index, self._qd_index = self._index(robot.q_index), self._index(robot.qd_index)
        self._damped: tuple[Array, Tensor] = (worlds.damping, self._tensor(worlds.damping))
        self._told = [
            (
                self._rows(told.array),
                self._index(told.places),
                self._index(told.joints),
                self._tensor(told.factor),
                told,
            )
            for told in worlds.told_of
        ]
        joints = len(self.joint_names)
        frames = (None, *(senses or Sensing()).links)
        self._frames = {_keys(name): self._frame(*plant.frame_of(name)) for name in frames}
        self.state: dict[str, Tensor] = {
            "joint_pos": torch.zeros(self.num_envs, joints, device=self.device),
            "joint_vel": torch.zeros(self.num_envs, joints, device=self.device),
        }
        """What was measured, by the names of signals, plant joint order; see `PlantState`."""
        for keys in self._frames:
            for key, width in zip(keys, (3, 4, 3, 3), strict=True):
                self.state[key] = torch.zeros(self.num_envs, width, device=self.device)
        if senses is not None and senses.effort:
            self.state["joint_effort"] = torch.zeros(self.num_envs, joints, device=self.device)
        self.read()

    def read(self) -> None:
        """Measure into `state`."""
        torch.index_select(self._q, 1, self._q_index, out=self.state["joint_pos"])
        torch.index_select(self._qd, 1, self._qd_index, out=self.state["joint_vel"])
        for keys, (body, place, lever, turn) in self._frames.items():
            pos, quat, lin_vel, ang_vel = (self.state[key] for key in keys)
            pose, twist = self._poses[:, body], self._twists[:, body]
            turned = pose[:, 3:]
            torch.add(pose[:, :3], _rotate(turned, place), out=pos)
            whole = turned if turn is None else _product(turned, turn)
            quat[:, :1], quat[:, 1:] = whole[:, 3:], whole[:, :3]
            # Newton tells the velocity of the centre of mass in world axes; the frame's origin adds its lever arm.
            spin, inverse = twist[:, 3:], torch.cat([-whole[:, :3], whole[:, 3:]], dim=1)
            moving = twist[:, :3] + torch.linalg.cross(spin, _rotate(turned, lever))
            lin_vel.copy_(_rotate(inverse, moving))
            ang_vel.copy_(_rotate(inverse, spin))
        if self._overflow is not None:
            self._overflowed |= self._overflow[: self.num_envs] != 0
        if "joint_effort" in self.state:
            self.state["joint_effort"].copy_(self.effort())

    def check_room(self) -> None:
        """Look back, from the host, on whether every step had room for its contacts.

        Raises:
            RobotError: When one had not, naming the environment.
        """
        if bool(self._overflowed.any()):
            raise no_room(int(self._overflowed.to(torch.uint8).argmax()))

    def write(self, target: Tensor) -> None:
        """Set joint targets [SI], shape (num_envs, joints), plant joint order; see `Plant.write`."""
        for array, places, joints, factor, _ in self._told:
            array.index_copy_(1, places, target.index_select(1, joints).to(torch.float32) * factor)

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        self.worlds.step(count)

    def effort(self) -> Tensor:
        """Torque or force of the drives in the last physics step [N m or N], shape (num_envs, joints)."""
        spring, speed = (each.index_select(1, self._qd_index) for each in (self._force, self._last_qd))
        if self._damped[0] is not self.worlds.damping:
            self._damped = (self.worlds.damping, self._tensor(self.worlds.damping))
        return spring - self._damped[1] * speed

    def starts(self, joint_pos: Array) -> Tensor:
        """Newton's coordinates of starts at poses [rad or m], shape (poses, joints): made once, for `reset`."""
        return self._tensor(np.stack([self.plant.start_of(pose) for pose in joint_pos]))

    def reset(self, rows: Tensor, start: Tensor) -> None:
        """Put environments at rest; `settle` has to follow.

        Args:
            rows: Which of them, shape (num_envs,).
            start: Their coordinates, from `starts`, shape (num_envs, coordinates), or one row for all.
        """
        chosen = rows[:, None]
        self._q.copy_(torch.where(chosen, start, self._q))
        for array in (self._qd, self._last_qd, self._force, self._applied):
            array.masked_fill_(chosen, 0.0)
        for pulls in self._pulls:
            pulls.masked_fill_(rows[:, None, None], 0.0)
        for array, places, joints, _, told in self._told:
            held = self._q_index.index_select(0, joints)
            begin = (
                start.index_select(1, held) if told.drive == "position" else torch.zeros_like(array[:, : len(joints)])
            )
            array.index_copy_(1, places, torch.where(chosen, begin, array.index_select(1, places)))
        if self._mask is not None:
            self._rows(self.worlds.warm_start).masked_fill_(chosen, 0.0)
            self._mask.copy_(chosen.expand_as(self._mask))

    def settle(self, rows: Tensor) -> None:
        """Have links and sensors where the coordinates are that `reset` has put in: the one part that Warp does."""
        if self._mask is None:
            # MuJoCo's C library has its memory on this machine, and so is the mask.
            picked = np.flatnonzero(rows.numpy())
            self.worlds.warm_start[picked] = 0.0
            self.worlds.place_bodies(picked)
        else:
            self.worlds.place_bodies()

    def _rows(self, array: Any) -> Tensor:
        """The very memory of an array, one row per environment."""
        tensor = warp.to_torch(array, requires_grad=False)
        # An array of transforms or of vectors has a row for each body of each environment.
        return tensor.reshape(self.num_envs, -1, *tensor.shape[1:]) if array.ndim == 1 else tensor

    def _frame(self, body: int, local: Array) -> tuple[int, Tensor, Tensor, Tensor | None]:
        """A body, a frame's place in it, its arm from the body's centre of mass, and its turn where it has one."""
        centre = self.worlds.centre_of_mass[body]
        turn = None if np.array_equal(local[3:], [0.0, 0.0, 0.0, 1.0]) else self._tensor(local[3:])
        return body, self._tensor(local[:3]), self._tensor(local[:3] - centre), turn

    def _tensor(self, numbers: Array) -> Tensor:
        return torch.as_tensor(np.asarray(numbers, np.float32), device=self.device)

    def _index(self, numbers: Any) -> Tensor:
        return torch.as_tensor(np.asarray(numbers, np.int64), device=self.device)


def _keys(frame: str | None) -> tuple[str, str, str, str]:
    """Names of the signals of a link, or of the base."""
    if frame is None:
        return ("base_pos", "base_quat", "base_lin_vel", "base_ang_vel")
    return (f"link_pos_{frame}", f"link_quat_{frame}", f"link_lin_vel_{frame}", f"link_ang_vel_{frame}")


def _rotate(quat: Tensor, vector: Tensor) -> Tensor:
    """Vectors turned by quaternions xyzw, shape (rows, 3); the vectors may be one."""
    axis = quat[:, :3]
    twice = 2.0 * torch.linalg.cross(axis, vector.expand_as(axis))
    return vector + quat[:, 3:] * twice + torch.linalg.cross(axis, twice)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Products of quaternions xyzw, shape (rows, 4), with one."""
    axis, turned = left[:, :3], right[:3].expand_as(left[:, :3])
    vector = left[:, 3:] * turned + right[3] * axis + torch.linalg.cross(axis, turned)
    scalar = left[:, 3:] * right[3] - (axis * turned).sum(1, keepdim=True)
    return torch.cat([vector, scalar], dim=1)
