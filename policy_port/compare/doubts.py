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
    found += _policies(reference, other)
    if not math.isclose(reference.control_dt, other.control_dt, rel_tol=1e-6):
        found.append(
            f"{names} ran at different control rates, {1 / other.control_dt:g} and {1 / reference.control_dt:g} Hz: "
            "a policy trained at one rate acts otherwise at another; trajectories are compared at the lower one"
        )
    if not common_episodes(reference, other):
        found.append(f"{names} have no episode in common (other seeds?), so their trajectories are not compared")
    found += [sentence for one, two in ((reference, other), (other, reference)) for sentence in _arms(one, two)]
    commands = [run.arrays["command"] for run in (reference, other) if "command" in run.arrays]
    if len(commands) == 2 and not _alike(*(command[0, 0] for command in commands)):
        asked = [", ".join(f"{value:g}" for value in command[0, 0]) for command in commands]
        found.append(f"{names} were given different commands: {asked[1]} and {asked[0]}")
    return found


def _arms(real: Run, simulated: Run) -> list[str]:
    """Whether a simulation is under the dynamics of another arm than the one that moved."""
    ours, theirs = real.header.get("calibration_sha256"), simulated.header.get("dynamics_calibration_sha256")
    if ours is None or theirs in (None, ours):
        return []
    return [
        f"{simulated.label} was played under dynamics of an arm with another calibration ({_short(theirs)}) than that "
        f"of {real.label} ({_short(ours)}): of another arm of the same model, or of this one calibrated anew"
    ]


def other_policy(reference: Run, other: Run) -> bool:
    """Whether both headers know their checkpoints or files, and these differ."""
    for key in ("checkpoint_sha256", "policy_sha256"):
        ours, theirs = reference.header.get(key), other.header.get(key)
        if ours is not None and theirs is not None:
            return ours != theirs
    return False


def _policies(reference: Run, other: Run) -> list[str]:
    """Whether both ran one policy, by the best that both headers know of it."""
    names = f"{other.label} and {reference.label}"
    for key, what in (("checkpoint_sha256", "checkpoint"), ("policy_sha256", "file")):
        ours, theirs = reference.header.get(key), other.header.get(key)
        if ours is None or theirs is None:
            continue
        if ours == theirs:
            return []
        unless = "" if what == "checkpoint" else ", unless both files are ports of one checkpoint"
        return [
            f"{names} ran different policies ({what} {_short(theirs)} and {_short(ours)}): what differs between them "
            f"is not the simulator's doing alone{unless}"
        ]
    ours, theirs = reference.header.get("contract_sha256"), other.header.get("contract_sha256")
    if ours is None or theirs is None:
        which = " and ".join(run.label for run, digest in ((reference, ours), (other, theirs)) if digest is None)
        return [f"{which}: the header names no policy_sha256 and no contract_sha256, so it may be another policy"]
    if ours != theirs:
        return [
            f"{names} ran under different contracts: '{other.header.get('contract')}' ({_short(theirs)}) and "
            f"'{reference.header.get('contract')}' ({_short(ours)}): another policy, or the same in another parsing"
        ]
    return []


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.allclose(first, second, atol=1e-6))


def _short(digest: object) -> str:
    return str(digest)[:12]
