"""A TorchScript file in a port is a stranger's file: what does more than compute is refused before it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from policy_port.errors import CheckpointError, UnsafeFileError
from policy_port.export.write import write_port
from policy_port.port.folder import load_port
from policy_port.port.format import FILES, MANIFEST, OWN_SUM, TORCHSCRIPT
from policy_port.port.manifest import write_manifest
from policy_port.port.sample import run_file
from policy_port.port.torchscript import open_torchscript, torchscript_on_purpose
from policy_port.remap import identity_remap


class Writes(nn.Module):
    """Computes what it is told to, and writes into a file of the user's on the way."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file
        self.weight = nn.Parameter(torch.ones(15, 4))

    def forward(self, obs: Tensor) -> Tensor:
        theirs = torch.from_file(self.file, shared=True, size=1, dtype=torch.uint8)
        # Its value is used, or torch would leave the whole line out of what it saves.
        return obs @ self.weight + theirs.fill_(88).float()

    @torch.jit.export
    def reset(self) -> None:
        pass

    @torch.jit.export
    def reset_rows(self, mask: Tensor) -> None:
        pass


@pytest.fixture
def port_path(tmp_path: Path, make_actor, make_policy, contract) -> Path:
    """A port of TorchScript alone."""
    policy = make_policy(make_actor())
    return write_port(tmp_path / "port", policy, identity_remap(contract), formats=("torchscript",)).path


def replaced(port_path: Path, write: Callable[[Path], object]) -> None:
    """Put another file in the place of policy.pt, and sum everything up anew, as a forger would."""
    write(port_path / TORCHSCRIPT)
    about = json.loads((port_path / MANIFEST).read_text())
    (port_path / MANIFEST).unlink()
    del about[FILES], about[OWN_SUM]
    write_manifest(port_path, about)


def test_a_port_that_writes_files_is_refused_unseen(port_path: Path, tmp_path: Path) -> None:
    """With every sum right, a module that would overwrite a user's file is named and refused; the file is untouched."""
    theirs = tmp_path / "theirs.txt"
    theirs.write_bytes(b"precious")
    with torchscript_on_purpose():
        hostile = torch.jit.script(Writes(str(theirs)))
    replaced(port_path, lambda path: torch.jit.save(hostile, str(path)))
    for load in (load_port, lambda folder: run_file(folder / TORCHSCRIPT)):
        with pytest.raises(UnsafeFileError, match=r"policy\.pt: code/.*calls aten::from_file"):
            load(port_path)
    assert theirs.read_bytes() == b"precious"
    # The claim is about a real danger: the module does what it was refused for.
    hostile(torch.zeros(1, 15))
    assert theirs.read_bytes() == b"Xrecious"


def test_a_damaged_file_is_one_message(port_path: Path) -> None:
    """What is no TorchScript at all is an error of the file, not a traceback of torch."""
    replaced(port_path, lambda path: path.write_bytes(path.read_bytes()[:2000]))
    with pytest.raises(CheckpointError, match=r"policy\.pt: the archive is cut off or damaged"):
        load_port(port_path)


@pytest.mark.parametrize("kind", ["mlp", "lstm", "gru"])
def test_what_is_exported_passes(tmp_path: Path, make_actor, make_policy, contract, kind: str) -> None:
    """Every kind of network that this program writes loads through the checks and answers."""
    policy = make_policy(make_actor(kind))
    port = write_port(tmp_path / "port", policy, identity_remap(contract), formats=("torchscript",))
    assert port.torchscript is not None
    assert open_torchscript(port.torchscript)(torch.zeros(2, 15)).shape == (2, 4)
