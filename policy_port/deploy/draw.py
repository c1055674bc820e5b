"""Signals as a plant might measure them, drawn for the proof and for a port's stored sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.place import PLACE_SIGNALS
from policy_port.contract.sensed_terms import HeightScanTerm
from policy_port.contract.spec import Contract
from policy_port.deploy.layout import is_quaternion
from policy_port.deploy.step import Step
from policy_port.motion.rotations import rotate, yaw_only


def draw_signals(contract: Contract, step: Step, steps: int, batch: int, rng: np.random.Generator) -> dict[str, Array]:
    """Every signal that a step is given by name, shape (steps, batch, width), joints in the contract's order.

    Poses of what carries a scan are there too, so that each ray ends where it must.
    """
    scans = [term for term in contract.observation.terms if isinstance(term, HeightScanTerm)]
    sizes = {name: step.layout.sizes[name] for name in step.signals}
    for term in scans:
        sizes |= {name: size for name, size in zip(_pose(term), (3, 4), strict=True)}
    drawn = {name: _signal(name, contract, (steps, batch, size), rng) for name, size in sizes.items()}
    for term in scans:
        place, quat = (drawn[name][:, :, None] for name in _pose(term))
        turn = {"yaw": yaw_only(quat), "world": np.array([1.0, 0.0, 0.0, 0.0]), "link": quat}[term.frame]
        deep = rng.uniform(-1.0, -0.2, (steps, batch, len(term.grid), 1))
        flat = np.broadcast_to(np.array(term.grid), (steps, batch, len(term.grid), 2))
        rays = np.concatenate([flat, deep], axis=3)
        drawn[term.scan.name] = (place + rotate(np.broadcast_to(turn, (*rays.shape[:3], 4)), rays)).reshape(
            steps, batch, -1
        )
    return drawn


def move(contract: Contract, drawn: dict[str, Array], reset: Sequence[bool]) -> None:
    """Let joints go as their velocities say between two resets, and no farther than their limits."""
    if "joint_pos" not in drawn:
        return
    place, speed = drawn["joint_pos"], drawn.get("joint_vel")
    for step, starts in enumerate(reset):
        if not starts:
            way = 0.0 if speed is None else contract.control_dt * speed[step]
            place[step] = np.clip(place[step - 1] + way, *_limits(contract))


def _limits(contract: Contract) -> Array:
    """Lower and upper limit of each joint [SI], infinite where it has none, shape (2, joints)."""
    joints = [(contract.joints[name], contract.per_si(name)) for name in contract.joint_names]
    low = [-np.inf if joint.lower is None else joint.lower / unit for joint, unit in joints]
    return np.array([low, [np.inf if joint.upper is None else joint.upper / unit for joint, unit in joints]])


def _pose(term: HeightScanTerm) -> tuple[str, str]:
    """Signals of the pose of what carries a scan."""
    return ("base_pos", "base_quat") if term.link is None else (f"link_pos_{term.link}", f"link_quat_{term.link}")


def _signal(name: str, contract: Contract, shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    if is_quaternion(name):
        quat = rng.normal(size=shape) + np.array([2.0, 0.0, 0.0, 0.0])
        return quat / np.linalg.norm(quat, axis=2, keepdims=True)
    if name == "joint_pos":
        default = [contract.joints[joint].default / contract.per_si(joint) for joint in contract.joint_names]
        return np.clip(np.array(default) + 0.3 * rng.normal(size=shape), *_limits(contract))
    if name == "joint_vel":
        # A joint that slides goes slower, in numbers.
        usual = [0.2 if contract.joints[joint].unit == "m" else 2.0 for joint in contract.joint_names]
        return np.array(usual) * rng.normal(size=shape)
    if name == "velocity_command":
        bounds = [contract.command.bounds(element) or (-1.0, 1.0) for element in contract.command.names]
        low, high = np.transpose(bounds)
        # Told to stand in some steps, where the defaults are zero.
        told = rng.uniform(low, high, shape)
        return np.where(rng.random((*shape[:2], 1)) < 0.2, np.array(contract.command.defaults), told)
    if name.startswith(tuple(PLACE_SIGNALS)):
        return 0.3 * rng.normal(size=shape)
    scale = {"base_pos": 0.3, "joint_effort": 20.0}.get(name, 1.0)
    return (50.0 if name.startswith("contact_force") else scale) * rng.normal(size=shape)
