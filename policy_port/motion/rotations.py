"""Quaternions wxyz as NumPy arrays, the few operations that a clip needs."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array


def multiply(left: Array, right: Array) -> Array:
    """The rotation `right` followed by `left`, shape (..., 4)."""
    w, x, y, z = (left[..., index] for index in range(4))
    a, b, c, d = (right[..., index] for index in range(4))
    return np.stack(
        [
            w * a - x * b - y * c - z * d,
            w * b + x * a + y * d - z * c,
            w * c - x * d + y * a + z * b,
            w * d + x * c - y * b + z * a,
        ],
        axis=-1,
    )


def conjugate(quat: Array) -> Array:
    """The inverse of unit quaternions, shape (..., 4)."""
    return quat * np.array([1.0, -1.0, -1.0, -1.0])


def rotate(quat: Array, vector: Array) -> Array:
    """Vectors (..., 3) turned by unit quaternions (..., 4)."""
    w, x, y, z = (quat[..., index] for index in range(4))
    a, b, c = (vector[..., index] for index in range(3))
    # Written out: np.cross takes ten times as long for a few.
    p, q, r = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return np.stack([a + w * p + (y * r - z * q), b + w * q + (z * p - x * r), c + w * r + (x * q - y * p)], axis=-1)


def matrix(quat: Array) -> Array:
    """Rotation matrices, shape (..., 3, 3)."""
    return rotate(quat[..., None, :], np.eye(3)).swapaxes(-2, -1)


def about(axis: Array, angle: Array) -> Array:
    """Rotations by `angle` [rad], shape (...), about a unit axis (3,)."""
    half = 0.5 * np.asarray(angle)[..., None]
    return np.concatenate([np.cos(half), np.sin(half) * axis], axis=-1)


def yaw_angle(quat: Array) -> Array:
    """Angle of the x axis in the world's plane [rad], shape (...)."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    return np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def yaw_only(quat: Array) -> Array:
    """The part of each rotation about the world's z axis, shape (..., 4)."""
    return about(np.array([0.0, 0.0, 1.0]), yaw_angle(quat))


def without_jumps(quats: Array) -> Array:
    """The same rotations with signs such that neighbours in time, axis 0, lie on the same half of the sphere."""
    turned = np.where(np.sum(quats[1:] * quats[:-1], axis=-1, keepdims=True) < 0.0, -1.0, 1.0)
    return np.concatenate([quats[:1], quats[1:] * np.cumprod(turned, axis=0)])


def slerp(before: Array, after: Array, share: Array) -> Array:
    """Rotations between two, at constant angular speed: shapes (n, ..., 4), (n, ..., 4) and (n,)."""
    share = share.reshape(-1, *[1] * (before.ndim - 1))
    dot = np.sum(before * after, axis=-1, keepdims=True)
    after = np.where(dot < 0.0, -after, after)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    near = angle < 1e-6
    sine = np.where(near, 1.0, np.sin(angle))
    first = np.where(near, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
    second = np.where(near, share, np.sin(share * angle) / sine)
    mixed = first * before + second * after
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
