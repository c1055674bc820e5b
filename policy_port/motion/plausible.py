"""Whether a clip can be the motion of the robot that its columns are taken for: by its stops, and by its usual pose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from policy_port.contract.spec import Contract
from policy_port.errors import MotionError
from policy_port.motion.motion import Motion

# Measured on public clips of a G1: as stated none passes a stop, in any other joint order one is passed by 0.49 rad
# or more; and the mean pose is nearer to the default pose, by a third at least, than in any other order.
NEAR, BEYOND = 0.05, 0.4
"""How far behind a stop a retargeted motion may ask a joint to go [rad]: unsaid, and at all."""
NEARER = 0.75
"""Share of its distance from the default pose at which another order of the columns is the likelier one."""
FEWEST = 4
"""Joints below which an order says nothing."""


def check_stops(motion: Motion, stops: Mapping[str, tuple[float, float]], robot: str) -> str:
    """Hold a clip against the stops of a robot's joints.

    Args:
        motion: The clip.
        stops: Lower and upper stop of each joint that has both [rad or m].
        robot: Whose they are, in words.

    Returns:
        What asks for more than the robot can do; nothing where it does not.

    Raises:
        MotionError: When a joint would have to go where its stop never lets it, so that it is another one's column.
    """
    told = [(place, name, stops[name]) for place, name in enumerate(motion.joint_names) if name in stops]
    if not told:
        return ""
    values = motion.joint_pos[:, [place for place, _, _ in told]]
    low, high = np.array([pair for _, _, pair in told]).T
    over = np.maximum(np.maximum(low - values, values - high), 0.0)
    frame, worst = np.unravel_index(int(over.argmax()), over.shape)
    if over[frame, worst] <= NEAR:
        return ""
    _, name, (lower, upper) = told[worst]
    said = (
        f"joint '{name}' is at {values[frame, worst]:.3g} in frame {frame}, and {robot} has its stops at {lower:.3g} "
        f"and {upper:.3g}; {int((over.max(axis=0) > NEAR).sum())} of {len(told)} joints pass theirs"
    )
    if over[frame, worst] > BEYOND:
        raise MotionError(
            f"the reference motion is not this robot's: {said}. Are its columns in another joint order than "
            "motion.files.joint_names says, or in degrees?"
        )
    return f"the reference motion asks for more than the robot can do: {said}"


def stated_stops(contract: Contract) -> dict[str, tuple[float, float]]:
    """The stops that a contract states [rad or m]."""
    return {
        name: (joint.lower / contract.per_si(name), joint.upper / contract.per_si(name))
        for name, joint in contract.joints.items()
        if joint.lower is not None and joint.upper is not None
    }


def order_doubt(motion: Motion, contract: Contract) -> str:
    """Whether the columns of a clip look like another order of the joints; nothing where they don't."""
    names = [name for name in motion.joint_names if name in contract.joints]
    if len(names) < FEWEST or len(names) < len(motion.joint_names):
        return ""
    default = np.array([contract.joints[name].default / contract.per_si(name) for name in names])
    mean = motion.joint_pos.mean(axis=0)
    stated = float(np.abs(mean - default).mean())
    found = [(float(np.abs(mean[columns] - default).mean()), words) for columns, words in _orders(names, contract)]
    nearest, words = min(found, key=lambda pair: pair[0], default=(np.inf, ""))
    if nearest >= NEARER * stated:
        return ""
    return (
        f"the reference motion's columns look like {words}: so its mean pose is {nearest:.2g} rad a joint from the "
        f"contract's default pose, as stated {stated:.2g}; look at motion.files.joint_names"
    )


def _orders(names: list[str], contract: Contract) -> Iterator[tuple[list[int], str]]:
    """The column of each joint under other orders of the same columns, and what they are in words."""
    policy = [name for name in contract.joint_names if name in names]
    for order, words in (
        (names[::-1], "the joints in reverse"),
        (sorted(names), "the joints in alphabetical order"),
        (policy, "the joints in the policy's order"),
    ):
        if order != names:
            yield [order.index(name) for name in names], words
            if order == sorted(names):
                yield [names.index(name) for name in order], "columns that were sorted by name once too often"
