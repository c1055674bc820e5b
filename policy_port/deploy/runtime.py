"""One session call for a control step: ONNX Runtime from one row of signals to targets, on buffers bound once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.spec import Contract
from policy_port.deploy.layout import Layout
from policy_port.deploy.source import VIEW
from policy_port.deploy.step import ACTION, OBSERVATION, ROW, of_row
from policy_port.deploy.write import graph_of
from policy_port.errors import PortError
from policy_port.onnx_session import bound_call, open_session
from policy_port.port.quick import narrower, quicker, within
from policy_port.port.runtime import OnnxPolicy


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What a call reads and writes."""

    row: Array
    """The row of signals, shape (1, width): read, and what the step leaves behind is written into it."""
    layout: Layout
    """What stands where in it."""
    policy: OnnxPolicy
    """Whose observation, action and memory the call fills."""


class RowStep:
    """A step of one environment that remembers nothing but what stands in the row, and the network's memory."""

    def __init__(self, contract: Contract, bound: Bound) -> None:
        """Build the graph for a row, and bind it.

        Args:
            contract: The contract.
            bound: The arrays.

        Raises:
            PortError: When ONNX Runtime can't load the graph.
        """
        self._policy = policy = bound.policy
        assert policy.folded is not None, "whoever has no folded network goes the other way"
        step = of_row(contract, bound.layout)
        assert not step.states, "a step that remembers more than a row holds is not run here"
        network = onnx.load_model_from_string(policy.folded)
        graph = narrower(within(quicker(graph_of(step, network, 1)))).SerializeToString()
        self._session = open_session(graph, PortError, f"contract '{contract.name}', its control step:")
        arrays: dict[str, NDArray[Any]] = {OBSERVATION: policy.observation, ACTION: policy.answer, ROW: bound.row}
        for name in (*step.program.inputs, *LEFT):
            if name != ROW:
                columns = bound.layout.columns(name.removeprefix(VIEW))
                arrays[name] = bound.row[:, columns.start : columns.stop]
        first, second = (self._bind({**arrays, **memory}) for memory in policy.memories)
        turns = (first, second)

        def in_turn() -> None:
            turns[policy.turn]()
            policy.turn ^= 1

        self.call: Callable[[], object] = in_turn if policy.memory else first
        """Performs the step: the raw action is in `policy.answer` then, targets and the last action in the row."""
        self.told: Sequence[float] = cast("Sequence[float]", memoryview(arrays[step.tells].reshape(-1)))
        """Plain numbers, of which none is finite when one of the observation or of the raw action was not."""

    def explain(self) -> None:
        """Raise `NonFiniteError` for what was not finite."""
        # Once more, from the same memory: this call may have put a NaN in the place of what was found.
        policy = self._policy
        policy.turn ^= bool(policy.memory)
        policy.act()
        policy.answer.fill(np.nan)
        policy.explain()

    def _bind(self, arrays: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
        binding = self._session.io_binding()
        for node in self._session.get_inputs():
            array = arrays[node.name]
            binding.bind_input(node.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for node in self._session.get_outputs():
            array = arrays[node.name]
            binding.bind_output(node.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return bound_call(self._session, binding)


LEFT = ("joint_target", "last_action")
"""What a call leaves in the row."""


def detour(contract: Contract, policy: object, num_envs: int) -> str:
    """Why the control loop computes a step in NumPy around the network; "" where one call computes all of it.

    What was measured of it, benchmarks/README.md says.
    """
    if not isinstance(policy, OnnxPolicy) or policy.folded is None:
        return "the port holds no deploy.onnx"
    if num_envs > 1:
        return f"{num_envs} environments, and the one call is bound for one"
    return remembers(contract)


def remembers(contract: Contract) -> str:
    """What a contract keeps of earlier steps beside the row of signals, in words; "" for nothing."""
    observation, action = contract.observation, contract.action
    if any(observation.stack(term).ages != (0,) for term in observation.terms):
        return "the observation has a history, whose ring is as quick in NumPy"
    if any(term.late.steps for term in observation.terms):
        return "a term is delayed, which NumPy keeps in a ring like a history"
    if action.late.steps or action.filter is not None:
        return "the action is delayed or filtered, whose past NumPy keeps"
    if any(term.adds_to == "motion" for term in action.terms):
        return "the action adds to a reference motion, whose frames NumPy looks up"
    return ""
