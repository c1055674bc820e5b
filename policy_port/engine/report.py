"""The table and the plot of the turns, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from policy_port.dynamics.document import Dynamics, HeldOut
from policy_port.engine.decide import Verdict, ranking
from policy_port.engine.document import Engine
from policy_port.engine.evidence import Pairing, Played, Turn
from policy_port.files import json_text
from policy_port.pipeline.stages import State
from policy_port.replay.metrics import success_interval
from policy_port.report import Picture, Report, Table, draw_png

SAID = (
    "Success in share of the episodes, in brackets its 95 % interval. Simulated: under the turn's dynamics, turn 0 in "
    "the simulator as it comes. The gap is of the same starts and goals: joints' trajectories at equal times, root "
    "mean square, and outcomes. A stopped episode counts as failed; after three stops in a row, so do those "
    "not begun. Intervals: median width of those that both turns identified, over turn 1's."
)


STOPPED = "stopped by the arm's supervisor"


def columns(turns: Sequence[Turn]) -> dict[str, dict[str, str]]:
    """What each turn came to, by the head of its column and the name of the row."""
    first = next((turn.dynamics for turn in turns if turn.dynamics is not None), None)
    found = {}
    for turn in turns:
        found[f"turn {turn.number}"] = _column(turn, turn.own, first)
        if turn.control is not None:
            found[f"control {turn.number}"] = _paired(turn.control)
    return found


def _column(turn: Turn, pairing: Pairing, first: Dynamics | None) -> dict[str, str]:
    cells = {}
    if turn.dynamics is not None:
        for held in _judged(turn.dynamics):
            stock = "-" if held.stock_rmse is None else f"{held.stock_rmse:.4g}"
            name = f"held-out prediction error, {held.horizon:g} s ahead [rad]"
            cells[name] = f"{held.rmse:.4g} (stock {stock})"
    cells |= _paired(pairing)
    if turn.dynamics is not None and first is not None:
        known = _widths(turn.dynamics)
        searched = sum(one.interval is not None for _, one in turn.dynamics.estimates())
        cells["parameters identified"] = f"{len(known)} of {searched}"
        cells["width of their intervals"] = _share(known, _widths(first))
    if (rank := ranking(turn)) is not None:
        shown = ["-" if r is None else f"{r:.2f}" for r in (rank.pearson, rank.pearson_distance)]
        cells[f"Pearson's r of {rank.policies} policies, success; distance"] = "; ".join(shown)
        cells["MMRV of success"] = f"{rank.violation:.3g}"
    return cells


def _paired(pairing: Pairing) -> dict[str, str]:
    count, ended = len(pairing.real.episodes), np.isfinite(pairing.real.distance)
    return {
        "simulated success": _rate(pairing.simulated),
        "real success": _rate(pairing.real),
        **_stops(pairing),
        "real distance to the goal [mm]": f"{1e3 * pairing.real.distance:.1f}" if ended else "-",
        "gap of trajectories [rad]": "-" if pairing.gap is None else f"{pairing.gap:.4f}",
        "outcomes alike": f"{pairing.agree} of {count}",
    }


def _rate(played: Played) -> str:
    low, high = success_interval(played.won, len(played.episodes))
    return f"{played.rate:.2f} ({low:.2f} to {high:.2f})"


def _stops(pairing: Pairing) -> dict[str, str]:
    """Episodes that the arm's supervisor stopped, would stop in simulation, or that were not begun after that."""
    real, simulated = pairing.real, pairing.simulated
    if not real.stopped and not simulated.stopped:
        return {}
    left = f", and {real.unplayed} not played" if real.unplayed else ""
    return {STOPPED: f"{real.stopped}{left} (simulated {simulated.stopped})"}


def _reasons(turns: Sequence[Turn]) -> Table:
    """Which stop ended which episode."""
    rows = [
        (name, str(one.seed), one.stopped)
        for turn in turns
        for name, pairing in ((f"turn {turn.number}", turn.own), (f"control {turn.number}", turn.control))
        for one in (() if pairing is None else pairing.real.episodes)
        if one.stopped is not None
    ]
    return Table(title="Stops", head=("policy", "seed", "why the episode ended"), rows=tuple(rows))


def _widths(dynamics: Dynamics) -> dict[str, float]:
    """Width of the interval of every identified parameter."""
    return {
        name: one.interval[1] - one.interval[0]
        for name, one in dynamics.estimates()
        if one.identified and one.interval is not None
    }


def _judged(dynamics: Dynamics) -> list[HeldOut]:
    """The held-out error at the horizon nearest to half a second; none, where nothing was held out."""
    return sorted(dynamics.held_out, key=lambda one: abs(one.horizon - 0.5))[:1]


def _share(now: Mapping[str, float], first: Mapping[str, float]) -> str:
    both = [now[name] / first[name] for name in now if first.get(name, 0.0) > 0.0]
    return f"{np.median(both):.2f}" if both else "-"


def table(turns: Sequence[Turn]) -> Table:
    """One column a turn."""
    found = columns(turns)
    rows = dict.fromkeys(row for cells in found.values() for row in cells)
    return Table(
        title="Turns",
        head=("", *found),
        rows=tuple((row, *(cells.get(row, "") for cells in found.values())) for row in rows),
        note=SAID,
    )


def text(turns: Sequence[Turn]) -> str:
    """The table and its plot, in letters."""
    made = table(turns)
    lines = (made.head, *made.rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(made.head))]
    shown = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*shown, "", *_bars(turns)])


def _bars(turns: Sequence[Turn], wide: int = 40) -> list[str]:
    """Success on the arm and in simulation, a bar each."""
    lines = []
    for turn in turns:
        pairs = [(f"turn {turn.number}", turn.own)]
        pairs += [(f"control {turn.number}", turn.control)] if turn.control is not None else []
        for name, pairing in pairs:
            for where, played, mark in (("real", pairing.real, "#"), ("simulated", pairing.simulated, "-")):
                lines.append(f"{name:<10} {where:<10} |{mark * round(wide * played.rate):<{wide}}| {played.rate:.0%}")
    return lines


def engine_report(
    engine: Engine, turns: Sequence[Turn], verdicts: Sequence[Verdict], said: str, states: Mapping[str, State]
) -> Report:
    """The page."""
    document = engine.document
    arm = "an emulated arm" if document.emulated is not None else "a real arm"
    good = bool(verdicts) and verdicts[-1].better
    artefacts = tuple((name, state.content[:12], f"{state.seconds:.1f}", state.said) for name, state in states.items())
    tables = [table(turns)] if turns else []
    tables += [_reasons(turns)]
    tables += [_parameters(turns)] if any(turn.dynamics for turn in turns) else []
    tables += [Table(title="Stages", head=("stage", "SHA-256", "time [s]", "what came out"), rows=artefacts)]
    return Report(
        title=document.name,
        verdict=said,
        tone="good" if good else "neutral",
        tables=tuple(one for one in tables if one.rows),
        pictures=(_picture(turns),) if turns else (),
        settings={
            "arm": f"{engine.arm_file.name}, {arm}",
            "policy": document.policy,
            "episodes": f"seeds {document.play.seed} to {document.play.seed + document.play.episodes - 1}",
            "level of the tests": f"{document.level:g}, halved between outcomes and distances",
        },
        files={engine.file.name: engine.file},
    )


def _parameters(turns: Sequence[Turn]) -> Table:
    """Every parameter's value and interval, turn by turn."""
    known = [turn for turn in turns if turn.dynamics is not None]
    by_turn = [dict(turn.dynamics.estimates()) for turn in known if turn.dynamics is not None]
    names = dict.fromkeys(name for found in by_turn for name, one in found.items() if one.interval is not None)

    def cell(found: Mapping[str, Any], name: str) -> str:
        one = found.get(name)
        if one is None or one.interval is None:
            return "-"
        kept = "" if one.identified else ", prior"
        return f"{one.value:.4g} ({one.interval[0]:.4g} to {one.interval[1]:.4g}{kept})"

    return Table(
        title="Parameters, with their 95 % intervals",
        head=("parameter", *(f"turn {turn.number}" for turn in known)),
        rows=tuple((name, *(cell(found, name) for found in by_turn)) for name in names),
    )


def _picture(turns: Sequence[Turn]) -> Picture:
    numbers = [turn.number for turn in turns]
    known = [turn for turn in turns if turn.dynamics is not None and turn.dynamics.held_out]
    first = _widths(known[0].dynamics) if known and known[0].dynamics else {}

    def draw(figure: Any) -> None:
        success, error, gap, width = figure.subplots(1, 4)
        success.plot(numbers, [turn.own.real.rate for turn in turns], marker="o", label="real")
        success.plot(
            numbers, [turn.own.simulated.rate for turn in turns], marker=".", linestyle="--", label="simulated"
        )
        controls = [(turn.number, turn.control.real.rate) for turn in turns if turn.control is not None]
        if controls:
            success.plot(*zip(*controls, strict=True), marker="x", linestyle="", label="control, real")
        success.set_ylim(-0.05, 1.05)
        success.legend(fontsize=7)
        for turn in known:
            for held in _judged(turn.dynamics) if turn.dynamics else ():
                error.bar(turn.number, held.rmse, 0.5, color="C0")
        gap.plot(numbers, [np.nan if turn.own.gap is None else turn.own.gap for turn in turns], marker="o")
        for turn in known:
            shares = [w / first[n] for n, w in _widths(turn.dynamics).items() if first.get(n)] if turn.dynamics else []
            if shares:
                width.boxplot(shares, positions=[turn.number], showfliers=False)
        titles = ("success", "held-out error [rad]", "gap of trajectories [rad]", "intervals over turn 1's")
        for place, title in zip((success, error, gap, width), titles, strict=True):
            place.set_title(title, fontsize=8)
            place.set_xlabel("turn")
            place.set_xticks(numbers)

    ends = ", ".join(f"turn {turn.number} {turn.own.real.rate:.0%} real" for turn in turns)
    return Picture(name="turns", title="The turns", png=draw_png(10.0, 2.4, draw), text=f"Success: {ends}")


def document_of(turns: Sequence[Turn], verdicts: Sequence[Verdict], said: str) -> str:
    """engine.json: the figures at full precision."""

    def played(one: Pairing) -> dict[str, Any]:
        return {
            "simulated": [one.simulated.won, len(one.simulated.episodes)],
            "real": [one.real.won, len(one.real.episodes)],
            "real_distance": one.real.distance if np.isfinite(one.real.distance) else None,
            "stops": {str(episode.seed): episode.stopped for episode in one.real.episodes if episode.stopped},
            "simulated_stops": one.simulated.stopped,
            "gave_up": one.real.gave_up,
            "simulated_distance": one.simulated.distance,
            "gap": one.gap,
            "outcomes_alike": one.agree,
        }

    return json_text(
        {
            "said": said,
            "turns": [
                {
                    "turn": turn.number,
                    "dynamics_sha256": None if turn.dynamics is None else turn.dynamics.sha256,
                    "held_out": [] if turn.dynamics is None else [one.model_dump() for one in turn.dynamics.held_out],
                    **played(turn.own),
                    "control": None if turn.control is None else played(turn.control),
                    "scores": {name: played(one) for name, one in turn.scores},
                    "ranking": None if (rank := ranking(turn)) is None else vars(rank),
                }
                for turn in turns
            ],
            "verdicts": [{"turn": one.turn, "better": one.better, **vars(one.against)} for one in verdicts],
        }
    )
