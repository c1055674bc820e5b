"""What makes a comparison mean less than it seems: warnings, a sentence each."""

from __future__ import annotations

import math

import numpy as np

from policy_port.compare.pair import common_episodes
from policy_port.compare.run import Run


def doubts(reference: Run, other: Run) -> list[str]:
    """What differs between two runs apart from the simulator."""
    found = []
    names = f"{other.label} and {reference.label}"
    ours, theirs = (run.header.get("policy_sha256") for run in (reference, other))
    if ours is not None and theirs is not None and ours != theirs:
        found.append(
            f"{names} ran different policies ({_short(theirs)} and {_short(ours)}): what differs between them is not "
            "the simulator's doing alone, unless both files are ports of one checkpoint"
        )
    ours, theirs = (run.header.get("contract_sha256") for run in (reference, other))
    if ours is None or theirs is None:
        which = " and ".join(run.label for run in (reference, other) if run.header.get("contract_sha256") is None)
        found.append(f"{which}: the trace's header has no contract_sha256, so nothing tells whether it is one policy")
    elif ours != theirs:
        found.append(
            f"{names} ran under different contracts: '{other.header.get('contract')}' ({_short(theirs)}) and "
            f"'{reference.header.get('contract')}' ({_short(ours)}): another policy, or the same in another parsing"
        )
    if not math.isclose(reference.control_dt, other.control_dt, rel_tol=1e-6):
        found.append(
            f"{names} ran at different control rates, {1 / other.control_dt:g} and {1 / reference.control_dt:g} Hz: "
            "a policy trained at one rate acts otherwise at another; trajectories are compared at the lower one"
        )
    if not common_episodes(reference, other):
        found.append(f"{names} have no episode in common (other seeds?), so their trajectories are not compared")
    commands = [run.arrays["command"] for run in (reference, other) if "command" in run.arrays]
    if len(commands) == 2 and not _alike(*(command[0, 0] for command in commands)):
        asked = [", ".join(f"{value:g}" for value in command[0, 0]) for command in commands]
        found.append(f"{names} were given different commands: {asked[1]} and {asked[0]}")
    return found


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.allclose(first, second, atol=1e-6))


def _short(digest: object) -> str:
    return str(digest)[:12]
