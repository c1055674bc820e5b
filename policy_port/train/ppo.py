"""Training by RSL-RL's PPO, with a critic that may know more than the actor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.contract import Contract, load_contract
from policy_port.contract.yaml_file import read_yaml
from policy_port.errors import TrainError
from policy_port.files import check_output_folder, check_writable
from policy_port.tasks.reach_training import read_reach
from policy_port.train.disturbance import blind_critic, odd_commands, quiet_sensors
from policy_port.train.environment import PlantEnvironment
from policy_port.train.guard import Guard
from policy_port.train.loop import Prepare, Score, learn, make_runner, snapshot
from policy_port.train.place import Place
from policy_port.train.reach_environment import ReachEnvironment
from policy_port.train.report import write_run_report
from policy_port.train.run import Files, Record, Run, begin, make_record, open_run, resume
from policy_port.train.settings import Agent, FinetuneAgent, PpoAgent, ReachAgent, read_agent

PRIVILEGED: tuple[dict[str, str], ...] = (
    {"term": "base_lin_vel", "point": "link"},
    {"term": "base_ang_vel"},
    {"term": "projected_gravity"},
)
"""What a critic is shown of the base where the actor is not."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a run is to go."""

    out: Path
    """The run's folder."""
    agent: Path | None = None
    """The user's agent.yaml, whole or in part."""
    critic_contract: Path | None = None
    """What the critic reads; the actor's observation and the base's motion, if not given."""
    iterations: int | None = None
    """Iterations of the whole training; those of the settings, if not given."""
    minutes: float | None = None
    """Stop at a checkpoint after this time."""
    resume: bool = False
    """Go on with the run in `out`."""
    force: bool = False
    """Begin anew in the place of what is in `out`."""
    tell: Callable[[str], object] = lambda note: None
    """Tells a person what is no mistake and might be one."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training by PPO before it runs."""

    stage: str
    """"train" or "finetune"."""
    contract: Contract
    """What the actor reads and writes."""
    agent: PpoAgent
    """Settings."""
    where: str
    """Where the settings are from, for messages."""
    source: Path | None = None
    """The policy that it starts from."""
    take: Callable[[Any], None] = lambda algorithm: None
    """Puts weights into RSL-RL's algorithm before the run begins."""
    prepare: Callable[[Any], Prepare | None] = lambda algorithm: None
    """Makes what is called before each segment."""
    score: Score | None = None
    """Measures a checkpoint."""


def train(contract: Path, place: Place, plan: Plan) -> Run:
    """Train a policy from nothing.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    check_out(plan, "train", contract, *place.files())
    agent = read_agent(PpoAgent, "train", plan.agent)
    where = str(plan.agent or "the shipped settings of train")
    run = perform(Job(stage="train", contract=load_contract(contract), agent=agent, where=where), place, plan)
    run.finish(max(run.checkpoints().items())[1], "the last one")
    write_run_report(run)
    return run


def perform(job: Job, place: Place, plan: Plan) -> Run:
    """Begin a run or go on with it, up to its last iteration or the end of its time."""
    given = plan.critic_contract
    critic = critic_contract(job.contract) if given is None else load_contract(given)
    job.agent.check_batch(place.num_envs, job.where)
    environment = stand_up(place, {"actor": job.contract, "critic": critic}, "actor")
    try:
        runner = make_runner(
            "OnPolicyRunner",
            environment,
            job.agent.runner_settings(actor=["actor"], critic=["critic"]),
            seed=place.seed,
            device=place.device,
            where=job.where,
        )
        job.take(runner.alg)
        told = (*quiet_sensors(environment.task, job.contract), *odd_commands(environment.task, job.contract))
        for note in (*blind_critic(job.contract, critic), *told):
            plan.tell(note)
        texts = {"task.yaml": environment.task.to_yaml(), "contracts/actor.yaml": job.contract.to_yaml()}
        texts["contracts/critic.yaml"] = critic.to_yaml()
        run, agent = _opened(job, place, plan, texts, runner)
        how: dict[str, Any] = {"prepare": job.prepare(runner.alg), "score": job.score, "bounds": (agent.critic_warmup,)}
        if isinstance(agent, FinetuneAgent) and agent.keep > 0.0:
            how["guard"] = Guard(run, runner.alg, keep=agent.keep, first=agent.critic_warmup, tell=plan.tell)
        done = learn(run, runner, plan.iterations or agent.max_iterations, minutes=plan.minutes, **how)
        while plan.iterations is plan.minutes is None and (until := extended(run, agent, done)) > done:
            done = learn(run, runner, until, **how)
    finally:
        environment.close()
    return run


def extended(run: Run, agent: PpoAgent, done: int) -> int:
    """Iterations up to which a run that has done so many goes on: `done` where its checkpoints get no better."""
    if not isinstance(agent, ReachAgent) or agent.extend_to is None or done < agent.max_iterations:
        return done
    scores = run.scores()
    best = max(scores, key=lambda iteration: (scores[iteration]["success"], -iteration))
    better = scores[best]["success"] < 1.0 and best > done - 2 * agent.save_interval
    return min(done + agent.save_interval, max(agent.extend_to, done)) if better else done


def stand_up(place: Place, contracts: Mapping[str, Contract], acting: str) -> PlantEnvironment | ReachEnvironment:
    """The environment of a place's task, whatever its kind."""
    task = read_reach(place.task)
    if task is None:
        return place.stand_up(contracts, acting)
    plant = place.make_plant(contracts[acting], place.num_envs, learning=True)
    try:
        return ReachEnvironment(plant, contracts, acting, task, seed=place.seed, device=place.device)
    except BaseException:
        plant.close()
        raise


def begun_as[Settings: Agent](agent: Settings, stage: str, plan: Plan) -> Settings:
    """Settings with the number of iterations that a run is begun with, or was where it is resumed.

    How long a run goes is no part of what it is: it may be resumed for longer.
    """
    iterations = plan.iterations
    if plan.resume:
        iterations = read_agent(type(agent), stage, open_run(plan.out).path / "agent.yaml").max_iterations
    return agent if iterations is None else agent.model_copy(update={"max_iterations": iterations})


def check_out(plan: Plan, stage: str, *reads: str | Path) -> None:
    """Refuse a folder that can't be the run's, before anything is computed.

    Args:
        plan: How the run is to go.
        stage: Its command.
        *reads: What it is made of beside the plan's files.

    Raises:
        OutputError: It is taken, or can't be written to.
        TrainError: What is to be gone on with is no run, or one of another command.
    """
    if not plan.resume:
        given = (file for file in (plan.agent, plan.critic_contract) if file is not None)
        check_output_folder(plan.out, plan.force, (*reads, *given))
        return
    begun = open_run(plan.out).record.stage
    if begun != stage:
        raise TrainError(
            f"{plan.out}: is a run of `policy-port {begun}`, and {stage} can't go on with it; give `policy-port "
            f"{begun}` with --resume and what the run was begun with"
        )
    check_writable(plan.out.resolve() / "run.yaml")


def open_folder(plan: Plan, record: Record, files: Files, runner: Any) -> Run:
    """The run's folder, new or gone on with; that nothing is left to do of it is told."""
    if plan.resume:
        run = resume(plan.out, record, files)
        wanted = plan.iterations or read_yaml(run.path / "agent.yaml", TrainError).data["max_iterations"]
        over = plan.iterations is not None or (run.path / "result.yaml").is_file()
        if (done := max(run.checkpoints(), default=0)) >= wanted and over:
            plan.tell(
                f"{plan.out} has done {done} iterations, and {wanted} in all are asked for: nothing is trained. To go "
                f"on, give --iterations with more than {done}"
            )
        return run
    return begin(plan.out, record, files, snapshot(runner, 0), force=plan.force)


def _opened(job: Job, place: Place, plan: Plan, texts: dict[str, str], runner: Any) -> tuple[Run, PpoAgent]:
    """The run, and the settings with the number of iterations that it was begun with."""
    agent = begun_as(job.agent, job.stage, plan)
    files = {"agent.yaml": agent.to_yaml(), **texts, **place.texts()}
    outside = {"robot": Path(place.asked()["robot"]), "source": job.source}
    source = None if job.source is None else str(job.source.resolve())
    record = make_record(files, outside, stage=job.stage, acting="actor", source=source, **place.asked())
    return open_folder(plan, record, files, runner), agent


def critic_contract(actor: Contract) -> Contract:
    """What a critic reads where nothing is said: the actor's terms without noise, and how base or arm moves."""
    data = actor.model_dump(mode="json", exclude_none=True)
    known = {name for term in actor.observation.terms for name in (term.term, term.label)}
    privileged = PRIVILEGED if actor.base.floating else ({"term": "joint_vel"},)
    added = [term for term in privileged if term["term"] not in known]
    data["observation"]["terms"] = [*data["observation"]["terms"], *added]
    return Contract.model_validate({**data, "name": f"{actor.name}_critic"})
