"""Several networks as one policy: what each reads, by name and by column, and what can't be wired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from onnx import helper
from typer.testing import CliRunner

from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract, load_contract
from policy_port.contract.named_columns import named_columns
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.onnx.test_cut import save
from tests.checkpoints.onnx.test_file import weights
from tests.checkpoints.onnx.test_state_ports import cell
from tests.checkpoints.torchscript.test_file import Lstm, differences, script
from tests.samples import contract_data

Edit = tuple[str, Any]


def encoder(path: Path, *, reads: int = 9, writes: int = 2) -> Path:
    """A layer without a batch axis, as tron1-rl-deploy-python's files are."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["b", "h"], ["s"]),
        helper.make_node("Elu", ["s"], ["latent"]),
    ]
    # The same in every order of tests: what a probe says of a random network may be anything.
    rng = np.random.default_rng(reads)
    arrays = {"w": weights(reads, writes, rng=rng), "b": weights(writes, rng=rng)}
    return save(path, nodes, arrays, {"x": [reads]}, {"latent": [writes]})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder (ONNX, 9 to 2), a memory (TorchScript, LSTM, 6 to 3) and a policy (CleanRL checkpoint, 7 to 2)."""
    folder = tmp_path_factory.mktemp("parts")
    encoder(folder / "encoder.onnx")
    script(Lstm("lstm", 1), folder / "memory.pt")
    state = written.linears("actor_mean", [7, 8, 2], written.generator())
    torch.save(state | {"actor_logstd": torch.zeros(1, 2)}, folder / "policy.pt")
    return folder


WIRED: dict[str, Any] = {
    "networks_version": 1,
    "parts": {
        "encoder": {"file": "encoder.onnx", "inputs": [{"columns": [0, 9]}]},
        "memory": {"file": "memory.pt", "inputs": ["encoder", {"columns": [8, 12]}]},
        "policy": {
            "file": "policy.pt",
            "from": "cleanrl",
            "inputs": ["memory", {"of": "encoder", "columns": [1, 2]}, {"columns": [9, 12]}],
        },
    },
    "result": "policy",
}


def wired(folder: Path, *edits: Edit) -> Path:
    """The YAML beside the parts, with dotted keys set, or taken out where the value is None."""
    data = yaml.safe_load(yaml.safe_dump(WIRED))
    for key, value in edits:
        *way, last = key.split(".")
        place = data
        for word in way:
            place = place[int(word)] if isinstance(place, list) else place[word]
        if value is None:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    path = folder / "networks.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.mark.parametrize("rows", [1, 7])
def test_parts_of_three_kinds_are_what_they_are_apart(parts: Path, rows: int) -> None:
    """ONNX without a batch axis, a TorchScript memory and a bare checkpoint: the whole is ONNX Runtime, torch.jit and
    NumPy one after the other, and the memory keeps its state.
    """
    policy = load_policy(wired(parts))
    actor = policy.actor
    assert (policy.library, actor.obs_size, actor.action_size) == ("networks", 12, 2)
    assert (actor.state_names, actor.state_shapes) == (("memory_h", "memory_c"), ((1, 8), (1, 8)))
    session = onnxruntime.InferenceSession(parts / "encoder.onnx", providers=["CPUExecutionProvider"])
    modules = [torch.jit.load(parts / "memory.pt") for _ in range(rows)]
    tensors = torch.load(parts / "policy.pt", weights_only=True)
    layers = [(tensors[f"actor_mean.{at}.weight"].numpy(), tensors[f"actor_mean.{at}.bias"].numpy()) for at in (0, 2)]
    state = actor.initial_state(rows)
    for step in range(3):
        obs = written.observations(rows, 12, seed=step)
        latent = np.stack([session.run(None, {"x": row[:9]})[0] for row in obs])
        seen = np.concatenate([latent, obs[:, 8:12]], axis=1)
        with torch.no_grad():
            past = np.concatenate(
                [module(torch.from_numpy(row[None])).numpy() for module, row in zip(modules, seen, strict=True)]
            )
        read = np.concatenate([past, latent[:, 1:2], obs[:, 9:12]], axis=1)
        hidden = np.tanh(read @ layers[0][0].T + layers[0][1])
        wanted = hidden @ layers[1][0].T + layers[1][1]
        actions, *state = actor(torch.from_numpy(obs), *state)
        assert np.abs(actions.numpy() - wanted).max() < 1e-5
    assert differences(policy, rows, 4) < 1e-5


def contract(past: dict[str, Any] | None = None) -> Contract:
    """Three joints: a group of past joint positions and velocities, and a command."""
    data = contract_data()
    group = past or {"steps": [2, 1, 0], "layout": "time_major", "fill": "zero"}
    data["observation"] = {
        "groups": {"past": group},
        "terms": [
            {"term": "joint_pos_rel", "group": "past"},
            {"term": "projected_gravity", "group": "past"},
            {"term": "velocity_command"},
        ],
    }
    return Contract.model_validate(data)


def test_names_are_the_columns_of_groups_and_terms() -> None:
    """A group's columns are those of all its terms, and a step of it is found by its age wherever it stands."""
    named = named_columns(contract({"steps": [2, 0], "layout": "time_major", "fill": "zero"}))
    joints = len(contract().joint_names)
    step = joints + 3
    assert named["past"] == tuple((at, 2 if at < step else 0) for at in range(2 * step))
    assert named["projected_gravity"] == tuple(
        (at, age) for age, end in ((2, step), (0, 2 * step)) for at in range(end - 3, end)
    )
    assert named["velocity_command"] == tuple((2 * step + at, 0) for at in range(3))


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([("parts.encoder.inputs.0", "memory")], r"closes a circle: memory <- encoder <- memory"),
        (
            [("parts.memory.inputs.0", {"columns": [0, 3]})],
            r"memory\.inputs' gives .* 3 .* 4 = 7, but memory\.pt reads 6",
        ),
        ([("parts.policy.inputs.0", "memmory")], r"policy\.inputs\.0' is 'memmory', .*did you mean 'memory'"),
        ([("parts.policy.inputs.0", "past")], r"is 'past', which is no part.*known with its --contract alone"),
        ([("parts.encoder.file", "gone.onnx")], r"parts\.encoder\.file' is gone\.onnx, which is not there"),
        ([("parts.encoder.fil", "x")], r"parts\.encoder\.fil' is unknown"),
        ([("parts.encoder.inputs", None)], r"parts\.encoder\.inputs' is missing"),
        (
            [("parts.spare", {"file": "encoder.onnx", "inputs": [{"columns": [0, 9]}]})],
            r"parts\.spare' is read by no part",
        ),
        ([("result", "polcy")], r"'result' is 'polcy', which is no part.*policy"),
        ([("parts.policy.inputs.1.columns", [1, 3])], r"columns \[1, 3\] of encoder, which has 2 numbers"),
        ([("parts.policy.inputs.1", {"of": "encoder", "ages": [0]})], "encoder is a part, which writes the present"),
        ([("parts.policy.inputs.2.columns", [10, 13])], r"no part reads column"),
        ([("networks_version", 2)], "networks_version' is 2"),
        ([("parts.policy.inputs.2.columns", [3, 3])], r"expected \[first, end\]"),
        ([("parts.encoder.file", "networks.yaml")], "a part is a policy file, and no YAML"),
    ],
)
def test_what_can_not_be_wired_is_said(parts: Path, edits: list[Edit], message: str) -> None:
    """Circles, widths, unknown names, unused parts, missing files: the message names part, given and expected."""
    if message == "no part reads column":
        edits = [*edits, ("parts.memory.inputs.1.columns", [7, 9]), ("parts.memory.inputs.0", {"columns": [0, 4]})]
        edits += [("parts.policy.inputs.1", {"of": "encoder", "columns": [0, 1]})]
    with pytest.raises(CheckpointError, match=message):
        load_policy(wired(parts, *edits))


def test_options_of_one_file_belong_to_its_part(parts: Path) -> None:
    """What is said of the whole of what only one part can be is refused, and names where it goes."""
    with pytest.raises(CheckpointError, match=r"--from is said of one of them.*`from` under the part"):
        load_policy(wired(parts), kind="cleanrl")
    with pytest.raises(CheckpointError, match=r"networks\.yaml: part policy: .*policy\.pt"):
        load_policy(wired(parts, ("parts.policy.from", "skrl")))


def test_a_pair_is_exported_by_the_contracts_names(parts: Path, tmp_path: Path) -> None:
    """From a group and a step of it by name to one ONNX and one TorchScript, proved against the parts run apart; a
    contract with a term that no part reads, or in whose group the step is not, is refused and writes nothing.
    """
    stated = contract()
    step = len(stated.joint_names) + 3
    folder = tmp_path
    encoder(folder / "encoder.onnx", reads=3 * step)
    encoder(folder / "head.onnx", reads=2 + step + 3, writes=stated.action_size)
    data = {
        "networks_version": 1,
        "parts": {
            "encoder": {"file": "encoder.onnx", "inputs": "past"},
            "policy": {"file": "head.onnx", "inputs": ["encoder", {"of": "past", "ages": 0}, "velocity_command"]},
        },
        "result": "policy",
    }
    (folder / "networks.yaml").write_text(yaml.safe_dump(data))

    def export(given: Contract) -> tuple[int, str]:
        (folder / "contract.yaml").write_text(given.to_yaml())
        words = ["export", str(folder / "networks.yaml"), "--contract", str(folder / "contract.yaml")]
        done = CliRunner().invoke(app, [*words, "--out", str(folder / "port")])
        return done.exit_code, " ".join(done.output.split())

    code, said = export(contract({"steps": [3, 2, 1], "layout": "time_major", "fill": "zero"}))
    assert code == 2
    assert "asks for 0 steps ago, but past holds 1, 2, 3" in said
    more = stated.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    more["observation"]["terms"] += [{"term": "joint_vel"}]
    code, said = export(Contract.model_validate(more))
    assert code == 2
    assert "(joint_vel)" in said
    assert not (folder / "port").exists()
    code, said = export(stated)
    words = ["inspect", str(folder / "networks.yaml"), "--contract", str(folder / "contract.yaml")]
    for more in ([], ["--probe"]):
        shown = CliRunner().invoke(app, [*words, *more])
        assert shown.exit_code == 0, shown.output
    assert code == 0, said
    assert "encoder (encoder.onnx) reads past" in said
    session = onnxruntime.InferenceSession(folder / "port/policy.onnx", providers=["CPUExecutionProvider"])
    obs = written.observations(5, stated.observation_size)
    assert [item.name for item in session.get_inputs()] == ["obs"]
    apart = load_policy(folder / "networks.yaml", names=named_columns(stated), width=stated.observation_size).original
    assert apart is not None
    assert np.abs(session.run(None, {"obs": obs})[0] - apart().step(obs)).max() < 1e-5


@pytest.mark.shared
def test_the_point_foot_of_limx_walks(shared: Path, tmp_path: Path) -> None:
    """Its encoder and policy, wired by the names of the contract, walk at the commanded speed in MuJoCo."""
    pytest.importorskip("mujoco")
    folder, own = shared / "real_policies", Path(__file__).resolve().parents[1] / "real_policies/tron1_pf.yaml"
    data = {
        "networks_version": 1,
        "parts": {
            "encoder": {"file": str(folder / "two_networks/tron1_pf.encoder.onnx"), "inputs": "past"},
            "policy": {
                "file": str(folder / "two_networks/tron1_pf.policy.onnx"),
                "inputs": ["encoder", {"of": "past", "ages": 0}, "velocity_command"],
            },
        },
        "result": "policy",
    }
    (tmp_path / "networks.yaml").write_text(yaml.safe_dump(data))
    run = CliRunner().invoke
    words = ["export", str(tmp_path / "networks.yaml"), "--contract", str(own), "--format", "onnx"]
    done = run(app, [*words, "--out", str(tmp_path / "port")])
    assert done.exit_code == 0, done.output
    robot = str(folder / "robots/pf_tron1a/robot.xml")
    words = ["play", str(tmp_path / "port"), "--plant", "mujoco", "--robot", robot, "--no-meshes"]
    done = run(app, [*words, "--seconds", "3", "--command", "0.5,0,0", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    metrics = yaml.safe_load((tmp_path / "out/metrics.json").read_text())["metrics"]
    assert (metrics["survival"], metrics["fallen"]) == (3.0, 0)
    assert 0.4 < metrics["mean_lin_vel_x"] < 0.8
    assert load_contract(own).observation_size == 303


def test_each_key_that_a_message_names_leads_on(parts: Path, tmp_path: Path) -> None:
    """What a message says to write under a part is understood there: version, of, columns, inputs, ignore, states."""
    for key in ("networks_version", "parts", "result"):
        with pytest.raises(CheckpointError, match=r"networks_version: 1|'(parts|result)' is missing"):
            load_policy(wired(parts, (key, None)))
    bare = ("parts.policy.inputs.2", {"ages": [0]})
    with pytest.raises(CheckpointError, match="has ages without `of`"):
        load_policy(wired(parts, bare))
    names = {"past": [(at, 0) for at in range(9, 12)]}
    assert (
        load_policy(wired(parts, ("parts.policy.inputs.2", {"of": "past", "ages": [0]})), names=names).actor.obs_size
        == 12
    )
    with pytest.raises(CheckpointError, match="name the group `of` which they are"):
        load_policy(wired(parts, ("parts.policy.inputs.2", {"of": "observation", "ages": [0]})))
    with pytest.raises(CheckpointError, match=r"whose width only a --contract says; give its columns"):
        load_policy(wired(parts, ("parts.policy.inputs.2", "observation")))
    with pytest.raises(CheckpointError, match=r"no part reads column 12 of the 13 numbers"):
        load_policy(wired(parts), width=13)
    state = torch.load(parts / "policy.pt", weights_only=True)
    torch.save(state | {"estimator.0.weight": torch.zeros(2, 2)}, parts / "grown.pt")
    grown = ("parts.policy.file", "grown.pt")
    with pytest.raises(CheckpointError, match=r"leaves out estimator.*`ignore: \[estimator"):
        load_policy(wired(parts, grown))
    assert load_policy(wired(parts, grown, ("parts.policy.ignore", ["estimator"]))).ignored
    cell(parts / "cell.onnx", ("p", "q"), "action")
    own = {"file": "cell.onnx", "inputs": [{"columns": [0, 6]}], "output": "action"}
    whole = [("parts.encoder", None), ("parts.memory", None), *((f"parts.policy.{key}", own[key]) for key in own)]
    whole.append(("parts.policy.from", None))
    with pytest.raises(CheckpointError, match=r"fills one vector \(6\), but cell\.onnx reads obs \(6\), p \(4\)"):
        load_policy(wired(parts, *whole))
    assert load_policy(wired(parts, *whole, ("parts.policy.states", {"p": "q"}))).actor.state_names == ("p",)
    both = {"obs": [{"columns": [0, 6]}], "p": [{"columns": [6, 10]}]}
    assert load_policy(wired(parts, *whole, ("parts.policy.inputs", both))).actor.obs_size == 10
    with pytest.raises(CheckpointError, match=r"part policy: .*Here --NAME is `NAME` under the part"):
        load_policy(wired(parts, *whole, ("parts.policy.states", {"pp": "q"})))
