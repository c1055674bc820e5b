"""Running a suite: each case in its own process, finished ones kept, unchanged ones not run again."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from policy_port.errors import MissingDependencyError, PolicyPortError
from policy_port.files import write_atomic
from policy_port.regress import fingerprint
from policy_port.regress.baseline import changes, check_baselines, load_baseline
from policy_port.regress.child import CaseJob, Mode
from policy_port.regress.play import ListFile
from policy_port.regress.process import Performer, on_this_machine
from policy_port.regress.suite import Case, Suite
from policy_port.regress.verdict import Found, Verdict


def run_suite(
    suite: Suite,
    *,
    jobs: int = 1,
    fresh: bool = False,
    only: Sequence[str] = (),
    performer: Performer | None = None,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Judge every case.

    Args:
        suite: The suite.
        jobs: Processes at a time.
        fresh: Run cases again even where nothing they depend on has changed.
        only: Names of the cases to run; all, if empty.
        performer: Who runs the processes; this machine, if None.
        on_verdict: Called with each verdict as it is reached.

    Returns:
        Verdicts in the order of the suite.

    Raises:
        SuiteError: When a case has no baseline, or one of another run; nothing is run then.
    """
    cases = [case for case in suite.cases if not only or case.name in only]
    skipped = {case.name: reason for case in cases if (reason := missing_needs(suite, case))}
    check_baselines(suite, [case for case in cases if case.name not in skipped])
    skipped |= {case.name: reason for case in cases if case.name not in skipped and (reason := _lacks(suite, case))}
    verdicts = {
        name: Verdict(case=name, findings=(Found("run", "skipped", reason),)) for name, reason in skipped.items()
    }
    ready = [case for case in cases if case.name not in verdicts]
    cache = cache_folder(suite)
    keys = {case.name: fingerprint.key(suite, case) for case in ready}
    for case in ready:
        known = None if fresh else _known(cache, case, keys[case.name])
        if known is not None:
            verdicts[case.name] = known
    for verdict in verdicts.values():
        on_verdict(verdict)
    with tempfile.TemporaryDirectory(prefix="policy_port_regress_") as folder:
        todo = [make_job(suite, case, "judge", Path(folder)) for case in ready if case.name not in verdicts]
        for job, result in (performer or on_this_machine(jobs))(todo):
            case = suite.case(job.case)
            verdict = _verdict(suite, case, result)
            verdicts[case.name] = verdict
            if all(finding.expectation != "run" for finding in verdict.findings):
                _keep(cache, verdict, keys[case.name])
            on_verdict(verdict)
    return [verdicts[case.name] for case in cases]


def make_job(suite: Suite, case: Case, mode: Mode, folder: Path) -> CaseJob:
    """A job with a folder of its own below `folder`."""
    out = folder / f"{case.name}.{mode}"
    out.mkdir()
    ports = str(cache_folder(suite) / "ports")
    return CaseJob(suite=str(suite.path), case=case.name, mode=mode, out=str(out), ports=ports, timeout=case.timeout)


def missing_needs(suite: Suite, case: Case) -> str:
    """Why the case can't even be tried; "" if it can."""
    missing = [need for need in case.needs if not suite.resolve(need).exists()]
    return f"needs {', '.join(missing)}, which is not here" if missing else ""


def cache_folder(suite: ListFile) -> Path:
    """The cache of a suite or a sweep; it hides itself from git. Where nothing can be written, a temporary one."""
    folder = suite.folder / suite.cache / suite.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, "*\n")
    except (OSError, PolicyPortError):
        folder = Path(tempfile.gettempdir()) / f"policy_port{suite.cache}" / suite.sha256[:16]
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _lacks(suite: Suite, case: Case) -> str:
    """Which package the case's robot would come with; "" where it is here."""
    try:
        fingerprint.dependencies(suite, case)
    except MissingDependencyError as error:
        return str(error)
    return ""


def _verdict(suite: Suite, case: Case, result: dict[str, Any]) -> Verdict:
    if "skipped" in result:
        findings = (Found("run", "skipped", result["skipped"]),)
    elif "crashed" in result:
        findings = (Found("run", "regression", result["crashed"]),)
    elif "elsewhere" in result:
        findings = (Found("run", "inconclusive", result["elsewhere"]),)
    elif "failed" in result:
        findings = (Found("run", "regression", f"it can't be played: {result['failed']}"),)
    else:
        findings = tuple(Found(**finding) for finding in result["findings"])
    verdict = Verdict(case=case.name, findings=findings, seconds=result["seconds"])
    baseline = load_baseline(suite, case)
    if verdict.status == "skipped" or baseline is None:
        return verdict
    parsing = {name: result[name] for name in ("contract", "mapping") if name in result}
    found = changes(baseline.document, fingerprint.dependencies(suite, case), fingerprint.versions(case), parsing)
    return replace(verdict, changes=found)


def _known(cache: Path, case: Case, key: str) -> Verdict | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((cache / f"{case.name}.json").read_text(encoding="utf-8"))
        if kept["key"] == key:
            return replace(Verdict.of(kept["verdict"]), cached=True)
    return None


def _keep(cache: Path, verdict: Verdict, key: str) -> None:
    # A cache that can't be written is no reason to lose the verdict.
    with contextlib.suppress(PolicyPortError):
        write_atomic(cache / f"{verdict.case}.json", json.dumps({"key": key, "verdict": verdict.plain()}, indent=1))
