"""What is said about a case."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["pass", "regression", "inconclusive", "skipped"]

EXIT = {"pass": 0, "regression": 1, "inconclusive": 3, "skipped": 0}
"""Exit status of each; 2 is a suite that can't be judged."""


@dataclass(frozen=True)
class Found:
    """What one expectation has found."""

    expectation: str
    """open_loop, golden, statistical, or "run" where it came to none of them."""
    status: Status
    text: str
    """One clause, without the case's name."""
    numbers: dict[str, float] = field(default_factory=dict)
    """The figures behind it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found out about a case."""

    case: str
    findings: tuple[Found, ...]
    changes: tuple[str, ...] = ()
    """What is not as it was when the baseline was written."""
    seconds: float = 0.0
    """How long the case took [s]; when cached, then."""
    cached: bool = False
    """Whether it was judged in an earlier run, on the same of everything."""

    @property
    def status(self) -> Status:
        """The gravest of the findings."""
        found = {finding.status for finding in self.findings}
        for status in ("regression", "inconclusive", "skipped"):
            if status in found:
                return status
        return "pass"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence: what was found, and what has changed since the baseline."""
        status = self.status
        grave = [finding for finding in self.findings if finding.status == status]
        told = grave[:1] if status != "pass" else grave
        text = "; ".join(finding.text for finding in told)
        if self.changes:
            text += f"; since the baseline, {', '.join(self.changes)}"
        return f"{self.case}: {status}: {text}."

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return {**asdict(self), "status": self.status, "sentence": self.sentence}

    @staticmethod
    def of(data: dict[str, Any]) -> Verdict:
        """From `plain`."""
        return Verdict(
            case=data["case"],
            findings=tuple(Found(**finding) for finding in data["findings"]),
            changes=tuple(data["changes"]),
            seconds=data["seconds"],
            cached=data["cached"],
        )


def exit_status(verdicts: list[Verdict], *, fail_on_skip: bool) -> int:
    """The suite's exit status: a regression outweighs what is unclear; nothing judged is unclear."""
    found = {verdict.status for verdict in verdicts}
    if "regression" in found:
        return EXIT["regression"]
    if "inconclusive" in found or found == {"skipped"} or (fail_on_skip and "skipped" in found):
        return EXIT["inconclusive"]
    return EXIT["pass"]
