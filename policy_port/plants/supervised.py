"""A simulated arm that is limited and stopped as the supervisor of the real one would, by its robot file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field

from policy_port.arrays import Array
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.control.plant import PlantState, SimulatedPlant
from policy_port.errors import RobotError
from policy_port.plants.around import PlantAround
from policy_port.plants.behind import Behind, blocked, first_target
from policy_port.plants.limiter import Limiter


class JointLimits(Strict):
    """See `JointBounds` of a robot file."""

    lower: float
    upper: float
    speed: float
    acceleration: float
    tracking_error: float


class ArmLimits(Strict):
    """What of a robot file a simulation can know: how targets are limited, and when motion ends."""

    policy_port_limits: Literal[1] = 1
    """Version of this format, in which a run's folder keeps it."""
    arm: str
    """Name of the robot file."""
    joints: Mapping[str, JointLimits] = Field(min_length=1)
    """By name."""
    tracking: float
    """How long a joint may stay behind its target by more than its tracking_error [s]."""
    first_target: float
    """How far the first target may be from where the arm is [rad]."""

    def column(self, key: str, names: tuple[str, ...]) -> Array:
        """A number of each joint, shape (joints,).

        Raises:
            RobotError: When the arm has no such joint.
        """
        if strange := [name for name in names if name not in self.joints]:
            raise RobotError(
                f"{self.arm}: has no joint '{strange[0]}', which the simulated robot has; its joints are "
                f"{', '.join(self.joints)}. Give the robot file of this robot"
            )
        return np.array([getattr(self.joints[name], key) for name in names], np.float64)

    def to_yaml(self) -> str:
        """The limits as YAML; `load_limits` reads back equal ones."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=120)


def load_limits(path: Path) -> ArmLimits:
    """Read limits that a run keeps.

    Raises:
        RobotError: With file, line and key.
    """
    return parse(ArmLimits, read_yaml(path, RobotError), RobotError)


class SupervisedPlant(PlantAround):
    """A simulated arm whose targets are limited as the real one's, and which tells when that would be stopped.

    What was sent of a target is put into it, as the supervisor does. Stopped is a joint that stays behind its target,
    and a first target that is too far away. What servos report (an overload, heat, voltage) no simulation knows.
    """

    def __init__(self, plant: SimulatedPlant, limits: ArmLimits, period: float) -> None:
        """Supervise a plant, which belongs to this one from now on.

        Args:
            plant: The arm.
            limits: What it may do.
            period: Control period [s]: `write` is called once in each.

        Raises:
            RobotError: When the arm has other joints.
        """
        super().__init__(plant)
        self.limits = limits
        keys = ("lower", "upper", "speed", "acceleration", "tracking_error")
        lower, upper, speed, acceleration, allowed = (limits.column(key, self.joint_names) for key in keys)
        self._allowed, self._now = allowed, 0.0
        self._limiter = Limiter(lower, upper, speed, acceleration, period)
        self._behind = Behind(allowed, limits.tracking, self.num_envs)
        self._seen = np.zeros((self.num_envs, len(self.joint_names)))
        self._limiter.start(self._seen)
        self._first = np.ones(self.num_envs, dtype=np.bool_)
        self.stops: dict[int, str] = {}
        """Why environments were stopped, by their number, until they are reset."""

    @property
    def header(self) -> dict[str, Any]:
        """What a trace says of the plant, and whose limits it kept."""
        found: dict[str, Any] = getattr(self._plant, "header", {})
        return {**found, "arm_limits": self.limits.model_dump(mode="json")}

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos`, and forget that they were stopped; see `Plant.reset`."""
        self._plant.reset(joint_pos, rows)
        chosen = np.ones(self.num_envs, dtype=np.bool_) if rows is None else rows
        self._limiter.keep(chosen[:, None], joint_pos)
        self._behind.forget(chosen)
        self._first |= chosen
        self.stops = {row: why for row, why in self.stops.items() if not chosen[row]}

    def read(self, state: PlantState) -> None:
        """Fill `state`, and look whether a joint stays behind; see `Plant.read`."""
        self._plant.read(state)
        self._seen[...] = state.joint_pos
        late = self._behind.look(self._now, self._seen, self._limiter.position)
        away = np.abs(self._limiter.position - self._seen)
        for row in np.flatnonzero(late.any(axis=1)):
            worst = int(np.where(late[row], away[row], 0.0).argmax())
            self._stop(row, blocked(self.joint_names[worst], away[row, worst], self._allowed[worst]))

    def write(self, target: Array) -> None:
        """Set what the limits let through of joint targets, and put it into `target`; see `Plant.write`."""
        if self._first.any():
            away = np.abs(target - self._seen)
            for row in np.flatnonzero(self._first & (away.max(axis=1) > self.limits.first_target)):
                worst = int(away[row].argmax())
                ends = float(target[row, worst]), float(self._seen[row, worst])
                self._stop(row, first_target(self.joint_names[worst], *ends, self.limits.first_target))
            self._first[:] = False
        target[...] = self._limiter.follow(target)
        self._plant.write(target)

    def step(self, count: int) -> None:
        """See `Plant.step`."""
        self._plant.step(count)
        self._now += count * self.timestep

    def _stop(self, row: int, why: str) -> None:
        self.stops.setdefault(int(row), why)
