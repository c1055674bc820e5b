"""Environments in several processes are those of one process, bit for bit."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract.place import Place
from policy_port.control.plant import PlantState
from policy_port.errors import MissingDependencyError, RobotError
from policy_port.plants.process_plant import ProcessPlant
from policy_port.plants.registry import make_plant

NAMES = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))


def trajectory(plant: Any) -> list[np.ndarray]:
    """Resets of all and of some rows, other targets in each row, links, efforts: what a loop sees of a plant."""
    joints, seen = len(plant.joint_names), []
    state = PlantState.allocate(plant.num_envs, joints)
    rng = np.random.default_rng(1)
    plant.reset(rng.uniform(-0.3, 0.3, (plant.num_envs, joints)))
    for step in range(6):
        if step == 3:
            plant.reset(rng.uniform(-0.3, 0.3, (plant.num_envs, joints)), np.arange(plant.num_envs) % 2 == 0)
        if step == 2:
            plant.push("b_shin", rng.uniform(-5.0, 5.0, (plant.num_envs, 3)))
            plant.set_gains(np.full(joints, 30.0), np.full(joints, 1.0))
        plant.read(state)
        seen += [state.joint_pos.copy(), state.joint_vel.copy(), state.base_pos.copy(), state.base_quat.copy()]
        seen += [state.base_lin_vel.copy(), state.base_ang_vel.copy(), plant.link_position("a_shin")]
        plant.write(rng.uniform(-0.5, 0.5, (plant.num_envs, joints)))
        plant.step(4)
        seen.append(plant.effort().copy())
    return seen


@pytest.mark.parametrize("kind", ["mujoco", "maniskill"])
def test_rows_do_not_depend_on_the_number_of_processes(kind: str, robot_file, setup_of) -> None:
    """Five environments in two processes move as in one; a process that had the wrong rows would differ."""
    pytest.importorskip("mujoco" if kind == "mujoco" else "sapien")
    path, setup = robot_file("tripod.urdf"), setup_of(NAMES, stiffness=20.0, damping=0.5)
    alone, shared = (make_plant(kind, path, setup, num_envs=5, processes=processes) for processes in (1, 2))
    with contextlib.closing(alone), contextlib.closing(shared):
        assert shared.joint_names == alone.joint_names
        assert (shared.num_envs, shared.timestep) == (5, alone.timestep)
        assert shared.name == f"{alone.name}, 2 processes"
        for one, other in zip(trajectory(alone), trajectory(shared), strict=True):
            np.testing.assert_array_equal(one, other)
        for place in ("com", Place(site="sensor")):
            one, other = alone.mounting(place), shared.mounting(place)
            assert one.position.shape == (5, 3)
            np.testing.assert_array_equal(one.position, other.position)
            np.testing.assert_array_equal(one.rotation, other.rotation)
        # The errors are the plant's own.
        with pytest.raises(RobotError, match="no (site or )?link"):
            shared.link_position("nowhere") if kind == "mujoco" else shared.mounting(Place(site="nowhere"))
    shared.close()


def test_errors_of_the_robot_reach_the_user(tmp_path: Path, setup_of) -> None:
    """A file that no simulator can load is told as by a single process, and nothing is left running."""
    broken = tmp_path / "broken.urdf"
    broken.write_text("<robot")
    with pytest.raises(RobotError, match=r"broken\.urdf"):
        make_plant("mujoco", broken, setup_of(NAMES, stiffness=20.0, damping=0.5), num_envs=2, processes=2)


def test_cuda_is_not_shared_out(robot_file, setup_of, tmp_path, monkeypatch) -> None:
    """A batch on a GPU is one process by its nature; without --processes it goes on, here to what SAPIEN lacks."""
    setup = setup_of(NAMES, stiffness=20.0, damping=0.5)
    with pytest.raises(RobotError, match="leave out --processes"):
        make_plant("newton", robot_file("tripod.urdf"), setup, num_envs=2, device="cuda", processes=2)
    pytest.importorskip("mani_skill")
    monkeypatch.setenv("HOME", str(tmp_path))
    on_gpu = {"num_envs": 2, "sim_backend": "physx_cuda"}
    with pytest.raises(RobotError, match="leave out --processes"):
        make_plant("maniskill", robot_file("tripod.urdf"), setup, **on_gpu, processes=2)
    with pytest.raises(MissingDependencyError, match="libPhysXGpu"):
        make_plant("maniskill", robot_file("tripod.urdf"), setup, **on_gpu)


def test_a_process_that_dies_is_an_error(robot_file, setup_of) -> None:
    """A simulator that crashes ends the replay with a word, not with a wait for ever."""
    setup = setup_of(NAMES, stiffness=20.0, damping=0.5)
    make = functools.partial(make_plant, "mujoco", robot_file("tripod.urdf"), setup)
    before = {child.pid for child in multiprocessing.active_children()}
    with contextlib.closing(ProcessPlant(make, num_envs=3, processes=2)) as plant:
        started = sorted(child.pid for child in multiprocessing.active_children() if child.pid not in before)
        os.kill(started[0], signal.SIGKILL)
        with pytest.raises(RobotError, match=r"environments 0 to 1 has died \(exit code -9\)"):
            plant.step(1)
    assert {child.pid for child in multiprocessing.active_children()} <= before
