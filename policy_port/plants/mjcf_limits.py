"""What an MJCF can say and SAPIEN can't do, found in the compiled model and refused by name.

What is left out without a word is harmless to how joints and base move: sensors, keyframes, cameras, lights, skins,
sites without a name, numbers for users, solver settings, margins and softness of contacts and limits, rolling and
spinning friction, tendons that pull at nothing, bodies beside the robot that can't touch it. What is left out and a
user is told of is in `left_out`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np

from policy_port.errors import RobotError
from policy_port.plants.mujoco_contacts import fixed_base_left_out

HARMLESS_FLAGS = ("EULERDAMP", "WARMSTART", "REFSAFE", "SENSOR", "MIDPHASE", "NATIVECCD", "ISLAND", "AUTORESET")
"""Options of MuJoCo's <flag> that change no forces, or only the numerics of its own solver."""
MORE_HARMLESS_FLAGS = ("MULTICCD", "ACTUATION", "CLAMPCTRL", "FILTERPARENT", "EQUALITY", "CONTACT")
"""Those that are read where they matter: actuators, contacts and couplings."""
AXES = {mujoco.mjtJoint.mjJNT_FREE: 6, mujoco.mjtJoint.mjJNT_BALL: 3}


def refuse_what_sapien_lacks(model: mujoco.MjModel, root: int, path: Path) -> None:
    """Raise a RobotError for the first thing that SAPIEN can't do.

    Args:
        model: The compiled file.
        root: The robot's base link.
        path: The file, for the message.
    """
    for what in _lacking(model, root):
        raise RobotError(f"{path}: {what}; SAPIEN has no such thing. Take it out of the file, or use --plant mujoco")


def _lacking(model: mujoco.MjModel, root: int) -> Iterator[str]:
    yield from _world(model)
    yield from _constraints(model)
    yield from _joints(model, root)
    for body in np.flatnonzero(~np.isin(model.body_gravcomp, (0.0, 1.0))):
        yield f"body '{model.body(body).name}' has gravcomp {model.body_gravcomp[body]:g}, neither 0 nor 1"


def _world(model: mujoco.MjModel) -> Iterator[str]:
    option = model.opt
    for key in ("density", "viscosity"):
        if getattr(option, key) != 0.0:
            yield f"<option {key}> is {getattr(option, key):g}: its links move through a fluid"
    for name, bit in mujoco.mjtDisableBit.__members__.items():
        flag = name.removeprefix("mjDSBL_")
        # The last member is their number.
        if (
            flag != name
            and option.disableflags & bit
            and flag not in (*HARMLESS_FLAGS, *MORE_HARMLESS_FLAGS, "GRAVITY")
        ):
            yield f"<option><flag {flag.lower()}> is disabled"
    if option.enableflags & mujoco.mjtEnableBit.mjENBL_OVERRIDE:
        yield "<option><flag override> is enabled"
    if model.nplugin:
        yield "it uses a plugin"
    if model.nflex:
        yield f"it has a soft body (flex '{model.flex(0).name}')"


def _constraints(model: mujoco.MjModel) -> Iterator[str]:
    couples = not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EQUALITY
    for index in range(model.neq if couples else 0):
        if not model.eq_active0[index]:
            continue
        kind = mujoco.mjtEq(model.eq_type[index])
        ends = (int(model.eq_obj1id[index]), int(model.eq_obj2id[index]))
        if kind == mujoco.mjtEq.mjEQ_JOINT:
            if ends[1] < 0:
                yield f"<equality><joint> holds joint '{model.joint(ends[0]).name}' at a constant"
            continue
        called = f" '{model.equality(index).name}'" if model.equality(index).name else ""
        bodies = model.eq_objtype[index] == mujoco.mjtObj.mjOBJ_BODY
        between = f" between bodies {_names(model.body, ends)}" if bodies else ""
        yield f"<equality> has a {kind.name.removeprefix('mjEQ_').lower()}{called}{between}"
    for tendon in range(model.ntendon):
        pulls = [
            key
            for key in ("stiffness", "damping", "frictionloss", "armature", "limited")
            if np.any(getattr(model, f"tendon_{key}")[tendon])
        ]
        if pulls:
            yield f"tendon '{model.tendon(tendon).name}' has {', '.join(pulls)}"


def _joints(model: mujoco.MjModel, root: int) -> Iterator[str]:
    for joint in range(model.njnt):
        body, kind = int(model.jnt_bodyid[joint]), mujoco.mjtJoint(model.jnt_type[joint])
        if model.body_rootid[body] != root:
            continue
        first = int(model.jnt_dofadr[joint])
        dofs = slice(first, first + AXES.get(kind, 1))
        called = f"joint '{model.joint(joint).name}' of body '{model.body(body).name}'"
        # Newer versions of MuJoCo bend springs and dampers by polynomials.
        for key in ("jnt_stiffnesspoly", "dof_dampingpoly"):
            rows = getattr(model, key, None)
            if rows is not None and np.any(rows[joint if key.startswith("jnt") else dofs]):
                yield f"{called} has a {'spring' if key.startswith('jnt') else 'damping'} that is not linear"
        if kind == mujoco.mjtJoint.mjJNT_FREE and model.jnt_stiffness[joint]:
            yield f"the free {called} has stiffness"


def left_out(model: mujoco.MjModel, root: int) -> tuple[str, ...]:
    """What a simulator without friction in its joints leaves out and a user should know of, a clause each."""
    notes, dofs = [], np.flatnonzero(model.body_rootid[model.dof_bodyid] == root)
    free = model.jnt_type[model.dof_jntid[dofs]] == mujoco.mjtJoint.mjJNT_FREE
    rubs = len(set(model.dof_jntid[dofs[~free & (model.dof_frictionloss[dofs] > 0.0)]].tolist()))
    if rubs:
        notes.append(f"the friction (frictionloss) of {rubs} joints")
    return (*notes, *base_left_out(model, root))


def base_left_out(model: mujoco.MjModel, root: int) -> tuple[str, ...]:
    """What only MuJoCo does at a base: numbers of a free joint, mostly of a <default>; contacts of a fixed one."""
    free = (model.jnt_type[model.dof_jntid] == mujoco.mjtJoint.mjJNT_FREE) & (
        model.body_rootid[model.dof_bodyid] == root
    )
    keys = [key for key in ("damping", "armature", "frictionloss") if np.any(getattr(model, f"dof_{key}")[free])]
    rest = (f"{', '.join(keys)} of the base's free joint",) if keys else ()
    return (*rest, *fixed_base_left_out(model))


def _names(named: object, ends: tuple[int, int]) -> str:
    return " and ".join(f"'{named(end).name}'" for end in ends)  # type: ignore[operator]
