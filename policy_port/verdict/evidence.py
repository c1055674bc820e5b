"""A trace as evidence: every array as (steps, environments, numbers), episodes marked, nothing missing, nothing NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.actions import TARGETS
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.errors import EvidenceError, closest
from policy_port.motion.motion import Motion
from policy_port.trace import Trace, TraceError
from policy_port.verdict.recorded_arrays import (
    VECTORS,
    Mask,
    Values,
    is_place,
    is_sensed,
    place_array,
    row_numbers,
    rows_of,
    state_array,
)

__all__ = ["Answers", "Evidence", "Mask", "Read", "Values", "read_evidence"]

COMMAND = "command"
"""What the policy was told, before dead zone and slew limit."""

REQUIRED = ("observation", "action")
"""What every verdict needs; which raw states it needs as well, the contract says."""

OPTIONAL = ("joint_pos", "joint_vel", *VECTORS, COMMAND, "goal", *TARGETS.values())

LONGEST = 86400.0
"""A time beyond this is a computer's clock, not the time since a reset [s]."""

SHORTEST = 3
"""Fewest steps that say anything: two, and one that can differ from both."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a network does on the recorded observations."""

    values: Values
    """Raw actions, shape of the trace's actions."""
    known: Mask
    """False where its memory is not known, shape (steps, environments)."""
    note: str = ""
    """Why it is not."""


class Read(NamedTuple):
    """A raw signal as a term saw it, in the contract's unit."""

    values: Values
    """Shape (steps, environments)."""
    known: Mask
    """False where the trace does not tell, same shape."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What was recorded where the policy was trained, or wherever it is known to run right."""

    path: Path
    """The trace."""
    header: dict[str, Any]
    """Names, rates, versions, as recorded."""
    joint_names: tuple[str, ...]
    """Joint of each column of joint_pos, joint_vel and the targets."""
    command_names: tuple[str, ...]
    """Element of each column of command."""
    arrays: dict[str, Values]
    """Recorded arrays by name, shape (steps, environments, numbers); joint data in SI units."""
    since: NDArray[np.intp]
    """Step at which the episode of each row starts in the trace, shape (steps, environments)."""
    whole: Mask
    """True where the episode was recorded from its reset on, shape (steps, environments)."""
    unsure: Mask
    """True where the trace's clock leaves it open whether the episode begins at a reset; see `verdict.starts`."""
    counted: Mask
    """True where gait clocks count from the episode's first recorded row, shape (steps, environments)."""
    usable: Mask
    """False for rows that a variant of the evidence knows nothing of, shape (steps, environments)."""
    time: Values | None
    """Time since the reset [s], shape (steps, environments); None where it was not recorded, or is another clock's."""
    rounding: float
    """Relative rounding of the coarsest recorded array, float32's at least: that is what networks are fed."""
    notes: tuple[str, ...] = ()
    """What was assumed, a sentence each."""
    network: Callable[[Values, Mask], Values] | None = None
    """The port's network on the trace's side; see `verdict.answers`."""
    answers: Answers | None = None
    """What it does on the recorded observations."""
    motion: Motion | None = None
    """The clip that the policy followed, in the trace's parsing; None where it follows none or the port has none."""
    column_major: bool = False
    """True for a trace whose rotations are written column by column."""
    blind: Mapping[str, str] = field(default_factory=dict)
    """Comparisons that this evidence can't make, by label, and why."""
    as_read: Mapping[tuple[str, str], Read] = field(default_factory=dict)
    """What terms saw in place of the recorded signal, by label and element."""
    before: Mapping[str, Values] = field(default_factory=dict)
    """The targets a row earlier in the trace, over resets too, where rows were cut away; shapes as the arrays'."""
    kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False, repr=False)
    """What was made of this very evidence, by what it follows from; a changed copy begins anew."""

    @property
    def shape(self) -> tuple[int, int]:
        """Steps and environments."""
        return self.since.shape[0], self.since.shape[1]

    @property
    def started(self) -> Mask:
        """The rows at which an episode starts."""
        return self.since == np.arange(self.shape[0])[:, None]

    def all_along(self, starts: Mask) -> Mask:
        """What holds at the row at which an episode starts, for all its rows."""
        return np.take_along_axis(starts, self.since, axis=0)

    @property
    def age(self) -> NDArray[np.intp]:
        """Steps since the episode's first recorded one, shape (steps, environments)."""
        return np.arange(self.shape[0])[:, None] - self.since

    def array(self, name: str, *, wanted_by: str) -> Values:
        """A recorded array.

        Raises:
            EvidenceError: When it was not recorded or holds NaN.
        """
        if name not in self.arrays:
            raise EvidenceError(
                f"{self.path}: the trace has no '{name}', which {wanted_by} is made of; it has "
                f"{', '.join(self.arrays)}. Record it as well"
            )
        return self.arrays[name]

    def joint_column(self, name: str, *, wanted_by: str) -> int:
        """Column of a joint.

        Raises:
            EvidenceError: When the trace does not know the joint.
        """
        if name not in self.joint_names:
            raise EvidenceError(
                f"{self.path}: the trace has no joint '{name}' of {wanted_by}{closest(name, self.joint_names) or '.'} "
                f"Its joints are {', '.join(self.joint_names)}"
            )
        return self.joint_names.index(name)

    def earlier[Kind: np.generic](
        self, values: NDArray[Kind], steps: int | NDArray[np.intp]
    ) -> tuple[NDArray[Kind], Mask]:
        """The values of some steps before, and where the episode reaches back that far.

        Args:
            values: Shape (steps, environments, ...).
            steps: How far back, the same for all rows or one number each, shape (steps, environments); negative looks
                ahead, which no row at the end of an episode can.

        Returns:
            Shifted values, with the episode's first (or the trace's last) value where there is no other; mask.
        """
        if not isinstance(steps, int):
            index, known = self._reached(steps)
        elif (kept := self.kept.get(("earlier", steps))) is not None:
            index, known = kept
        else:
            index, known = self.kept["earlier", steps] = self._reached(steps)
        return values[index, np.arange(self.shape[1])[None, :]], known

    def _reached(self, steps: int | NDArray[np.intp]) -> tuple[NDArray[np.intp], Mask]:
        """The rows that `earlier` takes, and where they are those that were asked for."""
        length = self.shape[0]
        wanted = np.arange(length)[:, None] - steps
        index = np.clip(np.maximum(wanted, self.since), 0, length - 1)
        # Ahead of the episode's end stands another episode.
        same = np.take_along_axis(self.since, index, axis=0) == self.since
        known = (wanted >= self.since) & (wanted < length) & same
        known.flags.writeable = False
        return index, known

    def with_arrays(self, arrays: dict[str, Values], usable: Mask | None = None) -> Evidence:
        """The same evidence with other numbers in some arrays, and only some rows to be believed."""
        mask = self.usable if usable is None else self.usable & usable
        return replace(self, arrays={**self.arrays, **arrays}, usable=mask)

    def seen_as(self, signals: Mapping[tuple[str, str], Read]) -> Evidence:
        """The same evidence, of which some terms saw other signals."""
        return replace(self, as_read={**self.as_read, **signals})

    def unable(self, label: str, why: str) -> Evidence:
        """The same evidence, which can't make one comparison."""
        return replace(self, blind={**self.blind, label: why})

    def shortened(self, rows: int) -> Evidence:
        """The start of every episode, `rows` in all at most; of several environments, the first steps of the first."""
        steps, envs = self.shape
        if steps * envs <= rows:
            return self
        if envs > 1:
            envs = min(envs, max(1, rows // min(steps, 200)))
            kept = np.arange(max(SHORTEST, min(steps, rows // envs)))
        else:
            episodes = len(np.unique(self.since))
            # Heads of whole episodes: a cut in the middle of one would look like a jump of the state.
            kept = np.flatnonzero(self.age[:, 0] < max(SHORTEST, rows // episodes))[: max(rows, SHORTEST)]

        def cut(array: NDArray[Any]) -> NDArray[Any]:
            return array[kept, :envs]

        answers = self.answers
        if answers is not None:
            answers = replace(answers, values=cut(answers.values), known=cut(answers.known))
        return replace(
            self,
            arrays={name: cut(array) for name, array in self.arrays.items()},
            since=np.searchsorted(kept, cut(self.since)),
            whole=cut(self.whole),
            unsure=cut(self.unsure),
            counted=cut(self.counted),
            usable=cut(self.usable),
            time=None if self.time is None else cut(self.time),
            answers=answers,
            before={name: cut(np.roll(self.arrays[name], 1, axis=0)) for name in {*TARGETS.values()} & {*self.arrays}},
            as_read={key: Read(cut(read.values), cut(read.known)) for key, read in self.as_read.items()},
        )


def read_evidence(path: Path | str) -> Evidence:
    """Read a trace and hold it against what a verdict needs of any trace.

    Raises:
        EvidenceError: When it is no trace, is damaged or too short, has no joint names, lacks an observation or an
            action, or holds NaN; naming array, step and environment.
    """
    path = Path(path)
    trace, loaded, period = _loaded(path)
    names = trace.header.get("joint_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise EvidenceError(
            f"{path}: the header's joint_names is {names!r}; give the names of the columns of joint_pos, each once"
        )
    notes = [] if trace.complete else ["the recording was not closed; what was written before is used"]
    steps, envs = rows_of(path, loaded["observation"])
    arrays = {
        name: state_array(path, name, loaded[name], (steps, envs), len(names))
        for name in (*REQUIRED, *OPTIONAL, *filter(is_sensed, loaded))
        if name in loaded
    }
    arrays |= {name: place_array(path, name, loaded[name], (steps, envs)) for name in loaded if is_place(name)}
    command_names = _command_names(path, trace.header, arrays.get(COMMAND))
    if steps < SHORTEST:
        raise EvidenceError(f"{path}: has {steps} steps, a verdict needs {SHORTEST} at least; a few seconds are usual")
    time = row_numbers(path, "time", loaded, (steps, envs))
    if time is not None and not (np.diff(time, axis=0) > 0.0).any():
        time = None
        notes.append("the trace's time stands still, so it tells nothing")
    since, whole, unsure = _episodes(row_numbers(path, "episode", loaded, (steps, envs)), time, period, (steps, envs))
    if time is not None and np.abs(time).max() > LONGEST:
        time = None
        notes.append("the trace's time is no time since a reset, so it tells gaps alone")
    used = [loaded[name] for name in arrays if loaded[name].dtype.kind == "f"]
    rounding = max(float(np.finfo(np.float32).eps), *(float(np.finfo(array.dtype).eps) for array in used))
    return Evidence(
        path=path,
        header=trace.header,
        joint_names=tuple(names),
        command_names=command_names,
        arrays=arrays,
        since=since,
        whole=whole,
        unsure=unsure,
        counted=whole,
        usable=np.ones((steps, envs), dtype=np.bool_),
        time=time,
        rounding=rounding,
        notes=tuple(notes),
    )


def _command_names(path: Path, header: dict[str, Any], command: Values | None) -> tuple[str, ...]:
    """The columns of the recorded command: as the header names them, or a velocity's three."""
    names = tuple(header.get("command_names", VELOCITY_COMMAND))
    if command is not None and command.shape[2] != len(names):
        raise EvidenceError(
            f"{path}: command has {command.shape[2]} columns, {len(names)} are needed ({', '.join(map(str, names))}); "
            "write the elements of the command into the header as command_names, in the order of the columns"
        )
    return names


def _loaded(path: Path) -> tuple[Trace, dict[str, NDArray[Any]], float | None]:
    """A trace, those of its arrays that a verdict reads, and its control period [s]."""
    try:
        trace = Trace(path)
        wanted = (*REQUIRED, *OPTIONAL, "episode", "time", *filter(is_place, trace), *filter(is_sensed, trace))
        loaded = {name: np.asarray(trace[name]) for name in wanted if name in trace}
        period = trace.control_dt()
    except (TraceError, KeyError) as cause:
        raise EvidenceError(str(cause).strip('"')) from None
    if len(names := [port["name"] for port in trace.header.get("ports", ())]) > 1:
        raise EvidenceError(
            f"{path}: {', '.join(names)} take turns in it, and targets in between are nobody's own; record one of "
            "them alone"
        )
    for name in REQUIRED:
        if name not in loaded:
            raise EvidenceError(
                f"{path}: the trace has no '{name}'; it has {', '.join(trace) or 'nothing'}. A verdict compares what "
                "the source's network saw and did: record observation and action with policy_port.trace.Recorder"
            )
    return trace, loaded, period


def _episodes(
    episode: Values | None, time: Values | None, period: float | None, rows: tuple[int, int]
) -> tuple[NDArray[np.intp], Mask, Mask]:
    """The step at which each row's episode starts; where that is a reset; and where the clock leaves it open.

    Rows that are missing in between part an episode as well: what is behind them does not begin at a reset.
    """
    starts = np.zeros(rows, dtype=np.bool_)
    starts[0] = True
    gap, reset = np.zeros_like(starts), np.zeros_like(starts)
    if episode is not None:
        starts[1:] |= np.diff(episode, axis=0) != 0.0
    if time is not None:
        advance, usual = np.diff(time, axis=0), period or np.inf
        starts[1:] |= advance <= 0.0
        gap[1:] = ~starts[1:] & (advance > 1.5 * usual)
        reset = starts & (np.abs(time) < 0.5 * usual)
    starts |= gap
    since = np.maximum.accumulate(np.where(starts, np.arange(rows[0])[:, None], 0), axis=0)
    whole = np.take_along_axis(reset, since, axis=0)
    return since, whole, ~whole & ~np.take_along_axis(gap, since, axis=0)
