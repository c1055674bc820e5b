"""Baselines: small files beside the suite that say what a case did when it was last accepted."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.contract.diff import differences
from policy_port.errors import SuiteError
from policy_port.files import write_atomic
from policy_port.regress.suite import Case, Suite

VERSION = 1

SHOWN = 3
"""Differences of a contract or mapping that are spelt out; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What is stored of a case."""

    document: dict[str, Any]
    """Hashes, versions, outcomes, how far the simulator repeats itself."""
    arrays: Mapping[str, NDArray[Any]]
    """The decimated courses and the open-loop trace."""

    def write(self, suite: Suite, case: str) -> tuple[Path, Path]:
        """Put both files in place."""
        suite.baselines.mkdir(exist_ok=True)
        about, data = suite.baseline_files(case)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **self.arrays)
        write_atomic(data, buffer.getvalue())
        # A line per key, so that a review of a new baseline reads like a table.
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in self.document.items()]
        write_atomic(about, "{\n" + ",\n".join(lines) + "\n}\n")
        return about, data


def load_baseline(suite: Suite, case: Case) -> Baseline | None:
    """The baseline of a case; None where none was written.

    Raises:
        SuiteError: When it is damaged.
    """
    about, data = suite.baseline_files(case.name)
    if not about.is_file() or not data.is_file():
        return None
    try:
        document = json.loads(about.read_text(encoding="utf-8"))
        with np.load(data, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError) as cause:
        raise SuiteError(f"{about}: this baseline can't be read ({cause}); write it again with --update") from None
    if document.get("baseline_version") != VERSION:
        raise SuiteError(f"{about}: was written by another version of policy-port; write it again with --update")
    return Baseline(document=document, arrays=arrays)


def check_baselines(suite: Suite, cases: list[Case]) -> None:
    """Refuse a suite that can't be judged, before anything runs.

    Raises:
        SuiteError: When a baseline is missing, damaged, or was written for another run.
    """
    wrong = []
    for case in cases:
        baseline = load_baseline(suite, case)
        if baseline is None:
            wrong.append(f"{suite.path}: case '{case.name}' has no baseline in {suite.baselines.name}")
            continue
        old, new = baseline.document["protocol"], _plain(suite.protocol(case))
        changed = [key for key in {**new, **old} if new.get(key) != old.get(key)]
        if changed:
            what = ", ".join(f"{key} is {_short(new.get(key))}, then {_short(old.get(key))}" for key in changed)
            wrong.append(f"{suite.path}: the baseline of case '{case.name}' is one of another run: {what}")
    if wrong:
        raise SuiteError(
            "\n".join(wrong) + f"\nLook at the case and write it: policy-port regress {suite.path} --update"
        )


def changes(
    old: Mapping[str, Any],
    new_dependencies: Mapping[str, str],
    new_versions: Mapping[str, str],
    parsing: Mapping[str, Any],
) -> tuple[str, ...]:
    """What is not as it was, each in a few words.

    Args:
        old: The baseline's document.
        new_dependencies: Hashes of files now.
        new_versions: Versions now.
        parsing: `contract` and `mapping` of the port now, as data; empty where the port could not be made.
    """
    found = []
    then = old["dependencies"]
    changed = [name for name in {**then, **new_dependencies} if then.get(name) != new_dependencies.get(name)]
    told = _contract_changes(old, parsing) + _mapping_changes(old, parsing)
    for name in changed:
        words = [text for text in told if text.startswith(name)]
        spoken = "mapping that it is played through" if name == "through" else name
        found.append(words[0] if words else f"the {spoken} changed")
    found += [text for text in told if "port" in changed and text not in found]
    if "checkpoint" in changed and "contract" not in changed:
        found[found.index("the checkpoint changed")] = "the checkpoint changed and its contract did not"
    for name in {**old["versions"], **new_versions}:
        one, other = old["versions"].get(name, "absent"), new_versions.get(name, "absent")
        if one != other:
            found.append(f"{name} {one} -> {other}")
    return tuple(found)


def elsewhere(old: Mapping[str, Any], simulator: str, new_versions: Mapping[str, str]) -> str:
    """What keeps courses from being compared: another simulator, backend or machine; "" for nothing."""
    if old["simulator"] != simulator:
        return f"the simulator was {old['simulator']} and is {simulator}"
    if old["versions"].get("machine") != new_versions.get("machine"):
        return f"the machine was {old['versions'].get('machine')} and is {new_versions.get('machine')}"
    return ""


def _contract_changes(old: Mapping[str, Any], parsing: Mapping[str, Any]) -> list[str]:
    if "contract" not in parsing:
        return []
    try:
        found = differences(Contract.model_validate(old["contract"]), Contract.model_validate(parsing["contract"]))
    except ValueError:
        # A baseline of an older release: that the contract has changed is told by its hash.
        return []
    return [f"contract changed ({_some(found)})"] if found else []


def _mapping_changes(old: Mapping[str, Any], parsing: Mapping[str, Any]) -> list[str]:
    if not parsing.get("mapping") or not old.get("mapping"):
        return []
    one, other = (dict(_flat("", _plain(side["mapping"]))) for side in (old, parsing))
    found = [
        f"{key}: {_short(one.get(key))} against {_short(other.get(key))}"
        for key in {**one, **other}
        if one.get(key) != other.get(key)
    ]
    return [f"mapping changed ({_some(found)})"] if found else []


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [item for key, inner in value.items() for item in _flat(f"{prefix}.{key}".lstrip("."), inner)]
    return [(prefix, value)]


def _some(found: list[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
