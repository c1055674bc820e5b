"""Signals of poses, contacts and scans: what terms make of where links are and what a plant senses beside."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.sensed_terms import (
    EULER,
    BaseEulerTerm,
    BaseQuatTerm,
    ContactTerm,
    HeadingErrorTerm,
    HeadingParts,
    HeightScanTerm,
    LinkHeightTerm,
    LinkPosTerm,
)
from policy_port.contract.term import Term
from policy_port.control.plant import LinkState, Sensed
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.motion.rotations import conjugate, rotate, yaw_angle

Compute = Callable[[], Array]
"""Returns a term's raw values, shape (num_envs, elements)."""


class SensedTerms:
    """Fills the columns of every term that is made of poses, contacts or scans."""

    def __init__(self, signals: Signals) -> None:
        out, first = signals.view("sensed"), 0
        self._terms: list[tuple[Compute, Array]] = []
        for term in signals.contract.observation.terms:
            size = term.columns(signals.contract).get("sensed", 0)
            if size:
                self._terms.append((_computing(term, signals), out[:, first : first + size]))
                first += size

    def update(self) -> None:
        """Recompute from the measurement as it stands."""
        for compute, out in self._terms:
            out[...] = compute()


def _computing(term: Term, signals: Signals) -> Compute:
    match term:
        case MeasuredTerm():
            return _vector(term, signals)
        case BaseEulerTerm():
            return _euler(term, signals)
        case BaseQuatTerm():
            return _quat(term, signals)
        case LinkHeightTerm():
            return _height(term, signals)
        case LinkPosTerm():
            return _position(term, signals)
        case HeadingParts():
            return _heading(term, signals)
        case ContactTerm():
            return _contact(term, signals)
        case HeightScanTerm():
            return _scan(term, signals)
        case _:
            raise NotImplementedError(f"control/sensed_terms.py does not say what '{term.term}' is made of")


def _sensed(signals: Signals) -> Sensed:
    assert signals.state.sensed is not None, "the contract's terms say what they sense"
    return signals.state.sensed


def _pose(link: str | None, signals: Signals) -> LinkState:
    """Pose and velocity of a link; the base's, if None."""
    if link is not None:
        return _sensed(signals).links[link]
    state = signals.state
    return LinkState(state.base_pos, state.base_quat, state.base_lin_vel, state.base_ang_vel)


def _vector(term: MeasuredTerm, signals: Signals) -> Compute:
    """A vector of another link, in its axes."""
    at = _pose(term.link, signals)
    if term.term == "projected_gravity":
        down = np.tile([0.0, 0.0, -1.0], (signals.num_envs, 1))
        return lambda: rotate(conjugate(at.quat), down)
    vector = at.lin_vel if term.term == "base_lin_vel" else at.ang_vel
    return lambda: vector


def _euler(term: BaseEulerTerm, signals: Signals) -> Compute:
    quat = _pose(term.link, signals).quat
    chosen = [EULER.index(name) for name in term.angles]
    whole = math.tau if term.interval == "positive" else None

    def compute() -> Array:
        w, x, y, z = quat.T
        roll = np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
        pitch = np.arcsin(np.clip(2.0 * (w * y - z * x), -1.0, 1.0))
        angles = np.stack([roll, pitch, yaw_angle(quat)], axis=1)[:, chosen]
        return angles if whole is None else np.mod(angles, whole)

    return compute


def _quat(term: BaseQuatTerm, signals: Signals) -> Compute:
    quat = _pose(term.link, signals).quat
    order = [1, 2, 3, 0] if signals.contract.quaternion_order == "xyzw" else [0, 1, 2, 3]
    if not term.positive_w:
        return lambda: quat[:, order]
    return lambda: (quat * np.where(quat[:, :1] < 0.0, -1.0, 1.0))[:, order]


def _height(term: LinkHeightTerm, signals: Signals) -> Compute:
    mine = _pose(term.link, signals).pos
    if not term.above:
        return lambda: mine[:, 2:]
    others = [_pose(link, signals).pos for link in term.above]
    return lambda: mine[:, 2:] - np.min([pos[:, 2:] for pos in others], axis=0)


def _position(term: LinkPosTerm, signals: Signals) -> Compute:
    mine, base = _pose(term.link, signals).pos, signals.state
    chosen = ["xyz".index(axis) for axis in term.axes]
    if term.frame == "world":
        return lambda: mine[:, chosen]
    if term.frame == "base":
        return lambda: rotate(conjugate(base.base_quat), mine - base.base_pos)[:, chosen]
    return lambda: turned(mine - base.base_pos, -yaw_angle(base.base_quat))[:, chosen]


def turned(vector: Array, angle: Array) -> Array:
    """Vectors turned about the vertical by angles [rad], shape (num_envs, 3)."""
    x, y, z = vector.T
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)


def _heading(term: HeadingParts, signals: Signals) -> Compute:
    quat = _pose(term.link, signals).quat
    target: Array | None = None
    if isinstance(term, HeadingErrorTerm):
        told = "command_in_force" if signals.contract.command.shaped else "velocity_command"
        target = signals.view(told)[:, signals.contract.command.names.index("heading")]
    parts = {"angle": lambda angle: angle, "cos": np.cos, "sin": np.sin}
    chosen = [parts[name] for name in term.parts]

    def compute() -> Array:
        angle = yaw_angle(quat)
        if target is not None:
            angle = np.mod(target - angle + math.pi, math.tau) - math.pi
        return np.stack([part(angle) for part in chosen], axis=1)

    return compute


def _contact(term: ContactTerm, signals: Signals) -> Compute:
    forces, threshold = [_sensed(signals).contacts[link] for link in term.links], term.threshold
    if term.measure == "vector":
        return lambda: np.concatenate(forces, axis=1)

    def compute() -> Array:
        found = [force[:, 2] if term.measure == "vertical" else np.linalg.norm(force, axis=1) for force in forces]
        measured = np.stack(found, axis=1)
        return measured if threshold is None else (measured > threshold).astype(np.float64)

    return compute


def _scan(term: HeightScanTerm, signals: Signals) -> Compute:
    mine = _pose(term.link, signals).pos
    ends = _sensed(signals).arrays[term.scan.name][:, 2::3]

    def compute() -> Array:
        heights = mine[:, 2:] - ends - term.height_offset
        missed = np.isnan(ends)
        if missed.any():
            if term.miss is None:
                env, ray = np.argwhere(missed)[0].tolist()
                raise TaskError(
                    f"observation term '{term.label}' of contract '{signals.contract.name}': ray {ray} of environment "
                    f"{env} hits nothing within {term.max_distance:g} m of where it starts, {term.start:g} m above; "
                    "state what the network then sees with `miss`, or another `start`"
                )
            heights = np.where(missed, term.miss, heights)
        return heights

    return compute
