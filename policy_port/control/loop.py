"""The control loop: one for every simulator and for a real robot."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.plant import Plant

Rows = NDArray[np.bool_]


class Task(Protocol):
    """What the policy is to do, where episodes start and when they end; it knows neither network nor layout."""

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode of environments.

        Args:
            rows: The environments that start, shape (num_envs,).
            start: Start joint positions to fill in [rad or m], shape (num_envs, joints), plant joint order.
            command: Command to fill in, shape (num_envs, elements), in the order of `contract.command.names`.
            goal: Goal to fill in, shape (num_envs, goal size).
        """
        ...

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Look at the step just done; return the environments whose episode has ended, shape (num_envs,)."""
        ...

    @property
    def done(self) -> bool:
        """True when there is no episode left to do."""
        ...


class Clock(Protocol):
    """What paces the loop."""

    def wait(self) -> None:
        """Return when the next control step is due."""
        ...


class SimulatedTime:
    """Simulated time passes by being computed: nothing waits."""

    def wait(self) -> None:
        """Return at once."""


class Observer(Protocol):
    """Whoever looks on: a recorder, a camera, a progress bar."""

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Look at one step, between the decision and its execution.

        Args:
            plant: The plant, at the moment that `controller.state` describes.
            controller: State, command, goal, observation and action of the step.
            target: Joint position targets about to be written [rad or m], plant joint order:
                `controller.signals.joint_target`.
            started: The environments whose episode starts with this step, shape (num_envs,).
        """
        ...


def run(
    plant: Plant, controller: Controller, task: Task, *, decimation: int, clock: Clock, observers: tuple[Observer, ...]
) -> None:
    """Perform a task from start to end.

    Args:
        plant: Simulator or robot.
        controller: The policy at the controls.
        task: What to do.
        decimation: Physics steps per control step.
        clock: What paces the loop.
        observers: Called once per step.
    """
    state, start = controller.state, controller.default_joint_pos()
    starting = np.ones(plant.num_envs, dtype=np.bool_)
    while not task.done:
        if np.count_nonzero(starting):
            task.begin(starting, start, controller.command, controller.goal)
            plant.reset(start, starting)
            plant.read(state)
            controller.reset(starting)
        target = controller()
        for observe in observers:
            observe(plant, controller, target, starting)
        clock.wait()
        plant.write(target)
        plant.step(decimation)
        plant.read(state)
        starting = task.judge(plant, controller)
