"""The arm's mechanics as a MuJoCo model of the robot description."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics, RobotOf
from policy_port.errors import EmulatorError
from policy_port.plants.dynamic import DynamicPlant, with_dynamics
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.find import find_robot
from policy_port.robots.emulator.mechanics import Drive, Shaft
from policy_port.robots.emulator.options import ArmOptions
from policy_port.robots.emulator.tick_map import TickScale

# Identified from a recording of a real SO100: damping over stiffness is well known, 0.14 to 0.17 s; the stiffness
# makes an outstretched arm sag as the real one does. The armature is a published figure of the STS3215.
STIFFNESS, DAMPING, ARMATURE, EFFORT_LIMIT = 20.0, 2.8, 0.028, 3.0
TIMESTEP = 0.0025


class SimulatedJoints:
    """Joints of a simulated robot under joint position control; see `Mechanics`."""

    def __init__(
        self,
        plant: DynamicPlant,
        order: Sequence[int],
        scales: Sequence[TickScale],
        offsets: Sequence[int],
        limit: float,
    ) -> None:
        """Take over a plant that stands at its start pose.

        Args:
            plant: The simulator.
            order: Index of each servo's joint in the plant's order.
            scales: Angle of each servo's reading.
            offsets: Homing offset of each servo [ticks].
            limit: Largest torque of a drive [N m].
        """
        self._plant, self._order, self._limit = plant, tuple(order), limit
        self._scales, self._offsets = tuple(scales), tuple(offsets)
        self._state, self._truth = (PlantState.allocate(1, len(plant.joint_names)) for _ in range(2))
        self._target = np.zeros((1, len(plant.joint_names)))
        self.step_time = plant.timestep
        self.shafts = tuple(Shaft() for _ in order)
        self._held: list[float | None] = [None] * len(self._order)
        self._read()

    def step(self, drives: Sequence[Drive]) -> None:
        """Let one time step pass."""
        present, forced = self._truth.joint_pos[0], self._plant.forced
        for index, drive in enumerate(drives):
            joint = self._order[index]
            if not drive.stuck:
                self._held[index] = None
            elif self._held[index] is None:
                self._held[index] = float(present[joint])
            held, powerless = self._held[index], abs(self.shafts[index].load) > drive.torque_limit
            forced[0, joint] = np.nan
            if held is not None:
                target = forced[0, joint] = held
            elif drive.set_point is None or powerless:
                # A drive that aims at where the joint is gives no torque but the gears' damping: the arm sinks.
                target = forced[0, joint] = float(present[joint])
            else:
                target = self._scales[index].angle(drive.set_point - self._offsets[index])
            self._target[0, joint] = target
        self._plant.write(self._target)
        self._plant.step(1)
        self._read()

    def push(self, index: int, ticks: float) -> None:
        """Displace a joint from outside; the arm stands still for a moment."""
        moved = self._truth.joint_pos.copy()
        moved[0, self._order[index]] += ticks * self._scales[index].slope
        self._plant.reset(moved)
        self._read()

    def close(self) -> None:
        """Free the simulator."""
        self._plant.close()

    def _read(self) -> None:
        self._plant.truth(self._truth)
        self._plant.read(self._state)
        effort = self._plant.effort()[0]
        for index, shaft in enumerate(self.shafts):
            joint, scale = self._order[index], self._scales[index]
            shaft.position = scale.ticks(float(self._state.joint_pos[0, joint])) + self._offsets[index]
            truth = scale.ticks(float(self._truth.joint_pos[0, joint])) + self._offsets[index]
            shaft.misread = shaft.position - truth
            shaft.velocity = float(self._state.joint_vel[0, joint]) / scale.slope
            shaft.load = float(effort[joint]) / self._limit * (1.0 if scale.slope > 0.0 else -1.0)


def so100_setup(joints: Mapping[str, float]) -> PlantSetup:
    """The SO100's servos as a plant's drives.

    Args:
        joints: Default position [rad] of each joint of the robot description.
    """
    return PlantSetup(
        joints=tuple(
            JointSetup(
                name=name,
                default=default,
                stiffness=STIFFNESS,
                damping=DAMPING,
                armature=ARMATURE,
                effort_limit=EFFORT_LIMIT,
            )
            for name, default in joints.items()
        ),
        actuation="implicit",
        timestep=TIMESTEP,
        control_dt=0.05,
        floating=False,
    )


def simulate(options: ArmOptions, scales: Mapping[str, TickScale], pose: Mapping[str, float]) -> SimulatedJoints:
    """Stand the robot up in MuJoCo.

    Args:
        options: The arm.
        scales: Angle of each servo's reading.
        pose: Angle of each servo's joint at the start [rad].

    Raises:
        RobotError: When the robot description does not have the joints.
        MissingDependencyError: When MuJoCo or ManiSkill, which ships the description, is not installed.
    """
    # Cameras draw on threads of their own, which only EGL allows; MuJoCo chooses when it is first imported.
    os.environ.setdefault("MUJOCO_GL", "egl")
    names = {servo: scale.joint for servo, scale in scales.items()}
    setup = options.plant_setup or so100_setup({names[servo]: angle for servo, angle in pose.items()})
    robot = find_robot(options.description)
    dynamics = options.dynamics or Dynamics(policy_port_dynamics=1, robot=RobotOf(file=robot.name))
    plant = with_dynamics(make_plant("mujoco", robot, setup), setup, robot, [dynamics], seed=options.seed)
    missing = [name for name in names.values() if name not in plant.joint_names]
    if missing:
        raise EmulatorError(f"{robot} has no joint {missing[0]}; it has: {', '.join(plant.joint_names)}")
    start = np.zeros((1, len(plant.joint_names)))
    order = [plant.joint_names.index(names[servo]) for servo in options.calibration]
    start[0, order] = [pose[servo] for servo in options.calibration]
    plant.reset(start)
    limits = [joint.effort_limit or EFFORT_LIMIT for joint in setup.joints]
    offsets = [known.homing_offset for known in options.calibration.values()]
    return SimulatedJoints(plant, order, [scales[servo] for servo in options.calibration], offsets, max(limits))
