"""The port folder: written whole or not at all, and checked when it is read."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from policy_port.contract import Contract
from policy_port.errors import ContractError, OutputError, PortError, ProofError
from policy_port.export import onnx_graph, write
from policy_port.export.ported_actor import PortedActor
from policy_port.export.tracing import trace
from policy_port.export.write import write_port
from policy_port.port.folder import load_port
from policy_port.port.format import MANIFEST, metadata
from policy_port.port.manifest import write_manifest
from policy_port.remap import build_remap, identity_remap

PARITY = '{"max_error": 1e-7, "max_ratio": 0.1}'
FILES = {
    "contract.yaml",
    "deploy.onnx",
    "deploy_sample.csv",
    "manifest.json",
    "mapping.yaml",
    "parity.json",
    "policy.onnx",
    "policy.pt",
    "sample.npz",
    "source_contract.yaml",
}


@pytest.fixture
def no_proof(monkeypatch):
    """Leaves out the parity check, which has tests of its own."""
    monkeypatch.setattr(write, "_prove", lambda *args: PARITY)


@pytest.fixture
def remap(contract, mapping):
    return build_remap(contract, mapping)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def port_path(kept, no_proof, tmp_path, make_actor, make_policy, remap) -> Path:
    """A copy of a port that is written once."""
    if not (kept / "port").exists():
        write_port(kept / "port", make_policy(make_actor("lstm")), remap)
    return shutil.copytree(kept / "port", tmp_path / "port")


def _left(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name != "model.pt")


def test_port_is_read_back(port_path, contract, mapping, remap):
    """A port holds the contracts, the mapping and the provenance that it was written with, and nothing else."""
    port = load_port(port_path)
    assert {file.name for file in port_path.iterdir()} == FILES
    assert (port.contract, port.source_contract, port.mapping) == (remap.target, contract, mapping)
    assert port.manifest["policy"]["file"] == "model.pt"
    assert set(port.manifest["files"]) == FILES - {MANIFEST}
    assert port.sample.obs.shape == (8, 3, 15)
    assert port.sample.actions.shape == (8, 3, 4)


def test_onnx_carries_the_whole_contract(port_path, remap):
    """Contract, version and source are in the ONNX file itself."""
    inside = metadata(onnx.load(port_path / "policy.onnx"))
    assert Contract.model_validate_json(inside["contract"]) == remap.target
    assert set(inside) == {"contract", "policy_port_version", "producer", "source_sha256"}


def test_sample_is_bit_equal_on_the_same_machine(port_path):
    """Plain onnxruntime repeats the stored sample bit for bit, resets included."""
    sample = load_port(port_path).sample
    session = onnxruntime.InferenceSession(port_path / "policy.onnx")
    memory = [np.zeros((1, 3, 8), np.float32)] * 2
    for obs, reset, expected in zip(sample.obs, sample.reset, sample.actions, strict=True):
        memory = [np.where(reset[:, None], np.float32(0), state) for state in memory]
        actions, *memory = session.run(None, {"obs": obs, "h_in": memory[0], "c_in": memory[1]})
        assert actions.tobytes() == expected.tobytes()
    assert sample.reset[0].all()
    assert sample.reset[1:].any()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_flipped_byte_is_named(port_path, name):
    """One changed byte in any file of the port, the manifest included, is an error that names the file."""
    data = bytearray((port_path / name).read_bytes())
    rng = np.random.default_rng(len(data))
    for position in {0, len(data) - 1, *rng.integers(0, len(data), 4).tolist()}:
        data[position] ^= 1
        (port_path / name).write_bytes(data)
        with pytest.raises(PortError, match=f"{name}: was changed"):
            load_port(port_path)
        data[position] ^= 1
    (port_path / name).write_bytes(data)
    load_port(port_path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(port_path, name):
    """A file that is gone is an error that names it."""
    (port_path / name).unlink()
    with pytest.raises(PortError, match=f"{name}: is missing"):
        load_port(port_path)


def test_an_unknown_file_is_named(port_path):
    """A file that nobody wrote with the port is an error, not ignored."""
    (port_path / "policy.onnx.data").write_bytes(b"?")
    with pytest.raises(PortError, match=r"policy\.onnx\.data: is not in the port's manifest; move it out"):
        load_port(port_path)


def test_no_port_at_all(tmp_path):
    """A missing folder, a file and an ordinary folder are told apart."""
    (tmp_path / "file").touch()
    for name, message in (("absent", "no such folder"), ("file", "give the port's folder"), ("", "this is no port")):
        with pytest.raises(PortError, match=message):
            load_port(tmp_path / name)


def _rewritten(port_path: Path, change) -> None:
    """Change the ONNX file and sum everything up anew, as a broken or forged writer would."""
    model = onnx.load(port_path / "policy.onnx")
    change(model)
    onnx.save(model, port_path / "policy.onnx")
    about = json.loads((port_path / MANIFEST).read_text())
    (port_path / MANIFEST).unlink()
    del about["files"], about["sha256_of_the_rest"]
    write_manifest(port_path, about)


def test_another_weight_fails_the_sample(port_path):
    """A port whose sums are right and whose weights are not fails at its sample."""

    def change(model):
        tensor = next(t for t in model.graph.initializer if t.name.endswith("0.weight"))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), tensor.name))

    _rewritten(port_path, change)
    with pytest.raises(PortError, match="does not compute here what it computed"):
        load_port(port_path)


def test_nan_weight_is_named(port_path):
    """A weight that is not finite is named."""

    def change(model):
        tensor = next(t for t in model.graph.initializer if t.name.endswith("0.bias"))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32("nan"), tensor.name))

    _rewritten(port_path, change)
    with pytest.raises(PortError, match=r"0\.bias' holds NaN"):
        load_port(port_path)


def test_another_contract_inside_is_refused(port_path):
    """The ONNX file's own contract and the one beside it must be the same."""

    def change(model):
        entry = next(e for e in model.metadata_props if e.key == "contract")
        entry.value = entry.value.replace('"timestep":0.005', '"timestep":0.004')

    _rewritten(port_path, change)
    with pytest.raises(PortError, match=r"carries another contract than contract\.yaml"):
        load_port(port_path)


@pytest.mark.parametrize("formats", [("onnx",), ("torchscript",)])
@pytest.mark.parametrize("folded", [False, True])
def test_one_format_is_enough(no_proof, tmp_path, make_actor, make_policy, remap, formats, folded):
    """A port of one format holds that file only, and its sample is replayed from it."""
    port = write_port(tmp_path / "port", make_policy(make_actor("gru")), remap, formats=formats, fold=folded)
    assert (port.onnx is not None, port.torchscript is not None) == ("onnx" in formats, "torchscript" in formats)
    without = {"policy.pt"} if "onnx" in formats else {"policy.onnx", "deploy.onnx", "deploy_sample.csv"}
    assert {file.name for file in port.path.iterdir()} == FILES - without


@pytest.mark.parametrize("kind", ["mlp", "lstm", "gru"])
def test_both_formats_and_folding_agree(no_proof, tmp_path, make_actor, make_policy, remap, kind):
    """ONNX and TorchScript, folded and not, compute the same sample up to rounding."""
    policy = make_policy(make_actor(kind))
    found = [
        write_port(tmp_path / f"{folded}{name}", policy, remap, fold=folded, formats=(name,)).sample.actions
        for folded in (False, True)
        for name in ("onnx", "torchscript")
    ]
    for actions in found[1:]:
        np.testing.assert_allclose(actions, found[0], atol=1e-5)


def test_export_without_a_remap_is_the_bare_network(no_proof, tmp_path, make_actor, make_policy, contract):
    """An export keeps the contract, has no mapping and adds no node."""
    port = write_port(tmp_path / "port", make_policy(make_actor()), identity_remap(contract))
    assert (port.contract, port.source_contract, port.mapping) == (contract, contract, None)
    nodes = [node.op_type for node in onnx.load(port.onnx).graph.node]
    assert nodes == ["Sub", "Div", "Gemm", "Elu", "Gemm", "Elu", "Gemm"]


def test_existing_folder_is_refused_and_replaced_with_force(port_path, make_actor, make_policy, remap):
    """A folder that is there stays as it is unless --force is given."""
    policy = make_policy(make_actor("gru"))
    before = (port_path / MANIFEST).read_bytes()
    with pytest.raises(OutputError, match="--force"):
        write_port(port_path, policy, remap)
    assert (port_path / MANIFEST).read_bytes() == before
    write_port(port_path, policy, remap, force=True)
    assert load_port(port_path).onnx is not None


def _fails(error: BaseException):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ("step", "error", "seen"),
    [
        ("_prove", ProofError("over the gate"), ProofError),
        ("_prove", KeyboardInterrupt(), KeyboardInterrupt),
        ("draw", KeyboardInterrupt(), KeyboardInterrupt),
        ("save_torchscript", OSError(errno.ENOSPC, "No space left on device"), OutputError),
        ("write_manifest", OSError(errno.ENOSPC, "No space left on device"), OutputError),
        ("load_port", PortError("damaged"), PortError),
    ],
)
def test_nothing_is_left_when_a_step_fails(
    no_proof, monkeypatch, tmp_path, make_actor, make_policy, remap, step, error, seen
):
    """Over the gate, Ctrl-C, a full disk, a bad read back: no folder, no half of one, no temporary file."""
    monkeypatch.setattr(write, step, _fails(error))
    with pytest.raises(seen):
        write_port(tmp_path / "deep" / "port", make_policy(make_actor()), remap)
    assert _left(tmp_path) == []


def test_network_width_must_be_the_contracts(tmp_path, make_actor, make_policy, remap):
    """A network of another width is refused before anything is written, with both widths and the terms."""
    with pytest.raises(ContractError, match=r"reads 14 numbers.*describes 15: base_ang_vel 3"):
        write_port(tmp_path / "port", make_policy(make_actor(obs_size=14)), remap)
    assert _left(tmp_path) == []


def test_unknown_format_is_refused(tmp_path, make_actor, make_policy, remap):
    """A misspelt format names the one that was meant."""
    with pytest.raises(OutputError, match="'onx' is unknown; did you mean 'onnx'"):
        write_port(tmp_path / "port", make_policy(make_actor()), remap, formats=("onx",))


def test_state_that_does_not_start_at_zero_needs_torchscript(
    no_proof, tmp_path, monkeypatch, make_actor, make_policy, remap
):
    """An ONNX file can't say where a state starts, so such a policy goes to TorchScript, which can."""
    import torch

    actor = make_actor("gru")
    monkeypatch.setattr(actor, "initial_state", lambda batch, **kw: (torch.full((1, batch, 8), 0.5),), raising=False)
    with pytest.raises(PortError, match="does not start at zero.*export it with --format torchscript and without"):
        write_port(tmp_path / "port", make_policy(actor), remap)
    write_port(tmp_path / "port", make_policy(actor), remap, formats=("torchscript",))


def test_reading_a_port_does_without_torch(port_path):
    """A robot's computer reads and replays a port with ONNX Runtime alone."""
    program = f"""
import sys
sys.modules["torch"] = None
from policy_port.port.folder import load_port
assert load_port({str(port_path)!r}).contract.name == "four"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_onnx_file_runs_without_the_package(port_path):
    """Plain onnxruntime in a process that can't import this package runs the file at batch 1, 7 and 64."""
    program = f"""
import sys
sys.modules["policy_port"] = None
import json, numpy, onnxruntime
session = onnxruntime.InferenceSession({str(port_path / "policy.onnx")!r})
assert json.loads(session.get_modelmeta().custom_metadata_map["contract"])["name"] == "four"
for batch in (1, 7, 64):
    state = numpy.zeros((1, batch, 8), numpy.float32)
    feed = {{"obs": numpy.zeros((batch, 15), numpy.float32), "h_in": state, "c_in": state}}
    actions, h, c = session.run(["actions", "h_out", "c_out"], feed)
    assert actions.shape == (batch, 4) and h.shape == c.shape == state.shape
"""
    subprocess.run([sys.executable, "-I", "-c", program], check=True)


@pytest.mark.parametrize(("kind", "folded"), [("mlp", True), ("gru", False)])
def test_what_is_written_is_proved(tmp_path, make_actor, make_policy, remap, kind, folded):
    """The parity check runs on the files that are then put in place, and its report says how far they are off."""
    port = write_port(tmp_path / "port", make_policy(make_actor(kind)), remap, fold=folded)
    assert port.parity["passed"]
    assert 0.0 < port.parity["max_error"] < 1e-4
    assert [file["file"] for file in port.parity["files"]] == ["policy.onnx", "policy.pt"]


def test_a_wrong_file_is_not_put_in_place(tmp_path, monkeypatch, make_actor, make_policy, remap):
    """A port whose ONNX file holds other weights than the checkpoint fails its proof, and nothing is left."""
    build = onnx_graph.build_onnx
    other = make_actor(seed=1)
    monkeypatch.setattr(onnx_graph, "build_onnx", lambda traced, actor: build(trace(PortedActor(other, remap)), actor))
    with pytest.raises(ProofError, match=r"policy\.onnx"):
        write_port(tmp_path / "port", make_policy(make_actor()), remap)
    assert _left(tmp_path) == []
