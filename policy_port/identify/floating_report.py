"""What is told of a walking robot's identification: printed, and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.identify.document import rounded
from policy_port.identify.floating import OF_JOINTS, Walked
from policy_port.report import Picture, Report, Table, draw_png

UNITS = {"ground_friction": "", "base_mass": "kg", "delay": "s", "friction": "N m", "damping": "N m s/rad"}
HEAD = ("parameter", "value", "unit", "95 % interval", "known")
BASE = ("base position [m]", "base velocity [m/s]", "base turning [rad/s]")


def walk_summary(found: Walked, joints: Sequence[str]) -> str:
    """Parameters with their intervals, then errors beside stock's."""
    lines = [verdict(found, len(joints)), ""]
    lines += [
        f"{name:<16} {value:>10} {unit:<9} {interval:<22} {known}"
        for name, value, unit, interval, known in _rows(found)
    ]
    lines += ["", f"{'RMSE':<20} {'identified':>10} {'stock':>8}"]
    lines += [f"{name:<20} {mine:>10} {stock:>8}" for name, mine, stock in _errors(found, joints)]
    return "\n".join(lines) + "\n"


def verdict(found: Walked, joints: int) -> str:
    """How much better it predicts, in a sentence."""
    mine, stock = (float(np.sqrt(np.mean(found.errors[name][:joints] ** 2))) for name in ("identified", "stock"))
    which = "held-out" if found.held_out else "fitted"
    return f"{found.ahead[-1]:.2g} s ahead, {which}: joints to {mine:.2g} rad, by the stock model to {stock:.2g} rad"


def walk_report(found: Walked, robot: Path, joints: Sequence[str], settings: Mapping[str, str]) -> Report:
    """The page."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for name, colour in (("identified", "#1f77b4"), ("stock", "#d62728")):
            axes.plot(found.ahead, found.growth[name], label=name, color=colour, marker=".")
        axes.set_xlabel("time ahead [s]")
        axes.set_ylabel("RMSE of joints [rad]")
        axes.legend(fontsize=8)

    ends = "; ".join(f"{name} {values[-1]:.3g} rad" for name, values in found.growth.items())
    return Report(
        title=f"identify: {robot.name}",
        verdict=verdict(found, len(joints)),
        pictures=(Picture(name="growth", title="Error by time ahead", png=draw_png(6.0, 3.0, draw), text=ends),),
        tables=(
            Table(
                title="Parameters",
                head=("parameter", "value", "unit", "95 % interval", "known"),
                rows=tuple(_rows(found)),
            ),
            Table(title="Errors", head=("RMSE", "identified", "stock"), rows=tuple(_errors(found, joints))),
        ),
        settings=dict(settings),
        files={"robot": robot},
    )


def _rows(found: Walked) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for item, value, interval, known in zip(
        found.parameters, found.value, found.interval, found.identified, strict=True
    ):
        shown, (low, high) = rounded(float(value), interval.tolist())
        name = f"{item.key} (each joint)" if item.key in OF_JOINTS else item.key
        said = "by the recordings" if known else "not: the prior stands"
        rows.append((name, f"{shown:.6g}", UNITS[item.key], f"{low:.6g} to {high:.6g}", said))
    return rows


def _errors(found: Walked, joints: Sequence[str]) -> list[tuple[str, ...]]:
    names = (*(f"{joint} [rad]" for joint in joints), *BASE)
    both = zip(names, found.errors["identified"], found.errors["stock"], strict=True)
    return [(name, f"{mine:.4f}", f"{stock:.4f}") for name, mine, stock in both]
