"""Walking an inlined TorchScript graph onto a tape."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from policy_port.checkpoints.networks.tape import GRAPH_ERRORS, Recorder, Traced, leaves
from policy_port.checkpoints.torchscript import operators
from policy_port.checkpoints.torchscript.shapes import SHAPE_OPERATORS, Walk
from policy_port.checkpoints.torchscript.widths import Refusal, sizes_of
from policy_port.errors import CheckpointError, UnsafeFileError

_MAX_LOOP = 10_000


class GraphRaisesError(CheckpointError):
    """The graph refuses the shapes it was given, by an exception of its own."""


class StateFoundError(Exception):
    """The graph overwrites an attribute, which therefore is recurrent state."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class ModuleValue:
    """A module inside the graph, by its path."""

    def __init__(self, module: Any, path: str) -> None:
        self.module = module
        self.path = path


def _place(node: Any) -> str:
    """A node, and where its code stands."""
    lines = re.findall(r'File "([^"]*)", line (\d+)', str(node.sourceRange()))
    return node.kind() + (f" ({Path(lines[-1][0]).name}, line {lines[-1][1]})" if lines else "")


class GraphWalker(Walk):
    """Executes the nodes of a graph on a recorder."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        names: dict[int, str],
        states: dict[str, Traced],
        obs: Traced,
        check: Callable[[str, Tensor], None],
    ) -> None:
        super().__init__(recorder, obs)
        self.check = check
        """Raises on a tensor attribute that must not be used."""
        self.names = names
        """Attribute path of each tensor of the module, by the address of its data."""
        self.states = states
        self._values: dict[str, Any] = {}
        self._attributes: dict[str, Tensor] = {}
        self._paths: dict[int, str] = {}
        self._step = 0
        self.refusal: Refusal | None = None
        """The node at which the walk ended, if it did not come through."""

    def run(self, graph: Any, module: Any) -> list[Any]:
        """Walk the whole graph and return what it returns."""
        inputs = list(graph.inputs())
        self._values[inputs[0].debugName()] = ModuleValue(module, "")
        self._values[inputs[1].debugName()] = self.obs
        self._block(graph.nodes())
        return [self._values[output.debugName()] for output in graph.outputs()]

    def _block(self, nodes: Iterable[Any]) -> None:
        for node in nodes:
            self._step += 1
            try:
                self._node(node)
            except CheckpointError as error:
                self._refused_by(node)
                if isinstance(error, GraphRaisesError | UnsafeFileError) or "; at " in str(error):
                    raise
                raise CheckpointError(f"{error}; at {_place(node)}") from error
            except GRAPH_ERRORS as error:
                self._refused_by(node)
                if not getattr(error, "__notes__", ()):
                    error.add_note(_place(node))
                raise

    def _refused_by(self, node: Any) -> None:
        if self.refusal is None:
            given = [self._values.get(item.debugName()) for item in node.inputs()]
            self.refusal = Refusal(step=self._step, sizes=sizes_of(given))

    def _node(self, node: Any) -> None:
        namespace, _, name = node.kind().partition("::")
        if namespace == "prim":
            results = self._primitive(node, name)
        else:
            arguments = [self._values[item.debugName()] for item in node.inputs()]
            results = self._operator(node, name, arguments)
        outputs = list(node.outputs())
        if len(outputs) == 1:
            self._values[outputs[0].debugName()] = results
        elif outputs:
            for output, value in zip(outputs, results, strict=True):
                self._values[output.debugName()] = value

    def _primitive(self, node: Any, name: str) -> Any:
        arguments = [self._values[item.debugName()] for item in node.inputs()]
        match name:
            case "Constant":
                return self._constant(node)
            case "GetAttr":
                return self._get_attribute(arguments[0], node.s("name"))
            case "SetAttr":
                return self._set_attribute(arguments[0], node.s("name"), arguments[1])
            case "ListConstruct":
                return arguments
            case "TupleConstruct":
                return tuple(arguments)
            case "TupleUnpack" | "ListUnpack":
                return arguments[0][0] if len(list(node.outputs())) == 1 else list(arguments[0])
            case "TupleIndex":
                return arguments[0][arguments[1]]
            case "If":
                return self._if(node, arguments[0])
            case "Loop":
                return self._loop(node, arguments)
            case "RaiseException":
                raise GraphRaisesError(f"{self.where}: the graph refuses its input: {arguments[0]}")
            case "Print" | "Uninitialized":
                return None
            case "unchecked_cast" | "unchecked_unwrap_optional" | "NumToTensor" | "data":
                return arguments[0]
            case "dtype":
                return self._meta(arguments[0]).dtype
            case "device":
                return torch.device("cpu")
            case "is_cuda":
                return False
            case "min" | "max" if not any(isinstance(leaf, Traced) for leaf in leaves(arguments)):
                return (min if name == "min" else max)(*arguments)
        raise CheckpointError(f"{self.where}: the instruction {node.kind()} is not understood")

    def _constant(self, node: Any) -> Any:
        value = node.output().toIValue()
        if isinstance(value, Tensor):
            name = f"constant {node.output().debugName()}"
            self.check(name, value)
            # Keeping the tensor alive keeps its identity, by which constants are told apart.
            value = self._attributes.setdefault(name, value)
        return value

    def _operator(self, node: Any, name: str, arguments: list[Any]) -> Any:
        if name in SHAPE_OPERATORS:
            handled, result = SHAPE_OPERATORS[name](self, arguments)
            if handled:
                return result
        if name in operators.IN_PLACE:
            return self._in_place(node, name, arguments)
        if name not in operators.TENSOR:
            raise CheckpointError(
                f"{self.where}: the operator {node.kind()} with {len(arguments)} arguments is not understood"
            )
        result = self._recorded(node, name, arguments)
        if name in operators.VIEWS:
            self.mark_view(arguments[0], result)
        return result

    def _recorded(self, node: Any, name: str, arguments: list[Any]) -> Any:
        """Record an operator in the overload that the graph names."""
        schema = torch._C.parse_schema(node.schema())
        function = getattr(getattr(torch.ops.aten, name), schema.overload_name or "default")
        named = {
            argument.name: value
            for argument, value in zip(schema.arguments, arguments, strict=True)
            if argument.kwarg_only and value != argument.default_value
        }
        if any(isinstance(leaf, (Traced, Tensor)) for leaf in leaves(list(named.values()))):
            raise CheckpointError(f"{self.where}: the operator {node.kind()} computes its options")
        positional = [
            value for argument, value in zip(schema.arguments, arguments, strict=True) if not argument.kwarg_only
        ]
        return self.recorder.apply(name, functools.partial(function, **named) if named else function, *positional)

    def _in_place(self, node: Any, name: str, arguments: list[Any]) -> Any:
        """Run an overwriting operator as a plain one and give its handle the new value."""
        target = arguments[0]
        if isinstance(target, Tensor):
            path = self._paths.get(id(target))
            if path is None:
                raise CheckpointError(f"{self.where}: {name} overwrites part of a tensor; that can't be followed")
            raise StateFoundError(path)
        if not isinstance(target, Traced) or target.view or target.viewed:
            raise CheckpointError(f"{self.where}: {name} overwrites a tensor that others share")
        plain = name[:-1]
        if plain in ("copy", "fill", "zero"):
            value = arguments[1] if plain != "zero" else 0.0
            result = self._filled(target, value)
        else:
            result = self._recorded(node, plain, arguments)
        if not isinstance(result, Traced) or self._meta(result).shape != self._meta(target).shape:
            raise CheckpointError(f"{self.where}: {name} changes the shape of what it overwrites")
        target.ref, target.meta = result.ref, result.meta
        return target

    def _filled(self, target: Traced, value: Any) -> Any:
        """Return `value` in the shape of `target`, as a handle of its own."""
        if isinstance(value, Traced) and self._meta(value).shape == self._meta(target).shape:
            return Traced(value.ref, value.meta)
        zeros = self.recorder.apply("zeros_like", torch.zeros_like, target)
        return self.recorder.apply("add", torch.add, zeros, value)

    def _get_attribute(self, owner: Any, name: str) -> Any:
        if not isinstance(owner, ModuleValue):
            raise CheckpointError(f"{self.where}: reads the attribute {name} of something that is not a module")
        path = f"{owner.path}.{name}" if owner.path else name
        if path in self.states:
            return self.states[path]
        value = getattr(owner.module, name)
        if isinstance(value, Tensor):
            kept = self._attributes.setdefault(path, value)
            self.check(path, kept)
            self._paths[id(kept)] = path
            self.recorder.name_constant(kept, self.names.get(kept.data_ptr(), path))
            return kept
        if isinstance(value, torch.jit.ScriptModule):
            return ModuleValue(value, path)
        if isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, Tensor):
                    # Keeping the items alive keeps their identity, by which constants are told apart.
                    self.check(path, item)
                    kept = self._attributes.setdefault(f"{path}.{len(self._attributes)}", item)
                    self.recorder.name_constant(kept, self.names.get(item.data_ptr(), path))
            return list(value) if isinstance(value, list) else value
        if isinstance(value, (int, float, bool, str, type(None), torch.device, torch.dtype)):
            return value
        raise CheckpointError(f"{self.where}: the attribute {path} is a {type(value).__name__}")

    def _set_attribute(self, owner: Any, name: str, value: Any) -> None:
        path = f"{owner.path}.{name}" if owner.path else name
        state = self.states.get(path)
        if state is None:
            if not isinstance(getattr(owner.module, name, None), Tensor):
                raise CheckpointError(f"{self.where}: forward() changes {path}, which is not a tensor")
            raise StateFoundError(path)
        if not isinstance(value, Traced) or self._meta(value).shape != self._meta(state).shape:
            raise CheckpointError(f"{self.where}: forward() changes the shape of {path}")
        self.states[path] = Traced(value.ref, value.meta)

    def _if(self, node: Any, condition: Any) -> Any:
        if isinstance(condition, Traced):
            raise CheckpointError(f"{self.where}: the graph branches on values it computes; that can't be exported")
        block = list(node.blocks())[0 if condition else 1]
        self._block(block.nodes())
        results = [self._values[output.debugName()] for output in block.outputs()]
        return results[0] if len(results) == 1 else results

    def _loop(self, node: Any, arguments: list[Any]) -> Any:
        limit, condition, carried = arguments[0], arguments[1], arguments[2:]
        block = next(iter(node.blocks()))
        inputs = [item.debugName() for item in block.inputs()]
        count = 0
        while condition is True and isinstance(limit, int) and count < limit:
            if count > _MAX_LOOP:
                raise CheckpointError(f"{self.where}: a loop of the graph does not end")
            self._values.update(zip(inputs, [count, *carried], strict=True))
            self._block(block.nodes())
            condition, *carried = [self._values[output.debugName()] for output in block.outputs()]
            count += 1
        if isinstance(condition, Traced) or isinstance(limit, Traced):
            raise CheckpointError(f"{self.where}: a loop of the graph depends on values it computes")
        return carried[0] if len(carried) == 1 else carried

    @staticmethod
    def _meta(value: Any) -> Tensor:
        tensor = value.meta if isinstance(value, Traced) else value
        assert isinstance(tensor, Tensor)
        return tensor
