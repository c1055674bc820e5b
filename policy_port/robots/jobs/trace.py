"""The trace of a real run: what was asked, what was sent, how old everything was; written beside the loop."""

from __future__ import annotations

import errno
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows, Task
from policy_port.control.plant import Plant
from policy_port.errors import OutputError
from policy_port.replay.recording import UNITS, tip_position
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.jobs.frame_spool import FrameSpool
from policy_port.trace import Recorder

REAL_UNITS = {
    **UNITS,
    "joint_vel": "rad/s, joint_names, estimated from the last two positions",
    "target": "what the policy asked for, rad, joint_names",
    "target_sent": "what was sent, rad, joint_names; NaN where the run ended before it was",
    "observation_age": "s, from the measurement to the sending; NaN where nothing was sent",
    "frame_age": "s, camera_names",
    "lateness": "s, from when the target was due to when it was sent",
    "load": "share of the stall torque, joint_names",
    "clock": "s on the arm's clock, when the policy had decided",
}
"""Unit and order of each array."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CHUNK = 20
"""Steps between two writes to disk."""


def why_unwritten(cause: Exception) -> str:
    """What kept something from being written, in words."""
    if isinstance(cause, OSError):
        return "the disk is full" if cause.errno in NO_ROOM else f"can't be written: {cause.strerror or cause}"
    return f"{type(cause).__name__}: {cause}"


class RealTrace:
    """An observer that records every step, and lets a thread of its own write to disk: a slow disk delays no target."""

    def __init__(
        self,
        path: Path,
        header: dict[str, Any],
        session: ArmSession,
        tip_links: tuple[str, ...],
        frames: FrameSpool | None = None,
    ) -> None:
        """Start recording into `path`, and the cameras' frames into `frames`.

        Raises:
            OutputError: When nothing can be written there.
        """
        self.frames = frames
        """The cameras' frames, where they are kept."""
        header = header | {"units": REAL_UNITS, "camera_names": list(session.cameras.names)}
        try:
            self._recorder = Recorder(path, header, chunk_steps=CHUNK)
        except OSError as cause:
            raise OutputError(f"{path}: {why_unwritten(cause)}; nothing was moved") from cause
        self._session, self._clock, self._cameras, self._tip_links = session, session.clock, session.cameras, tip_links
        self.tip: Array | None = None
        """Where the tip was at the episode's last step [m], shape (1, 3); None before there is one."""
        self._rows: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="trace", daemon=True)
        self._thread.start()
        self._pending: dict[str, Any] | None = None
        self._counted = (0, 0)
        self._step, self._episode = 0, -1
        self._failure: Exception | None = None

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Take one step; it is complete once its target has been sent.

        Raises:
            ArmStopError: When steps can't be written: the arm does nothing that is not on record.
        """
        self.complete()
        if self._failure is not None:
            raise ArmStopError(f"the run can't be recorded: {why_unwritten(self._failure)}", may_move=True)
        if self.frames is not None:
            self._cameras.check()
            self.frames.put({name: self._cameras.frame(name) for name in self._cameras.names})
        state, arm = controller.state, self._session.arm
        row = {
            "joint_pos": state.joint_pos,
            "joint_vel": state.joint_vel,
            "command": controller.command,
            "goal": controller.goal,
            "observation": controller.observation,
            "action": controller.action,
            "target": target,
            "load": np.zeros((1, len(target[0]))) if arm.reading is None else arm.reading.load[None],
        }
        if self._tip_links:
            self.tip = row["tip_pos"] = tip_position(plant, self._tip_links)
        self._pending = {name: np.array(value) for name, value in row.items()} | {
            "time": np.array([self._step * controller.contract.control_dt]),
            "episode": np.array([self._episode]),
            "frame_age": self._cameras.ages()[None],
            "clock": arm.clock.now(),
        }
        self._counted = self._session.supervisor.sends, len(self._clock.lateness)
        self._step += 1

    def begin(self) -> None:
        """The next steps are of another episode."""
        self._step, self._episode, self.tip = 0, self._episode + 1, None

    def close(self, **header: Any) -> None:
        """Write what is left, and the entries given here into the header."""
        self.complete()
        if self.frames is not None:
            self.frames.close()
        self._rows.put(None)
        self._thread.join()
        try:
            if self._failure is not None:
                raise self._failure
            self._recorder.close(**header)
        except OSError as cause:
            raise OutputError(f"{self._recorder.path}: {why_unwritten(cause)}") from cause

    def complete(self) -> None:
        """Take over what became of the last step, whatever was sent to the arm since."""
        row, self._pending = self._pending, None
        if row is None:
            return
        (sends, beats), supervisor = self._counted, self._session.supervisor
        was_sent = supervisor.sends > sends
        nothing = np.full_like(supervisor.followed, np.nan)
        row["target_sent"] = (supervisor.followed if was_sent else nothing)[None].copy()
        row["observation_age"] = np.array([supervisor.age if was_sent else np.nan])
        # The way to rest has a lateness of its own.
        late = self._clock.lateness[beats] if was_sent and supervisor.beats > beats else np.nan
        row["lateness"] = np.array([late])
        self._rows.put(row)

    def _write(self) -> None:
        while (row := self._rows.get()) is not None:
            try:
                self._recorder.record(**row)
            except Exception as failure:
                self._failure = self._failure or failure


class Recorded:
    """A task whose steps are complete in a trace before the arm is led to the next episode's start pose."""

    def __init__(self, task: Task, trace: RealTrace) -> None:
        self._task, self._trace = task, trace

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode; see `Task`."""
        self._task.begin(rows, start, command, goal)
        self._trace.begin()

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Look at the step just done; see `Task`."""
        self._trace.complete()
        return self._task.judge(plant, controller)

    @property
    def done(self) -> bool:
        """True when there is no episode left to do."""
        return self._task.done
