"""From measured signals to the network's input, as the contract lays it out.

Each element of a step is `gain * clip(signal) + bias`: unit, default joint position, scale and offset are folded into
gain and bias once, so that a step is one gather and at most one clip, one product and one sum, whatever the terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.layout import Slot, observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.terms import BaseTerm, Bounds, JointTerm, LastActionTerm, ObservationTerm
from policy_port.control.base_terms import GaitClock, ProjectedGravity
from policy_port.control.signals import Signals
from policy_port.errors import ContractError, TaskError

_UNBOUNDED: Bounds = (-np.inf, np.inf)


@dataclass(frozen=True, kw_only=True)
class _Element:
    """One number of one step: scale * clip(unit * signal - zero) + offset."""

    column: int
    unit: float = 1.0
    zero: float = 0.0
    clip: Bounds = _UNBOUNDED
    scale: float = 1.0
    offset: float = 0.0


class ObservationBuilder:
    """Builds observations from signals; allocates nothing after its construction."""

    def __init__(self, contract: Contract, signals: Signals, observation: NDArray[np.float32] | None = None) -> None:
        """Plan the gather.

        Args:
            contract: The contract that lays the observation out.
            signals: Where the numbers are read from.
            observation: Array to build into, shape (num_envs, observation size), C-contiguous; a new one, if None.

        Raises:
            TaskError: When a term can only be computed by a task environment.
            ContractError: When a joint is in a unit that has no fixed ratio to SI.
        """
        size, rows = contract.observation_size, signals.num_envs
        self.observation = np.zeros((rows, size), np.float32) if observation is None else observation
        if self.observation.shape != (rows, size):
            raise ContractError(
                f"contract '{contract.name}' describes observations of shape {(rows, size)}, "
                f"the policy reads {self.observation.shape}: {contract.widths()}"
            )
        elements = [element for term in contract.observation.terms for element in _elements(contract, term, signals)]
        self._source = signals.row
        self._columns = np.array([e.column for e in elements], dtype=np.intp)
        self._raw = np.zeros((rows, len(elements)))
        # One row per environment although all are equal: NumPy takes a third of the time when nothing is broadcast.
        self._lower = np.tile([(e.clip[0] + e.zero) / e.unit for e in elements], (rows, 1))
        self._upper = np.tile([(e.clip[1] + e.zero) / e.unit for e in elements], (rows, 1))
        self._gain = np.tile([e.scale * e.unit for e in elements], (rows, 1))
        self._bias = np.tile([e.offset - e.scale * e.zero for e in elements], (rows, 1))
        self._clips = bool(np.isfinite(self._lower).any() or np.isfinite(self._upper).any())
        self._scales = bool((self._gain != 1.0).any())
        self._shifts = bool((self._bias != 0.0).any())
        self._clips_group = contract.observation.clip is not None
        low, high = contract.observation.clip or _UNBOUNDED
        self._group_lower, self._group_upper = np.full_like(self._raw, low), np.full_like(self._raw, high)

        kinds = {term.term for term in contract.observation.terms}
        self._gravity = ProjectedGravity(signals) if "projected_gravity" in kinds else None
        self._clock = GaitClock(contract, signals) if "gait_phase" in kinds else None
        self._history = _History(contract, self.observation) if self.observation.shape[1] > len(elements) else None
        self._step = self.observation if self._history is None else self._history.step

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """The next observation of these environments is the first one after their reset; of all, if None."""
        if self._history is not None:
            self._history.reset(rows)

    def build(self) -> NDArray[np.float32]:
        """Build the observation of the present signals; call it once per control step.

        Returns:
            `self.observation`, shape (num_envs, observation size).
        """
        if self._gravity is not None:
            self._gravity.update()
        if self._clock is not None:
            self._clock.update()
        raw = self._raw
        # mode="clip" only because the other modes buffer `out`; the columns are in range by construction.
        self._source.take(self._columns, 1, raw, "clip")
        if self._clips:
            np.maximum(raw, self._lower, raw)
            np.minimum(raw, self._upper, raw)
        if self._scales:
            np.multiply(raw, self._gain, raw)
        if self._shifts:
            np.add(raw, self._bias, raw)
        if self._clips_group:
            np.maximum(raw, self._group_lower, raw)
            np.minimum(raw, self._group_upper, raw)
        self._step[...] = raw
        if self._history is not None:
            self._history.push()
        return self.observation


class _History:
    """Stacks steps: the old observation and the new step stand side by side, and one gather shifts all of it."""

    def __init__(self, contract: Contract, observation: NDArray[np.float32]) -> None:
        layout = contract.observation.history
        assert layout is not None, "the contract states a layout wherever a term has history"
        rows, size = observation.shape
        slots = observation_slots(contract)
        position = {slot: index for index, slot in enumerate(slots)}
        present = [
            Slot(term.label, element, 0)
            for term in contract.observation.terms
            for element in contract.term_elements(term)
        ]
        newest = {(slot.term, slot.element): size + index for index, slot in enumerate(present)}
        self._observation = observation
        self._window = np.zeros((rows, size + len(present)), np.float32)
        self._past = self._window[:, :size]
        self.step = self._window[:, size:]
        """Where the new step goes, shape (num_envs, step size)."""
        self._newest = np.array([newest[slot.term, slot.element] for slot in slots], dtype=np.intp)
        self._shift = np.array(
            [
                newest[slot.term, slot.element] if slot.age == 0 else position[slot._replace(age=slot.age - 1)]
                for slot in slots
            ],
            dtype=np.intp,
        )
        self._fill_first = layout.fill == "first"
        self._zero = np.float32(np.clip(0.0, *(contract.observation.clip or _UNBOUNDED)))
        self._fresh = np.ones(rows, dtype=np.bool_)
        self._any_fresh = True

    def reset(self, rows: NDArray[np.bool_] | None) -> None:
        self._fresh[slice(None) if rows is None else rows] = True
        self._any_fresh = True

    def push(self) -> None:
        if self._any_fresh:
            self._fill()
        self._window.take(self._shift, 1, self._observation, "clip")
        self._past[...] = self._observation

    def _fill(self) -> None:
        fresh = np.flatnonzero(self._fresh)
        filling = self._window[np.ix_(fresh, self._newest)] if self._fill_first else self._zero
        self._past[fresh] = filling
        self._fresh[:] = False
        self._any_fresh = False


def _elements(contract: Contract, term: ObservationTerm, signals: Signals) -> list[_Element]:
    """The numbers of one step of `term`, in order."""
    match term:
        case BaseTerm():
            first = signals.column[term.term]
            return [
                _Element(
                    column=first + axis,
                    clip=term.clip or _UNBOUNDED,
                    scale=term.scale[axis] if isinstance(term.scale, tuple) else term.scale,
                    offset=term.offset[axis] if isinstance(term.offset, tuple) else term.offset,
                )
                for axis in range(3)
            ]
        case JointTerm():
            return [_joint_element(contract, term, name, signals) for name in contract.observation_joints(term)]
        case LastActionTerm():
            first = signals.column["last_action"]
            return [
                _Element(column=first + index, clip=term.clip or _UNBOUNDED, scale=term.scale)
                for index in range(contract.action_size)
            ]
    match term.term:
        case "gait_phase":
            first, count = _first_of(contract, term), len(term.offsets)
            blocks = (signals.column["gait_sin"] + first, signals.column["gait_cos"] + first)
            return [_Element(column=block + index) for block in blocks for index in range(count)]
        case "goal":
            first = signals.column["goal"] + _first_of(contract, term)
            return [_Element(column=first + index, scale=term.scale) for index in range(term.size)]
        case "constant":
            return [_Element(column=signals.column["zero"], offset=value) for value in term.value]
        case "external":
            raise TaskError(
                f"observation term '{term.label}' of contract '{contract.name}' can only be computed by the task "
                "environment that the policy was trained in; play it with --env, not with --plant"
            )


def _joint_element(contract: Contract, term: JointTerm, name: str, signals: Signals) -> _Element:
    kind = "joint_pos" if term.term == "joint_pos_rel" else term.term
    clip = term.clip[name] if isinstance(term.clip, dict) else term.clip
    return _Element(
        column=signals.column[kind] + signals.joint_index[name],
        unit=contract.per_si(name),
        zero=contract.joints[name].default if term.term == "joint_pos_rel" else 0.0,
        clip=clip or _UNBOUNDED,
        scale=term.scale[name] if isinstance(term.scale, dict) else term.scale,
        offset=term.offset[name] if isinstance(term.offset, dict) else term.offset,
    )


def _first_of(contract: Contract, wanted: ObservationTerm) -> int:
    """Where the numbers of `wanted` start among those of all terms of its kind."""
    first = 0
    for term in contract.observation.terms:
        if term is wanted:
            break
        if term.term == "goal" and wanted.term == "goal":
            first += term.size
        elif term.term == "gait_phase" and wanted.term == "gait_phase":
            first += len(term.offsets)
    return first
