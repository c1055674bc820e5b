"""What joints are told in the physics steps of one control step: the target, the way to it, or an older one."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.spec import Contract
from policy_port.control.plant import Plant
from policy_port.control.shaping import Delay
from policy_port.control.signals import Signals


class InnerLoop(Protocol):
    """Performs one control step of a plant."""

    def __call__(self, target: Array) -> None:
        """Tell the joints, and let time pass.

        Args:
            target: Joint position targets [rad or m], shape (num_envs, joints), plant joint order.
        """
        ...


class Commanding(Protocol):
    """Whose targets a plant is told: a controller."""

    @property
    def contract(self) -> Contract:
        """What says how targets are told."""
        ...

    @property
    def signals(self) -> Signals:
        """Where they are kept, and whoever is told of a reset."""
        ...


class Held:
    """The target throughout: the plant is told once."""

    def __init__(self, plant: Plant, decimation: int) -> None:
        self._plant, self._decimation = plant, decimation

    def __call__(self, target: Array) -> None:
        """See `InnerLoop`."""
        self._plant.write(target)
        self._plant.step(self._decimation)


class Stepped:
    """Another target in each physics step: on the way from the last one, late by some steps, or both."""

    def __init__(self, plant: Plant, controller: Commanding, decimation: int) -> None:
        """Look at what the contract of the controller states.

        Args:
            plant: Who is driven; it has to stand still between two physics steps, as simulators do.
            controller: Whose targets these are.
            decimation: Physics steps of a control step.
        """
        action = controller.contract.action
        self._plant, self._signals = plant, controller.signals
        shape = (self._signals.num_envs, len(self._signals.joint_names))
        self._told, self._last, self._way = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        parts = range(1, decimation + 1)
        self._shares = [part / decimation if action.between == "interpolate" else 1.0 for part in parts]
        late = action.late
        self._delay = Delay(shape, late.physics_steps, first=late.fill == "first") if late.physics_steps else None
        self._signals.at_reset.append(self._forget)

    def _forget(self, rows: np.ndarray | None) -> None:
        start = self._signals.joint_target
        chosen = slice(None) if rows is None else rows
        self._last[chosen] = start[chosen]
        if self._delay is not None:
            self._delay.reset(rows, start)

    def __call__(self, target: Array) -> None:
        """See `InnerLoop`."""
        np.subtract(target, self._last, self._way)
        for share in self._shares:
            if share == 1.0:
                self._told[...] = target
            else:
                np.multiply(self._way, share, self._told)
                np.add(self._told, self._last, self._told)
            if self._delay is not None:
                self._delay(self._told)
            self._plant.write(self._told)
            self._plant.step(1)
        self._last[...] = target


def inner_loop(plant: Plant, controller: Commanding, decimation: int) -> InnerLoop:
    """Whoever performs the control steps of a controller as its contract says."""
    return Stepped(plant, controller, decimation) if controller.contract.action.inner else Held(plant, decimation)
