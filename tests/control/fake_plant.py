"""A plant without a simulator: every joint follows its target with first-order lag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import Mounting, PlantState


class FakePlant:
    """Joints approach their targets by `rate` per step; the base moves along x with `speed` [m/s]."""

    def __init__(
        self, joint_names: Sequence[str], num_envs: int = 1, rate: float = 0.5, timestep: float = 0.005
    ) -> None:
        self.joint_names = tuple(joint_names)
        self.num_envs = num_envs
        self.timestep = timestep
        self.rate = rate
        self.speed = np.zeros(num_envs)
        self.truth = PlantState.allocate(num_envs, len(self.joint_names))
        self.target = np.zeros((num_envs, len(self.joint_names)))
        self.log: list[str] = []
        self.resets = np.zeros(num_envs, dtype=int)
        self.height = 0.5
        self.closed = False
        self.centre_of_mass = np.tile([0.03, -0.02, -0.05], (num_envs, 1)) * (1 + np.arange(num_envs))[:, None]
        self.at: dict[str, Mounting] = {}

    @property
    def name(self) -> str:
        return "fake 1.0"

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        chosen = np.ones(self.num_envs, dtype=bool) if rows is None else rows
        self.log.append("reset")
        self.resets += chosen
        self.truth.joint_pos[chosen] = joint_pos[chosen]
        self.target[chosen] = joint_pos[chosen]
        self.truth.joint_vel[chosen] = 0.0
        self.truth.base_pos[chosen] = (0.0, 0.0, self.height)

    def read(self, state: PlantState) -> None:
        self.log.append("read")
        for name in ("joint_pos", "joint_vel", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel"):
            np.copyto(getattr(state, name), getattr(self.truth, name))

    def write(self, target: Array) -> None:
        self.log.append("write")
        np.copyto(self.target, target)

    def step(self, count: int) -> None:
        self.log.append("step")
        for _ in range(count):
            change = self.rate * (self.target - self.truth.joint_pos)
            self.truth.joint_pos[:] += change
            self.truth.joint_vel[:] = change / self.timestep
            self.truth.base_lin_vel[:, 0] = self.speed
            self.truth.base_pos[:, 0] += self.speed * self.timestep

    def effort(self) -> Array:
        return 10.0 * (self.target - self.truth.joint_pos)

    def link_position(self, link: str) -> Array:
        """The first joint's position along x."""
        return np.stack([self.truth.joint_pos[:, 0], *np.zeros((2, self.num_envs))], axis=1)

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """The centre of mass moves from environment to environment; every other place is `at`."""
        if place == "com":
            return Mounting(self.centre_of_mass, np.eye(3))
        return self.at[str(place)]

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        return np.full((height, width, 3), int(100 * abs(self.truth.joint_pos[0, 0])) % 255, dtype=np.uint8)

    def close(self) -> None:
        self.closed = True
