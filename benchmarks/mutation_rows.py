"""Rows of the mutation score that earlier runs finished: a run that is cut off goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
JUDGES = ("policy_port/verdict/**/*.py", "policy_port/mistakes/**/*.py", "benchmarks/mutation_*.py")
"""What a row follows from beside the policy: once any of it is another, the row is made again."""


def state() -> str:
    """What the code that judges, and that makes the mistakes, is now."""
    files = sorted(file for pattern in JUDGES for file in ROOT.glob(pattern))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


class Rows:
    """Finished rows by part of the run, policy and mistake."""

    def __init__(self, file: Path, *, keep_older: bool, minutes: float) -> None:
        """Read what was kept.

        Args:
            file: A JSON object on each line.
            keep_older: Whether rows count that another state of the code made.
            minutes: How long rows are made from now on.
        """
        self._file, self._state, self._until = file, state(), time.monotonic() + 60.0 * minutes
        self._rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            row = json.loads(line)
            if keep_older or row["state"] == self._state:
                self._rows[row["part"], row["policy"], row["mistake"]] = row
        self.missing = 0
        """How many of the rows that were asked for are not made: the time was over."""
        self.older = 0
        """How many of the rows that were asked for another state of the code made."""

    def made(self, part: str, policy: str, mistake: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """A row as it was kept, or made now and kept at once; None where it has to be made, and the time is over."""
        row: dict[str, Any] | None = self._rows.get((part, policy, mistake))
        if row is None:
            if time.monotonic() > self._until:
                self.missing += 1
                return None
            row = {"part": part, "policy": policy, "mistake": mistake, "state": self._state, "made": make()}
            self._rows[part, policy, mistake] = row
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
        self.older += row["state"] != self._state
        return row["made"]
