"""What is played: a policy, where, and what it is asked to do; the YAML of suites and sweeps says it alike."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from policy_port import counts
from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.yaml_file import Strict
from policy_port.files import sha256

Count = Annotated[int, Field(ge=1, le=counts.EPISODES)]
Seed = Annotated[int, Field(ge=0, le=counts.SEED)]
Seconds = Annotated[float, Field(gt=0.0, le=counts.DAY)]


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
    num_envs: Annotated[int, Field(ge=1, le=counts.ENVS)] = 1
    """Environments in one batch, on physx_cuda."""


class CommandStep(Strict):
    """One stretch of a command schedule."""

    command: tuple[float, float, float] | dict[str, float]
    """lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s]; or elements of the contract's command by name, the others at
    their defaults."""
    seconds: Seconds
    """How long [s]."""


class Play(Strict):
    """One replay. Paths are relative to the folder of the file that lists it."""

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
    seconds: Seconds | None = None
    """Length of an episode on a plant of a policy that reads no command [s]."""
    goals: dict[str, tuple[float, ...] | Literal["draw"]] = {}
    """With commands or seconds: what each goal or external term is held at, before its scale; draw: from its range in
    each episode."""
    start_noise: NonNegative = 0.0
    """With commands or seconds: episodes start up to this far from the default pose, uniform by seed [rad or m]."""
    seed: Seed = 0
    """Seed of the first episode; episode e has seed + e."""
    episodes: Count = 1
    """Episodes at most; a statistical expectation stops as soon as the answer is clear."""
    needs: tuple[str, ...] = ()
    """Files and folders without which the case is skipped instead of being a mistake."""
    timeout: Seconds = 600.0
    """Seconds after which the case's process is killed."""

    @model_validator(mode="after")
    def _one_way(self) -> Play:
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
    def judged(self) -> bool:
        """Whether episodes are to be told apart as successes and failures."""
        return True


class ListFile:
    """A YAML file that lists plays, and where it lies."""

    cache: ClassVar[str] = ".regress_cache"
    """Folder beside it that keeps outcomes and the ports that were made; deleting it costs time only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def folder(self) -> Path:
        """What relative paths start from."""
        return self.path.parent

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def resolve(self, text: str) -> Path:
        """A path of the file, from its folder."""
        return (self.folder / text).resolve()

    def resolve_or_name(self, text: str) -> Path | str:
        """A path where it exists, else the name of something that ships with a library."""
        path = self.resolve(text)
        return path if path.exists() else text

    @cached_property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256(self.path)
