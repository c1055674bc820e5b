"""A sweep: the YAML that names policies, contracts, plants, commands and seeds, and the grid that they span."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from policy_port.contract import Contract, load_contract
from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.yaml_file import Strict, YamlDocument, parse, read_yaml
from policy_port.errors import PolicyPortError, SuiteError, closest
from policy_port.regress.play import CommandStep, Count, EnvCase, ListFile, PlantCase, Play, Seconds
from policy_port.regress.suite import Score
from policy_port.sweep.policies import Policy, find_policies

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Trained(Strict):
    """What checkpoints were trained with. A path alone is its contract."""

    contract: str
    """Contract, a file."""
    mapping: str | None = None
    """Mapping to port with: a file, or the name of a shipped one."""
    library: str | None = None
    """Library that wrote the checkpoints, if it can't be told."""
    statistics: str | None = None
    """VecNormalize's statistics, where they are not named after the checkpoint: a file, or none."""
    ignore: tuple[str, ...] = ()
    """What the policy does not need of the checkpoint, as `--ignore` of `export`."""
    activation: str | None = None
    """Activation of the hidden layers, where the checkpoint does not say."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: Any) -> Any:
        return {"contract": data} if isinstance(data, str) else data


class Asked(Strict):
    """What a policy is asked to do on a plant."""

    command: tuple[float, float, float] | dict[str, float] | None = None
    """A command that is held for `seconds`, as a suite writes one."""
    seconds: Positive | None = None
    """Length of an episode [s]."""
    commands: tuple[CommandStep, ...] = ()
    """Instead: stretches, one after the other."""
    schedule: str | None = None
    """Instead: a schedule file, as `play --schedule` takes it."""
    task: str | None = None
    """Instead: a task, such as so100-reach."""
    goals: dict[str, tuple[float, ...] | Literal["draw"]] = {}
    """What each goal or external term is held at; draw: from its range in each episode."""

    @model_validator(mode="after")
    def _command_has_a_length(self) -> Asked:
        if self.command is not None and (self.seconds is None or self.commands):
            raise ValueError("`command` goes with `seconds`: 3, how long it is held, and not with `commands`")
        return self

    def keys(self) -> dict[str, Any]:
        """The keys of a play."""
        keys = {"schedule": self.schedule, "task": self.task, "goals": self.goals}
        if self.command is None:
            return {**keys, "commands": self.commands, "seconds": self.seconds}
        assert self.seconds is not None
        return {**keys, "commands": (CommandStep(command=self.command, seconds=self.seconds),)}


def _kind(data: Any) -> str:
    return "env" if isinstance(data, EnvCase) or (isinstance(data, dict) and "id" in data) else "simulator"


Where = Annotated[Annotated[PlantCase, Tag("simulator")] | Annotated[EnvCase, Tag("env")], Discriminator(_kind)]


class SweepFile(Strict):
    """The YAML itself. Paths are relative to its folder."""

    sweep_version: Literal[1]
    checkpoints: tuple[str, ...] = Field(min_length=1)
    """Policy files: paths, or patterns such as runs/*/model_*.pt."""
    exclude: tuple[str, ...] = ()
    """Those of them to leave out."""
    contracts: dict[Name, Trained] = Field(min_length=1)
    """What they were trained with, by a name; every checkpoint is played with each."""
    plants: dict[Name, Where] = Field(min_length=1)
    """Simulators with their robots, or ManiSkill's environments, by a name."""
    reference: str | None = None
    """The plant that counts: others are judged by how well they rank the policies as it does."""
    commands: dict[Name, Asked] = {}
    """What is asked on the plants, by a name; environments bring their task along."""
    seeds: Count | tuple[Annotated[int, Field(ge=0, lt=2**32)], ...]
    """How many, from 0 on, or which: every policy gets the same ones."""
    start_noise: NonNegative = 0.0
    """Episodes under a command start up to this far from the default pose, uniform by seed [rad or m]."""
    score: Score = Score()
    """What an episode counts, from 0 to 1."""
    beyond_training: bool = False
    """True to give commands that the contracts say the policies were never asked in training."""
    timeout: Seconds = 600.0
    """Seconds after which a case is given up."""

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> SweepFile:
        if self.reference is not None and self.reference not in self.plants:
            hint = closest(self.reference, self.plants) or "."
            raise ValueError(
                f"reference '{self.reference}' is none of the plants{hint} They are {', '.join(self.plants)}"
            )
        repeated = sorted(seed for seed, times in Counter(self.all_seeds).items() if times > 1)
        if repeated or not self.all_seeds:
            raise ValueError(f"`seeds` must differ, given twice: {repeated}" if repeated else "`seeds` names none")
        envs = [name for name, plant in self.plants.items() if isinstance(plant, EnvCase)]
        if envs and (self.commands or len(envs) < len(self.plants)) and not self._one_task:
            raise ValueError(
                f"plant '{envs[0]}' is an environment, which brings its own task: beside it, plants do one `task` alone"
            )
        return self

    @property
    def _one_task(self) -> bool:
        return len(self.commands) == 1 and next(iter(self.commands.values())).task is not None

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Every seed."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All that seeds have in common."""

    policy: Policy
    contract: str
    plant: str
    command: str
    play: Play

    @property
    def names(self) -> dict[str, str]:
        """Where it stands on each axis of the grid, by the axis's key."""
        policy, contract, plant, command = self.policy.file, self.contract, self.plant, self.command
        return {"checkpoints": policy, "contracts": contract, "plants": plant, "commands": command}


class Sweep(ListFile):
    """A sweep and where it lies."""

    cache = ".sweep_cache"

    def __init__(self, path: Path, file: SweepFile, policies: tuple[Policy, ...]) -> None:
        super().__init__(path)
        self.file, self.policies = file, policies

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The grid; what shares a simulator stands together."""
        file = self.file
        names = itertools.product(file.contracts, file.plants, self.policies, self.asked)
        return tuple(
            Cell(
                policy=policy,
                contract=contract,
                plant=plant,
                command=command,
                play=self._play(policy, contract, plant, command),
            )
            for contract, plant, policy, command in names
        )

    @property
    def asked(self) -> Mapping[str, Asked]:
        """What is asked, by its name; of environments alone, their own task."""
        return self.file.commands or {"task": Asked()}

    def _play(self, policy: Policy, contract: str, plant: str, command: str) -> Play:
        file, where, seeds = self.file, self.file.plants[plant], self.file.all_seeds
        env = isinstance(where, EnvCase)
        asked = {} if env else self.asked[command].keys()
        held = not env and asked["task"] is None
        return Play(
            name=f"{plant}-{command}",
            checkpoint=policy.file,
            **file.contracts[contract].model_dump(),
            plant=None if env else where,
            env=where if env else None,
            **asked,
            start_noise=file.start_noise if held else 0.0,
            seed=min(seeds),
            episodes=max(seeds) - min(seeds) + 1 if len(seeds) > 1 else 1,
            timeout=file.timeout,
        )


def load_sweep(path: Path | str) -> Sweep:
    """Read a sweep, and find all that can be wrong with it without playing it.

    Raises:
        SuiteError: With file, line and key, when it is malformed, or asks for what can't be.
        PolicyPortError: When a contract or a schedule is malformed.
    """
    document = read_yaml(path, SuiteError)
    file = parse(SweepFile, document, SuiteError)
    folder = Path(path).resolve().parent
    where = f"{path}:{document.line(('checkpoints',))}"
    sweep = Sweep(Path(path).resolve(), file, find_policies(folder, file.checkpoints, file.exclude, where))
    try:
        plays = [cell for cell in sweep.cells if cell.policy == sweep.policies[0]]
    except ValidationError as cause:
        found = cause.errors(include_url=False)[0]
        raise SuiteError(f"{path}: {found['msg'].removeprefix('Value error, ')}") from None
    contracts = {name: _contract(sweep, document, name) for name in file.contracts}
    for cell in plays:
        at = f"{path}:{document.line(('commands', cell.command))}"
        outside = [] if file.beyond_training else list(_outside(sweep, cell, contracts[cell.contract], at))
        if outside:
            raise SuiteError(f"{at}: {outside[0]}; mend it, or say that it is meant with `beyond_training: true`")
    return sweep


def _contract(sweep: Sweep, document: YamlDocument, name: str) -> Contract:
    text = sweep.file.contracts[name].contract
    if not sweep.resolve(text).is_file():
        raise SuiteError(
            f"{document.path}:{document.line(('contracts', name))}: contract '{name}': {text} is not there"
        )
    return load_contract(sweep.resolve(text))


def _outside(sweep: Sweep, cell: Cell, contract: Contract, at: str) -> Iterator[str]:
    """Hold what is asked against what the policy reads; yields a sentence for each number beyond its training."""
    from policy_port.regress.advice import in_a_suite
    from policy_port.regress.player import check_task, flown_contract, schedule_of
    from policy_port.replay.goals import HeldGoals
    from policy_port.replay.velocity import outside_trained_range

    play = cell.play
    if play.plant is None:
        return
    if play.schedule is not None and not sweep.resolve(play.schedule).is_file():
        raise SuiteError(f"{at}: command '{cell.command}': {play.schedule} is not there")
    try:
        check_task(play, contract)
        flown_contract(play, contract)
        schedule = schedule_of(sweep, play, contract)
    except PolicyPortError as error:
        raise SuiteError(f"{at}: command '{cell.command}' on '{cell.plant}': {in_a_suite(str(error))}") from None
    told = [step.command for step in play.commands] + ([entry.to for entry in schedule.command] if schedule else [])
    for command in told:
        yield from outside_trained_range(contract, contract.command.vector(command))
    if play.goals:
        yield from HeldGoals(contract, play.goals, "suite").outside()
