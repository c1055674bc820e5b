"""A contract in the making: plain data, where each number came from, and what the descriptor does not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.yaml_file import one_each
from policy_port.descriptors.dotted import assign, covers, find, label
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

BASE_TERMS = frozenset(
    {"base_lin_vel", "base_ang_vel", "projected_gravity", "motion_anchor_ori_b", "motion_anchor_pos_b"}
)
"""Observation terms that only a floating base has."""

REQUIRED: dict[str, str] = {
    "robot": "--robot NAME",
    "trained_in": "--trained-in WORDS",
    "timestep": "--timestep SECONDS",
    "decimation": "--set decimation=N",
    "base.floating": "--set base.floating=true or false",
    "actuation.kind": "--actuation implicit, explicit or model",
    "joints": "--names FILE",
    "joints.*.default": "--set joints.JOINT.default=NUMBER",
    "observation.terms": "--layout NAME",
    "action.terms": "--set action.terms='[{term: joint_position, scale: NUMBER, offset: default}]'",
    "action.terms.*.scale": "--set action.terms.0.scale=NUMBER",
}
"""Keys that no contract does without, and the flag that gives each."""


@dataclass(frozen=True, kw_only=True)
class Unsaid:
    """A key that the descriptor can't fill."""

    why: str
    """Why not, in words."""
    flag: str
    """What to add to the command line."""


class Draft:
    """Collects what a descriptor says; `build` makes the contract of it, or lists all that is missing."""

    def __init__(self, origin: str) -> None:
        """Start an empty draft.

        Args:
            origin: The descriptor in words, for messages.
        """
        self.origin = origin
        self.data: dict[str, Any] = {"contract_version": 1}
        self.sources: dict[str, str] = {}
        self.unsaid: dict[str, Unsaid] = {}
        self.notes: list[str] = []
        self.control_dt: tuple[float, str] | None = None
        self.width_hint = ""
        self.policy: Path | None = None
        """The policy that the descriptor names, whose widths the contract must have."""
        self.width = 0
        self.names_there: list[str | None] = []
        self.waits_for_names = False

    def put(self, key: str, value: Any, source: str) -> None:
        """Set a dotted key."""
        assign(self.data, key, value)
        self.sources[key] = source

    def lacks(self, key: str, why: str, flag: str | None = None) -> None:
        """Say why the descriptor can't fill `key`; it becomes required."""
        self.unsaid[key] = Unsaid(why=why, flag=flag or REQUIRED.get(key, f"--set {key}=VALUE"))

    def note(self, text: str) -> None:
        """Add something that the user must know."""
        self.notes.append(text)

    def joints(self, names: Sequence[str], source: str) -> None:
        """Set the joints in the policy's order."""
        self.data["joints"] = {name: {} for name in names}
        self.sources["joints"] = source

    @property
    def joint_names(self) -> list[str]:
        """Joint names in the policy's order."""
        return list(self.data.get("joints", {}))

    def per_joint(self, key: str, values: Sequence[float] | Mapping[str, float], source: str) -> None:
        """Set one number of every joint; a sequence is in the policy's joint order."""
        pairs = values.items() if isinstance(values, Mapping) else zip(self.joint_names, values, strict=True)
        for name, value in pairs:
            self.data["joints"][name][key] = value
        before = self.sources.get(f"joints.*.{key}")
        self.sources[f"joints.*.{key}"] = source if before in (None, source) else f"{before}; {source}"

    def term(self, term: dict[str, Any], source: str, *, name: str | None = None) -> None:
        """Append an observation term.

        Args:
            term: The term as a contract writes it.
            source: Where it stands in the descriptor.
            name: Its name there, which `--set` may use; taken when another term already has the kind for a label.
        """
        terms = assign_default(self.data, "observation")
        self.names_there.append(name)
        if name is not None and label(term) in [label(other) for other in terms]:
            term["name"] = name
        terms.append(term)
        self.sources[f"observation.terms.{label(term) or len(terms) - 1}"] = source

    def told_whole(self, name: str, options: ImportOptions) -> bool:
        """Whether `--set observation.terms.NAME` (or its number) states the next term; it gets its place then."""
        place = len(assign_default(self.data, "observation"))
        told = {f"observation.terms.{name}", f"observation.terms.{place}"} & set(options.settings)
        if told:
            self.term({"name": name}, "--set", name=name)
        return bool(told)

    def command(self, ranges: Record) -> None:
        """Set the trained ranges of the velocity command, as far as they are there."""
        for key in VELOCITY_COMMAND:
            if ranges.has(key):
                self.put(f"command.{key}", ranges.bounds(key), ranges.source(key))

    def action(self, term: dict[str, Any], source: str) -> None:
        """Append an action term."""
        terms = assign_default(self.data, "action")
        terms.append(term)
        self.sources[f"action.terms.{label(term)}"] = source

    def build(self, options: ImportOptions) -> Contract:
        """Make the contract.

        Raises:
            ContractError: Listing every key that nobody filled, why the descriptor can't, and the flag that does.
        """
        self._apply(options)
        self._label_sources()
        self._deduce()
        self._refuse_gaps()
        kept = {pattern: text for pattern, text in self.sources.items() if self._leads_somewhere(pattern)}
        try:
            return Contract.model_validate(self.data | {"sources": kept})
        except ValidationError as cause:
            items = one_each(cause.errors(include_url=False), self.data)
            raise ContractError("\n".join(dict.fromkeys(map(self._finding, items)))) from None

    def _apply(self, options: ImportOptions) -> None:
        given: list[tuple[str, Any, str]] = [
            ("name", options.name, "--name, or the output's own"),
            ("robot", options.robot, "--robot"),
            ("trained_in", options.trained_in, "--trained-in"),
            ("quaternion_order", options.quaternion_order, "--quaternion-order"),
            ("timestep", options.timestep, "--timestep"),
            ("actuation.kind", options.actuation, "--actuation"),
            *((key, value, "--set") for key, value in options.settings.items()),
        ]
        for key, value, source in given:
            if value is None:
                continue
            self._refuse_strange_joint(key)
            key = self._in_contract(key)
            stated = [old for _, old in find(self.data, key) if old is not None]
            if any(old != value for old in stated) and key != "trained_in" and self.source_of(key) != "--set":
                was = ", ".join(sorted({str(old) for old in stated}))
                self.note(f"{source} replaces {key} {was} ({self.source_of(key) or self.origin}) by {value}")
            self.put(key, value, source)
            if key in ("observation", "observation.terms"):
                self.names_there = []

    def _in_contract(self, key: str) -> str:
        """The key as the contract has it: a term may be called by its name in the descriptor or by its number."""
        labels = [value for _, value in self._labels()] if self.names_there else []
        for i, name in enumerate(self.names_there):
            for known in (name, str(i)):
                head = f"observation.terms.{known}"
                if known and known not in labels and (key == head or key.startswith(f"{head}.")):
                    return f"observation.terms.{labels[i] or i}{key[len(head) :]}"
        return key

    def _refuse_strange_joint(self, key: str) -> None:
        names = self.joint_names
        known = not names or any(key.startswith(f"joints.{name}.") for name in (*names, "*"))
        if key.startswith("joints.") and not known:
            name = key.split(".")[1]
            raise ContractError(
                f"--set {key}: there is no joint '{name}'{closest(name, names) or '.'} The joints are: "
                f"{', '.join(names)}"
            )

    def _label_sources(self) -> None:
        """A term that `--set` gave a kind, or stated whole, is filed under its label from now on."""
        for i, name in self._labels():
            for known in (str(i), self.names_there[i] if i < len(self.names_there) else None):
                if name != known and (source := self.sources.get(f"observation.terms.{known}")) is not None:
                    self.sources.setdefault(f"observation.terms.{name or i}", source)

    def _labels(self) -> Iterator[tuple[int, str | None]]:
        """Number and label of each term, as far as the data are terms."""
        observation = self.data.get("observation")
        terms = observation.get("terms") if isinstance(observation, dict) else None
        return ((i, label(term)) for i, term in enumerate(terms if isinstance(terms, list) else []))

    def _deduce(self) -> None:
        kinds = {term.get("term") for term in self.data.get("observation", {}).get("terms", [])}
        base = sorted(kinds & BASE_TERMS)
        if base and self.data.get("base", {}).get("floating") is None:
            self.put("base.floating", True, f"{base[0]} is observed, which only a floating base has")
        if self.control_dt is not None:
            self._match_control_period(*self.control_dt)

    def _match_control_period(self, period: float, source: str) -> None:
        timestep, decimation = self.data.get("timestep"), self.data.get("decimation")
        if decimation is None and isinstance(timestep, int | float) and timestep > 0:
            steps = round(period / timestep)
            self.put("decimation", max(steps, 1), f"{source}, divided by timestep")
        elif timestep is None and isinstance(decimation, int) and decimation > 0:
            self.put("timestep", period / decimation, f"{source}, divided by decimation")
        timestep, decimation = self.data.get("timestep"), self.data.get("decimation")
        if timestep is None or decimation is None:
            why = f"{source} states only their product, a control period of {period:g} s"
            self.lacks("timestep", why)
            self.lacks("decimation", why, "it follows from --timestep")
        elif abs(timestep * decimation - period) > 1e-6 * period:
            raise ContractError(
                f"{source}: the control period is {period:g} s, which is not timestep {timestep:g} times a whole "
                f"decimation ({decimation} gives {timestep * decimation:g} s); correct --timestep"
            )

    def _refuse_gaps(self) -> None:
        flags = REQUIRED | {key: unsaid.flag for key, unsaid in self.unsaid.items()}
        gaps: list[str] = []
        for key, flag in flags.items():
            if (
                self.waits_for_names
                and key not in self.unsaid
                and key.startswith(("joints.", "observation", "action.t", "base"))
            ):
                continue
            found = list(find(self.data, key))
            empty = [where for where, value in found if value is None or value == [] or value == {}]
            # A --set that names a joint makes one where nobody said which there are.
            if not empty and not (key == "joints" and self.waits_for_names):
                continue
            unsaid = self.unsaid.get(key)
            why = unsaid.why if unsaid else "the descriptor does not say it"
            named = key if len(empty) > 3 or len(empty) in (0, len(found)) else ", ".join(empty)
            gaps.append(f"{named}: {why}; {'give ' if flag.startswith('--') else ''}{flag}")
        if gaps:
            raise ContractError(
                f"{self.origin}: {len(gaps)} thing{'s' if len(gaps) > 1 else ''} that a contract needs "
                f"{'are' if len(gaps) > 1 else 'is'} missing, and nothing is guessed:\n  " + "\n  ".join(gaps)
            )

    def source_of(self, key: str) -> str | None:
        """What `sources` says of a key, by its longest pattern."""
        return source_of(self.sources, key)

    def _leads_somewhere(self, pattern: str) -> bool:
        return any(value is not None for _, value in find(self.data, pattern))

    def _finding(self, item: Any) -> str:
        # The discriminator of a union of terms stands in the location as well; the data does not have it.
        parts: list[str] = []
        for part in item["loc"]:
            if any(value is not None for _, value in find(self.data, ".".join([*parts, str(part)]))):
                parts.append(str(part))
        key = ".".join(parts)
        source = self.source_of(key)
        message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        where = self.origin + (f": {key}" if key else "") + (f" (from {source})" if source else "")
        missing = f"'{item['loc'][-1]}' is missing; " if item["type"] == "missing" else ""
        return f"{where}: {missing}{message}"


def assign_default(data: dict[str, Any], key: str) -> list[Any]:
    """The list of terms of `key`, made when absent."""
    return data.setdefault(key, {}).setdefault("terms", [])


def source_of(sources: Mapping[str, str], key: str) -> str | None:
    """The entry of a contract's `sources` that covers a dotted key most closely."""
    fitting = [pattern for pattern in sources if covers(pattern, key)]
    return sources[max(fitting, key=lambda pattern: pattern.count("."))] if fitting else None
