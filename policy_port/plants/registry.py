"""Plants by the name of their simulator; each simulator is imported only when it is asked for."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from policy_port.control.plant import SimulatedPlant
from policy_port.dynamics.document import Dynamics
from policy_port.errors import MissingDependencyError, RobotError, closest
from policy_port.plants.capacity import LEAST, refuse_too_many
from policy_port.plants.collision import collision_shapes
from policy_port.plants.setup import PlantSetup
from policy_port.plants.supervised import ArmLimits, SupervisedPlant
from policy_port.robot_models.find import USD_SUFFIXES, find_robot


class PlantOptions(TypedDict, total=False):
    """How a simulator is to run, whatever the robot."""

    num_envs: int
    """Number of environments; 1, if not given."""
    meshes: bool
    """False leaves every mesh out."""
    shadows: bool
    """False draws without shadows; MuJoCo only."""
    sim_backend: str
    """"physx_cpu" or "physx_cuda"; ManiSkill only."""
    device: str
    """"cpu" or "cuda"; Newton only."""
    processes: int
    """Share the environments out among so many processes, at most one per environment; CPU only."""
    dynamics: Sequence[Dynamics]
    """What was identified of the robot: one for all environments, or one for each."""
    seed: int
    """Seed of the noise that the dynamics put on readings; 0, if not given."""
    limits: ArmLimits | None
    """What the arm's supervisor lets through and stops; nothing is limited or stopped, if not given."""


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """What there is to know of a simulator before it is imported."""

    load: Callable[[bool], Callable[..., SimulatedPlant]]
    """Imports its plant: the one on CUDA, if True."""
    packages: tuple[str, ...]
    """Whose versions decide what it computes."""
    options: tuple[str, ...] = ()
    """Options that its plant takes beside num_envs and meshes."""
    where: str = "device"
    """The option that says whether it runs on CUDA."""
    extra: str = "sim"
    """Extra of this package that installs it."""
    reads_usd: bool = False
    """Whether it reads USD beside URDF and MJCF."""
    draws_with_mujoco: bool = True
    """Whether MuJoCo makes its pictures."""


def _mujoco(on_cuda: bool) -> Callable[..., SimulatedPlant]:
    from policy_port.plants.mujoco_plant import MujocoPlant

    return MujocoPlant


def _maniskill(on_cuda: bool) -> Callable[..., SimulatedPlant]:
    if on_cuda:
        from policy_port.plants.maniskill_gpu import ManiSkillGpuPlant

        return ManiSkillGpuPlant
    from policy_port.plants.maniskill_plant import ManiSkillPlant

    return ManiSkillPlant


def _newton(on_cuda: bool) -> Callable[..., SimulatedPlant]:
    from policy_port.plants.newton_plant import NewtonPlant

    return NewtonPlant


SIMULATORS: dict[str, Simulator] = {
    "mujoco": Simulator(load=_mujoco, packages=("mujoco",), options=("shadows",)),
    "maniskill": Simulator(
        load=_maniskill, packages=("mani_skill", "sapien"), where="sim_backend", draws_with_mujoco=False
    ),
    "newton": Simulator(
        load=_newton,
        packages=("newton", "mujoco-warp", "mujoco"),
        options=("device",),
        extra="newton",
        reads_usd=True,
    ),
}
"""The simulators by name."""


def make_plant(kind: str, robot: str | Path, setup: PlantSetup, **options: Unpack[PlantOptions]) -> SimulatedPlant:
    """Stand a robot up in a simulator.

    Args:
        kind: One of `SIMULATORS`.
        robot: A robot file, or the name of a robot that comes with ManiSkill.
        setup: What the contract asks for.
        **options: How the simulator is to run.

    Raises:
        RobotError: When the file can't be loaded or does not fit the setup.
        DynamicsError: When the dynamics do not fit the robot.
        MissingDependencyError: When the simulator, or a driver it needs, is not here.
    """
    if (limits := options.pop("limits", None)) is not None:
        return SupervisedPlant(make_plant(kind, robot, setup, **options), limits, setup.control_dt)
    if dynamics := options.pop("dynamics", ()):
        from policy_port.plants.dynamic import with_dynamics

        seed = options.pop("seed", 0)
        return with_dynamics(make_plant(kind, robot, setup, **options), setup, find_robot(robot), dynamics, seed=seed)
    options.pop("seed", None)
    if kind not in SIMULATORS:
        hint = closest(kind, SIMULATORS)
        raise RobotError(f"no plant is called '{kind}'{hint or '.'} There are: {', '.join(SIMULATORS)}")
    simulator = SIMULATORS[kind]
    given: dict[str, Any] = {"num_envs": 1, "meshes": True, **options}
    refuse_too_many(given["num_envs"], LEAST, kind)
    on_cuda = "cuda" in given.get(simulator.where, "cpu")
    processes = min(given.pop("processes", 1), given["num_envs"])
    if processes > 1:
        if on_cuda:
            raise RobotError(f"plant '{kind}' on CUDA steps all environments in one batch; leave out --processes")
        from policy_port.plants.process_plant import ProcessPlant

        num_envs = given.pop("num_envs")
        make = functools.partial(make_plant, kind, robot, setup, **given)
        return ProcessPlant(make, num_envs=num_envs, processes=processes)
    path = find_robot(robot)
    if path.suffix.lower() in USD_SUFFIXES and not simulator.reads_usd:
        raise RobotError(f"{path}: plant '{kind}' reads URDF and MJCF; USD is read by --plant newton")
    if (
        simulator.draws_with_mujoco
        and sys.platform == "linux"
        and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    ):
        # MuJoCo chooses how to draw when it is imported, and its own choice on Linux needs a screen.
        os.environ.setdefault("MUJOCO_GL", "egl")
    plant = _imported(kind, on_cuda)
    if setup.falls and not given["meshes"]:
        shapes = collision_shapes(path, setup)
        if shapes is not None:
            shapes.refuse_without_feet(path)
    taken = ("num_envs", "meshes", *simulator.options)
    return plant(path, setup, **{name: value for name, value in given.items() if name in taken})


def _imported(kind: str, on_cuda: bool) -> Callable[..., SimulatedPlant]:
    try:
        return SIMULATORS[kind].load(on_cuda)
    except ModuleNotFoundError as cause:
        if cause.name is not None and cause.name.startswith("policy_port"):
            raise
        raise MissingDependencyError(
            f"plant '{kind}' needs the Python package {cause.name}, which is not installed: "
            f"pip install 'policy-port[{SIMULATORS[kind].extra}]'"
        ) from None
