"""Reading a safetensors file: a length, a JSON table and plain numbers; nothing in it can run."""

from __future__ import annotations

import json
import math

import torch

from policy_port.errors import CheckpointError

_DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_MAX_HEADER = 16 * 1024**2


def read_safetensors(data: bytes, where: str) -> dict[str, torch.Tensor]:
    """The tensors by name; what is declared must be what the file holds."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _MAX_HEADER):
        raise CheckpointError(f"{where}: no safetensors file, or cut off; copy it again")
    try:
        table = json.loads(data[8 : 8 + size])
        entries = [(str(name), entry) for name, entry in table.items() if name != "__metadata__"]
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{where}: its table of tensors is damaged ({type(error).__name__})") from error
    body = memoryview(data)[8 + size :]
    return {name: _tensor(name, entry, body, where) for name, entry in entries}


def _tensor(name: str, entry: object, body: memoryview, where: str) -> torch.Tensor:
    try:
        assert isinstance(entry, dict)
        dtype, shape, (start, end) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        assert isinstance(shape, list)
        numbers = [*shape, start, end]
        assert all(type(number) is int and number >= 0 for number in numbers)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: the tensor {name} is described wrongly ({entry!r:.120})") from error
    if end > len(body) or start > end or end - start != math.prod(shape) * dtype.itemsize:
        raise CheckpointError(
            f"{where}: the tensor {name} {tuple(shape)} lies at bytes {start} to {end} of {len(body)}; cut off, or "
            "declared wrongly"
        )
    if start == end:
        return torch.zeros(shape, dtype=dtype)
    return torch.frombuffer(bytearray(body[start:end]), dtype=dtype).reshape(shape)
