"""Plants by the name of their simulator; each simulator is imported only when it is asked for."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Literal, get_args

from policy_port.control.plant import Plant
from policy_port.errors import MissingDependencyError, RobotError, closest
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.find import USD_SUFFIXES, find_robot

PlantKind = Literal["mujoco", "maniskill", "newton"]
PLANT_KINDS: tuple[PlantKind, ...] = get_args(PlantKind)


def make_plant(
    kind: str,
    robot: str | Path,
    setup: PlantSetup,
    *,
    num_envs: int = 1,
    meshes: bool = True,
    shadows: bool = True,
    sim_backend: str = "physx_cpu",
    device: str = "cpu",
    processes: int = 1,
) -> Plant:
    """Stand a robot up in a simulator.

    Args:
        kind: "mujoco", "maniskill" or "newton".
        robot: A robot file, or the name of a robot that comes with ManiSkill.
        setup: What the contract asks for.
        num_envs: Number of environments.
        meshes: False leaves every mesh out.
        shadows: False draws without shadows; MuJoCo only.
        sim_backend: "physx_cpu" or "physx_cuda"; ManiSkill only.
        device: "cpu" or "cuda"; Newton only.
        processes: Share the environments out among so many processes, at most one per environment; CPU only.

    Raises:
        RobotError: When the file can't be loaded or does not fit the setup.
        MissingDependencyError: When the simulator, or a driver it needs, is not here.
    """
    if min(processes, num_envs) > 1:
        if "cuda" in (sim_backend if kind == "maniskill" else device):
            raise RobotError(f"plant '{kind}' on CUDA steps all environments in one batch; leave out --processes")
        from policy_port.plants.process_plant import ProcessPlant

        part = functools.partial(make_plant, kind, robot, setup, meshes=meshes, shadows=shadows)
        return ProcessPlant(part, num_envs=num_envs, processes=processes)
    path = find_robot(robot)
    if path.suffix.lower() in USD_SUFFIXES and kind in ("mujoco", "maniskill"):
        raise RobotError(f"{path}: plant '{kind}' reads URDF and MJCF; USD is read by --plant newton")
    match kind:
        case "mujoco":
            _draw_without_a_screen()
            try:
                from policy_port.plants.mujoco_plant import MujocoPlant
            except ModuleNotFoundError as cause:
                raise _not_installed("mujoco", cause) from None
            return MujocoPlant(path, setup, num_envs=num_envs, meshes=meshes, shadows=shadows)
        case "maniskill":
            try:
                if sim_backend == "physx_cuda":
                    from policy_port.plants.maniskill_gpu import ManiSkillGpuPlant as Simulated
                else:
                    from policy_port.plants.maniskill_plant import ManiSkillPlant as Simulated
            except ModuleNotFoundError as cause:
                raise _not_installed("maniskill", cause) from None
            return Simulated(path, setup, num_envs=num_envs, meshes=meshes)
        case "newton":
            _draw_without_a_screen()
            try:
                from policy_port.plants.newton_plant import NewtonPlant
            except ModuleNotFoundError as cause:
                raise _not_installed("newton", cause) from None
            return NewtonPlant(path, setup, num_envs=num_envs, meshes=meshes, device=device)
        case _:
            hint = closest(kind, PLANT_KINDS)
            raise RobotError(f"no plant is called '{kind}'{hint or '.'} There are: {', '.join(PLANT_KINDS)}")


def _draw_without_a_screen() -> None:
    # MuJoCo chooses how to draw when it is imported, and its own choice on Linux needs a screen.
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        os.environ.setdefault("MUJOCO_GL", "egl")


def _not_installed(kind: str, cause: ModuleNotFoundError) -> MissingDependencyError:
    if cause.name is not None and cause.name.startswith("policy_port"):
        raise cause
    extra = "newton" if kind == "newton" else "sim"
    return MissingDependencyError(
        f"plant '{kind}' needs the Python package {cause.name}, which is not installed: "
        f"pip install 'policy-port[{extra}]'"
    )
