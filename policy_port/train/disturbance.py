"""What a velocity task does to environments beside its command: noise, pushes, late targets, other physics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, Integers
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.measurable import measured
from policy_port.contract.sensors import SENSORS
from policy_port.control.plant import PlantState, SimulatedPlant
from policy_port.errors import TaskError
from policy_port.plants.physics import Physics, set_physics
from policy_port.tasks.reach_training import ReachTraining
from policy_port.tasks.velocity import Noise, Push, VelocityTask

Rows = NDArray[np.bool_]
Generator = np.random.Generator


def draw_physics(task: VelocityTask, contract: Contract, plant: SimulatedPlant, rng: Generator) -> Physics:
    """Draw the physics of every environment.

    Raises:
        TaskError: When a factor is on what the contract does not state.
    """
    given, rows, names = task.randomisation, plant.num_envs, plant.joint_names
    drawn: dict[str, Any] = {}
    for key in ("ground_friction", "base_mass", "contact_time"):
        if (bounds := getattr(given, key)) is not None:
            drawn[key] = rng.uniform(bounds[0], bounds[1], rows)
    if given.contact_time is not None and given.contact_time[0] < 2.0 * plant.timestep:
        raise TaskError(
            f"randomisation.contact_time of task '{task.name}' begins at {given.contact_time[0]:g} s, and contacts "
            f"take two timesteps at least, {2.0 * plant.timestep:g} s at the contract's {plant.timestep:g}; let it "
            "begin there"
        )
    if given.joint_friction is not None:
        drawn["joint_friction"] = rng.uniform(*given.joint_friction, (rows, len(names)))
    for key in ("stiffness", "damping", "effort_limit"):
        if (bounds := getattr(given, key)) is None:
            continue
        stated = [getattr(contract.joints[name], key) if name in contract.joints else 0.0 for name in names]
        missing = [name for name, value in zip(names, stated, strict=True) if value is None]
        if missing:
            raise TaskError(
                f"randomisation.{key} of task '{task.name}' is a factor, and contract '{contract.name}' does not state "
                f"{key} of {', '.join(missing)}. State it in the contract, or leave randomisation.{key} out"
            )
        drawn[key] = np.array(stated) * rng.uniform(bounds[0], bounds[1], (rows, len(names)))
    return Physics(**drawn)


class Randomised:
    """The plant's physics, drawn anew at each `begin`."""

    def __init__(self, task: VelocityTask, contract: Contract, plant: SimulatedPlant) -> None:
        self._task, self._contract, self._plant = task, contract, plant

    def begin(self, rng: Generator) -> None:
        """Draw physics, and set it.

        Raises:
            TaskError: When a factor is on what the contract does not state.
            RobotError: When the simulator can't.
        """
        physics = draw_physics(self._task, self._contract, self._plant, rng)
        if physics.stated:
            set_physics(self._plant, physics)


ERRS = {
    **dict.fromkeys(("joint_pos", "joint_pos_rel"), "joint_pos"),
    **dict.fromkeys(("projected_gravity", "base_euler", "base_quat", "heading", "heading_error"), "orientation"),
}
"""The noise of a task that is in the numbers of an observation term, where it is not called as the term."""


def quiet_sensors(task: VelocityTask | ReachTraining, contract: Contract) -> list[str]:
    """What a policy for a real robot will find noisier there than in its training, a sentence each."""
    noise = task.noise.model_dump()
    sensed = (found.term for found in measured(contract, tuple(SENSORS)) if found.way is None or found.way.sensors)
    quiet = [name for name in dict.fromkeys(ERRS.get(term.term, term.term) for term in sensed) if not noise.get(name)]
    silent, never = ([name for name in quiet if (name in noise) == known] for known in (True, False))
    reads = f"which contract '{contract.name}' reads and real sensors err in"
    return [
        f"task '{task.name}' adds no noise to {', '.join(silent)}, {reads}; unless the policy is only to teach, state "
        "how much under noise in the task file"
    ] * bool(silent) + [
        f"task '{task.name}' knows no noise of {', '.join(never)}, {reads}: a real robot does worse than what is "
        "measured here"
    ] * bool(never)


def odd_commands(task: VelocityTask | ReachTraining, *contracts: Contract) -> list[str]:
    """What is odd about the commands that a task draws, a sentence each."""
    if isinstance(task, ReachTraining):
        return []
    drawn = {name: getattr(task.command, name) for name in VELOCITY_COMMAND}
    found = [f"task '{task.name}' tells the robot nothing but to stand still"] * (
        task.command.standing == 1.0 or not any(map(any, drawn.values()))
    )
    for contract in contracts:
        ranges = {name: contract.command.bounds(name) for name in VELOCITY_COMMAND}
        beyond = [
            f"{name} {list(drawn[name])}, where it says {list(known)}"
            for name, known in ranges.items()
            if known is not None and not known[0] <= drawn[name][0] <= drawn[name][1] <= known[1]
        ]
        if beyond:
            found.append(
                f"task '{task.name}' draws commands beyond those of contract '{contract.name}': {'; '.join(beyond)}"
            )
    return found


KNOWN_BY = {
    "joint_pos": {"joint_pos_rel"},
    "joint_pos_rel": {"joint_pos"},
    "projected_gravity": {"base_quat", "base_euler"},
}
"""Terms of an observation that say all of another one."""


def blind_critic(actor: Contract, critic: Contract) -> list[str]:
    """What a critic is not shown although its actor acts on it, in a sentence."""
    shown = {name for term in critic.observation.terms for name in (term.term, term.label)} - {"external"}
    unseen = [
        term.label
        for term in actor.observation.terms
        if term.term != "constant" and not shown & {term.term, term.label, *KNOWN_BY.get(term.term, ())}
    ]
    return [
        f"the critic's contract '{critic.name}' lacks {', '.join(unseen)}, which the actor acts on: it can't tell what "
        "that is worth, and the actor learns worse. A critic reads what its actor does, and more; add it there, or "
        "leave --critic-contract out"
    ] * bool(unseen)


class SensorNoise:
    """Uniform noise on what was measured, drawn anew for each step."""

    def __init__(self, noise: Noise, num_envs: int, joints: int) -> None:
        """Plan a draw for so many joints."""
        parts = (("joint_pos", joints), ("joint_vel", joints), ("base_lin_vel", 3), ("base_ang_vel", 3))
        widths = [width for name, size in (*parts, ("orientation", 3)) for width in [getattr(noise, name)] * size]
        self._half, self._shape = np.array(widths), (num_envs, len(widths))
        self._joints, self._noise = joints, noise

    def add(self, state: PlantState, rng: Generator) -> None:
        """Add noise to a measurement in place."""
        if not self._noise.any:
            return
        drawn = rng.random(self._shape)
        drawn -= 0.5
        drawn *= 2.0 * self._half
        at = 0
        for array in (state.joint_pos, state.joint_vel, state.base_lin_vel, state.base_ang_vel):
            array += drawn[:, at : at + array.shape[1]]
            at += array.shape[1]
        if self._noise.orientation:
            turn(state.base_quat, drawn[:, at:])


def turn(quat: Array, angles: Array) -> None:
    """Turn wxyz unit quaternions about the body's own axes by small `angles` [rad], shape (rows, 3), in place."""
    w, x, y, z = quat.T.copy()
    a, b, c = 0.5 * angles.T
    quat[:, 0] = w - a * x - b * y - c * z
    quat[:, 1] = x + a * w + c * y - b * z
    quat[:, 2] = y + b * w + a * z - c * x
    quat[:, 3] = z + c * w + b * x - a * y
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)


class Pushes:
    """Horizontal forces at a link, now and then."""

    def __init__(self, push: Push | None, plant: SimulatedPlant, link: str, control_dt: float) -> None:
        """Prepare pushes of `link`, none where `push` is None."""
        self._push, self._plant, self._link, self._dt = push, plant, link, control_dt
        self._force = np.zeros((plant.num_envs, 3))
        self._next, self._left = np.zeros(plant.num_envs), np.zeros(plant.num_envs)

    def start(self, rows: Rows, rng: Generator) -> None:
        """The plant's reset has ended whatever pushed these environments."""
        if self._push is not None:
            self._force[rows], self._left[rows] = 0.0, 0.0
            self._next[rows] = self._wait(rng, int(rows.sum()))

    def apply(self, rng: Generator) -> None:
        """Push or let go before a control step, where it is due."""
        if self._push is None:
            return
        self._next -= 1.0
        self._left -= 1.0
        ending = (self._left <= 0.0) & self._force.any(axis=1)
        self._force[ending] = 0.0
        due = self._next <= 0.0
        count = int(due.sum())
        if count:
            size, way = rng.uniform(*self._push.force, count), rng.uniform(-math.pi, math.pi, count)
            self._force[due, 0], self._force[due, 1] = size * np.cos(way), size * np.sin(way)
            self._left[due] = max(1, round(self._push.duration / self._dt))
            self._next[due] = self._wait(rng, count)
        if count or ending.any():
            self._plant.push(self._link, self._force)

    def _wait(self, rng: Generator, count: int) -> Array:
        assert self._push is not None
        return np.maximum(1.0, np.round(rng.uniform(*self._push.every, count) / self._dt))


class LateTargets:
    """Targets that reach the drives some physics steps late, each environment's by as many as was drawn for it."""

    def __init__(self, plant: SimulatedPlant, task: VelocityTask, decimation: int) -> None:
        """Prepare delays within the task's range; `decimation` is the physics steps of a control step."""
        bounds = task.randomisation.delay
        self._plant, self._decimation = plant, decimation
        self._bounds = None if bounds is None else tuple(round(bound / plant.timestep) for bound in bounds)
        depth = 1 if self._bounds is None else 1 + -(-self._bounds[1] // decimation)
        self._past: Array = np.zeros((depth + 1, plant.num_envs, len(plant.joint_names)))
        self._steps: Integers = np.zeros(plant.num_envs, dtype=np.int64)

    @property
    def any(self) -> bool:
        """Whether anything is late."""
        return self._bounds is not None

    def begin(self, rng: Generator) -> None:
        """Draw every environment's delay."""
        if self._bounds is not None:
            self._steps = rng.integers(self._bounds[0], self._bounds[1] + 1, self._plant.num_envs)

    def start(self, rows: Rows, target: Array) -> None:
        """Environments start with `target` in force, shape (num_envs, joints)."""
        self._past[:, rows] = target[rows]

    def __call__(self, target: Array) -> None:
        """Perform a control step, of which each environment hears when it is due."""
        self._past = np.roll(self._past, 1, axis=0)
        self._past[0] = target
        everyone = np.arange(self._plant.num_envs)
        # How many control steps ago the target in force was asked for, by physics step.
        ages = [-((step - self._steps) // self._decimation) for step in range(self._decimation)]
        step = 0
        while step < self._decimation:
            many = 1
            while step + many < self._decimation and (ages[step + many] == ages[step]).all():
                many += 1
            self._plant.write(self._past[ages[step], everyone])
            self._plant.step(many)
            step += many
