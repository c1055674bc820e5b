"""Diagnose a port by playing it: stand the robot up, choose the trials, search, and put the result in words."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from policy_port.closed_loop.diagnosis import ClosedLoopDiagnosis, told_of
from policy_port.closed_loop.reaches import Reaches, check_reach
from policy_port.closed_loop.search import Levels, search
from policy_port.closed_loop.stage import Candidate, Stage
from policy_port.closed_loop.walks import Asked, Velocity, Walks, commands_around, fall_rule
from policy_port.closed_loop.words import Told, reached, walked
from policy_port.control.plant import Plant
from policy_port.errors import TaskError
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.held import check_told
from policy_port.tasks.reach import ReachTask

QUICK_SECONDS, LONGER_SECONDS = 3.0, 4.0
"""Length of the walks that candidates pass before [s], where those of the verdict are not shorter."""

WALKS_PER_COMMAND = 2
"""Walks of the verdict under each command, from different start poses."""

QUICK_EPISODES, LONGER_EPISODES, EPISODES = 2, 6, 12
"""Episodes of a task at each level."""


@dataclass(frozen=True, kw_only=True)
class Robot:
    """The robot, and where it is simulated."""

    kind: str
    """"mujoco", "maniskill" or "newton"."""
    file: str | Path
    """A robot file, or the name of a robot that comes with ManiSkill."""
    meshes: bool = True
    """False leaves every mesh out."""

    def make(self, setup: PlantSetup, count: int) -> Plant:
        """Stand it up, `count` times."""
        return make_plant(self.kind, self.file, setup, num_envs=count, meshes=self.meshes)


def diagnose_walk(
    pilot: Pilot, robot: Robot, command: Mapping[str, float] | Velocity, *, seconds: float = 6.0, seed: int = 0
) -> ClosedLoopDiagnosis:
    """Diagnose the port of a walking robot.

    Args:
        pilot: The port, in the parsing that the simulator speaks: that contract is diagnosed.
        robot: The robot.
        command: What it is told, by name or as a velocity of three; the trials vary the velocity [m/s, m/s, rad/s].
        seconds: Length of the walks that the verdict rests on [s].
        seed: Seed of the start poses.

    Raises:
        TaskError: When the policy can follow no velocity command.
        RobotError: When the robot can't be stood up as the contract asks.
        ContractError: When the contract lacks gains, or has joints in units that no simulator speaks.
    """
    contract = pilot.contract
    kinds = [(term.term, contract.term_size(term)) for term in contract.observation.terms]
    if not contract.commanded and ("constant", 3) not in kinds:
        raise TaskError(
            f"contract '{contract.name}' has no velocity_command or command term, nor three constant numbers that "
            "might stand in its place, so the policy can't follow a command; hold it against a trace of its source "
            "(--trace for --plant)"
            + (", or name the reach task with --task so100-reach" if ("goal", 3) in kinds else "")
        )
    told = check_told(contract, command) if contract.commanded else contract.command.vector(command)
    with contextlib.closing(Stage(pilot, robot.make)) as stage:
        commands = commands_around(contract, told)
        plant, _ = stage.plant(contract, 1)
        rule = fall_rule(contract, plant)

        def walks(some: tuple[Asked, ...], length: float, number: int) -> Walks:
            return Walks(commands=some, seconds=min(length, seconds), seed=3 * seed + number, rule=rule)

        levels = Levels(
            # A turn while walking: what is wrong with either shows.
            quick=walks(commands[1:2], QUICK_SECONDS, 0),
            longer=walks(commands, LONGER_SECONDS, 1),
            whole=walks(commands * WALKS_PER_COMMAND, seconds, 2),
        )
        said = "; ".join(" ".join(f"{value:g}" for value in each) for each in commands)
        setting = {
            "trials": f"{levels.whole.count} walks of {seconds:g} s from disturbed start poses, seed {seed}",
            "commands": f"{said} ({', '.join(('m/s forward', 'm/s left', 'rad/s', *contract.command.names[3:]))})",
            "fall": rule.text,
        }
        return _diagnose(stage, robot, plant, levels, setting, walked)


def diagnose_reach(pilot: Pilot, robot: Robot, task: ReachTask, *, seed: int = 0) -> ClosedLoopDiagnosis:
    """Diagnose the port of an arm that reaches; see `diagnose_walk`."""
    contract = pilot.contract
    check_reach(contract, task)
    with contextlib.closing(Stage(pilot, robot.make)) as stage:
        plant, _ = stage.plant(contract, QUICK_EPISODES)
        first = seed + QUICK_EPISODES + LONGER_EPISODES
        levels = Levels(
            quick=Reaches(task=task, seed=first + EPISODES, count=QUICK_EPISODES),
            longer=Reaches(task=task, seed=first + EPISODES + QUICK_EPISODES, count=LONGER_EPISODES),
            whole=Reaches(task=task, seed=seed, count=EPISODES),
        )
        setting = {"trials": f"{EPISODES} episodes of reaching, seeds {seed} to {seed + EPISODES - 1}"}
        return _diagnose(stage, robot, plant, levels, setting, reached)


def _diagnose(
    stage: Stage, robot: Robot, plant: Plant, levels: Levels, setting: dict[str, str], told: Told
) -> ClosedLoopDiagnosis:
    contract = stage.contract
    # On standard error, after two seconds, and only for a person.
    with tqdm(total=0, unit="contract", delay=2.0, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found = search(stage, Candidate(contract=contract, words=""), plant.joint_names, levels, progress)
    setting = {"simulator": f"{plant.name}, {robot.file}", **setting}
    return told_of(contract, found, told, plant.name, setting, stage.replays)
