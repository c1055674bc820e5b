"""One run on a real arm from start to end: checks, rehearsal, motion, and an end at rest whatever happens."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from policy_port.contract import RobotMapping
from policy_port.control.controller import Controller
from policy_port.control.loop import Task, run
from policy_port.errors import PolicyPortError
from policy_port.files import sha256, write_atomic
from policy_port.port.pilot import Pilot
from policy_port.replay.recording import policy_identity, trace_header
from policy_port.replay.result import Result, number
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.confirmation import fingerprint
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.preflight import check_arm
from policy_port.robots.arm.real_time import RealTime
from policy_port.robots.arm.rehearsal import ASKED, REHEARSED, check_asking, settle
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.servo_scale import ServoScale
from policy_port.robots.arm.stop_signals import StopSignals
from policy_port.robots.arm.stops import ArmStopError, Ending, OperatorStopError
from policy_port.robots.arm.supervisor import Supervisor
from policy_port.robots.emulator.clock import REAL, Clock
from policy_port.robots.jobs.frame_spool import FrameSpool
from policy_port.robots.jobs.reach_job import ArmEpisodes, ReachJob, RealJob
from policy_port.robots.jobs.trace import RealTrace, Recorded
from policy_port.tasks.reach import ReachTask

TRACE, METRICS, FRAMES = "trace.npz", "metrics.json", "frames"
SWITCH = 0.0005
"""How long another thread may keep the interpreter while the arm moves [s]."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RealRun:
    """What became of a run."""

    result: Result
    """The report."""
    exit_code: int
    """0 when the task was done to its end, 130 when somebody ended it, 1 when the arm was stopped."""
    scale: ServoScale
    """The arm's ticks and LeRobot's numbers."""
    frames: FrameSpool | None
    """The cameras' frames, where they were kept."""


def play_real(
    pilot: Pilot,
    robot: RobotFile,
    task: ReachTask | RealJob,
    *,
    seed: int,
    episodes: int,
    folder: Path,
    console: Console,
    port_mapping: RobotMapping | None = None,
    keep_frames: bool = False,
    on_torque: Callable[[], None] = lambda: None,
    time: Clock = REAL,
) -> RealRun:
    """Perform a task on an arm.

    Args:
        pilot: The policy, in radians.
        robot: The arm.
        task: The reach task, or another job.
        seed: Seed of the first episode.
        episodes: Number of episodes.
        folder: An existing folder for trace and metrics.
        console: The person in front of the arm.
        port_mapping: The mapping to LeRobot that the port was made with.
        keep_frames: Keep what the cameras saw at each step, in a folder beside the trace.
        on_torque: Called once torque is on.
        time: What the run goes by.

    Raises:
        PolicyPortError: When something is not right before anything moves.
    """
    contract = pilot.contract
    job: RealJob = ReachJob(task) if isinstance(task, ReachTask) else task
    job.check(pilot, robot, port_mapping)
    with StopSignals(time) as signals:
        arm = LeRobotArm(robot, contract.control_dt, time)
        clock, cameras = RealTime(contract.control_dt, robot.timing.deadline, time), ArmCameras(robot)
        supervisor = Supervisor(arm, clock, signals, cameras, console)
        controller = job.controller(pilot, arm, cameras)
        queue = job.episodes(seed, episodes, supervisor, console)
        trace: RealTrace | None = None
        frames: FrameSpool | None = None
        stop: BaseException | None = None
        began = False
        try:
            arm.open()
            check_arm(arm)
            arm.line.configure()
            cameras.open()
            rehearsed = _rehearse(supervisor, controller, clock, arm)
            look = job.look(controller, cameras, folder)
            console.confirm(f"{look}The arm will move. Keep clear of it, a hand at its power switch.", signals.check)
            header = trace_header(
                contract,
                simulator=supervisor.name,
                timestep=contract.control_dt,
                decimation=1,
                actuation="servo",
                joint_names=list(arm.joint_names),
                calibration_sha256=sha256(arm.calibration_file),
                signs_and_zeros_sha256=fingerprint(robot, arm.calibration),
                **policy_identity(pilot.onnx),
                **job.header,
            )
            frames = FrameSpool(folder / FRAMES) if keep_frames and cameras.names else None
            trace = RealTrace(folder / TRACE, header, arm, supervisor, clock, cameras, job.tip_links, frames)
            began = True
            _perform(supervisor, controller, queue, clock, trace, on_torque)
        except (Exception, KeyboardInterrupt) as cause:
            stop = cause
        if trace is not None:
            trace.complete()
        may_move = stop is None or not isinstance(stop, ArmStopError) or stop.may_move
        ending = supervisor.end(may_move=may_move)
        if frames is not None:
            frames.close()
        lost = None
        if trace is not None:
            rows = [{"seed": seed + n, "env": e, "episode": k} for n, (e, k) in queue.rows.items()]
            lost = _failure(lambda: trace.close(episodes=rows, stopped=None if stop is None else _reason(stop)))
    if not began:
        assert stop is not None
        raise stop
    result = _report(supervisor, queue, job, clock, rehearsed, stop, ending, lost)
    lost = _failure(lambda: write_atomic(folder / METRICS, result.json())) or lost
    if stop is not None and not isinstance(stop, PolicyPortError | KeyboardInterrupt):
        # A bug keeps its traceback; the arm was looked after first.
        log.error("the run was ended by an error in the program", exc_info=stop)
    exit_code = 0 if ending.at_rest and not ending.silent and lost is None else 1
    if stop is not None:
        exit_code = 130 if isinstance(stop, OperatorStopError | KeyboardInterrupt) else 1
    return RealRun(result=result, exit_code=exit_code, scale=arm.scale, frames=frames)


def _rehearse(supervisor: Supervisor, controller: Controller, clock: RealTime, arm: LeRobotArm) -> float:
    """Run the loop without torque, and find out how long before a target the measurement has to be.

    Returns:
        99th percentile of the time from measurement to decision [s].
    """

    def step() -> float:
        start = arm.clock.now()
        supervisor.read(controller.state)
        controller()
        return arm.clock.now() - start

    def ask() -> float:
        controller.reset()
        return step()

    supervisor.read(controller.state)
    # What runs for the first time takes longer.
    ask()
    check_asking(arm.robot, [ask() for _ in range(ASKED)], arm.timestep)
    controller.reset()
    taken = []
    for _ in range(REHEARSED):
        clock.wait()
        taken.append(step())
    return settle(clock, taken, arm.timestep)


def _perform(
    supervisor: Supervisor,
    controller: Controller,
    task: Task,
    clock: RealTime,
    trace: RealTrace,
    on_torque: Callable[[], None],
) -> None:
    # A collection in the middle of a step makes it late; there is little to collect.
    gc.collect()
    gc.disable()
    # Cameras and the trace have threads of their own, which Python lets run for 5 ms at a time otherwise.
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        supervisor.switch_on()
        on_torque()
        clock.lateness.clear()
        run(supervisor, controller, Recorded(task, trace), decimation=1, clock=clock, observers=(trace,))
    finally:
        sys.setswitchinterval(before)
        gc.enable()


def _failure(write: Callable[[], None]) -> str | None:
    """Why `write` failed; None where it did not. A full disk must not hide how the arm was left."""
    try:
        write()
    except Exception as cause:
        log.error("what the run recorded can't be written", exc_info=cause)
        return _reason(cause)
    return None


def _reason(stop: BaseException) -> str:
    return str(stop) if isinstance(stop, PolicyPortError) else f"{type(stop).__name__}: {stop}"


def _report(
    supervisor: Supervisor,
    queue: ArmEpisodes,
    job: RealJob,
    clock: RealTime,
    rehearsed: float,
    stop: BaseException | None,
    ending: Ending,
    lost: str | None,
) -> Result:
    setting = {
        "robot": supervisor.name,
        **job.words,
        "ended": "task done" if stop is None else _reason(stop),
        "arm": str(ending),
    }
    if lost is not None:
        setting["trace"] = f"not whole: {lost}"
    finished, metrics = job.found(queue)
    metrics += [
        number("steps", supervisor.sends, digits=0),
        number("period", supervisor.timestep, "s", 4),
        number("jitter_p99", clock.jitter(99), "s", 5),
        number("jitter_max", clock.jitter(100), "s", 5),
        number("measure_and_decide_p99", rehearsed, "s", 5),
    ]
    return Result(setting=setting, metrics=tuple(metrics), episodes=finished)
