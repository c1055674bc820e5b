"""The errors a user can cause, one class per kind of misuse.

Every message says where (file and key), what was given, what exists, and what to do. The command line prints
the message without a traceback and exits with `exit_code`; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable


class PolicyPortError(Exception):
    """Base of all errors that a user can cause and mend."""

    exit_code = 2


class ContractError(PolicyPortError):
    """A contract file is malformed, incomplete or contradicts itself."""


class MappingError(PolicyPortError):
    """A mapping file is malformed, or does not fit the contracts or the robot it is used with."""


class CheckpointError(PolicyPortError):
    """A policy file can't be read, is not a policy, or disagrees with its contract."""


class UnsafeFileError(CheckpointError):
    """A policy file would have to execute code to load, so it is refused."""


class PortError(PolicyPortError):
    """A port folder is incomplete, was changed after it was written, or does not compute what it stored."""


class RobotError(PolicyPortError):
    """A robot file can't be loaded or lacks what the contract names."""


class DynamicsError(PolicyPortError):
    """A dynamics file is malformed, says what can't be, or is another robot's."""


class MotionError(PolicyPortError):
    """A reference motion can't be read, does not fit the robot, or says something that can't be."""


class EmulatorError(PolicyPortError):
    """The emulated arm was asked for something that it does not have."""


class CameraError(PolicyPortError):
    """A camera, its picture or what is said of it does not fit, or a pose can't be found from its pictures."""


class TaskError(PolicyPortError):
    """A task does not fit the policy or the plant that is to perform it."""


class TrainError(PolicyPortError):
    """A training can't start, go on or be resumed: its parts don't fit each other, or it computes no numbers."""


class MissingDependencyError(PolicyPortError):
    """A library, driver or device that the command needs is not here."""


class EvidenceError(PolicyPortError):
    """A trace can't serve as evidence for or against a port."""


class OutputError(PolicyPortError):
    """The output can't be written where the user asked for it."""


class SuiteError(PolicyPortError):
    """A suite or a sweep is malformed, or a suite's baselines are missing or belong to another one."""


class StoppedSweepError(SuiteError):
    """A person stopped a sweep; what was played is kept."""

    exit_code = 130


class StoppedTrainingError(TrainError):
    """A person stopped a training; its last checkpoint is whole."""

    exit_code = 130


class ProofError(PolicyPortError):
    """The export was written and run, and does not compute what the checkpoint computes."""

    exit_code = 1


def closest(name: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest candidate, whatever its case, or "" when none is near."""
    return _closest(name, tuple(candidates))


# A long file may have one mistake tens of thousands of times.
@functools.lru_cache(maxsize=256)
def _closest(name: str, candidates: tuple[str, ...]) -> str:
    known = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean '{known[near[0]]}'?" if near else ""


def one_line(cause: BaseException) -> str:
    """What another library's error says, as part of a sentence: without line breaks, and not too long."""
    return " ".join(str(cause).split())[:300] or type(cause).__name__
