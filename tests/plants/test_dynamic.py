"""Identified dynamics in every simulator, held against an integration of one pendulum that shares no code with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics
from policy_port.plants.dynamic import with_dynamics
from policy_port.plants.setup import PlantSetup

STIFFNESS, DAMPING, STEP = 40.0, 2.0, 0.001
BARE = {"rod": 1.0, "arm": 0.3, "inertia": 0.19}
"""Mass [kg], distance of its centre of mass [m] and inertia about the joint [kg m^2] of the pendulum's rod."""


def dynamics(common: dict[str, Any] | None = None, **joint: Any) -> Dynamics:
    robot = {"file": "pendulum.urdf"}
    return Dynamics.model_validate(
        {"policy_port_dynamics": 1, "robot": robot, "joints": {"swing": joint}, "common": common or {}}
    )


def integrated(
    targets: Array, *, common: dict[str, Any] | None = None, spring_alone: bool = False, **joint: float
) -> Array:
    """Angle of the pendulum after each millisecond [rad], from rest at 0, by steps of a fiftieth of one."""
    given, fine = {"armature": 0.0, "damping": 0.0, "friction": 0.0, "backlash": 0.0, "delay": 0.0, **joint}, 50
    stiffness, drive_damping = given.get("stiffness", STIFFNESS), given.get("drive_damping", DAMPING)
    payload = (common or {}).get("payload", {"mass": 0.0})["mass"]
    about_y = (common or {}).get("gravity_tilt", [0.0, 0.0])[1]
    mass, arm = BARE["rod"] + payload, BARE["arm"]
    inertia = BARE["inertia"] * (1.0 + payload / BARE["rod"]) + given["armature"]
    angle, speed, late, h = 0.0, 0.0, round(given["delay"] / STEP * fine), STEP / fine
    found = []
    for tick in range(len(targets) * fine):
        target = targets[(tick - late) // fine] if tick >= late else 0.0
        error = target - angle
        pressed = np.sign(error) * max(abs(error) - 0.5 * given["backlash"], 0.0)
        limit = given.get("effort_limit", np.inf)
        # MuJoCo and Newton bound the spring of an implicit drive alone, PhysX the whole of it.
        spring = float(np.clip(stiffness * pressed, -limit, limit)) if spring_alone else stiffness * pressed
        torque = spring - drive_damping * speed
        if given["backlash"] and torque * pressed <= 0.0:
            torque = 0.0
        torque = torque if spring_alone else float(np.clip(torque, -limit, limit))
        # Gravity turns about y by about_y; the rod lies along x.
        torque += mass * arm * 9.81 * np.cos(angle - about_y) - given["damping"] * speed
        free = speed + torque / inertia * h
        braked = given["friction"] / inertia * h
        speed = np.sign(free) * max(abs(free) - braked, 0.0)
        angle += speed * h
        if (tick + 1) % fine == 0:
            found.append(angle)
    return np.array(found)


CASES: dict[str, dict[str, Any]] = {
    "delay": {"delay": 0.0137},
    "backlash": {"backlash": 0.06},
    "friction": {"friction": 0.8, "damping": 0.4, "armature": 0.05},
    "gains": {"stiffness": 25.0, "drive_damping": 3.0, "effort_limit": 6.0},
    "load": {"common": {"payload": {"link": "rod", "mass": 0.5}, "gravity_tilt": [0.0, 0.3]}},
    "all": {
        "common": {"payload": {"link": "rod", "mass": 0.2}, "gravity_tilt": [0.0, -0.1]},
        "delay": 0.0303,
        "backlash": 0.03,
        "friction": 0.3,
        "damping": 0.2,
        "armature": 0.03,
        "stiffness": 60.0,
    },
}


def steps() -> Array:
    """Targets of half a second: up, further, and back."""
    return np.repeat([0.3, 0.5, 0.1], [150, 150, 200])


Make = Callable[..., Any]


@pytest.fixture
def pendulum(kind: str, robot_file: Callable[[str], Path], setup_of: Callable[..., PlantSetup], stand_up: Make) -> Make:
    """A pendulum under dynamics in a simulator."""

    def make(given: Dynamics, *more: Dynamics, seed: int = 0, **options: Any) -> Any:
        numbers: dict[str, Any] = {"stiffness": STIFFNESS, "damping": DAMPING, "timestep": STEP, "floating": False}
        setup = setup_of(("swing",), **(numbers | options))
        path = robot_file("pendulum.urdf")
        plant = stand_up(kind, path, setup, num_envs=1 + len(more))
        return with_dynamics(plant, setup, path, (given, *more), seed=seed)

    return make


def played(plant: Any, targets: Array) -> Array:
    state, found = PlantState.allocate(plant.num_envs, 1), []
    plant.reset(np.zeros((plant.num_envs, 1)))
    for start in range(0, len(targets), 10):
        # Ten physics steps to a control step: targets change at its start only.
        plant.write(np.full((plant.num_envs, 1), targets[start]))
        plant.step(10)
        plant.read(state)
        found.append(state.joint_pos[:, 0].copy())
    return np.array(found)


def test_each_simulator_moves_as_an_independent_integration(pendulum: Make, kind: str) -> None:
    """Delay, backlash, friction, gains, bounds and loads: six environments, each within 4 mrad of its equation."""
    bound = 0.004
    ones = [dynamics(case.get("common"), **{k: v for k, v in case.items() if k != "common"}) for case in CASES.values()]
    found = played(pendulum(*ones), steps())
    for column, (name, case) in enumerate(CASES.items()):
        wanted = integrated(steps(), spring_alone=kind != "maniskill", **case)[9::10]
        assert np.abs(found[:, column] - wanted).max() < bound, f"{name} in {kind}"
        assert np.abs(wanted - integrated(steps())[9::10]).max() > 4 * bound, f"{name} changes nothing"
