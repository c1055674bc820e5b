"""Whether so many environments have room in this machine's memory, before it is gone."""

from __future__ import annotations

import os

from policy_port.errors import RobotError

LEAST = 8 * 1024
"""What an environment of any simulator takes at least [bytes]."""
PROCESS = 64 * 2**20
"""The same of one that is a process of its own [bytes]."""


def refuse_too_many(num_envs: int, each: int, what: str) -> None:
    """Refuse environments that need more memory than the machine has.

    Args:
        num_envs: How many are asked for.
        each: What one takes at least [bytes].
        what: The simulator, in words.

    Raises:
        RobotError: Naming what they need and what there is.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_envs * each > memory:
        raise RobotError(
            f"{num_envs} environments in {what} need {num_envs * each / 2**30:.3g} GiB of memory at least, and this "
            f"machine has {memory / 2**30:.3g} GiB: ask for fewer with --num-envs"
        )
