"""Strict YAML: every error names file, line, key and the closest valid key.

Every value keeps its line; pydantic validates the plain data, and its findings are rewritten in terms of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from policy_port.errors import PolicyPortError, closest
from policy_port.plain_yaml import PlainYaml, read_bytes, text_of

MAX_BYTES = 4 * 1024 * 1024
"""Largest YAML file read; contracts and mappings are a few kilobytes."""


MAX_FINDINGS = 20
"""Errors of one file that are told one by one."""


LARGEST = 3.4028235e38
"""The largest number that float32, which networks compute in, can hold; simulators write it for "no limit"."""


def _exact(schema: Any) -> None:
    """Numbers are numbers that float32 can hold: neither `true` nor a text in quotes. Lists still become tuples."""
    if isinstance(schema, dict):
        if schema.get("type") == "model":
            # Python that makes a model is held to its types by the type checker; in a file a tuple is a list.
            schema["config"]["strict"] = False
        if schema.get("type") in ("float", "int", "bool"):
            schema["strict"] = True
        if schema.get("type") == "float":
            schema["le"], schema["ge"] = (
                min(schema.get("le", LARGEST), LARGEST),
                max(schema.get("ge", -LARGEST), -LARGEST),
            )
        for part in schema.values():
            _exact(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _exact(part)


class Strict(BaseModel):
    """Frozen data that refuses unknown keys and names the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True, strict=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _exact(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            valid = {field.alias or name for name, field in cls.model_fields.items()}
            for key in data:
                if key not in valid:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'{hint}; valid keys: {valid}",
                        {
                            "key": str(key),
                            "hint": closest(str(key), valid).rstrip("?"),
                            "valid": ", ".join(sorted(valid)),
                        },
                    )
        return data


@dataclass(frozen=True, kw_only=True)
class YamlDocument:
    """A parsed YAML file that still knows the line of every value."""

    path: Path
    data: Any
    root: yaml.Node
    said: Mapping[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    """Where the file's keys are others than the data's: the data's, from the root, and the file's."""
    _keys: dict[int, dict[str, tuple[int, yaml.Node]]] = field(default_factory=dict)

    def line(self, location: tuple[int | str, ...]) -> int:
        """The 1-based line of the deepest value that `location` leads to.

        Args:
            location: Keys and indices from the root; parts that the file does not have are passed over, as pydantic's
                union tags.
        """
        return self._walk(location)[0]

    def in_file(self, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """The keys and indices of `location` that the file has: tags of pydantic's unions are left out."""
        return self._walk(location)[1]

    def _walk(self, location: tuple[int | str, ...]) -> tuple[int, tuple[int | str, ...]]:
        """The line, and what of a location the file has."""
        for ours, theirs in self.said.items():
            if location[: len(ours)] == ours:
                location = (*theirs, *location[len(ours) :])
                break
        node, line, found = self.root, self.root.start_mark.line, []
        for part in location:
            if isinstance(node, yaml.MappingNode):
                if id(node) not in self._keys:
                    self._keys[id(node)] = {key.value: (key.start_mark.line, value) for key, value in node.value}
                if str(part) in self._keys[id(node)]:
                    line, node = self._keys[id(node)][str(part)]
                    found.append(part)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line
                found.append(part)
        return line + 1, tuple(found)


def read_yaml(path: Path | str, error: type[PolicyPortError], data: bytes | None = None) -> YamlDocument:
    """Read one YAML mapping from `path`, or from its bytes where they were read already.

    Raises:
        PolicyPortError: Of the class `error`, when the file is missing, too large, not YAML, not a mapping, has a key
            twice, a tag or an alias loop, or a scalar that YAML 1.1 and 1.2 read differently.
    """
    path = Path(path)
    if data is None:
        data = read_bytes(path, error, what="a YAML file", max_bytes=MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise error(f"{path}: more than {MAX_BYTES} bytes are too many for a YAML file; is it the right one?")
    text = text_of(data, path, error, what="a YAML file")
    document = PlainYaml(text, path, error)
    if not isinstance(document.data, dict):
        raise error(f"{path}: holds no YAML mapping (key: value lines)")
    return YamlDocument(path=path, data=document.data, root=document.root)


def parse[Model: BaseModel](model: type[Model], document: YamlDocument, error: type[PolicyPortError]) -> Model:
    """Validate `document` as `model`; every finding is reported with file and line.

    Raises:
        PolicyPortError: Of the class `error`, listing all findings, a line each.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as cause:
        items = one_each(cause.errors(include_url=False), document.data)
        findings = [_finding(item, document) for item in items[:MAX_FINDINGS]]
        if len(items) > MAX_FINDINGS:
            findings.append(f"{document.path}: and {len(items) - MAX_FINDINGS} more such errors")
        raise error("\n".join(dict.fromkeys(findings))) from None


def one_each(items: Sequence[Any], data: Any, start: int = 0) -> list[Any]:
    """One of pydantic's errors for each mistake.

    Of a value that may be one thing or another pydantic tells what is wrong with it as each of them, and of a list
    whose entries are wrong that it is too short as well.

    Args:
        items: The errors.
        data: What was validated.
        start: Parts of their locations that have been looked at.
    """
    places: dict[Any, dict[Any, list[Any]]] = {}
    for number, item in enumerate(items):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue
        location, at = item["loc"], _tag_at(item, data, start)
        members = places.setdefault(number if at is None else location[:at], {})
        members.setdefault(None if at is None else location[at], []).append(item)
    found: list[Any] = []
    for place, members in places.items():
        meant = _meant(members)
        found += meant if isinstance(place, int) else one_each(meant, data, len(place) + 1)
    return found


def _tag_at(item: Any, data: Any, start: int) -> int | None:
    """Where pydantic's name of a kind of value stands in an error's location, which leads through `data` elsewhere."""
    last = len(item["loc"]) - 1
    for at, part in enumerate(item["loc"]):
        if (part in data) if isinstance(data, dict) else isinstance(data, list) and part in range(len(data)):
            data = data[part]
        elif at >= start:
            return None if at == last and item["type"] == "missing" else at
    return None


def _meant(members: Mapping[Any, list[Any]]) -> list[Any]:
    """What is wrong with a value as the kind of thing that it most likely is; as any of them, if it is like none."""
    kinds = list(members.values())
    if len(kinds) == 1:
        return kinds[0]

    def unlike(errors: list[Any], tag: Any) -> bool:
        return errors[0]["loc"][-1] == tag and errors[0]["type"].endswith(("_type", "literal_error"))

    like = [errors for tag, errors in members.items() if not unlike(errors, tag)]
    if like:
        return min(like, key=len)
    should = "Input should be "
    words = " or ".join(dict.fromkeys(error["msg"].removeprefix(should) for errors in kinds for error in errors))
    return [{**kinds[0][0], "msg": should + words}]


def _finding(item: Any, document: YamlDocument) -> str:
    location = tuple(item["loc"])
    if item["type"] == "unknown_key":
        location += (item["ctx"]["key"],)
    where = f"{document.path}:{document.line(location)}"
    seen = document.in_file(location)
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if item["type"] == "missing" and isinstance(location[-1], int):
        return f"{where}: {_dotted(seen)}holds {location[-1]} entries, which are too few"
    if item["type"] == "missing":
        return f"{where}: the required key '{location[-1]}' is missing in {_dotted(seen)[:-2] or 'the file'}"
    if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "holds no keys (key: value lines)"
    if item["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in item["ctx"]["expected_tags"].split(",")]
        key, tag = item["ctx"]["discriminator"].strip("'"), item["ctx"]["tag"]
        return f"{where}: {_dotted(seen)}unknown {key} '{tag}'{closest(tag, tags)} Valid: {', '.join(tags)}"
    if item["type"] in ("unknown_key", "value_error"):
        return f"{where}: {_dotted(seen[:-1] if item['type'] == 'unknown_key' else seen)}{message}"
    given = item.get("input")
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else type(given).__name__
    return f"{where}: {_dotted(seen)}{message[:1].lower() + message[1:]} (given: {shown})"


def _dotted(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".") + (
        ": " if location else ""
    )
