"""The TorchScript file."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from policy_port.checkpoints.actor import Actor
from policy_port.errors import PortError
from policy_port.export.ported_actor import PortedActor
from policy_port.export.torchscript import save_torchscript
from policy_port.export.tracing import trace
from policy_port.port.torchscript import torchscript_on_purpose
from policy_port.remap import build_remap


def _written(path: Path, actor: Actor) -> torch.jit.ScriptModule:
    save_torchscript(path, trace(actor), actor, {"contract.json": '{"name": "é"}'})
    with torchscript_on_purpose():
        return torch.jit.load(str(path))


def _unrolled(actor: Actor, steps: torch.Tensor, resets: torch.Tensor) -> list[torch.Tensor]:
    """The actor run with explicit state, rows put back to the start where `resets` says so."""
    state = actor.initial_state(steps.shape[1])
    actions = []
    for obs, mask in zip(steps, resets, strict=True):
        state = tuple(torch.where(mask.view(1, -1, 1), torch.zeros(()), value) for value in state)
        action, *rest = actor(obs, *state)
        state = tuple(rest)
        actions.append(action)
    return actions


@pytest.mark.parametrize("kind", ["mlp", "lstm", "gru"])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_file_computes_what_the_actor_computes(make_actor, tmp_path, kind, batch):
    """A file computes the actor's actions at any batch size, with the rows asked for reset between steps."""
    actor = make_actor(kind, layers=2)
    module = _written(tmp_path / "policy.pt", actor)
    generator = torch.Generator().manual_seed(batch)
    steps = torch.randn(6, batch, actor.obs_size, generator=generator)
    resets = torch.rand(6, batch, generator=generator) < 0.3
    resets[0] = False
    expected = _unrolled(actor, steps, resets)
    for step, (obs, mask) in enumerate(zip(steps, resets, strict=True)):
        if step:
            module.reset_rows(mask)
        np.testing.assert_allclose(module(obs).numpy(), expected[step].numpy(), atol=2e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_reset_forgets(make_actor, tmp_path, kind):
    """After reset() the first step is computed again, bit for bit; without it, it is not."""
    actor = make_actor(kind)
    module = _written(tmp_path / "policy.pt", actor)
    obs = torch.randn(3, actor.obs_size)
    first = module(obs)
    assert not torch.equal(module(obs), first)
    module.reset()
    assert torch.equal(module(obs), first)


def test_reset_rows_refuses_a_mask_of_another_length(make_actor, tmp_path):
    """A mask that does not fit the rows is an error, not a broadcast."""
    module = _written(tmp_path / "policy.pt", make_actor("lstm"))
    module(torch.zeros(3, 15))
    with pytest.raises(torch.jit.Error, match="the mask has 1 rows, the recurrent state has 3"):
        module.reset_rows(torch.ones(1, dtype=torch.bool))


def test_an_observation_of_another_width_is_refused(make_actor, contract, mapping, tmp_path):
    """A wider observation is an error, although choosing columns from it would work."""
    module = _written(tmp_path / "policy.pt", PortedActor(make_actor(), build_remap(contract, mapping)))
    with pytest.raises(torch.jit.Error, match="reads observations of width 15, given 16"):
        module(torch.zeros(3, 16))


def test_another_batch_size_starts_afresh(make_actor, tmp_path):
    """A change of the number of rows starts every row from the initial state."""
    module = _written(tmp_path / "policy.pt", make_actor("lstm"))
    obs = torch.randn(5, 15)
    first = module(obs)
    module(obs[:2])
    assert torch.equal(module(obs), first)


def test_trained_weights_are_bit_for_bit(make_actor, tmp_path):
    """The file's parameters are the checkpoint's, under their names."""
    actor = make_actor("lstm", layers=2)
    written = _written(tmp_path / "policy.pt", actor).state_dict()
    for name, value in actor.state_dict().items():
        assert written[f"core.{name}"].numpy().tobytes() == value.numpy().tobytes()


def test_file_loads_without_the_package(make_actor, tmp_path):
    """Plain torch in a process that can't import this package loads the file, runs it and reads its contract."""
    actor = make_actor("gru")
    path = tmp_path / "policy.pt"
    _written(path, actor)
    program = f"""
import sys
import zipfile
sys.modules["policy_port"] = None
import torch
extra = {{"contract.json": ""}}
module = torch.jit.load({str(path)!r}, _extra_files=extra)
module.reset()
assert extra["contract.json"].decode() == '{{"name": "\\u00e9"}}'
print(module(torch.ones(1, 15)).sum().item())
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    expected = actor(torch.ones(1, 15), *actor.initial_state(1))[0].sum().item()
    assert float(result.stdout) == pytest.approx(expected, abs=1e-5)


def test_file_names_no_folder_of_this_machine(make_actor, tmp_path):
    """No member of the file says where torch or this package lie."""
    _written(tmp_path / "policy.pt", make_actor("lstm"))
    here = str(Path(torch.__file__).parents[1]).encode(), str(Path(__file__).parents[2]).encode()
    with zipfile.ZipFile(tmp_path / "policy.pt") as file:
        assert not [name for name in file.namelist() if any(folder in file.read(name) for folder in here)]


def test_three_states_are_refused(make_actor, tmp_path):
    """A network with more state tensors than an LSTM is refused, naming them and the format that takes it."""
    actor = make_actor("mlp")
    actor.state_names, actor.state_shapes = ("a", "b", "d"), ((1, 2),) * 3
    with pytest.raises(PortError, match=r"3 state tensors \(a, b, d\).*--format onnx"):
        save_torchscript(tmp_path / "policy.pt", trace(make_actor("mlp")), actor, {})
