"""Fine-tuning a distilled student, so that the first iterations do not destroy it.

Three things do, each measured: a critic that knows nothing yet, a large deviation, and a high rate. So the actor stays
as it is while the critic learns; its deviation is small, its rate is as low as keeps each change of the policy small
(1e-5 to 1e-4 for a GRU under pushes), its normaliser no longer moves. What falls all the same is undone (`guard`), and
a run whose policy did not come out better ends with the student that it began with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract, load_contract
from policy_port.contract.spec import check_network_width
from policy_port.contract.yaml_file import read_yaml
from policy_port.errors import TrainError
from policy_port.files import sha256
from policy_port.plants.supervised import load_limits
from policy_port.train.figures import KEPT, MORE_FALLS, Comparison, compared
from policy_port.train.guard import CRITIC_RATE, ended
from policy_port.train.judge import Judge, best_of
from policy_port.train.loop import Score
from policy_port.train.place import LIMITS, Place
from policy_port.train.ppo import Job, Plan, check_out, perform
from policy_port.train.report import write_run_report
from policy_port.train.run import Run, State, open_run, read_state
from policy_port.train.settings import FinetuneAgent, Network, PpoAgent, ReachAgent, read_agent

EPISODES = 64
"""Episodes that each checkpoint is measured in."""
FINAL = 200
"""Episodes in which the best checkpoint is held against the student; others than it was chosen by."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """The policy that a fine-tuning starts from."""

    file: Path
    """The checkpoint."""
    weights: State
    """The acting network's, by RSL-RL's names, without its deviation."""
    network: dict[str, Any]
    """Its table in agent.yaml, without its deviation."""
    contract: Contract
    """What it reads and writes."""
    run: Run | None
    """The run that it comes from; None for a file alone."""


def open_start(source: Path, contract: Path | None) -> Start:
    """Read a student: a run's folder, or a checkpoint of RSL-RL with its agent.yaml beside it.

    Raises:
        TrainError: When it is neither, or a file without a contract.
        CheckpointError: When the file can't be read.
        ContractError: When contract and network differ in width.
    """
    if source.is_dir() and not (source / "run.yaml").is_file():
        raise TrainError(
            f"{source}: is no run's folder, as distil and train write them (it has no run.yaml). finetune starts from "
            "such a folder, or from an RSL-RL checkpoint (model_N.pt) with its agent.yaml beside it and --contract; a "
            "port's weights can't be trained on, so give the run or checkpoint that it was made of"
        )
    if not source.exists():
        raise TrainError(f"{source}: no such file or folder")
    run = open_run(source) if source.is_dir() else None
    file = source if run is None else run.result()[0]
    if run is None and contract is None:
        raise TrainError(f"{source}: does not say what its numbers mean; give --contract, or a run's folder")
    own = None if run is None else run.contract()
    stated = own if own is not None and contract is None else load_contract(contract or "")
    if own is not None and stated != own:
        raise TrainError(
            f"{source}: holds its own contract, and --contract gives another one. Leave --contract out, or name the "
            f"checkpoint in it: {file}"
        )
    loaded = load_policy(file, kind="rsl_rl", width=stated.observation_size)
    check_network_width(stated, loaded.actor.obs_size, loaded.actor.action_size, policy=str(file))
    state = read_state(file)
    roles = [role for role in ("actor", "student") if isinstance(state.get(f"{role}_state_dict"), dict)]
    if not roles:
        raise TrainError(
            f"{file}: holds no actor_state_dict and no student_state_dict, as RSL-RL writes them from version 4 on; it "
            f"holds {', '.join(state)}. Its weights can't be trained on"
        )
    weights = {key: value for key, value in state[f"{roles[0]}_state_dict"].items() if "distribution." not in key}
    table = _table(file, roles[0])
    return Start(file=file, weights=weights, network=table, contract=stated, run=run)


def _table(file: Path, role: str) -> dict[str, Any]:
    """The network's table in the agent.yaml that lies beside the checkpoint."""
    places = [file.parent / "params" / "agent.yaml", file.parent / "agent.yaml"]
    found = next((path for path in places if path.is_file()), None)
    table = None if found is None else read_yaml(found, TrainError).data.get(role)
    if not isinstance(table, dict):
        raise TrainError(f"{file}: {found or 'no agent.yaml beside it'} has no {role}, which says what its network is")
    kept = {key: value for key, value in table.items() if key in Network.model_fields and key != "distribution_cfg"}
    return {key: value for key, value in kept.items() if value not in (None, {})}


def place_of(
    start: Start,
    *,
    plant: str | None,
    robot: str | None,
    task: str | None,
    num_envs: int | None,
    seed: int,
    device: str | None,
    dynamics: Path | None = None,
) -> Place:
    """Where a fine-tuning takes place: where the student's run did, but for what is given.

    Raises:
        TrainError: When something is neither given nor known from a run.
    """
    run = start.run
    record = None if run is None else run.record
    known = {
        "plant": plant or (record and record.plant),
        "robot": robot or (record and record.robot),
        "task": task or (run and str(run.path / "task.yaml")),
    }
    for name, value in known.items():
        if not value:
            raise TrainError(f"{start.file}: lies in no run, which would say the {name}; give --{name}")
    if robot is None and record is not None:
        _refuse_changed(Path(str(known["robot"])), record.hashes.get("robot"))
    return Place(
        plant=str(known["plant"]),
        robot=Path(str(known["robot"])),
        task=str(known["task"]),
        num_envs=num_envs or (64 if record is None else record.num_envs),
        seed=seed,
        device=device or ("cpu" if record is None else record.device),
        dynamics=dynamics or _kept(run, "dynamics.yaml"),
        limits=None if (limits := _kept(run, LIMITS)) is None else load_limits(limits),
    )


def _kept(run: Run | None, name: str) -> Path | None:
    """A file of a run's folder, where it has it."""
    return run.path / name if run is not None and (run.path / name).is_file() else None


def _refuse_changed(robot: Path, digest: str | None) -> None:
    """Refuse a robot file that is not the one that the student learned on."""
    if not robot.is_file() or sha256(robot) != digest:
        what = "is not there any more" if not robot.is_file() else "was changed since"
        raise TrainError(f"{robot}: the robot file of the student's run {what}; give the one to train on as --robot")


def finetune(start: Start, place: Place, plan: Plan) -> Run:
    """Fine-tune a student, and keep what came out only where it is better.

    Args:
        start: The student.
        place: Where.
        plan: How.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    judge = Judge(start.contract, place)
    score = functools.partial(judge.score, episodes=EPISODES)
    return tune(start, place, plan, settings="finetune", score=score, choose=functools.partial(choose, judge))


def tune(
    start: Start, place: Place, plan: Plan, *, settings: str, score: Score, choose: Callable[[Run], tuple[Path, str]]
) -> Run:
    """Fine-tune a policy of any task.

    Args:
        start: The policy.
        place: Where.
        plan: How.
        settings: Name of the settings that ship for it.
        score: Measures a checkpoint.
        choose: The checkpoint that a run comes to, and why.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    check_out(plan, "finetune", start.file, *place.files())
    kind = ReachAgent if settings == "finetune_reach" else FinetuneAgent
    agent = read_agent(kind, settings, plan.agent, {"actor": start.network})
    where = str(plan.agent or "the shipped settings of finetune")
    if start.run is not None and not (start.run.path / "result.yaml").is_file():
        plan.tell(f"{start.run.path} has not come to its end: {start.file.name}, its newest checkpoint, is taken")
    job = Job(
        stage="finetune",
        contract=start.contract,
        agent=agent,
        where=where,
        source=start.file,
        take=lambda algorithm: take_weights(algorithm, start, agent, where),
        prepare=lambda algorithm: WarmUp(algorithm, agent),
        score=score,
    )
    run = perform(job, place, plan)
    file, reason = choose(run)
    run.finish(file, reason + ended(run))
    write_run_report(run)
    return run


def take_weights(algorithm: Any, start: Start, agent: PpoAgent, where: str) -> None:
    """Begin with the student's weights, and with the settings' deviation.

    Raises:
        TrainError: When the networks differ, naming both: PPO would begin from nothing.
    """
    own = algorithm._raw_actor.state_dict()
    mine = {key: tuple(value.shape) for key, value in own.items() if "distribution." not in key}
    its = {key: tuple(value.shape) for key, value in start.weights.items()}
    if mine != its:
        name = next(key for key in dict.fromkeys((*its, *mine)) if its.get(key) != mine.get(key))
        student = Network.model_validate(start.network)
        raise TrainError(
            f"{where}: actor is {agent.actor.words()}, and the student in {start.file} is {student.words()}: {name} is "
            f"{_shape(mine, name)} there and {_shape(its, name)} here. Its weights would not fit, and PPO would learn "
            "from nothing; leave actor's network out of the settings, and the student's is taken"
        )
    algorithm._raw_actor.load_state_dict({**own, **start.weights})


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return "x".join(map(str, shapes[name])) if name in shapes else "absent"


class WarmUp:
    """What learns in a segment: at the start the critic alone."""

    def __init__(self, algorithm: Any, agent: PpoAgent) -> None:
        """Take over RSL-RL's algorithm."""
        self._algorithm, self._agent = algorithm, agent
        self._learns = [value for value in algorithm._raw_actor.parameters() if value.requires_grad]
        if agent.actor.obs_normalization:
            # RSL-RL's statistics stop where they have seen enough; a student's have.
            algorithm._raw_actor.obs_normalizer.until = 0

    def __call__(self, done: int) -> None:
        """Set who learns after so many iterations, and how fast."""
        warm = done < self._agent.critic_warmup
        for value in self._learns:
            value.requires_grad_(not warm)
        if warm or done == self._agent.critic_warmup:
            rate = CRITIC_RATE if warm else self._agent.algorithm.learning_rate
            self._algorithm.learning_rate = rate
            for group in self._algorithm.optimizer.param_groups:
                group["lr"] = rate


def choose(judge: Judge, run: Run) -> tuple[Path, str]:
    """The checkpoint that a run comes to: the best one where it is surely better than the student, else that.

    A run under pushes or with physics that are drawn is held against the student without them too, as what it learns to
    survive may cost it what it did well.
    """
    best, files = best_of(run.scores()), run.checkpoints()
    if best == 0:
        return files[0], "the student that it began with, which no checkpoint tracked the velocity better than"
    trial = judge.trial(run.path, FINAL, last=True)
    found = compared(judge.measure(files[best], trial), judge.measure(files[0], trial))
    words = (
        f"after {best} iterations the tracking is {found.tracking.text()} of the student's, {found.falls.text()} "
        f"more of the episodes end in a fall, survival is {found.survival.text(2)} s longer, over {FINAL} "
        "paired episodes"
    )
    if not surely_better(found):
        return files[0], f"the student that it began with, because fine-tuning did not surely improve it: {words}"
    calm = trial.undisturbed()
    if calm != trial:
        nominal = compared(judge.measure(files[best], calm), judge.measure(files[0], calm))
        words += f"; undisturbed the tracking is {nominal.tracking.text()} of the student's"
        if nominal.tracking.value < KEPT:
            lost = f"fine-tuning lost more than {100 * (1 - KEPT):.0f} % of its undisturbed tracking"
            return files[0], f"the student that it began with, because {lost}: {words}"
    return files[best], f"fine-tuned: {words}"


def surely_better(found: Comparison) -> bool:
    """Whether a policy surely tracks better than the student and falls no more, or surely stands longer and tracks."""
    tracks = found.tracking.low > 1.0 and found.falls.value <= MORE_FALLS
    return tracks or (found.survival.low > 0.0 and found.tracking.value >= KEPT)
