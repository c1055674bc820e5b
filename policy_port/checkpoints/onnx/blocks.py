"""The numbers that a network reads, told as blocks of one input each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from policy_port.checkpoints.onnx.elements import Atom, Clip, Element, Held, plain_atom
from policy_port.checkpoints.onnx.formulas import Formula
from policy_port.checkpoints.onnx.meanings import GOAL, JOINTS, QUATERNION, VECTORS, Meaning
from policy_port.errors import CheckpointError

LAST_ACTION = "last_action"
CONSTANT = "constant"
GRAVITY = "projected_gravity"
TASK = "task"
"""Meaning of numbers that no term of a contract is made of; they stand there as the network reads them."""
_LONGEST = 400
"""Longest history that is followed."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number: gain * clip(slope * raw + shift) + offset; the outer part only where there is a clip."""

    index: int
    """Which number of the source it is made of."""
    slope: float = 1.0
    shift: float | None = None
    """None where nothing was added, not even 0."""
    clip: Clip | None = None

    @property
    def scale(self) -> float:
        """Factor of the raw number."""
        return _short(self.slope * (self.clip.gain if self.clip else 1.0))

    @property
    def offset(self) -> float:
        """What is added to the scaled raw number."""
        shift = self.shift or 0.0
        return _short(shift * self.clip.gain + self.clip.shift if self.clip else shift)

    @property
    def zero(self) -> float:
        """The raw number that shift takes to zero, before any clip."""
        return _short(-(self.shift or 0.0) / self.slope)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Bounds of the raw number."""
        if self.clip is None:
            return None
        ends = [(end - (self.shift or 0.0)) / self.slope for end in self.clip[:2]]
        return _short(min(ends)), _short(max(ends))

    @property
    def ends(self) -> tuple[float, float] | None:
        """Bounds of the number itself."""
        if self.clip is None:
            return None
        ends = [self.clip.gain * end + self.clip.shift for end in self.clip[:2]]
        return _short(min(ends)), _short(max(ends))

    @property
    def bounds_from_zero(self) -> tuple[float, float] | None:
        """Bounds of the raw number less its `zero`."""
        if self.clip is None:
            return None
        ends = [end / self.slope for end in self.clip[:2]]
        return _short(min(ends)), _short(max(ends))


def _short(value: float) -> float:
    """The shortest decimal that is the same number in the precision of the graph."""
    return float(str(np.float32(value))) + 0.0


@dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive numbers of one meaning."""

    term: str
    """Term of a contract, `GOAL`, `CONSTANT` or `TASK`."""
    source: str
    """The input that it is made of; for several, their names joined by commas."""
    numbers: tuple[Number, ...]
    """Of one step; a constant's value is its `shift`."""
    history: int = 1
    order: str | None = None
    """Order of the quaternion that projected gravity is computed of."""

    @property
    def width(self) -> int:
        """How many numbers the network reads of it."""
        return len(self.numbers) * self.history


@dataclass(frozen=True, kw_only=True)
class Observation:
    """All blocks, and how histories are laid out."""

    blocks: tuple[Block, ...]
    layout: dict[str, str] | None = None
    """layout, order and fill of the histories; None without any."""


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What is fed back from one step to the next."""

    last_action: Mapping[str, tuple[int, ...]]
    """By input: which number of the raw action each of its elements is."""
    carried: Mapping[str, Formula | None]
    """By every other input: what fills it at the next step."""
    initial: Mapping[str, Any]
    """By input: what fills it at the first step."""


@dataclass(frozen=True)
class _Step:
    """An element as it was some steps ago."""

    element: Any
    delay: int = 0
    fill: str | None = None


class Reader:
    """Tells the elements of a value as blocks."""

    def __init__(self, meanings: Mapping[str, Meaning], feedback: Feedback, action_width: int) -> None:
        self._meanings = meanings
        self._feedback = feedback
        self._action_width = action_width

    def observation(self, value: Formula) -> Observation | None:
        """The blocks of a value; None where a history in it has no form in a contract."""
        steps = [self._step(item) for item in value.reshape(-1)]
        if any(step is None for step in steps):
            return None
        blocks: list[Block] = []
        layouts: list[tuple[str, str]] = []
        fills = {step.fill for step in steps if step is not None and step.fill}
        place = 0
        known = [step for step in steps if step is not None]
        while place < len(known):
            run = _run(known, place)
            if run is None:
                return None
            frame, history, order = run
            found = list(self._blocks(frame, history))
            if history > 1:
                layouts.append(("term_major" if len(found) == 1 else "time_major", order))
            blocks += found
            place += len(frame) * history
        stacked = [block for block in blocks if block.history > 1]
        if len(set(layouts)) > 1 or len(fills) > 1 or any(block.term == CONSTANT for block in stacked):
            return None
        layout = {"layout": layouts[0][0], "order": layouts[0][1], "fill": fills.pop()} if layouts else None
        if layout and layout["layout"] == "time_major" and len({block.history for block in blocks}) > 1:
            return None
        return Observation(blocks=tuple(blocks), layout=layout)

    def _step(self, item: Any, depth: int = 0) -> _Step | None:
        """An element as a delayed one of this step's inputs; None where what is fed back is no plain history."""
        if not isinstance(item, Element | Held):
            return _Step(item)
        carried = self._feedback.carried
        if isinstance(item, Element) and not any(atom.value in carried for atom in item.atoms):
            return _Step(item)
        atom = plain_atom(item.later if isinstance(item, Held) else item)
        if atom is None or (after := carried.get(atom.value)) is None or depth > _LONGEST:
            return None
        before = self._step(after.reshape(-1)[atom.index], depth + 1)
        if before is None:
            return None
        if isinstance(item, Held):
            filled = before.element == item.first and self._counts(item.counter)
            return _Step(item.first, before.delay + 1, "first") if filled and before.fill != "zero" else None
        empty = not np.any(self._feedback.initial.get(atom.value, 0.0))
        return _Step(before.element, before.delay + 1, "zero") if empty and before.fill != "first" else None

    def _counts(self, counter: Atom) -> bool:
        """Whether an atom is 0 at the first step and larger ever after."""
        after = self._feedback.carried.get(counter.value)
        start = self._feedback.initial.get(counter.value, np.zeros(counter.index + 1)).reshape(-1)[counter.index]
        item = None if after is None else after.reshape(-1)[counter.index]
        return start == 0 and isinstance(item, Element) and item.summands == {(counter,): 1.0, (): 1.0}

    def _blocks(self, frame: Sequence[Any], history: int) -> Iterator[Block]:
        """The blocks of one step."""
        place = 0
        while place < len(frame):
            block = self._gravity(frame[place : place + 3]) or self._plain(frame[place:])
            if block is None:
                end = place + 1
                sources = self._sources(frame[place])
                while end < len(frame) and self._sources(frame[end]) == sources and not self._told(frame[end:]):
                    end += 1
                numbers = tuple(Number(index=index) for index in range(end - place))
                block = Block(term=TASK, source=",".join(sources), numbers=numbers)
            yield replace(block, history=history)
            place += len(block.numbers)

    def _told(self, frame: Sequence[Any]) -> bool:
        return self._gravity(frame[:3]) is not None or self._plain(frame) is not None

    def _sources(self, item: Any) -> list[str]:
        return sorted({atom.value for atom in item.atoms}) if isinstance(item, Element) else []

    def _plain(self, frame: Sequence[Any]) -> Block | None:
        """The longest block of one input at the beginning."""
        first = self._number(frame[0])
        if first is None:
            return None
        source, term = first[0], first[1]
        numbers = []
        for item in frame:
            told = self._number(item)
            if told is None or told[:2] != (source, term):
                break
            if term != CONSTANT and told[2].index in {number.index for number in numbers}:
                break
            numbers.append(told[2])
            if term in VECTORS and len(numbers) == 3:
                break
        block = Block(term=term, source=source, numbers=tuple(numbers))
        return block if term in JOINTS or term == CONSTANT or self._whole(block) else None

    def _whole(self, block: Block) -> bool:
        """Whether a block is all of its source, in order, with what a contract's term has one number for."""
        size = self._action_width if block.term == LAST_ACTION else self._meanings[block.source].size
        size = 3 if block.term == GRAVITY else size
        one = {(number.slope, number.shift or 0.0, number.clip) for number in block.numbers}
        fits = len({number.bounds for number in block.numbers}) == 1
        if block.term in (LAST_ACTION, GOAL):
            (number, *_) = block.numbers
            fits = len(one) == 1 and number.offset == 0.0 and (block.term == LAST_ACTION or number.clip is None)
        return fits and [number.index for number in block.numbers] == list(range(size))

    def _number(self, item: Any) -> tuple[str, str, Number] | None:
        """Source, term and form of an element that is made of one number of one input."""
        if not isinstance(item, Element | Held):
            return "", CONSTANT, Number(index=0, shift=float(item))
        if isinstance(item, Element) and not item.atoms:
            return "", CONSTANT, Number(index=0, shift=item.at({}))
        if isinstance(item, Held) or len(item.atoms) != 1 or len(item.clips) > 1:
            return None
        (atom,) = item.atoms
        if not item.summands.keys() <= {(atom,), ()}:
            return None
        clip = item.clips[0] if item.clips else None
        if clip is not None and not np.isfinite(clip[:2]).all():
            return None
        number = Number(index=atom.index, slope=item.summands[atom,], shift=item.summands.get(()), clip=clip)
        if atom.value in self._feedback.last_action:
            place = self._feedback.last_action[atom.value][atom.index]
            return LAST_ACTION, LAST_ACTION, Number(index=place, slope=number.slope, shift=number.shift, clip=clip)
        term = self._meanings[atom.value].term if atom.value in self._meanings else None
        return None if term in (None, QUATERNION) else (atom.value, str(term), number)

    def _gravity(self, frame: Sequence[Any]) -> Block | None:
        """Three numbers that are projected gravity, computed of a quaternion."""
        if len(frame) < 3 or any(not isinstance(item, Element) for item in frame):
            return None
        values = {atom.value for item in frame for atom in item.atoms}
        term = self._meanings[next(iter(values))].term if len(values) == 1 and values <= self._meanings.keys() else None
        if term != QUATERNION:
            return None
        source = values.pop()
        stated, order = self._meanings[source].order, gravity_order(frame, source)
        if order is None:
            return None
        if stated not in (None, order):
            raise CheckpointError(
                f"the element_names of {source} say {stated}, but its projected gravity is computed of {order}; the "
                "YAML is of another export, or was edited"
            )
        numbers = [_of_gravity(item, source, order, axis) for axis, item in enumerate(frame)]
        if any(number is None for number in numbers):
            return None
        block = Block(term=GRAVITY, source=source, numbers=tuple(filter(None, numbers)), order=order)
        return block if self._whole(block) else None


def _run(steps: Sequence[_Step], place: int) -> tuple[list[Any], int, str] | None:
    """The elements of one step, the number of steps and their order, of the stack that begins at `place`."""
    runs = [(delay, len(list(group))) for delay, group in itertools.groupby(step.delay for step in steps[place:])]
    first, width = runs[0]
    frame = [step.element for step in steps[place : place + width]]

    def stacked(delays: Sequence[int]) -> bool:
        parts = [steps[place + n * width : place + (n + 1) * width] for n in range(len(delays))]
        return all(
            [step.delay for step in part] == [delay] * width and [step.element for step in part] == frame
            for delay, part in zip(delays, parts, strict=True)
        )

    if first > 0:
        return (frame, first + 1, "oldest_first") if stacked(range(first, -1, -1)) else None
    count = next((n for n, run in enumerate(runs) if run != (n, width)), len(runs))
    if count > 1 and stacked(range(count)):
        return frame, count, "newest_first"
    return frame, 1, "oldest_first"


_ORDERS = {"xyzw": (0, 1, 2, 3), "wxyz": (1, 2, 3, 0)}
_ROTATIONS = np.random.default_rng(0).standard_normal((12, 4))
_ROTATIONS /= np.linalg.norm(_ROTATIONS, axis=1, keepdims=True)


def gravity_order(frame: Sequence[Any], source: str) -> str | None:
    """The order of a quaternion of which three elements are projected gravity; None where they are not."""
    for order in _ORDERS:
        if all(_of_gravity(item, source, order, axis) is not None for axis, item in enumerate(frame)):
            return order
    return None


def _of_gravity(item: Element, source: str, order: str, axis: int) -> Number | None:
    """An element as a multiple of one axis of projected gravity, found by its values at some rotations."""
    if len(item.clips) > 1 or (item.clips and not np.isfinite(item.clips[0][:2]).all()):
        return None
    plain = Element(item.summands)
    values = np.array([plain.at({source: rotation}) for rotation in _ROTATIONS])
    x, y, z, w = _ROTATIONS[:, _ORDERS[order]].T
    gravity = (2.0 * (w * y - x * z), -2.0 * (w * x + y * z), 2.0 * (x * x + y * y) - 1.0)[axis]
    (slope, shift), *_ = np.linalg.lstsq(np.stack([gravity, np.ones(len(gravity))], 1), values, rcond=None)
    if abs(slope) < 1e-9 or np.abs(slope * gravity + shift - values).max() > 1e-6 * abs(slope):
        return None
    small = abs(shift) < 1e-6 * abs(slope)
    return Number(
        index=axis,
        slope=float(np.float32(slope)),
        shift=None if small else float(np.float32(shift)),
        clip=item.clips[0] if item.clips else None,
    )
