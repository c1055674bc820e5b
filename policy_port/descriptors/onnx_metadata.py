"""Metadata inside an ONNX file: mjlab's and BeyondMimic's three decimals, or this program's own whole contract."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_port.contract import Contract
from policy_port.contract.yaml_file import MAX_BYTES
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, term_scale
from policy_port.descriptors.layouts import HISTORY, Layout, find_layout
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import DECIMALS, PreciseValues, worst_rounding
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import JOINT_TERMS
from policy_port.errors import ContractError, closest

if TYPE_CHECKING:
    import onnx

FLAGS = frozenset({"layout", "precise", "gains_order", "sizes"})
LAYOUT_NAMES = ("mjlab_velocity", "beyondmimic")

# Keys that mjlab writes only since after its gains were put into joint order (mjlab pull requests 352 and 903).
_LATER_KEYS = ("observation_terms_scale", "observation_terms_history_length")

_CLIP_KEYS = ("observation_terms_clip", "observation_term_clip")
_FLATTEN = "observation_terms_flatten_history_dim"
_KNOWN = frozenset(
    (
        *("joint_names", "joint_stiffness", "joint_damping", "default_joint_pos", "action_scale", "observation_names"),
        *("observation_history_lengths", _FLATTEN, *_LATER_KEYS, *_CLIP_KEYS),
    )
)
_DECIDES = ("action_", "observation_")
"""What a key begins with that says how numbers are made; others name the run, the commands, the bodies of a motion."""

_UNDRIVEN = (
    "so that some joints are not driven, and the file does not say which: name those that are with --set "
    "action.terms='[{term: joint_position, joints: [NAME, ...], scale: {NAME: NUMBER, ...}, offset: default}]'"
)


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
    _refuse_unknown(record, options)
    if left := [key for key in record.entries() if key.startswith("joint_") and key not in _KNOWN]:
        draft.note(f"{path.name}: the metadata's {', '.join(left)} are unknown and were not read")
    if options.layout is not None:
        draft.put("trained_in", f"not stated; a task with --layout {options.layout}", "--layout")
    else:
        draft.lacks("trained_in", "the metadata names no simulator")
    precise = PreciseValues.read(options.precise, names) if options.precise else PreciseValues(names=tuple(names))
    default = record.numbers("default_joint_pos", len(names), per="joint")
    default, source = precise.exact("default_joint_pos", default, record)
    draft.per_joint("default", default, source)
    _gains(record, names, options, precise, draft)
    if "action.terms" not in options.settings:
        _action(record, names, precise, draft)
    if "observation.terms" not in options.settings:
        _observation(record, file.entries, options, draft)
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
    if options.gains_order == "motor":
        raise ContractError(
            f"--gains-order motor: the metadata of {record.path} does not name its motors; give the gains by joint "
            "name with --precise FILE"
        )
    ordered = options.gains_order is not None or any(record.has(key) for key in _LATER_KEYS)
    for key, entry in (("stiffness", "joint_stiffness"), ("damping", "joint_damping")):
        if not record.has(entry):
            continue
        values = record.numbers(entry)
        driven = _driven(options, names)
        if len(values) not in (len(names), len(driven)):
            raise record.error(entry, f"has {len(values)} numbers for {len(names)} joints, {_UNDRIVEN}")
        if precise.has(entry) and len(values) == len(names):
            exact, source = precise.exact(entry, values, record, any_order=not ordered)
            draft.per_joint(key, exact, source)
        elif entry == "joint_damping" and not any(values):
            draft.note(
                f"{record.path.name}: joint_damping is 0 for every joint, as mjlab once wrote by mistake; left out"
            )
        elif ordered or len(set(values)) == 1:
            # mjlab skips joints that nothing drives and keeps the order of the others.
            pairs = dict(zip(names if len(values) == len(names) else driven, values, strict=True))
            draft.per_joint(key, pairs, record.source(entry, f"rounded to {DECIMALS} decimals"))
        else:
            draft.note(
                f"{record.path.name}: {entry} is left out: mjlab wrote gains in actuator order before its pull request "
                "352, beside names in joint order, and the file does not say which this is. Give --gains-order joint "
                "if yours is newer, or --precise FILE with the gains by joint name"
            )


def _driven(options: ImportOptions, names: list[str]) -> list[str]:
    """The joints that an action which the user states drives, in the order of `names`."""
    stated = options.settings.get("action.terms")
    terms = [term for term in stated if isinstance(term, dict)] if isinstance(stated, list) else []
    listed = [term.get("joints") or names for term in terms]
    joints = [name for each in listed if isinstance(each, list) for name in each]
    return [name for name in names if name in joints]


def _action(record: Record, names: list[str], precise: PreciseValues, draft: Draft) -> None:
    scales = record.numbers("action_scale")
    if len(scales) not in (1, len(names)):
        raise record.error("action_scale", f"has {len(scales)} numbers for {len(names)} joints, {_UNDRIVEN}")
    spread = scales * len(names) if len(scales) == 1 else scales
    exact, source = precise.exact("action_scale", spread, record)
    term = {"term": "joint_position", "scale": by_joint(names, exact), "offset": "default"}
    draft.action(term, f"{source}; offset: mjlab and BeyondMimic act around the default pose")


def _refuse_unknown(record: Record, options: ImportOptions) -> None:
    """Refuse keys that decide what a number is, where the user does not state the whole."""
    for key in record.entries():
        part = "action" if key.startswith("action_") else "observation"
        if key.startswith(_DECIDES) and key not in _KNOWN and f"{part}.terms" not in options.settings:
            raise record.error(
                key,
                f"is unknown{closest(key, _KNOWN) or '.'} If you know what it does, state the whole {part} yourself: "
                f"--set {part}.terms='[{{term: KIND, ...}}, ...]'",
            )


def _observation(record: Record, texts: dict[str, str], options: ImportOptions, draft: Draft) -> None:
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
    flat = _flat(record, len(names))
    scales = _per_term(texts, _LATER_KEYS[0], len(names), record)
    clips = _clips(texts, names, record)
    unused = set(options.sizes)
    for i, (name, length) in enumerate(zip(names, lengths, strict=True)):
        if draft.told_whole(name, options):
            continue
        term = _sized(layout, name, options, len(draft.joint_names))
        unused.discard(name)
        if length > 1 and not flat[i]:
            raise record.error(_FLATTEN, f"is 0 for '{name}': the network reads a stack of rows, not a flat vector")
        if length > 1:
            term["history"] = length
        if term["term"] != "external":
            set_there = _set_keys(options, name, i, term)
            if "scale" not in set_there and (scale := _scale(scales[i], name, term, draft, record)) != 1.0:
                term["scale"] = scale
            if "clip" not in set_there and (clip := _clip(clips[i], name, record)) is not None:
                term["clip"] = clip
        draft.term(
            term, f"{record.source('observation_names', name)}; --layout {options.layout}: {layout.source}", name=name
        )
    if unused:
        stray = sorted(unused)[0]
        raise ContractError(f"--size {stray}: the metadata has no term '{stray}'{closest(stray, names)}")
    if max(lengths, default=1) > 1:
        draft.put("observation.history", HISTORY, f"--layout {options.layout}")


def _sized(layout: Layout, name: str, options: ImportOptions, joints: int) -> dict[str, Any]:
    if name in options.sizes:
        if name in layout.terms and layout.terms[name]["term"] != "external":
            raise ContractError(f"--size {name}: the layout has that term, a {layout.terms[name]['term']}")
        return {"term": "external", "name": name, "size": options.sizes[name]}
    return layout.term(name, joints)


def _set_keys(options: ImportOptions, name: str, place: int, term: dict[str, Any]) -> set[str]:
    """Which keys of a term the user sets, by its name in the file, its number or its label."""
    names = (name, place, term.get("name"), term["term"])
    return {key for key in ("scale", "clip") for each in names if f"observation.terms.{each}.{key}" in options.settings}


def _flat(record: Record, count: int) -> list[bool]:
    if not record.has(_FLATTEN):
        return [True] * count
    values = record.get(_FLATTEN)
    words = [str(value).lower() for value in (values if isinstance(values, list) else [values])]
    if len(words) != count:
        raise record.error(_FLATTEN, f"has {len(words)} entries, expected {count}, one per term")
    return [word in ("1.0", "1", "true") for word in words]


def _per_term(texts: dict[str, str], key: str, count: int, record: Record) -> list[list[str]]:
    """The numbers of each term as words: terms are joined by commas, numbers of one by semicolons or in brackets."""
    if key not in texts:
        return [[]] * count
    pieces = re.findall(r"\[[^\[\]]*\]|\([^()]*\)|[^,\s][^,]*", texts[key].strip())
    terms = [[word.strip() for word in re.split("[,;]", piece.strip("[]() "))] for piece in pieces]
    if len(terms) != count:
        raise record.error(key, f"has {len(terms)} entries, expected {count}, one per term")
    return terms


def _clips(texts: dict[str, str], names: list[str], record: Record) -> list[tuple[str, list[str]]]:
    """Key and words of each term's bounds."""
    key = next((key for key in _CLIP_KEYS if key in texts), _CLIP_KEYS[0])
    return [(key, words) for words in _per_term(texts, key, len(names), record)]


def _clip(given: tuple[str, list[str]], name: str, record: Record) -> list[float] | None:
    key, words = given
    if not words or [word.lower() for word in words] in (["none"], ["null"], [""]):
        return None
    advice = f"give the bounds that hold with --set observation.terms.{name}.clip='[LOW, HIGH]'"
    try:
        low, high = map(float, words)
    except ValueError:
        raise record.error(
            key, f"has '{';'.join(words)[:40]}' for '{name}', which is no pair of bounds; {advice}"
        ) from None
    if (low, high) == (-math.inf, math.inf):
        return None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise record.error(
            key, f"is [{low:g}, {high:g}] for '{name}', and a contract's bounds are two numbers; {advice}"
        )
    if low >= high:
        raise record.error(key, f"is [{low:g}, {high:g}] for '{name}', which lets nothing through; {advice}")
    return [low, high]


def _scale(words: list[str], name: str, term: dict[str, Any], draft: Draft, record: Record) -> Any:
    if not words:
        return 1.0
    advice = f"give the factors with --set observation.terms.{name}.scale=NUMBER"
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)) or 0.0 in values:
        problem = (
            f"has '{';'.join(words)[:40]}' for '{name}': no number, or one that {DECIMALS} decimals lost; {advice}"
        )
        raise record.error(_LATER_KEYS[0], problem)
    if len(values) == 1:
        return values[0]
    of = Record(record.path, {_LATER_KEYS[0]: values}, record.where)
    joints = draft.joint_names if term["term"] in JOINT_TERMS else []
    size = len(values) if term["term"] == "last_action" else len(joints) or 3
    return term_scale(of, _LATER_KEYS[0], term["term"], joints, size)


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
