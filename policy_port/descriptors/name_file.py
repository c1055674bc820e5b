"""Joint names from a file of their own, for descriptors that have none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import MAX_BYTES
from policy_port.errors import ContractError
from policy_port.plain_yaml import PlainYaml, read_text

POLICY_KEYS = ("joint_names", "policy_joint_names")
"""Keys of a name file whose list is in the policy's order."""

MOTOR_KEY = "motor_joint_names"
"""Key of a name file whose list is in motor (SDK) order."""

ROBOT_SUFFIXES = (".xml", ".mjcf", ".urdf", ".xacro", ".usd", ".usda", ".usdc", ".usdz")
"""Files that describe a robot."""


@dataclass(frozen=True, kw_only=True)
class JointNames:
    """Names from a file, in the orders that it states; one of them may be absent."""

    source: str
    """The file and its key, for `sources`."""
    policy: tuple[str, ...] | None = None
    """Names in the policy's order."""
    motor: tuple[str, ...] | None = None
    """Names in motor (SDK) order."""


def read_joint_names(path: Path, *, bare_list: str | None) -> JointNames:
    """Read a name file.

    Args:
        path: A YAML mapping with `joint_names` (policy order), `motor_joint_names`, or `joints` (a contract), or a
            bare list.
        bare_list: The order of a bare list, "policy" or "motor"; None when the user did not say.

    Raises:
        ContractError: When it holds no names, or a bare list whose order nobody stated.
    """
    if path.suffix.lower() in ROBOT_SUFFIXES:
        raise ContractError(
            f"{path}: is a robot file, whose order of joints is not the policy's. Write the names in the policy's "
            f"order into a YAML file, under the key '{POLICY_KEYS[0]}', or in motor order under '{MOTOR_KEY}'"
        )
    data = _load(path)
    if isinstance(data, list):
        names = tuple(Record(path, {"the list": data}).names("the list"))
        if bare_list is None:
            raise ContractError(
                f"{path}: is a bare list of {len(names)} names, which does not say whether they are in the policy's "
                "or in motor order. Add --names-order policy or --names-order motor, or write the list under the key "
                f"'{POLICY_KEYS[0]}' or '{MOTOR_KEY}'"
            )
        source = f"{path.name} (--names-order {bare_list})"
        return JointNames(source=source, **{bare_list: names})
    record = Record(path, data)
    if isinstance(data.get("joints"), dict):
        return JointNames(source=f"{path.name}: joints", policy=tuple(record.section("joints").entries()))
    key = next((key for key in POLICY_KEYS if record.has(key)), None)
    policy = tuple(record.names(key)) if key else None
    motor = tuple(record.names(MOTOR_KEY)) if record.has(MOTOR_KEY) else None
    if policy is None and motor is None:
        raise ContractError(
            f"{path}: has neither '{POLICY_KEYS[0]}' (policy order) nor '{MOTOR_KEY}'. Its keys are: "
            f"{', '.join(record.entries()) or 'none'}"
        )
    stated = ", ".join(name for name in (key, MOTOR_KEY if motor else None) if name)
    return JointNames(source=f"{path.name}: {stated}", policy=policy, motor=motor)


def read_name_list(path: Path) -> tuple[str, ...]:
    """The one list of names in a file, for matching two lists."""
    names = read_joint_names(path, bare_list="policy")
    found = names.policy or names.motor
    assert found is not None
    return found


def _load(path: Path) -> dict[str, Any] | list[Any]:
    text = read_text(path, ContractError, what="a YAML or JSON file", max_bytes=MAX_BYTES)
    # A mapping goes through the reader that knows the tags of trainers' files.
    first = PlainYaml(text, path, ContractError, any_tag=lambda node, value: value, strict=False).data
    return first if isinstance(first, list) else Record.read(path).data
