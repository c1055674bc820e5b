"""Physics per environment in MuJoCo: a model of its own for each, made from the plant's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.plants.mujoco_contacts import is_ground
from policy_port.plants.physics import Physics, grown, known
from policy_port.plants.setup import JointSetup, PlantSetup, find_link

CAN = (
    "ground_friction",
    "base_mass",
    "contact_time",
    "link_mass",
    "stiffness",
    "damping",
    "joint_damping",
    "joint_friction",
    "armature",
    "effort_limit",
    "gravity",
)
"""What MuJoCo can set."""


class Located(Protocol):
    """Where a robot's joints, drives and links are in a MuJoCo model."""

    @property
    def joints(self) -> tuple[JointSetup, ...]:
        """Joints that the setup names, in the plant's order."""
        ...

    @property
    def dof_index(self) -> NDArray[np.intp]:
        """Index of each joint in qvel."""
        ...

    @property
    def driven(self) -> NDArray[np.intp] | slice:
        """Which of the joints are driven: all but followers."""
        ...

    @property
    def ctrl_index(self) -> NDArray[np.intp]:
        """The actuator that drives each driven joint."""
        ...

    @property
    def base_body(self) -> int:
        """The base link."""
        ...

    @property
    def bodies(self) -> Mapping[str, int]:
        """Each link's body, by the name that the robot file gives it."""
        ...


def set_gains(
    model: mujoco.MjModel, robot: Located, setup: PlantSetup, stiffness: Array | None, damping: Array | None
) -> None:
    """Give the drives of a model other gains, shape (joints,); None leaves them."""
    driven, drives = robot.driven, robot.ctrl_index
    if stiffness is not None:
        gains = known(stiffness[driven], model.actuator_gainprm[drives, 0])
        model.actuator_gainprm[drives, 0], model.actuator_biasprm[drives, 1] = gains, -gains
    if damping is not None and setup.actuation == "explicit":
        model.actuator_biasprm[drives, 2] = -known(damping[driven], -model.actuator_biasprm[drives, 2])
    elif damping is not None:
        dofs = robot.dof_index[driven]
        dof_damping(model)[dofs] = known(damping[driven], dof_damping(model)[dofs])


def dof_damping(model: mujoco.MjModel) -> Array:
    """The linear damping of each degree of freedom, a view; newer MuJoCo keeps three coefficients."""
    return model.dof_damping.reshape(model.nv, -1)[:, 0]


def model_with(
    model: mujoco.MjModel, robot: Located, setup: PlantSetup, file: Path, physics: Physics, row: int
) -> mujoco.MjModel:
    """A copy of the plant's model with what `physics` says of an environment.

    Raises:
        RobotError: When a link is not there or would weigh nothing, or gains are not ours to set.
    """
    if physics.stiffness is not None or physics.damping is not None:
        setup.refuse_foreign_gains(file)
    made = copy.copy(model)

    def of(name: str) -> Array | None:
        array = getattr(physics, name)
        return None if array is None else np.asarray(array[row], dtype=np.float64)

    set_gains(made, robot, setup, of("stiffness"), of("damping"))
    dofs = robot.dof_index
    if (own := of("joint_damping")) is not None:
        # Under an implicit drive the joint's damping is the drive's, and its own comes on top.
        implicit = setup.actuation == "implicit"
        now = dof_damping(made)[dofs]
        dof_damping(made)[dofs] = known(own, 0.0) + now if implicit else known(own, now)
    if (loss := of("joint_friction")) is not None:
        made.dof_frictionloss[dofs] = known(loss, made.dof_frictionloss[dofs])
    if (limit := of("effort_limit")) is not None:
        _limit(made, robot, setup, limit)
    if (gravity := of("gravity")) is not None:
        made.opt.gravity[:] = gravity
    # Of two geoms MuJoCo takes the one of higher priority, the larger friction, or a mean: said of both, it holds.
    touching = (made.body_rootid[made.geom_bodyid] == robot.base_body) | is_ground(made)
    if (friction := of("ground_friction")) is not None and not np.isnan(friction):
        made.geom_friction[touching, 0] = friction
        made.pair_friction[:, :2] = friction
    if (rest := of("contact_time")) is not None and not np.isnan(rest):
        made.geom_solref[touching] = made.pair_solref[:] = (rest, 1.0)
    _weigh(made, robot, file, physics, row)
    if (armature := of("armature")) is not None:
        made.dof_armature[dofs] = known(armature, made.dof_armature[dofs])
    # What MuJoCo derives of masses, inertias and armature, such as the weight that constraints reckon with.
    mujoco.mj_setConst(made, mujoco.MjData(made))
    return made


def _limit(model: mujoco.MjModel, robot: Located, setup: PlantSetup, limit: Array) -> None:
    driven, joints = limit[robot.driven], model.dof_jntid[robot.dof_index[robot.driven]]
    stated = ~np.isnan(driven)
    driven, joints, drives = driven[stated], joints[stated], robot.ctrl_index[stated]
    if setup.actuation == "model":
        model.jnt_actfrclimited[joints] = 1
        model.jnt_actfrcrange[joints] = np.stack([-driven, driven], 1)
    else:
        model.actuator_forcelimited[drives] = 1
        model.actuator_forcerange[drives] = np.stack([-driven, driven], 1)


def _weigh(model: mujoco.MjModel, robot: Located, file: Path, physics: Physics, row: int) -> None:
    names, bodies = list(robot.bodies), list(robot.bodies.values())
    links = physics.link_mass or {}
    added = {bodies[find_link(link, names, file)]: float(mass[row]) for link, mass in links.items()}
    if physics.base_mass is not None:
        added[robot.base_body] = added.get(robot.base_body, 0.0) + float(np.nan_to_num(physics.base_mass[row]))
    for body, mass in added.items():
        factor = grown(float(model.body_mass[body]), mass, names[bodies.index(body)], file)
        model.body_mass[body] *= factor
        model.body_inertia[body] *= factor
