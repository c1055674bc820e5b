"""Reading an ONNX model with its external data, bounded and inside its folder."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from policy_port.checkpoints.files.safe_load import MAX_FILE_BYTES
from policy_port.checkpoints.onnx.cut import cut_network
from policy_port.checkpoints.onnx.drawn import DRAWN, drawn_error, without_draws
from policy_port.checkpoints.onnx.nodes import OPERATORS
from policy_port.errors import CheckpointError, UnsafeFileError, closest

_BYTES: dict[int, int] = {
    onnx.TensorProto.FLOAT: 4,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.FLOAT16: 2,
    onnx.TensorProto.BFLOAT16: 2,
    onnx.TensorProto.INT64: 8,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.INT16: 2,
    onnx.TensorProto.INT8: 1,
    onnx.TensorProto.UINT8: 1,
    onnx.TensorProto.BOOL: 1,
}


def read_model(
    path: Path, data: bytes, given: Mapping[str, str], *, mean: bool
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Parse and check a model; afterwards all its data is inside it.

    Args:
        path: The file.
        data: Its bytes.
        given: Outputs by the role that the user names.
        mean: Take the mean of random numbers, instead of refusing them.

    Returns:
        The model of the network, and what the file holds beside it, in words.
    """
    # What is left out is never executed, so its operators don't matter.
    model, notes = cut_network(parse_model(path, data), given)
    model, told = without_draws(model, str(path), mean=mean)
    check_model(model, path)
    return model, (*notes, *told)


def parse_model(path: Path, data: bytes) -> onnx.ModelProto:
    """The model that bytes hold, not checked yet."""
    where = str(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"{where}: not an ONNX model, or cut off ({error or 'no message'})") from error
    if not model.graph.node:
        raise CheckpointError(f"{where}: not an ONNX model with a graph; the file is damaged or something else")
    _require_text(model, where)
    return model


def check_model(model: onnx.ModelProto, path: Path, also: frozenset[str] = frozenset()) -> None:
    """Raise on what no policy has need of, and on damage; afterwards all data is inside the model.

    Args:
        model: The model.
        path: Its file.
        also: Operators that may be in it beside those that a network has need of.
    """
    where = str(path)
    _check_operators(model, where, OPERATORS | also)
    for tensor in _tensors(model.graph):
        _check_tensor(tensor, path)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        # The checker reports through several kinds of exception; each means that the model breaks the standard.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"{where}: the ONNX checker refuses it ({reason})") from error


def with_data(tensor: onnx.TensorProto, path: Path) -> onnx.TensorProto:
    """A tensor whose numbers are inside it, checked."""
    _check_tensor(tensor, path)
    return tensor


def _require_text(message: Message, where: str) -> None:
    """Raise on a name that is no text; protobuf hands such names out as bytes, which nothing after this expects."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        if field.type == FieldDescriptor.TYPE_STRING and any(isinstance(item, bytes) for item in values):
            raise CheckpointError(f"{where}: {field.name} holds bytes that are no text; the file is damaged")
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in values:
                _require_text(item, where)


def _check_operators(model: onnx.ModelProto, where: str, known: frozenset[str]) -> None:
    """Raise on operators that are not ONNX's own or that no policy has need of."""
    if model.functions:
        raise UnsafeFileError(f"{where}: defines functions of its own ({model.functions[0].name}); export it inlined")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise UnsafeFileError(
                f"{where}: uses {node.domain}.{node.op_type}, an operator outside the ONNX standard; that needs a "
                "compiled library and is refused"
            )
        if node.op_type == "If" and any("decimation" in entry.key for entry in model.metadata_props):
            raise CheckpointError(
                f"{where}: chooses between steps of a controller and of a simulator, as Exploy wraps its graph; give "
                "the file of one control step that Exploy writes beside it (its default mode)"
            )
        if node.op_type in DRAWN:
            raise drawn_error(node, where)
        if node.op_type not in known:
            raise UnsafeFileError(
                f"{where}: uses the operator {node.op_type}, which is not on the list of those that policies have need "
                f"of{closest(node.op_type, known)}"
            )


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: onnx.TensorProto, path: Path) -> None:
    """Check a tensor's declared size against its data, after fetching data that lies outside the file."""
    name = tensor.name or "a constant"
    width = _BYTES.get(tensor.data_type)
    if width is None:
        raise CheckpointError(f"{path}: {name} has the ONNX type {tensor.data_type}, which policies don't use")
    if any(size < 0 for size in tensor.dims):
        raise CheckpointError(f"{path}: {name} has the shape {tuple(tensor.dims)}")
    declared = math.prod(tensor.dims) * width
    if declared > MAX_FILE_BYTES:
        raise UnsafeFileError(f"{path}: {name} declares {declared} bytes, more than any policy has")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _fetch(tensor, declared, path, name)
    held = len(tensor.raw_data)
    if tensor.HasField("raw_data") and held != declared:
        raise CheckpointError(f"{path}: {name} declares {declared} bytes and holds {held}")


def _fetch(tensor: onnx.TensorProto, declared: int, path: Path, name: str) -> None:
    """Move external data into the tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(declared)))
    except ValueError as error:
        raise CheckpointError(
            f"{path}: the external data of {name} has an offset or length that is no number"
        ) from error
    if offset < 0 or length != declared:
        raise UnsafeFileError(
            f"{path}: the external data of {name} has length {length} at offset {offset}; its shape "
            f"{tuple(tensor.dims)} takes {declared} bytes"
        )
    content = read_inside(path.parent, location, offset, length, f"{path}: the external data of {name}")
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.DEFAULT
    tensor.raw_data = content


def read_inside(folder: Path, location: str, offset: int, length: int, where: str) -> bytes:
    """Read a part of a regular file inside `folder`, through no link of any kind."""
    parts = PurePosixPath(location).parts
    outside = (
        not location
        or "\\" in location
        or PurePosixPath(location).is_absolute()
        or bool(PureWindowsPath(location).drive)
        or ".." in parts
    )
    if outside:
        raise UnsafeFileError(f"{where} lies at '{location}', outside the model's folder; it must be beside the model")
    target = folder
    for part in parts:
        target = target / part
        if target.is_symlink():
            raise UnsafeFileError(f"{where} lies at '{location}', which is a link; put the file itself there")
    try:
        descriptor = os.open(target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{where} can't be read from '{location}' ({error}); copy that file beside the model"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise UnsafeFileError(f"{where} lies at '{location}', which is not a regular file")
        if info.st_nlink > 1:
            raise UnsafeFileError(
                f"{where} lies at '{location}', which has {info.st_nlink} names (hard links) and may be a file from "
                "elsewhere; copy it"
            )
        if offset + length > info.st_size:
            raise UnsafeFileError(
                f"{where} ends at byte {offset + length}, but '{location}' has only {info.st_size} bytes"
            )
        file.seek(offset)
        return file.read(length)
