"""What stands between a command and a motion, and between a motion and its reading: delay, play, encoders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.plant import PlantState


class CommandDelay:
    """Commands that act later, by any number of physics steps."""

    def __init__(self, steps: Array) -> None:
        """Delay by `steps` physics steps, shape (num_envs, joints)."""
        # What is a whole number but for rounding is one.
        self._whole = np.floor(steps + 1e-9).astype(np.intp)
        self._part = np.maximum(steps - self._whole, 0.0)
        self._past = np.zeros((int(self._whole.max(initial=0)) + 2, *steps.shape))
        self._columns = np.ogrid[: steps.shape[0], : steps.shape[1]]
        self._none = not steps.any()
        self._now = 0

    def forget(self, command: Array, rows: NDArray[np.bool_]) -> None:
        """Have `command` for all of the past, shape (num_envs, joints), of some environments."""
        self._past[:, rows] = command[rows]

    def next(self, command: Array) -> Array:
        """What acts in the next physics step, before which `command` was given; shape (num_envs, joints)."""
        if self._none:
            return command
        depth, row, column = len(self._past), *self._columns
        self._past[self._now] = command
        newer = self._past[(self._now - self._whole) % depth, row, column]
        older = self._past[(self._now - self._whole - 1) % depth, row, column]
        self._now = (self._now + 1) % depth
        return newer + self._part * (older - newer)


class Play:
    """Backlash between motors and joints, as targets that make a drive do what it does."""

    def __init__(self, half: Array, stiffness: Array, damping: Array) -> None:
        """Give way by `half` the width to each side [rad]; gains of the drives [N m/rad, N m s/rad]."""
        self._half = half
        self.stiffness, self.damping = stiffness, damping
        self.there = bool(half.any())
        """Whether there is any."""

    def through(self, target: Array, state: PlantState) -> Array:
        """The targets [rad] that stand for `target` in the next physics step, all shape (num_envs, joints)."""
        error = target - state.joint_pos
        pressed = error - np.clip(error, -self._half, self._half)
        torque = self.stiffness * pressed - self.damping * state.joint_vel
        # A target by which stiffness and damping cancel: the drive lets go.
        brake = np.divide(self.damping, self.stiffness, out=np.zeros_like(error), where=self.stiffness > 0.0)
        loose = state.joint_pos + brake * state.joint_vel
        through = np.where(torque * pressed > 0.0, state.joint_pos + pressed, loose)
        return np.where(self._half > 0.0, through, target)


class Reading:
    """Encoders: gain, offset, noise and steps of the positions that are read."""

    def __init__(self, gain: Array, offset: Array, noise: Array, step: Array, seed: int) -> None:
        """Read gain * truth + offset [rad], shape (num_envs, joints).

        Args:
            gain: Reading per truth.
            offset: Reading where the truth is 0.
            noise: Standard deviation [rad], shape (num_envs, 1).
            step: Readings are multiples of this [rad], shape (num_envs, 1); 0 for any.
            seed: Seed of the noise.
        """
        self._gain, self._offset, self._scale = gain, offset, noise
        self._step, self._steps = np.where(step > 0.0, step, 1.0), step > 0.0
        self._noise = np.zeros_like(gain)
        self._none = bool((gain == 1.0).all()) and not any(part.any() for part in (offset, noise, step))
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Start the noise anew: environment n draws from a generator of its own, of seed and n."""
        self._random = [np.random.default_rng((seed, row)) for row in range(len(self._gain))]

    def draw(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Another moment has come, of some environments or of all."""
        if self._scale.any():
            for row in range(len(self._gain)) if rows is None else np.flatnonzero(rows):
                self._noise[row] = self._scale[row] * self._random[row].standard_normal(self._gain.shape[1])

    def of(self, state: PlantState) -> None:
        """Turn the truth in `state` into what the encoders say."""
        if self._none:
            return
        read = self._gain * state.joint_pos + self._offset + self._noise
        state.joint_pos[...] = np.where(self._steps, np.round(read / self._step) * self._step, read)
        state.joint_vel[...] = self._gain * state.joint_vel
