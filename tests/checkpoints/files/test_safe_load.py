"""Files that are damaged, foreign or hostile."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError, UnsafeFileError
from tests.checkpoints import written


class Command:
    """Pickles to a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_an_empty_file_is_named_empty(tmp_path: Path) -> None:
    """Zero bytes are an error with words of its own."""
    path = tmp_path / "model.pt"
    path.touch()
    with pytest.raises(CheckpointError, match="the file is empty"):
        load_policy(path)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_truncated_file_says_so(tmp_path: Path, kept: float) -> None:
    """A checkpoint cut off anywhere is an error that suggests copying it again."""
    path = written.rsl_rl_5(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(CheckpointError, match="cut off or damaged"):
        load_policy(path)


def test_random_bytes_are_not_a_policy(tmp_path: Path) -> None:
    """Noise is refused with what it begins with."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x01" + random.Random(0).randbytes(2000))
    with pytest.raises(CheckpointError, match="begins with"):
        load_policy(path)


@pytest.mark.parametrize("name", ["absent.pt", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are errors."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="can't be read|a folder"):
        load_policy(tmp_path / name)


@pytest.mark.parametrize("bare", [True, False])
def test_a_pickle_that_runs_a_command_is_refused_unrun(tmp_path: Path, bare: bool) -> None:
    """A pickle that would call os.system is refused by that name, and the command never runs."""
    mark = tmp_path / "executed"
    payload = {"actor_state_dict": Command(f"touch {mark}")}
    path = tmp_path / "model.pt"
    if bare:
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, path)
    with pytest.raises(UnsafeFileError, match=r"import and run (posix|nt)\.system.*nothing of it was executed"):
        load_policy(path)
    assert not mark.exists()


def rewritten(path: Path, change: dict[str, bytes]) -> Path:
    """Replace members of a PyTorch archive."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, change.get(name.split("/", 1)[1], content))
    return path


def test_a_declared_size_beyond_the_data_is_refused(tmp_path: Path) -> None:
    """A tensor that declares more elements than its data holds would be read out of bounds; it is refused."""
    path = written.rsl_rl_5(tmp_path)
    with pytest.raises(UnsafeFileError, match="declares 40 bytes for tensor data 0, but the archive holds 4"):
        load_policy(rewritten(path, {"data/0": b"abcd"}))


def test_a_zip_that_is_no_policy_lists_its_members(tmp_path: Path) -> None:
    """Another kind of zip archive is refused with what it holds."""
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="neither PyTorch's nor Stable-Baselines3's. It holds readme.txt"):
        load_policy(path)


def test_an_archive_with_doubled_members_is_refused(tmp_path: Path) -> None:
    """Two members of one name, of which two readers might see different ones, are refused."""
    path = written.rsl_rl_5(tmp_path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model_5/data.pkl", b"")
    with pytest.raises(UnsafeFileError, match="twice"):
        load_policy(path)


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    """An archive that unpacks to far more than its size is refused before it is unpacked."""
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(100_000_000))
    with pytest.raises(UnsafeFileError, match="unpacks to far more"):
        load_policy(path)


def test_a_list_is_not_a_checkpoint(tmp_path: Path) -> None:
    """Tensors without names are refused."""
    with pytest.raises(CheckpointError, match="holds a list"):
        load_policy(written.save([torch.zeros(3)], tmp_path / "model.pt"))


def test_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    """Flipped, deleted and inserted bytes give a policy or our own error, never another exception."""
    path = written.rsl_rl_5(tmp_path)
    scripted = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(4, 2), torch.zeros(1, 4)), scripted)
    rng = random.Random(0)
    for original in (path.read_bytes(), scripted.getvalue()):
        for _ in range(150):
            data = bytearray(original)
            for _ in range(rng.choice((1, 4))):
                place = rng.randrange(len(data))
                match rng.randrange(3):
                    case 0:
                        data[place] ^= 1 << rng.randrange(8)
                    case 1:
                        del data[place : place + rng.randrange(1, 50)]
                    case _:
                        data[place:place] = rng.randbytes(rng.randrange(1, 50))
            path.write_bytes(bytes(data))
            with contextlib.suppress(CheckpointError):
                load_policy(path)


def actor_state() -> dict[str, torch.Tensor]:
    return {"actor.0.weight": torch.ones(4, 3), "actor.0.bias": torch.zeros(4)}


def shared(levels: int) -> dict[str, object]:
    """Tables that hold one another twice: 2 ** levels ways through a few entries."""
    inner: dict[str, object] = {"x": torch.zeros(1)}
    for _ in range(levels):
        inner = {"a": inner, "b": inner}
    return inner


def holding_itself() -> dict[str, object]:
    table: dict[str, object] = {}
    table["again"] = table
    return table


def nested(levels: int) -> object:
    inner: object = []
    for _ in range(levels):
        inner = [inner]
    return inner


@pytest.mark.parametrize("key", ["infos", "optimizer_state_dict", "actor_state_dict"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shared(40), "more than 200000 entries"),
        (holding_itself, "holds itself"),
        (lambda: nested(200), "nested more than 50 deep"),
        (lambda: {"w": torch.zeros(1).expand(20_000, 20_000)}, "shows 400000000 numbers and holds 1"),
        (lambda: {"w": [torch.zeros(1).expand(20_000, 20_000)]}, "shows 400000000 numbers and holds 1"),
        (lambda: {"a\x1b[31m": torch.zeros(1)}, "holds what no name has"),
    ],
    ids=["shared", "itself", "deep", "stride 0", "stride 0 in a list", "escape"],
)
def test_tables_that_multiply_are_refused_soon(
    tmp_path: Path, key: str, make: Callable[[], object], message: str
) -> None:
    """Wherever it stands, in the actor or beside it: an error of ours, before anything walks or spreads it."""
    path = tmp_path / "model.pt"
    torch.save({"actor_state_dict": actor_state(), key: make()}, path)
    began = time.monotonic()
    with pytest.raises(UnsafeFileError, match=message):
        load_policy(path)
    assert time.monotonic() - began < 10.0


def test_an_archive_of_many_members_is_refused_soon(tmp_path: Path) -> None:
    """Twelve thousand empty members are an error within seconds."""
    path = tmp_path / "policy.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(12_000):
            archive.writestr(f"policy/code/{index}", b"")
    began = time.monotonic()
    with pytest.raises(UnsafeFileError, match="holds 12000 members"):
        load_policy(path)
    assert time.monotonic() - began < 10.0


def test_a_bomb_under_every_ratio_is_refused_by_its_size(tmp_path: Path) -> None:
    """What unpacks to hundreds of megabytes is refused before it is unpacked, however modest its ratio."""
    path = tmp_path / "policy.pt"
    rng = random.Random(0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        block = (rng.randbytes(2**14) + bytes(2**20 - 2**14)) * 10
        for index in range(30):
            archive.writestr(f"policy/code/{index}", block)
    assert path.stat().st_size * 64 > 300 * 2**20
    with pytest.raises(UnsafeFileError, match="unpacks to far more"):
        load_policy(path)
