"""The pytest plugin: regression suites as tests.

A suite that is named on the command line, or any `*.regress.yaml` where the ini option `policy_port_suites` is true,
is collected with one test per case. The fixture `policy_port_suite` runs a suite from within a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from policy_port.regress.suite import Suite
    from policy_port.regress.verdict import Verdict

# Spelt out, so that a pytest run without suites loads nothing of the package.
SUFFIX = ".regress.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Announce the ini option."""
    parser.addini("policy_port_suites", "Collect *.regress.yaml as tests of policy-port.", type="bool", default=False)


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.Collector | None:
    """Collect suites that were asked for."""
    if not file_path.name.endswith(SUFFIX):
        return None
    if not parent.config.getini("policy_port_suites") and not parent.session.isinitpath(file_path):
        return None
    return SuiteFile.from_parent(parent, path=file_path)


@pytest.fixture
def policy_port_suite() -> Callable[..., list[Verdict]]:
    """A function that runs a suite and fails the test on the first case that is not as it was.

    Its arguments are the suite's path and those of `run_suite`; cases that can't run here are skipped, and the test
    with them only where all are. It returns the verdicts.
    """

    def run(path: str | Path, **options: Any) -> list[Verdict]:
        __tracebackhide__ = True
        from policy_port.regress.run import run_suite
        from policy_port.regress.suite import load_suite

        verdicts = run_suite(load_suite(path), **options)
        wrong = [verdict.sentence for verdict in verdicts if verdict.status in ("regression", "inconclusive")]
        if wrong:
            pytest.fail("\n".join(wrong), pytrace=False)
        if all(verdict.status == "skipped" for verdict in verdicts):
            pytest.skip("\n".join(verdict.sentence for verdict in verdicts))
        return verdicts

    return run


class SuiteFile(pytest.File):
    """A suite."""

    def collect(self) -> Iterable[pytest.Item]:
        """One test per case."""
        from policy_port.errors import PolicyPortError
        from policy_port.regress.suite import load_suite

        try:
            suite = load_suite(self.path)
        except PolicyPortError as error:
            raise self.CollectError(str(error)) from None
        for case in suite.cases:
            yield CaseItem.from_parent(self, name=case.name, suite=suite)


class CaseItem(pytest.Item):
    """A case of a suite."""

    def __init__(self, *, suite: Suite, **more: Any) -> None:
        super().__init__(**more)
        self._suite = suite

    def runtest(self) -> None:
        """Judge the case."""
        from policy_port.errors import PolicyPortError
        from policy_port.regress.run import run_suite

        try:
            (verdict,) = run_suite(self._suite, only=[self.name])
        except PolicyPortError as error:
            pytest.fail(str(error), pytrace=False)
        if verdict.status == "skipped":
            pytest.skip(verdict.sentence)
        if verdict.status != "pass":
            pytest.fail(verdict.sentence, pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the case stands, for pytest's report."""
        return self.path, None, f"{self.path.name}: {self.name}"
