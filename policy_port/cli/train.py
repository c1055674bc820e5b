"""`policy-port train` and `finetune`: a policy learns a velocity task on a plant, from nothing or from a student."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policy_port import counts
from policy_port.cli.options import takes
from policy_port.cli.plant_options import DynamicsOption, PlantName, RandomiseOption, SupervisorOption, arm_limits
from policy_port.cli.run_folder import names_run

if TYPE_CHECKING:
    from policy_port.contract import Contract
    from policy_port.plants.supervised import ArmLimits
    from policy_port.train.place import Place
    from policy_port.train.ppo import Plan
    from policy_port.train.run import Run

LearningTaskOption = Annotated[
    str | None,
    typer.Option(
        "--task", metavar="FILE", help="velocity, so100-reach, the name of a shipped task, or a task file of your own."
    ),
]
RobotFileOption = Annotated[str | None, typer.Option("--robot", metavar="FILE", help="URDF, MJCF, or for Newton USD.")]
CriticOption = Annotated[
    Path | None,
    typer.Option(
        "--critic-contract",
        metavar="FILE",
        help="What the critic reads; the actor's terms and the base's motion, if absent.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What every training is given on the command line."""

    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run's folder: checkpoints, curve, report.")]
    seed: Annotated[
        int, typer.Option(min=0, max=counts.SEED, help="Seed of networks, commands and everything else.")
    ] = 0
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1, max=counts.ITERATIONS, help="Iterations of the whole training, in the place of max_iterations."
        ),
    ] = None
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop at a checkpoint after this time [min].")] = None
    agent: Annotated[
        Path | None,
        typer.Option("--agent", metavar="FILE", help="agent.yaml in RSL-RL's keys; what it leaves out is as it ships."),
    ] = None
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, or cuda for the networks and a simulator that can; cpu, if absent."),
    ] = None
    dynamics: DynamicsOption = None
    randomise: RandomiseOption = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out from its last checkpoint.")] = (
        False
    )
    force: Annotated[bool, typer.Option("--force", help="Begin anew in the place of what is in --out.")] = False

    def plan(self, critic_contract: Path | None = None) -> Plan:
        """How the run of a command is to go."""
        from policy_port.train.ppo import Plan

        if self.resume and self.force:
            raise typer.BadParameter(
                "--resume goes on with what is in --out and --force replaces it; give one of the two"
            )
        return Plan(
            out=self.out,
            agent=self.agent,
            critic_contract=critic_contract,
            iterations=self.iterations,
            minutes=self.minutes,
            resume=self.resume,
            force=self.force,
            tell=lambda note: typer.echo(f"note: {note}", err=True),
        )

    def place(self, plant: PlantName, robot: str, task: str | None, num_envs: int) -> Place:
        """Where it takes place."""
        from policy_port.train.place import Place

        return Place(
            plant=plant.value,
            robot=Path(robot),
            task=task or "velocity",
            num_envs=num_envs,
            seed=self.seed,
            device=self.device or "cpu",
            dynamics=self.dynamics,
            randomise=None if self.randomise is None else self.randomise.value,
        )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(LearningOptions):
    """What `train` is given on the command line."""

    contract: Annotated[Path, typer.Argument(metavar="CONTRACT", help="What the policy is to read and write.")]
    plant: Annotated[PlantName, typer.Option(help="Simulator to train in.")]
    robot: Annotated[str, typer.Option(metavar="FILE", help="URDF, MJCF, or for Newton USD.")]
    task: LearningTaskOption = "velocity"
    supervisor: SupervisorOption = None
    num_envs: Annotated[int, typer.Option(min=1, max=counts.ENVS, help="Environments side by side.")] = 64
    critic_contract: CriticOption = None


def _place(options: TrainOptions) -> Place:
    return options.place(options.plant, options.robot, options.task, options.num_envs)


@takes(TrainOptions, check=_place)
def train(options: TrainOptions) -> None:
    """Train a policy on a plant by RSL-RL's PPO; killed at any time, --resume draws the same curve."""
    from policy_port.contract import load_contract
    from policy_port.train.ppo import train as learn

    plan = options.plan(options.critic_contract)
    place = replace(_place(options), limits=_limits(options.supervisor, options.task, load_contract(options.contract)))
    typer.echo(summary(learn(options.contract, place, plan)))


def _limits(supervisor: str | None, task: str | Path | None, contract: Contract) -> ArmLimits | None:
    """The limits of an arm, where one is named; only an arm's task knows of them."""
    from policy_port.tasks.reach_training import read_reach

    if supervisor is not None and (task is None or read_reach(task) is None):
        raise typer.BadParameter(
            f"--supervisor goes with a task of an arm, and {task} is none: give --task so100-reach, a task file of "
            "kind reach, or leave --supervisor out"
        )
    return arm_limits(supervisor, contract)


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(LearningOptions):
    """What `finetune` is given on the command line."""

    student: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a distil or train run, or an RSL-RL checkpoint.")
    ]
    contract: Annotated[Path | None, typer.Option(help="Contract of a checkpoint that lies in no run.")] = None
    plant: Annotated[PlantName | None, typer.Option(help="Simulator; the run's own, if absent.")] = None
    robot: RobotFileOption = None
    task: LearningTaskOption = None
    supervisor: SupervisorOption = None
    num_envs: Annotated[
        int | None, typer.Option(min=1, max=counts.ENVS, help="Environments; as many as the run had, if absent.")
    ] = None
    critic_contract: CriticOption = None


def _check_start(options: FinetuneOptions) -> None:
    """Refuse a checkpoint of which not all is said that a run's folder would say.

    Raises:
        BadParameter: Naming what is missing.
    """
    if names_run(options.student):
        return
    given = {name: getattr(options, name) for name in ("contract", "plant", "robot", "task")}
    if missing := [f"--{name}" for name, value in given.items() if value is None]:
        raise typer.BadParameter(
            f"{options.student} is no run's folder, which would say them; give {', '.join(missing)}"
        )


@takes(FinetuneOptions, check=_check_start)
def finetune(options: FinetuneOptions) -> None:
    """Fine-tune a distilled student by PPO without destroying it; where that is no better, the student is the result.

    The actor stays as it is while the critic learns, then both go on at a small deviation and a low rate. Each
    checkpoint is measured in the same episodes, and the best one is held against the student in others.
    """
    from policy_port.tasks.reach_training import read_reach
    from policy_port.train.finetune import finetune as improve
    from policy_port.train.finetune import open_start, place_of
    from policy_port.train.reach import finetune_reach

    plan = options.plan(options.critic_contract)
    start = open_start(options.student, options.contract)
    place = place_of(
        start,
        plant=None if options.plant is None else options.plant.value,
        robot=options.robot,
        task=options.task,
        num_envs=options.num_envs,
        seed=options.seed,
        device=options.device,
        dynamics=options.dynamics,
    )
    limits = _limits(options.supervisor, place.task, start.contract) or place.limits
    place = replace(place, limits=limits, randomise=None if options.randomise is None else options.randomise.value)
    tuned = improve if read_reach(place.task) is None else finetune_reach
    typer.echo(summary(tuned(start, place, plan)))


def _short(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def summary(run: Run) -> str:
    """What a run came to, and where."""
    file, reason = run.result()
    rows, undone = run.rows(), len(run.undone())
    reward = f"reward {float(rows[0]['reward']):.4g} to {float(rows[-1]['reward']):.4g} a step" if rows else "no curve"
    return "\n".join(
        [
            f"run: {run.path}",
            f"{len(rows)} iterations, {reward}; report.html and tensorboard/ show the curves",
            *([f"segments that fell below the start and were undone: {undone} (undone.csv)"] if undone else []),
            f"result: {file.name}: {reason}",
            f"next: policy-port export {shlex.quote(_short(run.path))} --out PORT",
        ]
    )
