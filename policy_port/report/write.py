"""Writing a report: the HTML file, and its pictures beside it."""

from __future__ import annotations

import datetime
from pathlib import Path

from policy_port.files import write_atomic
from policy_port.report.about import hashes, versions
from policy_port.report.html import render
from policy_port.report.page import Report


def write_report(path: Path, report: Report) -> tuple[Path, ...]:
    """Write a report; files that are there already are replaced.

    Args:
        path: The HTML file; its folder must exist. A picture named "joints" goes to <stem>-joints.png beside it.
        report: What it says.

    Returns:
        What was written, the HTML first.

    Raises:
        OutputError: When a file can't be written.
    """
    names = [picture.name for picture in report.pictures]
    if len(set(names)) < len(names):
        raise ValueError(f"pictures of one name would overwrite each other: {', '.join(names)}")
    written = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = render(report, written=written, versions=versions(), hashes=hashes(report.files))
    pictures = {path.with_name(f"{path.stem}-{picture.name}.png"): picture.png for picture in report.pictures}
    for file, png in pictures.items():
        write_atomic(file, png)
    write_atomic(path, page)
    return (path, *pictures)
