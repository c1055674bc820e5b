"""A descriptor's mapping that knows its file and where in it it stands, so that every refusal can say so."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from policy_port.descriptors.tagged_yaml import Foreign, read_tagged_yaml
from policy_port.errors import ContractError, closest


class Record:
    """A mapping of a descriptor file.

    A key whose value is null counts as absent: every exporter here writes null for "not set".
    """

    def __init__(self, path: Path, data: dict[str, Any], where: str = "") -> None:
        """Wrap `data`.

        Args:
            path: The file.
            data: The mapping.
            where: Dotted key of the mapping in the file, "" for the whole file.
        """
        self.path = path
        self.data = data
        self.where = where
        self.rounded: dict[str, str] = {}
        """How the numbers of a key were rounded, in words, where its text shows it."""

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a YAML or JSON file."""
        return cls(path, read_tagged_yaml(path))

    def key(self, key: str) -> str:
        """The dotted key in the file, for messages."""
        return f"{self.where}.{key}" if self.where else key

    def source(self, key: str, more: str = "") -> str:
        """What a contract's `sources` says of a number that stood at `key`."""
        return f"{self.path.name}: {self.key(key)}" + (f" ({more})" if more else "")

    def error(self, key: str, problem: str) -> ContractError:
        """An error about `key`."""
        return ContractError(f"{self.path}: key '{self.key(key)}' {problem}")

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.data.get(key) is not None

    def entries(self) -> Iterator[str]:
        """The keys in the file's order."""
        return iter(str(key) for key in self.data)

    def get(self, key: str) -> Any:
        """The value, whatever it is; the key must be there."""
        if not self.has(key):
            names = [str(name) for name in self.data]
            null = " (it is null)." if key in self.data else closest(key, names) or "."
            inside = f"'{self.where}'" if self.where else "the file"
            raise ContractError(
                f"{self.path}: the key '{self.key(key)}' is missing{null} The keys of {inside} are: "
                f"{', '.join(names[:40]) or 'none'}"
            )
        if isinstance(self.data[key], Foreign):
            raise self.error(key, f"is {self.data[key]}; write the plain value there")
        return self.data[key]

    def flag(self, key: str) -> bool:
        """The true or false at `key`; false where it is absent."""
        value = self.get(key) if self.has(key) else False
        if not isinstance(value, bool):
            raise self.error(key, f"is {_kind(value)}, expected true or false")
        return value

    def only(self, known: Collection[str], advice: str) -> None:
        """Refuse every key that says something and is not among `known`; null and empty say nothing."""
        for key, value in self.data.items():
            if key not in known and value not in (None, {}, [], (), ""):
                raise self.error(
                    str(key), f"is {_kind(value)}, which this program does not know{closest(str(key), known)}; {advice}"
                )

    def section(self, key: str) -> Record:
        """The mapping at `key`."""
        value = self.get(key)
        if not isinstance(value, dict):
            raise self.error(key, f"is {_kind(value)}, expected a mapping")
        return Record(self.path, value, self.key(key))

    def below(self, *keys: str) -> Record | None:
        """The mapping that a way of keys leads to; None where a part of the way is absent or null."""
        record = self
        for key in keys:
            if not record.has(key):
                return None
            record = record.section(key)
        return record

    def sections(self, key: str) -> list[Record]:
        """The list of mappings at `key`."""
        value = self.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"is {_kind(value)}, expected a list of mappings")
        return [Record(self.path, item, f"{self.key(key)}[{i}]") for i, item in enumerate(value)]

    def text(self, key: str) -> str:
        """The text at `key`."""
        value = self.get(key)
        if not isinstance(value, str):
            raise self.error(key, f"is {_kind(value)}, expected a text")
        return value

    def number(self, key: str) -> float:
        """The finite number at `key`."""
        return self._finite(key, self.get(key))

    def integer(self, key: str) -> int:
        """The whole number at `key`."""
        value = self.number(key)
        if value != int(value):
            raise self.error(key, f"is {value:g}, expected a whole number")
        return int(value)

    def numbers(self, key: str, count: int | None = None, *, per: str = "") -> list[float]:
        """The list of finite numbers at `key`.

        Args:
            key: The key.
            count: Number of entries it must have.
            per: What there is one entry for, for the message.
        """
        value = self.get(key)
        if not isinstance(value, list | tuple):
            raise self.error(key, f"is {_kind(value)}, expected a list of numbers")
        if count is not None and len(value) != count:
            raise self.error(key, f"has {len(value)} numbers, expected {count}" + (f", one per {per}" if per else ""))
        return [self._finite(f"{key}[{i}]", item) for i, item in enumerate(value)]

    def spread(self, key: str, count: int, *, per: str) -> list[float]:
        """The numbers at `key`, where a single number stands for `count` equal ones."""
        value = self.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [self._finite(key, value)] * count
        return self.numbers(key, count, per=per)

    def integers(self, key: str, *, below: int | None = None) -> list[int]:
        """The list of distinct indices at `key`.

        Args:
            key: The key.
            below: All entries must be less than this.
        """
        values = self.numbers(key)
        whole = [int(value) for value in values]
        if whole != values or min(whole, default=0) < 0:
            raise self.error(key, "has entries that are no indices (0, 1, 2, ...)")
        if len(set(whole)) != len(whole):
            twice = sorted({value for value in whole if whole.count(value) > 1})
            raise self.error(key, f"lists index {', '.join(map(str, twice))} twice")
        if below is not None and max(whole, default=-1) >= below:
            raise self.error(key, f"has index {max(whole)}, but there are only {below}, counted from 0")
        return whole

    def names(self, key: str, count: int | None = None) -> list[str]:
        """The list of distinct names at `key`."""
        value = self.get(key)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"is {_kind(value)}, expected a list of names")
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            raise self.error(key, f"lists {', '.join(twice)} twice; name each once")
        if count is not None and len(value) != count:
            raise self.error(key, f"has {len(value)} names, expected {count}")
        return list(value)

    def bounds(self, key: str) -> list[float]:
        """The pair (low, high) at `key`."""
        low, high = self.numbers(key, 2, per="bound")
        return [low, high]

    def pairs(self, key: str, count: int, *, per: str) -> list[list[float]]:
        """The list of `count` pairs (low, high) at `key`, one per `per`."""
        value = self.get(key)
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.error(key, f"is {_kind(value)}, expected {count} pairs, one per {per}")
        return [Record(self.path, {str(i): pair}, self.key(key)).bounds(str(i)) for i, pair in enumerate(value)]

    def choice(self, key: str, known: Collection[str]) -> str:
        """The text at `key`, one of `known`."""
        value = self.text(key)
        if value not in known:
            raise self.error(key, f"is '{value}'{closest(value, known) or '.'} Known: {', '.join(known)}")
        return value

    def _finite(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"is {_kind(value)}, expected a number")
        if not math.isfinite(value):
            raise self.error(key, f"is {value}, expected a finite number")
        return float(value)


def _kind(value: Any) -> str:
    match value:
        case dict():
            return "a mapping"
        case list() | tuple():
            return f"a list of {len(value)}"
        case str():
            return f"the text '{value[:40]}'"
        case Foreign():
            return str(value)
        case _:
            return f"'{value}'"
