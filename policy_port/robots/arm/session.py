"""The session: the one way to an arm. It is opened, checked, rehearsed with, powered, led and ended here.

`play --real` performs its jobs in a session; environments and agents drive one call by call.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.errors import RobotError
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.lerobot_arm import LeRobotArm, port_of
from policy_port.robots.arm.preflight import check_arm
from policy_port.robots.arm.raw_line import cut_torque
from policy_port.robots.arm.real_time import RealTime
from policy_port.robots.arm.rehearsal import rehearse
from policy_port.robots.arm.robot_file import MOTORS, RobotFile
from policy_port.robots.arm.stop_signals import StopSignals
from policy_port.robots.arm.stops import ArmStopError, Ending
from policy_port.robots.arm.supervisor import Supervisor
from policy_port.robots.arm.watchdog import dismiss
from policy_port.robots.emulator.clock import REAL, Clock

SWITCH = 0.0005
"""How long another thread may keep the interpreter while the arm is under torque [s]; Python lets it for 5 ms."""
PORT_TIME = 3.0
"""How long a port may be in use when torque is to be switched off [s]."""
OFF_TRIES = 4
UNATTENDED = 0.2
"""After so long without a call the arm is looked after from a thread of its own [s]."""
WARNING = "The arm will move. Keep clear of it, a hand at its power switch."


@contextlib.contextmanager
def without_torque(robot: RobotFile, control_dt: float = 0.05, time: Clock = REAL) -> Iterator[LeRobotArm]:
    """An arm to look at: open and measured once, never driven; its port is closed in the end.

    Raises:
        RobotError: When the arm can't be reached.
    """
    arm = LeRobotArm(robot, control_dt, time)
    try:
        arm.open()
        yield arm
    finally:
        arm.close()


def let_go(robot: RobotFile) -> list[str]:
    """Switch torque off on whatever servo can hear, whatever the others, the calibration or LeRobot say.

    Returns:
        The motors that have not confirmed it.

    Raises:
        RobotError: When the port can't be used.
    """
    port, end = port_of(robot), time.monotonic() + PORT_TIME
    silent, tries = list(range(1, len(MOTORS) + 1)), 0
    while silent and tries < OFF_TRIES:
        try:
            silent = cut_torque(port, silent)
            tries += 1
        except BlockingIOError:
            # A watchdog that tries the same has the port for a moment; a run keeps it.
            if time.monotonic() > end:
                raise RobotError(f"{port}: another program is using this port; end it first") from None
            time.sleep(0.02)
        except (OSError, termios.error) as cause:
            raise RobotError(f"{port}: the port can't be used: {cause.args[-1] if cause.args else cause}") from None
    return [MOTORS[servo - 1] for servo in silent]


class ArmSession:
    """An arm behind its supervisor, from the first look at it until its torque is off.

    Whatever goes wrong in `driving` ends the arm: held, led to rest where that may be, torque off, port closed. So do
    Ctrl-C and the end of the program. While the program does something else, a thread watches the standing arm.
    """

    def __init__(
        self,
        robot: RobotFile,
        control_dt: float,
        console: Console,
        on_torque: Callable[[], None] = lambda: None,
        time: Clock = REAL,
        log: Path | None = None,
    ) -> None:
        """Find the arm; `open` reaches it.

        Args:
            robot: The arm.
            control_dt: Control period [s].
            console: The person in front of the arm.
            on_torque: Called once torque is on.
            time: What it goes by.
            log: File in which the watchdog notes what it does; none, if None.

        Raises:
            RobotError: When no port is named, or the calibration is missing or can't be read.
        """
        self.robot = robot
        self.signals = StopSignals(time)
        self.clock = RealTime(control_dt, robot.timing.deadline, time)
        self.cameras = ArmCameras(robot, waits=time is not REAL)
        self._console, self._on_torque = console, on_torque
        self._control_dt, self._time, self._log = control_dt, time, log
        self._reach()
        self.state = PlantState.allocate(1, len(self.arm.joint_names))
        """The last measurement."""
        self.ending: Ending | None = None
        """Where the arm was left; None while it is open."""
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._counted = 0
        self._used = time.now()
        self._in_block = self._warned = self._powered = self._frozen = False
        self._switch = sys.getswitchinterval()
        self._why = "the arm is not open"
        self._cause: BaseException | None = None

    def _reach(self) -> None:
        self.arm = LeRobotArm(self.robot, self._control_dt, self._time)
        self.supervisor = Supervisor(self.arm, self.clock, self.signals, self.cameras, self._console, self._log)

    def again(self, why: str) -> None:
        """Open the arm once more after a stop that ended it, and let the person in front of it say that it may move.

        Args:
            why: What the person is told.

        Raises:
            RobotError: When the arm is not as it has to be before anything moves.
        """
        assert self.ending is not None
        sends = self.supervisor.sends
        self._console.confirm(f"{why} Put the arm into its rest pose.", self.signals.check)
        self._console.lay()
        self._reach()
        self.supervisor.sends, self.clock.deadline = sends, self.robot.timing.deadline
        self._counted = len(self.clock.lateness)
        self.ending = self._cause = None
        self._over = threading.Event()
        self._warned = self._powered = False
        self.open()

    def __enter__(self) -> ArmSession:
        """Take signals as questions until the block is left, so that what was recorded is written in peace as well."""
        self._in_block = True
        self.signals.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.signals.release()

    def open(self) -> None:
        """Reach the arm and its cameras, and check them; nothing moves.

        Raises:
            RobotError: When something is not right.
        """
        if not self._in_block:
            self.signals.__enter__()
        atexit.register(self.close)
        try:
            self.arm.open()
            check_arm(self.arm)
            dismiss(self.arm.line.path)
            self._console.open()
            self.arm.line.configure()
            self.supervisor.configured()
            self.cameras.open()
            self.supervisor.read(self.state)
        except BaseException:
            self._end(may_move=False, why="the arm could not be opened")
            raise
        self._why = ""

    @contextlib.contextmanager
    def driving(self) -> Iterator[Supervisor]:
        """The supervisor, for one call or a whole run; whatever is raised in it ends the arm first.

        Raises:
            RobotError: When the arm has ended before, saying why.
        """
        with self._lock:
            if self._why:
                raise RobotError(f"{self._why}; make a new one to go on") from self._cause
            try:
                yield self.supervisor
            except BaseException as cause:
                if self.ending is None:
                    may_move = not isinstance(cause, ArmStopError) or cause.may_move
                    self._cause = cause
                    self._end(may_move=may_move, why=f"the arm was stopped: {str(cause) or type(cause).__name__}")
                    cause.add_note(f"The arm: {self.ending}.")
                raise
            finally:
                self._used = self.arm.clock.now()

    def rehearse(self, step: Callable[[], object], begin: Callable[[], object] | None = None) -> float:
        """Run control steps without torque; see `policy_port.robots.arm.rehearsal.rehearse`."""
        with self.driving():
            return rehearse(self.clock, self.arm, step, begin)

    def ask(self, question: str) -> None:
        """Wait for the person in front of the arm, while it stays watched."""
        with self.driving() as supervisor:
            self._console.confirm(question, supervisor.watch if self._powered else self.signals.check)

    def answer(self, question: str, words: tuple[str, ...]) -> str:
        """Ask until one of `words` is the answer, while the arm stays watched."""
        with self.driving() as supervisor:
            return self._console.answer(question, words, supervisor.watch if self._powered else self.signals.check)

    def warn(self, look: str = "") -> None:
        """Let the person in front of the arm say that it may move; `power` does it where nobody did before.

        Args:
            look: What to look at before, in words.
        """
        self.ask(look + WARNING)
        self._warned = True

    def power(self) -> None:
        """Switch torque on, so that the arm holds where it is; where it is on already, nothing happens.

        Raises:
            ArmStopError: When the arm must not go on; it has ended then.
        """
        with self.driving() as supervisor:
            if self._powered:
                return
            if not self._warned:
                self.warn()
            # A long collection or another thread in the middle of a step makes it late. What is there already is left
            # out of collections, which stay on: nobody knows for how long the arm will be driven. What a program has
            # left out itself stays so, also afterwards.
            self._frozen = gc.get_freeze_count() == 0
            gc.collect()
            if self._frozen:
                gc.freeze()
            sys.setswitchinterval(SWITCH)
            self._powered = True
            supervisor.switch_on()
            self._on_torque()
            del self.clock.lateness[self._counted :]
            threading.Thread(target=self._attend, name="arm", daemon=True).start()

    def lead(self, pose: Array) -> None:
        """Lead the arm slowly to a pose [rad], shape (1, joints), and measure it there; torque comes on at first.

        Raises:
            ArmStopError: When the arm must not go on; it has ended then.
        """
        self.power()
        with self.driving() as supervisor:
            supervisor.reset(pose)
            supervisor.read(self.state)

    def close(self) -> None:
        """Lead the arm to rest, torque off, port closed. Twice is harmless."""
        with self._lock:
            self._end(may_move=True, why="the arm was closed")

    def _end(self, *, may_move: bool, why: str) -> None:
        if self.ending is not None:
            return
        self._why = why
        # The arm first: nothing that comes after it may keep torque on.
        self.ending = self.supervisor.end(may_move=may_move and self._powered)
        self._over.set()
        self._console.close()
        if self._powered:
            if self._frozen:
                gc.unfreeze()
            sys.setswitchinterval(self._switch)
        if not self._in_block:
            self.signals.release()
        atexit.unregister(self.close)

    def _attend(self) -> None:
        over = self._over
        while not over.wait(0.5 * UNATTENDED):
            if self.arm.clock.now() - self._used < UNATTENDED or not self._lock.acquire(blocking=False):
                continue
            try:
                # What ends the arm here is told by the program's next call.
                with contextlib.suppress(Exception), self.driving() as supervisor:
                    supervisor.watch()
            finally:
                self._lock.release()
