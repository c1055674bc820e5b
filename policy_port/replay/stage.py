"""Ports on a plant, ready to be played: who drives, whose episodes they are, what is recorded, and what it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.layout import observation_slots
from policy_port.control.controller import Controller
from policy_port.control.plant import SimulatedPlant
from policy_port.control.relay import Relay
from policy_port.errors import TaskError
from policy_port.motion.followed import Clip
from policy_port.port.pilot import Pilot
from policy_port.replay.following import start_pose
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, HeldEpisodes, command_words, connect
from policy_port.replay.held_metrics import figures_of, held_metrics
from policy_port.replay.pushes import Pushes, push_metrics
from policy_port.replay.recording import plant_header, policy_identity, setting_of
from policy_port.replay.result import Metric, Result
from policy_port.replay.schedule import Schedule
from policy_port.replay.velocity import FallRule
from policy_port.trace import Trace


class Asked(Protocol):
    """What is to be done; `Scheduled` is one."""

    @property
    def held(self) -> Held:
        """Length, seeds and goals."""
        ...

    @property
    def schedule(self) -> Schedule:
        """What happens in each episode."""
        ...

    @property
    def ports(self) -> Mapping[str, Pilot]:
        """The ports by name; the first one starts."""
        ...

    @property
    def told(self) -> Mapping[str, float]:
        """The command until the schedule names one, by element."""
        ...

    def held_by_port(self) -> dict[str, tuple[Held, HeldGoals]]:
        """What each port is given to hold, and its goals."""
        ...


class JoinedGoals(HeldGoals):
    """The goals of all ports, one after the other."""

    def __init__(self, each: tuple[HeldGoals, ...]) -> None:
        self._each = each
        self.contract = each[0].contract
        """The contract that the first one flies."""

    @property
    def drawn(self) -> bool:
        """Whether any goal is drawn."""
        return any(goals.drawn for goals in self._each)

    def episode(self, seed: int) -> Array:
        """Raw goals of an episode, shape (sum of goal sizes,)."""
        return np.concatenate([goals.episode(seed) for goals in self._each])


class Stage:
    """Ports on a plant, ready to be played: who drives, whose episodes they are, and what is to be recorded."""

    def __init__(self, asked: Asked, plant: SimulatedPlant) -> None:
        """Connect the ports to the plant.

        Raises:
            TaskError: When what is asked does not fit what they read, or several ports are to drive several robots.
        """
        if len(asked.ports) > 1 and plant.num_envs > 1:
            raise TaskError(
                f"{len(asked.ports)} ports take turns on one robot, and there are {plant.num_envs}: leave out "
                "--num-envs"
            )
        self.asked, self._plant = asked, plant
        parts = asked.held_by_port()
        self.goals = JoinedGoals(tuple(goals for _, goals in parts.values()))
        self.clips: dict[str, Clip] = {}
        controllers = {}
        for name, (held, goals) in parts.items():
            controllers[name], clip = connect(asked.ports[name], held, goals, plant)
            if clip is not None:
                self.clips[name] = clip
        self.controllers: dict[str, Controller] = controllers
        """The controllers by name."""
        self.first = next(iter(controllers))
        """Name of the port that starts."""
        self.driver: Controller = controllers[self.first] if len(controllers) == 1 else Relay(controllers, plant)
        """Who is at the controls."""
        self.control_dt = min(controller.contract.control_dt for controller in controllers.values())
        """Control period [s]."""
        self._refuse_ended_clips()
        self.decimation = decimation_of(self.control_dt, plant.timestep)
        """Physics steps per control step."""
        plant.reset(self.driver.default_joint_pos())
        plant.read(self.driver.state)
        height = float(self.driver.state.base_pos[:, 2].mean())
        self.rule = loosest([FallRule.of(controller.contract, height) for controller in controllers.values()])
        """When the robot counts as fallen."""
        self.held = parts[self.first][0]
        """What the port that starts is given to hold."""
        self._task: HeldEpisodes | None = None

    def _refuse_ended_clips(self) -> None:
        """Refuse a port that plays on where its contract says that the episode is over."""
        ports = self.asked.schedule.ports
        ends = [*(entry.at for entry in ports[1:]), self.asked.held.seconds]
        for entry, end in zip(ports, ends[: len(ports)], strict=True):
            clip = self.clips.get(entry.port)
            if clip is None or clip.use.end != "stop" or math.isinf(end):
                continue
            over = entry.at + clip.steps * self.controllers[entry.port].contract.control_dt
            if end > over + 1e-6:
                raise TaskError(
                    f"port '{entry.port}' plays from {entry.at:g} s to {end:g} s, and by its contract the episode is "
                    f"over with its clip, at {over:.2f} s; hand over by then"
                )

    def episodes(self, steps: int) -> HeldEpisodes:
        """Episodes of so many control steps."""
        return self.take(HeldEpisodes(self.held, self.goals, steps, self._plant.num_envs, self.rule))

    def take(self, task: HeldEpisodes) -> HeldEpisodes:
        """Play these episodes; a port that follows a clip starts in its first frame."""
        self._task = task
        if self.first in self.clips:
            default = self.driver.default_joint_pos()[0]
            task.start = start_pose(self.clips[self.first], self._plant.joint_names, default)
        return task

    def arrays(self, pushes: Pushes) -> dict[str, NDArray[Any]]:
        """What is recorded beside the usual."""
        found: dict[str, NDArray[Any]] = {}
        if pushes.links:
            found |= {"push": pushes.force, "push_link": pushes.link}
        if isinstance(self.driver, Relay):
            found |= {"port": self.driver.active, "port_weight": self.driver.weight}
        return found

    def header(self, pilot: Pilot, links: tuple[str, ...]) -> dict[str, Any]:
        """The trace's header."""
        reads = any(controller.contract.commanded for controller in self.controllers.values())
        asked = {
            "command": list(self.driver.contract.command.vector(self.asked.told)) if reads else None,
            "seconds": self.asked.held.seconds if math.isfinite(self.asked.held.seconds) else None,
            "schedule": self.asked.schedule.model_dump(mode="json", exclude_defaults=True),
        }
        found = {**plant_header(pilot, self._plant, self.decimation), "asked": asked, "push_links": list(links)}
        found["command_names"] = list(self.driver.contract.command.names)
        if isinstance(self.driver, Relay):
            ports = self.asked.ports.items()
            # No one contract says what such a trace holds: whoever holds it against one has to be told.
            for key in ("contract_sha256", "policy_sha256", "checkpoint_sha256"):
                found.pop(key, None)
            found |= {
                "contract": " + ".join(other.contract.name for _, other in ports),
                "ports": [{"name": name, "contract": o.contract.name, **policy_identity(o)} for name, o in ports],
                "observation_names": [f"{n}: {slot}" for n, o in ports for slot in observation_slots(o.contract)],
                "action_names": [f"{n}: {joint}" for n, o in ports for joint in o.contract.action_joint_names],
                "control_dt": self.control_dt,
            }
        return found

    def listed(self) -> list[dict[str, int]]:
        """Where each episode stands in the trace."""
        assert self._task is not None
        return [{"seed": self.held.seed + n, "env": e, "episode": k} for n, (e, k) in self._task.rows.items()]

    def result(self, header: dict[str, Any], path: Path, *, seconds: float | None = None) -> Result:
        """What the trace tells, of a replay that a person ended after so many seconds or of one that had its length."""
        assert self._task is not None
        if seconds is not None:
            self.held = replace(self.held, seconds=seconds)
        trace, schedule, contract = Trace(path), self.asked.schedule, self.driver.contract
        asked = f"{len(schedule.command)} commands, {len(schedule.pushes)} pushes"
        if isinstance(self.driver, Relay):
            asked += f"; {' -> '.join(entry.port for entry in schedule.ports) or self.first}"
        # Of a command that changes, a mean velocity tells nothing.
        task, length = self._task, self.held.seconds
        figures = figures_of(trace, contract, self._plant.joint_names, task.rows.values())
        found = held_metrics(figures, contract, task.survived, task.fallen, seconds=length, commanded=False)
        jumps: list[Metric] = []
        if isinstance(self.driver, Relay):
            # One action follows another network's there.
            found = tuple(metric for metric in found if metric.key != "action_rate")
            for index, jump in enumerate(self.driver.switches(), 1):
                bounded = f", bounded to {jump.made:.3f}" if jump.made < jump.asked - 1e-9 else ""
                unit = f"rad or m per step, to {jump.to}; its own targets after {jump.steps * self.control_dt:.2f} s"
                jumps.append(
                    Metric(key=f"switch_{index}_jump", value=jump.asked, text=f"{jump.asked:.3f}{bounded} {unit}")
                )
                jumps.append(Metric(key=f"switch_{index}_jump_made", value=jump.made, text=""))
        pushed: tuple[Metric, ...] = ()
        if seconds is None:
            episodes = list(self._task.rows.values())
            pushed = push_metrics(trace, schedule.pushes, episodes, self._task.fallen, self.control_dt)
        setting = {
            **setting_of(header),
            "schedule": asked,
            "seconds": f"{self.held.seconds:g}",
            "fall": self.rule.text,
        }
        if contract.commanded and not schedule.command:
            told = dict(zip(contract.command.names, contract.command.vector(self.asked.told), strict=True))
            setting["command"] = command_words(contract, told)
        return Result(setting=setting, metrics=(*found, *pushed, *jumps))


def decimation_of(control_dt: float, timestep: float) -> int:
    """Physics steps per control step.

    Raises:
        TaskError: When they are not a whole number.
    """
    steps = control_dt / timestep
    if abs(steps - round(steps)) > 1e-6 * steps:
        raise TaskError(
            f"a physics timestep of {timestep:g} s does not divide the shortest control period of the ports, "
            f"{control_dt:g} s; give --timestep {control_dt / 4:g}"
        )
    return round(steps)


def loosest(rules: list[FallRule]) -> FallRule:
    """The rule by which nobody has fallen whom one of them lets stand."""
    lowest, tilt = min(rule.min_height for rule in rules), max(rule.max_tilt for rule in rules)
    same = len({rule.text for rule in rules}) == 1
    text = rules[0].text if same else f"base below {lowest:.3f} m or tilted beyond {tilt:.2f} rad (the ports' loosest)"
    return FallRule(min_height=lowest, max_tilt=tilt, text=text)
