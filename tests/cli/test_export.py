"""Claims about `policy-port export`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from policy_port import checkpoints
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.contract.layout import observation_blocks
from policy_port.errors import CheckpointError
from policy_port.export import write
from policy_port.port.folder import load_port
from tests.samples import LEGS, contract_data

PARITY = '{"max_error": 1e-7, "max_ratio": 0.1}'


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line that exports a small ManiSkill PPO policy, without the parity check."""
    monkeypatch.setattr(write, "_prove", lambda *args: PARITY)
    torch.manual_seed(0)
    widths = [24, 16, 16, 16, len(LEGS)]
    tensors = {"actor_logstd": torch.zeros(1, len(LEGS))}
    for role, last in (("actor_mean", len(LEGS)), ("critic", 1)):
        for layer, (before, after) in enumerate(zip(widths[:-1], [*widths[1:-1], last], strict=True)):
            tensors[f"{role}.{2 * layer}.weight"] = torch.randn(after, before) / before**0.5
            tensors[f"{role}.{2 * layer}.bias"] = torch.randn(after)
    torch.save(tensors, tmp_path / "ckpt.pt")
    (tmp_path / "c.yaml").write_text(Contract.model_validate(contract_data()).to_yaml())
    files = [tmp_path / "ckpt.pt", "--contract", tmp_path / "c.yaml", "--out", tmp_path / "port"]
    return ["export", *map(str, files), "--from", "maniskill"]


def test_export_keeps_the_contract(line: list[str], tmp_path: Path) -> None:
    """An export is a port whose two sides are one, without a mapping."""
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    port = load_port(tmp_path / "port")
    assert port.contract == port.source_contract == Contract.model_validate(contract_data())
    assert port.mapping is None
    assert port.manifest["policy"]["library"] == "maniskill"


@pytest.mark.parametrize(("format_", "absent"), [("onnx", "policy.pt"), ("torchscript", "policy.onnx")])
def test_one_format(line: list[str], tmp_path: Path, format_: str, absent: str) -> None:
    """--format names what is written."""
    assert CliRunner().invoke(app, [*line, "--format", format_]).exit_code == 0
    load_port(tmp_path / "port")
    assert not (tmp_path / "port" / absent).exists()


def test_missing_contract_is_refused(line: list[str], tmp_path: Path) -> None:
    """A contract that is not there is named, and nothing is written."""
    (tmp_path / "c.yaml").unlink()
    result = CliRunner().invoke(app, line)
    assert (result.exit_code, "c.yaml: no such file" in result.stderr) == (2, True)
    assert not (tmp_path / "port").exists()


def test_statistics_and_outputs_reach_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--statistics and --output are handed on, --output NAME as the action's; the contract's width and terms too."""
    given: dict[str, object] = {}

    def load_policy(path: Path, **options: object) -> None:
        given.update(options)
        raise CheckpointError("stop")

    monkeypatch.setattr(checkpoints, "load_policy", load_policy)
    (tmp_path / "c.yaml").write_text(Contract.model_validate(contract_data()).to_yaml())
    line = ["export", "model.zip", "--contract", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "port")]
    more = ["--statistics", "none", "--output", "mu", "--output", "hidden_state.1=lstm_h"]
    assert CliRunner().invoke(app, [*line, *more]).exit_code == 2
    assert given["statistics"] == "none"
    assert given["outputs"] == {"actions": "mu", "hidden_state.1": "lstm_h"}
    contract = Contract.model_validate(contract_data())
    assert given["width"] == contract.observation_size
    assert given["terms"] == observation_blocks(contract)
    assert sum(width for _, width in observation_blocks(contract)) == contract.observation_size
