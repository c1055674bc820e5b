"""Where joints stand in another order, found by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy_port.errors import RobotError, closest


def joint_indices(wanted: Sequence[str], available: Sequence[str], *, wanted_by: str) -> NDArray[np.intp]:
    """Index in `available` of each joint of `wanted`.

    Args:
        wanted: Joint names in the order of the result.
        available: The robot's joint names in its own order.
        wanted_by: Who asks, for the message: "contract 'go2'".

    Raises:
        RobotError: When a joint is missing or the robot has a name twice, naming it and the joints there are.
    """
    repeated = sorted({name for name in available if list(available).count(name) > 1})
    if repeated:
        raise RobotError(f"the robot has joint {', '.join(repeated)} twice; names must be unique to be mapped")
    position = {name: index for index, name in enumerate(available)}
    missing = [name for name in wanted if name not in position]
    if missing:
        raise RobotError(
            f"{wanted_by} names joint '{missing[0]}', which the robot does not "
            f"have{closest(missing[0], available) or '.'} Missing: {', '.join(missing)}. "
            f"The robot's joints are: {', '.join(available)}. Use the robot file that the contract was written for, or "
            "map the names"
        )
    return np.array([position[name] for name in wanted], dtype=np.intp)
