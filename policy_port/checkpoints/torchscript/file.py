"""TorchScript files: checked as text, loaded, and turned into an actor with explicit state."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_port.checkpoints.files.leapp_yaml import beside, own_model
from policy_port.checkpoints.files.pickle_scan import scan_pickle
from policy_port.checkpoints.files.safe_load import check_storages, check_tensor, pack_archive
from policy_port.checkpoints.policy import Loaded, LoadOptions, OriginalRunner, Source
from policy_port.checkpoints.torchscript.operators import DRAWN
from policy_port.checkpoints.torchscript.record import RESETS, record
from policy_port.checkpoints.torchscript.scan import refuse_operator, scan_code
from policy_port.checkpoints.torchscript.traced import traced_width, without_traced_inputs
from policy_port.errors import CheckpointError, UnsafeFileError

_DRAWS = (
    "{}: the mean stands in place of random numbers, as --mean says; what is computed from it is the mean of the "
    "action only where nothing bends it on the way (a tanh does). The file's own runtime draws, so it is not held "
    "against it"
)
SUPPORTED = "TorchScript of one observation vector, its recurrent state in buffers"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a TorchScript file, or nothing."""
    if source.container != "torchscript":
        return ()
    names = sorted(name for name in source.members if name.endswith(".py"))
    return (f"a PyTorch archive with code ({names[0] if names else 'code/'})",)


def load(source: Source, options: LoadOptions) -> Loaded:
    """Check the archive, load it, and record its forward()."""
    where = str(source.path)
    pipeline = beside(source.path)
    if pipeline is not None:
        own_model(pipeline, source.path, source.data)
    module, archive, called = open_module(source, DRAWN if options.mean else frozenset())
    drawn = sorted(called & DRAWN)
    tensors = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    graph = _inlined(module)
    inputs = [str(item.type()) for item in list(graph.inputs())[1:]]
    if inputs != ["Tensor"]:
        raise CheckpointError(
            f"{where}: forward() takes ({', '.join(inputs)}); expected one tensor, the observation. Export the policy "
            "with its state as buffers, or as ONNX, whose inputs also say how large an image is (LEAPP: "
            "export_with='onnx')"
        )
    recording = record(graph, module, tensors, where, traced=traced_width(source.members), wanted=options.width)
    actor = recording.actor
    used = recording.used | set(recording.states)
    leftovers = tuple(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items() if name not in used)
    return Loaded(
        version=f"archive format {source.members.get('version', b'?').decode('ascii', 'replace').strip()}",
        actor=actor,
        architecture=actor.describe(),
        distribution="not in the file; the actor returns what forward() returns",
        leftovers=leftovers,
        notes=(*recording.notes, *_notes(called, module), *([_DRAWS.format(", ".join(drawn))] if drawn else [])),
        # What draws gives another answer at every call, so it is no yardstick.
        original=None
        if drawn
        else lambda: TorchScriptRunner(archive, states=recording.states, single=recording.single),
    )


def _notes(called: frozenset[str], module: Any) -> tuple[str, ...]:
    """What the code does besides computing actions."""
    notes = []
    if "prim::Print" in called:
        notes.append("the code prints; the actor does not")
    reset = reset_name(module)
    if reset is not None:
        notes.append(f"has a method {reset}()")
    return tuple(notes)


class TorchScriptRunner(OriginalRunner):
    """The file in torch.jit; one with state, or for one observation, runs row by row."""

    def __init__(self, archive: bytes, *, states: tuple[str, ...], single: bool) -> None:
        self._module = torch.jit.load(io.BytesIO(archive), map_location="cpu").eval()
        self._states = states
        self._by_row = bool(states) or single
        clear = reset_name(self._module)
        if clear is not None and states:
            with torch.no_grad():
                # A state that was traced with gradients may only be overwritten without them.
                getattr(self._module, clear)()
        self._start = [self._buffer(path).clone() for path in states]
        self._rows: list[list[Tensor]] = []

    def reset(self) -> None:
        """Put every row's state back to its start."""
        self._rows = []

    def step(self, obs: NDArray[np.float32], *images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run forward() on each row with its own contents of the buffers, or on all rows at once."""
        rows = torch.from_numpy(np.ascontiguousarray(obs, dtype=np.float32))
        with torch.no_grad():
            if not self._by_row:
                return _first(self._module(rows)).numpy()
            while len(self._rows) < len(rows):
                self._rows.append(self._start)
            return torch.cat([self._step_row(index, row) for index, row in enumerate(rows.split(1))]).numpy()

    def _step_row(self, index: int, row: Tensor) -> Tensor:
        for path, value in zip(self._states, self._rows[index], strict=True):
            self._buffer(path).copy_(value)
        actions = _first(self._module(row)).clone()
        self._rows[index] = [self._buffer(path).clone() for path in self._states]
        return actions

    def _buffer(self, path: str) -> Tensor:
        return functools.reduce(getattr, path.split("."), self._module)


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, (tuple, list)) else output


def reset_name(module: Any) -> str | None:
    """The name of the method without arguments that clears the state."""
    for name in RESETS:
        method = getattr(module, name, None)
        if method is not None and len(method.schema.arguments) == 1:
            return name
    return None


def _check_archive(members: dict[str, bytes], file: str) -> None:
    """Check the pickles of the archive before PyTorch's reader, which trusts them, sees them."""
    for name, content in members.items():
        if "/" not in name and name.endswith(".pkl"):
            where = f"{file}: {name}"
            scan = scan_pickle(content, where)
            for imported in sorted(scan.imports):
                if imported.startswith("__torch__.torch.classes"):
                    raise UnsafeFileError(f"{where}: holds a compiled object ({imported}); a policy network has none")
            check_storages(scan, members, f"{name[:-4]}/", file)


def open_module(source: Source, also: frozenset[str] = frozenset()) -> tuple[Any, bytes, frozenset[str]]:
    """Check an archive, load it, and check what was loaded.

    Args:
        source: The file.
        also: Operators that may appear in it beside those that are read.

    Returns:
        The module, the archive that it was loaded from, and the operators that its code calls.

    Raises:
        UnsafeFileError: When loading or running it would do more than compute; nothing of it was executed.
        CheckpointError: When it is damaged or holds weights that are not finite.
    """
    where = str(source.path)
    members = without_traced_inputs(source.members)
    _check_archive(members, where)
    called = scan_code(members, where, also)
    archive = pack_archive(members)
    module = _load_module(archive, where)
    for name, tensor in module.state_dict().items():
        check_tensor(name, tensor.detach(), where)
    for kind in sorted(_kinds(_inlined(module))):
        refuse_operator(kind, where, also)
    return module, archive, called


def _load_module(archive: bytes, where: str) -> Any:
    try:
        return torch.jit.load(io.BytesIO(archive), map_location="cpu").eval()
    except Exception as error:
        # torch.jit raises RuntimeError for most damage, but other kinds too; none of them is the user's to decode.
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{where}: torch.jit can't load it ({reason[0] if reason else type(error).__name__})"
        ) from error


def _inlined(module: Any) -> Any:
    """Return a copy of forward()'s graph without calls."""
    graph = module.forward.graph.copy()
    torch._C._jit_pass_inline(graph)
    return graph


def _kinds(block: Any) -> set[str]:
    """The kinds of all nodes, inner blocks included."""
    kinds: set[str] = set()
    for node in block.nodes():
        kinds.add(node.kind())
        for inner in node.blocks():
            kinds |= _kinds(inner)
    return kinds
