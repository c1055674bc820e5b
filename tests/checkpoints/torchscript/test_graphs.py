"""What people trace and script: perceptrons, memories, convolutions, mixtures of experts; what is refused by name."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.torchscript.test_file import Lstm, Prints, differences, script


class Sees(nn.Module):
    """A convolution over 16 of its numbers as an image, and one over time of 12."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.time = nn.Conv2d(1, 2, 3), nn.Conv1d(3, 2, 2)
        self.last = nn.Linear(8 + 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.relu(self.eye(x[:, :16].view(x.shape[0], 1, 4, 4))).flatten(1)
        past = functional.elu(self.time(x[:, 16:].reshape(-1, 4, 3).permute(0, 2, 1))).flatten(1)
        return self.last(torch.cat([seen, past], dim=1))


class Experts(nn.Module):
    """The best two of four experts, by scattered or by gathered weights."""

    def __init__(self, *, scattered: bool) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 4), nn.ModuleList(nn.Linear(6, 3) for _ in range(4))
        self.scattered = scattered

    def forward(self, x: Tensor) -> Tensor:
        best, places = torch.topk(self.gate(x), 2, dim=-1)
        shares = torch.softmax(best, -1)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        if self.scattered:
            weights = torch.zeros(x.shape[0], 4).scatter(1, places, shares)
            return (weights.unsqueeze(-1) * answers).sum(1)
        picked = torch.gather(answers, 1, places.unsqueeze(-1).expand(-1, -1, 3))
        return (shares.unsqueeze(-1) * picked).sum(1)


class Routed(Experts):
    """The rows of each expert are picked and put back."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.gate(x).argmax(-1)
        out = torch.zeros(x.shape[0], 3)
        for number, expert in enumerate(self.experts):
            rows = torch.nonzero(first == number).squeeze(-1)
            out = out.index_add(0, rows, expert(x[rows]))
        return out


class Repeats(Prints):
    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        while bool(out.sum() < 10.0):
            out = out + 1.0
        return out


class Noisy(Prints):
    def forward(self, x: Tensor) -> Tensor:
        mean = self.layer(x)
        return mean + 0.3 * torch.randn_like(mean) + torch.rand(1, 2)


def trace(module: nn.Module, path: Path, width: int, *, format_: str = "today", rows: int = 1) -> Path:
    """A traced file, as this torch writes it or without what torch 2.4 did not write."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.rand(rows, width), check_trace=False), str(path))
    if format_ == "2.4":
        with zipfile.ZipFile(path) as archive:
            kept = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, data in kept.items():
                if not name.endswith((".format_version", ".storage_alignment")):
                    archive.writestr(name, data)
    return path


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 3)), 6),
    "lstm": (lambda: Lstm("lstm", 1), 6),
    "convolutions": (Sees, 28),
    "experts by weight": (lambda: Experts(scattered=True), 6),
    "experts by place": (lambda: Experts(scattered=False), 6),
}


@pytest.mark.parametrize("format_", ["today", "2.4"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_what_is_traced_is_read(tmp_path: Path, name: str, format_: str) -> None:
    """A trace of each kind gives what torch.jit gives, for one row and for seven, in archives of today and before."""
    make, width = NETWORKS[name]
    rows = 2 if "expert" in name else 1
    policy = load_policy(trace(make().eval(), tmp_path / "policy.pt", width, format_=format_, rows=rows))
    assert policy.actor.obs_size == width
    assert max(differences(policy, rows, 3) for rows in (1, 7)) < 1e-5


def test_what_can_not_be_read_is_refused_by_its_operator(tmp_path: Path) -> None:
    """Choices by data, loops and branches on data, training mode: each with reason, mend and place."""
    cases: list[tuple[Path, str]] = [
        (
            script(Repeats(), tmp_path / "loop.pt"),
            r"it computes into a number; at aten::Bool \(.*, line \d+",
        ),
        (script(Routed(scattered=True), tmp_path / "routed.pt"), r"aten::nonzero picks by what.*compute each expert"),
    ]
    training = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)).train()
    cases.append((trace(training, tmp_path / "norm.pt", 6, rows=2), r"is in training mode.*Call eval\(\).*\(0\)"))
    for path, words in cases:
        with pytest.raises(CheckpointError, match=words):
            load_policy(path)


def test_random_numbers_are_refused_or_their_mean_is_taken(tmp_path: Path) -> None:
    """A policy that draws is refused by the operator's name; with the mean asked for it is its layer and a half."""
    module = Noisy()
    path = script(module, tmp_path / "policy.pt")
    with pytest.raises(CheckpointError, match=r"aten::randn_like draws random numbers.* with --mean"):
        load_policy(path)
    policy = load_policy(path, mean=True)
    obs = torch.from_numpy(written.observations(7, 4))
    assert np.abs((policy.actor(obs)[0] - module.layer(obs) - 0.5).detach().numpy()).max() < 1e-6
    assert policy.original is None
    assert any("the mean stands in place of random numbers" in note for note in policy.notes)
