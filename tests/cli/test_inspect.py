"""`policy-port inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from policy_port.arrays import Array
from policy_port.cli.app import app as program
from policy_port.cli.inspect import inspect
from policy_port.contract import Contract
from policy_port.errors import CheckpointError
from policy_port.export import write
from tests.checkpoints import written
from tests.probe import quadruped

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
    result = CliRunner().invoke(app, [str(path)])
    assert isinstance(result.exception, CheckpointError)
    assert "begins with" in str(result.exception)


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


FEEDBACK = {"joint_pos_rel": -1.0, "joint_vel": -0.5}
MISCALLED = tuple({"FL_calf": "RR_hip", "RR_hip": "FL_calf"}.get(name, name) for name in quadruped.BY_LEG)


def checkpoint(folder: Path, weights: Array) -> Path:
    """A policy of one linear layer as RSL-RL would save it."""
    tensors = {"distribution.std_param": torch.ones(len(weights)), "mlp.0.bias": torch.zeros(len(weights))}
    tensors["mlp.0.weight"] = torch.tensor(weights, dtype=torch.float32)
    critic = {"mlp.0.weight": torch.ones(1, weights.shape[1]), "mlp.0.bias": torch.zeros(1)}
    tree = {"actor_state_dict": tensors, "critic_state_dict": critic, "optimizer_state_dict": {}, "iter": 5}
    written.agent_yaml(folder, actor={"activation": "elu", "hidden_dims": []}, policy={})
    return written.save({**tree, "infos": None}, folder / "model_5.pt")


def stated(folder: Path, contract: Contract) -> Path:
    (folder / "c.yaml").write_text(contract.to_yaml())
    return folder / "c.yaml"


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(program, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return checkpoint(tmp_path, quadruped.with_feedback(quadruped.contract(), FEEDBACK))


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return stated(tmp_path, quadruped.contract())


def test_a_right_contract_is_status_zero(policy: Path, right: Path) -> None:
    """The table says what was found, and that it proves nothing."""
    status, said = run("inspect", policy, "--probe", "--contract", right)
    assert status == 0, said
    for part in (
        "contract    toy",
        "moves ",
        "joint_pos_rel: each action answers its own joint",
        "proves nothing",
    ):
        assert part in said


def test_a_wrong_order_is_status_one_with_the_edit_that_mends_it(policy: Path, tmp_path: Path) -> None:
    """The edit is printed as YAML, and made, the probe finds nothing."""
    wrong = {"term": "joint_pos_rel", "joints": list(MISCALLED)}
    terms = tuple(wrong if term == "joint_pos_rel" else term for term in quadruped.TERMS)
    file = stated(tmp_path, quadruped.contract(terms=terms))
    status, said = run("inspect", policy, "--probe", "--contract", file)
    assert status == 1
    assert f"edit    observation.terms[joint_pos_rel].joints: [{', '.join(MISCALLED)}] -> (not stated)" in said
    status, said = run("inspect", policy, "--probe", "--contract", stated(tmp_path, quadruped.contract()))
    assert status == 0, said


def test_the_probe_as_json(policy: Path, right: Path) -> None:
    """One document, strict JSON, with every action's shares."""
    status, said = run("inspect", policy, "--probe", "--contract", right, "--json")
    found = json.loads(said, parse_constant=lambda word: pytest.fail(word))
    assert (status, found["ok"], found["contract"]) == (0, True, "toy")
    assert np.shape([block["shares"] for block in found["blocks"]]) == (6, 12)


def test_a_checkpoint_without_contract_is_refused(policy: Path, right: Path) -> None:
    """The remedy that is named, --contract, works (above); the contract alone asks for nothing."""
    status, said = run("inspect", policy, "--probe")
    assert (status, "add --contract contract.yaml" in said) == (2, True)
    status, said = run("inspect", policy, "--contract", right)
    assert (status, "--contract goes with --probe" in said) == (2, True)


@pytest.mark.parametrize("format_", ["onnx", "torchscript"])
def test_a_port_brings_its_own_contract(
    policy: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    """Either file of a port is probed as the checkpoint was; another contract is refused with a remedy that works."""
    monkeypatch.setattr(write, "_prove", lambda *args: '{"max_error": 1e-7, "max_ratio": 0.1}')
    port = tmp_path / "port"
    status, said = run("export", policy, "--contract", right, "--out", port, "--format", format_)
    assert status == 0, said
    status, said = run("inspect", port, "--probe")
    assert status == 0, said
    assert "joint_vel: each action answers its own joint" in said
    status, said = run("inspect", port, "--probe", "--contract", right)
    assert status == 2
    remedy = said.rpartition("policy-port ")[2].split()
    status, said = run(*remedy)
    assert status == 0, said


def test_verify_without_a_trace_names_the_probe(policy: Path, right: Path, tmp_path: Path) -> None:
    """It can't be done, and what can be is said."""
    status, said = run("verify", tmp_path / "port")
    assert status == 2
    assert f"policy-port inspect {tmp_path / 'port'} --probe" in " ".join(said.split())
