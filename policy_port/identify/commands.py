"""What becomes of commands on their way to the drives: they are held, and come late."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.identify.segments import Segments


def drive_targets(segments: Segments, delay: Array, timestep: float, steps: int) -> Array:
    """Mean target of each drive in each physics step, shape (segments, steps, joints).

    A command is held until the next and comes `delay` [s], shape (joints,), late. Where one comes into force within a
    step, the step's target is the mean over it, so that fractions of a step count, as in `plants.play.CommandDelay`.
    """
    found = np.empty((segments.count, steps, len(delay)))
    edges = np.arange(steps + 1) * timestep
    for index, item in enumerate(segments.recordings):
        mine = np.flatnonzero(segments.of == index)
        if not len(mine):
            continue
        target = item.command
        passed = np.concatenate(
            [np.zeros((1, target.shape[1])), np.cumsum(target[:-1] * np.diff(item.sent)[:, None], axis=0)]
        )
        for joint in range(target.shape[1]):
            at = segments.start[mine, None] + edges - delay[joint]
            # Before the first command the first is in force, after the last the last.
            area = np.interp(at, item.sent, passed[:, joint])
            area += np.minimum(at - item.sent[0], 0.0) * target[0, joint]
            area += np.maximum(at - item.sent[-1], 0.0) * target[-1, joint]
            found[mine, :, joint] = np.diff(area, axis=1) / timestep
    return found
