"""A regression suite: the YAML that lists cases and what is expected of each."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import SuiteError
from policy_port.files import sha256

SUFFIX = ".regress.yaml"
"""How a suite's file name ends; what stands before it names its folder of baselines."""

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class PlantCase(Strict):
    """A robot driven from the contract in a simulator."""

    simulator: Literal["mujoco", "maniskill", "newton"]
    """Which simulator."""
    robot: str | None = None
    """Robot file relative to the suite, or the name of a robot of ManiSkill; the contract's robot, if not given."""
    timestep: Positive | None = None
    """Physics timestep instead of the contract's [s]."""
    meshes: bool = True
    """False leaves every mesh out."""
    sim_backend: Literal["physx_cpu", "physx_cuda"] = "physx_cpu"
    """Where ManiSkill's physics runs."""


class EnvCase(Strict):
    """A ManiSkill task environment."""

    id: str
    """Name under which the environment is registered."""
    control_mode: str | None = None
    """One of the environment's controllers; its own default, if not given."""
    sim_backend: Literal["physx_cpu", "physx_cuda"] = "physx_cpu"
    """Where the physics runs."""
    num_envs: Count = 1
    """Environments in one batch, on physx_cuda."""


class CommandStep(Strict):
    """One stretch of a command schedule."""

    command: tuple[float, float, float] | dict[str, float]
    """lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s]; or elements of the contract's command by name, the others at
    their defaults."""
    seconds: Positive
    """How long [s]."""


class OpenLoop(Strict):
    """The same stored states must give the same observations, actions and targets."""

    steps: Count = 50
    """Control steps to store."""
    tolerance: Positive = 1e-4
    """Largest difference, as a share of the element's largest stored value or of 1, whichever is larger."""


class Golden(Strict):
    """The same episodes must take the same course, as far as the simulator repeats itself."""

    episodes: Count = 1
    """Episodes to store, the first ones."""
    tolerance: Positive = 1e-3
    """Largest difference of a joint position [rad or m] or a base position [m]."""
    every: Count = 4
    """Store each how-manieth control step."""


class Statistical(Strict):
    """The outcome must not be worse than the stored one; the same seeds are compared."""

    measure: Literal["success", "error"] = "success"
    """success: share of episodes that succeed. error: mean error, see `cap`."""
    margin: Share = 0.1
    """A drop that must not pass: of the success rate, or of the mean error as a share of `cap`."""
    cap: Positive | None = None
    """With `error`: an error counts as no worse than this [m at the end of a reach, m/s of a command]."""

    @model_validator(mode="after")
    def _cap_goes_with_error(self) -> Statistical:
        if (self.measure == "error") != (self.cap is not None):
            raise ValueError("`cap` goes with `measure: error`, which needs it: the largest error that still matters")
        return self


class Expect(Strict):
    """What is expected of a case; at least one."""

    open_loop: OpenLoop | None = None
    golden: Golden | None = None
    statistical: Statistical | None = None

    @model_validator(mode="after")
    def _something(self) -> Expect:
        if self.open_loop is None and self.golden is None and self.statistical is None:
            raise ValueError("expects nothing; give open_loop, golden or statistical, each may be {}")
        return self


class Case(Strict):
    """One replay and what is expected of it. Paths are relative to the suite's folder."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name of the case and of its baseline's files."""
    port: str | None = None
    """Port folder; or, instead, checkpoint and contract, from which a port is made."""
    checkpoint: str | None = None
    """Policy file."""
    contract: str | None = None
    """Contract that the checkpoint was trained with."""
    mapping: str | None = None
    """Mapping to port it with: a file, or the name of a shipped one."""
    library: str | None = None
    """Library that wrote the checkpoint, if it can't be told."""
    statistics: str | None = None
    """VecNormalize's statistics of the checkpoint, where they are not named after it: a file, or none."""
    ignore: tuple[str, ...] = ()
    """What the policy does not need of the checkpoint, as `--ignore` of `export`."""
    activation: str | None = None
    """Activation of the hidden layers, where the checkpoint does not say."""
    fold: bool = False
    """Fold the remap into the first and last layer."""
    through: str | None = None
    """Mapping that the port was made with, when the simulator speaks its source side."""
    plant: PlantCase | None = None
    env: EnvCase | None = None
    task: str | None = None
    """Task on a plant, such as so100-reach."""
    commands: tuple[CommandStep, ...] = ()
    """Command schedule on a plant, one after the other in each episode."""
    schedule: str | None = None
    """Schedule as `play --schedule` takes it, instead of commands: ramps and pushes; its `seconds` say how long."""
    seconds: Positive | None = None
    """Length of an episode on a plant of a policy that reads no command [s]."""
    goals: dict[str, tuple[float, ...] | Literal["draw"]] = {}
    """With commands or seconds: what each goal or external term is held at, before its scale; draw: from its range in
    each episode."""
    start_noise: NonNegative = 0.0
    """With commands or seconds: episodes start up to this far from the default pose, uniform by seed [rad or m]."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the first episode; episode e has seed + e."""
    episodes: Count = 1
    """Episodes at most; a statistical expectation stops as soon as the answer is clear."""
    needs: tuple[str, ...] = ()
    """Files and folders without which the case is skipped instead of being a mistake."""
    timeout: Positive = 600.0
    """Seconds after which the case's process is killed."""
    expect: Expect

    @model_validator(mode="after")
    def _one_way(self) -> Case:
        if (self.port is None) == (self.checkpoint is None):
            raise ValueError(f"case '{self.name}': give exactly one of port and checkpoint")
        if self.checkpoint is not None and self.contract is None:
            raise ValueError(f"case '{self.name}': a checkpoint needs its contract")
        keys = ("contract", "mapping", "library", "statistics", "ignore", "activation", "fold")
        foreign = [key for key in keys if getattr(self, key)]
        if self.port is not None and foreign:
            raise ValueError(f"case '{self.name}': {', '.join(foreign)} goes with checkpoint, not with port")
        if (self.plant is None) == (self.env is None):
            raise ValueError(f"case '{self.name}': give exactly one of plant and env")
        self._check_work()
        wanted = self.expect.golden.episodes if self.expect.golden is not None else 1
        if wanted > self.episodes:
            raise ValueError(f"case '{self.name}': golden wants {wanted} episodes, the case has {self.episodes}")
        return self

    def _check_work(self) -> None:
        ways = [key for key in ("task", "commands", "schedule", "seconds") if getattr(self, key)]
        held = ways in (["commands"], ["schedule"], ["seconds"])
        if self.env is not None and (ways or self.goals):
            raise ValueError(f"case '{self.name}': an env brings its task; {(ways or ['goals'])[0]} goes with plant")
        if self.plant is not None and len(ways) != 1:
            raise ValueError(
                f"case '{self.name}': on a plant, give exactly one of task, commands and schedule, or seconds for a "
                "policy that reads no command"
            )
        for key in ("start_noise", "goals"):
            if getattr(self, key) and not held:
                raise ValueError(
                    f"case '{self.name}': {key} goes with commands, schedule or seconds; tasks draw theirs"
                )
        if held and self.episodes > 1 and not self.start_noise and "draw" not in self.goals.values():
            raise ValueError(
                f"case '{self.name}': {self.episodes} episodes would all be the same one; give start_noise, draw a "
                "goal, or leave episodes out"
            )

    @property
    def protocol(self) -> dict[str, Any]:
        """What a baseline depends on beside the policy and the robot: it must not change under a baseline."""
        expect = self.expect
        # Only where they are given, so that baselines of cases without them stay valid.
        held = {
            "schedule": self.schedule,
            "seconds": self.seconds,
            "goals": self.goals and self.model_dump(mode="json")["goals"],
        }
        return {
            **{key: value for key, value in held.items() if value},
            "plant": self.plant and self.plant.model_dump(mode="json"),
            "env": self.env and self.env.model_dump(mode="json"),
            "task": self.task,
            "commands": [step.model_dump(mode="json") for step in self.commands],
            "start_noise": self.start_noise,
            "seed": self.seed,
            "episodes": self.episodes,
            "open_loop.steps": expect.open_loop and expect.open_loop.steps,
            "golden.episodes": expect.golden and expect.golden.episodes,
            "golden.every": expect.golden and expect.golden.every,
            "golden.tolerance": expect.golden and expect.golden.tolerance,
            "statistical": expect.statistical is not None,
        }


class SuiteFile(Strict):
    """The YAML itself."""

    suite_version: Literal[1]
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    """Of the whole suite: the chance that any statistical expectation alarms without a regression is at most one
    minus this, and so is each one's chance to pass a drop of its margin."""
    cases: tuple[Case, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> SuiteFile:
        names = [case.name for case in self.cases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two cases are called {', '.join(repeated)}; baselines are kept by name")
        return self


class Suite:
    """A suite and where it lies."""

    def __init__(self, path: Path, file: SuiteFile) -> None:
        self.path = path
        self.file = file

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases in the file's order."""
        return self.file.cases

    @property
    def folder(self) -> Path:
        """What relative paths start from."""
        return self.path.parent

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return _name(self.path)

    @property
    def baselines(self) -> Path:
        """Folder of the baselines."""
        return baselines_of(self.path)

    def baseline_files(self, case: str) -> tuple[Path, Path]:
        """What is stored of a case: the document and the arrays."""
        return self.baselines / f"{case}.json", self.baselines / f"{case}.npz"

    @property
    def alarm_rate(self) -> float:
        """Chance of a false alarm that each statistical expectation may use up: an equal share of the suite's."""
        count = sum(case.expect.statistical is not None for case in self.cases)
        return (1.0 - self.file.confidence) / max(1, count)

    @property
    def miss_rate(self) -> float:
        """Chance of each statistical expectation to pass a drop of its margin."""
        return 1.0 - self.file.confidence

    def case(self, name: str) -> Case:
        """The case of that name."""
        return next(case for case in self.cases if case.name == name)

    def protocol(self, case: Case) -> dict[str, Any]:
        """What the baseline of a case depends on: its keys, and what stands in its schedule file."""
        if case.schedule is None:
            return case.protocol
        return {**case.protocol, "schedule's content": sha256(self.resolve(case.schedule))[:12]}

    def resolve(self, text: str) -> Path:
        """A path of the file, from the suite's folder."""
        return (self.folder / text).resolve()

    def resolve_or_name(self, text: str) -> Path | str:
        """A path where it exists, else the name of something that ships with a library."""
        path = self.resolve(text)
        return path if path.exists() else text

    @cached_property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256(self.path)


def baselines_of(path: Path) -> Path:
    """Folder of the baselines of a suite's file."""
    return path.parent / f"{_name(path)}.baselines"


def _name(path: Path) -> str:
    return path.name.removesuffix(SUFFIX).removesuffix(".yaml").removesuffix(".yml")


def load_suite(path: Path | str) -> Suite:
    """Read a suite.

    Raises:
        SuiteError: With file, line and key, when it is missing or malformed, or names a file that is not there.
    """
    document = read_yaml(path, SuiteError)
    suite = Suite(Path(path).resolve(), parse(SuiteFile, document, SuiteError))
    missing = []
    for number, case in enumerate(suite.cases):
        if any(not suite.resolve(need).exists() for need in case.needs):
            continue
        for key in ("port", "checkpoint", "contract", "schedule"):
            text = getattr(case, key)
            if text is not None and not suite.resolve(text).exists():
                line = document.line(("cases", number, key))
                missing.append(f"{path}:{line}: case '{case.name}': {key} {text}: is not there")
    if missing:
        raise SuiteError("\n".join(missing) + "\nA case that some machines can't run lists such paths under `needs`")
    return suite
