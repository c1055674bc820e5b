"""The page that a diagnosis in a simulator leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policy_port.closed_loop.diagnosis import WEAKER, ClosedLoopDiagnosis
from policy_port.mistakes.hypothesis import SHOWN
from policy_port.port.format import MANIFEST
from policy_port.report import Picture, Report, draw_png

GIVEN, BETTER = "#c8373f", "#1f5fa8"


def closed_loop_report(diagnosis: ClosedLoopDiagnosis, port: Path) -> Report:
    """What the search came to, as a page.

    Args:
        diagnosis: The diagnosis.
        port: The port folder.
    """
    given = ("as given", "", "", f"{diagnosis.given.mean:.2f}", diagnosis.told(diagnosis.given))
    return Report(
        title=f"diagnose without a trace: {diagnosis.contract.name}",
        verdict=f"{diagnosis.verdict[0].upper()}{diagnosis.verdict[1:]}.",
        tone="good" if diagnosis.ok else "bad",
        warnings=WEAKER,
        tables=(diagnosis.table(("loss", "what the robot did"), given),),
        pictures=(_losses(diagnosis),),
        text=diagnosis.text(),
        settings=diagnosis.setting,
        files={"port manifest": port / MANIFEST},
    )


def _losses(diagnosis: ClosedLoopDiagnosis) -> Picture:
    """The loss of every trial, as given and under each hypothesis."""
    losses = [diagnosis.given.loss.tolist()]
    losses += [hypothesis.figures["outcome"]["loss"] for hypothesis in diagnosis.hypotheses[:SHOWN]]
    labels = ["as given", *map(str, range(1, len(losses)))]

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for place, loss in enumerate(losses):
            colour = BETTER if place else GIVEN
            axis.barh(place, np.mean(loss), color=colour, alpha=0.35)
            axis.plot(loss, np.full(len(loss), place), ".", color=colour)
        axis.set_yticks(range(len(losses)), labels)
        axis.set_xlim(0.0, 2.0)
        axis.invert_yaxis()
        axis.set_xlabel("loss; beyond 1 the robot fell, or missed its goal")

    return Picture(
        name="losses",
        title="How the robot did in each trial",
        png=draw_png(7.0, 1.0 + 0.3 * len(losses), draw),
        text="One bar per hypothesis, its mean; a point for each trial, which is the same for all.",
    )
