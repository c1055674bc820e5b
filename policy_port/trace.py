"""Recording and reading traces. This one file needs only NumPy: copy it into any simulator or robot code.

    recorder = Recorder("run.npz", {"joint_names": [...], "control_dt": 0.02})
    for step in range(1000):
        ...
        recorder.record(time=t, joint_pos=q, observation=obs, action=action, target=target)
    recorder.close()

    record = Recorder("run.npz", {...}).bind({"joint_pos": q, "action": action})  # the quick way: q, action are filled
    record()  # in place, and each call records one step of them

    trace = Trace("run.npz")
    trace.header["joint_names"], trace["joint_pos"].shape

A trace is an ordinary .npz: one array per name with the step as first axis, and a member header.json that says what
they are. While a recording runs, its chunks lie in the folder run.npz.parts. What a killed process has left there is
read by `Trace("run.npz")` as well, up to the last whole chunk.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import os
import platform
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

FORMAT = "policy-port trace 1"
"""What the header's key `format` says."""

HEADER = "header.json"
"""Name of the header inside the file, and in the folder of chunks."""


_Column = tuple[tuple[int, ...], np.dtype[Any], Iterable[NDArray[Any]]]
"""Shape, type, and the pieces of an array, one after the other."""


BUFFER = 2**20
"""What is gathered before it is handed to the system, which takes its time over each piece [bytes]."""

MAX_HEADER = 16 * 2**20
"""Largest header read [bytes]; names and rates take some thousand."""

MAX_PACKED, MAX_RATIO = 256 * 2**20, 100
"""An array of more bytes than the first, packed closer than the second, is no recording."""

DAMAGE = (
    *(OSError, KeyError, ValueError, EOFError, MemoryError, OverflowError, RecursionError, RuntimeError, TypeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What Python and NumPy say of a file that something else has written."""


class TraceError(ValueError):
    """A trace can't be read, or a step does not fit the steps before it."""


class Recorder:
    """Writes steps to disk in chunks; memory stays at one chunk however long the recording is."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        chunk_steps: int = 1024,
        chunk_bytes: int = 32 * 2**20,
        durable: bool = True,
        constant: Mapping[str, Any] | None = None,
    ) -> None:
        """Start a recording; the arrays' names, shapes and types are those of the first step.

        Args:
            path: The .npz to write. What stands there is replaced when the recording is closed.
            header: Anything JSON can hold: names, units, rates, versions, the contract's hash.
            chunk_steps: Steps kept in memory at most; a kill loses no more than these.
            chunk_bytes: Memory of a chunk at most [bytes].
            durable: Wait for the disk after each chunk and at the end, so that a power cut loses no more than a kill
                does. False leaves that to the system, which takes up to half a minute: for what can be repeated.
            constant: Arrays that are the same in every step and are recorded with each, such as `base_com`: the centre
                of mass of the root body in the frame of its link [m], shape (3,) or (environments, 3). It says at which
                point a velocity is measured that is not `base_lin_vel`, which is the link's origin's.
        """
        self.path = Path(path)
        self.parts = _parts(self.path)
        self._limits = chunk_steps, chunk_bytes
        self._durable = durable
        self._chunk: dict[str, NDArray[Any]] = {}
        self._columns: dict[str, tuple[NDArray[Any], tuple[int, ...], np.dtype[Any]]] = {}
        self._split: Mapping[str, Mapping[str, slice]] = {}
        self._capacity = self._filled = self._chunks = 0
        self.steps = 0
        """Steps recorded."""
        self._constant = {name: np.array(value) for name, value in (constant or {}).items()}
        self._open = True
        about = {"format": FORMAT, "started": _now(), "numpy": np.__version__, "python": platform.python_version()}
        self._header: dict[str, Any] = {**about, **header}
        self._text = json.dumps(self._header, indent=1)
        shutil.rmtree(self.parts, ignore_errors=True)
        self.parts.mkdir(parents=True)
        if durable:
            self._write_header(self._text)

    def record(self, **arrays: Any) -> None:
        """Append one step; the arrays are copied.

        Raises:
            TraceError: When a name is new or missing, or an array has another shape than in the first step, or a type
                that the first step's can't hold.
        """
        if self._constant:
            arrays = self._with_constant(arrays)
        if not self._chunk:
            self._allocate(arrays)
        chunk = self._chunk
        if arrays.keys() != chunk.keys():
            differ = ", ".join(sorted(arrays.keys() ^ chunk.keys()))
            raise TraceError(f"step {self.steps}: every step records the same arrays; {differ} differs")
        row = self._filled
        for name, value in arrays.items():
            rows, shape, dtype = self._columns[name]
            if value.__class__ is not np.ndarray:
                value = np.asarray(value)
            # The dtypes of NumPy's own numbers are one object each, so this is quick where nothing has changed.
            if value.dtype is not dtype or value.shape != shape:
                self._check(name, value)
            rows[row] = value
        self._count()

    def bind(
        self, arrays: Mapping[str, NDArray[Any]], split: Mapping[str, Mapping[str, slice]] | None = None
    ) -> Callable[[], None]:
        """Return a function that records one step: what the arrays, which are filled in place, hold when it is called.

        All that `record` checks at each step is checked here, once. Use one or the other.

        Args:
            arrays: The arrays by name; they must stay the same objects.
            split: Arrays that are several in one: under the array's name, the parts' names and their columns (last
                axis). Such an array is copied at once; in the trace stand its parts.

        Raises:
            TraceError: When something was recorded or bound before, an array holds no numbers, or `split` does not
                fit the arrays.
        """
        if self._chunk:
            raise TraceError("bind comes before the first step, and only once")
        arrays = self._with_constant(arrays)
        self._split = split or {}
        names = [*(arrays.keys() - self._split.keys()), *itertools.chain(*self._split.values())]
        wide = all(
            name in arrays and columns.stop <= arrays[name].shape[-1]
            for name, parts in self._split.items()
            for columns in parts.values()
        )
        if not wide or len(set(names)) < len(names):
            raise TraceError("split names an array that is not there, columns beyond its last, or a name twice")
        self._allocate(arrays)
        quick, others = [], []
        for name, array in arrays.items():
            try:
                # Bytes, where they stand one behind the other, take a third of the time that NumPy takes over a row.
                quick.append((memoryview(self._chunk[name]).cast("B"), memoryview(array).cast("B"), array.nbytes))
            except (TypeError, ValueError):
                others.append((self._chunk[name], array))

        def record() -> None:
            row = self._filled
            for chunk, values, size in quick:
                chunk[row * size : (row + 1) * size] = values
            for rows, array in others:
                rows[row] = array
            self._count()

        return record

    def flush(self) -> None:
        """Write the steps in memory to disk."""
        if not self._filled:
            return
        if not self._chunks and not self._durable:
            # Most of what can be repeated never has a chunk on the disk, and so nobody who reads one.
            self._write_header(self._text)
        part = self.parts / f"{self._chunks:06d}.npz"
        temporary = part.with_suffix(".tmp")
        with open(temporary, "wb", BUFFER) as file:
            _write(file, self._recorded())
            self._wait_for_disk(file)
        temporary.replace(part)
        self._chunks += 1
        self._filled = 0

    def close(self, **header: Any) -> None:
        """Merge the chunks into the .npz; entries given here are added to the header. Further calls do nothing."""
        if not self._open:
            return
        text = json.dumps(self._header | {"steps": self.steps, "finished": _now(), **header}, indent=1)
        if self._chunks:
            self.flush()
            self._write_header(text)
            columns = _joined(self.parts)
        else:
            # All of it is still in memory, so it need not be written twice.
            columns = self._recorded()
        temporary = self.parts / "merged.tmp"
        with open(temporary, "wb", BUFFER) as file:
            _write(file, columns, text)
            self._wait_for_disk(file)
        temporary.replace(self.path)
        self._open = False
        shutil.rmtree(self.parts, ignore_errors=True)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            # The chunks stay for whoever wants to know what happened before.
            with contextlib.suppress(OSError):
                self.flush()

    def _with_constant(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        twice = self._constant.keys() & arrays.keys()
        if twice:
            raise TraceError(f"step {self.steps}: {', '.join(sorted(twice))} is constant, and given with the step too")
        return {**self._constant, **arrays}

    def _count(self) -> None:
        self._filled += 1
        self.steps += 1
        if self._filled == self._capacity:
            self.flush()

    def _recorded(self) -> dict[str, _Column]:
        """The steps in memory, by the names that they have in the trace."""
        found: dict[str, NDArray[Any]] = {}
        for name, rows in self._chunk.items():
            parts = self._split.get(name)
            steps = rows[: self._filled]
            found |= {name: steps} if parts is None else {p: steps[..., columns] for p, columns in parts.items()}
        return {name: (steps.shape, steps.dtype, [steps]) for name, steps in found.items()}

    def _wait_for_disk(self, file: IO[bytes]) -> None:
        if self._durable:
            file.flush()
            os.fsync(file.fileno())

    def _check(self, name: str, value: NDArray[Any]) -> None:
        """Refuse what NumPy would spread over a row, or cut the fraction off, without a word."""
        _, shape, dtype = self._columns[name]
        if value.shape != shape:
            raise TraceError(f"step {self.steps}: '{name}' has shape {value.shape}, before {shape}")
        if not np.can_cast(value.dtype, dtype, "same_kind"):
            raise TraceError(
                f"step {self.steps}: '{name}' is {value.dtype}, in the first step {dtype}; give it the wider type from "
                "the first step on (0.0, not 0)"
            )

    def _allocate(self, arrays: Mapping[str, Any]) -> None:
        if not arrays:
            raise TraceError("a step without arrays")
        samples = {name: np.asarray(value) for name, value in arrays.items()}
        wrong = [name for name, sample in samples.items() if sample.dtype.kind not in "biuf"]
        if wrong:
            raise TraceError(f"{', '.join(wrong)} holds no numbers; names and texts belong into the header")
        steps, size = self._limits
        per_step = sum(sample.nbytes for sample in samples.values())
        self._capacity = max(1, min(steps, size // max(per_step, 1)))
        self._chunk = {name: np.empty((self._capacity, *s.shape), s.dtype) for name, s in samples.items()}
        self._columns = {name: (rows, rows.shape[1:], rows.dtype) for name, rows in self._chunk.items()}

    def _write_header(self, text: str) -> None:
        temporary = self.parts / "header.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.parts / HEADER)


class Trace(Mapping[str, NDArray[Any]]):
    """A recorded trace; an array is read when it is asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a trace, or what a killed recording has left of one.

        Raises:
            TraceError: When there is no trace, or it is damaged.
        """
        self.path = Path(path)
        chunks = sorted(_parts(self.path).glob("*.npz"))
        # Chunks beside a file are a later recording that was killed, unless the kill fell between merging and tidying.
        whole = self.path.is_file() and not (chunks and not _is_of(self.path, _parts(self.path) / HEADER))
        self._files = [self.path] if whole else chunks
        self.complete = whole
        """False where the recording was not closed."""
        if not self._files:
            raise TraceError(f"{self.path}: no such trace, and no chunks of one in {_parts(self.path).name}")
        try:
            with zipfile.ZipFile(self._files[0]) as file:
                names = file.namelist()
                text = _member(file, HEADER, MAX_HEADER) if whole else (_parts(self.path) / HEADER).read_bytes()
            self.header: dict[str, Any] = json.loads(text)
        except DAMAGE as cause:
            raise TraceError(f"{self.path}: is no trace, or is damaged: {cause}") from cause
        if not isinstance(self.header, dict):
            raise TraceError(f"{self.path}: its {HEADER} is no JSON object, which a trace begins with")
        if not str(self.header.get("format", "")).startswith(FORMAT):
            raise TraceError(f"{self.path}: its format is {self.header.get('format')!r}, this reads {FORMAT!r}")
        self._names = tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(f"{self.path}: the trace has no '{name}'; it has {', '.join(self._names)}")
        try:
            parts = [read_array(file, name) for file in self._files]
        except DAMAGE as cause:
            raise TraceError(f"{self.path}: '{name}' can't be read: {cause}") from cause
        if len({(part.shape[1:], part.dtype) for part in parts}) > 1:
            raise TraceError(f"{self.path}: '{name}' has another shape or type from one chunk to the next")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def control_dt(self) -> float | None:
        """Control period [s]: what the header states, else the usual step of `time`; None where neither tells.

        Raises:
            TraceError: When the header states something else than a period, or `time` shows another one.
        """
        stated = self.header.get("control_dt")
        is_number = isinstance(stated, int | float) and not isinstance(stated, bool)
        if stated is not None and not (is_number and 0.0 < stated < math.inf):
            raise TraceError(f"{self.path}: the header's control_dt is {stated!r}; give the control period in seconds")
        time = np.asarray(self["time"], np.float64) if "time" in self else np.zeros(0)
        # Time is counted from the reset, so it goes back where an episode begins.
        steps = np.diff(time.reshape(len(time), -1), axis=0) if time.size else time
        steps = steps[steps > 0.0]
        if not steps.size:
            return stated
        seen = float(np.median(steps))
        if stated is not None and abs(seen - stated) > 0.25 * stated:
            raise TraceError(
                f"{self.path}: the header's control_dt is {stated} s, its time moves on by {seen:.6g} s a step; "
                "correct the one that is wrong"
            )
        return seen if stated is None else float(stated)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _parts(path: Path) -> Path:
    return path.with_name(path.name + ".parts")


def _is_of(file: Path, header: Path) -> bool:
    """Whether a merged file is what the chunks beside `header` were merged into."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.read(HEADER) == header.read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_array(file: Path | IO[bytes], name: str) -> NDArray[Any]:
    """An array of numbers; nothing is allocated that the file does not hold."""
    with zipfile.ZipFile(file) as archive:
        inside = archive.getinfo(f"{name}.npy")
        if inside.file_size > MAX_PACKED and inside.file_size > MAX_RATIO * inside.compress_size:
            raise ValueError(f"{inside.file_size} bytes packed into {inside.compress_size} are no recording")
        with archive.open(inside) as member:
            version = np.lib.format.read_magic(member)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"it is of version {version} of NumPy's format, a trace's are 1.0 or 2.0")
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
            if dtype.kind not in "biuf":
                raise ValueError(f"it holds {dtype}, a trace's arrays hold real numbers")
            if not shape or math.prod(shape) * dtype.itemsize > inside.file_size:
                raise ValueError(f"its shape is {shape}, which its {inside.file_size} bytes are not")
        with archive.open(inside) as member:
            return np.lib.format.read_array(member, allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member of an archive, `limit` bytes at most."""
    with archive.open(name) as member:
        data = member.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"its {name} has more than {limit} bytes")
    return data


class _Onwards:
    """A file without a way back, in which an archive's sizes stand behind its members.

    To go back to where they stand otherwise, and on again, would empty the file's buffer twice a member.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush


def _write(file: IO[bytes], columns: Mapping[str, _Column], header: str | None = None) -> None:
    """Write an .npz array by array; no more of it need be in memory than the piece that is being written."""
    with zipfile.ZipFile(cast("IO[bytes]", _Onwards(file)), "w", zipfile.ZIP_STORED) as archive:
        if header is not None:
            archive.writestr(HEADER, header)
        for name, (shape, dtype, pieces) in columns.items():
            about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array_header_2_0(out, about)
                for piece in pieces:
                    for block in _blocks(piece):
                        out.write(block.data)


def _blocks(piece: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The steps of an array some at a time, each time in the same memory, which fits into a processor's cache."""
    count = max(1, 2**18 // max(1, piece[:1].nbytes))
    block = np.empty((min(count, len(piece)), *piece.shape[1:]), piece.dtype)
    for first in range(0, len(piece), count):
        steps = piece[first : first + count]
        block[: len(steps)] = steps
        yield block[: len(steps)]


def _joined(parts: Path) -> dict[str, _Column]:
    """The arrays of the chunks; a chunk's is read when its turn comes."""
    files = sorted(parts.glob("*.npz"))
    found: dict[str, _Column] = {}
    with zipfile.ZipFile(files[0]) as first:
        names = [member.removesuffix(".npy") for member in first.namelist()]
    for name in names:
        (_, *shape), dtype = _about(files[0], name)
        steps = sum(_about(file, name)[0][0] for file in files)
        found[name] = (steps, *shape), dtype, map(read_array, files, itertools.repeat(name))
    return found


def _about(file: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in a chunk."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        return shape, dtype
