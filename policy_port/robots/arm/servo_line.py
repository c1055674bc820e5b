"""LeRobot's motors bus, with the errors that a control loop needs to see.

Everything goes over the bus that LeRobot's unmodified SOFollower has made. Positions are read and written raw, because
LeRobot cuts percent at 0 and 100 and cuts fractions off; its `connect`, `configure` and `disconnect` are not called,
because the first asks the user, the second ends by switching torque on with whatever goal a servo still has, and the
third gives up at the first servo in distress.
"""

from __future__ import annotations

import contextlib
import fcntl
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scservo_sdk as scs
from lerobot.robots.so_follower import SOFollower

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.robots.arm.raw_line import torque_off_for_all, write_now
from policy_port.robots.arm.reading import FIRST, LENGTH, Reading, decode
from policy_port.robots.arm.robot_file import MOTORS
from policy_port.robots.arm.stops import LineError
from policy_port.robots.arm.turn import Turn
from policy_port.robots.emulator.clock import REAL, Clock

TRIES = 2
"""How often a reading is tried; each try takes 50 ms when a servo is silent."""
OPEN_TRIES, OFF_TRIES = 3, 4
MODEL = 777
"""Model number of an STS3215."""
SETTLE = 0.06
"""From a goal on the line until a servo surely has it [s]."""
NEAR = 40
"""How far a joint may have moved until its torque is switched on [ticks]."""
SNAP = 8
"""A way that a servo may go at once when its torque comes on; a longer one is slow [ticks]."""
LOCK_TIME = 1.0
"""How long a port may be in use when it is opened: a watchdog tries it for a moment now and then [s]."""
WRITE_TIME = 0.2
"""How long the port may take to accept an instruction [s]."""
PATIENT_WRITE_TIME = 30.0
"""The same where an arm is driven on a virtual clock: a busy machine keeps the program waiting, and no arm [s]."""
SPARED = 0.02
"""How long an answer between two targets may take; slow adapters take 0.016 [s]."""
STORED, STORED_LENGTH = 5, 35
"""The registers that a servo stores, from its id to the last gain: what it is beside what it does."""


def _nothing() -> None:
    """What is done meanwhile, where nothing is."""


class ServoLine:
    """Six servos on one serial port."""

    def __init__(self, follower: SOFollower, clock: Clock = REAL) -> None:
        self._bus, self._clock = follower.bus, clock
        port: Any = follower.bus.port_handler
        # How long the driver waits for an answer goes by the same clock, in its milliseconds; its own can be set back.
        port.getCurrentTime = lambda: 1000.0 * clock.look()
        self._port = port
        self.ids = [follower.bus.motors[motor].id for motor in MOTORS]
        """Ids on the bus, in the order of `MOTORS`."""
        self.goals: Array | None = None
        """Goal positions that were sent last [ticks]; None where none were."""
        self.turn = Turn()
        """One sentence at a time on the line, whichever thread or signal wants to speak."""
        self._reader = scs.GroupSyncRead(self._port, follower.bus.packet_handler, FIRST, LENGTH)

    def open(self) -> None:
        """Open the port and find all servos; nothing is written to them.

        Raises:
            RobotError: When the port can't be opened, somebody else has it, or a servo does not answer.
        """
        name = self._port.port_name
        try:
            self._bus.connect(handshake=False)
            self._port.ser.write_timeout = WRITE_TIME if self._clock is REAL else PATIENT_WRITE_TIME
            self._lock()
        except BlockingIOError:
            self.close()
            raise RobotError(f"{name}: another program is using this port; end it first") from None
        except Exception as cause:
            self.close()
            reason = " ".join(str(cause.__cause__ or cause).split())
            raise RobotError(f"{name}: the port can't be opened: {reason}") from None
        # LeRobot's own handshake takes a servo in distress for a missing one.
        firmware = {motor: self._find(motor) for motor in MOTORS}
        missing = [motor for motor, found in firmware.items() if found is None]
        problem = ""
        if missing:
            problem = f"no answer from {', '.join(missing)}: look at power and cables"
        elif len(set(firmware.values())) > 1:
            listed = ", ".join(f"{motor} {found}" for motor, found in firmware.items())
            problem = f"the servos have different firmware ({listed}): update it with Feetech's program"
        if problem:
            self.close()
            raise RobotError(f"{name}: {problem}")

    def _lock(self) -> None:
        end = time.monotonic() + LOCK_TIME
        while True:
            try:
                return fcntl.flock(self._port.ser.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _find(self, motor: str) -> str | None:
        """Firmware of a servo; None when it does not answer as an STS3215."""
        for _ in range(OPEN_TRIES):
            with contextlib.suppress(Exception):
                self._port.is_using = False
                answer: Any = self._bus.packet_handler.readTxRx(self._port, self._bus.motors[motor].id, 0, 5)
                data = answer[0]
                if len(data) == 5 and data[3] | data[4] << 8 == MODEL:
                    return f"{data[0]}.{data[1]}"
            self._drain()
        return None

    @property
    def descriptor(self) -> int | None:
        """File descriptor of the open port."""
        return self._port.ser.fd if self._port.is_open and self._port.ser is not None else None

    @property
    def path(self) -> str:
        """Path of the serial port."""
        return str(self._port.port_name)

    def configure(self) -> None:
        """What SOFollower.configure writes, without the torque that it switches on at the end."""
        bus = self._bus
        self._persist("the servos can't be configured", lambda: bus.disable_torque(num_retry=TRIES))
        self._persist("the servos can't be configured", bus.configure_motors)
        for motor in MOTORS:
            settings = {"Operating_Mode": 0, "P_Coefficient": 16, "I_Coefficient": 0, "D_Coefficient": 32}
            if motor == "gripper":
                # LeRobot's half of the torque and current, so that a gripper that holds something survives.
                settings |= {"Max_Torque_Limit": 500, "Protection_Current": 250, "Overload_Torque": 25}
            with self._errors("the servos can't be configured"):
                for register, value in settings.items():
                    bus.write(register, motor, value, num_retry=TRIES)

    def calibration(self) -> Any:
        """LeRobot's calibration as the servos hold it, by motor.

        Raises:
            LineError: When it can't be read, or reads differently each time.
        """
        # LeRobot takes a late answer to one question for the answer to the next, and does not notice.
        before = None
        for _ in range(OPEN_TRIES + 1):
            held = self._persist("the calibration can't be read", self._bus.read_calibration)
            if held == before:
                return held
            before = held
            self._drain()
        raise LineError("the calibration reads differently each time: the line is disturbed")

    def _persist(self, doing: str, call: Callable[[], Any]) -> Any:
        """LeRobot does not ask again while it reads and writes many registers; nothing moves yet, so there is time."""
        for _ in range(OPEN_TRIES - 1):
            with contextlib.suppress(LineError), self._errors(doing):
                return call()
            self._drain()
        with self._errors(doing):
            return call()

    def read(self, tries: int = TRIES) -> Reading:
        """Measure.

        Args:
            tries: How often the servos are asked before they count as silent.

        Raises:
            LineError: When a servo is silent or the line is disturbed or gone.
        """
        asked, problem = self._clock.now(), ""
        for attempt in range(tries):
            if attempt:
                self._drain()
            # What came too late for the reading before would be taken for this one.
            self._clear()
            self._reader.clearParam()
            for servo in self.ids:
                self._reader.addParam(servo)
            try:
                self._port.is_using = False
                with self.turn:
                    self._reader.txRxPacket()
            except (termios.error, OSError) as cause:
                raise LineError(f"the port is gone: {cause}") from None
            except Exception as cause:
                # The parser fails on noise with errors of no particular class.
                problem = f"noise on the line ({type(cause).__name__})"
                continue
            data = self._reader.data_dict
            silent = [motor for motor, servo in zip(MOTORS, self.ids, strict=True) if len(data[servo]) != LENGTH]
            if not silent:
                return decode(asked, [data[servo] for servo in self.ids])
            problem = f"no valid answer from {silent[0]}"
        raise LineError(f"{problem}, {tries} times in {self._clock.now() - asked:.2f} s")

    def send(self, goals: Array) -> None:
        """Set goal positions [ticks], in the order of `MOTORS`; nobody answers."""
        with self.turn, self._errors("targets can't be sent"):
            values: dict[str, Any] = {motor: int(goal) for motor, goal in zip(MOTORS, goals, strict=True)}
            self._bus.sync_write("Goal_Position", values, normalize=False)
            self.goals = goals

    def stored(self, motor: str) -> bytes | None:
        """The registers that a servo stores, from `STORED` on; None where it did not answer as it should."""
        with contextlib.suppress(Exception):
            self._port.is_using = False
            self._clear()
            with self.turn, self._briefly():
                servo = self._bus.motors[motor].id
                answer: Any = self._bus.packet_handler.readTxRx(self._port, servo, STORED, STORED_LENGTH)
            if answer[1] == scs.COMM_SUCCESS and len(answer[0]) == STORED_LENGTH:
                return bytes(answer[0])
        return None

    @contextlib.contextmanager
    def _briefly(self) -> Iterator[None]:
        """Wait for an answer no longer than a control step can spare."""
        before = self._port.setPacketTimeout
        self._port.setPacketTimeout = lambda _: self._port.setPacketTimeoutMillis(1000.0 * SPARED)
        try:
            yield
        finally:
            self._port.setPacketTimeout = before

    def register(self, motor: str, address: int) -> tuple[str, int, int]:
        """Name, address and size of the register that an address belongs to."""
        table = self._bus.model_ctrl_table[self._bus.motors[motor].model]
        for name, (first, size) in table.items():
            if first <= address < first + size:
                return name, first, size
        return f"register {address}", address, 1

    def torque_on(
        self,
        goals: Array,
        present: Array | None = None,
        speed: Array | None = None,
        beat: Callable[[], None] = _nothing,
    ) -> Reading:
        """Let the servos hold where they are: first the goal, then torque. Returns the reading afterwards.

        Args:
            goals: Where they are [ticks], or where they may be, if they lie beyond that.
            present: Where they are; `goals`, if None.
            speed: How fast each may go from there to its goal [ticks/s].
            beat: Called while they do.

        Raises:
            LineError: When a servo did not take its goal or its torque, or has moved.
        """
        present = goals if present is None else present
        # A servo keeps its last goal over torque off, and would jump there.
        tries = 0
        while True:
            self.send(goals)
            self._clock.sleep(SETTLE)
            before = self.read()
            tries += 1
            if tries == TRIES or (before.goal == goals).all():
                break
        if (before.goal != goals).any() or np.abs(before.ticks - present).max() > NEAR:
            raise LineError("the arm moves, or its goals don't arrive: torque was not switched on")
        away = np.abs(before.ticks - goals)
        with self._slowly(before, speed if away.max() > SNAP else None):
            with self.turn, self._errors("torque can't be switched on"):
                self._bus.enable_torque(num_retry=TRIES)
            if speed is not None and away.max() > SNAP:
                for _ in range(1 + int(float((away / speed).max()) / SETTLE)):
                    beat()
                    self._clock.sleep(SETTLE)
        after = self.read()
        off = [motor for motor, torque in zip(MOTORS, after.torque, strict=True) if torque != 1]
        if off:
            raise LineError(f"torque stays off on {', '.join(off)}")
        return after

    @contextlib.contextmanager
    def _slowly(self, before: Reading, speed: Array | None) -> Iterator[None]:
        """Servos limit their own speed [ticks/s] meanwhile; as before, if None."""
        if speed is None:
            yield
            return

        def limit(speeds: Array) -> None:
            values: dict[str, Any] = {m: max(1, int(value)) for m, value in zip(MOTORS, speeds, strict=True)}
            with self.turn, self._errors("the servos can't be slowed down"):
                for motor, value in values.items():
                    self._bus.write("Goal_Velocity", motor, value, normalize=False, num_retry=TRIES)

        limit(speed)
        try:
            yield
        finally:
            with self.turn, self._errors("the servos can't be given their speed back"):
                for motor, value in zip(MOTORS, before.velocity_limit, strict=True):
                    self._bus.write("Goal_Velocity", motor, int(value), normalize=False, num_retry=TRIES)

    def cut(self) -> None:
        """Torque off on all servos at once, after the sentence that is being said; for a signal handler."""
        descriptor = self.descriptor
        if descriptor is None:
            return

        def speak() -> None:
            with contextlib.suppress(OSError):
                write_now(descriptor, torque_off_for_all(self.ids))

        self.turn.interject(speak)

    def torque_off(self, beat: Callable[[], None] = _nothing) -> list[str]:
        """Switch torque off joint by joint, whatever the line does. Returns the motors that have not confirmed it.

        Args:
            beat: Called before each try: with a silent line this takes longer than a watchdog waits.
        """
        silent: list[str] = list(MOTORS)
        for _ in range(OFF_TRIES):
            with contextlib.suppress(Exception):
                self._port.is_using = False
                with self.turn:
                    self._port.ser.write(torque_off_for_all(self.ids))
                self._drain()
            silent = [motor for motor in silent if not self._switch_off(motor, beat)]
            if not silent:
                break
        return silent

    def close(self) -> None:
        """Close the port. Twice is harmless."""
        # A dead line would keep the system waiting for what it never took.
        with contextlib.suppress(Exception):
            termios.tcflush(self._port.ser.fd, termios.TCOFLUSH)
        with contextlib.suppress(Exception):
            self._port.closePort()
        # Also where closing failed: LeRobot would otherwise try again when its object is collected.
        self._port.is_open = False
        self._port.is_using = False

    def _switch_off(self, motor: str, beat: Callable[[], None]) -> bool:
        beat()
        try:
            self._port.is_using = False
            servo = self._bus.motors[motor].id
            with self.turn:
                answer: Any = self._bus.packet_handler.write1ByteTxRx(self._port, servo, FIRST, 0)
        except Exception:
            return False
        # An error in the status byte is a servo in distress, which has obeyed all the same.
        return answer[0] == scs.COMM_SUCCESS

    def _drain(self) -> None:
        """Forget what is still coming: a late answer would be taken for the next one."""
        self._clock.sleep(0.003)
        self._clear()

    def _clear(self) -> None:
        with contextlib.suppress(Exception):
            self._port.ser.reset_input_buffer()

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            self._port.is_using = False
            yield
        except LineError:
            raise
        except Exception as cause:
            raise LineError(f"{doing}: {' '.join(str(cause).split())}") from None
