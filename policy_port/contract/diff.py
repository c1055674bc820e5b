"""What two contracts disagree on, in words."""

from __future__ import annotations

import math
from typing import Any

from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.command_terms import GaitClockTerm
from policy_port.contract.spec import Contract

IGNORED = ("name", "sources", "trained_in", "contract_version")
"""Keys that say where a contract comes from, not what the weights assume."""


def differences(a: Contract, b: Contract, *, relative_tolerance: float = 1e-9) -> list[str]:
    """List what `a` and `b` disagree on, a line each; empty when a policy can't tell them apart.

    Joint data is compared under the joint's name; the joint order is a line of its own.
    """
    found: list[str] = []
    if a.joint_names != b.joint_names:
        only_a = [name for name in a.joint_names if name not in b.joints]
        only_b = [name for name in b.joint_names if name not in a.joints]
        if only_a:
            found.append(f"joints: only the first has {', '.join(only_a)}")
        if only_b:
            found.append(f"joints: only the second has {', '.join(only_b)}")
        if not only_a and not only_b:
            found.append(f"joint order: {', '.join(a.joint_names)} against {', '.join(b.joint_names)}")
    # Only what a task computes can hold a quaternion.
    tasks = any(term.term == "external" for side in (a, b) for term in side.observation.terms)
    for key in Contract.model_fields:
        if key in IGNORED or (key == "quaternion_order" and not tasks):
            continue
        x, y = (_plain(getattr(contract, key)) for contract in (a, b))
        if key == "observation":
            x, y = _placed(x), _placed(y)
        if key == "joints":
            x, y = ({name: value for name, value in side.items() if name in x and name in y} for side in (x, y))
        _compare(key, x, y, relative_tolerance, found)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _placed(observation: dict[str, Any]) -> dict[str, Any]:
    """Base terms that state no point or frame mean the base link's; the older names of a term mean the newer one."""
    for term in observation["terms"]:
        term |= {key: "link" for key in ("point", "frame") if term.get(key, "") is None}
        if term["term"] == "velocity_command":
            scales = {key: term[key] for key in ("scale", "offset") if isinstance(term[key], list)}
            tables = {key: dict(zip(VELOCITY_COMMAND, values, strict=True)) for key, values in scales.items()}
            term |= {"term": "command", "elements": list(VELOCITY_COMMAND), **tables}
        elif term["term"] == "gait_phase":
            offsets = term.pop("offsets")
            waves = [{"wave": wave, "offset": offset} for wave in ("sin", "cos") for offset in offsets]
            same = {"term": "gait_clock", "elements": waves, "period": term["period"]}
            clock = GaitClockTerm.model_validate(same)
            term |= {
                key: value for key, value in clock.model_dump(mode="json").items() if key not in ("name", "history")
            }
    return observation


def _compare(where: str, x: Any, y: Any, tolerance: float, found: list[str]) -> None:
    if isinstance(x, dict) and isinstance(y, dict):
        for key in [*x, *(key for key in y if key not in x)]:
            _compare(f"{where}.{key}", x.get(key), y.get(key), tolerance, found)
    elif isinstance(x, list) and isinstance(y, list) and len(x) == len(y):
        for i, (one, other) in enumerate(zip(x, y, strict=True)):
            label = one.get("name") or one.get("term") if isinstance(one, dict) else i
            _compare(f"{where}[{label}]", one, other, tolerance, found)
    elif isinstance(x, float | int) and isinstance(y, float | int) and not isinstance(x, bool):
        if not math.isclose(x, y, rel_tol=tolerance, abs_tol=1e-12):
            found.append(f"{where}: {x:g} against {y:g}")
    elif x != y:
        found.append(f"{where}: {_words(x)} against {_words(y)}")


def _words(value: Any) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_words(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[" + ", ".join(str(item.get("name") or item.get("term")) for item in value) + "]"
    return str(value)
