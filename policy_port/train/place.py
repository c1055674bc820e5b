"""Where a training takes place: simulator, robot, task, and how many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from policy_port.contract import Contract
from policy_port.control.plant import SimulatedPlant
from policy_port.descriptors.link_chains import link_chains
from policy_port.dynamics.document import Dynamics, load_dynamics
from policy_port.dynamics.posterior import draw, table
from policy_port.errors import RobotError, TaskError, TrainError
from policy_port.plants.registry import PlantOptions, make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.plants.supervised import ArmLimits
from policy_port.resources import assets_dir
from policy_port.robot_models.find import find_robot
from policy_port.tasks.velocity import VelocityTask, load_task, shipped_tasks
from policy_port.train.environment import PlantEnvironment, make_environment, refuse_hopeless, refuse_other_robot

ANY = "velocity"
"""The task's kind: the shipped velocity task whose links the robot has."""
LIMITS = "limits.yaml"
"""What a run's folder calls the arm's limits."""
LEARNT = 0.9
"""Share of what a joint may stay behind its target that it may while a policy learns: what learns to go up to a bound
goes beyond it on an arm that is a little slower."""
JUDGED = 2**32
"""Added to the seed of dynamics in which checkpoints are judged."""


def check_device(name: str) -> None:
    """Refuse a device of torch's that is not there.

    Raises:
        TrainError: Saying what is.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TrainError(f"device '{name}': there are cpu and cuda; leave --device out, and the CPU computes")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise TrainError(
            f"device '{name}': torch sees {count} CUDA devices here; leave --device out, and the CPU computes"
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Simulator, robot and task."""

    plant: str
    """Name of the simulator."""
    robot: Path
    """The robot file."""
    task: str | Path = ANY
    """A task file, the name of a shipped one, or "velocity"."""
    num_envs: int = 64
    """Number of environments."""
    seed: int = 0
    """Seed of the run."""
    device: str = "cpu"
    """Torch's device; of Newton also the simulator's."""
    dynamics: Path | None = None
    """dynamics.yaml of the robot, where it was identified."""
    randomise: Literal["posterior"] | None = None
    """"posterior": each environment has dynamics of its own, drawn from the document's posterior."""
    limits: ArmLimits | None = None
    """What the supervisor of the arm lets through and stops, where the arm is known."""

    def __post_init__(self) -> None:
        """Refuse a device that is not there, and draws from nothing."""
        if self.randomise is not None and self.dynamics is None:
            raise TrainError("--randomise draws from a dynamics.yaml; give it with --dynamics FILE")
        check_device(self.device)

    def files(self) -> list[Path]:
        """What is read of it, where it is not named by what ships."""
        given = (self.robot, self.task, self.dynamics)
        return [Path(file) for file in given if file is not None and Path(file).is_file()]

    def texts(self) -> dict[str, str | bytes]:
        """What of it a run's folder keeps beside the task, by name."""
        found: dict[str, str | bytes] = {} if self.limits is None else {LIMITS: self.limits.to_yaml()}
        if self.dynamics is None:
            return found
        found["dynamics.yaml"] = self.dynamics.read_text(encoding="utf-8")
        given = load_dynamics(self.dynamics)
        for item in given.actuator:
            if item.file.startswith("model_"):
                raise TrainError(f"{self.dynamics}: actuator.file: a run's folder has a {item.file} of its own; rename")
            found[item.file] = item.data
        if self.randomise is not None:
            found["drawn.csv"] = table(self._drawn(self.num_envs, self.seed))
        return found

    def _drawn(self, num_envs: int, seed: int) -> tuple[Dynamics, ...]:
        """Dynamics of environments: the document's, or a draw for each."""
        if self.dynamics is None:
            return ()
        given = load_dynamics(self.dynamics)
        return (given,) if self.randomise is None else draw(given, num_envs, seed)

    def asked(self) -> dict[str, Any]:
        """Its part of a run's record."""
        return {
            "plant": self.plant,
            "robot": str(find_robot(self.robot).resolve()),
            "num_envs": self.num_envs,
            "seed": self.seed,
            "device": self.device,
            "randomise": self.randomise,
        }

    def make_plant(self, contract: Contract, num_envs: int, *, learning: bool = False) -> SimulatedPlant:
        """The robot, set up as a contract says.

        Args:
            contract: What says so.
            num_envs: Number of environments.
            learning: Draw dynamics as the run does, and keep joints nearer to their targets than the arm's supervisor
                asks for; else others, of which nothing was learnt, and its own bounds.
        """
        limits = _within(self.limits, LEARNT) if learning else self.limits
        options: PlantOptions = {"num_envs": num_envs, "seed": self.seed, "limits": limits}
        if dynamics := self._drawn(num_envs, self.seed + (0 if learning else JUDGED)):
            options["dynamics"] = dynamics
        if self.plant == "newton":
            options["device"] = self.device.partition(":")[0]
        return make_plant(self.plant, self.robot, PlantSetup.from_contract(contract, ported=False), **options)

    def stand_up(self, contracts: Mapping[str, Contract], acting: str) -> PlantEnvironment:
        """Make the environment; see `make_environment`.

        Raises:
            RobotError: When the robot can't be stood up or does not fit a contract.
            TaskError: When the task is for another robot, or a contract reads what no velocity task gives.
        """
        _refuse_bolted(self.robot, contracts[acting])
        plant = self.make_plant(contracts[acting], self.num_envs, learning=True)
        try:
            environment = make_environment(
                plant=plant,
                robot=self.robot,
                contracts=contracts,
                acting=acting,
                task=self._task(plant),
                num_envs=self.num_envs,
                seed=self.seed,
                device=self.device,
            )
            refuse_hopeless(environment)
            return environment
        except BaseException:
            plant.close()
            raise

    def _task(self, plant: SimulatedPlant) -> VelocityTask:
        if str(self.task) != ANY:
            return load_task(self.task)
        for name in shipped_tasks():
            try:
                refuse_other_robot(task := load_task(name), plant, self.robot)
            except TaskError:
                continue
            return task
        raise TaskError(
            f"{self.robot}: no shipped velocity task knows its links; there are {', '.join(shipped_tasks())}. Give "
            f"--task FILE with a task for this robot: copy one of them, from {assets_dir() / 'tasks'}, and name its "
            "base and feet"
        )


def _within(limits: ArmLimits | None, share: float) -> ArmLimits | None:
    """Limits with a share of what joints may stay behind."""
    if limits is None:
        return None
    nearer = {
        name: joint.model_copy(update={"tracking_error": share * joint.tracking_error})
        for name, joint in limits.joints.items()
    }
    return limits.model_copy(update={"joints": nearer})


def _refuse_bolted(robot: Path, contract: Contract) -> None:
    """Refuse a robot file that holds the base fast which the contract lets float: what would learn to walk is no robot.

    A replay frees such a base, as its contract says; a training would take hours over what may be an arm.
    """
    file = find_robot(robot)
    if contract.base.floating and link_chains(file).base(contract.joints) == "bolted":
        raise RobotError(
            f"{file}: bolts its base down, and contract '{contract.name}' says base.floating: true. Give the base a "
            "<freejoint/> (MJCF), take the link world off it (URDF), or name the file of the contract's robot"
        )
