"""TorchScript files: refused unseen, or turned into an actor with explicit state."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policy_port.checkpoints import LoadedPolicy, load_policy
from policy_port.checkpoints.torchscript.scan import scan_code
from policy_port.errors import CheckpointError, UnsafeFileError
from tests.checkpoints import written


class Normalised(nn.Module):
    """Shifts, scales in float64, clips; ReLU, and a split observation."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.linspace(-1, 1, 9, dtype=torch.float64)
        self.deviation = torch.linspace(0.5, 2, 9, dtype=torch.float64)
        self.first = nn.Linear(5, 16)
        self.last = nn.Linear(20, 3)

    def forward(self, obs: Tensor) -> Tensor:
        x = ((obs - self.mean) / self.deviation).clamp(-1.5, 1.5).to(torch.float32)
        hidden = torch.relu(self.first(x[:, :5]))
        return self.last(torch.cat([hidden, x[:, 5:]], dim=-1))


class Recurrent(nn.Module):
    """An LSTM or GRU whose state lies in buffers that forward() overwrites."""

    def __init__(self, kind: str, layers: int) -> None:
        super().__init__()
        self.memory = nn.LSTM(6, 8, layers) if kind == "lstm" else nn.GRU(6, 8, layers)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.ELU(inplace=True), nn.Linear(8, 3))
        self.register_buffer("hidden_state", torch.zeros(layers, 1, 8))
        self.register_buffer("cell_state", torch.zeros(layers, 1, 8))


class Lstm(Recurrent):
    def forward(self, x: Tensor) -> Tensor:
        out, (h, c) = self.memory(x.unsqueeze(0), (self.hidden_state, self.cell_state))
        self.hidden_state[:] = h
        self.cell_state[:] = c
        return self.head(out.squeeze(0))

    @torch.jit.export
    def reset(self) -> None:
        self.hidden_state[:] = 0.0
        self.cell_state[:] = 0.0


class Gru(Recurrent):
    def forward(self, x: Tensor) -> Tensor:
        out, h = self.memory(x.unsqueeze(0), self.hidden_state)
        self.hidden_state = h
        return self.head(out.squeeze(0))


class Cell(nn.Module):
    """A cell with a two-dimensional state that does not start from zero, and no way to clear it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(6 + 4, 4)
        self.head = nn.Linear(4, 2)
        self.register_buffer("memory", torch.full((1, 4), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        self.memory.copy_(torch.tanh(self.cell(torch.cat([x, self.memory], dim=1))))
        return self.head(self.memory)


class Steals(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("/etc/hostname", False, 4).sum()


class Prints(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        print("acting")
        return self.layer(x)


class Branches(Prints):
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() > 0):
            return self.layer(x)
        return -self.layer(x)


class Loops(Prints):
    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        for index in range(3):
            out = out * 0.5 + index
        out += 1.0
        out.mul_(2.0)
        return out.view(x.size(0), -1)


class Counts(Prints):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] == 1:
            return self.layer(x)
        return self.layer(x) * 2


class Stateful(nn.Module):
    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return x + h


class Draws(Prints):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.randn_like(x[:, :2])


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.manual_seed(0)
        torch.jit.save(torch.jit.script(module.eval()), str(path))
    return path


def differences(policy: LoadedPolicy, rows: int, steps: int = 20) -> float:
    """Return the largest difference from the file's own runtime, with state carried along."""
    assert policy.original is not None
    runner = policy.original()
    state = policy.actor.initial_state(rows)
    worst = 0.0
    for step in range(steps):
        obs = written.observations(rows, policy.actor.obs_size, seed=step)
        actions, *state = policy.actor(torch.from_numpy(obs), *state)
        worst = max(worst, float(np.abs(actions.numpy() - runner.step(obs)).max()))
    return worst


def test_a_hidden_normaliser_is_followed(tmp_path: Path) -> None:
    """Float64 attributes, a clip, a split and a join give what torch.jit gives; the width is found."""
    policy = load_policy(script(Normalised(), tmp_path / "policy.pt"))
    assert (policy.actor.obs_size, policy.actor.action_size, policy.actor.state_names) == (9, 3, ())
    assert max(differences(policy, rows) for rows in (1, 7)) < 1e-6


def test_float64_is_float64_all_the_way(tmp_path: Path) -> None:
    """In double precision nothing on the way is rounded to float32."""
    module = Normalised()
    policy = load_policy(script(module, tmp_path / "policy.pt"))
    obs = torch.from_numpy(written.observations(7, 9)).double()
    x = ((obs - module.mean) / module.deviation).clamp(-1.5, 1.5)
    exact = module.double()
    expected = exact.last(torch.cat([torch.relu(exact.first(x[:, :5])), x[:, 5:]], dim=-1))
    actions = policy.actor.double()(obs)[0]
    assert actions.dtype == torch.float64
    assert float((actions - expected).detach().abs().max()) < 1e-14


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_overwritten_buffers_become_state(tmp_path: Path, kind: str, layers: int) -> None:
    """Buffers written in place or assigned become state of any batch, and follow torch.jit row by row."""
    module = Lstm(kind, layers) if kind == "lstm" else Gru(kind, layers)
    policy = load_policy(script(module, tmp_path / "policy.pt"))
    assert policy.actor.state_names == (("h", "c") if kind == "lstm" else ("h",))
    assert policy.actor.state_shapes[0] == (layers, 8)
    assert max(differences(policy, rows) for rows in (1, 7)) < 2e-6


def test_a_state_that_starts_elsewhere_starts_there(tmp_path: Path) -> None:
    """A stored state that nothing clears is the initial state, and the notes mention it."""
    policy = load_policy(script(Cell(), tmp_path / "policy.pt"))
    assert policy.actor.state_shapes == ((1, 4),)
    assert torch.equal(policy.actor.initial_state(3)[0], torch.full((1, 3, 4), 0.5))
    assert any("memory not zero" in note for note in policy.notes)
    assert differences(policy, 3) < 1e-6


def test_the_actor_keeps_nothing_between_calls(tmp_path: Path) -> None:
    """Equal arguments give equal results however often the actor was called."""
    actor = load_policy(script(Lstm("lstm", 1), tmp_path / "policy.pt")).actor
    obs, state = torch.from_numpy(written.observations(2, 6)), actor.initial_state(2)
    first = actor(obs, *state)
    assert all(torch.equal(one, other) for one, other in zip(first, actor(obs, *state), strict=True))
    assert all(not tensor.any() for tensor in state)


def test_loops_and_overwrites_are_unrolled(tmp_path: Path) -> None:
    """A counted loop, in-place arithmetic and a view by batch size are followed."""
    assert differences(load_policy(script(Loops(), tmp_path / "policy.pt")), 7, 3) < 1e-6


def test_reading_a_system_file_is_refused_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """aten::from_file is refused by name, and torch.jit never sees the file."""
    path = script(Steals(), tmp_path / "policy.pt")
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("the file was loaded"))
    with pytest.raises(UnsafeFileError, match=r"line \d+: calls aten::from_file"):
        load_policy(path)


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("torch.save(x, 'a')", "aten::save"),
        ("ops.prim.PythonOp(x)", "prim::PythonOp"),
        ("ops.mine.run(x)", "mine::run"),
        ("open('a')", "language function open"),
        ("__torch__.torch.classes.mine.Thing(x)", "class __torch__.torch.classes.mine.Thing"),
        ("(x).tofile()", "method x.tofile"),
        ("torch.load('a')", "aten::load"),
        ("getattr(x, 'a')(x)", "a computed function"),
    ],
)
def test_foreign_calls_are_refused_by_name(code: str, named: str) -> None:
    """Whatever a network has no need of is refused by its name, in any spelling."""
    source = f"class M(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return {code}\n"
    with pytest.raises(UnsafeFileError) as caught:
        scan_code({"code/m.py": source.encode()}, "file.pt")
    assert f"file.pt: code/m.py, line 3: calls {named}, which" in str(caught.value)


def test_an_alias_does_not_hide_a_call() -> None:
    """A function called through a local name is judged by what the name stands for."""
    source = "def forward(self, x: Tensor) -> Tensor:\n  f = torch.from_file\n  return f('a')\n"
    with pytest.raises(UnsafeFileError, match="aten::from_file"):
        scan_code({"code/m.py": source.encode()}, "file.pt")


def test_code_that_runs_while_loading_is_refused() -> None:
    """__setstate__ would run inside torch.jit.load, so a file with one is refused whatever it does."""
    source = "def __setstate__(self, state: Tensor) -> NoneType:\n  return None\n"
    with pytest.raises(UnsafeFileError, match="runs while the file is loaded"):
        scan_code({"code/m.py": source.encode()}, "file.pt")


def test_printing_is_noted_and_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A graph that prints is taken; the note says so and the actor is silent."""
    policy = load_policy(script(Prints(), tmp_path / "policy.pt"))
    policy.actor(torch.zeros(1, 4))
    assert "the code prints; the actor does not" in policy.notes
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Branches(), "number|branches on values"),
        (Counts(), "different batch sizes"),
        (Stateful(), r"forward\(\) takes \(Tensor, Tensor\)"),
        (Draws(), "aten::randn_like"),
    ],
)
def test_what_can_not_be_carried_is_said(tmp_path: Path, module: nn.Module, message: str) -> None:
    """Data-dependent branches, batch-dependent behaviour, extra inputs and noise are errors with the reason."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(script(module, tmp_path / "policy.pt"))


def test_a_nan_weight_is_refused_by_name(tmp_path: Path) -> None:
    """NaN in a scripted module is an error naming the tensor."""
    module = Prints()
    nn.init.constant_(module.layer.bias, float("nan"))
    with pytest.raises(CheckpointError, match=r"layer\.bias has 2 of 2 values NaN"):
        load_policy(script(module, tmp_path / "policy.pt"))
