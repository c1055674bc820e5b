"""Observation terms as mjlab's ONNX metadata writes them: a name each, and lists of three decimals beside it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import term_scale
from policy_port.descriptors.following import command_keys
from policy_port.descriptors.layouts import HISTORY, Layout, find_layout
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import DECIMALS, HALF_STEP, rounds_to
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import JOINT_TERMS
from policy_port.errors import ContractError, closest

NAMES = "observation_names"
SCALE = "observation_terms_scale"
FLATTEN = "observation_terms_flatten_history_dim"
LENGTHS = ("observation_history_lengths", "observation_terms_history_length")
"""BeyondMimic's key, and mjlab's."""
CLIPS = ("observation_terms_clip", "observation_term_clip")

KEYS = frozenset({NAMES, SCALE, FLATTEN, *LENGTHS, *CLIPS})
"""Keys that say something of the observation."""

LATER_KEYS = (SCALE, LENGTHS[1])
"""Keys that mjlab writes only since after its gains were put into joint order (mjlab pull requests 352 and 903)."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the metadata says of each term; every list has one entry per term."""

    record: Record
    """The metadata."""
    names: list[str]
    """Names of the task."""
    lengths: list[int] | None
    """Stacked steps; None where no key says."""
    flat: list[bool]
    """Whether they are one flat vector."""
    scales: list[list[str]]
    """Factors, one or one per element; none where no key says."""
    clips: list[tuple[str, list[str]]]
    """Key of the bounds and the two; none where no key says."""

    @classmethod
    def read(cls, record: Record, texts: dict[str, str]) -> Written:
        """Read the lists.

        Args:
            record: The metadata as words and numbers.
            texts: The metadata as it is, for lists in lists.
        """
        names = record.names(NAMES)
        key = next((key for key in LENGTHS if record.has(key)), None)
        clip = next((key for key in CLIPS if key in texts), CLIPS[0])
        return cls(
            record=record,
            names=names,
            lengths=[int(n) for n in record.numbers(key, len(names), per="term")] if key else None,
            flat=_flat(record, len(names)),
            scales=_per_term(texts, SCALE, len(names), record),
            clips=[(clip, words) for words in _per_term(texts, clip, len(names), record)],
        )

    def contradiction(self, place: int, term: dict[str, Any], joints: list[str]) -> str | None:
        """What of a term the metadata says otherwise than an exact source; None where rounding explains it.

        Args:
            place: Number of the term.
            term: The term as a contract writes it, from the exact source.
            joints: Joints that it observes; empty for other terms.
        """
        length = self.lengths[place] if self.lengths else None
        if length is not None and max(length, 1) != term.get("history", 1):
            return f"a history of {length}, not {term.get('history', 1)}"
        for what, words, value in (
            ("a scale", self.scales[place], _flattened(term.get("scale", 1.0), joints)),
            ("bounds", self.clips[place][1], _flattened(term.get("clip", [-math.inf, math.inf]), joints)),
        ):
            numbers = _numbers(words)
            spread = numbers * len(value) if len(numbers) == 1 else numbers
            equal = len(spread) == len(value) and all(
                one == other or rounds_to(other, one) for one, other in zip(spread, value, strict=True)
            )
            if numbers and not equal and not (len(value) == 1 and all(rounds_to(value[0], n) for n in numbers)):
                return f"{what} of {';'.join(words)[:40]}, not {', '.join(f'{number:g}' for number in value)}"
        return None


def add_observation(written: Written, layout_name: str, options: ImportOptions, draft: Draft) -> None:
    """Add the terms with the meaning that a layout gives to their names."""
    record, names = written.record, written.names
    layout = find_layout(layout_name, METADATA_LAYOUTS)
    _refuse_older_layout(layout_name, record)
    lengths = written.lengths or [1] * len(names)
    unused = set(options.sizes)
    made: list[tuple[int, str, dict[str, Any]]] = []
    for i, (name, length) in enumerate(zip(names, lengths, strict=True)):
        if draft.told_whole(name, options):
            continue
        term = _sized(layout, name, options)
        unused.discard(name)
        if length > 1 and not written.flat[i]:
            raise record.error(FLATTEN, f"is 0 for '{name}': the network reads a stack of rows, not a flat vector")
        where = f"{record.source(NAMES, name)}; --layout {layout_name}: {layout.source}"
        if length > 1:
            term["history"] = length
        if term["term"] != "external":
            set_there = set_keys(options, name, i, term)
            if "scale" not in set_there and (scale := _scale(written.scales[i], name, term, draft, record)) != 1.0:
                term["scale"] = scale
            if "clip" not in set_there and (clip := _clip(written.clips[i], name, record)) is not None:
                term["clip"] = clip
        draft.term(term, where, name=name)
        made.append((i, name, term))
    refuse_unused(unused, names, "the metadata")
    _note_rounding(made, record, draft, options)
    if max(lengths, default=1) > 1:
        draft.put("observation.history", HISTORY, f"--layout {layout_name}")


def _note_rounding(
    made: list[tuple[int, str, dict[str, Any]]], record: Record, draft: Draft, options: ImportOptions
) -> None:
    """Say which scale or bound rounding may have moved most; whole numbers are taken for what they are."""
    found = [
        (abs(number), number, key, name)
        for place, name, term in made
        for key, entry in (("scale", SCALE), ("clip", next(filter(record.has, CLIPS), CLIPS[0])))
        if key in term.keys() - set_keys(options, name, place, term) and entry in record.rounded
        if term["term"] != "external"
        for number in _flattened(term[key], draft.joint_names)
        if number and number != round(number)
    ]
    if found:
        size, number, key, name = min(found)
        draft.note(
            f"{record.path.name}: the metadata is rounded to {DECIMALS} decimals; the {key} {number:g} of "
            f"'{name}' may be off by {100.0 * HALF_STEP / size:.2g} %. If you know it better, give it with --set "
            f"observation.terms.{name}.{key}=VALUE"
        )


METADATA_LAYOUTS = ("mjlab_velocity", "mjlab_tracking", "mjlab_lift_cube", "beyondmimic")
"""Layouts of tasks whose exporters write such metadata."""


def refuse_unused(unused: set[str], names: list[str], where: str) -> None:
    """Refuse sizes of terms that there are not."""
    if unused:
        stray = sorted(unused)[0]
        raise ContractError(f"--size {stray}: {where} has no term '{stray}'{closest(stray, names)}")


def set_keys(options: ImportOptions, name: str, place: int, term: dict[str, Any]) -> set[str]:
    """Which keys of a term the user sets, by its name in the file, its number or its label."""
    names = (name, place, term.get("name"), term["term"])
    keys = {f"observation.terms.{each}.{key}": key for key in ("scale", "clip", "delay") for each in names}
    return {key for path, key in keys.items() if path in options.settings}


def bounds(low: float, high: float, name: str, record: Record, key: str) -> list[float] | None:
    """A term's bounds as a contract has them; None where they hold nothing back.

    Raises:
        ContractError: When only one side is bounded, or nothing comes through.
    """
    if (low, high) == (-math.inf, math.inf):
        return None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise record.error(
            key, f"is [{low:g}, {high:g}] for '{name}', and a contract's bounds are two numbers; {clip_advice(name)}"
        )
    if low >= high:
        raise record.error(key, f"is [{low:g}, {high:g}] for '{name}', which lets nothing through; {clip_advice(name)}")
    return [low, high]


def clip_advice(name: str) -> str:
    """How to give the bounds of a term."""
    return f"give the bounds that hold with --set observation.terms.{name}.clip='[LOW, HIGH]'"


def _refuse_older_layout(layout_name: str, record: Record) -> None:
    """BeyondMimic's own files have none of mjlab's keys, and another point of the base's velocity."""
    key = next((key for key in (SCALE, LENGTHS[1], CLIPS[0]) if record.has(key)), None)
    if layout_name == "beyondmimic" and key is not None:
        raise record.error(
            key,
            "is mjlab's, not BeyondMimic's, whose base_lin_vel is that of the centre of mass; mjlab's is the IMU's: "
            "give --layout mjlab_tracking",
        )


def _sized(layout: Layout, name: str, options: ImportOptions) -> dict[str, Any]:
    if name in options.sizes:
        if name in layout.terms and layout.terms[name]["term"] != "external":
            raise ContractError(f"--size {name}: the layout has that term, a {layout.terms[name]['term']}")
        return {"term": "external", "name": name, "size": options.sizes[name]}
    return layout.term(name)


def _flat(record: Record, count: int) -> list[bool]:
    if not record.has(FLATTEN):
        return [True] * count
    values = record.get(FLATTEN)
    words = [str(value).lower() for value in (values if isinstance(values, list) else [values])]
    if len(words) != count:
        raise record.error(FLATTEN, f"has {len(words)} entries, expected {count}, one per term")
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


def _clip(given: tuple[str, list[str]], name: str, record: Record) -> list[float] | None:
    key, words = given
    if not words or _nothing(words):
        return None
    try:
        low, high = map(float, words)
    except ValueError:
        raise record.error(
            key, f"has '{';'.join(words)[:40]}' for '{name}', which is no pair of bounds; {clip_advice(name)}"
        ) from None
    return bounds(low, high, name, record, key)


def _nothing(words: list[str]) -> bool:
    return [word.lower() for word in words] in (["none"], ["null"], [""])


def _numbers(words: list[str]) -> list[float]:
    """The words as numbers; a word that is none is one that no number agrees with."""
    try:
        return [] if _nothing(words) else [float(word) for word in words]
    except ValueError:
        return [math.nan]


def _flattened(value: Any, joints: list[str]) -> list[float]:
    """Numbers of a term one after the other."""
    if isinstance(value, dict):
        value = [value[name] for name in joints]
    return [float(number) for number in value] if isinstance(value, list | tuple) else [float(value)]


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
        raise record.error(SCALE, problem)
    if len(values) == 1:
        return values[0]
    of = Record(record.path, {SCALE: values}, record.where)
    joints = draft.joint_names if term["term"] in JOINT_TERMS else []
    if term["term"] == "motion_command":
        joints = command_keys(draft.joint_names)
    size = len(values) if term["term"] == "last_action" else len(joints) or 3
    return term_scale(of, SCALE, term["term"], joints, size)
