"""The report of a run on an arm: how it ended, what was asked, sent and measured, and how well time was kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.plants.limiter import LIMITED
from policy_port.replay.plot import tip_distance
from policy_port.replay.result import Result
from policy_port.report import Picture, Report, Table, draw_png
from policy_port.report.page import Tone
from policy_port.robots.arm.stops import Ended, Left, RunEnd
from policy_port.trace import Trace

Rows = NDArray[Any]

EMULATED = "The arm was emulated: this says nothing about how a real one would have moved."
TIP = (
    "Tip distances are forward kinematics of the measured joints: play in the gears and a wrong zero do not show in "
    "them, and nobody measured where the tip truly was."
)
ASKED, SENT, MEASURED, FAINT = "#d1495b", "#e0a030", "#1f5fa8", "#9fb4cc"


def real_report(
    result: Result, end: RunEnd, trace: Trace, *, title: str, files: Mapping[str, Path], emulated: bool
) -> Report:
    """What became of a run on an arm, for a reader who was not there.

    Args:
        result: What it found.
        end: How it ended, and where the arm was left.
        trace: A trace with `target`, `target_sent`, `joint_pos` and the ages; it may have no step.
        title: What was done with what.
        files: Files that the run rests on, by the name to show.
        emulated: Whether the arm was.
    """
    verdict, tone = _verdict(result, end)
    moved = bool(len(trace))
    tables = [Table(title="Numbers", head=(), rows=_numbers(result))]
    pictures = []
    if moved:
        tables += [_timing(trace), _joints(trace)]
        pictures = [_joint_picture(trace), _timing_picture(trace)]
        if tip_distance(trace) is not None:
            pictures.insert(0, _distance_picture(trace))
    hashes = ("policy", "checkpoint", "contract", "calibration", "signs_and_zeros")
    known = {f"{key} (SHA-256)": trace.header.get(f"{key}_sha256") for key in hashes}
    return Report(
        title=title,
        verdict=verdict,
        tone=tone,
        warnings=((EMULATED,) if emulated else ()) + ((TIP,) if moved and tip_distance(trace) is not None else ()),
        tables=tuple(tables),
        pictures=tuple(pictures),
        settings={
            **result.setting,
            "contract": str(trace.header.get("contract", "")),
            **{key.replace("_", " "): text for key, text in known.items() if text is not None},
        },
        files=dict(files),
    )


def _unjudged(result: Result) -> str:
    count = int(result["episodes"] or 0)
    if not count:
        return "No episode came to its end."
    episodes, succeeded = ("1 episode", "it") if count == 1 else (f"{count} episodes", "they")
    return f"{episodes} came to {'its' if count == 1 else 'their'} end; whether {succeeded} succeeded, nobody measured."


def _verdict(result: Result, end: RunEnd) -> tuple[str, Tone]:
    """How the run ended and where the arm is; a run that went well is no proof of a port."""
    rate = next((metric for metric in result.metrics if metric.key == "success_rate"), None)
    found = _unjudged(result) if rate is None else f"Success in {rate.text}."
    began = "Done." if end.ended is Ended.DONE else f"Stopped: {end.sentence}."
    failed = end.ended is Ended.DONE and rate is not None and rate.value == 0.0
    expected = end.ended in (Ended.DONE, Ended.BY_OPERATOR) and end.arm.left is Left.AT_REST
    return f"{began} {found} The arm: {end.arm}.", "neutral" if expected and not failed else "bad"


def _numbers(result: Result) -> tuple[tuple[str, str], ...]:
    return tuple((metric.key.replace("_", " "), metric.text) for metric in result.metrics if metric.text)


def _timing(trace: Trace) -> Table:
    """Ages and distances in time, in milliseconds."""
    series: dict[str, Rows] = {
        "from one decision to the next": _periods(trace),
        "target sent after it was due": trace["lateness"].ravel(),
        "measurement, when its target was sent": trace["observation_age"].ravel(),
        **{f"frame of {name}": ages for name, ages in _frame_ages(trace).items()},
    }
    period = float(trace.header["control_dt"])
    return Table(
        title="Time [ms]",
        head=("what", "median", "99 %", "largest"),
        rows=tuple((name, *_spread(values)) for name, values in series.items()),
        note=f"Of the policy's steps; control period {1000.0 * period:g} ms; the jitter above counts the ways "
        "to start poses and to rest as well.",
    )


def _frame_ages(trace: Trace) -> dict[str, Rows]:
    """Ages of the frames by camera [s]."""
    cameras = trace.header.get("camera_names") or []
    return {name: trace["frame_age"][:, 0, index] for index, name in enumerate(cameras)}


def _spread(seconds: Rows) -> tuple[str, str, str]:
    known = seconds[np.isfinite(seconds)]
    if not known.size:
        return "-", "-", "-"
    median, high, most = np.percentile(known, (50, 99, 100)) * 1000.0
    return f"{median:.2f}", f"{high:.2f}", f"{most:.2f}"


def _periods(trace: Trace) -> Rows:
    """From each decision to the next one of the same episode [s]."""
    return np.diff(trace["clock"])[np.diff(trace["episode"][:, 0]) == 0]


def _joints(trace: Trace) -> Table:
    """What the supervisor cut off, and how far each joint stayed behind."""
    asked, sent, load = (trace[key][:, 0] for key in ("target", "target_sent", "load"))
    cut = np.abs(np.nan_to_num(sent - asked))
    same = np.diff(trace["episode"][:, 0]) == 0
    behind = np.abs(np.nan_to_num(sent[:-1] - trace["joint_pos"][1:, 0]))[same]
    rows = [
        (
            name,
            f"{np.count_nonzero(cut[:, index] > LIMITED)} of {len(cut)}",
            f"{cut[:, index].max():.4f}",
            f"{behind[:, index].max(initial=0.0):.4f}",
            f"{100.0 * np.abs(load[:, index]).max():.0f} %",
        )
        for index, name in enumerate(trace.header["joint_names"])
    ]
    return Table(
        title="Joints",
        head=("joint", "targets limited", "most cut off [rad]", "most behind its target [rad]", "greatest load"),
        rows=tuple(rows),
        note="Limited: what was sent is not what the policy asked for. Behind: one control period after the target.",
    )


def _last(trace: Trace) -> tuple[Rows, Rows, int]:
    """Steps of the last episode, their times [s], and its number."""
    episode = trace["episode"][:, 0]
    steps = np.flatnonzero(episode == episode[-1])
    return steps, trace["time"][steps, 0], int(episode[-1])


def _joint_picture(trace: Trace) -> Picture:
    steps, time, number = _last(trace)
    names = list(trace.header["joint_names"])
    drawn = (
        ("asked for", trace["target"], ASKED, "-", 1.4),
        ("sent", trace["target_sent"], SENT, "--", 1.0),
        ("measured", trace["joint_pos"], MEASURED, "-", 0.9),
    )

    def draw(figure: Any) -> None:
        grid = figure.subplots(-(-len(names) // 3), 3, sharex=True, squeeze=False)
        for index, axis in enumerate(grid.flat):
            if index >= len(names):
                axis.set_visible(False)
                continue
            for label, values, colour, style, width in drawn:
                axis.plot(
                    time, values[steps, 0, index], color=colour, linestyle=style, linewidth=width, label=label
                )  # fmt: skip
            axis.set_title(f"{names[index]} [rad]", fontsize=7, pad=2)
        figure.supxlabel("time [s]", fontsize=8)
        figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)

    return Picture(
        name="joints",
        title=f"Targets and joints, last episode (number {number})",
        png=draw_png(9.6, 1.0 + 1.7 * -(-len(names) // 3), draw),
        text="Each joint over time: what the policy asked for, what was sent within the limits, what was measured.",
    )


def _distance_picture(trace: Trace) -> Picture:
    distance, time, episode = tip_distance(trace), trace["time"][:, 0], trace["episode"][:, 0]
    assert distance is not None

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for number in np.unique(episode):
            mine, last = episode == number, number == episode[-1]
            axis.plot(
                time[mine],
                distance[mine, 0],
                color=MEASURED if last else FAINT,
                linewidth=1.4 if last else 0.6,
                label="last episode" if last else None,
            )
        axis.set_yscale("log")
        axis.set_xlabel("time [s]")
        axis.set_ylabel("tip to goal [m]")
        axis.legend(loc="upper right", frameon=False)

    return Picture(
        name="distance",
        title="Distance from tip to goal, by forward kinematics",
        png=draw_png(9.6, 2.6, draw),
        text="Distance to the goal over time, one line per episode.",
    )


def _timing_picture(trace: Trace) -> Picture:
    clock = trace["clock"] - trace["clock"][0]
    ages = {"target late": trace["lateness"].ravel(), "measurement old": trace["observation_age"].ravel()}
    ages |= {f"frame of {name} old": age for name, age in _frame_ages(trace).items()}

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for label, seconds in ages.items():
            axis.plot(clock, 1000.0 * seconds, linestyle="", marker=".", markersize=3, label=label)
        axis.set_xlabel("time since the first decision [s]")
        axis.set_ylabel("[ms]")
        axis.legend(loc="upper right", frameon=False, ncols=3)

    return Picture(
        name="timing",
        title="Lateness and ages, whole run",
        png=draw_png(9.6, 2.6, draw),
        text="How late each target went out, and how old the measurement and the frames were.",
    )
