"""What a plan tells of an arm's dynamics: the Fisher information of its motion, by differences in MuJoCo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics
from policy_port.plants.registry import make_plant
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.emulator.simulated import ARMATURE, DAMPING, EFFORT_LIMIT, STIFFNESS, so100_setup
from policy_port.robots.jobs.excitation import PlannedEpisode

NOISE = 0.002
"""Standard deviation of a reading [rad]: a tick of an STS3215 is 0.0015, and models are never right."""
STEP = 0.005
"""Longest physics step of the prediction [s]."""
EXCITED = 0.5
"""A parameter is told when the recording leaves less than this share of what was unknown before."""
TOGETHER = 0.95
"""Correlation from which on two parameters are known only together."""
PRIORS: dict[str, tuple[float, float]] = {
    "armature": (ARMATURE, 0.014),
    "damping": (0.06, 0.06),
    "friction": (0.05, 0.05),
    "stiffness": (STIFFNESS, 10.0),
    "drive_damping": (DAMPING, 1.4),
    "backlash": (0.01, 0.01),
    "effort_limit": (EFFORT_LIMIT, 1.0),
    "delay": (0.02, 0.02),
    "offset": (0.0, 0.03),
    "gain": (1.0, 0.02),
}
"""Where each joint's parameters are taken to be, and how little is known of them (standard deviation). The gains are
the emulated arm's, armature, friction and damping BAM's of an STS3215 (arXiv 2410.08650), the widths a factor of two
about them."""
COMMON: dict[str, tuple[float, float]] = {
    "gravity_tilt_x": (0.0, 0.05),
    "gravity_tilt_y": (0.0, 0.05),
    "payload_mass": (0.05, 0.05),
}
"""The same of what the joints have in common."""
OF_READINGS = ("offset", "gain")
"""Those that say how a position is read, and not how the arm moves."""
MOVED = 0.1
"""By how much the others are moved for derivatives, in what is unknown of them."""


@dataclass(frozen=True, kw_only=True)
class Information:
    """What a plan tells."""

    names: tuple[str, ...]
    """Parameters."""
    left: Array
    """How much of what was unknown of each is left: 0 is known, 1 as unknown as before; shape (names,)."""
    together: tuple[tuple[str, str, float], ...]
    """Pairs that are known only together, with their correlation."""

    @property
    def unexcited(self) -> tuple[str, ...]:
        """Parameters that the plan does not tell."""
        return tuple(name for name, left in zip(self.names, self.left, strict=True) if left > EXCITED)

    def text(self) -> str:
        """A table: a row for each kind of parameter, a column for each joint."""
        left = dict(zip(self.names, self.left.tolist(), strict=True))
        joints = list(dict.fromkeys(name.rpartition(".")[0] for name in self.names if "." in name))
        width = max(len(joint) for joint in joints) + 2
        lines = ["what is left unknown (1: all, 0: nothing)", " " * 14 + "".join(name.rjust(width) for name in joints)]
        for key in PRIORS:
            lines.append(key.ljust(14) + "".join(f"{left[f'{joint}.{key}']:.2f}".rjust(width) for joint in joints))
        lines += [key.ljust(14) + f"{left[key]:.2f}".rjust(width) for key in COMMON]
        lines += [f"known only together: {one} and {other} ({rho:+.2f})" for one, other, rho in self.together]
        told = len(self.names) - len(self.unexcited)
        lines.append(f"excited: {told} of {len(self.names)} parameters")
        if self.unexcited:
            lines.append(f"not excited: {', '.join(self.unexcited)}")
        return "\n".join(lines)


def information(
    episodes: Sequence[PlannedEpisode], robot: RobotFile, rate: float, payload: str, tick: Callable[[], object] = int
) -> Information:
    """The Fisher information of a plan's fitted episodes, about an STS3215's usual numbers.

    Args:
        episodes: The plan.
        robot: The arm.
        rate: Targets per second [Hz].
        payload: The link whose load counts.
        tick: Called once per target of a fitted episode.
    """
    names = robot.joint_names
    parameters = {f"{name}.{key}": prior for name in names for key, prior in PRIORS.items()} | COMMON
    usual = _document(names, payload, str(robot.described))
    moving = [name for name in parameters if name.rpartition(".")[2] not in OF_READINGS]
    width = np.array([width for _, width in parameters.values()])
    shifts = [usual.with_values({name: parameters[name][0] + MOVED * parameters[name][1]}) for name in moving]
    decimation = max(1, round(1.0 / rate / STEP))
    setup = replace(so100_setup(dict.fromkeys(names, 0.0)), timestep=1.0 / rate / decimation, control_dt=1.0 / rate)
    # A plan touches nothing, so nothing is there to be touched.
    shared = {"num_envs": 1 + len(shifts), "meshes": False}
    plant = make_plant("mujoco", robot.described, setup, dynamics=(usual, *shifts), **shared)
    columns = [names.index(name) for name in plant.joint_names]
    state = PlantState.allocate(plant.num_envs, len(names))
    total = np.zeros((len(parameters), len(parameters)))
    rows = [list(parameters).index(name) for name in moving]
    try:
        for one in (one for one in episodes if one.use == "fit"):
            targets, read = one.targets[:, columns], []
            plant.reset(np.tile(targets[0], (plant.num_envs, 1)))
            for row in targets:
                plant.write(np.tile(row, (plant.num_envs, 1)))
                plant.step(decimation)
                plant.read(state)
                read.append(state.joint_pos.copy())
                tick()
            moved = np.array(read)
            slopes = np.zeros((len(parameters), *moved[:, 0].shape))
            slopes[rows] = (moved[:, 1:] - moved[:, :1]).transpose(1, 0, 2) / (MOVED * width[rows, None, None])
            for column, name in enumerate(plant.joint_names):
                # The arm moves alike whatever they are; a reading is gain times position, and the offset.
                slopes[list(parameters).index(f"{name}.offset"), :, column] = 1.0
                slopes[list(parameters).index(f"{name}.gain"), :, column] = moved[:, 0, column]
            flat = slopes.reshape(len(parameters), -1)
            total += flat @ flat.T / NOISE**2
    finally:
        plant.close()
    return _judged(tuple(parameters), total, width)


def _judged(names: tuple[str, ...], fisher: Array, width: Array) -> Information:
    """What prior and information leave, in units of the prior's width."""
    covariance = np.linalg.inv(fisher * np.outer(width, width) + np.eye(len(width)))
    left = np.sqrt(np.diag(covariance))
    rho = covariance / np.outer(left, left)
    pairs = np.argwhere(np.triu(np.abs(rho) > TOGETHER, 1))
    together = tuple((names[one], names[other], float(rho[one, other])) for one, other in pairs.tolist())
    return Information(names=names, left=left, together=together)


def _document(names: tuple[str, ...], payload: str, described: str) -> Dynamics:
    """An arm of usual numbers, by its description."""
    joint = {key: value for key, (value, _) in PRIORS.items()}
    tilt = [COMMON["gravity_tilt_x"][0], COMMON["gravity_tilt_y"][0]]
    common = {"payload": {"link": payload, "mass": COMMON["payload_mass"][0]}, "gravity_tilt": tilt}
    return Dynamics.model_validate(
        {
            "policy_port_dynamics": 1,
            "robot": {"file": described},
            "joints": dict.fromkeys(names, joint),
            "common": common,
        }
    )
