"""The TorchScript file: observations in, actions out, and a memory that is reset per row."""

# TorchScript reads the annotations of this file at run time, so they are not postponed.
import io
import keyword
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor
from policy_port.errors import PortError
from policy_port.port.torchscript import torchscript_on_purpose


def save_torchscript(path: Path, traced: torch.jit.ScriptModule, actor: Actor, extra_files: Mapping[str, str]) -> None:
    """Write a file that `torch.jit.load` reads without this package.

    The module has `forward(obs) -> actions`, `reset()` and `reset_rows(mask)` whether or not it remembers anything,
    so that a control loop needs no case distinction. It checks the width of an observation, since a graph that
    begins with a choice of columns would take a wider one and read the wrong numbers. It is not frozen: freezing
    gains no time and would turn the weights into constants, which neither `.to(device)` moves nor
    `named_parameters()` shows.

    Args:
        path: The file.
        traced: The actor with explicit state, from `tracing.trace`.
        actor: The same actor, for the shapes and the start of its state.
        extra_files: Text to store inside the file by name; `torch.jit.load(path, _extra_files={name: ""})` reads it.
    """
    initial = actor.initial_state(1)
    width = actor.obs_size
    match len(initial):
        case count if count == 0 or actor.images:
            module = _stateless(path, traced, actor)
        case 1:
            module = _OneState(traced, width, *initial)
        case 2:
            module = _TwoStates(traced, width, *initial)
        case _:
            raise PortError(
                f"{path.name}: the network carries {len(initial)} state tensors ({', '.join(actor.state_names)}), "
                "TorchScript ports hold two at most; export it with --format onnx"
            )
    saved = io.BytesIO()
    with torchscript_on_purpose():
        scripted = module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module.eval())
        torch.jit.save(scripted, saved, _extra_files=dict(extra_files))
    _write_without_debug_notes(path, saved)


def _stateless(path: Path, traced: torch.jit.ScriptModule, actor: Actor) -> torch.jit.ScriptModule:
    """Return a module whose forward() takes the images by name after the observation.

    TorchScript knows no variable number of arguments, so forward() is written for the images that there are.
    """
    if actor.state_names:
        raise PortError(
            f"{path.name}: the network has both images and a memory, which TorchScript ports don't hold; export it "
            "with --format onnx"
        )
    names = [image.name for image in actor.images]
    if any(not name.isidentifier() or keyword.iskeyword(name) or name in ("self", "obs") for name in names):
        raise PortError(
            f"{path.name}: the images {', '.join(names)} can't all be names of arguments in TorchScript; export it "
            "with --format onnx"
        )
    with torchscript_on_purpose():
        module = torch.jit.script(_Stateless(traced, actor.obs_size).eval())
    module.define(
        f"def forward(self, {', '.join(f'{name}: Tensor' for name in ('obs', *names))}) -> Tensor:\n"
        "    if obs.shape[1] != self.width:\n"
        "        raise RuntimeError('the policy reads observations of width {}, given {}'"
        ".format(self.width, obs.shape[1]))\n"
        f"    return self.core({', '.join(('obs', *names))})[0]\n"
    )
    return module


def _write_without_debug_notes(path: Path, saved: io.BytesIO) -> None:
    """Leave out what torch notes for its tracebacks: the paths of Python files on the machine that exported."""
    with zipfile.ZipFile(saved) as whole, zipfile.ZipFile(path, "w") as file:
        for entry in whole.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                # Without its date and padding, so that equal content is stored in equal bytes.
                file.writestr(zipfile.ZipInfo(entry.filename), whole.read(entry), entry.compress_type)


class _Stateless(nn.Module):
    """A network without memory; forward() is added once the names of its images are known."""

    def __init__(self, core: torch.jit.ScriptModule, width: int) -> None:
        super().__init__()
        self.core = core
        self.width = width

    @torch.jit.export
    def reset(self) -> None:
        pass

    @torch.jit.export
    def reset_rows(self, mask: Tensor) -> None:
        pass


class _OneState(nn.Module):
    """A GRU: one state tensor, under the name that Isaac Lab's exporter gives it."""

    initial_hidden_state: Tensor
    hidden_state: Tensor

    def __init__(self, core: torch.jit.ScriptModule, width: int, hidden: Tensor) -> None:
        super().__init__()
        self.core = core
        self.width = width
        self.register_buffer("initial_hidden_state", hidden.clone())
        self.register_buffer("hidden_state", hidden.clone())

    def forward(self, obs: Tensor) -> Tensor:
        if obs.shape[1] != self.width:
            raise RuntimeError(f"the policy reads observations of width {self.width}, given {obs.shape[1]}")
        # Another number of rows is another set of environments: all of them start afresh.
        if obs.shape[0] != self.hidden_state.shape[1]:
            self.hidden_state = self.initial_hidden_state.repeat(1, obs.shape[0], 1)
        actions, hidden = self.core(obs, self.hidden_state)
        self.hidden_state = hidden
        return actions

    @torch.jit.export
    def reset(self) -> None:
        self.hidden_state = self.initial_hidden_state.repeat(1, self.hidden_state.shape[1], 1)

    @torch.jit.export
    def reset_rows(self, mask: Tensor) -> None:
        rows = self.hidden_state.shape[1]
        if mask.shape[0] != rows:
            raise RuntimeError(f"reset_rows: the mask has {mask.shape[0]} rows, the recurrent state has {rows}")
        chosen = mask.to(torch.bool).view(1, -1, 1)
        self.hidden_state = torch.where(chosen, self.initial_hidden_state, self.hidden_state)


class _TwoStates(nn.Module):
    """An LSTM: two state tensors, under the names that Isaac Lab's exporter gives them."""

    initial_hidden_state: Tensor
    initial_cell_state: Tensor
    hidden_state: Tensor
    cell_state: Tensor

    def __init__(self, core: torch.jit.ScriptModule, width: int, hidden: Tensor, cell: Tensor) -> None:
        super().__init__()
        self.core = core
        self.width = width
        self.register_buffer("initial_hidden_state", hidden.clone())
        self.register_buffer("initial_cell_state", cell.clone())
        self.register_buffer("hidden_state", hidden.clone())
        self.register_buffer("cell_state", cell.clone())

    def forward(self, obs: Tensor) -> Tensor:
        if obs.shape[1] != self.width:
            raise RuntimeError(f"the policy reads observations of width {self.width}, given {obs.shape[1]}")
        # Another number of rows is another set of environments: all of them start afresh.
        if obs.shape[0] != self.hidden_state.shape[1]:
            self.hidden_state = self.initial_hidden_state.repeat(1, obs.shape[0], 1)
            self.cell_state = self.initial_cell_state.repeat(1, obs.shape[0], 1)
        actions, hidden, cell = self.core(obs, self.hidden_state, self.cell_state)
        self.hidden_state = hidden
        self.cell_state = cell
        return actions

    @torch.jit.export
    def reset(self) -> None:
        rows = self.hidden_state.shape[1]
        self.hidden_state = self.initial_hidden_state.repeat(1, rows, 1)
        self.cell_state = self.initial_cell_state.repeat(1, rows, 1)

    @torch.jit.export
    def reset_rows(self, mask: Tensor) -> None:
        rows = self.hidden_state.shape[1]
        if mask.shape[0] != rows:
            raise RuntimeError(f"reset_rows: the mask has {mask.shape[0]} rows, the recurrent state has {rows}")
        chosen = mask.to(torch.bool).view(1, -1, 1)
        self.hidden_state = torch.where(chosen, self.initial_hidden_state, self.hidden_state)
        self.cell_state = torch.where(chosen, self.initial_cell_state, self.cell_state)
