"""Metadata inside an ONNX file: mjlab's and BeyondMimic's three decimals, or this program's own whole contract."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_port.contract import Contract
from policy_port.contract.yaml_file import MAX_BYTES
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint
from policy_port.descriptors.layouts import HISTORY, find_layout
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import DECIMALS, PreciseValues, worst_rounding
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

if TYPE_CHECKING:
    import onnx

FLAGS = frozenset({"layout", "precise", "gains_order"})
LAYOUT_NAMES = ("mjlab_velocity", "beyondmimic")

# Keys that mjlab writes only since after its gains were put into joint order (mjlab pull requests 352 and 903).
_LATER_KEYS = ("observation_terms_scale", "observation_terms_history_length")


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
        return Record(self.path, {key: _values(text) for key, text in self.entries.items()}, "metadata")

    def widths(self) -> tuple[int, int] | None:
        """Widths of the observation and the action as the graph states them; None where it leaves them open."""
        stored = {tensor.name for tensor in self.model.graph.initializer}
        inputs = {item.name: _last(item) for item in self.model.graph.input if item.name not in stored}
        outputs = {item.name: _last(item) for item in self.model.graph.output}
        read = inputs.get("obs") or (next(iter(inputs.values())) if len(inputs) == 1 else None)
        written = outputs.get("actions") or (next(iter(outputs.values())) if len(outputs) == 1 else None)
        return (read, written) if read and written else None


def read(path: Path, options: ImportOptions) -> Draft:
    """Draft a contract from mjlab's or BeyondMimic's metadata."""
    file = OnnxMetadata(path)
    record = file.record()
    draft = Draft(f"{path}: metadata")
    if not record.has("joint_names"):
        raise ContractError(
            f"{path}: its metadata has no joint_names, so it is neither mjlab's, nor BeyondMimic's, nor a port of this "
            f"program. Its keys are: {', '.join(file.entries) or 'none'}. Look for a descriptor beside it"
        )
    names = record.names("joint_names")
    draft.joints(names, record.source("joint_names"))
    draft.put("trained_in", "mjlab or BeyondMimic", "layout of the metadata")
    precise = PreciseValues.read(options.precise, names) if options.precise else PreciseValues(names=tuple(names))
    default = record.numbers("default_joint_pos", len(names), per="joint")
    default, source = precise.exact("default_joint_pos", default, record)
    draft.per_joint("default", default, source)
    _gains(record, names, options, precise, draft)
    _action(record, names, precise, draft)
    _observation(record, len(names), options, draft)
    for key in ("timestep", "decimation"):
        draft.lacks(key, "the metadata has no control period; it is in the task's configuration")
    draft.lacks("actuation.kind", "the metadata does not say how its actuators act; mjlab's built-in ones are implicit")
    rounded = [key for key in ("default_joint_pos", "action_scale") if not precise.has(key)]
    if rounded:
        key, value, error = worst_rounding(record, rounded)
        draft.note(
            f"{path.name}: the metadata is rounded to {DECIMALS} decimals; {key} {value:g} may be off by {error:.2g} "
            "%. Ask whoever trained it for full-precision values and give them with --precise FILE"
        )
    return draft


def _gains(record: Record, names: list[str], options: ImportOptions, precise: PreciseValues, draft: Draft) -> None:
    ordered = options.gains_order == "joint" or any(record.has(key) for key in _LATER_KEYS)
    for key, entry in (("stiffness", "joint_stiffness"), ("damping", "joint_damping")):
        if not record.has(entry):
            continue
        values = record.numbers(entry, len(names), per="joint")
        if precise.has(entry):
            exact, source = precise.exact(entry, values, record, any_order=not ordered)
            draft.per_joint(key, exact, source)
        elif entry == "joint_damping" and not any(values):
            draft.note(
                f"{record.path.name}: joint_damping is 0 for every joint, as mjlab once wrote by mistake; left out"
            )
        elif ordered or len(set(values)) == 1:
            draft.per_joint(key, values, record.source(entry, f"rounded to {DECIMALS} decimals"))
        else:
            draft.note(
                f"{record.path.name}: {entry} is left out: mjlab wrote gains in actuator order before its pull request "
                "352, beside names in joint order, and the file does not say which this is. Give --gains-order joint "
                "if yours is newer, or --precise FILE with the gains by joint name"
            )


def _action(record: Record, names: list[str], precise: PreciseValues, draft: Draft) -> None:
    scales = record.numbers("action_scale")
    spread = scales * len(names) if len(scales) == 1 else record.numbers("action_scale", len(names), per="joint")
    exact, source = precise.exact("action_scale", spread, record)
    term = {"term": "joint_position", "scale": by_joint(names, exact), "offset": "default"}
    draft.action(term, f"{source}; offset: mjlab and BeyondMimic act around the default pose")


def _observation(record: Record, joint_count: int, options: ImportOptions, draft: Draft) -> None:
    names = record.names("observation_names")
    if options.layout is None:
        draft.lacks(
            "observation.terms",
            f"the metadata names {', '.join(names)}, and a name does not say what is computed (joint_pos may or may "
            "not be relative to the default) nor how it is scaled",
            f"--layout {' or '.join(LAYOUT_NAMES)}, the task whose terms these are",
        )
        return
    layout = find_layout(options.layout, LAYOUT_NAMES)
    key = next((key for key in ("observation_history_lengths", _LATER_KEYS[1]) if record.has(key)), None)
    lengths = [int(n) for n in record.numbers(key, len(names), per="term")] if key else [1] * len(names)
    has_scales = record.has("observation_terms_scale")
    scales = record.numbers("observation_terms_scale", len(names), per="term") if has_scales else [1.0] * len(names)
    for name, length, scale in zip(names, lengths, scales, strict=True):
        term = layout.term(name, joint_count)
        if scale != 1.0:
            term["scale"] = scale
        if length > 1:
            term["history"] = length
        draft.term(term, f"{record.source('observation_names', name)}; --layout {options.layout}: {layout.source}")
    if record.has("observation_term_clip") and any(
        math.isfinite(x) for x in _bounds(record.get("observation_term_clip"))
    ):
        raise record.error("observation_term_clip", "bounds terms; give them with --set observation.terms.NAME.clip")
    if max(lengths) > 1:
        draft.put("observation.history", HISTORY, f"--layout {options.layout}")


def _bounds(values: Any) -> list[float]:
    words = values if isinstance(values, list) else [values]
    return [float(str(word).strip("[] ")) for word in words]


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
