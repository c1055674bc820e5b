"""Writing baselines: run each case, measure how far it repeats, and say what is other than before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.errors import SuiteError
from policy_port.regress import golden
from policy_port.regress.baseline import VERSION, Baseline, changes, load_baseline
from policy_port.regress.child import ARRAYS, COURSES, CaseJob
from policy_port.regress.process import on_this_machine
from policy_port.regress.run import make_job, missing_needs
from policy_port.regress.suite import Case, Suite


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What became of a case's baseline."""

    case: str
    written: bool
    lines: tuple[str, ...]
    """What to tell: the differences, or why nothing was written."""


def update_suite(
    suite: Suite, *, jobs: int = 1, on_case: Callable[[Updated], None] = lambda updated: None
) -> list[Updated]:
    """Write the baseline of every case that can run here; the others keep theirs.

    Raises:
        SuiteError: When a case can't be played; the cases before it have been written.
    """
    done: list[Updated] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="policy_port_regress_") as folder:
        todo: list[CaseJob] = []
        for case in suite.cases:
            reason = missing_needs(suite, case)
            if reason:
                done.append(Updated(case=case.name, written=False, lines=(f"skipped: {reason}",)))
                on_case(done[-1])
                continue
            modes = ("measure", "repeat", "shaken") if case.expect.golden is not None else ("measure",)
            todo += [make_job(suite, case, mode, Path(folder)) for mode in modes]
        results: dict[str, dict[str, tuple[CaseJob, dict[str, Any]]]] = {}
        for job, result in on_this_machine(jobs)(todo):
            found = results.setdefault(job.case, {})
            found[job.mode] = job, result
            case = suite.case(job.case)
            if len(found) < (3 if case.expect.golden is not None else 1):
                continue
            wrong = [text for _, one in found.values() for key in ("failed", "crashed") if (text := one.get(key))]
            if wrong:
                failed.append(f"case '{case.name}': {wrong[0]}")
                continue
            skipped = [one["skipped"] for _, one in found.values() if "skipped" in one]
            if skipped:
                updated = Updated(case=case.name, written=False, lines=(f"skipped: {skipped[0]}",))
            else:
                updated = _write(suite, case, found)
            done.append(updated)
            on_case(updated)
    if failed:
        raise SuiteError("\n".join(failed) + "\nTheir baselines are as they were")
    return done


def _write(suite: Suite, case: Case, found: dict[str, tuple[CaseJob, dict[str, Any]]]) -> Updated:
    job, measured = found["measure"]
    out = Path(job.out)
    document: dict[str, Any] = {
        "baseline_version": VERSION,
        "simulator": measured["simulator"],
        "versions": measured["versions"],
        "dependencies": measured["dependencies"],
        "protocol": suite.protocol(case),
        "summary": _summary(measured["outcomes"]),
        "joint_names": measured["joint_names"],
    }
    arrays: dict[str, Any] = {}
    if case.expect.golden is not None:
        courses = [_load(Path(found[mode][0].out) / COURSES) for mode in ("measure", "repeat", "shaken")]
        first, again, shaken = ([course[str(number)] for number in range(len(course))] for course in courses)
        document["golden"], kept = golden.measure(first, again, shaken, case.expect.golden)
        arrays |= kept
    if case.expect.open_loop is not None:
        document["open_loop"] = measured["open_loop"]
        arrays |= _load(out / ARRAYS)
    document |= {"outcomes": measured["outcomes"], "contract": measured["contract"], "mapping": measured["mapping"]}
    try:
        lines = _difference(load_baseline(suite, case), document)
    except SuiteError:
        # Damaged, or of another version, which is when its own message asks for this.
        lines = [*_difference(None, document), "instead of one that could not be read"]
    paths = Baseline(document=document, arrays=arrays).write(suite, case.name)
    size = sum(path.stat().st_size for path in paths) / 1024
    return Updated(case=case.name, written=True, lines=(*lines, f"{size:.0f} KiB"))


def _summary(outcomes: dict[str, Any]) -> dict[str, float | int | None]:
    flags, errors = outcomes["success"], [error for error in outcomes["error"] if error is not None]
    return {
        "episodes": len(flags),
        "success_rate": flags.count("1") / len(flags),
        "mean_error": sum(errors) / len(errors) if errors else None,
        "largest_error": max(errors) if errors else None,
    }


def _difference(old: Baseline | None, new: dict[str, Any]) -> list[str]:
    """New figures, with the ones they replace, and what has changed."""
    then = old.document if old is not None else None
    lines = [f"{'new' if then is None else 'replaced'}, in {new['simulator']}"]
    for key, value in new["summary"].items():
        before = None if then is None else then["summary"].get(key)
        was = "" if then is None or before == value else f" (was {_number(before)})"
        lines.append(f"{key.replace('_', ' ')}: {_number(value)}{was}")
    if "golden" in new:
        about = new["golden"]
        steps, same, close = (sum(about[key]) for key in ("steps", "repeats_bitwise", "horizon"))
        lines.append(f"run twice, {same} of {steps} steps repeat bit for bit; compared up to rounding: {close} steps")
    if then is not None:
        found = changes(then, new["dependencies"], new["versions"], new)
        lines.append("changed: " + (", ".join(found) if found else "nothing that it depends on"))
    return lines


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _load(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
