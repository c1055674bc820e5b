"""What one number inside a graph is made of: a polynomial of inputs, clipped and scaled.

An observation is a few operations on each number of the state. They are computed here on formulas in place of
numbers, in arrays of objects, which NumPy adds, cuts and joins like any others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Objects = NDArray[np.object_]
"""An array of elements; plain numbers stand among them."""

_MOST_FACTORS = 6
_MOST_SUMMANDS = 64


class OpaqueError(Exception):
    """An operation that a formula has no form for; its result is taken as it is."""


class Atom(NamedTuple):
    """One number of a named value."""

    value: str
    index: int


Summand = tuple[Atom, ...]


class Clip(NamedTuple):
    """gain * clip(x, low, high) + shift."""

    low: float
    high: float
    gain: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, eq=True)
class Element:
    """A polynomial of atoms, then clips one after the other."""

    summands: Mapping[Summand, float]
    """Factor of each product of atoms; the empty product is there as soon as a constant was added, even 0."""
    clips: tuple[Clip, ...] = ()

    def __hash__(self) -> int:
        return hash((frozenset(self.summands.items()), self.clips))

    @property
    def atoms(self) -> frozenset[Atom]:
        """The atoms that it depends on."""
        return frozenset(atom for summand in self.summands for atom in summand)

    def __add__(self, other: Any) -> Element:
        if isinstance(other, Element):
            if self.clips or other.clips:
                raise OpaqueError
            return _polynomial({key: self._of(key) + other._of(key) for key in (*self.summands, *other.summands)})
        if isinstance(other, _OTHERS):
            raise OpaqueError
        if self.clips:
            last = self.clips[-1]
            return Element(self.summands, (*self.clips[:-1], last._replace(shift=last.shift + float(other))))
        return _polynomial({**self.summands, (): self._of(()) + float(other)})

    __radd__ = __add__

    def __mul__(self, other: Any) -> Element:
        if isinstance(other, Element):
            if self.clips or other.clips:
                raise OpaqueError
            product: dict[Summand, float] = {}
            for one, factor in self.summands.items():
                for two, second in other.summands.items():
                    key = tuple(sorted(one + two))
                    product[key] = product.get(key, 0.0) + factor * second
            return _polynomial(product)
        if isinstance(other, _OTHERS):
            raise OpaqueError
        factor = float(other)
        if self.clips:
            last = self.clips[-1]
            scaled = last._replace(gain=last.gain * factor, shift=last.shift * factor)
            return Element(self.summands, (*self.clips[:-1], scaled))
        return _polynomial({key: value * factor for key, value in self.summands.items()})

    __rmul__ = __mul__

    def __neg__(self) -> Element:
        return self * -1.0

    def __sub__(self, other: Any) -> Element:
        return self + -other

    def __rsub__(self, other: Any) -> Element:
        return -self + other

    def __truediv__(self, other: Any) -> Element:
        if isinstance(other, (Element, *_OTHERS)) or other == 0:
            raise OpaqueError
        return self * (1.0 / float(other))

    def __rtruediv__(self, other: Any) -> Element:
        raise OpaqueError

    def __pow__(self, other: Any) -> Element:
        if isinstance(other, Element) or other != 2:
            raise OpaqueError
        return self * self

    def clipped(self, low: float, high: float) -> Element:
        """It between two bounds."""
        if (low, high) == (-math.inf, math.inf):
            return self
        last = self.clips[-1] if self.clips else None
        if last is not None and (last.gain, last.shift) == (1.0, 0.0):
            # Max and then Min are one clip.
            within = Clip(min(max(last.low, low), high), min(max(last.high, low), high))
            return Element(self.summands, (*self.clips[:-1], within))
        return Element(self.summands, (*self.clips, Clip(low, high)))

    def at(self, numbers: Mapping[str, NDArray[Any]]) -> float:
        """Its value where the named values are these."""
        total = sum(
            factor * math.prod(float(numbers[atom.value].reshape(-1)[atom.index]) for atom in summand)
            for summand, factor in self.summands.items()
        )
        for low, high, gain, shift in self.clips:
            total = gain * min(max(total, low), high) + shift
        return total

    def _of(self, summand: Summand) -> float:
        return self.summands.get(summand, 0.0)


@dataclass(frozen=True)
class Condition:
    """Whether an atom is zero."""

    atom: Atom


@dataclass(frozen=True)
class Held:
    """`first` where `counter` is zero, else `later`: how a history buffer fills itself at reset."""

    counter: Atom
    first: Element
    later: Element
    clips: tuple[Clip, ...] = field(default=(), init=False)

    def _opaque(self, *_: Any) -> Any:
        raise OpaqueError

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = _opaque
    __neg__ = clipped = _opaque


_OTHERS = (Condition, Held)


def atoms(name: str, shape: tuple[int, ...]) -> Objects:
    """A named value as an array of itself."""
    array = np.empty(shape, dtype=object)
    array.reshape(-1)[:] = [Element({(Atom(name, index),): 1.0}) for index in range(array.size)]
    return array


def plain_atom(item: Any) -> Atom | None:
    """The atom that an element is, where it is nothing else."""
    if isinstance(item, Element) and not item.clips and len(item.summands) == 1:
        ((summand, factor),) = item.summands.items()
        return summand[0] if len(summand) == 1 and factor == 1.0 else None
    return None


def _polynomial(summands: Mapping[Summand, float]) -> Element:
    kept = {key: value for key, value in summands.items() if value != 0.0 or not key}
    if len(kept) > _MOST_SUMMANDS or any(len(key) > _MOST_FACTORS for key in kept):
        raise OpaqueError
    return Element(kept)
