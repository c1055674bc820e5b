"""A control step in torch: on any device, in either precision, and without a word from the host between two steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from policy_port.deploy.program import Node
from policy_port.deploy.step import Step

Network = Callable[[Tensor], Tensor]
"""From observations to raw actions, shape (num_envs, action size), float32; it keeps its own memory."""


class StepModule(nn.Module):
    """The operations of a step, one after the other.

    Nothing is written in place and nothing is kept: what goes in is left alone, what comes out is new. Constants are
    buffers, so that `to(device)` moves them; `to(torch.float32)` computes in single precision, in which the step
    counter stays exact up to 16 million.
    """

    def __init__(self, step: Step) -> None:
        """Take over the operations.

        Args:
            step: The step, from `of_row` or `by_name`.
        """
        super().__init__()
        self.step = step
        for name, array in step.program.constants.items():
            self.register_buffer(name, torch.from_numpy(array.copy()))
        self._calls = [_call(node, self) for node in step.program.nodes]

    @property
    def dtype(self) -> torch.dtype:
        """Type of signals, targets and most states."""
        floats = [buffer.dtype for buffer in self.buffers() if buffer.dtype.is_floating_point]
        return floats[0] if floats else torch.float64

    def initial_state(self, num_envs: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """States before the first step, by the name of the input; a reset puts these zeros into the chosen rows."""
        kinds = self.step.program.inputs
        return {
            name: torch.zeros(
                num_envs,
                kinds[name].width,
                dtype=torch.float32 if kinds[name].kind == "float32" else self.dtype,
                device=device,
            )
            for name, _ in self.step.states.values()
        }

    def forward(self, given: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
        """Perform the step.

        Args:
            given: Signals (or the row) and states by name, shape (num_envs, width).
            network: The policy.

        Returns:
            observation, action (what the network put out), joint_target and new states, by name.
        """
        values: dict[str, Tensor] = dict(given)
        for call in self._calls:
            call(values, network)
        return {name: values[value.name] for name, value in self.step.program.outputs.items()}

    def next_state(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the next step is given of this one's outputs."""
        return {given: outputs[left] for given, left in self.step.states.values()}


Call = Callable[[dict[str, Tensor], Network], None]

_ALIKE: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Max": torch.maximum,
    "Min": torch.minimum,
    "MatMul": torch.matmul,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Asin": torch.asin,
    "Atan": torch.atan,
    "Floor": torch.floor,
    "Round": torch.round,
    "Abs": torch.abs,
    "Sqrt": torch.sqrt,
    "IsNaN": torch.isnan,
    "Where": torch.where,
    "Less": torch.lt,
    "Greater": torch.gt,
    "Equal": torch.eq,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Not": torch.logical_not,
}


def _call(node: Node, module: StepModule) -> Call:
    """The operation as a call that reads and writes a table of values."""
    operation, constants = _operation(node, module), module.step.program.constants
    names, [out] = node.inputs, node.outputs

    def call(values: dict[str, Tensor], network: Network) -> None:
        given = [getattr(module, name) if name in constants else values[name] for name in names]
        values[out] = network(*given) if node.op == "Network" else operation(*given)

    return call


def _operation(node: Node, module: StepModule) -> Callable[..., Tensor]:
    about: dict[str, Any] = node.about
    match node.op:
        case "Gather":
            name = f"columns_of_{node.outputs[0]}"
            module.register_buffer(name, torch.tensor(about["columns"]))
            return lambda x: x.index_select(1, getattr(module, name))
        case "Concat":
            return lambda *parts: torch.cat(parts, dim=1)
        case "Clip":
            return lambda x: x.clamp(about["low"], about["high"])
        case "Cast":
            return lambda x: x.to(_kind(about["to"], module))
        case "Rows":
            return lambda table, index: table.index_select(0, index[:, 0])
        case "Sum":
            return lambda x: x.reshape(len(x), about["blocks"], -1).sum(1)
        case "Network":
            return lambda x: x
        case _:
            return _ALIKE[node.op]


def _kind(name: str, module: StepModule) -> torch.dtype:
    kinds = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
    return module.dtype if name == "float64" else kinds[name]
