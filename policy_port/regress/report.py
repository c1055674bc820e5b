"""Verdicts for people and for CI: Markdown, GitHub's annotations, JUnit XML, JSON."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from policy_port.errors import OutputError
from policy_port.files import write_atomic
from policy_port.regress.suite import Suite
from policy_port.regress.verdict import Verdict

ANNOTATION = {"regression": "error", "inconclusive": "warning", "skipped": "notice"}
"""GitHub's word for each status; a pass is not annotated."""


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many of each, in a line."""
    names = ("pass", "regression", "inconclusive", "skipped")
    counts = {name: sum(verdict.status == name for verdict in verdicts) for name in names}
    cached = sum(verdict.cached for verdict in verdicts)
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return text + (f" ({cached} unchanged since an earlier run)" if cached else "")


def markdown(suite: Suite, verdicts: Sequence[Verdict]) -> str:
    """A table with a row per expectation."""
    lines = [f"## {suite.name}: {tally(verdicts)}", "", "| case | expectation | verdict | found |", "|---|---|---|---|"]
    for verdict in verdicts:
        for finding in verdict.findings:
            cells = (verdict.case, finding.expectation, finding.status, finding.text)
            lines.append("| " + " | ".join(_cell(text) for text in cells) + " |")
        if verdict.changes:
            lines.append(f"| {verdict.case} | | | since the baseline: {_cell(', '.join(verdict.changes))} |")
    return "\n".join(lines) + "\n"


def github_annotations(suite: Suite, verdicts: Sequence[Verdict]) -> list[str]:
    """GitHub workflow commands, one for each verdict that is not a pass."""
    found = []
    for verdict in verdicts:
        if verdict.status in ANNOTATION:
            where = os.path.relpath(suite.path, os.environ.get("GITHUB_WORKSPACE", "."))
            title = _property(f"policy-port {suite.name}: {verdict.case}")
            kind = ANNOTATION[verdict.status]
            found.append(f"::{kind} file={_property(where)},title={title}::{_escape(verdict.sentence)}")
    return found


def junit(suite: Suite, verdicts: Sequence[Verdict]) -> str:
    """JUnit XML. What is inconclusive counts as an error: it has neither passed nor failed."""
    kinds = {"regression": "failure", "inconclusive": "error", "skipped": "skipped"}
    root = ET.Element("testsuites")
    counts = {
        attribute: str(sum(verdict.status == status for verdict in verdicts))
        for status, attribute in (("regression", "failures"), ("inconclusive", "errors"), ("skipped", "skipped"))
    }
    seconds = sum(verdict.seconds for verdict in verdicts)
    about = {"name": suite.name, "tests": str(len(verdicts)), "time": f"{seconds:.3f}", **counts}
    element = ET.SubElement(root, "testsuite", about)
    for verdict in verdicts:
        name = {"name": verdict.case, "classname": f"regress.{suite.name}", "time": f"{verdict.seconds:.3f}"}
        case = ET.SubElement(element, "testcase", name)
        if verdict.status in kinds:
            ET.SubElement(case, kinds[verdict.status], {"message": _printable(verdict.sentence)})
        lines = [f"{finding.expectation}: {finding.status}: {finding.text}" for finding in verdict.findings]
        ET.SubElement(case, "system-out").text = _printable("\n".join(lines))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def write_reports(suite: Suite, verdicts: Sequence[Verdict], *, folder: Path | None, junit_file: Path | None) -> None:
    """Write what was asked for, and what GitHub offers a place for.

    Raises:
        OutputError: When it can't be written.
    """
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: can't be made: {error.strerror}") from None
        write_atomic(folder / "summary.md", markdown(suite, verdicts))
        found = {"suite": suite.name, "verdicts": [verdict.plain() for verdict in verdicts]}
        write_atomic(folder / "verdicts.json", json.dumps(found, indent=1) + "\n")
    if junit_file is not None:
        write_atomic(junit_file, junit(suite, verdicts))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(markdown(suite, verdicts))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    """Without the control characters that XML can't hold."""
    return "".join(char for char in text if char >= " " or char in "\t\n")
