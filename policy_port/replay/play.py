"""One replay from start to end: stand the robot up, perform, and leave trace, metrics and pictures in a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Unpack

from tqdm import tqdm

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.doubts import doubts
from policy_port.control.controller import Controller
from policy_port.control.ghost import DrawsGhosts
from policy_port.control.loop import Observer, Rows
from policy_port.control.plant import Plant, SimulatedPlant
from policy_port.dynamics.document import Dynamics, check_delay
from policy_port.errors import TaskError, closest
from policy_port.files import write_atomic
from policy_port.motion.followed import Clip
from policy_port.motion.plausible import check_stops, order_doubt, stated_stops
from policy_port.plants.capacity import LEAST, PROCESS, refuse_too_many
from policy_port.plants.collision import told_of_collisions
from policy_port.plants.registry import PlantOptions, make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.env_episodes import EnvJob
from policy_port.replay.ghost import Reference
from policy_port.replay.held import Held, replay_held
from policy_port.replay.plot import plot_replay
from policy_port.replay.reach import check_reach, replay_reach
from policy_port.replay.report import replay_report
from policy_port.replay.rerun_log import write_rerun
from policy_port.replay.result import METRICS, TRACE, Result
from policy_port.replay.task_env import replay_in_env
from policy_port.replay.velocity import outside_trained_range
from policy_port.replay.video import LONGEST, Video
from policy_port.report import write_report
from policy_port.tasks.reach import SO100_REACH, ReachTask
from policy_port.trace import Trace

TASKS: dict[str, ReachTask] = {"so100-reach": SO100_REACH}
"""Tasks that a plant can be given, by the name on the command line."""

PLOT, VIDEO, REPORT, RERUN = "plot.png", "video.mp4", "report.html", "replay.rrd"


@dataclass(frozen=True, kw_only=True)
class EpisodeJob:
    """Seeded episodes of a task; episode e has seed + e in every simulator."""

    task: str
    """One of TASKS on a plant, or the name of a ManiSkill environment."""
    episodes: int
    """How many."""
    seed: int
    """Seed of the first one."""


class Performance(Protocol):
    """What to do on a plant that takes more than one port under what is held."""

    def check(self) -> list[str]:
        """Hold it against the contracts; see `check_job`."""
        ...

    def steps(self, num_envs: int) -> int:
        """About how many control steps it takes."""
        ...

    def perform(self, pilot: Pilot, plant: SimulatedPlant, *, trace: Path, observers: tuple[Observer, ...]) -> Result:
        """Do it; see `replay_held`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a replay leaves behind."""

    folder: Path
    """An existing folder."""
    video: bool = False
    """Whether to draw a video of environment 0."""
    video_seconds: float = LONGEST
    """Length at which the video ends [s]."""
    video_speed: float = 1.0
    """How many times as fast as what it shows it runs; so many fewer pictures are drawn."""
    plot: bool = False
    """Whether to draw a plot."""
    report: bool = False
    """Whether to write report.html."""
    rerun: bool = False
    """Whether to write replay.rrd."""


def find_task(name: str) -> ReachTask:
    """A task by name.

    Raises:
        TaskError: When there is none, naming those there are.
    """
    if name not in TASKS:
        raise TaskError(f"no task is called '{name}'{closest(name, TASKS) or '.'} There are: {', '.join(TASKS)}")
    return TASKS[name]


def refuse_unseen_terms(contract: Contract, advice: str) -> None:
    """Raise a TaskError that ends in `advice` where only a task environment can compute the observation."""
    # A controller would find this out as well, but only after the simulator has started.
    for term in contract.observation.terms:
        if term.term == "external":
            raise TaskError(
                f"observation term '{term.label}' of contract '{contract.name}' can only be computed by the task "
                f"environment that the policy was trained in; {advice}"
            )


def check_job(contract: Contract, job: Held | EpisodeJob | Performance) -> list[str]:
    """Hold what is to be done on a plant against the contract.

    Returns:
        A sentence for each number that the policy is asked for and was never asked in training.

    Raises:
        TaskError: When it can't be done.
    """
    if contract.images:
        raise TaskError(
            f"contract '{contract.name}' reads camera images ({', '.join(image.name for image in contract.images)}), "
            "and flat ground has no camera; play it with --env, in the task environment that the policy was trained in"
        )
    if isinstance(job, EpisodeJob):
        check_reach(contract, find_task(job.task))
        refuse_unseen_terms(contract, "play it with --env, not with --plant")
        return []
    if not isinstance(job, Held):
        return job.check()
    late = contract.action.late.seconds(contract.timestep, contract.decimation)
    if late >= job.seconds:
        raise TaskError(
            f"contract '{contract.name}' has its actions {late:g} s late, and an episode of {job.seconds:g} s is over "
            "before the robot is told any: give more --seconds, or mend action.delay"
        )
    doubt = "" if job.motion is None else order_doubt(job.motion, contract)
    beyond = [*job.goals_of(contract).outside(), *doubts(contract), *([doubt] if doubt else [])]
    told = job.told(contract)
    return beyond if told is None else [*beyond, *outside_trained_range(contract, told)]


def play_on_plant(
    pilot: Pilot,
    job: Held | EpisodeJob | Performance,
    output: Output,
    *,
    kind: str,
    robot: str | Path,
    timestep: float | None = None,
    **options: Unpack[PlantOptions],
) -> Result:
    """Replay on a robot in a simulator, driven from the contract.

    Args:
        pilot: The policy.
        job: What to do.
        output: Where trace, metrics.json and pictures go.
        kind: "mujoco", "maniskill" or "newton".
        robot: A robot file, or the name of a robot that comes with ManiSkill.
        timestep: Physics timestep instead of the contract's [s].
        **options: How the simulator is to run.
    """
    contract = pilot.contract
    # Whatever the simulator is not needed for is found out before it starts.
    check_job(contract, job)
    task = find_task(job.task) if isinstance(job, EpisodeJob) else None
    clip = _clip(pilot, job)
    setup = PlantSetup.from_contract(contract, timestep=timestep)
    for dynamics in options.get("dynamics", ()):
        check_delay(dynamics, _seconds(job, task))
    more = {"robot": str(robot)}
    with (
        contextlib.closing(make_plant(kind, robot, setup, **options)) as plant,
        _observers(
            output,
            contract.control_dt,
            _steps(job, task, plant, pilot),
            None if clip is None else Reference(clip, plant.joint_names),
        ) as observers,
    ):
        if clip is not None and (said := check_stops(clip.motion, stops_of(plant, contract), f"'{robot}'")):
            more["warning"] = said
        common: dict[str, Any] = {
            "decimation": setup.decimation,
            "trace": output.folder / TRACE,
            "observers": observers,
        }
        if isinstance(job, Held):
            result = replay_held(pilot, plant, job, **common)
        elif isinstance(job, EpisodeJob):
            assert task is not None
            result = replay_reach(pilot, plant, task, seed=job.seed, episodes=job.episodes, **common)
        else:
            result = job.perform(pilot, plant, trace=common["trace"], observers=observers)
        more |= _lacking(plant, options.get("meshes", True))
        if told := told_of_collisions(robot, setup, meshes=options.get("meshes", True)):
            more["collision"] = told
        if output.video and clip is not None and not isinstance(plant, DrawsGhosts):
            more["video"] = f"without the reference beside the robot: {plant.name} draws the robot alone"
    return _finish(dataclasses.replace(result, setting={**result.setting, **more}), pilot, output, clip)


def _lacking(plant: Plant, meshes: bool) -> dict[str, str]:
    """What of the robot file is not there; neither is part of the protocol, since a real robot lacks nothing."""
    told = {}
    if left_out := getattr(plant, "left_out", ()):
        told["left out"] = "; ".join(left_out)
    if not meshes:
        told["meshes"] = f"{getattr(plant, 'skipped_meshes', 0)} left out"
    return told


def play_in_env(
    pilot: Pilot,
    job: EpisodeJob,
    output: Output,
    *,
    num_envs: int = 1,
    sim_backend: str = "physx_cpu",
    control_mode: str | None = None,
    dynamics: Dynamics | None = None,
) -> Result:
    """Replay in a ManiSkill task environment.

    Args:
        pilot: The policy.
        job: The environment and its episodes.
        output: Where trace, metrics.json and pictures go.
        num_envs: Number of environments: processes on physx_cpu, one batch on physx_cuda.
        sim_backend: "physx_cpu" or "physx_cuda".
        control_mode: One of the environment's controllers; its own default, if None.
        dynamics: What was identified of the robot; None for the environment's own.
    """
    refuse_too_many(num_envs, PROCESS if sim_backend == "physx_cpu" else LEAST, job.task)
    env = EnvJob(
        env_id=job.task,
        pilot=pilot,
        control_mode=control_mode,
        sim_backend=sim_backend,
        draw_seed=job.seed if output.video else None,
        dynamics=dynamics,
    )
    seeds, trace = range(job.seed, job.seed + job.episodes), output.folder / TRACE
    with contextlib.ExitStack() as stack:
        watching: dict[str, Any] = {"on_episode": stack.enter_context(_bar(job.episodes, "episode")).update}
        if output.video:
            watching["on_frame"] = stack.enter_context(_video(output, pilot.contract.control_dt)).append
        result = replay_in_env(env, seeds, num_envs=num_envs, trace=trace, **watching)
    return _finish(result, pilot, output)


def stops_of(plant: SimulatedPlant, contract: Contract) -> dict[str, tuple[float, float]]:
    """Stops of the joints: the robot's, where the simulator tells them, else those that the contract states."""
    # Not part of the protocol: a simulator may not tell.
    return getattr(plant, "joint_stops", None) or stated_stops(contract)


def _clip(pilot: Pilot, job: Held | EpisodeJob | Performance) -> Clip | None:
    """What the policy follows, where it follows anything."""
    if pilot.contract.motion is None:
        return None
    return Clip.of(pilot.contract, (job.motion if isinstance(job, Held) else None) or pilot.motion)


@contextlib.contextmanager
def _observers(
    output: Output, control_dt: float, steps: int, reference: Reference | None
) -> Iterator[tuple[Observer, ...]]:
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(_bar(steps, "step"))

        def advance(plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
            bar.update()

        observers: list[Observer] = [advance]
        if output.video:
            observers.append(stack.enter_context(_video(output, control_dt, reference)))
        yield tuple(observers)


def _video(output: Output, control_dt: float, reference: Reference | None = None) -> Video:
    shown = {"longest": output.video_seconds, "speed": output.video_speed}
    return Video(output.folder / VIDEO, control_dt, reference=reference, **shown)


def _bar(total: int, unit: str) -> tqdm[Any]:
    """A bar on standard error that shows up after two seconds, and only for a person."""
    return tqdm(total=total, unit=unit, delay=2.0, leave=False, disable=None)


def _seconds(job: Held | EpisodeJob | Performance, task: ReachTask | None) -> float:
    """Length of an episode [s]; infinite where somebody who looks on says when it ends."""
    if isinstance(job, EpisodeJob):
        assert task is not None
        return task.episode_steps / task.control_frequency
    return job.seconds if isinstance(job, Held) else math.inf


def _steps(job: Held | EpisodeJob | Performance, task: ReachTask | None, plant: Plant, pilot: Pilot) -> int:
    if isinstance(job, Held):
        return -(-(job.episodes or 1) // plant.num_envs) * round(job.seconds / pilot.contract.control_dt)
    if not isinstance(job, EpisodeJob):
        return job.steps(plant.num_envs)
    assert task is not None
    return -(-job.episodes // plant.num_envs) * task.episode_steps


def _finish(result: Result, pilot: Pilot, output: Output, clip: Clip | None = None) -> Result:
    write_atomic(output.folder / METRICS, result.json())
    title = f"{pilot.network_contract.name} in {result.setting['simulator']}"
    if output.plot:
        write_atomic(output.folder / PLOT, plot_replay(Trace(output.folder / TRACE), title=title, clip=clip))
    if output.report:
        write_report(output.folder / REPORT, replay_report(result, pilot, output.folder, clip))
    if output.rerun:
        write_rerun(Trace(output.folder / TRACE), output.folder / RERUN, title=title)
    return result
