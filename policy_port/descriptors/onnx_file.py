"""An ONNX file as a descriptor: its metadata and its widths. The weights are not looked at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_port.contract import Contract
from policy_port.contract.yaml_file import MAX_BYTES
from policy_port.descriptors.precise import DECIMALS, ROUNDED
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

if TYPE_CHECKING:
    import onnx


_PRECISE = re.compile(rf"\.\d{{{DECIMALS + 1}}}|\de[+-]?\d")
"""A number with more decimals than trainers keep."""


class OnnxMetadata:
    """The metadata of an ONNX file, read as the comma separated lists that mjlab writes."""

    def __init__(self, path: Path) -> None:
        """Read the file; its weights are not looked at."""
        self.path = path
        self.model = _parse(path)
        self.entries = {entry.key: entry.value for entry in self.model.metadata_props}
        # protobuf hands out bytes where a damaged file's text is none.
        if not all(isinstance(word, str) for entry in self.entries.items() for word in entry):
            raise ContractError(f"{path}: its metadata is no text; the file is damaged")

    def contract(self) -> Contract | None:
        """The contract of a port of this program; None when there is none inside."""
        for key, text in self.entries.items():
            if "contract_version" not in text or len(text) > MAX_BYTES:
                continue
            try:
                return Contract.model_validate_json(text)
            except ValueError as cause:
                raise ContractError(f"{self.path}: metadata '{key}' holds a damaged contract: {cause}") from None
        return None

    def record(self) -> Record:
        """The entries as lists of words and numbers."""
        record = Record(self.path, {key: _values(text) for key, text in self.entries.items()}, "metadata")
        record.rounded = {key: ROUNDED for key, text in self.entries.items() if not _PRECISE.search(text)}
        return record

    def widths(self) -> tuple[int, int] | None:
        """Widths of the observation and the action as the graph states them; None where it leaves them open."""
        stored = {tensor.name for tensor in self.model.graph.initializer}
        inputs = {item.name: _last(item) for item in self.model.graph.input if item.name not in stored}
        outputs = {item.name: _last(item) for item in self.model.graph.output}
        read = inputs.get("obs") or (next(iter(inputs.values())) if len(inputs) == 1 else None)
        written = outputs.get("actions") or (next(iter(outputs.values())) if len(outputs) == 1 else None)
        return (read, written) if read and written else None


def _values(text: str) -> Any:
    words = [word.strip() for word in text.split(",")]
    try:
        return [float(word) for word in words]
    except ValueError:
        return words


def _last(item: onnx.ValueInfoProto) -> int | None:
    dimensions = item.type.tensor_type.shape.dim
    return dimensions[-1].dim_value or None if dimensions else None


def _parse(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise ContractError(f"{path}: is no ONNX file, or is cut off") from None
    except OSError as cause:
        raise ContractError(f"{path}: can't be read: {cause.strerror or type(cause).__name__}") from None
    if not model.graph.node:
        raise ContractError(f"{path}: is no ONNX file with a network")
    return model
