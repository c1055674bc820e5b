"""The file that says how several networks make one policy: which files, and what each reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.errors import CheckpointError, closest
from policy_port.plain_yaml import PlainYaml, read_text

OBSERVATION = "observation"
"""The name under which a part reads the whole flat observation."""
_WHAT = "a YAML of networks"
_MAX_BYTES = 1 << 20
_PART = ("file", "inputs", "from", "activation", "statistics", "agent", "output", "states", "ignore", "mean")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One item of what a part reads."""

    of: str
    """A part, a group or term of the contract's observation, or `OBSERVATION`."""
    columns: tuple[int, int] | None
    """First column and the one after the last, of `of`; None for all of it."""
    ages: tuple[int, ...] | None
    """Which steps of a stacked observation, in control steps before the present one; None for all of them."""
    where: str
    """Its key in the file."""

    def __str__(self) -> str:
        """As messages name it."""
        some = "" if self.columns is None else f" columns {self.columns[0]} to {self.columns[1] - 1}"
        return f"{self.of}{some}" + ("" if self.ages is None else f" {', '.join(map(str, self.ages))} steps ago")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network."""

    name: str
    file: Path
    inputs: dict[str, tuple[Pick, ...]]
    """What each vector of the file is filled with, one after the other; under "" where the file reads one vector."""
    options: dict[str, Any]
    """Keywords of `load_policy` that this part's file needs."""

    @property
    def picks(self) -> tuple[Pick, ...]:
        """All that it reads."""
        return tuple(pick for picks in self.inputs.values() for pick in picks)


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """A whole file."""

    path: Path
    parts: dict[str, Part]
    result: str
    """The part whose output is the action."""


def is_wiring(path: Path) -> bool:
    """Whether a file is meant to be such a YAML, by its name."""
    return path.suffix.lower() in (".yaml", ".yml")


def read_wiring(path: Path) -> Wiring:
    """Read a file.

    Raises:
        CheckpointError: With the key that is missing, unknown or no sense.
    """
    text = read_text(path, CheckpointError, what=_WHAT, max_bytes=_MAX_BYTES)
    return _Reader(path).wiring(PlainYaml(text, path, CheckpointError).data)


class _Reader:
    """Reads keys, and says where they stand when they are not what they must be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def error(self, where: str, problem: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: key '{where}' {problem}")

    def wiring(self, data: Any) -> Wiring:
        if not isinstance(data, dict) or "networks_version" not in data:
            raise CheckpointError(
                f"{self.path}: is no YAML of networks, which begins with `networks_version: 1` and has `parts` and "
                "`result`; give the policy file, or write one as docs/networks.md shows"
            )
        self.keys(data, "", ("networks_version", "parts", "result"), ("parts", "result"))
        if data["networks_version"] != 1 or isinstance(data["networks_version"], bool):
            raise self.error("networks_version", f"is {data['networks_version']!r}; this program reads version 1")
        if not isinstance(data["parts"], dict) or not data["parts"]:
            raise self.error("parts", "is no mapping of a name to a network")
        parts = {name: self.part(name, value) for name, value in data["parts"].items()}
        result = data["result"]
        if not isinstance(result, str) or result not in parts:
            raise self.error(
                "result",
                f"is {result!r}, which is no part{closest(str(result), parts) or '.'} The parts are {_all(parts)}",
            )
        return Wiring(path=self.path, parts=parts, result=result)

    def part(self, name: Any, data: Any) -> Part:
        where = f"parts.{name}"
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == OBSERVATION:
            raise self.error(where, f"is no name for a part; take letters, digits and _, and not {OBSERVATION}")
        if not isinstance(data, dict):
            raise self.error(where, "is no mapping with file and inputs")
        self.keys(data, f"{where}.", _PART, ("file", "inputs"))
        file = self.path.parent / self.text(data, "file", where)
        if is_wiring(file):
            raise self.error(f"{where}.file", f"is {data['file']}; a part is a policy file, and no YAML")
        if not file.exists():
            raise self.error(f"{where}.file", f"is {data['file']}, which is not there (read as {file})")
        inputs = data["inputs"]
        named = inputs if isinstance(inputs, dict) and not {"of", "columns"} & inputs.keys() else {"": inputs}
        texts = {
            key: self.text(data, key, where) for key in ("from", "activation", "statistics", "agent") if key in data
        }
        options: dict[str, Any] = {"activation": texts.get("activation"), "kind": texts.get("from")}
        if file.suffix.lower() == ".onnx" and (idle := sorted({"activation", "agent"} & data.keys())):
            raise self.error(f"{where}.{idle[0]}", f"means nothing to an ONNX file, {data['file']}; leave it out")
        statistics = texts.get("statistics")
        options["statistics"] = statistics if statistics in (None, "none") else self.path.parent / statistics
        options["agent_yaml"] = self.path.parent / texts["agent"] if "agent" in texts else None
        options["outputs"] = self.outputs(data, where)
        options["ignore"] = self.texts(data, "ignore", where)
        options["mean"] = data.get("mean", False)
        if not isinstance(options["mean"], bool):
            raise self.error(f"{where}.mean", f"is {data['mean']!r}, expected true or false")
        return Part(
            name=name,
            file=file,
            inputs={
                str(vector): self.picks(picks, f"{where}.inputs" + (f".{vector}" if vector else ""))
                for vector, picks in named.items()
            },
            options=options,
        )

    def outputs(self, data: dict[str, Any], where: str) -> dict[str, str]:
        """`output` is the part's output, `states` which output carries on which input."""
        found = {"actions": self.text(data, "output", where)} if "output" in data else {}
        states = data.get("states", {})
        if not isinstance(states, dict) or not all(isinstance(item, str) for pair in states.items() for item in pair):
            raise self.error(f"{where}.states", "is no mapping of an input's name to an output's")
        return found | states

    def picks(self, data: Any, where: str) -> tuple[Pick, ...]:
        items = data if isinstance(data, list) else [data]
        if not items:
            raise self.error(where, "is empty; name what the part reads")
        return tuple(
            self.pick(item, f"{where}.{index}" if data is items else where) for index, item in enumerate(items)
        )

    def pick(self, data: Any, where: str) -> Pick:
        if isinstance(data, str):
            return Pick(of=data, columns=None, ages=None, where=where)
        if not isinstance(data, dict):
            raise self.error(where, f"is {data!r}; expected a name, or a mapping with of, columns or ages")
        self.keys(data, f"{where}.", ("of", "columns", "ages"), ())
        if not data:
            raise self.error(where, "is empty; name what the part reads")
        if "of" not in data and "columns" not in data:
            raise self.error(where, "has ages without `of`, the group of the observation that is stacked")
        return Pick(
            of=self.text(data, "of", where) if "of" in data else OBSERVATION,
            columns=self.columns(data["columns"], f"{where}.columns") if "columns" in data else None,
            ages=self.ages(data["ages"], f"{where}.ages") if "ages" in data else None,
            where=where,
        )

    def columns(self, data: Any, where: str) -> tuple[int, int]:
        if not _whole(data) or len(data) != 2 or not 0 <= data[0] < data[1]:
            raise self.error(
                where, f"is {data!r}; expected [first, end]: the first column and the one after the last, from 0 on"
            )
        return data[0], data[1]

    def ages(self, data: Any, where: str) -> tuple[int, ...]:
        ages = data if isinstance(data, list) else [data]
        if not _whole(ages) or not ages or min(ages) < 0 or len(set(ages)) < len(ages):
            raise self.error(where, f"is {data!r}; expected numbers of control steps, 0 for the present one")
        return tuple(ages)

    def text(self, data: dict[str, Any], key: str, where: str) -> str:
        value = data[key]
        if not isinstance(value, str) or not value:
            raise self.error(f"{where}.{key}", f"is {value!r}, expected a text")
        return value

    def texts(self, data: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"{where}.{key}", f"is {value!r}, expected a list of texts")
        return tuple(value)

    def keys(self, data: dict[Any, Any], where: str, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
        for key in data:
            if key not in known:
                raise self.error(
                    f"{where}{key}", f"is unknown{closest(str(key), known) or '.'} Known are {_all(known)}"
                )
        for key in needed:
            if key not in data:
                raise self.error(f"{where}{key}", "is missing")


def _whole(data: Any) -> bool:
    return isinstance(data, list) and all(isinstance(item, int) and not isinstance(item, bool) for item in data)


def _all(names: Any) -> str:
    return ", ".join(map(str, names))
