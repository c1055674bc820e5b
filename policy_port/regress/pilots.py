"""From a case to the policy that flies it: a port that is there, or one made from checkpoint, contract and mapping."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Float32
from policy_port.contract import RobotMapping, load_contract, load_mapping
from policy_port.errors import PortError
from policy_port.port.folder import Port, load_port
from policy_port.port.images import CameraInputs
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import Policy
from policy_port.regress.play import ListFile, Play

ROUNDING = 1e-5
"""Size of the noise that stands for another torch or ONNX Runtime, as a share of the action or of 1; real ones differ
by about 1e-6."""

KEPT = 7 * 24 * 3600.0
"""How long a port that was made stays after its last use [s]."""


def find_pilot(suite: ListFile, case: Play, ports: Path, key: str) -> tuple[Port, Pilot]:
    """The case's port, and the policy in the simulator's parsing.

    Args:
        suite: The file that lists the case.
        case: The case.
        ports: Folder that keeps the ports that were made.
        key: Hash of all that goes into a port that is to be made.

    Raises:
        PolicyPortError: When it can't be read or made.
    """
    port = load_port(suite.resolve(case.port)) if case.port is not None else _made(suite, case, ports, key)
    if port.contract.images or port.chunk is not None:
        what = "camera images" if port.contract.images else f"chunks of {port.chunk} actions"
        raise PortError(f"{port.path}: has {what}, which a suite's baselines do not hold; use `policy-port play`")
    return port, port.pilot(None if case.through is None else mapping_of(suite, case.through))


def mapping_of(suite: ListFile, text: str) -> RobotMapping:
    """A mapping by path or by the name of a shipped one."""
    return load_mapping(suite.resolve_or_name(text))


def _made(suite: ListFile, case: Play, ports: Path, key: str) -> Port:
    ports.mkdir(parents=True, exist_ok=True)
    folder = ports / key
    # Cases that share a policy run side by side; the first one makes the port, the others wait for it.
    with open(ports / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            os.utime(folder)
            return load_port(folder)
        _forget_old(ports)
        return _make(suite, case, folder)


def _make(suite: ListFile, case: Play, folder: Path) -> Port:
    # What makes a port takes seconds to import, and most cases find theirs made.
    from policy_port.checkpoints import load_policy
    from policy_port.checkpoints.policy import NO_STATISTICS
    from policy_port.contract.layout import observation_blocks
    from policy_port.contract.named_columns import named_columns
    from policy_port.export.write import write_port
    from policy_port.remap import build_remap, identity_remap

    assert case.checkpoint is not None
    assert case.contract is not None
    contract = load_contract(suite.resolve(case.contract))
    remap = identity_remap(contract) if case.mapping is None else build_remap(contract, mapping_of(suite, case.mapping))
    statistics = case.statistics
    policy = load_policy(
        suite.resolve(case.checkpoint),
        kind=case.library,
        statistics=statistics if statistics in (None, NO_STATISTICS) else suite.resolve(statistics),
        width=contract.observation_size,
        terms=observation_blocks(contract),
        names=named_columns(contract),
        activation=case.activation,
        ignore=case.ignore,
    )
    return write_port(folder, policy, remap, formats=("onnx",), fold=case.fold)


def _forget_old(ports: Path) -> None:
    """Delete ports that nobody has used for long: each edit of this package makes new ones."""
    for folder in ports.iterdir():
        with contextlib.suppress(OSError):
            if folder.is_dir() and time.time() - folder.stat().st_mtime > KEPT:
                shutil.rmtree(folder)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoughPilot(Pilot):
    """The same policy with its actions shaken by as little as another library's rounding would."""

    def open(self, num_envs: int = 1) -> Policy:
        """Load the graph; see `Pilot.open`."""
        return _Rough(super().open(num_envs))

    @staticmethod
    def like(pilot: Pilot) -> RoughPilot:
        """Shake `pilot`."""
        return RoughPilot(**vars(pilot))


class _Rough:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rng = np.random.default_rng(0)

    @property
    def observation(self) -> Float32:
        return self._policy.observation

    @property
    def images(self) -> CameraInputs:
        return self._policy.images

    @property
    def action_size(self) -> int:
        return self._policy.action_size

    def act(self) -> Float32:
        action = self._policy.act()
        noise = self._rng.uniform(-ROUNDING, ROUNDING, action.shape)
        return (action + noise * np.maximum(1.0, np.abs(action))).astype(np.float32)

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        self._policy.reset(rows)
