"""What the tables call each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def run_labels(paths: Sequence[Path], *, taken: Sequence[str] = ()) -> list[str]:
    """The shortest ends of the paths that tell the runs apart; a run that is given twice gets a number.

    Args:
        paths: Folders or traces.
        taken: Names that are given away already.
    """
    names = [path.resolve() for path in paths]
    # A trace is known by its folder where all are called trace.npz.
    ends = [tuple(p for p in name.parts if p != "trace.npz") for name in names]
    depth = 1
    while depth < max(map(len, ends), default=1) and len({end[-depth:] for end in ends}) < len(set(ends)):
        depth += 1
    found: list[str] = []
    for end in ends:
        label = "/".join(end[-depth:]) or "run"
        number = 2
        plain = label
        while label in found or label in taken:
            label, number = f"{plain} ({number})", number + 1
        found.append(label)
    return found
