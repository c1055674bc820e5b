"""Playing before somebody's eyes: in real time, with what is wanted told through a view, until it is enough."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.loop import Observer, Rows, run
from policy_port.control.plant import Plant, SimulatedPlant
from policy_port.control.relay import Relay
from policy_port.errors import MissingDependencyError
from policy_port.live.gamepad import Gamepad, holding
from policy_port.live.ghost import Ghost
from policy_port.live.view import Frame, View
from policy_port.live.wishes import UNSTATED, Element, Wishes
from policy_port.plants.mujoco_twin import Twin
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.held import HeldEpisodes
from policy_port.replay.pushes import Pushes
from policy_port.replay.recording import TraceObserver
from policy_port.replay.result import Result
from policy_port.replay.schedule import step_of
from policy_port.replay.scheduled import Scheduled
from policy_port.replay.stage import Stage
from policy_port.trace import Recorder

PICTURES_PER_SECOND = 30.0
LYING = 1.0
"""How long a robot that fell is shown before it is reset [s]."""
LATE = 0.1
"""Delay beyond which lost time is given up instead of made good [s]."""

OpenView = Callable[[Twin, Wishes], View]


class RealTime:
    """Paces the loop by this machine's clock, and stops it while a person wants time to stand still."""

    def __init__(self, wishes: Wishes, period: float) -> None:
        """Pace control steps of `period` seconds."""
        self._wishes, self._period = wishes, period
        self._due = time.monotonic()

    def wait(self) -> None:
        """Return when the next control step is due."""
        wishes = self._wishes
        while wishes.paused and not wishes.take_step():
            time.sleep(0.01)
        now = time.monotonic()
        self._due += self._period / wishes.speed
        if wishes.paused or self._due < now - LATE:
            self._due = now
        elif self._due > now:
            time.sleep(self._due - now)


class Watching(HeldEpisodes):
    """Episodes one after the other, as a person wants them; also the observer that pushes and shows."""

    def __init__(self, stage: Stage, wishes: Wishes, pushes: Pushes, table: Array, steps: int | None) -> None:
        """Watch one environment.

        Args:
            stage: The ports on the plant.
            wishes: What the person wants.
            pushes: Who pushes.
            table: The command that a schedule has for each control step, shape (steps, elements); empty for none.
            steps: Control steps after which it ends; None for never.
        """
        super().__init__(replace(stage.held, episodes=None), stage.goals, 0, 1, stage.rule)
        self._stage, self._wishes, self._pushes, self._table, self._most = stage, wishes, pushes, table, steps
        schedule, dt = stage.asked.schedule, stage.control_dt
        self._planned, self._switches = schedule.due_pushes(dt), schedule.due_handovers(dt)
        self._lying = step_of(LYING, stage.control_dt)
        self._fell: int | None = None
        self._names = stage.driver.contract.command.names
        self._defaults = np.array(stage.driver.contract.command.defaults)

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode; see `Task.begin`."""
        if len(self.rows) == len(self.survived):
            self.survived, self.fallen = np.append(self.survived, 0), np.append(self.fallen, False)
        super().begin(rows, start, np.zeros((1, len(self.told or ()))), goal)
        self._fell = None
        self._pushes.clear(rows)
        self._tell(command)

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Take over what is wanted, and end the episode if it is to end; see `Task.judge`."""
        self._step += 1
        age, broken = self.age, not np.isfinite(controller.state.joint_pos).all()
        if self._fell is None and (broken or not self._rule.stand(controller.signals)):
            self._fell = age
        lies = self._wishes.rises and self._fell is not None and age - self._fell >= self._lying
        ended = broken or lies or self._wishes.take_reset() or self.done
        episode = int(self._number[0])
        self.survived[episode] = age if self._fell is None else self._fell
        self.fallen[episode] = self._fell is not None
        self._tell(controller.command)
        handover = self._wishes.take_handover() or self._switches.get(age)
        if handover is not None and isinstance(controller, Relay) and handover.to != controller.playing and not ended:
            controller.hand_over(handover)
        return np.array([ended])

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Pull where a push lasts; see `Observer`."""
        if (push := self._wishes.take_push() or self._planned.get(self.age)) is not None:
            self._pushes.start(0, push, controller.state.base_quat[0])
        self._pushes.apply()

    @property
    def age(self) -> int:
        """Control steps of the present episode."""
        return self._step - int(self._began[0])

    @property
    def played(self) -> int:
        """Control steps of all episodes."""
        return self._step

    @property
    def state(self) -> str:
        """What is going on, in words."""
        fell = "" if self._fell is None else f", fell at {self._fell * self._stage.control_dt:.2f} s"
        return f"{self.age * self._stage.control_dt:.2f} s, episode {len(self.rows)}{fell}"

    @property
    def done(self) -> bool:
        """True when it is enough."""
        return self._wishes.over or (self._most is not None and self._step >= self._most)

    def _tell(self, command: Array) -> None:
        if len(self._table) and not self._wishes.touched:
            row = self._table[min(self.age if self.rows else 0, len(self._table) - 1)]
            for element in self._wishes.elements:
                self._wishes.tell(element.name, float(row[self._names.index(element.name)]), person=False)
        told = self._wishes.told()
        command[0] = [told.get(name, default) for name, default in zip(self._names, self._defaults, strict=True)]


class Shown:
    """Observer that shows the robot about 30 times a second of this machine's time."""

    def __init__(self, view: View, twin: Twin, stage: Stage, task: Watching) -> None:
        """Show in `view` what happens on `stage`."""
        self._view, self._twin, self._task = view, twin, task
        self._ghosts = {name: Ghost(clip) for name, clip in stage.clips.items()}
        self._first = stage.first
        self._stage = stage
        self._next = 0.0

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Show one moment; see `Observer`."""
        port = controller.playing if isinstance(controller, Relay) else self._first
        state, ghost = controller.state, self._ghosts.get(port)
        played = self._stage.controllers[port].signals.time[0, 0]
        if ghost is not None and played == 0.0:
            ghost.begin(state.base_pos[0], state.base_quat[0])
        now = time.monotonic()
        if now < self._next or not np.isfinite(state.base_pos).all():
            return
        self._next = now + 1.0 / PICTURES_PER_SECOND
        # The ghost first: a window shows what was placed last.
        behind = None if ghost is None else self._twin.place(*ghost.pose(float(played)))
        joints = dict(zip(plant.joint_names, state.joint_pos[0].tolist(), strict=True))
        place, turn = self._twin.place(state.base_pos[0], state.base_quat[0], joints)
        self._view.show(Frame(place=place, turn=turn, ghost=behind, text=f"**{port}** {self._task.state}"))


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A schedule, or nothing but a person's wishes, before somebody's eyes."""

    asked: Scheduled
    """Ports, goals and schedule; the length may be infinite."""
    robot: str | Path
    """The robot to show."""
    setup: PlantSetup
    """What the plant is set up with."""
    meshes: bool
    """False shows no meshes."""
    open_view: OpenView
    """Opens the view."""
    say: Callable[[str], None]
    """Tells where to look."""
    gamepad: Gamepad | None = None
    """The gamepad that tells as well."""

    def check(self) -> list[str]:
        """Hold it against the contracts; see `Scheduled.check`."""
        return self.asked.check()

    def steps(self, num_envs: int) -> int:
        """About how many control steps it takes; 0 where nobody knows."""
        return 0 if math.isinf(self.asked.held.seconds) else self.asked.steps(num_envs)

    def perform(self, pilot: Pilot, plant: SimulatedPlant, *, trace: Path, observers: tuple[Observer, ...]) -> Result:
        """Play until it is enough; see `replay_held`."""
        stage = Stage(self.asked, plant)
        twin = Twin(self.robot, self.setup, meshes=self.meshes)
        wishes = Wishes(elements_of(stage, self.asked), links_of(twin), tuple(stage.controllers))
        pushes = Pushes(plant, wishes.links, stage.control_dt)
        seconds = self.asked.held.seconds
        length = seconds if math.isfinite(seconds) else self.asked.schedule.seconds or 3600.0
        table = (
            self.asked.table(stage, step_of(length, stage.control_dt)) if self.asked.schedule.command else np.zeros(0)
        )
        most = step_of(seconds, stage.control_dt) if math.isfinite(seconds) else None
        task = Watching(stage, wishes, pushes, table, most)
        stage.take(task)
        header = stage.header(pilot, pushes.links)
        with (
            contextlib.closing(self.open_view(twin, wishes)) as view,
            holding(self.gamepad, wishes, self.say),
            until_interrupted(wishes),
        ):
            self.say(view.address)
            with Recorder(trace, header, durable=False) as recorder:
                record = TraceObserver(recorder, stage.control_dt, 1, more=stage.arrays(pushes))
                shown = Shown(view, twin, stage, task)
                run(
                    plant,
                    stage.driver,
                    task,
                    decimation=stage.decimation,
                    clock=RealTime(wishes, stage.control_dt),
                    observers=(task, record, shown, *observers),
                )
                recorder.close(episodes=stage.listed())
        return stage.result(header, trace, seconds=float(task.played * stage.control_dt))


@contextlib.contextmanager
def until_interrupted(wishes: Wishes) -> Iterator[None]:
    """Take the first Ctrl-C as the wish to end, so that trace and metrics are written; a second one interrupts."""

    def end(*_: Any) -> None:
        if wishes.over:
            raise KeyboardInterrupt
        wishes.over = True

    try:
        before = signal.signal(signal.SIGINT, end)
    except ValueError:
        # Not the main thread: whoever runs it there has its own way to end it.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def elements_of(stage: Stage, asked: Scheduled) -> list[Element]:
    """What can be commanded: every element that a port reads, over the widest of the ports' ranges."""
    found = []
    command = stage.driver.contract.command
    first = dict(zip(command.names, command.vector(asked.told), strict=True))
    contracts = [controller.contract for controller in stage.controllers.values()]
    for name in command.names:
        reading = [contract for contract in contracts if name in contract.commanded]
        if not reading:
            continue
        bounds = [contract.command.bounds(name) or UNSTATED for contract in reading]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        found.append(Element(name=name, low=low, high=high, value=min(max(first[name], low), high)))
    return found


def links_of(twin: Twin) -> tuple[str, ...]:
    """The links that can be pushed: those with mass, the base first."""
    masses = [twin.model.body(name).mass[0] for name in twin.links]
    return tuple(name for name, mass in zip(twin.links, masses, strict=True) if mass > 0.01)


def require_viser() -> None:
    """Raise unless viser is installed.

    Raises:
        MissingDependencyError: Saying how to install it.
    """
    from importlib.util import find_spec

    if find_spec("viser") is None:
        raise MissingDependencyError("--view needs the Python package viser: pip install 'policy-port[view]'")
