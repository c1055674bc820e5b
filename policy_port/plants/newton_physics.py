"""Physics per world in Newton: its solver's MuJoCo model, changed as the MuJoCo plant changes its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import warp
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.plants.newton_model import NewtonRobot, Solver
from policy_port.plants.physics import Physics
from policy_port.plants.setup import JointSetup

PER_WORLD = (
    *("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange"),
    *("dof_damping", "dof_frictionloss", "dof_armature", "geom_friction", "pair_friction"),
    *("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0"),
    "actuator_acc0",
)
"""What physics change of a model, and what MuJoCo derives of that: MuJoCo Warp has a row of each per world."""

LIMITS = {"actuator_forcerange": "actuator_forcelimited", "jnt_actfrcrange": "jnt_actfrclimited"}
"""Ranges, and what says that they hold: of all worlds, in MuJoCo Warp."""


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where joints, drives and links of a robot are in its solver's MuJoCo model; see `mujoco_physics.Located`."""

    joints: tuple[JointSetup, ...]
    dof_index: NDArray[np.intp]
    driven: NDArray[np.intp]
    ctrl_index: NDArray[np.intp]
    base_body: int
    bodies: Mapping[str, int]


def locate(robot: NewtonRobot, *, foreign: bool) -> Located:
    """Find them; `foreign` drives are the file's own, whose gains nobody sets and whose limits are their joints'."""
    solver: Any = robot.solver
    model, direct = solver.mj_model, Solver.CtrlSource.CTRL_DIRECT
    body_of = {int(mine): place for place, mine in enumerate(solver.mjc_body_to_newton.numpy()[0])}
    dof_of = {int(mine): place for place, mine in enumerate(solver.mjc_dof_to_newton_dof.numpy()[0])}
    dofs = np.array([dof_of[int(index)] for index in robot.qd_index], dtype=np.intp)
    driven = np.array([place for place, joint in enumerate(robot.joints) if joint.leader is None], dtype=np.intp)
    source = solver.mjc_actuator_ctrl_source.numpy()
    rows = solver.mjc_actuator_to_newton_idx.numpy()
    motors = dict(zip(robot.only("effort").tolist(), (row for row, _ in robot.motors), strict=True))
    drives = []
    for place in driven.tolist():
        if foreign:
            mine = np.ones(1, dtype=np.bool_)
        elif place in motors:
            mine = (source == direct) & (rows == motors[place])
        else:
            on = (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT) & (source != direct)
            mine = on & (model.actuator_trnid[:, 0] == model.dof_jntid[dofs[place]])
        drives.append(int(np.flatnonzero(mine)[0]))
    return Located(
        joints=robot.joints,
        dof_index=dofs,
        driven=driven,
        ctrl_index=np.array(drives, dtype=np.intp),
        base_body=body_of[robot.base_body],
        bodies={name: body_of[body] for name, body in robot.bodies.items()},
    )


def rounded(physics: Physics) -> Physics:
    """The same in the 32 bits of Newton's numbers: what is set later is what a robot is set up with, bit for bit."""

    def to_32(array: Array) -> Array:
        return np.asarray(array, dtype=np.float32).astype(np.float64)

    found = {name: to_32(getattr(physics, name)) for name in physics.stated if name != "link_mass"}
    masses = physics.link_mass
    return Physics(**found, link_mass=None if masses is None else {link: to_32(kg) for link, kg in masses.items()})


class WarpModel:
    """The model of MuJoCo Warp, which steps all worlds at once, each with numbers of its own."""

    def __init__(self, solver: Any) -> None:
        """Note what it was built with."""
        self._model = solver.mjw_model
        self._built = copy.copy(solver.mj_model)
        self._rows: dict[str, NDArray[Any]] = {}

    def take(self, models: Sequence[mujoco.MjModel]) -> None:
        """Give each world what its model says otherwise than the one that was built."""
        held = self._model
        for ranges, flags in LIMITS.items():
            limited = np.any([getattr(model, flags) for model in models], axis=0).astype(bool)
            self._assign(held, flags, limited)
            self._set(ranges, np.stack([self._range(model, ranges, flags) for model in models]))
        for name in PER_WORLD:
            if name not in LIMITS:
                self._set(name, np.stack([getattr(model, name) for model in models]))
        self._assign(held.opt, "gravity", np.stack([model.opt.gravity for model in models]))

    def _range(self, model: mujoco.MjModel, ranges: str, flags: str) -> Array:
        """What a model says, and no limit where this world has none and others may."""
        said, built = getattr(model, ranges), getattr(self._built, flags).astype(bool)
        free = ~getattr(model, flags).astype(bool) & ~built
        return np.where(free[:, None], np.array([-np.inf, np.inf]), said)

    def _set(self, name: str, said: Array) -> None:
        rows = self._rows.setdefault(name, getattr(self._model, name).numpy().copy())
        if not rows.size:
            return
        said = said.reshape(len(said), *rows.shape[1:])
        was = getattr(self._built, name).reshape(rows.shape[1:])
        if name == "body_inertia":
            # Newton turns the axes of some: what grows is the same on each.
            said, was = rows * np.divide(said, was, out=np.ones_like(said), where=was > 0.0), rows
        self._assign(self._model, name, np.where(said != was, said, rows))

    @staticmethod
    def _assign(holder: Any, name: str, values: NDArray[Any]) -> None:
        array = getattr(holder, name)
        if array.shape[0] == len(values):
            array.assign(values.astype(array.numpy().dtype))
        else:
            setattr(holder, name, warp.array(values, dtype=array.dtype, device=array.device))
