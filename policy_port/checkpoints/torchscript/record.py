"""Finding the width and the state of a TorchScript graph, and recording it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from policy_port.checkpoints.files.safe_load import check_tensor
from policy_port.checkpoints.networks.tape import BATCH, GRAPH_ERRORS, Recorder, TapeActor, Traced, in_batches
from policy_port.checkpoints.torchscript.graph import GraphRaisesError, GraphWalker, StateFoundError
from policy_port.checkpoints.torchscript.operators import IN_PLACE, VIEWS
from policy_port.checkpoints.torchscript.shapes import TRAINING
from policy_port.checkpoints.torchscript.widths import MOST, UNFIT, Refusal, search
from policy_port.errors import CheckpointError

_MAX_LISTED = 12
_MAX_STATES = 8
RESETS = ("reset_memory", "reset")
"""Names of the method that clears the state, in the order of preference."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recorded forward()."""

    actor: TapeActor
    used: frozenset[str]
    """Names of the module's tensors that the actor holds."""
    states: tuple[str, ...]
    """Attributes that are the recurrent state."""
    single: bool
    """Whether the file itself takes one observation at a time."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _State:
    """An attribute that forward() overwrites."""

    path: str
    name: str
    tensor: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, hidden)."""
        return (self.tensor.shape[0] if self.tensor.ndim == 3 else 1, self.tensor.shape[-1])


class _Widths:
    """Walks a graph with one observation width after another."""

    def __init__(self, graph: Any, module: Any, tensors: dict[str, Tensor], where: str) -> None:
        self.graph = graph
        self.module = module
        self.tensors = tensors
        self.where = where
        self.paths = overwritten(graph)
        self.single = False
        """Whether a batch of one that is written into the graph is opened."""
        self.first_error: Exception | None = None
        self.refusal: Refusal | None = None
        """What ended the last walk that did not come through."""

    def refused(self, width: int) -> Refusal | None:
        """What in the graph does not take this width."""
        return None if self.try_width(width) else self.refusal or UNFIT

    def try_width(self, width: int) -> TapeActor | None:
        """Record the graph for this width; None when it does not fit."""
        while True:
            try:
                return self._walk(width)
            except StateFoundError as need:
                if need.path in self.paths or len(self.paths) >= _MAX_STATES:
                    raise CheckpointError(f"{self.where}: the state {need.path} can't be followed") from need
                self.paths.append(need.path)
            except GraphRaisesError as error:
                self._remember(error)
                return None
            except CheckpointError as error:
                self._remember(error, important=True)
                return None
            except GRAPH_ERRORS as error:
                # PyTorch's own complaint that the shapes do not fit.
                self._remember(error)
                return None

    def _remember(self, error: Exception, *, important: bool = False) -> None:
        if self.first_error is None or (important and not isinstance(self.first_error, CheckpointError)):
            self.first_error = error

    def states(self) -> tuple[_State, ...]:
        """The overwritten attributes, hidden before cell."""
        found = []
        for path in self.paths:
            if path.endswith(("num_batches_tracked", "running_mean", "running_var")):
                raise CheckpointError(f"{self.where}: {TRAINING} ({path.rpartition('.')[0]})")
            tensor = self.tensors.get(path)
            shape = () if tensor is None else tuple(tensor.shape)
            if tensor is None or not ((len(shape) == 3 and shape[1] == 1) or (len(shape) == 2 and shape[0] == 1)):
                raise CheckpointError(
                    f"{self.where}: forward() overwrites {path} of shape {shape}; recurrent state must have shape "
                    "(layers, 1, hidden) or (1, hidden)"
                )
            leaf = path.rsplit(".", 1)[-1]
            found.append((leaf.lower().startswith("c") or "cell" in leaf.lower(), path, tensor))
        found.sort(key=lambda item: item[:2])
        names = ["c" if cell else "h" for cell, _, _ in found]
        if len(set(names)) != len(names):
            names = [path.replace(".", "_") for _, path, _ in found]
        return tuple(
            _State(path=path, name=name, tensor=tensor) for name, (_, path, tensor) in zip(names, found, strict=True)
        )

    def _walk(self, width: int) -> TapeActor:
        recorder = Recorder(self.where, single=self.single)
        states = self.states()
        obs = recorder.input((BATCH, width))
        inputs = [recorder.input((state.shape[0], BATCH, state.shape[1])) for state in states]
        handles: dict[str, Traced] = {}
        for state, given in zip(states, inputs, strict=True):
            handle = given if state.tensor.ndim == 3 else recorder.apply("squeeze", Tensor.squeeze, given, 0)
            assert isinstance(handle, Traced)
            # A handle of its own, so that overwriting it leaves the input as it was.
            handles[state.path] = Traced(handle.ref, handle.meta)
        walker = GraphWalker(
            recorder,
            names={tensor.data_ptr(): name for name, tensor in self.tensors.items()},
            states=handles,
            obs=Traced(obs.ref, obs.meta),
            check=lambda name, tensor: check_tensor(name, tensor, self.where),
        )
        try:
            result = walker.run(self.graph, self.module)[0]
        finally:
            self.refusal = walker.refusal
        if isinstance(result, (tuple, list)):
            result = result[0]
        if not isinstance(result, Traced) or not isinstance(result.meta, Tensor):
            raise CheckpointError(f"{self.where}: forward() returns something that does not depend on the observation")
        shape = tuple(result.meta.shape)
        if len(shape) != 2 or shape[0] != BATCH:
            raise CheckpointError(
                f"{self.where}: forward() returns shape {in_batches(shape)}; expected (batch, actions)"
            )
        outputs = [result.ref]
        for state in states:
            new: object = handles[state.path]
            if state.tensor.ndim == 2:
                new = recorder.apply("unsqueeze", Tensor.unsqueeze, new, 0)
            assert isinstance(new, Traced)
            outputs.append(new.ref)
        cleared = any(hasattr(self.module, name) for name in RESETS)
        return TapeActor(
            recorder,
            outputs=outputs,
            obs_size=width,
            action_size=shape[1],
            state_names=tuple(state.name for state in states),
            state_shapes=tuple(state.shape for state in states),
            initial=tuple(
                (state.tensor * 0 if cleared else state.tensor).reshape(state.shape[0], 1, state.shape[1])
                for state in states
            ),
        )


def record(
    graph: Any, module: Any, tensors: dict[str, Tensor], where: str, *, traced: int | None, wanted: int | None
) -> Recording:
    """Record an inlined graph.

    Args:
        graph: What forward() computes.
        module: The module.
        tensors: Its tensors by name.
        where: The file, for messages.
        traced: Width of the observation that the file was traced with; it settles the width.
        wanted: Width that the contract or the user states; it is taken where the file leaves the width open.

    Raises:
        CheckpointError: When no width fits, or several do and nobody says which.
    """
    widths = _Widths(graph, module, tensors, where)
    actors = _fitting_any(widths, traced, wanted)
    if not actors:
        if isinstance(widths.first_error, CheckpointError) and not isinstance(widths.first_error, GraphRaisesError):
            raise widths.first_error
        reason = _first_line(widths.first_error, where)
        raise CheckpointError(
            f"{where}: no observation width fits the graph for any number of rows ({reason}). Where a batch "
            "of one is written into it, export the network with the batch left open, as in x.view(x.shape[0], 3, 4) "
            "instead of x.view(1, 3, 4)"
        ) from widths.first_error
    actor, notes = _chosen(actors, where, traced, wanted)
    if widths.single:
        notes.append("the file takes one observation at a time; the actor takes any number")
    states = widths.states()
    for state in states:
        if bool((state.tensor != 0).any()):
            notes.append(f"the file was saved with {state.path} not zero")
    used = frozenset(name for name in tensors if name.replace(".", "_") in actor.constant_names())
    return Recording(
        actor=actor,
        used=used,
        states=tuple(state.path for state in states),
        single=widths.single,
        notes=tuple(notes),
    )


def _fitting_any(widths: _Widths, traced: int | None, wanted: int | None) -> list[TapeActor]:
    """The recordings of the widths that fit: for any batch, else with a batch of one that is opened."""
    # What is stated comes first, so that its complaint is the one that is shown where nothing fits.
    stated = [width for width in (traced, wanted) if width is not None]
    candidates = list(dict.fromkeys([*stated, *sorted(_candidates(widths.tensors))]))
    for single in (False, True):
        widths.single = single
        actors = list(_fitting(widths, candidates))
        if not actors and not isinstance(widths.first_error, CheckpointError):
            # More than are listed say no more.
            actors = list(itertools.islice(_fitting(widths, search(widths.refused)), _MAX_LISTED + 2))
        if actors:
            # One number broadcasts against a normaliser of any width, so 1 is the width only if nothing else is.
            actors.sort(key=lambda actor: actor.obs_size)
            return [actor for actor in actors if actor.obs_size != 1] or actors
    return []


def _chosen(actors: list[TapeActor], where: str, traced: int | None, wanted: int | None) -> tuple[TapeActor, list[str]]:
    """The recording of the right width: the traced one, the only one, or the one that is asked for."""
    by_width = {actor.obs_size: actor for actor in actors}
    if traced in by_width:
        return by_width[traced], [f"traced with an observation of width {traced}"]
    if len(actors) == 1:
        return actors[0], []
    listed = ", ".join(map(str, list(by_width)[:_MAX_LISTED])) + (", ..." if len(by_width) > _MAX_LISTED else "")
    if wanted in by_width:
        others = ", ".join([str(width) for width in by_width if width != wanted][:_MAX_LISTED])
        return by_width[wanted], [
            f"the file does not state its observation's width and also takes {others}; {wanted} is what the contract "
            "or --width says"
        ]
    asked = "" if wanted is None else f", and {wanted}, which the contract or --width says, is none of them"
    raise CheckpointError(
        f"{where}: the width of its observation can't be told: it is stated nowhere, and the graph takes {listed}"
        f"{asked}. Say it with --width to inspect, or with the right contract to export"
    )


def overwritten(graph: Any) -> list[str]:
    """The attributes that the graph writes to, directly or through a slice of them."""
    paths: dict[str, str] = {next(iter(graph.inputs())).debugName(): ""}
    found: dict[str, None] = {}

    def visit(block: Any) -> None:
        for node in block.nodes():
            inputs = list(node.inputs())
            path = paths.get(inputs[0].debugName()) if inputs else None
            kind = node.kind()
            name = kind.partition("::")[2]
            if kind in ("prim::GetAttr", "prim::SetAttr") and path is not None:
                inner = f"{path}.{node.s('name')}" if path else node.s("name")
                if kind == "prim::SetAttr":
                    found[inner] = None
                else:
                    paths[node.output().debugName()] = inner
            elif kind.startswith("aten::") and path and name in IN_PLACE:
                found[path] = None
            elif kind.startswith("aten::") and path and name in VIEWS and node.outputsSize() == 1:
                paths[node.output().debugName()] = path
            for inner_block in node.blocks():
                visit(inner_block)

    visit(graph)
    return list(found)


def _fitting(widths: _Widths, candidates: Iterable[int]) -> Iterator[TapeActor]:
    return (actor for width in candidates if (actor := widths.try_width(width)) is not None)


def _candidates(tensors: dict[str, Tensor]) -> set[int]:
    """The widths that some tensor of the module suggests."""
    return {tensor.shape[-1] for tensor in tensors.values() if tensor.ndim >= 1 and 0 < tensor.shape[-1] <= MOST}


def _first_line(error: Exception | None, where: str) -> str:
    """The first line of an error, with sizes in multiples of the batch as such."""
    lines = str(error).strip().splitlines()
    text = lines[0].removeprefix(f"{where}: ") if lines else type(error).__name__
    text += "".join(f", at {note}" for note in getattr(error, "__notes__", ())[:1])
    return re.sub(r"\d{7,}", lambda found: _size(int(found[0])), text)


def _size(number: int) -> str:
    return str(number) if number % BATCH else "batch" if number == BATCH else f"{number // BATCH} x batch"
