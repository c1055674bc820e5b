"""Learned actuators in every simulator, and the mistakes in their layout that would otherwise run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics, load_dynamics
from policy_port.errors import DynamicsError, RobotError
from policy_port.plants.dynamic import with_dynamics
from policy_port.plants.physics import apply_effort
from policy_port.plants.setup import PlantSetup
from tests.plants.learned import BOUND, ERRORS, INPUTS, LSTM_INPUTS, VELOCITIES, Lstm, document, go1, save


class Constant(torch.nn.Module):
    """A network that always pushes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One output a row."""
        return x.sum(dim=1, keepdim=True) * 0.0 + 5.0


Make = Callable[..., Any]
STEP = 0.001
STEPS = {"mujoco": 400, "maniskill": 200, "newton": 100}
"""Newton's are the slowest."""


@pytest.fixture
def pendulum(robot_file: Callable[[str], Path], setup_of: Callable[..., PlantSetup], stand_up: Make) -> Make:
    """A pendulum under dynamics in a simulator."""

    def make(kind: str, given: Dynamics, **options: Any) -> Any:
        numbers: dict[str, Any] = {"stiffness": 40.0, "damping": 2.0, "timestep": STEP, "floating": False}
        setup = setup_of(("swing",), **(numbers | options))
        path = robot_file("pendulum.urdf")
        return with_dynamics(stand_up(kind, path, setup, num_envs=2), setup, path, (given,))

    return make


def played(plant: Any, steps: int = 400) -> Array:
    """Angles of both environments each 10 ms after a step of the targets to 0.3 and 0.1 rad."""
    state, found = PlantState.allocate(2, 1), []
    plant.reset(np.zeros((2, 1)))
    plant.write(np.array([[0.3], [0.1]]))
    for _ in range(steps // 10):
        plant.step(10)
        plant.read(state)
        found.append(state.joint_pos[:, 0].copy())
    return np.array(found)


def integrated(target: float, steps: int = 400, drive: float = 0.0) -> Array:
    """The same by the pendulum's equation, whose rod of 1 kg lies along x."""
    angle, speed, angles, speeds, found = 0.0, 0.0, [], [], []
    for tick in range(steps):
        angles.append(target - angle)
        speeds.append(speed)
        old = [(angles[at], speeds[at]) if (at := tick - 5 * lag) >= 0 else (0.0, 0.0) for lag in range(3)]
        ask = sum(k * e - d * v for (e, v), k, d in zip(old, ERRORS, VELOCITIES, strict=True))
        torque = ask / (1.0 + abs(ask) / BOUND)
        for _ in range(20):
            pull = 9.81 * 0.3 * np.cos(angle) + drive * (40.0 * (target - angle) - 2.0 * speed)
            speed += (torque + pull) / 0.19 * STEP / 20
            angle += speed * STEP / 20
        if tick % 10 == 9:
            found.append(angle)
    return np.array(found)


@pytest.mark.parametrize("kind", ["mujoco", "maniskill", "newton"])
def test_a_network_drives_each_simulator_as_its_equation_says(pendulum: Make, tmp_path: Path, kind: str) -> None:
    """walk-these-ways' layout, its history 5 ms apart under steps of 1 ms, in two environments at once."""
    plant = pendulum(kind, document(go1(tmp_path / "go1.pt")))
    found = played(plant, STEPS[kind])
    for row, target in enumerate((0.3, 0.1)):
        assert np.abs(found[:, row] - integrated(target, STEPS[kind])).max() < 0.004
    assert (plant.effort() < -1.0).all(), "what holds the rod up is told as effort"
    assert np.array_equal(played(plant, STEPS[kind]), found), "a reset forgets the history"


def test_each_layout_settles_on_its_target(pendulum: Make, tmp_path: Path) -> None:
    """ONNX and TorchScript give the same motion; an LSTM's state is each environment's and joint's own."""
    torchscript = played(pendulum("mujoco", document(go1(tmp_path / "a.pt"))), 200)
    onnx = played(pendulum("mujoco", document(go1(tmp_path / "a.onnx"))), 200)
    assert np.abs(onnx - torchscript).max() < 1e-4
    lstm = pendulum("mujoco", document(save(Lstm(), tmp_path / "lstm.pt"), LSTM_INPUTS))
    found = played(lstm, 1000)
    assert np.abs(found[-1] - [0.3, 0.1]).max() < 0.12
    assert np.array_equal(played(lstm, 200), found[:20])


@pytest.mark.parametrize("kind", ["mujoco", "maniskill"])
def test_a_residual_comes_on_top_of_the_drive(pendulum: Make, tmp_path: Path, kind: str) -> None:
    """As a torque, and as the acceleration that gives the same torque on an inertia of 0.19 kg m^2."""
    torque = document(go1(tmp_path / "a.onnx"), output="residual_torque")
    expected = integrated(0.3, 200, drive=1.0)
    assert np.abs(played(pendulum(kind, torque), 200)[:, 0] - expected).max() < 0.004
    if kind == "mujoco":
        text = (tmp_path / "dynamics.yaml").read_text().replace("residual_torque", "residual_acceleration")
        (tmp_path / "dynamics.yaml").write_text(text + f"  output_scale: {1 / 0.19}\n")
        found = played(pendulum(kind, load_dynamics(tmp_path / "dynamics.yaml")), 200)
        assert np.abs(found[:, 0] - expected).max() < 0.004


EXCHANGED = """
  - {name: velocity, lags: [0, 1, 2]}
  - {name: position_error, lags: [0, 1, 2], scale: -1.0}"""
MISTAKES = {
    "sign": (INPUTS.replace("-1.0", "1.0"), "", "pushes away from the target. It behaves as one with the sign"),
    "exchanged": (EXCHANGED, "", "with position_error and velocity exchanged under inputs"),
    "exchanged, sign": (EXCHANGED.replace("-1.0", "1.0"), "", "with both exchanged and the sign"),
    "newest last": (INPUTS.replace("0, 1, 2", "2, 1, 0"), "", "with each input's lags the other way round"),
    "degrees": (INPUTS.replace("-1.0", "-57.3"), "", "the contract's 40: a scale is missing, or one too many"),
    "output": (INPUTS, "  output_scale: 0.03\n", "the contract's 40: a scale is missing, or one too many"),
    "turned output": (INPUTS, "  output_scale: -1.0\n", "pushes away from the target"),
    "inputs": (INPUTS.replace("[0, 1, 2], s", "[0, 1], s"), "", "can't be run with"),
    "no state": (LSTM_INPUTS.replace("  state: {layers: 2, width: 8}", ""), "", "can't be run with"),
    "spacing": (INPUTS, "", "no whole number of physics steps of 0.002 s"),
    "joint": (INPUTS, "  joints: [elbow]\n", "have a joint 'elbow'"),
    "drive": (
        INPUTS,
        "joints: {swing: {stiffness: 30.0}}",
        "the network net.onnx takes the place of the joint's drive",
    ),
    "residual": (INPUTS, "", "at rest on its target it adds"),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network in walk-these-ways' layout."""
    return go1(tmp_path_factory.mktemp("network") / "net.onnx")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistaken_layout_is_refused_and_the_right_one_named(pendulum: Make, network: Path, mistake: str) -> None:
    """Whatever runs and is no actuator of this joint: the message says what it does, and what would be one."""
    inputs, more, says = MISTAKES[mistake]
    before = more if more.startswith("joints") else ""
    document(network, inputs, before)
    path = network.with_name("dynamics.yaml")
    path.write_text(path.read_text() + (more if not before else ""))
    given = load_dynamics(path)
    options = {"timestep": 0.002} if mistake == "spacing" else {}
    if mistake == "residual":
        options = {"effort_limit": 0.001}
        given = document(save(Constant(), network.with_name("constant.pt")), output="residual_torque")
    with pytest.raises(DynamicsError, match=re.escape(says)):
        pendulum("mujoco", given, **options)


def test_a_plant_that_cant_be_driven_so_says_its_name(pendulum: Make, network: Path, tmp_path: Path) -> None:
    """A simulator without a way in for torques is named, before anything moves."""
    with pytest.raises(RobotError, match="paper can't be driven by the torque of a learned actuator"):
        apply_effort(SimpleNamespace(name="paper"), np.zeros((1, 1)))  # type: ignore[arg-type]
