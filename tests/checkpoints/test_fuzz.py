"""Damaged files of every format: an error of ours or a policy that runs, never a crash, a hang or a stray file.

1,000 damages are made, from a fixed seed: bytes exchanged, bits flipped, zeros written over, ends cut off. A bare file
that still loads may compute something else, which nothing can know; a port folder notices each byte.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import shutil
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy_port.checkpoints import load_policy
from policy_port.checkpoints.files.agent_config import read_agent_config
from policy_port.checkpoints.files.pickle_scan import scan_pickle
from policy_port.checkpoints.files.safetensors_read import read_safetensors
from policy_port.checkpoints.libraries.lerobot_folder import read_json
from policy_port.contract import Contract
from policy_port.errors import PolicyPortError
from policy_port.export import write
from policy_port.port.folder import load_port
from policy_port.port.manifest import check_manifest
from policy_port.remap import identity_remap
from tests.checkpoints import written
from tests.checkpoints.libraries import sb3_files
from tests.checkpoints.libraries.conftest import foreign as foreign  # the classes that the pickled space needs
from tests.checkpoints.onnx import test_file as test_onnx_file
from tests.checkpoints.torchscript.test_file import Lstm
from tests.samples import contract_data

SEED = 20_260_101
SECONDS = 10
"""Longest that one damaged file may take."""

FORMATS = {
    "pt": 200,
    "pt beside yaml": 100,
    "pth": 150,
    "zip": 150,
    "torchscript": 100,
    "onnx": 150,
    "onnx external data": 100,
    "safetensors folder": 50,
}
"""Damages of each format; together 1,000."""


def rl_games(folder: Path) -> Path:
    rng = written.generator()
    network = {
        **written.linears("a2c_network.actor_mlp", [6, 12, 8], rng),
        "a2c_network.mu.weight": torch.randn(3, 8, generator=rng),
        "a2c_network.mu.bias": torch.zeros(3),
        "a2c_network.sigma": torch.zeros(3),
        "running_mean_std.running_mean": torch.zeros(6, dtype=torch.float64),
        "running_mean_std.running_var": torch.ones(6, dtype=torch.float64),
        "running_mean_std.count": torch.tensor(9.0, dtype=torch.float64),
    }
    written.agent_yaml(folder, params={"network": {"mlp": {"activation": "elu"}}, "config": {"normalize_input": True}})
    return written.save({"model": network, "epoch": 1, "frame": 1}, folder / "nn" / "run.pth")


def torchscript(folder: Path) -> Path:
    path = folder / "policy.pt"
    torch.jit.save(torch.jit.script(Lstm("lstm", 1).eval()), path)
    slim = folder / "slim.pt"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(slim, "w") as small:
        for entry in whole.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                small.writestr(entry.filename, whole.read(entry))
    path.unlink()
    return slim


def safetensors(folder: Path) -> Path:
    pytest.importorskip("lerobot")
    from tests.export.test_lerobot_act import write_folder

    return write_folder(folder / "act", cameras=False)


@pytest.fixture
def sound(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], tuple[Path, list[Path]]]:
    """Writes a sound file of a format: what is loaded, and the files to damage."""

    def make(kind: str) -> tuple[Path, list[Path]]:
        folder = tmp_path / "sound"
        folder.mkdir()
        match kind:
            case "pt":
                path = written.rsl_rl_5(folder)
            case "pt beside yaml":
                path = written.rsl_rl_5(folder)
                return path, [folder / "params" / "agent.yaml"]
            case "pth":
                path = rl_games(folder)
            case "zip":
                # Only here: the stand-ins hide the real gymnasium, which LeRobot imports.
                foreign = request.getfixturevalue("foreign")
                space = foreign["Box"](low=sb3_files.LOW, high=sb3_files.HIGH)
                path = sb3_files.checkpoint(folder / "best_model.zip", sb3_files.ppo(), space)
                sb3_files.statistics(folder / "vecnormalize.pkl", foreign)
                return path, [path, folder / "vecnormalize.pkl"]
            case "torchscript":
                path = torchscript(folder)
            case "onnx":
                path = test_onnx_file.perceptron(folder / "policy.onnx")
            case "onnx external data":
                path = test_onnx_file.perceptron(
                    folder / "policy.onnx", save_as_external_data=True, location="policy.data", size_threshold=0
                )
                return path, [path, folder / "policy.data"]
            case _:
                path = safetensors(folder)
                return path, sorted(path.iterdir())
        return path, [path]

    return make


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Damage bytes in one of the ways in which files get damaged."""
    changed = bytearray(data)
    match rng.randrange(5):
        case 0:
            del changed[rng.randrange(len(changed)) :]
        case 1:
            start = rng.randrange(len(changed))
            length = min(rng.choice([1, 16, 512]), len(changed) - start)
            changed[start : start + length] = bytes(length)
        case 2:
            for _ in range(rng.randrange(1, 9)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        case _:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


@contextlib.contextmanager
def watched(seconds: int = SECONDS) -> Iterator[None]:
    """Fail after some seconds; where even that is not heard, end the process with a traceback."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    faulthandler.dump_traceback_later(6 * seconds, exit=True)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


class Opened:
    """Files that Python code opens for writing, while it is switched on."""

    def __init__(self) -> None:
        self.on = False
        self.found: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or event != "open":
            return
        path, mode, flags = arguments
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        # A library that is imported late is compiled once.
        if writes and isinstance(path, str) and not path.endswith(".pyc") and "__pycache__" not in path:
            self.found.append(path)


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def attempt(load: Callable[[], Any]) -> bool:
    """Load under watch; whatever goes wrong must be an error of ours. True when it loaded."""
    try:
        with watched():
            load()
    except PolicyPortError:
        return False
    return True


def load_and_run(path: Path) -> None:
    actor = load_policy(path).actor
    with torch.no_grad():
        actor(torch.zeros(2, actor.obs_size), *actor.initial_state(2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_an_error_or_a_policy(
    kind: str, sound: Callable, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception but ours, nothing over 10 s, nothing written; what loads also runs."""
    path, files = sound(kind)
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    load_and_run(path)
    original = {file: file.read_bytes() for file in files}
    rng = random.Random(f"{SEED} {kind}")
    refused = 0
    for number in range(FORMATS[kind]):
        file = files[rng.randrange(len(files))]
        file.write_bytes(damaged(original[file], rng))
        before = everything(path.parent)
        opened.on = True
        try:
            refused += not attempt(lambda: load_and_run(path))
        except BaseException as error:
            error.add_note(f"damage {number} of {kind}, file {file.name}")
            raise
        finally:
            opened.on = False
        assert everything(path.parent) == before
        file.write_bytes(original[file])
    assert not opened.found
    assert not list(away.iterdir())
    # Most damage is noticed even without a manifest.
    assert refused > FORMATS[kind] / 5


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A port folder with every file that one can have but a mapping."""
    folder = tmp_path_factory.mktemp("port")
    rng = written.generator()
    state = {"actor_logstd": torch.zeros(1, 4), **written.linears("actor_mean", [24, 8, 8, 8, 4], rng)}
    policy = load_policy(written.save(state, folder / "final_ckpt.pt"))
    contract = Contract.model_validate(contract_data())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "_prove", lambda *args: '{"max_error": 0.0, "max_ratio": 0.0}')
        write.write_port(folder / "port", policy, identity_remap(contract))
    return folder / "port"


def test_any_damage_to_a_port_is_noticed(port: Path, tmp_path: Path) -> None:
    """Every file, damaged in every way, wherever: the port does not load."""
    copy = Path(shutil.copytree(port, tmp_path / "port"))
    rng = random.Random(SEED)
    for file in sorted(copy.iterdir()):
        original = file.read_bytes()
        for _ in range(40):
            changed = damaged(original, rng)
            if changed != original:
                file.write_bytes(changed)
                assert not attempt(lambda: load_port(copy)), file.name
        file.write_bytes(original)
    assert attempt(lambda: load_port(copy))


@given(data=st.data())
def test_any_flipped_byte_of_a_port_is_noticed(port: Path, data: st.DataObject) -> None:
    """Any byte of any file, changed to any other byte, is found by the manifest."""
    name = data.draw(st.sampled_from(sorted(file.name for file in port.iterdir())))
    original = (port / name).read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    other = data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(port, Path(folder) / "port"))
        changed = bytearray(original)
        changed[place] ^= other
        (copy / name).write_bytes(changed)
        with pytest.raises(PolicyPortError, match="was changed after the port was written"):
            check_manifest(copy)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda b: len(b).to_bytes(8, "little") + b))
def test_no_bytes_break_the_reader_of_safetensors(data: bytes) -> None:
    """Arbitrary bytes are tensors or an error of ours."""
    with contextlib.suppress(PolicyPortError):
        read_safetensors(data, "bytes")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_no_table_breaks_the_reader_of_safetensors(shape: Any) -> None:
    """A table of tensors may say anything about a tensor."""
    import json

    table = json.dumps({"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    with contextlib.suppress(PolicyPortError):
        read_safetensors(len(table).to_bytes(8, "little") + table + bytes(4), "bytes")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_small_readers(data: bytes) -> None:
    """Arbitrary bytes as a pickle, as JSON and as agent.yaml are values or an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"
        path.write_bytes(data)
        for read in (
            lambda: scan_pickle(data, "bytes"),
            lambda: read_json(data, "bytes"),
            lambda: read_agent_config(path),
        ):
            with contextlib.suppress(PolicyPortError):
                read()


@given(st.text(max_size=100))
def test_no_text_breaks_agent_yaml(text: str) -> None:
    """Arbitrary text as agent.yaml is values or an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        with contextlib.suppress(PolicyPortError):
            read_agent_config(path)


def test_external_data_is_really_external(sound: Callable) -> None:
    """The fuzzed model keeps its weights in the second file."""
    path, files = sound("onnx external data")
    model = onnx.load(path, load_external_data=False)
    assert all(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    assert files[1].stat().st_size > 0
