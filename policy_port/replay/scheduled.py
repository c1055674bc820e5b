"""Replays under a schedule: commands over time, pushes, and several ports that take turns on one robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.control.controller import Controller
from policy_port.control.loop import Observer, Rows, SimulatedTime, run
from policy_port.control.plant import Plant, SimulatedPlant
from policy_port.control.relay import Relay, check_one_robot, differing_robots
from policy_port.errors import TaskError, closest
from policy_port.port.pilot import Pilot
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, HeldEpisodes, command_form
from policy_port.replay.pushes import Pushes
from policy_port.replay.recording import TraceObserver
from policy_port.replay.result import Result
from policy_port.replay.schedule import Schedule, step_of
from policy_port.replay.stage import Stage
from policy_port.replay.velocity import outside_trained_range
from policy_port.trace import Recorder


class Script:
    """A task's episodes under a schedule: tells the command, pushes, and hands the controls over. Also an observer."""

    def __init__(
        self, inner: HeldEpisodes, schedule: Schedule, table: Array, pushes: Pushes, control_dt: float
    ) -> None:
        """Play `inner` under a schedule.

        Args:
            inner: Whose episodes they are.
            schedule: What happens in each.
            table: The command of each control step, shape (steps, elements).
            pushes: Who pushes.
            control_dt: Control period [s].
        """
        self._inner, self._table, self._pushes = inner, table, pushes
        self._due, self._switches = schedule.due_pushes(control_dt), schedule.due_handovers(control_dt)
        self._age = np.zeros(len(pushes.link), dtype=np.int64)
        # Of several ports the command has more elements than the one whose episodes they are.
        self._own_command = np.zeros((len(pushes.link), len(inner.told or ())))

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode of environments; see `Task.begin`."""
        self._inner.begin(rows, start, self._own_command, goal)
        self._age[rows] = 0
        self._pushes.clear(rows)
        command[rows] = self._table[0]

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Judge the step just done, and prepare the next; see `Task.judge`."""
        ended = self._inner.judge(plant, controller)
        self._age += 1
        controller.command[:] = self._table[np.minimum(self._age, len(self._table) - 1)]
        if isinstance(controller, Relay) and not ended[0] and (handover := self._switches.get(int(self._age[0]))):
            controller.hand_over(handover)
        return ended

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Pull where a push lasts; see `Observer`."""
        for row, age in enumerate(self._age.tolist()):
            if push := self._due.get(age):
                self._pushes.start(row, push, controller.state.base_quat[row])
        self._pushes.apply()

    @property
    def done(self) -> bool:
        """True when every episode has ended."""
        return self._inner.done


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """Ports under a schedule, for a time."""

    held: Held
    """Length, seeds and goals, and the command until the schedule names one."""
    schedule: Schedule
    """What happens in each episode."""
    ports: Mapping[str, Pilot]
    """The ports by name; the first one starts."""

    told_live: bool = False
    """Whether a person tells the command where nobody else does."""

    def check(self) -> list[str]:
        """Hold what is asked against the contracts.

        Returns:
            A sentence for each number that a policy was never asked in training, or that the robot can't have twice.

        Raises:
            TaskError: When it can't be done.
        """
        contracts = {name: pilot.contract for name, pilot in self.ports.items()}
        if len(contracts) > 1:
            check_one_robot(contracts)
        self.schedule.check_length(self.held.seconds)
        known = dict.fromkeys(name for contract in contracts.values() for name in contract.commanded)
        told = [name for name, value in self.told.items() if value or name not in VELOCITY_COMMAND]
        for name in (*told, *self.schedule.names()):
            if name not in known:
                there = f"they read {', '.join(known)}" if known else "they read no command"
                raise TaskError(
                    f"the command has an element '{name}', which no port reads{closest(name, known) or '.'} Of the "
                    f"ports {', '.join(contracts)}: {there}"
                )
        self.held_by_port()
        return [*differing_robots(contracts), *self._outside(contracts)]

    @property
    def told(self) -> Mapping[str, float]:
        """The command until the schedule names one, by element."""
        command = self.held.command or {}
        return command if isinstance(command, Mapping) else dict(zip(VELOCITY_COMMAND, command, strict=True))

    def _outside(self, contracts: Mapping[str, Contract]) -> list[str]:
        found = []
        for contract in contracts.values():
            for said in (self.told, *(entry.to for entry in self.schedule.command)):
                mine = {name: value for name, value in said.items() if name in contract.commanded}
                beyond = outside_trained_range(contract, contract.command.vector(mine))
                # What the entry does not name is the contract's own default.
                found += [text for text in beyond if any(f"command {name} =" in text for name in mine)]
        return list(dict.fromkeys(found))

    def held_by_port(self) -> dict[str, tuple[Held, HeldGoals]]:
        """What each port is given to hold, and its goals.

        Raises:
            TaskError: When a port reads what nobody gives it, or nobody reads what is given.
        """
        found: dict[str, tuple[Held, HeldGoals]] = {}
        used: set[str] = set()
        tells = self.held.command is not None or bool(self.schedule.command) or self.told_live
        for name, pilot in self.ports.items():
            contract = pilot.contract
            mine = {term.label for term in contract.observation.terms if term.term in ("goal", "external")}
            goals = {key: goal for key, goal in self.held.goals.items() if key in mine or len(self.ports) == 1}
            used |= goals.keys()
            reads = contract.commanded
            if reads and not tells:
                raise TaskError(
                    f"port '{name}' reads a command, and nobody gives it one: write `command` in the schedule, or "
                    f"--command {command_form(reads)}"
                )
            command = {key: value for key, value in self.told.items() if key in reads} if reads else None
            motion = self.held.motion if len(self.ports) == 1 else None
            held = replace(self.held, command=command, goals=goals, motion=motion)
            found[name] = held, held.goals_of(contract)
        if stray := self.held.goals.keys() - used:
            raise TaskError(f"no port has a goal '{min(stray)}'; leave --goal {min(stray)} out")
        return found

    def steps(self, num_envs: int) -> int:
        """About how many control steps it takes."""
        period = min(pilot.contract.control_dt for pilot in self.ports.values())
        return -(-(self.held.episodes or 1) // num_envs) * step_of(self.held.seconds, period)

    def perform(self, pilot: Pilot, plant: SimulatedPlant, *, trace: Path, observers: tuple[Observer, ...]) -> Result:
        """Play it; see `replay_held`."""
        stage = Stage(self, plant)
        held, dt = self.held, stage.control_dt
        links = tuple(dict.fromkeys(push.link for push in self.schedule.pushes))
        pushes = Pushes(plant, links, dt)
        steps = max(1, step_of(held.seconds, dt))
        script = Script(stage.episodes(steps), self.schedule, self.table(stage, steps), pushes, dt)
        header = stage.header(pilot, links)
        with Recorder(trace, header, durable=False) as recorder:
            record = TraceObserver(recorder, dt, plant.num_envs, more=stage.arrays(pushes))
            run(
                plant,
                stage.driver,
                script,
                decimation=stage.decimation,
                clock=SimulatedTime(),
                observers=(script, record, *observers),
            )
            recorder.close(episodes=stage.listed())
        return stage.result(header, trace)

    def table(self, stage: Stage, steps: int) -> Array:
        """The command of each control step, shape (steps, elements)."""
        command = stage.driver.contract.command
        return self.schedule.commands(command.names, np.array(command.vector(self.told)), stage.control_dt, steps)
