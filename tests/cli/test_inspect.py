"""`policy-port inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from policy_port.cli.inspect import inspect
from policy_port.errors import CheckpointError
from tests.checkpoints import written

app = typer.Typer()
app.command()(inspect)


def test_a_person_reads_what_the_file_is(tmp_path: Path) -> None:
    """The table names library, evidence, shapes, normaliser with its range, distribution, digest and leftovers."""
    result = CliRunner().invoke(app, [str(written.rsl_rl_5(tmp_path))])
    assert result.exit_code == 0
    for part in (
        "rsl_rl, 5.x",
        "top-level keys actor_state_dict",
        "obs [batch, 10]",
        "actions [batch, 4]",
        "none; feed-forward",
        "Linear(in_features=10, out_features=16",
        "ELU(alpha=1.0)",
        "(obs - _mean) / (_std + 0.01), 10 entries",
        "1000 samples",
        "Gaussian, deviation in actor_state_dict.distribution.std_param",
        "critic_state_dict.mlp.0.weight (16, 13)",
        "activation from agent.yaml (elu)",
    ):
        assert part in result.output


def test_json_holds_the_same(tmp_path: Path) -> None:
    """--json gives one document with shapes, digest and full-precision statistics."""
    path = written.rsl_rl_5(tmp_path)
    result = CliRunner().invoke(app, [str(path), "--json"])
    found = json.loads(result.output)
    assert found["inputs"] == [{"name": "obs", "shape": ["batch", 10]}]
    assert len(found["sha256"]) == 64
    assert found["normaliser"]["size"] == 10


def test_flags_reach_the_loader(tmp_path: Path) -> None:
    """--activation and --from are passed on."""
    path = written.rsl_rl_5(tmp_path, activation=None)
    result = CliRunner().invoke(app, [str(path), "--activation", "relu", "--from", "rsl_rl"])
    assert "ReLU()" in result.output
    assert "--from rsl_rl" in result.output


def test_bad_input_is_our_own_error(tmp_path: Path) -> None:
    """A file that is no policy raises the error that the program prints without a traceback."""
    path = tmp_path / "x.pt"
    path.write_text("hello")
    with pytest.raises(CheckpointError, match="begins with"):
        inspect(path)


def test_what_stops_an_export_is_marked(tmp_path: Path) -> None:
    """inspect shows an estimator without failing, apart from the critic, and says that it stops an export."""
    path = written.rsl_rl_5(tmp_path, tensors={"estimator.0.weight": torch.ones(3, 10)})
    result = CliRunner().invoke(app, [str(path)])
    assert result.exit_code == 0
    after = result.output.split("unexplained", 1)[1]
    assert "stop an export" in after
    assert "actor_state_dict.estimator.0.weight (3, 10)" in after
    assert "--ignore" in after
    assert "critic_state_dict.mlp.0.weight (16, 13)" not in after
    found = json.loads(CliRunner().invoke(app, [str(path), "--json"]).output)
    assert found["stops_export"] == ["actor_state_dict.estimator.0.weight (3, 10)"]
    assert "unexplained" not in CliRunner().invoke(app, [str(written.rsl_rl_5(tmp_path / "plain"))]).output


@pytest.mark.parametrize("option", ["--agent", "--agent-yaml"])
def test_the_configuration_is_given_under_either_name(tmp_path: Path, option: str) -> None:
    """inspect and export take the same two names."""
    path = written.rsl_rl_5(tmp_path, activation=None)
    other = written.agent_yaml(tmp_path / "other", actor={"activation": "tanh"})
    assert "Tanh()" in CliRunner().invoke(app, [str(path), option, str(other)]).output
