"""Networks of actuators in the layouts of others, as files; made of numbers, not trained."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from policy_port.dynamics.document import Dynamics, load_dynamics
from policy_port.files import sha256

BOUND = 30.0
"""What a network's torque tends to [N m]."""
ERRORS, VELOCITIES = (200.0, -60.0, -100.0), (1.2, 0.5, 0.3)
"""Torque per error [N m/rad] and per velocity [N m s/rad], now and one and two spacings ago."""


class Mlp(nn.Sequential):
    """walk-these-ways' layout: position less target at t, t-1, t-2, then velocity; softsign; one torque."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__(nn.Linear(len(weights), 1, bias=False), nn.Softsign(), nn.Linear(1, 1, bias=False))
        with torch.no_grad():
            self[0].weight[:] = torch.tensor(weights) / BOUND
            self[2].weight[:] = BOUND


class Lstm(nn.Module):
    """legged_gym's anydrive_v3_lstm: target less position and velocity, two layers of eight units."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.linear = nn.LSTM(2, 8, 2, batch_first=True), nn.Linear(8, 1, bias=False)
        with torch.no_grad():
            for name, weight in self.lstm.named_parameters():
                # One unit carries stiffness, another damping; the gates are half open, and forget at once.
                weight.zero_()
                if name.startswith("bias_hh"):
                    weight[8:16] = -8.0
            for layer, rows in ((0, ((0, 0.4), (1, 0.05))), (1, ((0, 2.0), (1, 2.0)))):
                for unit, value in rows:
                    getattr(self.lstm, f"weight_ih_l{layer}")[16 + unit, unit] = value
            self.linear.weight[0, 0], self.linear.weight[0, 1] = 800.0, -300.0

    def forward(self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]) -> Any:
        """One step of rows, shape (rows, 1, 2)."""
        out, after = self.lstm(x, state)
        return self.linear(out[:, -1]), after


def save(module: nn.Module, path: Path) -> Path:
    """Write a network as TorchScript, or as ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".onnx":
            names = {"input_names": ["rows"], "output_names": ["torque"], "dynamic_axes": {"rows": {0: "n"}}}
            torch.onnx.export(module, (torch.zeros(1, 6),), str(path), dynamo=False, **names)
        else:
            torch.jit.script(module).save(str(path))
    return path


def go1(path: Path, *, error: float = -1.0) -> Path:
    """A network in walk-these-ways' layout."""
    return save(Mlp((*(error * number for number in ERRORS), *(-number for number in VELOCITIES))), path)


INPUTS = """
  - {name: position_error, lags: [0, 1, 2], scale: -1.0}
  - {name: velocity, lags: [0, 1, 2]}"""
"""What that layout is stated as."""
LSTM_INPUTS = """
  - {name: position_error}
  - {name: velocity}
  state: {layers: 2, width: 8}"""


def document(network: Path, inputs: str = INPUTS, more: str = "", output: str = "torque") -> Dynamics:
    """Dynamics with a network, beside which they lie."""
    path = network.with_name("dynamics.yaml")
    path.write_text(
        f"policy_port_dynamics: 1\nrobot: {{file: pendulum.urdf}}\n{more}\nactuator:\n  file: {network.name}\n"
        f"  sha256: {sha256(network)}\n  spacing: 0.005\n  output: {output}\n  inputs:{inputs}\n"
    )
    return load_dynamics(path)
