"""From a robot file and a setup to a MuJoCo model: drives, ground and light added, the rest as the file has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.plants.mujoco_drives import drive_name, file_drives
from policy_port.plants.mujoco_file import compile_spec, effort_limit, read_mujoco, robot_joints, root_of, set_up_base
from policy_port.plants.mujoco_places import places_of
from policy_port.plants.mujoco_scene import add_scenery
from policy_port.plants.places import Places, Sensor
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.coupling import Followers

NO_LIMIT = 1e10
"""Largest torque of a drive without a limit, where one has to be given [N m]."""


@dataclass(frozen=True, kw_only=True)
class MujocoRobot:
    """A compiled model and where in its arrays the robot's joints are."""

    model: mujoco.MjModel
    """The compiled model."""
    joints: tuple[JointSetup, ...]
    """Hinge and slide joints that the setup names, in the file's order, which is depth-first."""
    qpos_index: NDArray[np.intp]
    """Index of each joint in qpos."""
    dof_index: NDArray[np.intp]
    """Index of each joint in qvel."""
    driven: NDArray[np.intp] | slice
    """Which of the joints are driven: all but followers."""
    ctrl_index: NDArray[np.intp]
    """Index in ctrl of the actuator that drives each driven joint."""
    ctrl_per_target: NDArray[np.float64]
    """Factor from a joint's target to its actuator's control: 1, save for actuators of the file."""
    at_rest: NDArray[np.float64] | None
    """1 for each joint whose target is a position, 0 for others, which are reset to zero; None where all are."""
    followers: Followers
    """Joints of the file that follow others."""
    base_body: int
    """The base link."""
    places: Places
    """What is fixed to it."""
    skipped_meshes: int
    """Number of meshes that were left out."""

    @property
    def bodies(self) -> dict[str, int]:
        """Body of each link."""
        return {self.model.body(body).name: body for body in range(1, self.model.nbody)}


def build_robot(path: Path, setup: PlantSetup, *, meshes: bool, pushes_apart: bool = False) -> MujocoRobot:
    """Load a robot file and set it up.

    Args:
        path: A URDF or MJCF file.
        setup: What the contract asks for.
        meshes: False leaves every mesh out.
        pushes_apart: Give each drive to positions a second actuator, named as `back_name` says: the first only pushes
            forwards, the second backwards. With targets half a gap before and behind, they are a drive with backlash.

    Raises:
        RobotError: When the file can't be loaded or does not fit the setup.
    """
    file = read_mujoco(path, meshes=meshes)
    spec = file.spec
    names = [joint.name for joint in robot_joints(spec, path, setup)]
    followers = setup.followers(file.followers, robot=str(path))
    joints = setup.in_order(names, robot=str(path), followers=followers)
    root = root_of(spec.joint(names[0]).parent, spec)
    set_up_base(spec, root, setup)
    if file.is_urdf:
        for geom in spec.geoms:
            geom.friction[0] = setup.friction
    _set_up_joints(spec, joints, setup)
    if pushes_apart:
        _part_drives(spec, joints)
    sensors = file.sensors
    for element in (*spec.sensors, *spec.keys):
        # They cost time or name actuators that are gone; a plant reads neither.
        spec.delete(element)
    if setup.gravity_compensation:
        for body in root.find_all("body"):
            body.gravcomp = 1.0
        root.gravcomp = 1.0
    add_scenery(spec, root, friction=setup.friction)
    spec.option.timestep = setup.timestep
    # A diverged state must stay visible, not be replaced by the model's default pose in the middle of a rollout.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    model = compile_spec(spec, path, file.skipped_meshes)
    return _locate(model, path, joints, setup, followers, file.skipped_meshes, sensors)


def _set_up_joints(spec: mujoco.MjSpec, joints: tuple[JointSetup, ...], setup: PlantSetup) -> None:
    file_limits = {joint.name: effort_limit(spec, joint.name) for joint in joints}
    if setup.actuation != "model":
        for actuator in list(spec.actuators):
            spec.delete(actuator)
        # With Euler a position actuator's whole torque is computed from the state at the start of the step: that is
        # explicit PD. implicitfast integrates the damping of the drive, as PhysX does.
        implicit = setup.actuation == "implicit"
        integrators = mujoco.mjtIntegrator
        spec.option.integrator = integrators.mjINT_IMPLICITFAST if implicit else integrators.mjINT_EULER
    for joint in joints:
        element = spec.joint(joint.name)
        if joint.armature is not None:
            element.armature = joint.armature
        if joint.leader is not None:
            continue
        limit = joint.effort_limit or file_limits[joint.name]
        if setup.actuation == "model":
            if joint.effort_limit is not None:
                element.actfrclimited = True
                element.actfrcrange = [-joint.effort_limit, joint.effort_limit]
            continue
        implicit = setup.actuation == "implicit"
        if implicit:
            # The drive's damping is the joint's own, which MuJoCo integrates implicitly whatever the drive does. Were
            # it the actuator's, the integrator would drop it from its derivatives as soon as the drive saturates, and
            # a light link would explode; so only the spring feels the effort limit. One number, or in newer MuJoCo
            # three coefficients, of which the first is the linear one.
            # A drive to velocities feels it as a whole: there MuJoCo integrates the actuator's.
            element.damping = np.zeros_like(element.damping)
            element.damping[..., :1] = 0.0 if joint.drive == "velocity" else joint.damping or 0.0
        # The drive carries the limit: a limit of the joint would cut the torque after implicit integration.
        element.actfrclimited = False
        gain, bias = np.zeros(10), np.zeros(10)
        stiffness, damping = joint.stiffness or 0.0, joint.damping or 0.0
        gain[0] = {"position": stiffness, "velocity": damping, "effort": 1.0}[joint.drive]
        if joint.drive == "position":
            bias[1] = -stiffness
        if joint.drive == "velocity" or not implicit:
            bias[2] = -damping
        drive = spec.add_actuator(name=drive_name(joint.name), target=joint.name)
        drive.trntype = mujoco.mjtTrn.mjTRN_JOINT
        drive.gaintype, drive.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        drive.gainprm, drive.biasprm = gain, bias
        drive.ctrllimited = False
        drive.forcelimited = limit is not None
        if limit is not None:
            drive.forcerange = [-limit, limit]


def back_name(joint: str) -> str:
    """Name of the actuator that pushes a joint backwards where drives are parted."""
    return f"{drive_name(joint)}, backwards"


def _part_drives(spec: mujoco.MjSpec, joints: tuple[JointSetup, ...]) -> None:
    for joint in joints:
        if joint.leader is not None or joint.drive != "position":
            continue
        first = spec.actuator(drive_name(joint.name))
        limit = float(first.forcerange[1]) if int(first.forcelimited) == 1 else NO_LIMIT
        second = spec.add_actuator(name=back_name(joint.name), target=joint.name)
        for key in ("trntype", "gaintype", "biastype", "gainprm", "biasprm", "ctrllimited"):
            setattr(second, key, getattr(first, key))
        first.forcelimited = second.forcelimited = True
        first.forcerange, second.forcerange = [0.0, limit], [-limit, 0.0]


def _locate(
    model: mujoco.MjModel,
    path: Path,
    joints: tuple[JointSetup, ...],
    setup: PlantSetup,
    followers: Followers,
    skipped: int,
    sensors: Mapping[str, Sensor],
) -> MujocoRobot:
    ids = np.array([model.joint(joint.name).id for joint in joints], dtype=np.intp)
    driven = np.array([place for place, joint in enumerate(joints) if joint.leader is None], dtype=np.intp)
    ctrl_index = np.zeros(len(driven), dtype=np.intp)
    ctrl_per_target = np.ones(len(joints))
    if setup.actuation == "model":
        drives = file_drives(model, path, {joints[place].name: joints[place].drive for place in driven}, followers)
        ctrl_index[:] = [drive.actuator for drive in drives]
        ctrl_per_target[driven] = [drive.ctrl_per_target for drive in drives]
    else:
        ctrl_index[:] = [model.actuator(drive_name(joints[place].name)).id for place in driven]
    base = int(model.body_rootid[model.jnt_bodyid[ids[0]]])
    at_rest = np.array([float(joint.drive == "position") for joint in joints])
    return MujocoRobot(
        model=model,
        joints=joints,
        qpos_index=model.jnt_qposadr[ids].astype(np.intp),
        dof_index=model.jnt_dofadr[ids].astype(np.intp),
        driven=slice(None) if len(driven) == len(joints) else driven,
        ctrl_index=ctrl_index,
        ctrl_per_target=ctrl_per_target,
        at_rest=None if at_rest.all() else at_rest,
        followers=followers,
        base_body=base,
        places=places_of(model, base, path, sensors, setup.frame),
        skipped_meshes=skipped,
    )
