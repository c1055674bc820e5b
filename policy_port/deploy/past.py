"""What a step remembers: one table of states by name, and the past of columns in them.

Every state starts as zeros. The step that finds its counter at zero is the first one after a reset, and fills what
has to hold something else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.shaping import ActionFilter, FirstOrder
from policy_port.deploy.program import Kind, Program, Value

STEPS = "steps"
"""The counter: control steps since reset."""
IN, OUT = "_in", "_out"
TIME = "time"
"""Time since reset [s], where whoever runs the program counts it."""


class States:
    """The states of a program, and its counter where one is needed."""

    def __init__(self, program: Program, control_dt: float) -> None:
        self.program, self._period = program, control_dt
        self.held: dict[str, tuple[Value, Value]] = {}
        """Each state: as it goes in and as it comes out."""
        self._fresh: Value | None = None
        self._steps: Value | None = None

    def take(self, name: str, width: int, kind: Kind = "float64") -> Value:
        """A state as it goes in; `put` has to follow."""
        return self.program.input(f"{name}{IN}", width, kind)

    def put(self, name: str, value: Value) -> None:
        """What the next step finds."""
        self.held[name] = (self.program.inputs[f"{name}{IN}"], value)

    @property
    def steps(self) -> Value:
        """The counter, shape (num_envs, 1)."""
        if self._steps is None and (time := self.program.inputs.get(TIME)) is not None:
            self._steps = (time / self._period).call("Round")
        if self._steps is None:
            self._steps = self.take(STEPS, 1)
            self.put(STEPS, self._steps + 1.0)
        return self._steps

    @property
    def fresh(self) -> Value:
        """Whether this is the first step after a reset, shape (num_envs, 1)."""
        if self._fresh is None:
            self._fresh = self.steps < 0.5
        return self._fresh

    def past(
        self,
        name: str,
        step: Value,
        shown: Sequence[tuple[int, int]],
        first: NDArray[np.bool_],
        nothing: float = 0.0,
    ) -> Value:
        """Columns of this step and of earlier ones.

        Args:
            name: Name of the state.
            step: The numbers of this step.
            shown: Column and age [steps] of each number that comes out.
            first: Of each column, whether the first number after a reset stands for those before; else `nothing` does.
            nothing: That number.
        """
        deepest = np.zeros(step.width, np.intp)
        for column, age in shown:
            deepest[column] = max(deepest[column], age)
        kept = [(column, age) for age in range(int(deepest.max()), 0, -1) for column in np.flatnonzero(deepest >= age)]
        kept = [(int(column), age) for column, age in kept]
        if not kept:
            return step[[column for column, _ in shown]]
        before = self.take(name, len(kept), step.kind)
        filling = np.array([first[column] for column, _ in kept])
        if filling.any() or nothing:
            program, columns = self.program, [column for column, _ in kept]
            start = step[columns] if columns != list(range(step.width)) else step
            if not filling.all():
                start = program.choose(filling, start, nothing)
            before = program.where(self.fresh, start, before)
        whole = self.program.concat([before, step])
        place = {entry: index for index, entry in enumerate(kept)}
        place |= {(column, 0): len(kept) + column for column in range(step.width)}
        self.put(name, whole[[place[column, age - 1] for column, age in kept]])
        return whole[[place[entry] for entry in shown]]

    def filtered(self, name: str, value: Value, stated: ActionFilter, control_dt: float, held: Value | None) -> Value:
        """What a filter lets through.

        Args:
            name: Name of its state.
            value: What goes in.
            stated: The filter.
            control_dt: Control period [s].
            held: What it holds at reset; None for zero. A filter that starts with the first number needs none.
        """
        program, width = self.program, value.width
        start = value if stated.held == "first" else held
        if isinstance(stated, FirstOrder):
            weight = stated.weight(control_dt)
            before = self.take(name, width)
            if start is not None:
                before = program.where(self.fresh, start, before)
            result = value * weight + before * (1.0 - weight)
            self.put(name, result)
            return result
        before = self.take(name, (stated.steps - 1) * width)
        if start is not None:
            tiled = start if stated.steps == 2 else start[[*range(width)] * (stated.steps - 1)]
            before = program.where(self.fresh, tiled, before)
        whole = program.concat([before, value])
        self.put(name, whole[width:])
        return program.sum_of_blocks(whole, stated.steps) * (1.0 / stated.steps)
