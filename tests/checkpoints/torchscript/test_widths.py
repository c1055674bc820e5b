"""The width of a TorchScript file's observation, and files with a batch of one written into them."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policy_port.checkpoints import LoadedPolicy, inspect_file, load_policy
from policy_port.contract import Contract
from policy_port.errors import CheckpointError, ContractError
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from tests.checkpoints import written
from tests.samples import contract_data


def saved(path: Path, module: nn.Module | torch.jit.ScriptModule) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module.eval())
        torch.jit.save(script, str(path))
    return path


def traced(module: nn.Module, width: int, **options: bool) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = torch.jit.trace(module.eval(), torch.zeros(1, width), **options)
    assert isinstance(made, torch.jit.ScriptModule)
    return made


def difference(policy: LoadedPolicy, rows: int = 7, steps: int = 3) -> float:
    """Largest difference from the file in its own runtime."""
    assert policy.original is not None
    runner = policy.original()
    state = policy.actor.initial_state(rows)
    worst = 0.0
    for step in range(steps):
        obs = written.observations(rows, policy.actor.obs_size, seed=step)
        actions, *state = policy.actor(torch.from_numpy(obs), *state)
        worst = max(worst, float(np.abs(actions.numpy() - runner.step(obs)).max()))
    return worst


class Slices(nn.Module):
    """Reads the first 12 of any number of entries; a buffer has the width that is meant."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 4)
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, :12])


def test_a_width_that_is_stated_nowhere_is_asked_for(tmp_path: Path) -> None:
    """Where several widths fit none is guessed; --width, or the contract's width, decides, and the notes say so."""
    path = saved(tmp_path / "policy.pt", Slices(47))
    with pytest.raises(CheckpointError, match=r"can't be told: .* the graph takes 12, 47\. Say it with --width"):
        load_policy(path)
    for width in (47, 12):
        policy = load_policy(path, width=width)
        assert policy.actor.obs_size == width
        assert any(f"{width} is what the contract or --width says" in note for note in policy.notes)
    assert inspect_file(path, width=47)["inputs"] == [{"name": "obs", "shape": ["batch", 47]}]
    with pytest.raises(CheckpointError, match=r"takes 12, 47, and 5, which the contract or --width says, is none"):
        load_policy(path, width=5)


class Hidden(nn.Module):
    """Its only numbers lie in an attribute that is no weight; takes one group of entries, or any number of them."""

    def __init__(self, width: int, *, groups: bool) -> None:
        super().__init__()
        self.scale, self.width, self.groups = torch.ones(width), width, groups

    def forward(self, x: Tensor) -> Tensor:
        if self.groups:
            x = x.view(x.shape[0], -1, self.width).sum(dim=1)
        return x * self.scale


def test_a_width_is_solved_for_where_no_weight_states_it(tmp_path: Path) -> None:
    """What first refuses other widths says the right one, however wide; where multiples of it fit too none is taken."""
    policy = load_policy(saved(tmp_path / "wide.pt", Hidden(2000, groups=False)))
    assert policy.actor.obs_size == 2000
    with pytest.raises(CheckpointError, match=r"the graph takes 7, 14, 21,"):
        load_policy(saved(tmp_path / "groups.pt", Hidden(7, groups=True)))


def test_a_wrong_width_is_refused_where_the_file_has_one(tmp_path: Path) -> None:
    """A width that the weights settle is not overruled: inspect says both, and export refuses the contract."""
    path = saved(tmp_path / "policy.pt", nn.Sequential(nn.Linear(9, 4)))
    with pytest.raises(CheckpointError, match="reads observations of width 9; --width says 47"):
        inspect_file(path, width=47)
    contract = Contract.model_validate(contract_data())
    policy = load_policy(path, width=contract.observation_size)
    with pytest.raises(ContractError, match="the network reads 9 numbers"):
        write_port(tmp_path / "port", policy, identity_remap(contract))


def test_the_example_input_of_a_trace_states_the_width(tmp_path: Path) -> None:
    """A traced file keeps its example's shape, and no contract overrules it."""
    path = saved(tmp_path / "policy.pt", traced(Slices(12), 47))
    for width in (None, 12, 47, 60):
        policy = load_policy(path, width=width)
        assert policy.actor.obs_size == 47
        assert "traced with an observation of width 47" in policy.notes


@pytest.mark.parametrize("kind", ["trace", "freeze", "not stored", "optimised", "scripted around", "saved again"])
def test_traced_files_load(tmp_path: Path, kind: str) -> None:
    """Every way to save a trace loads and computes what the file computes; the inputs' absent data matters to none."""
    module = nn.Sequential(nn.Linear(45, 32), nn.ELU(), nn.Linear(32, 12))
    made = traced(module, 45, _store_inputs=kind != "not stored")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if kind in ("freeze", "optimised"):
            made = torch.jit.freeze(made)
        if kind == "optimised":
            made = torch.jit.optimize_for_inference(made)
        if kind == "saved again":
            made = torch.jit.load(saved(tmp_path / "first.pt", made))
    path = saved(tmp_path / "policy.pt", nn.Sequential(made) if kind == "scripted around" else made)
    policy = load_policy(path)
    assert policy.actor.obs_size == 45
    assert difference(policy) < 1e-6


def test_example_inputs_are_never_unpickled(tmp_path: Path) -> None:
    """Whatever stands in traced_inputs.pkl, neither damage nor a command there is part of the network."""
    path = saved(tmp_path / "policy.pt", traced(nn.Linear(9, 4), 9))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for content in (b"", b"\x80\x02", b"cposix\nsystem\n(S'touch mark'\ntR."):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, content if name.endswith("traced_inputs.pkl") else data)
        assert difference(load_policy(path)) < 1e-6


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(4, 5), nn.Linear(15, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.inner(x.view(1, 3, 4))).reshape(1, 15))


class Infers(Views):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.inner(x.view(1, -1, 4))).view(1, -1))


class Pads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(15, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([x, torch.zeros(1, 3)], dim=1))


class Expands(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last, self.bias = nn.Linear(12, 2), nn.Parameter(torch.randn(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.expand(1, 12)) + self.bias.expand(1, 2)


class Remembers(nn.Module):
    """An LSTM that starts anew at each call, for one row."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.last = nn.LSTM(12, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        start = (torch.zeros(1, 1, 6), torch.zeros(1, 1, 6))
        out, _ = self.memory(x.unsqueeze(0), start)
        return self.last(out.squeeze(0))


@pytest.mark.parametrize("kind", [Views, Infers, Pads, Expands, Remembers])
def test_a_batch_of_one_that_is_written_in_is_opened(tmp_path: Path, kind: type[nn.Module]) -> None:
    """A file for one observation becomes an actor of any number, which equals the file row by row."""
    torch.manual_seed(3)
    policy = load_policy(saved(tmp_path / "policy.pt", kind()), width=12)
    assert policy.actor.obs_size == 12
    assert any("takes one observation at a time" in note for note in policy.notes)
    assert max(difference(policy, rows) for rows in (1, 7)) < 1e-6


def test_a_batch_of_one_is_proved(tmp_path: Path, contract: Contract) -> None:
    """Such a file is exported, and the proof runs it row by row."""

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.Linear(5, 7), nn.Linear(21, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.inner(x.view(1, 3, 5))).reshape(1, 21))

    policy = load_policy(saved(tmp_path / "policy.pt", Policy()), width=contract.observation_size)
    port = write_port(tmp_path / "port", policy, identity_remap(contract))
    assert port.parity["max_ratio"] < 1


class Picks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x[0]).view(1, 2)


class Transposes(Picks):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.view(12, 1).t().reshape(2, 6).view(1, 12))


@pytest.mark.parametrize("kind", [Picks, Transposes])
def test_a_batch_of_one_that_cannot_be_opened_is_explained(tmp_path: Path, kind: type[nn.Module]) -> None:
    """The error says what to change in forward(), without a number that is ours; that change loads."""
    with pytest.raises(CheckpointError) as caught:
        load_policy(saved(tmp_path / "policy.pt", kind()), width=12)
    assert not re.search(r"\d{6}", str(caught.value).replace(str(tmp_path), ""))
    assert "batch" in str(caught.value)
