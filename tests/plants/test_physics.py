"""Physics per environment: masses, friction, gains, losses, held against laws and against plants set up so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.control.plant import PlantState
from policy_port.errors import RobotError
from policy_port.plants.mujoco_plant import MujocoPlant
from policy_port.plants.physics import Physics, grown, set_physics
from policy_port.plants.setup import JointSetup, PlantSetup

WEIGHT, STEP = 9.81, 0.002
DISC = 0.02
"""Inertia of the disc about its joint [kg m^2]."""


def slider(folder: Path, foot: str = "") -> Path:
    """A block on the ground, and on it a disc with a joint about the vertical that only its drive turns."""
    path = folder / "slider.xml"
    path.write_text(
        f"""<mujoco><worldbody><body name="block" pos="0 0 0.05"><freejoint/><geom type="box" size="0.2 0.2 0.05"
        mass="2" {foot}/><body name="disc" pos="0 0 0.1"><joint name="turn" axis="0 0 1"/><inertial pos="0 0 0" mass="1"
        diaginertia="0.01 0.01 {DISC}"/></body></body></worldbody></mujoco>"""
    )
    return path


def setup(kind: str = "explicit", **joint: Any) -> PlantSetup:
    gains = {"default": 0.0, "stiffness": 3.0, "damping": 0.1, **joint}
    return PlantSetup(
        joints=(JointSetup(name="turn", **gains),),
        actuation=kind,  # type: ignore[arg-type]
        timestep=STEP,
        control_dt=STEP,
        floating=True,
        height=0.05,
    )


Kind = Callable[..., Any]


@pytest.fixture(params=["mujoco", "newton"])
def simulator(request: pytest.FixtureRequest) -> Kind:
    """The plant of a simulator; skipped, saying so, where it is not installed."""
    if request.param == "mujoco":
        return MujocoPlant
    pytest.importorskip("newton")
    from policy_port.plants.newton_plant import NewtonPlant

    return NewtonPlant


def after(plant: Any, steps: int, target: float = 0.0, pull: float = 0.0) -> PlantState:
    """The state `steps` after a start at rest, the drive told `target`, the block pulled along x."""
    plant.reset(np.zeros((plant.num_envs, 1)))
    plant.write(np.full((plant.num_envs, 1), target))
    plant.push("block", np.tile([pull, 0.0, 0.0], (plant.num_envs, 1)))
    plant.step(steps)
    state = PlantState.allocate(plant.num_envs, 1)
    plant.read(state)
    return state


@pytest.mark.parametrize("foot", ["", 'priority="1" friction="0.9"', 'friction="0.2"'])
def test_the_ground_is_as_slippery_as_it_is_set(simulator: Kind, tmp_path: Path, foot: str) -> None:
    """Pulled along, a block accelerates by pull / mass - mu g in each environment, also where the file's foot rules; in
    contacts that take twice as long to come to rest it sinks in more than four times as deep.
    """
    plant = simulator(slider(tmp_path, foot), setup(), num_envs=2)
    plant.set_physics(Physics(ground_friction=np.array([0.3, 0.6]), contact_time=np.array([0.02, 0.04])))
    speed = after(plant, 250, pull=24.0).base_lin_vel[:, 0]
    assert np.allclose(2.0 * speed, 24.0 / 3.0 - np.array([0.3, 0.6]) * WEIGHT, atol=0.15)
    hard, soft = 0.05 - after(plant, 150).base_pos[:, 2]
    assert soft > 4.0 * hard > 0.0
    plant.close()


def test_mass_is_added_where_it_is_said(simulator: Kind, tmp_path: Path) -> None:
    """Without friction the acceleration is pull / mass; gravity turned sideways accelerates by itself."""
    plant = simulator(slider(tmp_path), setup(), num_envs=3)
    slippery = np.full(3, 1e-6)
    added = {"disc": np.array([0.0, 2.0, 0.0])}
    plant.set_physics(Physics(ground_friction=slippery, base_mass=np.array([0.0, 1.0, -1.0]), link_mass=added))
    assert np.allclose(after(plant, 200, pull=6.0).base_lin_vel[:, 0], [0.8, 0.4, 1.2], rtol=0.02)
    tilted = np.array([[g, 0.0, -WEIGHT] for g in (0.0, 0.5, 1.0)])
    plant.set_physics(Physics(ground_friction=slippery, gravity=tilted))
    assert np.allclose(after(plant, 200).base_lin_vel[:, 0], [0.0, 0.2, 0.4], atol=0.008)
    plant.set_physics(Physics())
    assert np.allclose(after(plant, 200, pull=6.0).base_lin_vel[:, 0], 0.0, atol=0.01), "the file's friction holds it"
    plant.close()


@pytest.mark.parametrize("kind", ["explicit", "implicit"])
def test_drives_set_later_are_drives_set_up(simulator: Kind, tmp_path: Path, kind: str) -> None:
    """Gains, armature and limit given to one environment are those of a plant set up with them, bit for bit."""
    wanted = {"stiffness": 5.0, "damping": 0.3, "armature": 0.05, "effort_limit": 0.8}
    plain = simulator(slider(tmp_path), setup(kind), num_envs=2)
    meant = simulator(slider(tmp_path), setup(kind, **wanted))
    before = after(plain, 100, target=0.5).joint_pos[0, 0]
    plain.set_physics(
        Physics(**{key: np.array([[3.0 if key == "stiffness" else 0.1], [value]]) for key, value in wanted.items()})
    )
    found = after(plain, 100, target=0.5)
    assert found.joint_pos[1] == after(meant, 100, target=0.5).joint_pos[0]
    assert found.joint_pos[1] != before
    assert np.allclose(plain.effort()[1], meant.effort()[0])
    plain.set_physics(Physics())
    assert after(plain, 100, target=0.5).joint_pos.tolist() == [[before], [before]]
    plain.close(), meant.close()


def test_losses_of_a_joint_are_no_work_of_its_drive(simulator: Kind, tmp_path: Path) -> None:
    """Friction and own damping brake the joint, and what the drive is said to apply does not hold them."""
    plant = simulator(slider(tmp_path), setup("implicit", stiffness=0.0, damping=0.2, drive="effort"), num_envs=3)
    plant.set_physics(
        Physics(joint_damping=np.array([[0.0], [0.3], [0.0]]), joint_friction=np.array([[0.0], [0.0], [0.05]]))
    )
    state = after(plant, 300, target=0.1)
    speed = state.joint_vel[:, 0]
    assert np.allclose(speed, [0.1 / 0.2, 0.1 / 0.5, 0.05 / 0.2], rtol=0.05)
    assert np.allclose(plant.effort()[:, 0], 0.1 - 0.2 * speed, atol=0.005)
    plant.close()


def test_what_can_not_be_is_refused(simulator: Kind, tmp_path: Path) -> None:
    """Another shape, NaN, no mass left, an unknown link and a plant that can't: each by name."""
    plant = simulator(slider(tmp_path), setup(), num_envs=2)
    for physics, words in (
        (Physics(stiffness=np.ones(2)), r"stiffness has shape \(2,\), this plant's is \(2, 1\)"),
        (Physics(gravity=np.full((2, 3), np.nan)), "gravity is NaN"),
        (Physics(ground_friction=np.array([0.4, -0.1])), "ground_friction is -0.1"),
        (Physics(effort_limit=np.zeros((2, 1))), "effort_limit is 0"),
        (Physics(base_mass=np.array([0.0, -2.0])), "'block' weighs 2.000 kg, and -2.000 kg"),
        (Physics(link_mass={"disk": np.zeros(2)}), "no link 'disk'; did you mean 'disc'"),
    ):
        with pytest.raises(RobotError, match=words):
            plant.set_physics(physics)
    assert after(plant, 5).joint_pos.shape == (2, 1), "a refused physics leaves the plant as it was"
    plant.close()
    with pytest.raises(RobotError, match="link 'tip' weighs nothing, so it has no inertia to grow; name one that has"):
        grown(0.0, 0.5, "tip", tmp_path)

    class Bare:
        name = "toy 1"

    set_physics(Bare(), Physics())  # type: ignore[arg-type]
    with pytest.raises(RobotError, match="toy 1 can't set base_mass"):
        set_physics(Bare(), dataclasses.replace(Physics(), base_mass=np.zeros(1)))  # type: ignore[arg-type]


def all_fields(joints: int) -> Physics:
    """Every field said of environments 0 and 2, and nothing of environment 1."""

    def of(one: float, other: float, silent: float = np.nan) -> np.ndarray:
        return np.array([one, silent, other])

    each = {"stiffness": of(40, 15), "damping": of(2, 0.5), "joint_damping": of(0.3, 0.1), "armature": of(0.02, 0.05)}
    each["joint_friction"] = of(0.2, 0.1)
    return Physics(
        **{key: np.tile(numbers[:, None], joints) for key, numbers in {**each, "effort_limit": of(2, 5)}.items()},
        ground_friction=of(0.2, 0.9),
        base_mass=of(1.0, -0.5),
        link_mass={"a_shin": of(0.3, 0.1, 0.0)},
        gravity=np.array([[1.0, 0.0, -9.0], [0.0, 0.0, -WEIGHT], [0.0, 0.5, -WEIGHT]]),
    )


BOTH = pytest.param("implicit", (True, False), marks=pytest.mark.slow, id="both solvers")


@pytest.mark.parametrize(("kind", "solvers"), [("explicit", (True,)), BOTH])
def test_worlds_of_newton_keep_their_physics_to_themselves(
    kind: str,
    solvers: tuple[bool, ...],
    robot_file: Kind,
    setup_of: Kind,
) -> None:
    """Its two solvers agree; of whom nothing is said moves as before, bit for bit; taken back, so does everyone."""
    pytest.importorskip("newton")
    from policy_port.plants.newton_plant import NewtonPlant

    joints = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))
    set_up = setup_of(joints, actuation=kind, stiffness=20.0, damping=1.0, defaults=dict.fromkeys(joints, 0.1))
    path, told = robot_file("tripod.urdf"), []
    for native in solvers:
        plant = NewtonPlant(path, set_up, num_envs=3, native=native)

        def moved(plant: Any = plant) -> np.ndarray:
            plant.reset(np.full((3, 6), 0.1))
            plant.write(np.full((3, 6), 0.3))
            plant.step(20)
            plant.read(state := PlantState.allocate(3, 6))
            return np.concatenate([state.joint_pos, state.joint_vel, state.base_lin_vel, plant.effort()], axis=1)

        before = moved()
        plant.set_physics(all_fields(6))
        found = moved()
        told.append(found)
        assert (found[1] == before[1]).all()
        assert (np.abs(found - before)[[0, 2]].max(axis=1) > 0.1).all()
        plant.set_gains(np.full(6, 20.0), np.full(6, 1.0))
        assert not np.allclose(moved()[0], before[0], atol=0.01), "what is no gain stays when gains change"
        plant.set_physics(Physics())
        assert (moved() == before).all()
    np.testing.assert_allclose(told[-1], told[0], atol=1e-4)


def test_environments_that_are_told_the_same_share_a_model(tmp_path: Path) -> None:
    """Of four environments two are told alike: three models are made, and each behaves as it was told."""
    plant = MujocoPlant(slider(tmp_path), setup(), num_envs=4)
    mass = np.array([0.0, 1.0, 0.0, 1.0])
    plant.set_physics(Physics(base_mass=mass, link_mass={"disc": np.array([0.0, 0.5, 0.0, 0.7])}))
    assert len({id(model) for model in plant._models}) == 3
    assert plant._models[0] is plant._models[2]
    weight = [float(model.body("block").mass[0]) for model in plant._models]
    assert weight == pytest.approx([2.0, 3.0, 2.0, 3.0])
    plant.close()
