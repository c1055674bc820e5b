"""Playing a case episode by episode, so that a test can stop when it knows enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import Observer, Rows, SimulatedTime, run
from policy_port.control.plant import MEASURED, Plant, SimulatedPlant
from policy_port.errors import TaskError
from policy_port.motion.followed import Clip
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.regress.places import stored_places
from policy_port.regress.play import CommandStep, ListFile, Play
from policy_port.regress.schedule import Schedule, Told
from policy_port.replay.following import start_pose
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import check_told
from policy_port.replay.play import find_task, refuse_unseen_terms
from policy_port.replay.reach import ReachEpisodes
from policy_port.replay.schedule import Schedule as ScheduleFile
from policy_port.replay.schedule import load_schedule
from policy_port.replay.velocity import FallRule


@dataclass(frozen=True, kw_only=True)
class Played:
    """One episode."""

    seed: int
    success: bool
    """Whether the task was fulfilled, or the robot did not fall."""
    error: float | None
    """Distance at the end [m], or error of the velocity [m/s]; None where the task tells none."""
    arrays: dict[str, NDArray[Any]]
    """What was recorded, shape (steps, ...)."""


class Player(Protocol):
    """A simulator with the policy in it."""

    simulator: str
    """Which simulator, version and backend."""
    joint_names: tuple[str, ...]
    """Joints in the simulator's order."""

    def play(self, seed: int, *, record: bool = True) -> Played:
        """Do the episode of that seed; without a record, its arrays are empty where that costs less."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...


def open_player(suite: ListFile, case: Play, pilot: Pilot, plant: SimulatedPlant | None = None) -> Player:
    """Start the simulator of a case.

    Args:
        suite: The file that lists the case.
        case: The case.
        pilot: The policy.
        plant: What `open_plant` gives for the case, or for one with the same parsing and robot; it stays open then.

    Raises:
        PolicyPortError: When the policy does not fit it, or it is not here.
    """
    return EnvPlayer(case, pilot) if case.env is not None else PlantPlayer(suite, case, pilot, plant)


class EnvPlayer:
    """Episodes of a ManiSkill environment."""

    def __init__(self, case: Play, pilot: Pilot) -> None:
        # It brings SAPIEN, which no plant of another simulator needs.
        from policy_port.replay.env_episodes import EnvJob, EpisodeRunner

        env = case.env
        assert env is not None
        job = EnvJob(
            env_id=env.id,
            pilot=pilot,
            control_mode=env.control_mode,
            sim_backend=env.sim_backend,
            draw_seed=None,
        )
        self._batch = env.num_envs
        self._end = case.seed + case.episodes
        self._runner = EpisodeRunner(job, self._batch)
        self._ready: dict[int, Played] = {}
        batch = f", {self._batch} environments" if self._batch > 1 else ""
        self.simulator = f"{self._runner.about['simulator']}{batch}"
        self.joint_names = tuple(self._runner.about["joint_names"])

    def play(self, seed: int, *, record: bool = True) -> Played:
        """Do the episode of that seed, and those after it that share its batch."""
        if seed not in self._ready:
            seeds = list(range(seed, max(seed + 1, min(seed + self._batch, self._end))))
            for found in self._runner.run(seeds):
                ended = found.ended
                self._ready[ended.seed] = Played(
                    seed=ended.seed, success=ended.success, error=ended.final_distance, arrays=found.arrays
                )
        return self._ready.pop(seed)

    def close(self) -> None:
        """Close the environment."""
        self._runner.close()


class PlantPlayer:
    """Episodes of a task or a command schedule on a plant with one environment."""

    def __init__(self, suite: ListFile, case: Play, pilot: Pilot, plant: SimulatedPlant | None = None) -> None:
        contract = pilot.contract
        self._case, self._contract, self._motion = case, contract, pilot.motion
        self._task = find_task(case.task) if case.task is not None else None
        self._file = schedule_of(suite, case, contract)
        check_task(case, contract)
        flown = flown_contract(case, pilot.contract)
        self._decimation = _setup(case, contract).decimation
        self._plant, self._kept = plant or open_plant(suite, case, contract), plant is not None
        try:
            self._controller = Controller(
                flown, pilot.open(1), self._plant.joint_names, 1, mountings=self._plant.mounting, motion=pilot.motion
            )
            self._schedule = None if self._task is not None else self._make_schedule()
        except BaseException:
            self.close()
            raise
        self.simulator = self._plant.name
        self.joint_names = self._plant.joint_names

    def play(self, seed: int, *, record: bool = True) -> Played:
        """Do the episode of that seed."""
        kept = _Record() if record else None
        if self._task is not None:
            queue = ReachEpisodes(self._task, seed, 1, self._plant)
            self._run(queue, kept)
            ended, arrays = queue.finished[0], kept.arrays() if kept else {}
            return Played(seed=seed, success=ended.success, error=ended.final_distance, arrays=arrays)
        schedule = self._schedule
        assert schedule is not None
        schedule.draw(seed, self._case.start_noise)
        self._run(schedule, kept)
        arrays = kept.arrays() if kept else {}
        return Played(seed=seed, success=not schedule.fallen, error=schedule.error, arrays=arrays)

    def close(self) -> None:
        """Free the simulator, unless it was given."""
        if not self._kept:
            self._plant.close()

    def _run(self, task: ReachEpisodes | Schedule, record: _Record | None) -> None:
        observers: list[Observer] = [task] if isinstance(task, Schedule) else []
        if record is not None:
            observers.append(record)
        run(
            self._plant,
            self._controller,
            task,
            decimation=self._decimation,
            clock=SimulatedTime(),
            observers=tuple(observers),
        )

    def _make_schedule(self) -> Schedule:
        controller, plant = self._controller, self._plant
        plant.reset(controller.default_joint_pos())
        plant.read(controller.state)
        rule = FallRule.of(controller.contract, float(controller.state.base_pos[0, 2]))
        case, contract = self._case, controller.contract
        if self._file is not None:
            told = Told.of_file(self._file, contract)
        else:
            commands = case.commands or (CommandStep(command=(0.0, 0.0, 0.0), seconds=case.seconds or 0.0),)
            told = Told.of_stretches(commands, contract)
        clip = None if self._contract.motion is None else Clip.of(self._contract, self._motion)
        if clip is not None:
            told = told.ending(clip.steps_of(len(told.table)), contract.control_dt)
        schedule = Schedule(plant, contract, told, HeldGoals(self._contract, case.goals, "suite"), rule)
        if clip is not None:
            schedule.start = start_pose(clip, plant.joint_names, controller.default_joint_pos()[0])
        return schedule


def open_plant(suite: ListFile, case: Play, contract: Contract) -> SimulatedPlant:
    """Start the simulator of a plant's case by itself.

    Raises:
        PolicyPortError: When the robot does not fit the contract, or the simulator is not here.
    """
    asked = case.plant
    assert asked is not None
    robot = contract.robot if asked.robot is None else suite.resolve_or_name(asked.robot)
    setup = _setup(case, contract)
    return make_plant(asked.simulator, robot, setup, meshes=asked.meshes, sim_backend=asked.sim_backend)


def _setup(case: Play, contract: Contract) -> PlantSetup:
    assert case.plant is not None
    return PlantSetup.from_contract(contract, timestep=case.plant.timestep)


class _Record:
    """Keeps every step of environment 0."""

    def __init__(self) -> None:
        self._steps: list[dict[str, NDArray[Any]]] = []
        self._places: dict[str, NDArray[Any]] = {}

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Copy one step; see `control.loop.Observer`."""
        state = controller.state
        step = {name: getattr(state, name)[0].copy() for name in MEASURED}
        if state.sensed is not None:
            step |= {name: array[0].copy() for name, array in state.sensed.arrays.items()}
        step["command"], step["goal"] = controller.command[0].copy(), controller.goal[0].copy()
        step["observation"], step["action"] = controller.observation[0].copy(), controller.action[0].copy()
        step["target"] = target[0].copy()
        self._places = self._places or stored_places(plant, controller.contract)
        self._steps.append(step | self._places)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: np.stack([step[name] for step in self._steps]) for name in self._steps[0]}


def flown_contract(case: Play, contract: Contract) -> Contract:
    """The contract that a case flies: in its policy's, external terms that a plant's case holds become constants.

    Raises:
        TaskError: When a goal or an external term gets nothing, or what does not fit it.
    """
    if case.plant is None:
        return contract
    if case.task is not None:
        refuse_unseen_terms(contract, "give the case an env instead of a plant")
        return contract
    return HeldGoals(contract, case.goals, "suite").contract


def schedule_of(suite: ListFile, case: Play, contract: Contract) -> ScheduleFile | None:
    """The schedule file of a case, held against the contract; None where it has none.

    Raises:
        TaskError: When it is malformed, hands over to other ports, or commands what the policy does not read.
    """
    if case.schedule is None:
        return None
    path = suite.resolve(case.schedule)
    schedule = load_schedule(path)
    if schedule.ports:
        raise TaskError(f"{path}: a case plays one port; leave `ports` out")
    if schedule.seconds is None:
        raise TaskError(f"{path}: does not say how long an episode is: write `seconds` in it")
    schedule.check_length(schedule.seconds)
    for entry in schedule.command:
        check_told(contract, entry.to)
    if contract.commanded and not schedule.command:
        raise TaskError(f"{path}: contract '{contract.name}' reads a command, and nobody gives it one: write `command`")
    return schedule


def check_task(case: Play, contract: Contract) -> None:
    """Hold what a plant's case asks for against what the policy reads.

    Raises:
        TaskError: When they don't fit.
    """
    terms = {term.term for term in contract.observation.terms}
    if case.schedule is not None:
        return
    if case.seconds is None:
        wanted, means = ("goal", "a point") if case.task is not None else ("velocity_command or command", "a velocity")
        if "goal" not in terms if case.task is not None else not contract.commanded:
            other = "" if case.task is not None else f"; give `seconds: {_length(case):g}` instead of commands"
            raise TaskError(f"the case commands {means}, but contract '{contract.name}' has no {wanted} term{other}")
        for step in case.commands:
            check_told(contract, step.command)
        return
    if contract.commanded:
        raise TaskError(
            f"contract '{contract.name}' reads a command, and nobody gives it one: give the case commands "
            "instead of seconds"
        )
    if case.judged and not contract.base.floating:
        raise TaskError(
            "nothing can be counted as success or failure: a base that is bolted down does not fall, and no task "
            "judges the arm; expect open_loop or golden instead of statistical"
        )


def _length(case: Play) -> float:
    return sum(step.seconds for step in case.commands)
