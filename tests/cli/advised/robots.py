"""x."""

from __future__ import annotations

from pathlib import Path

from tests.cli.advised.trial import Note, Trial

TRIALS: list[Trial | Note] = []


def build(folder: Path) -> None:
    """x."""
