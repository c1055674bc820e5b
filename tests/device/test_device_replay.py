"""Control on the device against control on the host, on the CPU: the same policy, robot and episodes by both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import typer
from torch import nn

from policy_port.checkpoints.networks.layers import FeedForwardActor, Normaliser
from policy_port.cli.plant_options import PlantName
from policy_port.cli.play import PlayOptions, _on_device
from policy_port.contract import Contract
from policy_port.device.job import MANY, OnDevice, device_job
from policy_port.errors import TaskError
from policy_port.export.onnx_graph import build_onnx
from policy_port.export.torchscript import save_torchscript
from policy_port.export.tracing import trace
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay import held_metrics
from policy_port.replay.held import Held, replay_held
from policy_port.trace import Trace
from tests.plants.conftest import tripod_mjcf

pytest.importorskip("newton")

JOINTS = ("c_knee", "a_hip", "b_knee", "a_knee", "c_hip", "b_hip")
"""Another order than the robot's."""
EPISODES = 5


def tripod_contract(**changes: Any) -> Contract:
    """A policy for the tripod that is told a velocity and a goal, and sees two steps."""
    terms: list[dict[str, Any]] = [
        {"term": name}
        for name in ("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command", "joint_pos_rel")
    ]
    terms += [{"term": "joint_vel", "scale": 0.1, "history": 2}, {"term": "last_action"}]
    goal = {"term": "goal", "name": "wish", "size": 2, "frame": "none", "low": [-2.0, -2.0], "high": [2.0, 2.0]}
    return Contract.model_validate(
        {
            "contract_version": 1,
            "name": "tripod",
            "robot": "none",
            "trained_in": "nowhere",
            "quaternion_order": "wxyz",
            "timestep": 0.005,
            "decimation": 3,
            "base": {"floating": True, "frame": "imu", "min_height": 0.3, "max_tilt": 0.27},
            "actuation": {"kind": "implicit"},
            "joints": {
                name: {"default": 0.1 * place, "stiffness": 30.0, "damping": 1.0, "effort_limit": 4.0}
                for place, name in enumerate(JOINTS)
            },
            "observation": {
                "terms": [*terms, goal],
                "history": {"layout": "term_major", "order": "oldest_first", "fill": "first"},
            },
            "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
        }
        | changes
    )


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Pilot:
    folder, contract = tmp_path_factory.mktemp("port"), tripod_contract()
    torch.manual_seed(0)
    width, size = contract.observation_size, contract.action_size
    actor = FeedForwardActor(
        normaliser=Normaliser(torch.zeros(width), torch.ones(width), None),
        layers=nn.Sequential(nn.Linear(width, 16), nn.ELU(), nn.Linear(16, size)),
        head=nn.Identity(),
        obs_size=width,
        action_size=size,
    ).eval()
    traced = trace(actor)
    onnx.save_model(build_onnx(traced, actor), folder / "policy.onnx")
    save_torchscript(folder / "policy.pt", traced, actor, {})
    return Pilot(onnx=folder / "policy.onnx", torchscript=folder / "policy.pt", network_contract=contract)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from policy_port.plants.newton_plant import NewtonPlant

    path = tmp_path_factory.mktemp("robot") / "tripod.xml"
    path.write_text(tripod_mjcf())
    return NewtonPlant(path, PlantSetup.from_contract(tripod_contract()), num_envs=2)


HELD = Held(command=(0.3, 0.0, 0.1), seconds=0.57, goals={"wish": "draw"}, episodes=EPISODES, seed=3)


@pytest.fixture(scope="module")
def by_host(pilot: Pilot, plant: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Trace]:
    path = tmp_path_factory.mktemp("host") / "trace.npz"
    return replay_held(pilot, plant, HELD, decimation=3, trace=path), Trace(path)


def on_device(pilot: Pilot, plant: Any, held: Held = HELD, spoil: Callable[[Any], None] = lambda replay: None) -> Any:
    from policy_port.device.held import DeviceReplay

    replay = DeviceReplay(pilot, plant, held, held.goals_of(pilot.contract))
    spoil(replay)
    replay.run()
    return replay


def test_episodes_come_out_as_on_the_host(pilot: Pilot, plant: Any, by_host: tuple[Any, Trace]) -> None:
    """Five episodes in two environments: lengths, falls and every metric are those of the trace."""
    host, recorded = by_host
    sums = on_device(pilot, plant).sums
    lasted, fallen = sums.lasted[:-1].numpy(), sums.fallen[:-1].numpy()
    assert 0 < fallen.sum() < EPISODES, "some fall and are reset while others go on"
    episodes = recorded.header["episodes"]
    assert lasted.tolist() == [int((recorded["episode"][:, e["env"]] == e["episode"]).sum()) for e in episodes]
    found = held_metrics.held_metrics(
        sums.figures(), pilot.contract, lasted, fallen, seconds=HELD.seconds, commanded=True
    )
    for mine, metric in zip(found, host.metrics, strict=True):
        assert mine.key == metric.key
        assert (mine.value is None) == (metric.value is None), metric.key
        assert mine.value is None or mine.value == pytest.approx(metric.value, rel=2e-3, abs=1e-5), metric.key


def first_targets(replay: Any, steps: int) -> np.ndarray:
    told = []
    for _ in range(steps):
        replay.step()
        told.append(replay.controller.target.numpy().copy())
    return np.stack(told)


def test_targets_are_those_of_the_host(pilot: Pilot, plant: Any, by_host: tuple[Any, Trace]) -> None:
    """To 1e-6 in the first steps, in which the physics can't drift apart yet."""
    from policy_port.device.held import DeviceReplay

    replay = DeviceReplay(pilot, plant, HELD, HELD.goals_of(pilot.contract))
    with torch.inference_mode():
        np.testing.assert_allclose(first_targets(replay, 5), by_host[1]["target"][:5], atol=1e-6)


def forget_nothing(replay: Any) -> None:
    replay.controller.reset = lambda rows: None


def other_rows(replay: Any) -> None:
    replay._goals[:-1] = replay._goals[:-1].roll(1, 0)


def other_joints(replay: Any) -> None:
    replay.controller._from_plant.copy_(replay.controller._from_plant.flip(0))


def late_reset(replay: Any) -> None:
    replay.plant.settle = lambda rows: None


@pytest.mark.parametrize("spoil", [forget_nothing, other_rows, other_joints, late_reset])
def test_a_mistake_shows_in_the_figures(
    spoil: Callable[[Any], None], pilot: Pilot, plant: Any, by_host: tuple[Any, Trace]
) -> None:
    """A stale state after a masked reset, rows or joints in another order, links left where they were."""
    replay = on_device(pilot, plant, spoil=spoil)
    found = held_metrics.mean([each.rate for each in replay.sums.figures()])
    assert found != pytest.approx(by_host[0]["action_rate"], rel=5e-3), spoil.__name__


def test_the_tensors_are_the_plants_own_memory(pilot: Pilot, plant: Any) -> None:
    """What is written into a view is what the plant reads, and the other way round; nothing is copied."""
    from policy_port.control.plant import PlantState
    from policy_port.plants.newton_tensors import NewtonTensors

    plant.reset(np.full((2, 6), 0.2))
    tensors = NewtonTensors(plant)
    held = {name: array.data_ptr() for name, array in tensors.state.items()}
    tensors.write(torch.full((2, 6), 0.5))
    tensors.step(7)
    tensors.read()
    state = PlantState.allocate(2, 6)
    plant.read(state)
    for name, array in tensors.state.items():
        np.testing.assert_allclose(array.numpy(), getattr(state, name), atol=1e-6, err_msg=name)
        assert array.data_ptr() == held[name]
    np.testing.assert_allclose(tensors.effort().numpy(), plant.effort(), atol=1e-4)
    before = state.joint_pos[1].copy()
    rows = torch.tensor([True, False])
    tensors.reset(rows, tensors.starts(np.full((1, 6), -0.3)))
    tensors.settle(rows)
    plant.read(state)
    np.testing.assert_allclose(state.joint_pos[0], -0.3, atol=1e-6)
    np.testing.assert_array_equal(state.joint_pos[1], before)
    assert not plant.effort()[0].any()


def test_a_port_without_torchscript_is_told_what_to_do(pilot: Pilot) -> None:
    """The message names the file and the option that writes it; a port written so runs there."""
    without = dataclasses.replace(pilot, torchscript=None)
    with pytest.raises(TaskError, match=r"holds no policy.pt.*--format torchscript,onnx.*leave --no-trace out"):
        device_job(without, HELD, trace=False, num_envs=4, others={})
    assert isinstance(device_job(pilot, HELD, trace=False, num_envs=4, others={}), OnDevice)


def test_what_needs_the_host_stays_there(pilot: Pilot) -> None:
    """Asked for, it is refused, and without --no-trace it runs; of many environments it is told why; few are traced."""
    needs = {"--plot": True, "--video": False}
    with pytest.raises(TaskError, match=r"and --plot needs the host: leave --no-trace out"):
        device_job(pilot, HELD, trace=False, num_envs=4, others=needs)
    assert device_job(pilot, HELD, trace=None, num_envs=4, others=needs) == ""
    assert device_job(pilot, HELD, trace=None, num_envs=MANY + 1, others=needs) == "--plot needs the host"
    assert isinstance(device_job(pilot, HELD, trace=None, num_envs=MANY + 1, others={}), OnDevice)
    assert device_job(pilot, HELD, trace=True, num_envs=MANY + 1, others={}) == ""


def test_the_option_goes_with_newton(pilot: Pilot, tmp_path: Path) -> None:
    """Another simulator has no device of its own: refused with the option's name; on Newton it is taken."""
    options = PlayOptions(ports=[tmp_path], out=tmp_path, plant=PlantName.MUJOCO, trace=False)
    with pytest.raises(typer.BadParameter, match="--trace and --no-trace go with --plant newton, not with mujoco"):
        _on_device(options, pilot, HELD)
    assert isinstance(_on_device(dataclasses.replace(options, plant=PlantName.NEWTON), pilot, HELD), OnDevice)
    assert _on_device(dataclasses.replace(options, trace=None), pilot, HELD) is HELD
