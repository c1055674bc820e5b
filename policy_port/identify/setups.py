"""How a robot file is stood up to be identified, and how it is as it comes: its stock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from policy_port.contract import Contract
from policy_port.errors import RobotError
from policy_port.plants.mujoco_file import effort_limit, read_mujoco
from policy_port.plants.setup import JointSetup, PlantSetup

TIMESTEP = 0.005
"""Longest physics timestep where no contract states one [s]."""


def joint_names(robot: Path) -> tuple[str, ...]:
    """Joints of a robot file that somebody drives, in the file's order.

    Raises:
        RobotError: When it can't be read, or has none.
    """
    file = read_mujoco(robot, meshes=False)
    names = [joint.name for joint in file.spec.joints if joint.name and joint.type in (2, 3)]
    names = [name for name in names if name not in file.followers]
    if not names:
        raise RobotError(f"{robot}: has no joints to drive")
    return tuple(names)


def check_link(robot: Path, link: str) -> None:
    """Refuse a payload on a link that a robot has not.

    Raises:
        RobotError: Naming the links that there are.
    """
    links = [body.name for body in read_mujoco(robot, meshes=False).spec.bodies[1:]]
    if link not in links:
        raise RobotError(f"{robot}: has no link '{link}' to carry a payload; it has: {', '.join(links)}")


def stock_setup(robot: Path, contract: Contract | None, timestep: float | None) -> PlantSetup:
    """The robot as it comes: by its contract, or by the robot file's own actuators.

    Raises:
        RobotError: When neither says how joints are driven, or the robot walks.
        ContractError: When the contract lacks gains.
    """
    if contract is not None:
        setup = PlantSetup.from_contract(contract, timestep=timestep, ported=False)
        if setup.floating:
            raise RobotError(
                f"contract '{contract.name}' is of a robot with a floating base; identify predicts arms that are "
                "bolted down, whose joints say all there is to know of their state"
            )
        names, stated = joint_names(robot), [joint.name for joint in setup.joints]
        if {*names} - {*stated} or {*stated} - {*names} - {*read_mujoco(robot, meshes=False).followers}:
            raise RobotError(
                f"contract '{contract.name}' is of another robot: its joints are {', '.join(stated)}, those of {robot} "
                f"are {', '.join(names)}. Give the contract of this robot with --contract FILE"
            )
        return setup
    names, step = joint_names(robot), timestep or TIMESTEP
    spec = read_mujoco(robot, meshes=False).spec
    driven = {actuator.target for actuator in spec.actuators}
    bare = [name for name in names if name not in driven]
    if bare:
        raise RobotError(
            f"{robot}: no actuator drives joint {bare[0]}, so nothing says what stock is. Give the contract that "
            "states stiffness and damping with --contract FILE"
        )
    joints = tuple(JointSetup(name=name, default=0.0, commanded=True) for name in names)
    return PlantSetup(joints=joints, actuation="model", timestep=step, control_dt=step, floating=False)


def fitted_setup(robot: Path, stock: PlantSetup) -> PlantSetup:
    """The same robot with drives whose every number can be searched: implicit ones to positions."""
    spec = read_mujoco(robot, meshes=False).spec
    joints = tuple(
        replace(
            joint,
            drive="position",
            stiffness=joint.stiffness or 1.0,
            damping=0.0,
            effort_limit=joint.effort_limit or effort_limit(spec, joint.name),
        )
        for joint in stock.joints
    )
    return replace(stock, joints=joints, actuation="implicit")


def finite(limits: np.ndarray) -> np.ndarray:
    """Limits of joints [rad], one turn either way where there are none; shape (joints, 2)."""
    return np.clip(limits, -2.0 * np.pi, 2.0 * np.pi)
