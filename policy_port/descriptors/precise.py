"""Full-precision values beside rounded metadata, by joint name, each held against what it was rounded to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

DECIMALS = 3
"""Decimals that mjlab and BeyondMimic keep."""
ROUNDED = f"rounded to {DECIMALS} decimals"

HALF_STEP = 0.5 * 10.0**-DECIMALS
"""Most that rounding can have moved a value."""

KEYS = ("default_joint_pos", "action_scale", "joint_stiffness", "joint_damping")
"""Keys of a file of full-precision values; each holds one number, or a mapping by joint name."""


@dataclass(frozen=True, kw_only=True)
class PreciseValues:
    """Values by key and joint name; empty when the user gave none."""

    names: tuple[str, ...]
    """Joint names in the policy's order."""
    path: Path | None = None
    """The file."""
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    """Value by key and joint."""
    places: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """File and dotted key of values that stand elsewhere than under their own name in `path`."""
    otherwise: str = "are they of the same policy?"
    """What to do where they contradict the metadata."""

    @classmethod
    def read(cls, path: Path, names: Sequence[str]) -> PreciseValues:
        """Read the file; lists are refused, since a list does not say its order."""
        record = Record.read(path)
        values: dict[str, dict[str, float]] = {}
        for key in record.entries():
            if key not in KEYS:
                raise record.error(key, f"is not known{closest(key, KEYS) or '.'} Known: {', '.join(KEYS)}")
            if isinstance(record.get(key), list | tuple):
                raise record.error(key, "is a list, which does not say its order; write JOINT: NUMBER lines")
            if not isinstance(record.get(key), dict):
                values[key] = dict.fromkeys(names, record.number(key))
                continue
            section = record.section(key)
            strange = next((name for name in section.entries() if name not in names), None)
            if strange is not None:
                raise section.error(strange, f"is no joint of the policy{closest(strange, names) or '.'}")
            values[key] = {name: section.number(name) for name in names if section.has(name)}
        return cls(names=tuple(names), path=path, values=values)

    def has(self, key: str) -> bool:
        """Whether the file gives `key`."""
        return key in self.values

    def exact(
        self,
        key: str,
        rounded: Sequence[float],
        record: Record,
        *,
        joints: Sequence[str] | None = None,
        any_order: bool = False,
    ) -> tuple[list[float], str]:
        """The values in joint order and their source; the rounded ones where the file gives none.

        Args:
            key: Key in the metadata.
            rounded: Its values there.
            record: The metadata.
            joints: Joint of each of them; all, if not given.
            any_order: The metadata may be in another order than the names, so only the set of values is compared.

        Raises:
            ContractError: When a joint has no value, or one does not round to what the metadata says.
        """
        if key not in self.values:
            return list(rounded), record.source(key, record.rounded.get(key, ""))
        joints = self.names if joints is None else joints
        path, place = self.place(key)
        absent = next((name for name in joints if name not in self.values[key]), None)
        if absent is not None:
            raise ContractError(f"{path}: key '{place}.{absent}' is missing; give every joint its number")
        exact = [self.values[key][name] for name in joints]
        held, stated = (sorted(exact), sorted(rounded)) if any_order else (exact, rounded)
        for name, value, other in zip(joints, held, stated, strict=True):
            if not rounds_to(value, other):
                joint = "one joint" if any_order else f"joint '{name}'"
                raise ContractError(
                    f"{path}: {place} of {joint} is {value:g}, but the metadata of {record.path} has {other:g}, "
                    f"which no rounding explains; {self.otherwise}"
                )
        return exact, f"{path.name}: {place}"

    def place(self, key: str) -> tuple[Path, str]:
        """File and dotted key of what stands under `key`."""
        assert self.path is not None
        return self.places.get(key, (self.path, key))


def rounds_to(value: float, rounded: float) -> bool:
    """Whether metadata may have `rounded` for `value`, which a trainer kept as float32."""
    return abs(value - rounded) <= HALF_STEP * 1.001 + 1.2e-7 * abs(value)


def worst_rounding(record: Record, keys: Sequence[str]) -> tuple[str, float, float]:
    """Key, value and largest relative error [%] among the non-zero entries of `keys`."""
    entries = [(key, value) for key in keys for value in record.numbers(key) if value != 0.0]
    key, value = min(entries, key=lambda entry: abs(entry[1]), default=(keys[0], 1.0))
    return key, value, 100.0 * HALF_STEP / abs(value)
