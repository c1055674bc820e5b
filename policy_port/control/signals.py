"""Every number that an observation can be made of, in one row per environment.

Plants write their measurement, the task its command and the decoder its targets straight into this one array, so
that a whole observation is a single gather from it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.contract.spec import Contract
from policy_port.control.joint_map import joint_indices
from policy_port.control.plant import Mounting, PlantState, Sensed
from policy_port.deploy.layout import Layout, at_positions, signal_sizes
from policy_port.motion.followed import Clip
from policy_port.motion.motion import Motion

Mountings = Callable[[Place | Literal["com"]], Mounting]
"""Tells where places are on the base: `plant.mounting`."""


class Signals:
    """The measured state, the command, the goal and what the controller remembers.

    All arrays are float64 views of `row`, one row per environment; fill them in place.
    """

    at_reset: list[Callable[[NDArray[np.bool_] | None], None]]
    """Whoever remembers earlier steps, called with the environments (None: all) once their start is in place."""
    motion: Motion | None = None
    """The motion that the policy follows; set before anybody plans to read it."""

    def __init__(
        self,
        contract: Contract,
        plant_joint_names: Sequence[str],
        num_envs: int,
        mountings: Mountings | None = None,
    ) -> None:
        """Lay the row out.

        Args:
            contract: The contract whose observation is to be made.
            plant_joint_names: Joint names in the plant's order.
            num_envs: Number of environments.
            mountings: Where places are on the base, for contracts whose base terms name one.

        Raises:
            RobotError: When the plant lacks a joint of the contract.
        """
        self.contract, self.mountings, self.at_reset = contract, mountings, []
        self.joint_names, self.num_envs = tuple(plant_joint_names), num_envs
        indices = joint_indices(contract.joint_names, self.joint_names, wanted_by=f"contract '{contract.name}'")
        self.joint_index: dict[str, int] = dict(zip(contract.joint_names, indices.tolist(), strict=True))
        """Index of each contract joint in the plant's order."""
        self._sizes = signal_sizes(contract, len(self.joint_names))
        starts = itertools.accumulate(self._sizes.values(), initial=0)
        self.column: dict[str, int] = dict(zip(self._sizes, starts, strict=False))
        """First column of each signal."""
        self.row: Array = np.zeros((num_envs, sum(self._sizes.values())))
        """All signals, shape (num_envs, width)."""
        self.numbers: memoryview[float] | None = None
        """The row as plain numbers where there is one environment: reading and writing one is then four times as
        fast as through the array. None for several environments."""
        if num_envs == 1:
            self.numbers = cast("memoryview[float]", memoryview(self.row.reshape(-1)))
        self.state = PlantState(
            sensed=self._sensed(),
            joint_pos=self.view("joint_pos"),
            joint_vel=self.view("joint_vel"),
            base_pos=self.view("base_pos"),
            base_quat=self.view("base_quat"),
            base_lin_vel=self.view("base_lin_vel"),
            base_ang_vel=self.view("base_ang_vel"),
        )
        """What the plant measured; `plant.read(signals.state)` fills it."""
        self.state.base_quat[:, 0] = 1.0
        self.command: Array = self.view("velocity_command")
        """What is told, before slew limit and dead zone, shape (num_envs, elements), see `contract.command.names`."""
        self.command[:] = contract.command.defaults
        self.goal: Array = self.view("goal")
        """The contract's goal terms one after the other, shape (num_envs, goal size)."""
        self.joint_target: Array = self.view("joint_target")
        """Joint target in force, in the quantity of the joint's drive: position [rad or m], velocity [rad/s or m/s] or
        effort [N m or N], shape (num_envs, joints), plant joint order."""
        self.last_action: Array = self.view("last_action")
        """The network's previous output after raw_clip, shape (num_envs, action size)."""
        self.time: Array = np.zeros((num_envs, 1))
        """Time since the environment's reset [s], shape (num_envs, 1)."""

    @functools.cached_property
    def clip(self) -> Clip:
        """The motion as the contract follows it.

        Raises:
            MotionError: When there is none, or it does not fit.
        """
        return Clip.of(self.contract, self.motion)

    @property
    def layout(self) -> Layout:
        """What stands where in the row."""
        return Layout(joint_names=self.joint_names, sizes=self._sizes)

    def columns(self, name: str) -> slice:
        """Where in the row a signal stands."""
        first = self.column[name]
        return slice(first, first + self._sizes[name])

    def view(self, name: str) -> Array:
        """The columns of one signal."""
        return self.row[:, self.columns(name)]

    def _sensed(self) -> Sensed | None:
        senses = self.contract.senses
        return Sensed(senses, len(self.joint_names), lambda name, _: self.view(name)) if any(senses) else None

    @property
    def filtered_action(self) -> Array:
        """The raw action behind delay and filter of raw, shape (num_envs, action size); no width where none is."""
        return self.view("filtered_action")

    def default_joint_pos(self) -> Array:
        """The contract's default pose [rad or m], shape (num_envs, joints), plant joint order; 0 where unnamed."""
        pose = np.zeros((self.num_envs, len(self.joint_names)))
        for name, index in self.joint_index.items():
            pose[:, index] = self.contract.joints[name].default / self.contract.per_si(name)
        return pose

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget the past of environments whose start was just read into `state`; of all, if `rows` is None."""
        chosen = slice(None) if rows is None else rows
        self.last_action[chosen] = 0.0
        self.filtered_action[chosen] = 0.0
        self.joint_target[chosen] = self.state.joint_pos[chosen]
        self.joint_target[chosen] *= at_positions(self.contract, self.joint_names)
        self.time[chosen] = 0.0
        for forget in self.at_reset:
            forget(rows)
