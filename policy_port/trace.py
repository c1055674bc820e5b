"""Recording and reading traces. This one file needs only NumPy: copy it into any simulator or robot code.

    recorder = Recorder("run.npz", {"joint_names": [...], "control_dt": 0.02})
    for step in range(1000):
        ...
        recorder.record(time=t, joint_pos=q, observation=obs, action=action, target=target)
    recorder.close()

    trace = Trace("run.npz")
    trace.header["joint_names"], trace["joint_pos"].shape

A trace is an ordinary .npz: one array per name with the step as first axis, and a member header.json that says what
they are. While a recording runs, its chunks lie in the folder run.npz.parts. What a killed process has left there is
read by `Trace("run.npz")` as well, up to the last whole chunk.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "policy-port trace 1"
"""What the header's key `format` says."""

HEADER = "header.json"
"""Name of the header inside the file, and in the folder of chunks."""


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
    ) -> None:
        """Start a recording; the arrays' names, shapes and types are those of the first step.

        Args:
            path: The .npz to write. What stands there is replaced when the recording is closed.
            header: Anything JSON can hold: names, units, rates, versions, the contract's hash.
            chunk_steps: Steps kept in memory at most; a kill loses no more than these.
            chunk_bytes: Memory of a chunk at most [bytes].
        """
        self.path = Path(path)
        self.parts = _parts(self.path)
        self._limits = chunk_steps, chunk_bytes
        self._chunk: dict[str, NDArray[Any]] = {}
        self._columns: dict[str, tuple[NDArray[Any], tuple[int, ...], np.dtype[Any]]] = {}
        self._capacity = self._filled = self._chunks = 0
        self.steps = 0
        """Steps recorded."""
        self._open = True
        about = {"format": FORMAT, "started": _now(), "numpy": np.__version__, "python": platform.python_version()}
        self._header: dict[str, Any] = {**about, **header}
        json.dumps(self._header)
        shutil.rmtree(self.parts, ignore_errors=True)
        self.parts.mkdir(parents=True)
        self._write_header()

    def record(self, **arrays: Any) -> None:
        """Append one step; the arrays are copied.

        Raises:
            TraceError: When a name is new or missing, or an array has another shape than in the first step, or a type
                that the first step's can't hold.
        """
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
        self._filled = row + 1
        self.steps += 1
        if self._filled == self._capacity:
            self.flush()

    def flush(self) -> None:
        """Write the steps in memory to disk."""
        if not self._filled:
            return
        part = self.parts / f"{self._chunks:06d}.npz"
        temporary = part.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **{name: array[: self._filled] for name, array in self._chunk.items()})
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(part)
        self._chunks += 1
        self._filled = 0

    def close(self, **header: Any) -> None:
        """Merge the chunks into the .npz; entries given here are added to the header. Further calls do nothing."""
        if not self._open:
            return
        if self._chunks:
            self.flush()
        self._header |= {"steps": self.steps, "finished": _now(), **header}
        self._write_header()
        if self._chunks:
            _merge(self.parts, self.path)
        else:
            # All of it is still in memory, so it need not be written twice.
            _write_whole(self.parts, self.path, {name: array[: self._filled] for name, array in self._chunk.items()})
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

    def _write_header(self) -> None:
        temporary = self.parts / "header.tmp"
        temporary.write_text(json.dumps(self._header, indent=1), encoding="utf-8")
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
                text = file.read(HEADER) if whole else (_parts(self.path) / HEADER).read_bytes()
            self.header: dict[str, Any] = json.loads(text)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as cause:
            raise TraceError(f"{self.path}: is no trace, or is damaged: {cause}") from cause
        if not str(self.header.get("format", "")).startswith(FORMAT):
            raise TraceError(f"{self.path}: its format is {self.header.get('format')!r}, this reads {FORMAT!r}")
        self._names = tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(f"{self.path}: the trace has no '{name}'; it has {', '.join(self._names)}")
        try:
            parts = [_load(file, name) for file in self._files]
        except (OSError, ValueError, zipfile.BadZipFile) as cause:
            raise TraceError(f"{self.path}: '{name}' can't be read: {cause}") from cause
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

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


def _load(file: Path, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _write_whole(parts: Path, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    temporary = parts / "merged.tmp"
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.write(parts / HEADER, HEADER)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array(out, array, allow_pickle=False)
    _put_in_place(temporary, path)


def _put_in_place(temporary: Path, path: Path) -> None:
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _merge(parts: Path, path: Path) -> None:
    """Join the chunks array by array, so that no more than one chunk's array is in memory."""
    files = sorted(parts.glob("*.npz"))
    temporary = parts / "merged.tmp"
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.write(parts / HEADER, HEADER)
        for member in _members(files[0]) if files else ():
            name = member.removesuffix(".npy")
            lengths = [_length(file, member) for file in files]
            first = _load(files[0], name)
            with archive.open(member, "w", force_zip64=True) as out:
                shape = (sum(lengths), *first.shape[1:])
                about = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(out, about)
                for index, file in enumerate(files):
                    out.write((first if index == 0 else _load(file, name)).tobytes())
    _put_in_place(temporary, path)


def _members(file: Path) -> list[str]:
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


def _length(file: Path, member: str) -> int:
    with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
        major, _ = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        return read(stream)[0][0]
