"""What a run's result or a port is worth on a plant, as figures with intervals over the seeds of its episodes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.errors import TrainError
from policy_port.files import json_text, output_folder, write_atomic
from policy_port.plants.registry import PlantOptions, make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.folder import load_port
from policy_port.port.format import MANIFEST
from policy_port.port.runtime import Policy
from policy_port.tasks.velocity import load_task
from policy_port.train.evaluate import ActorPolicy, evaluate
from policy_port.train.figures import Scores
from policy_port.train.run import open_run
from policy_port.train.trial import Trial

FIGURES = "figures.json"
"""Name of the file that `measure` writes."""
EPISODES, SECONDS, MOST_ENVS = 40, 10.0, 40
"""How much a policy is asked where nobody says it: episodes, their length [s], and how many are played at a time."""

Make = Callable[[int], Policy]


def measure(
    policy: Path, *, plant: str, robot: str | Path, task: str | Path, episodes: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Let a policy perform drawn episodes.

    Args:
        policy: Folder of a port or of a run.
        plant: Simulator.
        robot: Robot file.
        task: Task file, or the name of a shipped one: its commands, noise, pushes and physics.
        episodes: How many, from `seed` on; two policies with the same seed are asked the same.
        seconds: Their length [s].
        seed: Seed of the first one.

    Returns:
        Figures by name, each with its 95 % interval.

    Raises:
        TrainError: When `policy` is neither port nor run.
        TaskError: When the policy can't be asked for a velocity.
    """
    contract, make = _opened(policy)
    trial = Trial(task=load_task(task), episodes=episodes, seconds=seconds, seed=seed)
    trial.check(contract)
    options: PlantOptions = {"num_envs": min(episodes, MOST_ENVS)}
    with closing(make_plant(plant, robot, PlantSetup.from_contract(contract), **options)) as stood:
        return _by_unit(evaluate(contract, make, stood, trial))


def measure_run(folder: Path) -> dict[str, Any]:
    """The same of a run's result, where and in what it was trained; nothing of one whose task is not ours."""
    run = open_run(folder)
    if run.record.robot is None:
        return {}
    return measure(
        folder,
        plant=run.record.plant,
        robot=run.record.robot,
        task=folder / "task.yaml",
        episodes=EPISODES,
        seconds=SECONDS,
        seed=1_000_000,
    )


def write_measures(out: Path, figures: dict[str, Any]) -> None:
    """Write figures into a new folder."""
    with output_folder(out) as folder:
        write_atomic(folder / FIGURES, json_text(figures))


def _opened(policy: Path) -> tuple[Contract, Make]:
    if (policy / MANIFEST).is_file():
        pilot = load_port(policy).pilot()
        return pilot.contract, pilot.open
    if not (policy / "run.yaml").is_file():
        raise TrainError(f"{policy}: is neither a port (it holds no {MANIFEST}) nor a run (it holds no run.yaml)")
    run = open_run(policy)
    contract = run.contract()
    actor = load_policy(run.result()[0], kind="rsl_rl", width=contract.observation_size).actor
    return contract, lambda envs: ActorPolicy(actor, envs)


UNITS = {
    "tracking": "tracking [share of the most]",
    "error": "velocity error [m/s]",
    "turn_error": "turning error [rad/s]",
    "survival": "survival [s]",
    "falls": "fell [share of the episodes]",
    "action_rate": "action rate [rad a step]",
    "power": "energy: mechanical power [W]",
}
"""Figures as a report calls them."""


def _by_unit(scores: Scores) -> dict[str, Any]:
    document = scores.document()
    return {words: document[name] for name, words in UNITS.items()}
