"""Parameters that others make up for, so that a search stops short: delay and backlash, moved on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from policy_port.arrays import Array
from policy_port.identify.fit import Problem
from policy_port.identify.parameters import Space
from policy_port.identify.segments import Integers

ROUNDS = 3
"""Iterations in which the other parameters follow a move."""


def scan(problem: Problem, space: Space, z: Array, key: str, moves: Sequence[float]) -> Array:
    """Move one parameter of every joint and let the others follow; a joint keeps the move that serves it best.

    A delay, friction and inertia that are all a little wrong predict nearly as well as the right ones, and no small
    step leads from one to the other. All joints are moved at once and each is judged by its own errors.

    Args:
        problem: What is fitted.
        space: What is searched.
        z: Coordinates to start from.
        key: The parameter.
        moves: In standard deviations of its prior.

    Returns:
        Coordinates, z where nothing is better.
    """
    mine = [index for index, item in enumerate(space.parameters) if item.key == key]
    rest = [index for index, item in enumerate(space.parameters) if item.key != key]
    if not mine or not rest:
        return z
    low, high = space.bounds
    columns = np.array([item.column if "." in item.name else -1 for item in space.parameters])
    found, least = z.copy(), _by_joint(problem, space, z, columns)
    for move in moves:
        tried = z.copy()
        tried[mine] = np.clip(z[mine] + move, low[mine], high[mine])
        others = replace(space, parameters=tuple(space.parameters[index] for index in rest), fixed=space.values(tried))
        tried[rest] = problem.minimise(others, tried[rest], ROUNDS)
        costs = _by_joint(problem, space, tried, columns)
        for joint in np.flatnonzero(costs < least):
            least[joint], own = costs[joint], columns == joint
            found[own] = tried[own]
    return found


def _by_joint(problem: Problem, space: Space, z: Array, columns: Integers) -> Array:
    """Squares summed over each joint's errors and parameters, shape (joints,)."""
    joints = problem.segments.measured.shape[-1]
    error = problem.residuals(space, z[:, None])[: -len(z), 0].reshape(-1, joints)
    return (error**2).sum(axis=0) + np.array([(z[columns == joint] ** 2).sum() for joint in range(joints)])
