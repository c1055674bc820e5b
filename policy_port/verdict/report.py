"""The pages that verify and diagnose leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policy_port.mistakes.numbers import counted
from policy_port.port.format import MANIFEST
from policy_port.report import Picture, Report, Table, draw_png
from policy_port.verdict.checks import ROUNDING_RULE
from policy_port.verdict.comparison import Check, unmade
from policy_port.verdict.diagnose import TraceDiagnosis
from policy_port.verdict.verify import Verification

RIGHT, WRONG = "#1f5fa8", "#c8373f"

FLOOR = 1e-4
"""Least share of what is allowed that is drawn; an exact match has none."""


def verify_report(verdict: Verification, port: Path) -> Report:
    """What verify found, as a page.

    Args:
        verdict: The verdict.
        port: The port folder that was held against the trace.
    """
    rows = tuple(_row(check, verdict.looks.get(check.label, check.note)) for check in verdict.checks)
    wrong = ", ".join(check.label for check in verdict.wrong)
    made = len(verdict.checks) - len(unmade(verdict.checks))
    return Report(
        title=f"verify: {verdict.contract.name}",
        verdict=(
            f"{len(verdict.wrong)} of {counted(made, 'comparison')} wrong: {wrong}."
            if verdict.wrong
            else f"{verdict.said[0].upper()}{verdict.said[1:]}, over {counted(verdict.steps, 'step')}."
        ),
        tone="good" if verdict.ok else "bad",
        warnings=verdict.notes,
        tables=(Table(title="Comparisons", head=HEAD, rows=rows, note=ROUNDING_RULE),),
        pictures=(_shares(verdict.checks),),
        settings={
            "trace": f"{counted(verdict.steps, 'step')} of {counted(verdict.envs, 'environment')}",
            "side": verdict.side,
        },
        files={"trace": verdict.trace, "port manifest": port / MANIFEST},
    )


def diagnose_report(diagnosis: TraceDiagnosis, trace: Path, port: Path) -> Report:
    """What diagnose found, as a page.

    Args:
        diagnosis: The diagnosis.
        trace: The trace that it explains.
        port: The port folder.
    """
    if diagnosis.ok:
        words = "Nothing differs: the contract explains the trace as it is."
    elif not diagnosis.wrong:
        words = "Not verified: nothing differs in what could be compared, which is not all."
    elif diagnosis.found is None:
        words = "None of the usual mistakes explains the trace; it may be of another policy."
    else:
        words = f"{diagnosis.found.said}."
    table = diagnosis.table(("largest difference", "elements wrong"))
    return Report(
        title=f"diagnose: {diagnosis.contract.name}",
        verdict=words,
        tone="good" if diagnosis.ok else "bad",
        warnings=diagnosis.notes,
        tables=(table,) if table.rows else (),
        pictures=(_shares(diagnosis.checks),),
        text=diagnosis.text(),
        files={"trace": trace, "port manifest": port / MANIFEST},
    )


HEAD = ("compared", "outcome", "elements", "largest difference", "allowed", "looks like")


def _row(check: Check, words: str) -> tuple[str, ...]:
    if check.status == "unchecked":
        return (check.label, "not compared", "-", "-", "-", words)
    return (check.label, check.status, str(check.elements), f"{check.error:.1e}", f"{check.allowed:.1e}", words)


def _shares(checks: tuple[Check, ...]) -> Picture:
    """How much of what is allowed each comparison uses up."""
    made = [check for check in checks if check.status != "unchecked"]

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        tiny = float(np.finfo(float).tiny)
        shares = [max(check.error / max(check.allowed, tiny), FLOOR) if check.error else FLOOR for check in made]
        colours = [WRONG if check.status == "wrong" else RIGHT for check in made]
        axis.barh([check.label for check in made], np.minimum(shares, 1e9), color=colours)
        axis.axvline(1.0, color="0.3", linestyle="--", linewidth=1.0)
        axis.set_xscale("log")
        axis.set_xlim(left=FLOOR)
        axis.invert_yaxis()
        axis.set_xlabel("largest difference over what is allowed")

    return Picture(
        name="shares",
        title="What each comparison uses up of what is allowed",
        png=draw_png(7.0, 0.8 + 0.22 * len(made), draw),
        text="One bar per comparison, logarithmic; what goes beyond the broken line differs.",
    )
