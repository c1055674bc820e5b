"""What a report says, as plain data: the verdict first, then the evidence, then what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Tone = Literal["good", "bad", "neutral"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under a head; the first column names what the others say."""

    title: str
    """Line above the table."""
    head: tuple[str, ...]
    """Name of each column; empty for a table of two columns that needs none."""
    rows: tuple[tuple[str, ...], ...]
    """Texts, as many in each row as in the others."""
    note: str = ""
    """How to read it."""

    def __post_init__(self) -> None:
        widths = {len(row) for row in (self.rows if not self.head else (self.head, *self.rows))}
        if len(widths) > 1:
            raise ValueError(f"table '{self.title}' has rows of {sorted(widths)} columns")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot."""

    name: str
    """Last part of the PNG's file name: report-<name>.png."""
    title: str
    """Line above the picture."""
    png: bytes
    """The picture."""
    text: str
    """What is to be seen, for who can't see it."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that stands on the page, in the order in which it stands there."""

    title: str
    """What was done to what: "g1 in MuJoCo"."""
    verdict: str
    """The outcome in a sentence or two."""
    tone: Tone = "neutral"
    """Whether the verdict is good news."""
    warnings: tuple[str, ...] = ()
    """What casts doubt on the verdict, a sentence each."""
    tables: tuple[Table, ...] = ()
    """The numbers."""
    pictures: tuple[Picture, ...] = ()
    """The plots."""
    text: str = ""
    """A text to be shown as it is, such as what the command printed."""
    settings: dict[str, str] = field(default_factory=dict)
    """Under which circumstances it ran."""
    files: dict[str, Path] = field(default_factory=dict)
    """Files that it rests on, by the name to show; their hashes are computed when the report is written."""
