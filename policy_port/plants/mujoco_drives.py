"""The actuators of an MJCF as the compiled model has them: what drives joints under actuation kind "model"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from policy_port.contract.actions import Drive
from policy_port.errors import RobotError
from policy_port.robot_models.coupling import Followers

ON_JOINT = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
INSTEAD = "Write kind: implicit or explicit in the contract, and stiffness, damping and armature per joint"
KINDS: dict[Drive, str] = {"position": "position", "velocity": "velocity", "effort": "motor"}
"""What MJCF calls the actuator of a drive."""
IS: dict[Drive, str] = {
    "position": "pulls to a position",
    "velocity": "is a velocity servo",
    "effort": "is a motor without gains",
}
PLAIN = (mujoco.mjtBias.mjBIAS_NONE, mujoco.mjtBias.mjBIAS_AFFINE)


@dataclass(frozen=True, kw_only=True)
class FileDrive:
    """A joint's actuator, and the velocity servos that hold it still beside it."""

    actuator: int
    """Index of the actuator."""
    ctrl_per_target: float
    """Control per joint target."""
    gain: float
    """Torque per unit that the joint is off its target: stiffness, or damping of a velocity servo; 1 of a motor."""
    damping: float
    """Against motion, beside that, of all its actuators [N m s/rad or N s/m]."""
    targets: tuple[float, float] | None
    """Range to which the actuator clips the joint's target [rad or m, rad/s or m/s, N m or N]; None where it does
    not."""


def drive_name(joint: str) -> str:
    """Name of the actuator that a setup gives a joint."""
    return f"drive of {joint}"


def file_drives(
    model: mujoco.MjModel, path: Path, joints: Mapping[str, Drive], followers: Followers
) -> list[FileDrive]:
    """The actuator of each joint, of the kind that its drive asks for.

    Raises:
        RobotError: When a joint has none that only follows its target, or an actuator that nobody commands pulls.
    """
    drives = [_drive(model, path, name, kind) for name, kind in joints.items()]
    mine = {model.joint(name).id for name in joints}
    for actuator in range(model.nu):
        target = int(model.actuator_trnid[actuator, 0])
        if (_on_joint(model, actuator) and target in mine) or not _pulls(model, actuator):
            continue
        what = _transmission(model, actuator)
        name = model.joint(target).name if _on_joint(model, actuator) else ""
        if name in followers:
            what += f", which follows joint '{followers[name].leader}' ({followers[name].said_by})"
        raise RobotError(
            f"{path}: actuator {_called(model, actuator)} pulls at {what}, and nobody commands it: the contract's "
            f"actuation.kind is model, and its control would stay 0. Take it out of the file. Or: {INSTEAD}"
        )
    return drives


def _drive(model: mujoco.MjModel, path: Path, joint: str, kind: Drive) -> FileDrive:
    index, called = model.joint(joint).id, KINDS[kind]
    mine = [a for a in range(model.nu) if _on_joint(model, a) and model.actuator_trnid[a, 0] == index]
    fitting = [a for a in mine if not _unlike(model, a, kind)]
    if len(fitting) != 1:
        given = "; ".join(
            f"actuator {_called(model, a)}, which {_unlike(model, a, kind)}" for a in mine
        ) or _driven_otherwise(model, index)
        if len(fitting) > 1:
            given = f"{len(fitting)} {called} actuators, {', '.join(_called(model, a) for a in fitting)}"
        raise RobotError(
            f"{path}: joint '{joint}' has {given}; the contract's actuation.kind is model: the robot file's {called} "
            f"actuators, one per joint. {INSTEAD}"
        )
    chosen = fitting[0]
    for other in mine:
        if other != chosen and _pulls(model, other, still=True):
            raise RobotError(
                f"{path}: joint '{joint}' has actuator {_called(model, other)} beside its {called} actuator "
                f"{_called(model, chosen)}, which pulls while its control stays 0. Take it out of the file. "
                f"Or: {INSTEAD}"
            )
    gear, gain = float(model.actuator_gear[chosen, 0]), float(model.actuator_gainprm[chosen, 0])
    _, stiffness, damping = (-float(number) for number in model.actuator_biasprm[chosen, :3])
    # Of the joint; an actuator sees its joint through the gear on both ways.
    own = {"position": stiffness * gear**2, "velocity": damping * gear**2, "effort": 1.0}[kind]
    per_target = own / (gain * gear)
    low, high = (float(value) / per_target for value in model.actuator_ctrlrange[chosen])
    resisting = [
        -float(model.actuator_biasprm[a, 2]) * float(model.actuator_gear[a, 0]) ** 2
        for a in mine
        if model.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_AFFINE and not (a == chosen and kind == "velocity")
    ]
    return FileDrive(
        actuator=chosen,
        ctrl_per_target=per_target,
        gain=own,
        damping=sum(resisting),
        targets=(min(low, high), max(low, high)) if model.actuator_ctrllimited[chosen] else None,
    )


def _unlike(model: mujoco.MjModel, actuator: int, kind: Drive) -> str:
    """Why an actuator does not only pull a joint to its target, as a clause; "" where it does."""
    dynamics = mujoco.mjtDyn(model.actuator_dyntype[actuator])
    if dynamics == mujoco.mjtDyn.mjDYN_INTEGRATOR:
        return "integrates its control, as <intvelocity> does (dyntype integrator)"
    if dynamics in (mujoco.mjtDyn.mjDYN_FILTER, mujoco.mjtDyn.mjDYN_FILTEREXACT):
        return "lags behind its control (timeconst), which no other simulator does"
    if dynamics != mujoco.mjtDyn.mjDYN_NONE:
        return f"has a dyntype, {dynamics.name.removeprefix('mjDYN_').lower()}"
    if model.actuator_gaintype[actuator] != mujoco.mjtGain.mjGAIN_FIXED:
        return "has a gain that is not fixed"
    bias, form = model.actuator_biasprm[actuator], mujoco.mjtBias(model.actuator_biastype[actuator])
    affine = form == mujoco.mjtBias.mjBIAS_AFFINE
    found: Drive = "position" if affine and bias[1] < 0.0 else "velocity" if affine and bias[2] < 0.0 else "effort"
    if found != kind:
        return IS[found]
    if found != "position" and (form not in PLAIN or (affine and bias[1] != 0.0)):
        return "has a force of its own (biasprm)"
    if model.actuator_gainprm[actuator, 0] <= 0.0 or model.actuator_gear[actuator, 0] == 0.0:
        return "has no gain on its control"
    if affine and bias[0] != 0.0:
        return f"pulls with {bias[0]:g} at all times (biasprm)"
    return ""


def _pulls(model: mujoco.MjModel, actuator: int, *, still: bool = False) -> bool:
    """Whether an actuator has a force while its control stays 0; with `still`, one against motion does not count."""
    bias = model.actuator_biasprm[actuator]
    match mujoco.mjtBias(model.actuator_biastype[actuator]):
        case mujoco.mjtBias.mjBIAS_NONE:
            return model.actuator_dyntype[actuator] == mujoco.mjtDyn.mjDYN_USER
        case mujoco.mjtBias.mjBIAS_AFFINE:
            return bool(np.any(bias[: 2 if still else 3]))
        case _:
            return True


def _on_joint(model: mujoco.MjModel, actuator: int) -> bool:
    return mujoco.mjtTrn(model.actuator_trntype[actuator]) in ON_JOINT


def _called(model: mujoco.MjModel, actuator: int) -> str:
    name = model.actuator(actuator).name
    return f"'{name}'" if name else f"number {actuator + 1}"


def _transmission(model: mujoco.MjModel, actuator: int) -> str:
    target = int(model.actuator_trnid[actuator, 0])
    match mujoco.mjtTrn(model.actuator_trntype[actuator]):
        case mujoco.mjtTrn.mjTRN_JOINT | mujoco.mjtTrn.mjTRN_JOINTINPARENT:
            return f"joint '{model.joint(target).name}'"
        case mujoco.mjtTrn.mjTRN_TENDON:
            return f"tendon '{model.tendon(target).name}'"
        case mujoco.mjtTrn.mjTRN_BODY:
            return f"body '{model.body(target).name}'"
        case _:
            return f"site '{model.site(target).name}'"


def _driven_otherwise(model: mujoco.MjModel, joint: int) -> str:
    """What is said of a joint without an actuator of its own."""
    for actuator in range(model.nu):
        if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_TENDON:
            tendon = int(model.actuator_trnid[actuator, 0])
            first = int(model.tendon_adr[tendon])
            wraps = range(first, first + int(model.tendon_num[tendon]))
            if any(model.wrap_type[w] == mujoco.mjtWrap.mjWRAP_JOINT and model.wrap_objid[w] == joint for w in wraps):
                return f"no actuator but {_called(model, actuator)}, which pulls at {_transmission(model, actuator)}"
    return "no actuator"
