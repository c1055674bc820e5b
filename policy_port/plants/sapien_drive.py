"""What the drives of a SAPIEN robot apply at a state."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.plants import maniskill_build as build


class SapienDrive:
    """What an explicit drive applies, and what PhysX's implicit one, which does not tell, has applied."""

    def __init__(self, gains: build.Gains, num_envs: int) -> None:
        rows = (num_envs, 1)
        self._gain, self._damping = np.tile(gains.gain, rows), np.tile(gains.damping, rows)
        self._upper, self._lower = np.tile(gains.limit, rows), np.tile(-gains.limit, rows)
        self._part = np.zeros_like(self._upper)
        self._clips = bool(np.isfinite(gains.targets).any())
        self._lowest, self._highest = (np.tile(bound, rows) for bound in gains.targets)
        at_positions, at_velocities = gains.only("position"), gains.only("velocity")
        self._mixed = None if at_positions.all() else (np.tile(at_positions, rows), np.tile(at_velocities, rows))
        self.target: Array = np.zeros_like(self._upper)
        """Joint targets in force [SI, of each drive's quantity], shape (num_envs, joints)."""
        self.torque: Array = np.zeros_like(self._upper)
        """The gains applied to a state, within the limits [N m or N], shape (num_envs, joints)."""

    @property
    def gains(self) -> tuple[Array, Array]:
        """Gain on the targets and damping in force, shape (num_envs, joints) each."""
        return self._gain, self._damping

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Take other gains from now on."""
        self._gain[:], self._damping[:] = stiffness, damping

    def set_limits(self, limit: Array) -> None:
        """Take other effort limits from now on [N m or N]."""
        self._upper[:], self._lower[:] = limit, -limit

    def apply(self, joint_pos: Array, joint_vel: Array) -> Array:
        """Compute and return `torque` at positions [rad or m] and velocities [rad/s or m/s]."""
        torque, part, target = self.torque, self._part, self.target
        if self._clips:
            target = np.clip(target, self._lowest, self._highest, out=torque)
        if self._mixed is None:
            np.subtract(target, joint_pos, torque)
        else:
            np.multiply(self._mixed[0], joint_pos, part)
            np.subtract(target, part, torque)
            np.multiply(self._mixed[1], joint_vel, part)
            np.subtract(torque, part, torque)
        np.multiply(self._gain, torque, torque)
        np.multiply(self._damping, joint_vel, part)
        np.subtract(torque, part, torque)
        np.maximum(torque, self._lower, torque)
        np.minimum(torque, self._upper, torque)
        return torque
