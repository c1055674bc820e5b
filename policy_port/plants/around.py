"""A plant around another one: what it leaves as it is, the inner one does."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import Mounting, SimulatedPlant


class PlantAround:
    """Passes on what does not read, write, step or reset."""

    def __init__(self, plant: SimulatedPlant) -> None:
        """Stand around a plant, which belongs to this one from now on."""
        self._plant = plant
        self.joint_names, self.num_envs, self.timestep = plant.joint_names, plant.num_envs, plant.timestep
        self.name = plant.name

    def effort(self) -> Array:
        """See `Plant.effort`."""
        return self._plant.effort()

    def link_position(self, link: str) -> Array:
        """Where a link truly is; see `Plant.link_position`."""
        return self._plant.link_position(link)

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """See `Plant.mounting`."""
        return self._plant.mounting(place)

    def push(self, link: str, force: Array) -> None:
        """See `SimulatedPlant.push`."""
        self._plant.push(link, force)

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """See `SimulatedPlant.set_gains`."""
        self._plant.set_gains(stiffness, damping)

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """See `Plant.render`."""
        return self._plant.render(height, width)

    def close(self) -> None:
        """See `Plant.close`."""
        self._plant.close()

    def __getattr__(self, name: str) -> Any:
        # What a plant tells beside the protocol, such as what of the robot file it left out.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._plant, name)
