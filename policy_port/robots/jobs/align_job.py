"""An arm in front of its camera, while a person moves the simulated camera until both pictures lie on each other."""

from __future__ import annotations

import contextlib
import queue
import threading
import time as machine
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.alignment import Alignment, compose
from policy_port.camera.env_file import EnvFile
from policy_port.camera.page import Page
from policy_port.camera.picture import NetworkPicture
from policy_port.camera.render import Twin
from policy_port.camera.snapshots import add_snapshot
from policy_port.errors import PolicyPortError, RobotError
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError, LineError, RunEnd
from policy_port.robots.emulator.clock import REAL, Clock
from policy_port.robots.jobs.looking import MOVED, PATIENCE

CONTROL_DT = 0.05
"""Period in which the arm is led [s]."""
LOOK = 0.05
"""How often the arm is looked at while nothing is asked of it [s]."""
SILENT = 5.0
"""How long an arm without torque may not answer [s]."""
FRAME = 0.1
"""Shortest time between two pictures of the page [s]."""
SMOOTH = 0.1
"""Weight of the newest picture in the rate that is shown."""
POSES: dict[str, tuple[float, ...]] = {
    "raised": (0.0, -0.9, 0.5, 0.9, 0.0, -0.35),
    "left": (0.8, -0.6, 0.6, 0.3, 0.0, -0.7),
    "right": (-0.8, -0.6, 0.6, 0.3, 0.0, -0.9),
    "forwards": (0.0, 0.2, 0.1, 0.2, 0.8, -0.6),
    "forwards left": (0.5, 0.0, 0.3, 0.4, -0.8, -0.35),
    "forwards right": (-0.5, 0.0, 0.3, 0.4, 0.8, -0.45),
    "upright": (0.4, -1.2, -0.4, -0.6, 0.5, -0.55),
    "low": (-0.3, -0.4, 0.9, 0.3, 0.0, -0.8),
}
"""Poses that tell most together [rad], in the order of the robot file's `joint_names`; all are clear of the table. The
gripper stays near its rest and off its stop, where it is pressed shut."""


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """What is aligned with what, and where it is written."""

    robot: RobotFile
    """The arm, its cameras uncropped."""
    drawn: Path | str
    """Its description."""
    env: EnvFile
    """The environment file, which says of what size the camera's frames are; see `whole_frames`."""
    given: EnvFile
    """The same as it was read, which is written back."""
    path: Path
    """Where it lies."""
    snapshots: Path
    """Folder of the pictures that are taken for `camera solve`."""


class PageConsole(Console):
    """The person in front of the page: what had to be confirmed was confirmed there."""

    def __init__(self) -> None:
        super().__init__(continuous=True)
        self.said = ""

    def confirm(self, question: str, idle: Callable[[], None]) -> None:
        """The page has asked, and torque is wanted."""

    def say(self, text: str) -> None:
        """Tell it on the page."""
        self.said = text


class AlignJob:
    """The arm on this thread, the pictures on one of their own, the page between them."""

    def __init__(
        self, what: Aligned, page: Page, on_torque: Callable[[], None] = lambda: None, time: Clock = REAL
    ) -> None:
        """Prepare.

        Args:
            what: The two files.
            page: Where it is shown.
            on_torque: Called once torque is on.
            time: What the arm goes by; pictures go by the machine's own.

        Raises:
            CameraError: When the environment file has no camera.
        """
        self._what, self._page, self._on_torque, self._time = what, page, on_torque, time
        self.alignment = Alignment.of(what.env)
        """The camera as it stands now."""
        self._console = PageConsole()
        self._asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._session: ArmSession | None = None
        self._torque = self._busy = False
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._said, self._failed, self._saved = "", False, False
        self._kept = dict(self.alignment.numbers)
        self._rate = self._stamp = 0.0
        self._looks = 0
        self._heard, self._silent = machine.monotonic(), ""

    def run(self) -> RunEnd:
        """Serve the page until it is closed or somebody ends it; the arm is at rest then.

        Raises:
            PolicyPortError: When the arm or its camera can't be reached.
        """
        first = True
        with self._pictures():
            while True:
                end, opened = self._one_session()
                if not opened and first:
                    assert end.stop is not None
                    raise end.stop
                first = False
                if not self._goes_on(end):
                    break
        # The last word of the page, after the last of its pictures.
        self._page.tell({"ended": f"{ended(end)}; the arm is {end.arm}"})
        return end

    @property
    def left(self) -> str:
        """What has become of the numbers, in words."""
        if self.alignment.numbers == self._kept:
            return f"{self._what.path} has the camera as it was left"
        return f"not saved: {self._what.path} does not have the camera's last place"

    def _goes_on(self, end: RunEnd) -> bool:
        """Whether the arm is opened again, without torque: where the page has asked for its rest."""
        asked, by_page = end.stop is None, isinstance(end.stop, _PageStopError)
        self._tell(f"the arm is {end.arm}", failed=not end.arm.at_rest)
        return (asked or by_page) and end.arm.at_rest and not self._page.gone

    def _one_session(self) -> tuple[RunEnd, bool]:
        stop, opened = None, False
        with ArmSession(self._what.robot, CONTROL_DT, self._console, self._on_torque, self._time) as session:
            try:
                session.open()
                self._session, opened = session, True
                self._attend(session)
            except (Exception, KeyboardInterrupt) as cause:
                stop = _PageStopError() if session.signals.received == PAGE else cause
            self._session, self._busy = None, True
            session.close()
            self._torque = self._busy = False
        assert session.ending is not None
        return RunEnd(stop, session.ending), opened

    def _attend(self, session: ArmSession) -> None:
        """Do what the page asks of the arm, until it asks for rest or is closed."""
        while not self._page.gone:
            if self._failure is not None:
                raise self._failure
            self._look(session)
            try:
                wish = self._asked.get(timeout=LOOK)
            except queue.Empty:
                continue
            if wish["do"] == "rest":
                return
            if wish["do"] == "torque" and wish.get("sure") is True:
                session.warn()
                session.power()
                self._torque = True
            elif wish["do"] == "pose" and self._torque and wish.get("name") in POSES:
                self._busy = True
                session.lead(np.array([POSES[wish["name"]]]))
                self._busy = False

    def _look(self, session: ArmSession) -> None:
        with session.driving() as supervisor:
            if self._torque:
                supervisor.watch()
                self._looks += 1
                return
            try:
                supervisor.read(session.state)
                self._looks += 1
                self._heard, self._silent = machine.monotonic(), ""
            except LineError as cause:
                # Nothing can happen to an arm without torque; it may have been led by hand, and stays open.
                self._silent = f"the arm does not answer, and the simulated one stands still: {cause}"
                if machine.monotonic() - self._heard > SILENT:
                    raise

    @contextlib.contextmanager
    def _pictures(self) -> Iterator[None]:
        thread = threading.Thread(target=self._draw, name="align")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _draw(self) -> None:
        camera = self._what.robot.cameras[self._what.env.camera_name]
        self._page.tell(self._state(None, camera, "reaching the arm"))
        # The arm first: what is loaded here would make its line late.
        while self._session is None and not self._over.wait(FRAME):
            pass
        twin = Twin(self._what.drawn)
        try:
            straight = self._what.env.picture((camera.height, camera.width))
            frame: NDArray[np.uint8] = np.zeros((camera.height, camera.width, 3), np.uint8)
            while not self._over.wait(FRAME):
                session = self._session
                self._hear(session)
                seen, notice = (None, "") if session is None else self._see(session)
                frame = frame if seen is None else seen
                if session is not None:
                    self._page.show(self._picture(twin, session, straight, frame))
                self._page.tell(self._state(session, camera, notice))
        except BaseException as failure:
            self._failure = failure
        finally:
            twin.close()

    def _see(self, session: ArmSession) -> tuple[NDArray[np.uint8] | None, str]:
        """The camera's picture and "", or why there is no new one."""
        try:
            return session.cameras.frame(self._what.env.camera_name).copy(), ""
        except ArmStopError as cause:
            return None, str(cause)
        except KeyError:
            # It was closed on another thread.
            return None, ""

    def _picture(
        self, twin: Twin, session: ArmSession, straight: NetworkPicture, frame: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        joints = dict(zip(session.arm.joint_names, session.arm.angles.tolist(), strict=True))
        # Both as a straight lens shows them: the real one is straightened, the other never was bent.
        view = self.alignment.view.straight
        drawn = twin.render(view.resized((frame.shape[0], frame.shape[1])), joints)
        picture = compose(straight.straight(frame), drawn.rgb, drawn.mask, self.alignment.mode, self.alignment.mix)
        crop = straight.spec.crop
        if crop is not None:
            top, left, height, width = crop
            picture = np.ascontiguousarray(picture)
            cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), (255, 255, 255), 1)
        return picture

    def _hear(self, session: ArmSession | None) -> None:
        """Do what the page asks about the pictures, and hand on what it asks of the arm."""
        if self._page.gone and self._busy and session is not None:
            session.signals.received = session.signals.received or PAGE
        while not self._page.wishes.empty():
            wish = self._page.wishes.get()
            if wish["do"] == "save":
                self._do(self._save)
            elif wish["do"] == "snapshot":
                self._do(lambda: self._snapshot(session))
            elif wish["do"] == "rest" and self._busy and session is not None:
                # On its way to a pose it is stopped as Ctrl-C stops it.
                session.signals.received = session.signals.received or PAGE
            elif self.alignment.do(wish):
                self._saved = False
            else:
                self._asked.put(wish)

    def _do(self, act: Callable[[], str]) -> None:
        try:
            self._tell(act())
        except PolicyPortError as cause:
            self._tell(str(cause), failed=True)

    def _save(self) -> str:
        self.alignment.aligned(self._what.env, self._what.given).write(self._what.path)
        self._saved, self._kept = True, dict(self.alignment.numbers)
        return f"saved in {self._what.path}"

    def _snapshot(self, session: ArmSession | None) -> str:
        if session is None:
            raise RobotError("the arm is not open, so nobody knows where its joints are")
        if self._busy:
            raise RobotError("the arm is on its way: let it arrive, and take the picture then")
        if self._see(session)[0] is None:
            raise RobotError("the camera shows nothing new, so there is nothing to keep")
        before = np.array(session.arm.angles)
        (frame,), _ = session.cameras.take(self._what.env.camera_name, 1, PATIENCE)
        after = self._measured(session)
        if self._busy or np.abs(after - before).max() > MOVED:
            raise RobotError("the arm moved while its picture was taken, and nothing was kept: let it stand still")
        joints = dict(zip(session.arm.joint_names, after.tolist(), strict=True))
        return f"wrote {add_snapshot(self._what.snapshots, frame.image, joints)}"

    def _measured(self, session: ArmSession) -> NDArray[np.float64]:
        """Where the joints are, measured after the question by the thread that has the arm."""
        asked, due = self._looks, machine.monotonic() + SILENT
        # The look under way may have measured before.
        while self._looks < asked + 2:
            if self._over.wait(0.01) or machine.monotonic() > due:
                raise RobotError("the arm does not answer, so nobody knows where its joints are")
        return np.array(session.arm.angles)

    def _tell(self, text: str, *, failed: bool = False) -> None:
        self._said, self._failed = text, failed

    def _state(self, session: ArmSession | None, camera: CameraBounds, notice: str) -> dict[str, Any]:
        """What the page says."""
        if self._console.said:
            self._tell(self._console.said, failed=True)
            self._console.said = ""
        ages = session.cameras.ages() if session is not None else np.zeros(0)
        age = float(ages[0]) if len(ages) else float("inf")
        stamp = machine.perf_counter() - age
        if len(ages) and stamp > self._stamp + 1e-3:
            rate = 1.0 / (stamp - self._stamp)
            self._rate += SMOOTH * (rate - self._rate) if self._rate else rate
            self._stamp = stamp
        rate = f"{self._rate:.1f} pictures per second, the last {age:.2f} s old" if age < 1e3 else "no picture"
        arm = "torque off: lead it by hand" if not self._torque else "moving" if self._busy else "under torque"
        return self.alignment.state() | {
            "title": f"{self._what.env.env}: {self._what.env.camera_name}",
            "about": f"{camera.width}x{camera.height}, {self._what.path.name}",
            "poses": list(POSES),
            "rate": rate,
            "notice": notice or self._silent,
            "arm": arm,
            "torque": self._torque,
            "busy": self._busy,
            "said": self._said,
            "failed": self._failed,
            "saved": self._saved,
        }


def ended(end: RunEnd) -> str:
    """What ended it, in words."""
    return "the page was closed" if end.stop is None else end.sentence


PAGE = "the page"
"""Stands where the name of a signal does."""


class _PageStopError(ArmStopError):
    """The page has asked for the arm's rest while it was on its way."""

    def __init__(self) -> None:
        super().__init__("stopped by the page", may_move=True)
