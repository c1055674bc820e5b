"""ENGINE.yaml: an arm, a policy, and how one turn of the crank goes; held against each other before anything runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from policy_port import counts
from policy_port.contract import Contract
from policy_port.contract.yaml_file import Strict, YamlDocument, parse, read_yaml
from policy_port.dynamics.document import check_robot, load_dynamics
from policy_port.engine.halves import check_apart
from policy_port.errors import PolicyPortError, TaskError, TrainError, closest
from policy_port.files import check_output_folder
from policy_port.identify.doubts import check_names
from policy_port.identify.files import Unstated, read_recordings
from policy_port.identify.parameters import check_joints, load_priors
from policy_port.identify.setups import check_link, joint_names
from policy_port.replay.play import find_task
from policy_port.replay.reach import check_reach
from policy_port.resources import assets_dir
from policy_port.robot_models.find import find_robot
from policy_port.robots.arm.preflight import check_contract
from policy_port.robots.arm.robot_file import RobotFile, find_robot_file, load_robot_file
from policy_port.robots.jobs.plan import Bounds, Plan, load_plan, motions
from policy_port.tasks.reach_training import read_reach
from policy_port.train.finetune import open_start
from policy_port.train.settings import ReachAgent, read_agent

EMBEDDED = "so100-reach"
"""Word that stands for the policy that ships with the package."""
Seed = Annotated[int, Field(ge=0, le=counts.SEED)]


class Emulated(Strict):
    """An arm that is not there."""

    dynamics: str | None = None
    """dynamics.yaml that it behaves like: what `identify` is to find."""
    fast: bool = True
    """Whether its time passes as fast as this machine computes."""
    seed: Seed = 0
    """Seed of its encoders' noise."""


class Collecting(Strict):
    """See `policy-port collect`."""

    plan: str = "so100_three_minutes"
    """What the arm does, with segments to fit and to hold out; each turn draws other poses and phases."""
    continuous: bool = True
    """No Enter before each step."""


class Identifying(Strict):
    """See `policy-port identify`."""

    payload: str | None = None
    """Link whose added mass is searched."""
    priors: str = "sts3215"
    """Bounds and priors."""
    segments: Annotated[int, Field(ge=8, le=2000)] = 96
    """Stretches that are fitted."""
    horizon: Annotated[float, Field(ge=0.05, le=60.0)] = 0.5
    """How far ahead predictions look [s]."""
    runs: bool = True
    """Whether what the policy did on the arm in earlier turns is fitted too."""
    data: tuple[str, ...] = ()
    """More recordings to fit."""
    held_out: tuple[str, ...] = ()
    """More recordings to judge by."""
    accept: tuple[str, ...] = ()
    """Doubts of the recordings that are none, whichever turn raises them."""


class Tuning(Strict):
    """See `policy-port finetune`."""

    iterations: Annotated[int, Field(ge=1, le=counts.ITERATIONS)] | None = None
    num_envs: Annotated[int, Field(ge=1, le=counts.ENVS)] = 64
    agent: str | None = None
    seed: Seed = 0


class Playing(Strict):
    """Episodes of the task, the same on the arm and in the simulator."""

    episodes: Annotated[int, Field(ge=2, le=1000)] = 20
    seed: Seed = 0
    """Of the first episode; the next ones count up."""
    continuous: bool = True
    """No Enter before each step."""


class Document(Strict):
    """The file."""

    policy_port_engine: Literal[1]
    """Version of this format."""
    name: str
    """What is turned, in words."""
    arm: str
    """Robot file of the arm, or the name of a shipped one."""
    policy: str
    """An RSL-RL checkpoint, a run's folder, or so100-reach, which ships."""
    out: str | None = None
    """Folder of everything that is made; one called as the file, beside it, if not given."""
    contract: str | None = None
    """What a checkpoint reads and writes."""
    robot: str | None = None
    """Robot description for the simulator; of the arm's name, if not given."""
    task: str = "so100-reach"
    """What is learnt: so100-reach, or a task file of kind reach."""
    turns: Annotated[int, Field(ge=1, le=50)] = 1
    """Turns at most."""
    emulated: Emulated | None = None
    """An arm that is not there; a real one, if not given."""
    gravity_compensated: bool = False
    """Whether the arm itself holds its links up; servos don't."""
    control: bool = False
    """Whether each turn fine-tunes without the identified dynamics too, to show what they are worth."""
    level: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    """Chance of calling a policy better that is not."""
    collect: Collecting = Collecting()
    identify: Identifying = Identifying()
    finetune: Tuning = Tuning()
    play: Playing = Playing()


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A file that was read, and all that it names."""

    file: Path
    document: Document
    out: Path
    """Where everything goes."""
    arm_file: Path
    arm: RobotFile
    robot: Path
    """Robot description."""
    policy: Path
    """Checkpoint, or a run's folder."""
    contract: Contract
    """What the policy reads and writes, on an arm that feels gravity unless it says otherwise."""
    plan: Plan
    plan_file: Path

    def beside(self, name: str) -> Path:
        """A file that the document names."""
        return (self.file.parent / Path(name).expanduser()).resolve()


def read_engine(path: Path, out: Path | None = None) -> Engine:
    """Read an engine and hold all that it names against each other; nothing runs.

    Raises:
        PolicyPortError: With file, line and key; or of the kind that says what does not fit.
    """
    raw = read_yaml(path, TrainError)
    document = parse(Document, raw, TrainError)
    at = _Places(raw)
    with at.named("arm"):
        arm_file = find_robot_file(at.file(document.arm))
        arm = load_robot_file(arm_file)
    policy, given = _policy(document, at)
    with at.named("policy"):
        start = open_start(policy, given)
    contract = _felt(start.contract, document)
    if contract.robot != arm.name:
        raise TrainError(
            f"{at('policy')}: the policy is of the robot {contract.robot} by its contract '{contract.name}', and "
            f"{document.arm} is of {arm.name}: another robot. Give a policy of {arm.name}, or the arm's own robot file"
        )
    with at.named("robot"):
        robot = find_robot(at.file(document.robot or str(arm.described)))
    stranger = sorted(set(contract.joint_names) - set(joint_names(robot)))
    if stranger:
        raise TrainError(
            f"{at('robot')}: {robot} has no joint {stranger[0]}, which contract '{contract.name}' names: it is another "
            "robot's description"
        )
    check_contract(contract, arm, None)
    _check_task(document, at, contract)
    with at.named("collect", "plan"):
        plan, plan_file = load_plan(at.file(document.collect.plan))
    uses = {segment.use for segment in plan.segments}
    if lacking := {"fit", "held_out"} - uses:
        raise TrainError(
            f"{at('collect', 'plan')}: no segment of {plan_file.name} has `use: {min(lacking)}`; a turn fits one half "
            "and is judged by the other"
        )
    place = out or (path.parent / document.out if document.out else path.with_suffix(""))
    engine = Engine(
        file=path.resolve(), document=document, out=place.resolve(), arm_file=arm_file.resolve(), arm=arm,
        robot=robot.resolve(), policy=policy.resolve(), contract=contract, plan=plan, plan_file=plan_file.resolve(),
    )  # fmt: skip
    with at.named("collect", "plan"):
        motions(plan, arm, Bounds(arm, plan.margin), plan_file.parent, np.random.default_rng(plan.seed))
    _check_identify(engine, at)
    with at.named("finetune", "agent"):
        agent = document.finetune.agent
        read_agent(ReachAgent, "finetune_reach", agent and engine.beside(agent), {"actor": start.network})
    if document.emulated is not None and document.emulated.dynamics is not None:
        with at.named("emulated", "dynamics"):
            dynamics = load_dynamics(engine.beside(document.emulated.dynamics))
            check_robot(dynamics, engine.robot, joint_names(engine.robot))
    with at.named("out"):
        check_output_folder(engine.out / "stages")
    return engine


def _check_identify(engine: Engine, at: _Places) -> None:
    """Read what `identify` is given beside what is collected."""
    identify, names = engine.document.identify, joint_names(engine.robot)
    with at.named("identify", "priors"):
        beside = engine.beside(identify.priors)
        check_joints(load_priors(beside if beside.is_file() else identify.priors), names)
    if identify.payload is not None:
        with at.named("identify", "payload"):
            check_link(engine.robot, identify.payload)
    with at.named("identify", "accept"):
        check_names(identify.accept, names)
    groups = {key: [engine.beside(name) for name in getattr(identify, key)] for key in ("data", "held_out")}
    for key, files in groups.items():
        with at.named("identify", key):
            for item in read_recordings(files, Unstated()):
                item.in_robot(names, None)
    check_apart(groups["data"], groups["held_out"])


class _Places:
    """Where a key stands, for messages."""

    def __init__(self, raw: YamlDocument) -> None:
        self._raw = raw

    def __call__(self, *place: str) -> str:
        return f"{self._raw.path}:{self._raw.line(place)}: {'.'.join(place)}"

    def file(self, name: str) -> str:
        """A file beside the document, or a name of something shipped as it is."""
        beside = self._raw.path.parent / Path(name).expanduser()
        return str(beside) if beside.exists() else name

    @contextlib.contextmanager
    def named(self, *place: str) -> Iterator[None]:
        """Put the key in front of what is refused meanwhile."""
        try:
            yield
        except PolicyPortError as error:
            error.args = (f"{self(*place)}: {error}",)
            raise


def _policy(document: Document, at: _Places) -> tuple[Path, Path | None]:
    """The policy's file or run, and its contract's file; None where the run has it."""
    shipped = assets_dir() / "so100_reach"
    policy = shipped / "model.pt" if document.policy == EMBEDDED else Path(at.file(document.policy))
    if not policy.exists():
        raise TrainError(
            f"{at('policy')}: no such file: {document.policy}{closest(document.policy, [EMBEDDED]) or '.'} Give a "
            f"checkpoint, the folder of a run, or {EMBEDDED}"
        )
    if document.contract is not None:
        return policy, Path(at.file(document.contract))
    if document.policy == EMBEDDED:
        return policy, shipped / "contract.yaml"
    if policy.is_dir():
        return policy, None
    raise TrainError(
        f"{at('policy')}: {policy} does not say what its numbers mean; write `contract:` with its contract"
    )


def _felt(contract: Contract, document: Document) -> Contract:
    """The contract of the arm: whether links feel gravity is the arm's to say, not the training's."""
    actuation = contract.actuation.model_copy(update={"gravity_compensation": document.gravity_compensated})
    return contract.model_copy(update={"actuation": actuation})


def _check_task(document: Document, at: _Places, contract: Contract) -> None:
    task = read_reach(at.file(document.task))
    if task is None:
        raise TaskError(
            f"{at('task')}: {document.task} is no task of kind reach; write so100-reach, or a task file with "
            "`kind: reach`"
        )
    check_reach(contract, find_task(task.task))
