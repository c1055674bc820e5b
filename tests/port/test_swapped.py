"""What was held against the manifest is what runs, whatever lies in the folder by then."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.export import write
from policy_port.export.write import write_port
from policy_port.port import folder
from policy_port.port.folder import load_port
from policy_port.port.format import CONTRACT, ONNX, PARITY, SAMPLE, SOURCE_CONTRACT, TORCHSCRIPT
from policy_port.remap import identity_remap
from policy_port.replay.recording import policy_identity


@pytest.fixture
def ports(tmp_path: Path, make_actor, make_policy, contract, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two ports of different weights."""
    monkeypatch.setattr(write, "_prove", lambda *args: '{"max_error": 1e-7, "max_ratio": 0.1}')
    made = []
    for seed, name in enumerate(("one", "other")):
        port = write_port(tmp_path / name, make_policy(make_actor(seed=seed)), identity_remap(contract))
        made.append(port.path)
    assert (made[0] / ONNX).read_bytes() != (made[1] / ONNX).read_bytes()
    return made[0], made[1]


@pytest.mark.parametrize("swap", ["other", "link", "gone", "garbage"])
def test_a_file_swapped_after_the_check_is_not_looked_at(
    ports: tuple[Path, Path], swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between check and use every file may become another, a link, garbage or nothing: the checked bytes are used."""
    path, other = ports
    expected = load_port(path)
    check = folder.check_manifest

    def check_then_swap(given: Path):
        found = check(given)
        for name in (ONNX, TORCHSCRIPT, CONTRACT, SOURCE_CONTRACT, SAMPLE, PARITY):
            (given / name).unlink()
            if swap == "other":
                shutil.copy(other / name, given / name)
            elif swap == "link":
                (given / name).symlink_to(other / name)
            elif swap == "garbage":
                (given / name).write_bytes(b"garbage")
        return found

    monkeypatch.setattr(folder, "check_manifest", check_then_swap)
    port = load_port(path)
    assert port.contract == expected.contract
    assert port.parity == expected.parity
    np.testing.assert_array_equal(port.sample.actions, expected.sample.actions)
    assert port.onnx is not None
    assert port.torchscript is not None
    for file in (port.onnx, port.torchscript):
        port.sample.check(port.run(file), file)


def test_a_pilot_of_another_graph_flies_that_one(ports: tuple[Path, Path]) -> None:
    """The bytes that were checked are those of one file: a pilot that is given another file runs the other."""
    path, other = ports
    pilot = load_port(path).pilot()
    assert pilot.content == (path / ONNX).read_bytes()
    assert replace(pilot, onnx=other / ONNX).content == (other / ONNX).read_bytes()


def test_a_pilot_flies_what_was_checked(ports: tuple[Path, Path]) -> None:
    """A graph that is replaced after its port was loaded does not fly, and the trace names the one that does."""
    path, other = ports
    port = load_port(path)
    pilot = port.pilot()
    before = policy_identity(pilot)
    shutil.copy(other / ONNX, path / ONNX)
    policy = pilot.open()
    policy.observation[...] = port.sample.obs[0, :1]
    np.testing.assert_allclose(policy.act(), port.sample.actions[0, :1], atol=1e-5)
    assert policy_identity(pilot) == before
    assert before["policy_sha256"] == port.manifest["files"][ONNX]
    (path / ONNX).unlink()
    assert pilot.chunking() is None
    assert pilot.open(2).observation.shape[0] == 2
