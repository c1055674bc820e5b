"""Reading a file that may be hostile: bounded, checked before it is loaded, and never executed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from policy_port.checkpoints.files.pickle_scan import PickleScan, scan_pickle
from policy_port.checkpoints.files.wrapped import unwrapped
from policy_port.checkpoints.policy import Source
from policy_port.errors import CheckpointError, UnsafeFileError

MAX_FILE_BYTES = 2 * 1024**3
"""Largest file that is read; a policy is a thousand times smaller."""

MAX_MEMBERS = 10_000
"""Members of an archive at most; a policy has one for each tensor."""

MAX_UNPACKED = 256 * 2**20
"""How much an archive may unpack to beyond twice its own size, and to 64 times of it at most [bytes]."""

MAX_ENTRIES = 200_000
"""Entries of a checkpoint's tables at most, each counted as often as it is reached."""

MAX_DEPTH = 50
"""Deepest table of a checkpoint."""

MAX_SPREAD = 1_000_000
"""Numbers of a tensor that holds fewer than it shows, at most; torch.expand makes such."""

_STORAGE_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "UntypedStorage": 1,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}

_TENSOR_IMPORTS = frozenset(
    {f"torch.{name}" for name in _STORAGE_BYTES}
    | {
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch._tensor._rebuild_from_type_v2",
        "torch.storage.UntypedStorage",
        "torch.serialization._get_layout",
        "torch.Tensor",
        "torch.nn.parameter.Parameter",
        "torch.Size",
        "torch.device",
        "torch.float32",
        "torch.float64",
        "torch.int64",
        "collections.OrderedDict",
    }
)
_NUMPY_SCALAR_IMPORTS = frozenset(
    {
        # rl_games stores its best reward as a NumPy scalar; rebuilding one runs no code of the file's choosing.
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.dtypes.Float64DType",
        "numpy.dtypes.Float32DType",
        "numpy.dtypes.Int64DType",
        "_codecs.encode",
    }
)


def read_source(path: Path) -> Source:
    """Read a file once, find out what kind of container it is, and check it before anything is loaded from it."""
    return source_of(path, read_bounded(path))


def source_of(path: Path, data: bytes) -> Source:
    """What `read_source` finds, of a file that was read already."""
    digest = hashlib.sha256(data).hexdigest()
    members: dict[str, bytes] = {}
    tree: dict[str, object] = {}
    wrappers: tuple[str, ...] = ()
    if data.startswith(b"PK\x03\x04"):
        members = read_archive(data, str(path))
        if any(name.startswith("code/") for name in members):
            container = "torchscript"
        elif "data.pkl" in members:
            container = "torch"
            tree, wrappers = unwrapped(load_tensors(members, str(path)), str(path))
        elif "policy.pth" in members and "data" in members:
            container = "sb3"
        else:
            raise CheckpointError(
                f"{path}: a zip archive, but neither PyTorch's nor Stable-Baselines3's. It holds "
                f"{', '.join(sorted(members)[:8]) or 'nothing'}"
            )
    elif _looks_like_onnx(path, data):
        container = "onnx"
    else:
        raise _foreign(path, data)
    return Source(
        path=path, data=data, sha256=digest, container=container, members=members, tree=tree, wrappers=wrappers
    )


def read_bounded(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a regular file no larger than `limit`."""
    try:
        # Without waiting, and asked of what was opened: a pipe has no writer, and a path may lead elsewhere by now.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise CheckpointError(f"{path}: not a regular file")
            if info.st_size == 0:
                raise CheckpointError(f"{path}: the file is empty; the training or the copy was cut off")
            if info.st_size > limit:
                raise CheckpointError(f"{path}: {info.st_size} bytes; more than the {limit} that a policy may have")
            # The file may have grown since it was measured.
            data = file.read(limit + 1)
    except IsADirectoryError:
        raise CheckpointError(f"{path}: a folder; give the policy file inside it") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError):
            raise CheckpointError(f"{path!r}: is no name of a file ({error})") from None
        raise CheckpointError(f"{path}: can't be read ({error.strerror or type(error).__name__})") from error
    if len(data) > limit:
        raise CheckpointError(f"{path}: more than the {limit} bytes that a policy may have")
    return data


def read_archive(data: bytes, where: str) -> dict[str, bytes]:
    """The members of a zip archive by name, without the folder that PyTorch puts them in.

    Archives that unpack to far more than the file, and doubled members, are refused: memory stays bounded, and no two
    readers can see different archives in it. Reading a member checks its CRC.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > MAX_MEMBERS:
                raise UnsafeFileError(f"{where}: the archive holds {len(infos)} members; a policy has some hundred")
            if sum(info.file_size for info in infos) > min(2 * len(data) + MAX_UNPACKED, 64 * len(data) + 2**20):
                raise UnsafeFileError(f"{where}: the archive unpacks to far more than the file holds")
            doubled = sorted(name for name, count in Counter(i.filename for i in infos).items() if count > 1)
            if doubled:
                raise UnsafeFileError(f"{where}: the archive holds {doubled[0]} twice")
            members = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"{where}: the archive is cut off or damaged ({error or type(error).__name__}); copy the file again"
        ) from error
    except Exception as error:
        if type(error).__module__ not in ("zlib", "_lzma", "struct"):
            raise
        raise CheckpointError(f"{where}: the archive is damaged ({error}); copy the file again") from error
    tops = {name.split("/", 1)[0] for name in members}
    if len(tops) == 1 and all("/" in name for name in members):
        return {name.split("/", 1)[1]: content for name, content in members.items()}
    return members


def pack_archive(members: dict[str, bytes]) -> bytes:
    """Write members to an archive that PyTorch reads.

    Loaders get this instead of the file itself, so that PyTorch's zip reader can't see anything but the members
    that were checked.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def load_tensors(members: dict[str, bytes], where: str) -> dict[str, object]:
    """Load the pickle of a PyTorch archive as tensors and plain values, or refuse it."""
    scan = scan_pickle(members["data.pkl"], where)
    refuse_imports(scan, _TENSOR_IMPORTS | _NUMPY_SCALAR_IMPORTS, where)
    check_storages(scan, members, "data/", where)
    try:
        with _numpy_scalars(scan), warnings.catch_warnings():
            # What PyTorch warns of, such as an odd pickle protocol, ends in an error or does not matter.
            warnings.simplefilter("ignore")
            tree = torch.load(io.BytesIO(pack_archive(members)), map_location="cpu", weights_only=True)
    except Exception as error:
        # PyTorch raises whatever the broken bytes lead it to; all of it means that the file can't be read.
        reason = next(iter(str(error).strip().splitlines()), "no message")
        raise CheckpointError(
            f"{where}: PyTorch can't read it as tensors ({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(tree, dict):
        raise CheckpointError(f"{where}: holds a {type(tree).__name__}, not the dict of tensors that trainers write")
    _check_tree(tree, where)
    return {str(key): value for key, value in tree.items()}


def _check_tree(tree: object, where: str) -> None:
    """Raise when tables hold themselves or multiply, names can't be shown, or a tensor shows what it does not hold.

    Whoever walks the tree afterwards meets a bounded number of plain entries.
    """
    entries = 0
    pending: list[tuple[str, object, tuple[int, ...]]] = [("", tree, ())]
    while pending:
        name, value, above = pending.pop()
        entries += 1
        if entries > MAX_ENTRIES:
            raise UnsafeFileError(f"{where}: its tables come to more than {MAX_ENTRIES} entries; this is no policy")
        if isinstance(value, torch.Tensor):
            shown = value.numel() * value.element_size()
            if value.numel() > MAX_SPREAD and shown > value.untyped_storage().nbytes():
                raise UnsafeFileError(
                    f"{where}: the tensor {name} shows {value.numel()} numbers and holds "
                    f"{value.untyped_storage().nbytes() // value.element_size()}"
                )
        elif isinstance(value, dict | list | tuple):
            if id(value) in above:
                raise UnsafeFileError(f"{where}: {name or 'its table'} holds itself")
            if len(above) > MAX_DEPTH:
                raise UnsafeFileError(f"{where}: its tables are nested more than {MAX_DEPTH} deep")
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in inside:
                if isinstance(key, str) and not key.isprintable():
                    raise UnsafeFileError(f"{where}: the name {key[:60]!a} holds what no name has")
                pending.append((f"{name}.{key}" if name else str(key), inner, (*above, id(value))))


def refuse_imports(scan: PickleScan, allowed: frozenset[str], where: str) -> None:
    """Raise when a pickle would import anything that plain tensors have no need of."""
    unknown = sorted(scan.imports - allowed)
    if unknown:
        raise UnsafeFileError(
            f"{where}: loading it would import and run {', '.join(unknown[:8])}, so it is refused; nothing of it was "
            "executed. If you trust it, load it where it was trained and save only its state dict"
        )


def check_storages(scan: PickleScan, members: dict[str, bytes], folder: str, where: str) -> None:
    """Raise when a pickle declares more elements than the archive holds; PyTorch's readers trust the number."""
    for storage in scan.storages:
        content = members.get(f"{folder}{storage.key}")
        if content is None:
            raise CheckpointError(f"{where}: the tensor data {storage.key} is missing from the archive")
        width = _STORAGE_BYTES.get(storage.dtype)
        if width is None:
            raise UnsafeFileError(f"{where}: holds tensors of the type {storage.dtype}, which no policy needs")
        if storage.count < 0 or storage.count * width > len(content):
            raise UnsafeFileError(
                f"{where}: declares {storage.count * width} bytes for tensor data {storage.key}, but the archive "
                f"holds {len(content)}"
            )


def check_tensor(name: str, tensor: torch.Tensor, where: str) -> None:
    """Raise when a tensor reaches beyond its data, which the TorchScript reader does not check, or is not finite."""
    last = tensor.storage_offset() + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    inside = tensor.numel() == 0 or (
        tensor.storage_offset() >= 0 and (last + 1) * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )
    if not inside or any(stride < 0 for stride in tensor.stride()):
        raise UnsafeFileError(f"{where}: the tensor {name} reaches beyond its data")
    require_finite({name: tensor}, where)


def require_finite(tensors: dict[str, torch.Tensor], where: str) -> None:
    """Raise when a weight is NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(
                f"{where}: {name} has {bad} of {tensor.numel()} values NaN or infinite; the training diverged or the "
                "file is damaged. Take an earlier checkpoint"
            )


@contextlib.contextmanager
def _numpy_scalars(scan: PickleScan) -> Iterator[None]:
    """Allow exactly the NumPy names needed for a scalar, and only when the file holds one."""
    if not scan.imports & _NUMPY_SCALAR_IMPORTS:
        yield
        return
    import _codecs

    import numpy as np
    from numpy._core import multiarray

    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        multiarray.scalar,
        (multiarray.scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        type(np.dtype(np.float64)),
        type(np.dtype(np.float32)),
        type(np.dtype(np.int64)),
        _codecs.encode,
    ]
    with torch.serialization.safe_globals(allowed):
        yield


def _looks_like_onnx(path: Path, data: bytes) -> bool:
    """Whether the bytes begin like an ONNX model: the field ir_version with a small number."""
    return path.suffix.lower() == ".onnx" or (len(data) > 2 and data[0] == 0x08 and data[1] < 0x20)


def _foreign(path: Path, data: bytes) -> CheckpointError:
    """The error that says what a file is instead of a policy."""
    if data[:1] == b"\x80":
        try:
            imports = sorted(scan_pickle(data, str(path)).imports - _TENSOR_IMPORTS)
        except CheckpointError as error:
            return error
        if imports:
            return UnsafeFileError(
                f"{path}: a bare pickle that would import and run {', '.join(imports[:8])}, so it is refused; nothing "
                "of it was executed"
            )
        return CheckpointError(
            f"{path}: a bare pickle, or a checkpoint in the format PyTorch wrote before 1.6. Load it where it was "
            "trained and save its state dict again"
        )
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return CheckpointError(f"{path}: an HDF5 file; policies are .pt, .pth, .zip or .onnx files")
    if data.startswith(b"version https://git-lfs"):
        return CheckpointError(f"{path}: a Git LFS pointer, not the file itself; run `git lfs pull`")
    return CheckpointError(
        f"{path}: begins with {data[:8]!r}; that is neither a PyTorch archive (.pt, .pth), a Stable-Baselines3 .zip "
        "nor an ONNX model"
    )
