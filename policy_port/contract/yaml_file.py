"""Strict YAML: every error names file, line, key and the closest valid key.

The file is composed to nodes first, so that duplicate keys are seen and every value keeps its line; pydantic then
validates the plain data, and its findings are rewritten in terms of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from policy_port.errors import PolicyPortError, closest

MAX_BYTES = 4 * 1024 * 1024
"""Largest YAML file read; contracts and mappings are a few kilobytes."""


class Strict(BaseModel):
    """Frozen data that refuses unknown keys and names the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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

    def line(self, location: tuple[int | str, ...]) -> int:
        """Return the 1-based line of the deepest value that `location` leads to.

        Args:
            location: Keys and indices from the root; parts that the file does not have are passed over, which is
                how pydantic's union tags fall away.
        """
        node = self.root
        line = node.start_mark.line
        for part in location:
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        line, node = key.start_mark.line, value
                        break
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line
        return line + 1


def read_yaml(path: Path | str, error: type[PolicyPortError]) -> YamlDocument:
    """Read one YAML mapping from `path`.

    Raises:
        PolicyPortError: Of the class `error`, when the file is missing, too large, not YAML, not a mapping, or has
            a key twice, a tag or an alias loop.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise error(f"{path}: {path.stat().st_size} bytes are too many for such a file; is it the right one?")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder; give the YAML file in it") from None
    except UnicodeDecodeError:
        raise error(f"{path}: is not text; give a YAML file") from None
    except OSError as cause:
        raise error(f"{path}: can't be read: {cause.strerror or type(cause).__name__}") from cause
    loader = None
    try:
        # The reader looks for control characters at once, so this too belongs inside.
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None or not isinstance(root, yaml.MappingNode):
            raise error(f"{path}: holds no YAML mapping (key: value lines)")
        _refuse_duplicates(root, path, error)
        data = loader.construct_document(root)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(cause, "problem", None) or str(cause).splitlines()[0]
        raise error(f"{where}: is not plain YAML: {problem}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return YamlDocument(path=path, data=data, root=root)


def parse[Model: BaseModel](model: type[Model], document: YamlDocument, error: type[PolicyPortError]) -> Model:
    """Validate `document` as `model`; every finding is reported with file and line.

    Raises:
        PolicyPortError: Of the class `error`, listing all findings, a line each.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as cause:
        findings = [_finding(item, document) for item in cause.errors(include_url=False)]
        raise error("\n".join(dict.fromkeys(findings))) from None


def _finding(item: Any, document: YamlDocument) -> str:
    location = tuple(item["loc"])
    if item["type"] == "unknown_key":
        location += (item["ctx"]["key"],)
    where = f"{document.path}:{document.line(location)}"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if item["type"] == "missing":
        return f"{where}: the required key '{location[-1]}' is missing in {_dotted(location[:-1]) or 'the file'}"
    if item["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in item["ctx"]["expected_tags"].split(",")]
        key, tag = item["ctx"]["discriminator"].strip("'"), item["ctx"]["tag"]
        return f"{where}: {_dotted(location)}unknown {key} '{tag}'{closest(tag, tags)} Valid: {', '.join(tags)}"
    if item["type"] in ("unknown_key", "value_error"):
        return f"{where}: {_dotted(location[:-1] if item['type'] == 'unknown_key' else location)}{message}"
    given = item.get("input")
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else type(given).__name__
    return f"{where}: {_dotted(location)}{message[:1].lower() + message[1:]} (given: {shown})"


def _dotted(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".") + (
        ": " if location else ""
    )


def _refuse_duplicates(node: yaml.Node, path: Path, error: type[PolicyPortError], depth: int = 0) -> None:
    if depth > 40:
        raise error(f"{path}: is nested more than 40 levels deep")
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if key.value in seen:
                raise error(
                    f"{path}:{key.start_mark.line + 1}: key '{key.value}' stands twice, "
                    f"first in line {seen[key.value]}; keep one"
                )
            seen[key.value] = key.start_mark.line + 1
            _refuse_duplicates(value, path, error, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, path, error, depth + 1)
