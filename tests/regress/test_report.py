"""Claims about reports: nothing that is not a pass looks like one, and CI reads them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from policy_port.regress import Suite, load_suite
from policy_port.regress.report import github_annotations, junit, markdown, tally, write_reports
from policy_port.regress.verdict import Found, Verdict, exit_status
from tests.regress.test_suite import CASE, write

GOOD = Verdict(case="good", findings=(Found("golden", "pass", "follows | the course"),), cached=True)
BAD = Verdict(
    case="bad",
    findings=(Found("open_loop", "regression", "action a is 1, stored 0"), Found("golden", "pass", "fine")),
    changes=("the checkpoint changed", "mujoco 3.1 -> 3.2"),
)
UNCLEAR = Verdict(case="unclear", findings=(Found("statistical", "inconclusive", "100 % or\nnot"),))
ABSENT = Verdict(case="absent", findings=(Found("run", "skipped", "no GPU"),))
ALL = [GOOD, BAD, UNCLEAR, ABSENT]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return load_suite(write(tmp_path, CASE))


def test_the_sentence_names_the_fault_and_what_changed() -> None:
    """One sentence per verdict."""
    assert BAD.sentence == (
        "bad: regression: action a is 1, stored 0; since the baseline, the checkpoint changed, mujoco 3.1 -> 3.2."
    )


def test_exit_statuses() -> None:
    """A regression outweighs what is unclear, and that a pass; skips count when asked to, or where nothing ran."""
    assert exit_status(ALL, fail_on_skip=False) == 1
    assert exit_status([GOOD, UNCLEAR], fail_on_skip=False) == 3
    assert exit_status([GOOD, ABSENT], fail_on_skip=False) == 0
    assert exit_status([GOOD, ABSENT], fail_on_skip=True) == 3
    assert exit_status([ABSENT], fail_on_skip=False) == 3
    assert exit_status([GOOD], fail_on_skip=True) == 0


def test_junit(suite: Suite) -> None:
    """Regressions are failures, what is unclear is an error, skips are skipped, and the counts agree."""
    root = ET.fromstring(junit(suite, ALL))
    (element,) = root
    assert {key: element.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    kinds = {case.get("name"): [child.tag for child in case if child.tag != "system-out"] for case in element}
    assert kinds == {"good": [], "bad": ["failure"], "unclear": ["error"], "absent": ["skipped"]}
    assert root.find(".//failure").get("message") == BAD.sentence  # type: ignore[union-attr]


def test_github(suite: Suite) -> None:
    """One annotation for each verdict that is no pass, escaped as GitHub wants it."""
    lines = github_annotations(suite, ALL)
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]
    assert "title=policy-port my%3A bad::bad: regression: " in lines[0]
    assert lines[1].endswith("100 %25 or%0Anot.")


def test_markdown(suite: Suite) -> None:
    """Every finding has a row, and no text breaks the table."""
    lines = markdown(suite, ALL).splitlines()
    assert lines[0] == "## my: 1 pass, 1 regression, 1 inconclusive, 1 skipped (1 unchanged since an earlier run)"
    assert "| good | golden | pass | follows \\| the course |" in lines
    assert "| unclear | statistical | inconclusive | 100 % or not |" in lines
    assert tally(ALL) in lines[0]


def test_reports_on_disk(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder, the JUnit file, and the page that GitHub shows, to which is appended."""
    summary = tmp_path / "page.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    write_reports(suite, ALL, folder=tmp_path / "out" / "deep", junit_file=tmp_path / "junit.xml")
    assert summary.read_text() == "before\n" + (tmp_path / "out" / "deep" / "summary.md").read_text()
    verdicts = json.loads((tmp_path / "out" / "deep" / "verdicts.json").read_text())["verdicts"]
    assert [verdict["status"] for verdict in verdicts] == ["pass", "regression", "inconclusive", "skipped"]
    assert Verdict.of(verdicts[1]) == BAD
    assert (tmp_path / "junit.xml").read_text() == junit(suite, ALL)
