"""Claims about `policy-port remap`."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from click.testing import Result
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.errors import ProofError
from policy_port.export import write
from policy_port.port.folder import load_port
from tests.samples import LEGS, contract_data

OBS, ACTIONS = 24, 4
PARITY = '{"max_error": 1e-7, "max_ratio": 0.1}'
REVERSED = {"source_joint_names": list(LEGS), "target_joint_names": list(LEGS[::-1])}

Run = Callable[..., Result]


def rsl_rl_file(path: Path, obs_size: int = OBS) -> Path:
    """A checkpoint as rsl_rl 5 writes it, of random weights, without the agent.yaml that names the activation."""
    torch.manual_seed(0)
    widths = [obs_size, 16, ACTIONS]
    actor = {"distribution.std_param": torch.ones(ACTIONS)}
    for layer, (before, after) in enumerate(itertools.pairwise(widths)):
        actor[f"mlp.{2 * layer}.weight"] = torch.randn(after, before) / before**0.5
        actor[f"mlp.{2 * layer}.bias"] = torch.randn(after)
    critic = {"mlp.0.weight": torch.randn(1, obs_size), "mlp.0.bias": torch.zeros(1)}
    torch.save(
        {"actor_state_dict": actor, "critic_state_dict": critic, "optimizer_state_dict": {}, "iter": 9, "infos": None},
        path,
    )
    return path


@pytest.fixture
def remap(tmp_path: Path) -> Run:
    """Runs the command on a small policy; further arguments are added or, as keywords, replaced."""
    files = {
        "policy": rsl_rl_file(tmp_path / "model_9.pt"),
        "contract": tmp_path / "c.yaml",
        "mapping": tmp_path / "m.yaml",
        "out": tmp_path / "out" / "port",
    }
    files["contract"].write_text(Contract.model_validate(contract_data()).to_yaml())
    files["mapping"].write_text(yaml.safe_dump(REVERSED))

    def run(*args: str, **changes: object) -> Result:
        given = {**files, **changes}
        policy = given.pop("policy")
        line = ["remap", policy, *(["--activation", "elu"] if Path(str(policy)).parent.name != "port" else [])]
        line += [part for key, value in given.items() for part in (f"--{key}", value)]
        return CliRunner().invoke(app, [str(part) for part in (*line, *args)])

    return run


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the parity check, which has tests of its own."""
    monkeypatch.setattr(write, "_prove", lambda *args: PARITY)


def test_remap_writes_a_port_and_says_what_is_in_it(remap: Run, tmp_path: Path, no_proof: None) -> None:
    """The command names the folder, every file with its size, the joints and the parity."""
    result = remap()
    assert result.exit_code == 0, result.output
    port = load_port(tmp_path / "out" / "port")
    for file in port.path.iterdir():
        assert file.name in result.stdout
    assert f"drives 4 joints: {', '.join(LEGS[::-1])}" in result.stdout
    assert "parity: largest error 1.0e-07, at most 10 % of what is allowed" in result.stdout
    assert port.contract.joint_names == LEGS[::-1]


def test_the_port_acts_in_the_targets_order(remap: Run, tmp_path: Path, no_proof: None) -> None:
    """The ported network on the target's observation gives the checkpoint's action in the target's order."""
    remap()
    tensors = torch.load(tmp_path / "model_9.pt", weights_only=True)["actor_state_dict"]
    weights = {name: value.numpy().astype(np.float64) for name, value in tensors.items()}
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(5, OBS)).astype(np.float32)
    hidden = obs @ weights["mlp.0.weight"].T + weights["mlp.0.bias"]
    hidden = np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0)))
    expected = (hidden @ weights["mlp.2.weight"].T + weights["mlp.2.bias"])[:, ::-1]
    # Six numbers of the base and the command, four blocks of joints that turn round, two of the gait clock.
    shown = obs.copy()
    for start in (6, 10, 14, 18):
        shown[:, start : start + 4] = obs[:, start : start + 4][:, ::-1]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "port" / "policy.onnx")
    np.testing.assert_allclose(session.run(None, {"obs": shown})[0], expected, atol=2e-6)


def test_a_port_of_a_port_turns_back(remap: Run, tmp_path: Path, no_proof: None) -> None:
    """ONNX and TorchScript files are policies too: ported back, they are the first policy again."""
    assert remap().exit_code == 0
    first = tmp_path / "out" / "port"
    straight = onnxruntime.InferenceSession(first / "policy.onnx")
    turn = {"source_joint_names": list(LEGS[::-1]), "target_joint_names": list(LEGS)}
    (tmp_path / "back.yaml").write_text(yaml.safe_dump(turn))
    obs = np.random.default_rng(1).normal(size=(3, OBS)).astype(np.float32)
    shown = obs.copy()
    for start in (6, 10, 14, 18):
        shown[:, start : start + 4] = obs[:, start : start + 4][:, ::-1]
    for name in ("policy.onnx", "policy.pt"):
        out = tmp_path / f"back_{name}"
        result = remap(policy=first / name, contract=first / "contract.yaml", mapping=tmp_path / "back.yaml", out=out)
        assert result.exit_code == 0, result.output
        back = onnxruntime.InferenceSession(out / "policy.onnx").run(None, {"obs": obs})[0]
        np.testing.assert_allclose(back, straight.run(None, {"obs": shown})[0][:, ::-1], atol=1e-6)


def test_recorded_observations_reach_the_proof(remap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--recorded takes a trace's observations, steps first."""
    seen = []
    monkeypatch.setattr(write, "_prove", lambda *args: seen.append(args[3]) or PARITY)
    recorded = np.arange(2 * 3 * OBS, dtype=np.float32).reshape(2, 3, OBS)
    np.savez(tmp_path / "trace.npz", observation=recorded)
    result = remap("--recorded", str(tmp_path / "trace.npz"))
    assert result.exit_code == 0, result.output
    assert np.array_equal(seen[0], recorded)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, OBS - 1)), r"must be of the side that the port is for, \(steps, 24\) or"),
        (np.full((5, OBS), np.nan), "hold NaN"),
        (np.zeros((5, OBS), dtype=object), r"is no trace, \.npz or \.npy file"),
    ],
)
def test_bad_recordings_are_refused(remap: Run, tmp_path: Path, array: np.ndarray, message: str) -> None:
    """A recording of another width, with NaN or of pickled objects is refused before anything is written."""
    np.save(tmp_path / "obs.npy", array, allow_pickle=True)
    result = remap("--recorded", str(tmp_path / "obs.npy"))
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert not (tmp_path / "out").exists()


def _refused(result: Result, tmp_path: Path, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_swapped_direction_is_refused(remap: Run, tmp_path: Path) -> None:
    """A mapping that points the other way says so, and no folder is left."""
    other = {"source_joint_names": [f"{name}_joint" for name in LEGS], "target_joint_names": list(LEGS)}
    other["rename"] = {f"{name}_joint": name for name in LEGS}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    _refused(remap(mapping=tmp_path / "other.yaml"), tmp_path, "swapped")


def test_unknown_mapping_is_refused(remap: Run, tmp_path: Path) -> None:
    """A name that is neither file nor shipped mapping is refused with the shipped ones."""
    _refused(remap(mapping="no_such_robot"), tmp_path, "no shipped mapping has that name", "Shipped:")


def test_network_of_another_width_is_refused(remap: Run, tmp_path: Path) -> None:
    """Both widths and the terms that add up to the contract's are said."""
    policy = rsl_rl_file(tmp_path / "wide.pt", obs_size=30)
    _refused(remap(policy=policy), tmp_path, "reads 30 numbers", "describes 24", "base_ang_vel 3 + ")


def test_nan_weight_is_refused(remap: Run, tmp_path: Path) -> None:
    """A checkpoint with a NaN is refused, naming the tensor."""
    path = rsl_rl_file(tmp_path / "nan.pt")
    tensors = torch.load(path, weights_only=True)
    tensors["actor_state_dict"]["mlp.2.bias"][0] = float("nan")
    torch.save(tensors, path)
    _refused(remap(policy=path), tmp_path, "mlp.2.bias")


def test_truncated_policy_is_refused(remap: Run, tmp_path: Path) -> None:
    """Half a file is refused with its name."""
    path = tmp_path / "half.pt"
    path.write_bytes((tmp_path / "model_9.pt").read_bytes()[:500])
    _refused(remap(policy=path), tmp_path, "half.pt")


def test_unknown_format_is_refused(remap: Run, tmp_path: Path) -> None:
    """A format that does not exist is refused with those that do."""
    _refused(remap("--format", "onnx,torchscrip"), tmp_path, "did you mean 'torchscript'")


def test_existing_folder_is_refused_without_force(remap: Run, tmp_path: Path, no_proof: None) -> None:
    """A second run needs --force."""
    assert remap().exit_code == 0
    again = remap()
    assert (again.exit_code, "--force" in again.stderr) == (2, True)
    assert remap("--force").exit_code == 0


def test_over_the_gate_is_status_one_and_leaves_nothing(
    remap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the proof fails the command exits with 1 and no folder is left."""

    def fail(*args: object) -> str:
        raise ProofError("joint left_hip is off by 0.3")

    monkeypatch.setattr(write, "_prove", fail)
    result = remap()
    assert (result.exit_code, "left_hip is off" in result.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


def test_interrupt_leaves_nothing(remap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle leaves no folder."""

    def interrupt(*args: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_prove", interrupt)
    result = remap()
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "interrupted; nothing was written")
    assert not (tmp_path / "out").exists()


def test_a_real_interrupt_leaves_nothing(remap: Run, tmp_path: Path) -> None:
    """SIGINT to the program itself, once it has begun to write, ends it with the shell's status and no trace."""
    line = ["remap", "model_9.pt", "--activation", "elu", "--contract", "c.yaml", "--mapping", "m.yaml"]
    # A shell's background jobs ignore the signal, and what they start inherits that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from policy_port.cli.app import main; main()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, *line, "--out", "deep/er/port"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("deep/er/.port.*.part/policy.onnx")):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert (program.returncode, said.splitlines()[-1]) == (130, "interrupted; nothing was written")
    assert not (tmp_path / "deep").exists()


def test_fold_that_a_clip_forbids_is_refused(remap: Run, tmp_path: Path) -> None:
    """--fold across a clip names the node and says how to go on."""
    data = contract_data()
    data["observation"]["clip"] = [-5.0, 5.0]
    (tmp_path / "clipped.yaml").write_text(Contract.model_validate(data).to_yaml())
    (tmp_path / "offset.yaml").write_text(yaml.safe_dump({**REVERSED, "joints": {"left_hip": {"offset": 0.3}}}))
    result = remap("--fold", contract=tmp_path / "clipped.yaml", mapping=tmp_path / "offset.yaml")
    _refused(result, tmp_path, "Clip", "Leave out --fold")


def test_an_estimator_in_the_file_stops_a_remap(remap: Run, tmp_path: Path, no_proof: None) -> None:
    """remap refuses what it would leave out, as export does, and takes the same option."""
    policy = rsl_rl_file(tmp_path / "model_10.pt")
    tree = torch.load(policy, weights_only=True)
    tree["estimator_state_dict"] = {"0.weight": torch.ones(3, 24)}
    torch.save(tree, policy)
    _refused(remap(policy=policy), tmp_path, "estimator_state_dict.0.weight (3, 24)", "--ignore 'estimator_state_dict'")
    assert remap("--ignore", "estimator_state_dict", policy=policy).exit_code == 0
