"""What Newton's importer makes otherwise of an MJCF than MuJoCo does: both models are compared, number by number.

What is compared is what moves joints and base. What is not is the list of what Newton may change: names, order, contact
margins and softness, friction beyond sliding, visuals, solver settings, and what the setup itself replaces.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from policy_port.errors import RobotError
from policy_port.plants.mujoco_contacts import on_fixed_base, touching
from policy_port.plants.setup import PlantSetup

GROUND = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)
RELATIVE, ABSOLUTE = 1.0e-3, 1.0e-5
"""Newton's numbers have 32 bits, and it computes some inertias in its own way."""

Losses = list[str]


def _close(one: ArrayLike, other: ArrayLike, rtol: float = RELATIVE, atol: float = ABSOLUTE) -> bool:
    return bool(np.allclose(one, other, rtol=rtol, atol=atol))


def refuse_what_newton_lost(meant: mujoco.MjModel, made: mujoco.MjModel, setup: PlantSetup, path: Path) -> None:
    """Raise a RobotError that names what Newton lost or changed.

    Args:
        meant: MuJoCo's model of the file, with its ground.
        made: The model in Newton's solver.
        setup: What the contract asks for, which stands in both where it replaces what the file says.
        path: The file, for the message.
    """
    losses = [*_counts(meant, made), *_options(meant, made)]
    if not losses:
        losses = [*_bodies(meant, made, setup), *_joints(meant, made, setup), *_contacts(meant, made)]
    if losses:
        raise RobotError(
            f"{path}: Newton reads it otherwise than MuJoCo: {'; '.join(losses[:4])}"
            f"{f' and {len(losses) - 4} more' if len(losses) > 4 else ''}. Take it out of the file, or use "
            "--plant mujoco"
        )


def _counts(meant: mujoco.MjModel, made: mujoco.MjModel) -> Losses:
    named = {"njnt": "joints", "ntendon": "tendons", "nflex": "soft bodies", "nplugin": "plugins"}
    losses = [
        f"{getattr(meant, key)} {name}, not {getattr(made, key)}"
        for key, name in named.items()
        if getattr(meant, key) != getattr(made, key)
    ]
    mine, theirs = (_couplings(model) for model in (meant, made))
    if len(mine) != len(theirs) or not all(
        one[0] == other[0] and _close(one[1:], other[1:]) for one, other in zip(mine, theirs, strict=True)
    ):
        losses.append(f"equalities {_said(mine)}, not {_said(theirs)}")
    for key in ("stiffness", "damping", "frictionloss", "armature", "range", "lengthspring") if not losses else ():
        one, other = (getattr(model, f"tendon_{key}") for model in (meant, made))
        if not _close(one, other):
            losses.append(f"tendons have {key} {one.tolist()}, not {other.tolist()}")
    return losses


def _couplings(model: mujoco.MjModel) -> list[tuple[float, ...]]:
    """Kind and numbers of each active equality; of couplings of joints their coefficients."""
    rows = []
    for index in np.flatnonzero(model.eq_active0):
        kind = int(model.eq_type[index])
        wide = 5 if kind == mujoco.mjtEq.mjEQ_JOINT else 0
        rows.append((kind, *(float(value) for value in model.eq_data[index, :wide])))
    return sorted(rows)


def _said(couplings: list[tuple[float, ...]]) -> str:
    kinds = [mujoco.mjtEq(int(kind)).name.removeprefix("mjEQ_").lower() for kind, *_ in couplings]
    return ", ".join(kinds) or "none"


def _options(meant: mujoco.MjModel, made: mujoco.MjModel) -> Losses:
    keys = ("gravity", "wind", "density", "viscosity")
    return [
        f"<option {key}> is {getattr(meant.opt, key)}, not {getattr(made.opt, key)}"
        for key in keys
        if not _close(getattr(meant.opt, key), getattr(made.opt, key))
    ]


def _joint_pairs(meant: mujoco.MjModel, made: mujoco.MjModel) -> list[tuple[int, int]]:
    """The same joint in both models: Newton's names end in the file's."""
    theirs = {made.joint(j).name: j for j in range(made.njnt)}
    frees = [np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE) for model in (meant, made)]
    pairs = [(int(one), int(other)) for one, other in zip(*frees, strict=False)]
    for joint in np.flatnonzero(meant.jnt_type != mujoco.mjtJoint.mjJNT_FREE).tolist():
        name = meant.joint(joint).name
        found = [j for label, j in theirs.items() if name and label.endswith(f"_{name}")]
        found = [min(found, key=lambda j: len(made.joint(j).name))] if found else []
        pairs += [(joint, j) for j in found]
    return pairs


def _bodies(meant: mujoco.MjModel, made: mujoco.MjModel, setup: PlantSetup) -> Losses:
    losses = []
    for mine, theirs in _joint_pairs(meant, made):
        one, other = int(meant.jnt_bodyid[mine]), int(made.jnt_bodyid[theirs])
        if not setup.gravity_compensation and not _close(meant.body_gravcomp[one], made.body_gravcomp[other]):
            losses.append(f"body '{meant.body(one).name}' has gravcomp {meant.body_gravcomp[one]:g}")
        if not _close(meant.body_subtreemass[one], made.body_subtreemass[other]):
            losses.append(
                f"body '{meant.body(one).name}' and what hangs on it weigh {meant.body_subtreemass[one]:g} kg, not "
                f"{made.body_subtreemass[other]:g}"
            )
    return losses


def _joints(meant: mujoco.MjModel, made: mujoco.MjModel, setup: PlantSetup) -> Losses:
    losses = []
    poses = [mujoco.MjData(model) for model in (meant, made)]
    for model, data in zip((meant, made), poses, strict=True):
        mujoco.mj_kinematics(model, data)
    given = {joint.name: joint for joint in setup.joints}
    keys = ["frictionloss", *(["damping"] if setup.actuation != "implicit" else []), "armature"]
    for mine, theirs in _joint_pairs(meant, made):
        name = meant.joint(mine).name
        if meant.jnt_type[mine] == mujoco.mjtJoint.mjJNT_FREE:
            # What a <default> gives it is left out, and told.
            continue
        for key in ("xanchor", "xaxis"):
            one, two = getattr(poses[0], key)[mine], getattr(poses[1], key)[theirs]
            if not _close(one, two, atol=1e-4):
                losses.append(f"joint '{name}' has its {key.removeprefix('x')} at {one.round(4)}, not {two.round(4)}")
        dof, other = int(meant.jnt_dofadr[mine]), int(made.jnt_dofadr[theirs])
        if not _close(meant.jnt_stiffness[mine], made.jnt_stiffness[theirs]):
            losses.append(
                f"joint '{name}' has stiffness {meant.jnt_stiffness[mine]:g}, not {made.jnt_stiffness[theirs]:g}"
            )
        elif meant.jnt_stiffness[mine]:
            rest, found = (
                float(model.qpos_spring[model.jnt_qposadr[joint]]) for model, joint in ((meant, mine), (made, theirs))
            )
            if not _close(rest, found):
                losses.append(f"joint '{name}' has springref {rest:g}, not {found:g}")
        for key in keys:
            stated = name in given and (key == "armature" and given[name].armature is not None)
            wanted, has = getattr(meant, f"dof_{key}")[dof], getattr(made, f"dof_{key}")[other]
            if not stated and not _close(wanted, has):
                losses.append(f"joint '{name}' has {key} {wanted}, not {has}")
        inertia = [float(model.dof_M0[d] - model.dof_armature[d]) for model, d in ((meant, dof), (made, other))]
        if not _close(*inertia, rtol=1e-2, atol=1e-5):
            losses.append(f"joint '{name}' moves an inertia of {inertia[0]:g}, not {inertia[1]:g}")
    return losses


def _contacts(meant: mujoco.MjModel, made: mujoco.MjModel) -> Losses:
    """Which links touch which, the world being one of them."""
    pairs = _joint_pairs(meant, made)
    sides = []
    for side, model in enumerate((meant, made)):
        touch = touching(model)
        moved = {int(model.body_weldid[model.jnt_bodyid[pair[side]]]): place + 1 for place, pair in enumerate(pairs)}
        group = np.array([moved.get(int(model.body_weldid[body]), 0) for body in model.geom_bodyid], dtype=np.intp)
        group[(group == 0) & np.isin(model.geom_type, GROUND)] = len(pairs) + 1
        links = np.zeros((len(pairs) + 2, len(pairs) + 2), dtype=np.intp)
        hulls = np.zeros_like(links)
        for one, other in np.argwhere(touch):
            # Newton may make several hulls of a mesh: those count once for two links, whatever their number.
            meshes = int(mujoco.mjtGeom.mjGEOM_MESH) in model.geom_type[[one, other]]
            (hulls if meshes else links)[group[one], group[other]] += 1
        links += hulls > 0
        links[0, 0] = links[0, -1] = links[-1, 0] = links[-1, -1] = 0
        sides.append(links)
    bodies = [int(meant.jnt_bodyid[mine]) for mine, _ in pairs]
    names = ["what stands still", *(f"body '{meant.body(body).name}'" for body in bodies), "the ground"]
    told = {place + 1 for place, body in enumerate(bodies) if body in on_fixed_base(meant)}
    return [
        f"{names[one]} and {names[other]} can touch in {sides[0][one, other]} ways, not {sides[1][one, other]}"
        for one, other in np.argwhere(sides[0] != sides[1])
        if one <= other and not (one == 0 and other in told)
    ]
