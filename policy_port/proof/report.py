"""What a parity check measured: frozen data, as JSON, as a table, as one line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.proof.gate import Judgement, Outputs, Yardstick, absolute_error, flat


@dataclass(frozen=True, kw_only=True)
class JointError:
    """How far one joint's action is from the float64 reference, over all groups and batches."""

    joint: str
    """Joint name."""
    max: float
    """Largest absolute error [raw action]."""
    p999: float
    """99.9th percentile of the absolute error."""
    mean: float
    """Mean absolute error."""
    relative: float
    """Largest relative error; for information, since outputs cross zero."""
    ulp: float
    """Largest error in units in the last place of float32; for information."""
    eager: float
    """Largest absolute error of torch eager."""
    action_range: float
    """Largest less smallest action over the realistic and recorded observations."""
    ratio: float
    """Largest error over what is allowed, of all groups; above 1 fails."""


@dataclass(frozen=True, kw_only=True)
class GroupError:
    """One joint in one group of observations."""

    group: str
    """Group name."""
    joint: str
    """Joint name."""
    max: float
    """Largest absolute error."""
    eager: float
    """Largest absolute error of torch eager."""
    allowed: float
    """Largest error that the gate lets pass."""


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The observation that the export answered worst, measured by what is allowed."""

    group: str
    """Group name."""
    batch: int
    """Batch size."""
    step: int
    """Step of the sequence."""
    row: int
    """Row of the batch."""
    joint: str
    """Joint name."""
    expected: float
    """Action of the float64 reference."""
    given: float
    """Action of the export."""
    observation: tuple[float, ...]
    """The observation, as the target shows it."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One deliberate fault, held against the gate."""

    fault: str
    """What was broken, with names."""
    ratio: float
    """Largest error over what is allowed; the gate caught the fault if this is above 1."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One kind of fault that the gate must catch."""

    kind: str
    """The kind."""
    trials: tuple[Trial, ...]
    """What was tried, until one was caught; none where the kind does not apply."""
    note: str = ""
    """Why the kind does not apply."""

    @property
    def caught(self) -> bool:
        """True when the gate caught it, or when it can't happen to this policy."""
        return bool(self.note) or any(trial.ratio > 1.0 for trial in self.trials)


@dataclass(frozen=True, kw_only=True)
class FileParity:
    """What one file, or the checkpoint's own runtime, computes."""

    file: str
    """File name."""
    joints: tuple[JointError, ...]
    """Per joint, in action order."""
    groups: tuple[GroupError, ...]
    """Per group and joint."""
    worst: Worst
    """The worst input."""
    probes: tuple[Probe, ...]
    """The self-test of the gate with this file's outputs."""
    complaint: str
    """One sentence on what is wrong; empty when the file passed."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """A parity check of everything that was written."""

    source: str
    """Name of the source contract."""
    target: str
    """Name of the target contract."""
    policy_sha256: str
    """SHA-256 of the policy file."""
    seed: int
    """Seed of the sampled observations."""
    samples: dict[str, int]
    """Observations per group at the largest batch."""
    batches: tuple[int, ...]
    """Batch sizes."""
    steps: int
    """Steps per sequence, with resets of single rows in between for a recurrent policy."""
    files: tuple[FileParity, ...]
    """The exports."""
    original: FileParity | None
    """The policy file run by its own runtime, against the float64 network; None when it has no runtime."""

    @property
    def passed(self) -> bool:
        """True when every file passed and the gate caught every deliberate fault."""
        return not self.complaints

    @property
    def complaints(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong."""
        read = (self.original,) if self.original is not None else ()
        return tuple(file.complaint for file in (*read, *self.files) if file.complaint)

    @property
    def max_error(self) -> float:
        """Largest absolute error of any export [raw action], tails included."""
        return max(joint.max for file in self.files for joint in file.joints)

    @property
    def max_ratio(self) -> float:
        """Largest error over what is allowed, of any export."""
        return max(joint.ratio for file in self.files for joint in file.joints)

    def to_json(self) -> str:
        """Everything at full precision; what is infinite is the string "inf"."""
        data = {"passed": self.passed, "max_error": self.max_error, "max_ratio": self.max_ratio}
        return json.dumps(_plain(data | dataclasses.asdict(self)), indent=2, allow_nan=False) + "\n"


def joint_errors(
    yardsticks: Sequence[Yardstick],
    outputs: Outputs,
    verdicts: Sequence[Judgement],
    joints: Sequence[str],
    ranges: Array,
) -> tuple[JointError, ...]:
    """Pool the errors of all groups and batches per joint."""
    pairs = [(flat(v), flat(y.expected[:, : v.shape[1]])) for y in yardsticks for v in outputs[y.group]]
    given, expected = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    error = absolute_error(given, expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error > 0.0, error / np.abs(expected), 0.0).max(axis=0)
    ulp = (error / np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)).max(axis=0)
    # The default method interpolates, and a percentile between a finite error and an infinite one is NaN.
    p999 = np.quantile(error, 0.999, axis=0, method="higher")
    eager = np.max([y.eager_error for y in yardsticks], axis=0)
    ratio = np.max([v.ratio for v in verdicts], axis=0)
    columns = (error.max(axis=0), p999, error.mean(axis=0), relative, ulp, eager, ranges, ratio)
    names = ("max", "p999", "mean", "relative", "ulp", "eager", "action_range", "ratio")
    return tuple(
        JointError(joint=joint, **{name: float(column[i]) for name, column in zip(names, columns, strict=True)})
        for i, joint in enumerate(joints)
    )


def group_errors(
    yardsticks: Sequence[Yardstick], verdicts: Sequence[Judgement], joints: Sequence[str]
) -> tuple[GroupError, ...]:
    """The verdicts as plain data."""
    return tuple(
        GroupError(
            group=yard.group,
            joint=joint,
            max=float(verdict.error[i]),
            eager=float(yard.eager_error[i]),
            allowed=float(yard.allowed[i]),
        )
        for yard, verdict in zip(yardsticks, verdicts, strict=True)
        for i, joint in enumerate(joints)
    )


def worst_input(
    yardsticks: Sequence[Yardstick],
    outputs: Outputs,
    verdicts: Sequence[Judgement],
    observations: Mapping[str, NDArray[np.floating]],
    joints: Sequence[str],
) -> Worst:
    """Find the observation whose answer is furthest off, measured by what is allowed."""
    at = int(np.argmax([verdict.ratio.max() for verdict in verdicts]))
    yard, joint = yardsticks[at], int(np.argmax(verdicts[at].ratio))
    tries = [absolute_error(v, yard.expected[:, : v.shape[1]])[..., joint] for v in outputs[yard.group]]
    which = int(np.argmax([error.max() for error in tries]))
    step, row = (int(k) for k in np.unravel_index(np.argmax(tries[which]), tries[which].shape))
    return Worst(
        group=yard.group,
        batch=tries[which].shape[1],
        step=step,
        row=row,
        joint=joints[joint],
        expected=float(yard.expected[step, row, joint]),
        given=float(outputs[yard.group][which][step, row, joint]),
        observation=tuple(observations[yard.group][step, row].tolist()),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
