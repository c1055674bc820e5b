"""The supervisor: the only way to the arm. Every target is limited, every measurement is judged, every end is led."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import Mounting, PlantState
from policy_port.errors import RobotError
from policy_port.plants.behind import first_target
from policy_port.plants.limiter import Limiter
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.held_back import HeldBack
from policy_port.robots.arm.judge import Judge
from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.real_time import RealTime
from policy_port.robots.arm.robot_file import MOTORS
from policy_port.robots.arm.stop_signals import StopSignals
from policy_port.robots.arm.stops import ArmStopError, Ending, LineError
from policy_port.robots.arm.stored_registers import StoredRegisters
from policy_port.robots.arm.watchdog import Watchdog

HOLD = 0.3
"""How long the arm is held before it is led to rest [s]."""
ARRIVED = 0.15
"""How far from its target a joint may stand at the end of a way: gravity and play leave it a little behind [rad]."""
ARRIVAL_TIME = 1.5
"""How long it may take to get there after the target has arrived [s]."""
PATIENCE = 6
"""How often a measurement on the way to rest is tried."""
PAUSE = 1.8
"""Periods without a target after which the arm is taken to stand."""
STILL = 0.1
"""How far a joint may have moved while nobody pressed Enter [rad]."""

GRIPPER = MOTORS.index("gripper")
"""Its column."""
STRETCH = 0.9
"""How far the gripper is led in one go [rad]: LeRobot lets it have half of its torque, at which its servo reports an
overload when it is under way for two seconds or pressed shut."""


class Supervisor:
    """A supervised arm; see `policy_port.control.plant.Plant`.

    `write` sends what the limits allow and puts that into `target`, which is the controller's own memory of its
    target: a policy that adds to its last target does not wind up.
    """

    num_envs = 1

    def __init__(
        self,
        arm: LeRobotArm,
        clock: RealTime,
        signals: StopSignals,
        cameras: ArmCameras,
        console: Console,
        log: Path | None = None,
    ) -> None:
        """Take over an arm that is open and has no torque; `log` is where the watchdog notes what it does."""
        robot, names = arm.robot, arm.joint_names
        self._arm, self._clock, self._signals, self._cameras = arm, clock, signals, cameras
        self._robot, self._console, self._log = robot, console, log
        self._judge = Judge(robot, names)
        bounds = [robot.joints[name] for name in names]
        self._limiter = Limiter(
            *arm.scale.limits,
            speed=np.array([joint.speed for joint in bounds]),
            acceleration=np.array([joint.acceleration for joint in bounds]),
            period=arm.timestep,
        )
        self._stored = StoredRegisters(arm.line, arm.clock)
        self._held = HeldBack(names, robot.first_target, arm.timestep)
        self._watchdog: Watchdog | None = None
        self._torque = self._stopping = False
        self._first = True
        self._sent_at = -math.inf
        self.name = arm.name
        self.joint_names = names
        self.timestep = arm.timestep
        self.sent: Array = np.zeros(len(names))
        """The target sent last [rad]."""
        self.sends = 0
        """Targets that the policy has had sent."""
        self.followed: Array = np.zeros(len(names))
        """The last of them [rad], whatever the supervisor has sent since."""
        self.beats = 0
        """How many lateness figures there were when it was sent."""
        self.age = math.nan
        """Age of the measurement that the last target rested on, when it was sent [s]."""
        signals.on_cut = arm.line.cut

    def configured(self) -> None:
        """The servos are set as they are to stay."""
        self._stored.start()

    def switch_on(self) -> None:
        """Start the watchdog and let the arm hold where it is, or slowly come back within its limits."""
        self._signals.check()
        seen = self._arm.angles.copy()
        self._arm.measure()
        if np.abs(self._arm.angles - seen).max() > STILL:
            raise ArmStopError("the arm was moved since it was checked; lay it down to rest", may_move=False)
        self._limiter.start(self._arm.angles)
        self.sent = self._limiter.position
        self._stored.look()
        line, scale, goals = self._arm.line, self._arm.scale, self._arm.scale.goals(self.sent)
        self._watchdog = Watchdog(line.path, line.ids, max(self._robot.timing.heartbeat, 2 * self.timestep), self._log)
        # From here on torque may be on, whatever happens in the next line.
        self._torque = True
        reading = self._arm.reading
        assert reading is not None
        # A goal beyond the limits is never sent, so an arm that lies there comes back, no faster than it is led.
        slow = self._robot.approach_speed * np.abs(scale.slope / scale.per_tick)
        after = line.torque_on(goals, reading.ticks, slow, self._beat)
        self._judge.start(goals, after)
        self._held.start()

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Lead the arm slowly to a start pose [rad], shape (1, joints), and let it stand there."""
        self._go(joint_pos[0])
        self._first = True
        self._held.start()
        self._restart()

    def read(self, state: PlantState) -> None:
        """Measure into `state`; ArmStopError when the arm must not go on."""
        self._check_signals()
        self._beat()
        self._arm.read(state)
        if self._torque:
            self._look()

    def write(self, target: Array) -> None:
        """Send targets [rad], shape (1, joints), as far as the limits allow; `target` becomes what was sent.

        Raises:
            ArmStopError: When the arm must not go on.
        """
        asked = target[0]
        wrong = [name for name, value in zip(self.joint_names, asked, strict=True) if not math.isfinite(value)]
        if wrong:
            raise ArmStopError(f"the policy asks for a target of {wrong[0]} that is not finite", may_move=True)
        if self._first:
            self._check_first(asked)
        seen = self._arm.angles.copy()
        if self._console.wait(lambda: self._stand_by(seen)):
            self._stand_by(seen)
            self._restart()
        self._check_signals()
        self._check_age()
        asked = asked.copy()
        self._send(asked)
        target[0] = self.followed = self.sent
        self._first = False
        self.sends += 1
        self.beats = len(self._clock.lateness)
        warning = self._held.look(asked, self.sent)
        if warning is not None:
            self._console.say(f"warning: {warning}")

    def watch(self) -> None:
        """Look after the arm while it waits for something; ArmStopError when it must not go on."""
        self._check_signals()
        self._measure()
        self._stored.look()

    def step(self, count: int) -> None:
        """Wait until the next measurement is due."""
        self._clock.pause()

    def effort(self) -> Array:
        """NaN: the servos report a share of their torque, not newton metres."""
        return np.full((1, len(self.joint_names)), np.nan)

    def link_position(self, link: str) -> Array:
        """Position of a link [m], shape (1, 3), by forward kinematics."""
        return self._arm.link_position(link)

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Nowhere: what is bolted down has no base velocity."""
        raise RobotError(
            "the arm's base stands still, so there is no velocity of it to give a point or frame; leave point and "
            "frame out of the contract's base terms"
        )

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """There is no picture of an arm without a camera."""
        raise RobotError("a real arm can't be drawn; look at it")

    def close(self) -> None:
        """End without moving: torque off, port closed. Twice is harmless."""
        self.end(may_move=False)

    def end(self, *, may_move: bool) -> Ending:
        """Hold, lead the arm to rest, switch torque off joint by joint, close the port; whatever fails, go on.

        Args:
            may_move: False: torque goes off where the arm is.
        """
        self._stopping = self._judge.leading = True
        self._clock.deadline = math.inf
        at_rest, trouble, silent = not self._torque, "", []
        if self._torque and may_move and not self._signals.cut:
            try:
                self._hold()
                self._go(np.array(self._robot.pose("rest")))
                at_rest = True
            except Exception as cause:
                # Whatever comes in between, torque has to go off afterwards.
                trouble = str(cause) or type(cause).__name__
        if self._torque:
            silent = self._arm.line.torque_off(self._beat)
            self._torque = bool(silent)
        self._signals.on_cut = None
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None and not silent:
            watchdog.close()
        self._arm.close()
        if watchdog is not None and silent:
            # The port has one user at a time: from here on the watchdog.
            watchdog.take_over()
        self._cameras.close()
        return Ending(at_rest, trouble, tuple(silent))

    def _go(self, pose: Array) -> None:
        """Lead the arm along a straight line in joint space, in stretches that its gripper bears."""
        start, pose = self._limiter.position.copy(), np.clip(pose, *self._arm.scale.limits)
        stretches = max(1, math.ceil(abs(pose[GRIPPER] - start[GRIPPER]) / STRETCH))
        for stretch in range(1, stretches + 1):
            self._lead(start + (pose - start) * stretch / stretches)

    def _lead(self, pose: Array) -> None:
        """Lead the arm along a straight line, no joint faster than the approach speed, and let it stand there."""
        speed, start = self._robot.approach_speed, self._limiter.position.copy()
        steps = max(1, math.ceil(float(np.abs(pose - start).max()) / speed / self.timestep))
        patience = math.ceil(ARRIVAL_TIME / self.timestep)
        self._restart()
        for step in range(1, steps + patience + 1):
            self._pace(start + (pose - start) * min(1.0, step / steps))
            there = np.abs(self._limiter.position - pose).max() < 1e-6
            if step >= steps and there and np.abs(self._arm.angles - pose).max() < ARRIVED:
                break
        else:
            behind = self.joint_names[int(np.abs(self._arm.angles - pose).argmax())]
            raise ArmStopError(f"{behind} did not arrive where it was led", may_move=False, of_motion=True)
        # What it measures next is to be a standing arm.
        for _ in range(math.ceil(HOLD / self.timestep)):
            self._pace(pose)

    def _hold(self) -> None:
        # Where the arm is, not where it was going: a blocked joint is relieved first.
        self._measure()
        present = self._arm.angles
        self._restart()
        for _ in range(math.ceil(HOLD / self.timestep)):
            self._pace(present)

    def _restart(self) -> None:
        """Begin the beat anew, a period after the last target: `_send` would hold an earlier one back, each time."""
        self._clock.restart(self._sent_at + self.timestep)

    def _pace(self, asked: Array) -> None:
        """One control step of the supervisor's own."""
        self._clock.wait()
        self._check_signals()
        self._send(asked)
        self._clock.pause()
        self._measure()

    def _measure(self) -> None:
        for tries in range(PATIENCE if self._stopping else 1, 0, -1):
            self._beat()
            try:
                self._arm.measure()
                break
            except LineError:
                # On the way to rest the arm waits for a bad line: letting it fall is the last resort.
                if tries == 1 or self._signals.cut:
                    raise
        self._look()

    def _look(self) -> None:
        reading = self._arm.reading
        assert reading is not None
        lost = self._judge.look(reading, self._arm.angles, self.sent)
        if lost.any():
            # The next target counts from the one that the servo has.
            self._limiter.keep(lost, self._arm.scale.angles(reading.goal))

    def _send(self, asked: Array) -> None:
        # A limit of speed is one of distance per period: whoever asks, and however fast, targets keep a period apart.
        self._arm.clock.sleep_until(self._sent_at + self.timestep)
        now = self._arm.clock.now()
        if now - self._sent_at > PAUSE * self.timestep:
            self._limiter.rest()
        self._sent_at = now
        self.sent = self._limiter.follow(asked)
        goals = self._arm.scale.goals(self.sent)
        if self._watchdog is not None:
            self._watchdog.note(now, goals)
        self._arm.line.send(goals)
        self._judge.sent(goals)
        if self._torque:
            self._stored.look()

    def _check_first(self, asked: Array) -> None:
        away = np.abs(asked - self._arm.angles)
        worst = int(away.argmax())
        if away[worst] > self._robot.first_target:
            ends = float(asked[worst]), float(self._arm.angles[worst])
            said = first_target(self.joint_names[worst], *ends, self._robot.first_target)
            raise ArmStopError(said, may_move=True, of_motion=True)

    def _check_age(self) -> None:
        assert self._arm.reading is not None
        self.age = self._arm.clock.now() - self._arm.reading.time
        if self.age > self._robot.timing.stale:
            raise ArmStopError(
                f"the last measurement is {self.age:.3f} s old; the bound is {self._robot.timing.stale:g}",
                may_move=True,
            )
        self._cameras.check()

    def _stand_by(self, seen: Array) -> None:
        """While Enter is waited for: the arm may go from where the policy saw it [rad] to its target, nowhere else."""
        self.watch()
        angles, ends = self._arm.angles, (seen, self.sent)
        outside = np.maximum(np.minimum(*ends) - angles, angles - np.maximum(*ends))
        if outside.max() > STILL:
            name = self.joint_names[int(outside.argmax())]
            raise ArmStopError(f"the arm moved while it was waiting for Enter: {name} was pushed away", may_move=True)

    def _check_signals(self) -> None:
        if not self._stopping:
            self._signals.check()
        elif self._signals.cut:
            raise ArmStopError("torque was cut", may_move=False)

    def _beat(self) -> None:
        if self._watchdog is None:
            return
        self._watchdog.beat()
        if self._watchdog.problem and not self._stopping:
            raise ArmStopError(self._watchdog.problem, may_move=True)
