"""The learned actuators of a plant under identified dynamics: opened, held against the robot, and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.plant import PlantState, SimulatedPlant
from policy_port.dynamics.actuator import Actuator
from policy_port.dynamics.document import Dynamics
from policy_port.errors import DynamicsError
from policy_port.plants.actuator_check import DrivenJoints, check_network
from policy_port.plants.actuator_network import LearnedActuator, Network, bounded, same_for_all
from policy_port.plants.mujoco_model import MujocoRobot, build_robot
from policy_port.plants.mujoco_physics import dof_damping, model_with
from policy_port.plants.physics import Physics, apply_effort
from policy_port.plants.setup import JointSetup, PlantSetup

REPLACED = ("stiffness", "drive_damping")
"""Keys that a joint can't have whose drive a network stands for."""


class LearnedDrives:
    """What networks add to the drives of a plant, environment by environment."""

    def __init__(
        self, plant: SimulatedPlant, setup: PlantSetup, robot: Path, dynamics: Sequence[Dynamics], physics: Physics
    ) -> None:
        """Open the networks, and refuse those that are no actuators of this robot.

        Args:
            plant: What they drive.
            setup: What it was set up with.
            robot: Its robot file.
            dynamics: Of each environment.
            physics: What the dynamics say to the simulator.

        Raises:
            DynamicsError: When a network is not what is stated, or not for this robot.
            RobotError: When the robot file is none of MuJoCo's.
        """
        self._plant, self._names = plant, plant.joint_names
        actuators = same_for_all([one.actuator for one in dynamics])
        model = build_robot(robot, setup, meshes=False)
        self._bodies = _Bodies(model, setup, robot, physics, self._names)
        self._limit = np.stack([self._bodies.limit(row) for row in range(plant.num_envs)])
        self._actuators: list[LearnedActuator] = []
        for actuator in actuators:
            columns = _columns(actuator, setup, self._names)
            _check_joints(actuator, [self._names[column] for column in columns], setup, dynamics)
            network = Network(actuator)
            check_network(network, self._bodies.driven(columns))
            self._actuators.append(LearnedActuator(network, columns, plant.num_envs, plant.timestep))
        self.effort = np.zeros((plant.num_envs, len(self._names)))
        """What they gave last [N m], shape (num_envs, joints)."""

    def reset(self, rows: NDArray[np.bool_]) -> None:
        """Environments start anew, at rest."""
        self.effort[rows] = 0.0
        for item in self._actuators:
            item.reset(rows)

    def apply(self, target: Array, state: PlantState) -> None:
        """Drive the plant in its next physics step, in which drives aim at `target` [rad]."""
        self.effort[...] = 0.0
        for item in self._actuators:
            actuator, chosen = item.network.actuator, item.columns
            output = item.output(target, state)
            if actuator.output == "residual_acceleration":
                output = self._bodies.torque(chosen, output, state)
            limit = self._limit[:, chosen]
            self.effort[:, chosen] = bounded(actuator, output, state.joint_vel[:, chosen], limit)
        apply_effort(self._plant, self.effort)


def replaced_drives(dynamics: Sequence[Dynamics], setup: PlantSetup, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which joints have a network in place of their drive, shape (joints,)."""
    found = np.zeros(len(names), dtype=np.bool_)
    for actuator in dynamics[0].actuator:
        if actuator.output == "torque":
            found[_columns(actuator, setup, names)] = True
    return found


def _columns(actuator: Actuator, setup: PlantSetup, names: Sequence[str]) -> NDArray[np.intp]:
    """The joints of an actuator, among the plant's."""
    driven = {joint.name for joint in setup.joints if joint.leader is None and (joint.commanded or joint.stiffness)}
    chosen = [name for name in names if name in driven] if actuator.joints is None else actuator.joints
    return np.array([list(names).index(name) for name in chosen], dtype=np.intp)


def _check_joints(actuator: Actuator, names: Sequence[str], setup: PlantSetup, dynamics: Sequence[Dynamics]) -> None:
    where, by_name = f"dynamics: actuator: {actuator.file}", {joint.name: joint for joint in setup.joints}
    for name in names:
        joint = by_name.get(name, JointSetup(name=name, default=0.0))
        if joint.drive != "position" or joint.leader is not None:
            how = f"follows '{joint.leader}'" if joint.leader else f"is driven by {joint.drive}"
            raise DynamicsError(
                f"{where}: joint '{name}' {how}, and the network's error is of a position; leave it out"
            )
        for key in REPLACED if actuator.output == "torque" else ():
            if any(one.joints.get(name) and getattr(one.joints[name], key) is not None for one in dynamics):
                raise DynamicsError(
                    f"dynamics: joints.{name}.{key}: the network {actuator.file} takes the place of the joint's drive; "
                    "leave it out, or write output: residual_torque"
                )
    if actuator.output == "residual_acceleration" and setup.floating:
        raise DynamicsError(
            f"{where}: output residual_acceleration is of robots that are bolted down: how much torque an acceleration "
            "takes depends on what a floating base does. Train it with output residual_torque"
        )


class _Bodies:
    """A robot's inertia and bounds, by MuJoCo's model of it, whatever simulates it."""

    def __init__(
        self, robot: MujocoRobot, setup: PlantSetup, file: Path, physics: Physics, names: Sequence[str]
    ) -> None:
        self._robot, self._setup, self._file, self._physics = robot, setup, file, physics
        # The gains are the contract's, and what the network takes the place of is not asked here.
        self._physics = replace(physics, stiffness=None, damping=None)
        self._models: dict[int, mujoco.MjModel] = {}
        self._data = mujoco.MjData(robot.model)
        mine = [joint.name for joint in robot.joints]
        self._order = np.array([mine.index(name) for name in names], dtype=np.intp)

    def _model(self, row: int) -> mujoco.MjModel:
        if row not in self._models:
            one, robot = self._physics, self._robot
            self._models[row] = model_with(robot.model, robot, self._setup, self._file, one, row)
        return self._models[row]

    def limit(self, row: int) -> Array:
        """Effort limits [N m], shape (joints,)."""
        robot, model = self._robot, self._model(row)
        found = np.full(len(robot.joints), np.inf)
        drives = robot.ctrl_index
        limited = model.actuator_forcelimited[drives] > 0
        found[robot.driven] = np.where(limited, model.actuator_forcerange[drives, 1], np.inf)
        return found[self._order]

    def driven(self, columns: NDArray[np.intp]) -> DrivenJoints:
        """What the first environment's joints are."""
        model, robot, chosen = self._model(0), self._robot, self._order[columns]
        joints = [robot.joints[index] for index in chosen]
        own = self._physics.joint_damping
        of_file = dof_damping(model)[robot.dof_index[chosen]] if self._setup.actuation == "explicit" else 0.0
        return DrivenJoints(
            names=tuple(joint.name for joint in joints),
            inertia=model.dof_M0[robot.dof_index[chosen]].copy(),
            limit=self.limit(0)[columns],
            stiffness=np.array([joint.stiffness or 0.0 for joint in joints]),
            damping=np.array([joint.damping or 0.0 for joint in joints]),
            joint_damping=np.zeros(len(joints)) + (of_file if own is None else np.nan_to_num(own[0, columns])),
        )

    def torque(self, columns: NDArray[np.intp], acceleration: Array, state: PlantState) -> Array:
        """The torque that accelerations of some joints take beside all else [N m], shape (num_envs, columns)."""
        robot, data = self._robot, self._data
        dofs, found = robot.dof_index, np.empty_like(acceleration)
        for row, asked in enumerate(acceleration):
            model = self._model(row)
            data.qpos[robot.qpos_index[self._order]] = state.joint_pos[row]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_crb(model, data)
            full, out = np.zeros(model.nv), np.zeros(model.nv)
            full[dofs[self._order[columns]]] = asked
            mujoco.mj_mulM(model, data, out, full)
            found[row] = out[dofs[self._order[columns]]]
        return found
