"""One run on a real arm from start to end: checks, rehearsal, motion, and an end at rest whatever happens."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.control.controller import Controller
from policy_port.control.loop import run
from policy_port.errors import PolicyPortError
from policy_port.files import sha256, write_atomic
from policy_port.port.pilot import Pilot
from policy_port.replay.recording import policy_identity, trace_header
from policy_port.replay.result import Episode, Metric, Result, number
from policy_port.robots.arm.confirmation import fingerprint
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.servo_scale import ServoScale
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError, Ended, Left, RunEnd, StopsInARowError, reason
from policy_port.robots.emulator.clock import REAL, Clock
from policy_port.robots.jobs.answers import Answered
from policy_port.robots.jobs.frame_spool import FrameSpool
from policy_port.robots.jobs.reach_job import ArmEpisodes, RealJob
from policy_port.robots.jobs.trace import RealTrace, Recorded

TRACE, METRICS, FRAMES, WATCHDOG = "trace.npz", "metrics.json", "frames", "watchdog.log"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What a run leaves behind."""

    folder: Path
    """An existing folder for trace and metrics."""
    frames: bool = False
    """Whether what the cameras saw at each step is kept, in a folder beside the trace."""
    answers: bool = False
    """Whether somebody is asked after each episode whether it succeeded."""
    stops: int = 1
    """How many stops in a row end the run; any other ends its episode, and somebody is asked before the next."""


@dataclass(frozen=True, kw_only=True)
class RealRun:
    """What became of a run."""

    result: Result
    """The report."""
    end: RunEnd
    """How it ended, and where the arm was left."""
    exit_code: int
    """0 when the task was done to its end, 130 when somebody ended it, 1 when the arm was stopped."""
    scale: ServoScale
    """The arm's ticks and LeRobot's numbers."""
    frames: FrameSpool | None
    """The cameras' frames, where they were kept."""
    lost: str | None = None
    """Why what the run leaves is not whole; None where it is."""


def play_real(
    pilot: Pilot,
    robot: RobotFile,
    job: RealJob,
    *,
    seeds: range,
    keep: Keep,
    console: Console,
    on_torque: Callable[[], None] = lambda: None,
    time: Clock = REAL,
) -> RealRun:
    """Perform a job on an arm.

    Args:
        pilot: The policy, in radians.
        robot: The arm.
        job: What to do.
        seeds: Seeds of the episodes, one after the other.
        keep: What is left behind of it.
        console: The person in front of the arm.
        on_torque: Called once torque is on.
        time: What the run goes by.

    Raises:
        PolicyPortError: When something is not right before anything moves.
    """
    job.check(pilot, robot)
    session = ArmSession(robot, pilot.contract.control_dt, console, on_torque, time, keep.folder / WATCHDOG)
    trace: RealTrace | None = None
    stop: BaseException | None = None
    lost, rehearsed = None, math.nan
    with session:
        controller = job.controller(pilot, session)
        queue = job.episodes(seeds, session)
        answered = Answered(queue, len(seeds), session.answer) if keep.answers else None
        try:
            session.open()
            rehearsed = _rehearse(session, controller)
            session.warn(_other_arm(pilot, session) + job.look(controller, session.cameras, keep.folder))
            frames = FrameSpool(keep.folder / FRAMES) if keep.frames and session.cameras.names else None
            trace = RealTrace(keep.folder / TRACE, _header(session, pilot, job), session, job.tip_links, frames)
            _perform(session, controller, answered or queue, trace, keep.stops)
        except (Exception, KeyboardInterrupt) as cause:
            stop = cause
        session.close()
        if trace is not None:
            ended = {"stopped": None if stop is None else reason(stop), "gave_up": isinstance(stop, StopsInARowError)}
            lost = _failure(lambda: trace.close(episodes=_rows(queue, answered, seeds), **ended))
    if trace is None or session.ending is None:
        assert stop is not None
        raise stop
    end = RunEnd(stop, session.ending)
    result = _report(session, job, _found(job, queue, answered), end, rehearsed, lost)
    unwritten = _failure(lambda: write_atomic(keep.folder / METRICS, result.json()))
    lost = lost or unwritten
    if end.ended is Ended.BUG:
        # A bug keeps its traceback; the arm was looked after first.
        log.error("the run was ended by an error in the program", exc_info=stop)
    code = end.exit_code or int(lost is not None)
    return RealRun(result=result, end=end, exit_code=code, scale=session.arm.scale, frames=trace.frames, lost=lost)


def _rows(queue: ArmEpisodes, answered: Answered | None, seeds: range) -> list[dict[str, Any]]:
    """Each episode as the trace's header has it."""
    rows: list[dict[str, Any]] = [
        {"seed": seeds[n], "env": e, "episode": k, **({"stopped": queue.stops[n]} if n in queue.stops else {})}
        for n, (e, k) in queue.rows.items()
    ]
    if answered is not None:
        rows = [row | {"success": answered.told.get(number)} for number, row in zip(queue.rows, rows, strict=True)]
    return rows


def _found(job: RealJob, queue: ArmEpisodes, answered: Answered | None) -> tuple[tuple[Episode, ...], list[Metric]]:
    """What the job says of its episodes, after what somebody said of them."""
    episodes, metrics = job.found(queue)
    return episodes, metrics if answered is None else answered.metrics() + metrics


def _rehearse(session: ArmSession, controller: Controller) -> float:
    supervisor = session.supervisor

    def step() -> None:
        supervisor.read(controller.state)
        controller()

    supervisor.read(controller.state)
    return session.rehearse(step, controller.reset)


def _other_arm(pilot: Pilot, session: ArmSession) -> str:
    """That the policy learned under another arm's dynamics, in words; "" where it did not, or nobody said."""
    learned_on, calibration = pilot.learned_on, sha256(session.arm.calibration_file)
    if learned_on is None or learned_on == calibration:
        return ""
    return (
        f"The policy was trained under dynamics of an arm with another calibration ({learned_on[:12]}...) than "
        f"this one's ({calibration[:12]}...): of another arm, or of this one before it was calibrated anew. "
    )


def _header(session: ArmSession, pilot: Pilot, job: RealJob) -> dict[str, object]:
    arm = session.arm
    return trace_header(
        pilot.contract,
        simulator=session.supervisor.name,
        timestep=pilot.contract.control_dt,
        decimation=1,
        actuation="servo",
        joint_names=list(arm.joint_names),
        calibration_sha256=sha256(arm.calibration_file),
        signs_and_zeros_sha256=fingerprint(session.robot, arm.calibration),
        **policy_identity(pilot),
        **job.header,
    )


def _perform(session: ArmSession, controller: Controller, queue: ArmEpisodes, trace: RealTrace, most: int) -> None:
    """Perform every episode; one that the arm's motion has stopped counts as ended, until `most` were in a row."""
    row, last = 0, -1
    while not queue.done:
        try:
            with session.driving() as supervisor:
                session.power()
                task = Recorded(queue, trace)
                run(supervisor, controller, task, decimation=1, clock=session.clock, observers=(trace,))
        except ArmStopError as stop:
            number = len(queue.rows) - 1
            ended = session.ending
            if most == 1 or not stop.of_motion or number < 0 or ended is None or ended.left is Left.UNDER_TORQUE:
                raise
            trace.complete()
            queue.stop(why := reason(stop), trace.tip)
            row, last = row + 1 if number == last + 1 else 1, number
            if row == most:
                raise StopsInARowError(most, why) from stop
            if not queue.done:
                session.again(f"Episode {number + 1} was stopped, and counts as failed: {why}. The arm: {ended}.")


def _failure(write: Callable[[], None]) -> str | None:
    """Why `write` failed; None where it did not. A full disk must not hide how the arm was left."""
    try:
        write()
    except PolicyPortError as cause:
        return reason(cause)
    except Exception as cause:
        log.error("what the run recorded can't be written", exc_info=cause)
        return reason(cause)
    return None


def _report(
    session: ArmSession,
    job: RealJob,
    found: tuple[tuple[Episode, ...], list[Metric]],
    end: RunEnd,
    rehearsed: float,
    lost: str | None,
) -> Result:
    supervisor, clock = session.supervisor, session.clock
    setting = {"robot": supervisor.name, **job.words, "ended": end.sentence, "arm": str(end.arm)}
    if lost is not None:
        setting["trace"] = f"not whole: {lost}"
    finished, metrics = found
    if any(metric.key == "answered_success" for metric in metrics):
        setting["success"] = "what the person in front of the arm said after each episode"
    metrics += [
        number("steps", supervisor.sends, digits=0),
        number("period", supervisor.timestep, "s", 4),
        number("jitter_p99", clock.jitter(99), "s", 5),
        number("jitter_max", clock.jitter(100), "s", 5),
        number("measure_and_decide_p99", rehearsed, "s", 5),
    ]
    return Result(setting=setting, metrics=tuple(metrics), episodes=finished)
