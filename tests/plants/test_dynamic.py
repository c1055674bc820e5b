"""Identified dynamics in every simulator, held against an integration of one pendulum that shares no code with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics, check_delay
from policy_port.errors import DynamicsError, RobotError
from policy_port.plants.dynamic import check_setup, with_dynamics
from policy_port.plants.setup import PlantSetup

STIFFNESS, DAMPING, STEP = 40.0, 2.0, 0.001
BARE = {"rod": 1.0, "arm": 0.3, "inertia": 0.19}
"""Mass [kg], distance of its centre of mass [m] and inertia about the joint [kg m^2] of the pendulum's rod."""


def dynamics(common: dict[str, Any] | None = None, **joint: Any) -> Dynamics:
    robot = {"file": "pendulum.urdf"}
    return Dynamics.model_validate(
        {"policy_port_dynamics": 1, "robot": robot, "joints": {"swing": joint}, "common": common or {}}
    )


@cache
def integrated(case: str, spring_alone: bool = False) -> Array:
    """Angle of a case's pendulum after each millisecond [rad], from rest at 0, by steps of a twentieth of one."""
    joint, targets, fine = dict(CASES.get(case, {})), steps().tolist(), 20
    common = joint.pop("common", {})
    given = {"armature": 0.0, "damping": 0.0, "friction": 0.0, "backlash": 0.0, "delay": 0.0, **joint}
    stiffness, drive_damping = given.get("stiffness", STIFFNESS), given.get("drive_damping", DAMPING)
    payload = common.get("payload", {"mass": 0.0})["mass"]
    about_y = common.get("gravity_tilt", [0.0, 0.0])[1]
    mass, arm = BARE["rod"] + payload, BARE["arm"]
    inertia = BARE["inertia"] * (1.0 + payload / BARE["rod"]) + given["armature"]
    angle, speed, late, h = 0.0, 0.0, round(given["delay"] / STEP * fine), STEP / fine
    found = []
    for tick in range(len(targets) * fine):
        target = targets[(tick - late) // fine] if tick >= late else 0.0
        error = target - angle
        pressed = math.copysign(max(abs(error) - 0.5 * given["backlash"], 0.0), error)
        limit = given.get("effort_limit", math.inf)
        # MuJoCo and Newton bound the spring of an implicit drive alone, PhysX the whole of it.
        spring = stiffness * pressed
        if spring_alone:
            spring = min(max(spring, -limit), limit)
        torque = spring - drive_damping * speed
        if given["backlash"] and torque * pressed <= 0.0:
            torque = 0.0
        torque = torque if spring_alone else min(max(torque, -limit), limit)
        # Gravity turns about y by about_y; the rod lies along x.
        torque += mass * arm * 9.81 * math.cos(angle - about_y) - given["damping"] * speed
        free = speed + torque / inertia * h
        braked = given["friction"] / inertia * h
        speed = math.copysign(max(abs(free) - braked, 0.0), free)
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
    """Targets of a third of a second: up, further, and back."""
    return np.repeat([0.3, 0.5, 0.1], [100, 100, 130])


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
    """Delay, backlash, friction, gains, bounds and loads: an environment each, within 4 mrad of its equation."""
    bound = 0.004
    ones = [dynamics(case.get("common"), **{k: v for k, v in case.items() if k != "common"}) for case in CASES.values()]
    found = played(pendulum(*ones), steps())
    for column, name in enumerate(CASES):
        wanted = integrated(name, kind != "maniskill")[9::10]
        assert np.abs(found[:, column] - wanted).max() < bound, f"{name} in {kind}"
        assert np.abs(wanted - integrated("nothing")[9::10]).max() > 4 * bound, f"{name} changes nothing"


@pytest.fixture
def in_mujoco(robot_file: Callable[[str], Path], setup_of: Callable[..., PlantSetup], stand_up: Make) -> Make:
    """The pendulum in MuJoCo, in as many environments as are asked for."""

    def make(given: Dynamics, *, num_envs: int = 1, seed: int = 0, robot: str = "pendulum.urdf", **options: Any) -> Any:
        numbers: dict[str, Any] = {"stiffness": STIFFNESS, "damping": DAMPING, "timestep": STEP, "floating": False}
        path, setup = robot_file(robot), setup_of(("swing",), **(numbers | options))
        return with_dynamics(stand_up("mujoco", path, setup, num_envs=num_envs), setup, path, (given,), seed=seed)

    return make


def test_encoders_read_what_they_are_said_to(in_mujoco: Make) -> None:
    """Gain, offset, steps and noise stand in the reading alone; the same seed reads the same, another does not."""
    plain = in_mujoco(dynamics({"encoder_step": 0.01}, gain=1.1, offset=0.2))
    state, truth = PlantState.allocate(1, 1), PlantState.allocate(1, 1)
    plain.reset(np.array([[0.4]]))
    plain.read(state)
    plain.truth(truth)
    assert truth.joint_pos[0, 0] == pytest.approx(0.4)
    assert state.joint_pos[0, 0] == pytest.approx(0.64)
    noisy = [in_mujoco(dynamics({"encoder_noise": 0.01}), num_envs=2, seed=seed) for seed in (3, 3, 4)]
    first, same, other = (played(plant, np.full(1000, 0.3)) for plant in noisy)
    assert (first == same).all()
    assert (first[:, 0] != first[:, 1]).all()
    assert not (first == other).any()
    assert np.std(first[50:, 0] - first[50:, 1]) == pytest.approx(0.01 * np.sqrt(2.0), rel=0.3)
    noisy[0].read(state := PlantState.allocate(2, 1))
    before = state.joint_pos.copy()
    noisy[0].read(state)
    assert (state.joint_pos == before).all(), "one moment has one reading"


def test_an_empty_document_changes_no_number(in_mujoco: Make) -> None:
    """Dynamics that state nothing leave a plant as it is, bit for bit."""
    plant = in_mujoco(dynamics())
    wanted = played(plant._plant, steps())
    assert (played(plant, steps()) == wanted).all()


def test_a_whole_step_of_delay_is_a_step_later(in_mujoco: Make) -> None:
    """Delayed by ten physics steps, the pendulum does what it did, a control step later, once gravity is out of it."""
    setup = {"gravity_compensation": True}
    prompt = played(in_mujoco(dynamics(), **setup), steps())
    late = played(in_mujoco(dynamics(delay=0.01), **setup), steps())
    np.testing.assert_allclose(late[1:], prompt[:-1], atol=1e-12)


@pytest.mark.parametrize(
    ("joint", "common", "options", "says"),
    [
        ({}, {"gravity_tilt": [0.1, 0.0]}, {"gravity_compensation": True}, "does not feel gravity"),
        ({}, {"payload": {"link": "rodd", "mass": 0.1}}, {}, "no link 'rodd'; did you mean 'rod'"),
    ],
)
def test_what_a_robot_cannot_have_is_refused(
    joint: dict[str, Any], common: dict[str, Any], options: dict[str, Any], says: str, in_mujoco: Make
) -> None:
    """Play without a drive of known stiffness, a lean that nothing feels, a link that is not there: each by name."""
    with pytest.raises((DynamicsError, RobotError), match=says):
        in_mujoco(dynamics(common, **joint), **options)


def test_play_needs_a_drive_whose_gains_are_known(setup_of: Callable[..., PlantSetup]) -> None:
    """Under the robot file's own actuators backlash is refused; with the contract's gains, as the message says, not."""
    with pytest.raises(DynamicsError, match="the play is between .* Write kind: implicit or explicit"):
        check_setup(dynamics(backlash=0.01), setup_of(("swing",), actuation="model"))
    check_setup(dynamics(backlash=0.01), setup_of(("swing",), actuation="implicit", stiffness=20.0, damping=1.0))


def test_physx_damps_a_drive_to_velocities_towards_its_target(
    robot_file: Callable[[str], Path], setup_of: Callable[..., PlantSetup], stand_up: Make
) -> None:
    """There the joint's own damping is refused by name; --plant mujoco takes it, and so does PhysX without it."""
    setup = setup_of(("swing",), stiffness=0.0, damping=1.0, floating=False)
    setup = replace(setup, joints=tuple(replace(joint, drive="velocity") for joint in setup.joints))
    path, own = robot_file("pendulum.urdf"), (dynamics(damping=0.5),)
    with pytest.raises(RobotError, match="leave the joint's own damping out, or use --plant mujoco"):
        with_dynamics(stand_up("maniskill", path, setup), setup, path, own)
    with_dynamics(stand_up("mujoco", path, setup), setup, path, own)
    with_dynamics(stand_up("maniskill", path, setup), setup, path, (dynamics(friction=0.1),))


def test_a_delay_is_shorter_than_an_episode() -> None:
    """A robot that would not move before its episode is over is refused."""
    check_delay(dynamics(delay=0.4), 0.5)
    with pytest.raises(DynamicsError, match="0.4 s is no shorter than an episode of 0.4 s"):
        check_delay(dynamics(delay=0.4), 0.4)
