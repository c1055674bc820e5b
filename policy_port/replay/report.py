"""The report of one replay."""

from __future__ import annotations

import math
from pathlib import Path

from policy_port.motion.followed import Clip
from policy_port.port.pilot import Pilot
from policy_port.replay.env_cameras import FIRST_FRAMES
from policy_port.replay.plot import plot_replay
from policy_port.replay.result import METRICS, TRACE, Result
from policy_port.report import Picture, Report, Table
from policy_port.report.page import Tone
from policy_port.trace import Trace

SHOWN_FAILURES = 20
"""Failed episodes that are listed one by one."""

CAVEAT = "Staying up and reaching goals does not prove a port; policy-port verify compares it with the source's trace."


def replay_report(result: Result, pilot: Pilot, folder: Path, clip: Clip | None = None) -> Report:
    """What a replay found, for a reader who was not there.

    Args:
        result: What it found.
        pilot: The policy.
        folder: Where the replay's files lie.
        clip: The motion that was followed.
    """
    verdict, tone = _verdict(result)
    files = {pilot.onnx.name: pilot.onnx, TRACE: folder / TRACE, METRICS: folder / METRICS}
    robot = Path(result.setting.get("robot", ""))
    if robot.is_file():
        files[robot.name] = robot
    settings = {key: text for key, text in result.setting.items() if key != "robot"}
    frames = folder / FIRST_FRAMES
    seen = () if not frames.is_file() else (_first_frames(frames.read_bytes()),)
    return Report(
        title=f"{pilot.network_contract.name} in {result.setting['simulator']}",
        verdict=verdict,
        tone=tone,
        warnings=(settings.pop("warning"),) if "warning" in settings else (),
        tables=_tables(result),
        pictures=(
            Picture(
                name="replay",
                title="What was asked for and what happened",
                png=plot_replay(Trace(folder / TRACE), title="", clip=clip),
                text="Above: velocity against the command, distance to the goal, how far the joints are off the clip, "
                "or the action. Below: each joint's target and position over time, and the clip's.",
            ),
            *seen,
        ),
        settings={
            **settings,
            "robot": robot.name or "the environment's",
            "contract": f"{pilot.contract.name}, SHA-256 {pilot.contract.sha256}",
        },
        files=files,
    )


def _tables(result: Result) -> tuple[Table, ...]:
    rows = tuple((metric.key.replace("_", " "), metric.text) for metric in result.metrics if metric.text)
    numbers = Table(title="Numbers", head=(), rows=rows, note=CAVEAT)
    failed = [episode for episode in result.episodes if not episode.success]
    if not failed:
        return (numbers,)
    more = len(failed) - SHOWN_FAILURES
    failures = Table(
        title="Failed episodes",
        head=("seed", "steps", "distance at the end [m]"),
        rows=tuple(
            (str(episode.seed), str(episode.steps), _metres(episode.final_distance, episode.diverged))
            for episode in failed[:SHOWN_FAILURES]
        ),
        note=f"and {more} more, in {METRICS}" if more > 0 else "",
    )
    return numbers, failures


def _first_frames(png: bytes) -> Picture:
    return Picture(
        name="first_frames",
        title="What the cameras showed the policy at first",
        png=png,
        text="From the left in the policy's order. Colours that are exchanged or a camera upside down can only be seen "
        "here: the trace holds no frames.",
    )


def _verdict(result: Result) -> tuple[str, Tone]:
    """A sentence, and whether it is bad news; a replay alone never is good news."""
    found = {metric.key: metric for metric in result.metrics}
    if "success_rate" in found:
        rate = found["success_rate"]
        return f"Success in {rate.text}.", "bad" if rate.value == 0.0 else "neutral"
    asked = _asked(result)
    lasted = found["survival" if "survival" in found else "duration"]
    if found.get("diverged") and found["diverged"].value:
        return f"The simulation became NaN: it lasted {lasted.text}{asked}.", "bad"
    if "mean_lin_vel_x" in found:
        velocity = found["mean_lin_vel_x"].value
        more = "" if velocity is None or not math.isfinite(velocity) else f" Mean forward velocity {velocity:.3f} m/s."
    else:
        error = found["joint_tracking_rmse"].text
        tracked = "" if error == "-" else f" Its joints missed their targets by {error.split(',')[0]} (RMS)."
        more = f"{tracked} Nobody judged whether it does what it was made for."
    if "fallen" not in found:
        return f"Ran for {lasted.text}{asked}.{more}", "neutral"
    if found["fallen"].value:
        return f"Fell: survived {lasted.text}{asked}.{more}", "bad"
    return f"Stayed up for {lasted.value:.2f} s{asked}.{more}", "neutral"


def _asked(result: Result) -> str:
    """What was held, as the end of a clause."""
    command, goals = (result.setting.get(key) for key in ("command", "goals"))
    return (f" under the command {command}" if command else "") + (f", goals {goals}" if goals else "")


def _metres(distance: float | None, diverged: bool) -> str:
    if diverged:
        return "the simulation became NaN"
    return "-" if distance is None else f"{distance:.4f}"
