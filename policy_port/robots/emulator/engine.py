"""The emulated arm at work: it answers the wire and lets the mechanics move as time passes."""

from __future__ import annotations

import bisect
import os
import random
import select
import threading
from dataclasses import replace
from typing import Any

from policy_port.camera.view import Quaternion, Vector
from policy_port.errors import EmulatorError
from policy_port.robots.emulator.build import build_arm
from policy_port.robots.emulator.bus import Answer, Bus, WireWrite
from policy_port.robots.emulator.camera import MjpegCamera
from policy_port.robots.emulator.clock import REAL, Clock, VirtualClock
from policy_port.robots.emulator.fault_kinds import BY_NAME
from policy_port.robots.emulator.faults import Fault, FaultList, parse_fault
from policy_port.robots.emulator.lens import by_name
from policy_port.robots.emulator.options import ArmOptions
from policy_port.robots.emulator.packets import Decoder
from policy_port.robots.emulator.pictures import open_pictures
from policy_port.robots.emulator.registers import BAUD_RATES
from policy_port.robots.emulator.servo import Servo, ServoState
from policy_port.robots.emulator.strike import Strikes
from policy_port.robots.emulator.terminal import Terminal

CALLS = ("port", "camera_url", "wire_log", "servo", "angles", "active_faults", "inject", "clear", "place")
"""What can be asked of an engine."""
IDLE_TIME = 0.02
"""Longest time between two looks at the mechanics [s]."""
SILENCE = 0.005
"""A line that is silent for so long carries no packet any more [s]."""
MOST_CATCH_UP = 0.5
"""Time that is made up for when the machine was busy elsewhere [s]; the rest did not happen."""


class Engine:
    """An emulated arm in this process: in real time on a thread of its own, else as a follower of its clock."""

    def __init__(self, options: ArmOptions, clock: Clock = REAL) -> None:
        """Put the arm together and open its port; `start` lets it live."""
        self._options, self._clock = options, clock
        self._joints = tuple(options.calibration)
        self._things = {thing.name: thing for thing in options.things}
        self._cameras_named = tuple(camera.name for camera in options.cameras)
        faults = [self._parse(spec) for spec in options.faults]
        self._parts = build_arm(options)
        self._faults = FaultList()
        self._random = random.Random(options.seed)
        self._bus = Bus(self._parts.servos, self._faults, latency=options.latency, random_source=self._random)
        self._decoder = Decoder()
        self._lock = threading.Lock()
        self._plugged = threading.Condition(self._lock)
        self._answers: list[Answer] = []
        self._babble = 0.0
        self._strikes = Strikes(self._parts.servos, self._parts.mechanics, self._faults)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._terminal: Terminal | None = Terminal(options.port_link)
        self._port = self._terminal.path
        self._bell, self._ring = os.pipe()
        self._moved = self._heard = begin = clock.now()
        self._thread = threading.Thread(target=self._run, name="emulated arm")
        self._cameras: dict[str, MjpegCamera] = {}
        for fault in faults:
            self._faults.add(fault, begin)

    def start(self) -> None:
        """Open the cameras and begin to answer."""
        self._moved = self._heard = self._clock.now()
        if isinstance(self._clock, VirtualClock):
            self._clock.follow(self._live)
        else:
            self._thread.start()
        try:
            for spec in self._options.cameras:
                pictures = open_pictures(self._options, spec, self.angles, lambda: self._things, self._faults)
                self._cameras[spec.name] = MjpegCamera(spec, pictures, self._faults, self._options.seed)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unplug the arm and leave nothing behind. Twice is harmless.

        Raises:
            RuntimeError: When the emulation itself had failed.
        """
        for camera in self._cameras.values():
            camera.close()
        self._cameras = {}
        if not self._stop.is_set():
            self._stop.set()
            if isinstance(self._clock, VirtualClock):
                self._clock.leave(self._live)
            os.write(self._ring, b"!")
            if self._thread.ident is not None:
                self._thread.join()
            if self._terminal is not None:
                self._terminal.close()
            self._parts.mechanics.close()
            os.close(self._bell)
            os.close(self._ring)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise RuntimeError("the emulated arm has failed") from failure

    def ask(self, call: str, *arguments: Any) -> Any:
        """Answer one of `CALLS`; an engine in a process of its own can be reached in no other way."""
        assert call in CALLS
        return getattr(self, call)(*arguments)

    def port(self) -> str:
        """Path that a driver opens; after an unplug without a link, a new one."""
        with self._lock:
            return self._port

    def camera_url(self, name: str) -> str:
        """Address of a camera's MJPEG stream."""
        if name not in self._cameras:
            known = ", ".join(self._cameras_named) or "none"
            raise EmulatorError(f"the emulated arm has no camera '{name}'; its cameras are: {known}")
        return self._cameras[name].url

    def wire_log(self) -> tuple[WireWrite, ...]:
        """Everything that hosts have written into registers, in order of arrival."""
        with self._lock:
            self._catch_up()
            return tuple(self._bus.log)

    def servo(self, name: str) -> ServoState:
        """A servo as it is now."""
        with self._lock:
            self._catch_up()
            return self._servo(name).state()

    def angles(self) -> dict[str, float]:
        """Where every joint truly is [rad]."""
        with self._lock:
            self._catch_up()
            return {servo.name: self._angle(servo) for servo in self._parts.servos}

    def active_faults(self) -> tuple[Fault, ...]:
        """The faults that are there now."""
        with self._lock:
            return self._faults.active

    def inject(self, fault: Fault | str) -> Fault:
        """Let something go wrong; its start counts from now."""
        parsed = self._parse(fault) if isinstance(fault, str) else fault
        with self._lock:
            now = self._clock.now()
            self._advance(now)
            self._faults.add(parsed, now)
            self._settle(now)
        return parsed

    def clear(self, fault: Fault | str | None) -> None:
        """Take a fault back, also one that has not started; all of them, if None."""
        parsed = self._parse(fault) if isinstance(fault, str) else fault
        with self._lock:
            now = self._clock.now()
            self._advance(now)
            known = self._faults.known
            if parsed is not None and parsed not in known:
                raise EmulatorError(f"fault '{parsed}' is not there; there are: {', '.join(map(str, known)) or 'none'}")
            for one in known if parsed is None else (parsed,):
                self._faults.remove(one)
            self._settle(now)

    def place(self, name: str, position: Vector | None, rotation: Quaternion) -> None:
        """Lay something on the table somewhere else, or away."""
        thing = by_name(self._things, name)
        self._things = self._things | {name: replace(thing, position=position, rotation=rotation)}

    def _parse(self, spec: str) -> Fault:
        fault = parse_fault(spec, joints=self._joints, cameras=self._cameras_named)
        blind = [camera.name for camera in self._options.cameras if camera.view is None]
        if BY_NAME[fault.kind].viewed and (fault.target is None or fault.target in blind) and blind:
            raise EmulatorError(
                f"fault '{spec}': camera '{fault.target or blind[0]}' stands nowhere that could change; say where with "
                "--view and a view.yaml"
            )
        return fault

    def _servo(self, name: str) -> Servo:
        for servo in self._parts.servos:
            if servo.name == name:
                return servo
        raise EmulatorError(f"the emulated arm has no servo '{name}'; its servos are: {', '.join(self._joints)}")

    def _angle(self, servo: Servo) -> float:
        # The shaft's zero is where the arm was calibrated, whatever the registers say by now.
        return self._parts.scales[servo.name].angle(
            servo.shaft.position - servo.shaft.misread - self._options.calibration[servo.name].homing_offset
        )

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._serve()
        except BaseException as failure:
            self._failure = failure
            with self._lock:
                # A client must not wait for an arm that is gone.
                if self._terminal is not None:
                    self._terminal.close()
                    self._terminal = None

    def _serve(self) -> None:
        """Wait for something to do, and do it."""
        pause = SILENCE if self._decoder.pending else IDLE_TIME
        if self._answers:
            pause = min(pause, max(0.0, self._answers[0].due - self._clock.now()))
        sources = [self._bell] if self._terminal is None else [self._bell, self._terminal.fileno()]
        ready = select.select(sources, (), (), pause)[0]
        if self._bell in ready and os.read(self._bell, 1) == b"!":
            return
        self._live()

    def _live(self) -> None:
        """Move, hear and speak up to now."""
        with self._lock:
            now = self._clock.now()
            self._advance(now)
            self._strikes.update(now)
            if not self._is_plugged_right():
                self._plug()
            if self._terminal is not None:
                self._hear(self._terminal, now)
                self._speak(self._terminal, self._clock.now())

    def _catch_up(self) -> None:
        """Take in what a client has already sent, before somebody looks; the lock is held."""
        now = self._clock.now()
        self._advance(now)
        if self._terminal is not None and not self._stop.is_set():
            self._hear(self._terminal, now)
            if self._answers and self._thread.is_alive():
                os.write(self._ring, b".")

    def _hear(self, terminal: Terminal, now: float) -> None:
        data = terminal.read()
        if data:
            self._heard = now
            if self._faults.find("echo") is not None:
                terminal.write(data)
            packets = self._decoder.feed(data)
        else:
            packets = self._decoder.idle() if self._decoder.pending and now - self._heard >= SILENCE else []
        if packets and terminal.baud_rate not in {BAUD_RATES[s.registers.get("Baud_Rate")] for s in self._parts.servos}:
            return
        for packet in packets:
            for answer in self._bus.receive(packet, now):
                self._plan(answer)

    def _settle(self, now: float) -> None:
        """Let faults act before the caller goes on; the lock is held."""
        self._strikes.update(now)
        if isinstance(self._clock, VirtualClock):
            if not self._is_plugged_right():
                self._plug()
        elif self._thread.is_alive():
            # Only the thread that waits on the terminal may close it.
            os.write(self._ring, b".")
            self._plugged.wait_for(lambda: self._is_plugged_right() or not self._thread.is_alive(), 1.0)

    def _is_plugged_right(self) -> bool:
        return (self._terminal is None) == (self._faults.find("unplug") is not None)

    def _plug(self) -> None:
        """Pull the cable out or plug it in, as faults say."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
            self._answers.clear()
        else:
            self._terminal = Terminal(self._options.port_link)
            self._port = self._terminal.path
        self._plugged.notify_all()

    def _plan(self, answer: Answer) -> None:
        bisect.insort(self._answers, answer, key=lambda planned: planned.due)

    def _speak(self, terminal: Terminal, now: float) -> None:
        out = bytearray()
        while self._answers and self._answers[0].due <= now:
            out += self._answers.pop(0).data
        if out:
            terminal.write(bytes(out))

    def _advance(self, now: float) -> None:
        """Let the mechanics move up to `now`."""
        parts, time_step = self._parts, self._parts.mechanics.step_time
        elapsed = now - self._moved
        if elapsed > MOST_CATCH_UP:
            self._moved = now - MOST_CATCH_UP
        rate = self._faults.find("babble")
        if rate is not None:
            self._babble = min(self._babble + rate * elapsed, 256.0)
            if self._babble >= 1.0:
                self._plan(Answer(now, self._random.randbytes(int(self._babble))))
                self._babble -= int(self._babble)
        while self._moved + time_step <= now:
            self._moved += time_step
            for servo in parts.servos:
                servo.control(self._moved, time_step)
            parts.mechanics.step([servo.drive for servo in parts.servos])
            for servo in parts.servos:
                servo.measure(time_step)
