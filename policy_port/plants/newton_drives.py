"""The drives of a robot in Newton: its own to positions and velocities, rows of MuJoCo's actuators to efforts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import newton
import warp

from policy_port.contract.actions import Drive
from policy_port.errors import RobotError
from policy_port.plants.mujoco_drives import KINDS
from policy_port.plants.newton_file import NO_LIMIT, Source
from policy_port.plants.setup import JointSetup, PlantSetup

Solver = newton.solvers.SolverMuJoCo
VECTOR = warp.types.vector(length=10, dtype=warp.float32)
MODES: dict[Drive, newton.JointTargetMode] = {
    "position": newton.JointTargetMode.POSITION,
    "velocity": newton.JointTargetMode.VELOCITY,
    "effort": newton.JointTargetMode.NONE,
}
"""How Newton calls the drives; one to efforts is an actuator beside them."""

Motors = list[tuple[int, float]]
"""Of each drive to efforts: its index in a world's controls, and control per effort."""


def set_up_joints(
    builder: newton.ModelBuilder,
    indices: list[int],
    joints: tuple[JointSetup, ...],
    setup: PlantSetup,
    source: Source,
    path: Path,
) -> Motors:
    """Give every joint its drive; returns the row of each drive to efforts and its control per effort."""
    motors: Motors = []
    rows: Any = builder.custom_attributes
    if setup.actuation != "model":
        # The file's actuators stay as rows without effect: Newton can't take them out again.
        for row in range(len(rows["mujoco:ctrl_source"].values or ())):
            rows["mujoco:ctrl_source"].values[row] = Solver.CtrlSource.CTRL_DIRECT
            for part in ("gainprm", "biasprm"):
                rows[f"mujoco:actuator_{part}"].values[row] = rows[f"mujoco:actuator_{part}"].dtype()
            if int(rows["mujoco:actuator_gaintype"].values[row]) == mujoco.mjtGain.mjGAIN_MUSCLE:
                # MuJoCo refuses a muscle without its numbers. Zero is none and fixed.
                for part in ("dyntype", "gaintype", "biastype"):
                    rows[f"mujoco:actuator_{part}"].values[row] = 0
    for index, joint in zip(indices, joints, strict=True):
        dof = int(builder.joint_qd_start[index])
        if joint.armature is not None:
            builder.joint_armature[dof] = joint.armature
        if joint.leader is not None:
            continue
        if setup.actuation == "model":
            motors += _file_drive(builder, dof, joint, path)
            if joint.effort_limit is not None:
                builder.joint_effort_limit[dof] = joint.effort_limit
            continue
        implicit, turns = setup.actuation == "implicit", joint.drive == "velocity"
        if implicit:
            # As in the MuJoCo plant, and for its reason: the damping of an implicit drive is the joint's own, save of
            # one to velocities.
            builder.joint_damping[dof] = 0.0 if turns else joint.damping or 0.0
        damping = joint.damping or 0.0 if turns or not implicit else 0.0
        builder.joint_target_mode[dof] = int(MODES[joint.drive])
        builder.joint_target_ke[dof] = joint.stiffness or 0.0
        builder.joint_target_kd[dof] = damping
        # The drive carries the limit: a limit of the joint would cut the torque after implicit integration.
        builder.joint_effort_limit[dof] = NO_LIMIT
        limit = joint.effort_limit or source.limit(joint.name)
        if joint.drive == "effort":
            motors.append((len(rows["mujoco:ctrl_source"].values or ()), 1.0))
            builder.add_custom_values(**_motor(dof, damping), **_limited(limit))
        elif limit is not None:
            kind = Solver.CtrlType.VELOCITY if turns else Solver.CtrlType.POSITION
            builder.add_custom_values(
                **{"mujoco:ctrl_source": Solver.CtrlSource.JOINT_TARGET, "mujoco:ctrl_type": kind},
                **_on_joint(dof),
                **_limited(limit),
            )
    return motors


def _on_joint(dof: int) -> dict[str, Any]:
    return {"mujoco:actuator_trntype": Solver.TrnType.JOINT, "mujoco:actuator_trnid": warp.vec2i(dof, -1)}


def _limited(limit: float | None) -> dict[str, Any]:
    if limit is None:
        return {}
    return {
        "mujoco:actuator_forcelimited": 1,
        "mujoco:actuator_has_forcerange": 1,
        "mujoco:actuator_forcerange": warp.vec2(-limit, limit),
    }


def _motor(dof: int, damping: float) -> dict[str, Any]:
    """A row of its own: Newton's drives have a stiffness in front of every target."""
    rest = [0.0] * 7
    return {
        "mujoco:ctrl_source": Solver.CtrlSource.CTRL_DIRECT,
        "mujoco:actuator_gaintype": int(mujoco.mjtGain.mjGAIN_FIXED),
        "mujoco:actuator_biastype": int(mujoco.mjtBias.mjBIAS_AFFINE),
        "mujoco:actuator_gainprm": VECTOR(1.0, 0.0, 0.0, *rest),
        "mujoco:actuator_biasprm": VECTOR(0.0, 0.0, -damping, *rest),
        **_on_joint(dof),
    }


def let_go(builder: newton.ModelBuilder, dof: int) -> None:
    """Take the drive off a joint that follows another."""
    builder.joint_target_mode[dof] = int(newton.JointTargetMode.NONE)
    builder.joint_target_ke[dof] = builder.joint_target_kd[dof] = 0.0


def _file_drive(builder: newton.ModelBuilder, dof: int, joint: JointSetup, path: Path) -> Motors:
    """Refuse what the file's own actuators can't do in Newton; the row and factor of one that is a motor."""
    rows: Any = builder.custom_attributes
    on_joint = [
        row
        for row, (target, kind) in enumerate(
            zip(rows["mujoco:actuator_trnid"].values or (), rows["mujoco:actuator_trntype"].values or (), strict=True)
        )
        if int(kind) == Solver.TrnType.JOINT and int(target[0]) == dof
    ]
    # A URDF has no actuators; Newton gives its joints position drives of its own making.
    mode, called = builder.joint_target_mode[dof], KINDS[joint.drive]
    if path.suffix.lower() == ".urdf" or mode not in (MODES[joint.drive], newton.JointTargetMode.POSITION_VELOCITY):
        given = f"an actuator that is no <{called}>" if on_joint else "no actuator"
        raise RobotError(
            f"{path}: joint '{joint.name}' has {given} in Newton, but the contract's actuation.kind is model: the "
            f"robot file's {called} actuators. Write kind: implicit or explicit, and stiffness and damping per joint"
        )
    if any(float(rows["mujoco:actuator_gear"].values[row][0]) != 1.0 for row in on_joint):
        raise RobotError(
            f"{path}: the actuator of joint '{joint.name}' has a gear, which Newton leaves out; use --plant mujoco"
        )
    if joint.drive != "effort":
        return []
    direct = [row for row in on_joint if int(rows["mujoco:ctrl_source"].values[row]) == Solver.CtrlSource.CTRL_DIRECT]
    return [(row, 1.0 / float(rows["mujoco:actuator_gainprm"].values[row][0])) for row in direct]
