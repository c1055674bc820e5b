"""Output that is either whole or absent: folders and files are written beside their place and renamed in."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from policy_port.errors import OutputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OURS = {
    "manifest.json": b'"sha256_of_the_rest"',
    "run.yaml": b"policy_port_run",
    "metrics.json": b'"metrics"',
    "comparison.json": b'"verdict"',
    "poses.yaml": b"poses_version",
}
"""A file of each kind of folder that may be replaced, and what stands in its first MiB."""


@contextlib.contextmanager
def output_folder(
    path: str | os.PathLike[str], force: bool = False, reads: Iterable[str | os.PathLike[str]] = ()
) -> Iterator[Path]:
    """Give a temporary folder to write into, which becomes `path` once the block has ended well.

    Whatever ends the block otherwise, Ctrl-C included, removes all that was written and leaves an older
    folder at `path` as it was.

    Args:
        path: Where the finished folder shall be. Missing parents are made.
        force: Replace a folder that is already there and not empty.
        reads: What the output is made of, which may not be in the folder that is replaced.

    Yields:
        The temporary folder. It lies beside `path`, so that the final rename stays on one file system.

    Raises:
        OutputError: `path` is taken, can't be written to, or the disk is full.
    """
    target = _resolved(path)
    _refuse_taken(target, force, reads)
    made_parents = _missing_parents(target)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{target}: can't be made: {_reason(error)}") from error
        try:
            yield temporary
        except Exception as error:
            _raise_if_unwritable(error, target, temporary)
            raise
        _rename_in(temporary, target, force)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made_parents:
            # Another process may have put something into it meanwhile; then it stays.
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def check_output_folder(
    path: str | os.PathLike[str], force: bool = False, reads: Iterable[str | os.PathLike[str]] = ()
) -> None:
    """Refuse at once what `output_folder` would refuse once everything was computed.

    Raises:
        OutputError: `path` is taken, or can't be written to.
    """
    target = _resolved(path)
    _refuse_taken(target, force, reads)
    check_writable(target)


def check_writable(target: Path) -> None:
    """Refuse a file or folder that can't be made where it is to be.

    Raises:
        OutputError: Naming what stands in the way.
    """
    there = next(parent for parent in target.parents if os.path.lexists(parent))
    if not there.is_dir():
        raise OutputError(f"{target}: can't be made: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: can't be made: nothing may be written in {there}; name another folder")


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write a whole file, or leave what was there as it was.

    Args:
        path: The file. Its folder must exist.
        data: Its new content; text is written as UTF-8 with the line ends it has.

    Raises:
        OutputError: The file can't be written, or the disk is full.
    """
    target = _resolved(path)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: can't be written: {_reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def json_text(document: Any) -> str:
    """A document as JSON at full precision; numbers that are NaN or infinite become null."""
    return json.dumps(_finite(document), indent=2) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_file(path: Path) -> str:
    """The same of a file that is asked for often: read again only once its size or time of writing is another."""
    stat = path.stat()
    return _hash_unchanged(str(path), stat.st_mtime_ns, stat.st_size)


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of files below a folder."""
    return hash_data([[file.relative_to(root).as_posix(), hash_file(file)] for file in files])


def hash_data(data: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@functools.cache
def source_hash(rooms: tuple[str, ...]) -> str:
    """SHA-256 of the package's source in these rooms."""
    root = Path(__file__).resolve().parent
    return hash_files(root, sorted(file for room in rooms for file in (root / room).rglob("*.py")))


@functools.lru_cache(maxsize=4096)
def _hash_unchanged(path: str, _modified: int, _size: int) -> str:
    return sha256(path)


def _resolved(path: str | os.PathLike[str]) -> Path:
    """Where a path leads: a symbolic link stays, and what it points to is written."""
    try:
        return Path(path).expanduser().resolve(strict=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(f"{path}: can't be written: {getattr(error, 'strerror', None) or error}") from error


def _refuse_taken(target: Path, force: bool, reads: Iterable[str | os.PathLike[str]]) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise OutputError(f"{target}: is a file; name a folder that does not exist yet")
    if not any(target.iterdir()):
        return
    # A slip such as `--out . --force` must not cost a user their work.
    if force and (
        Path.cwd().is_relative_to(target)
        or Path.home().resolve().is_relative_to(target)
        or target.is_mount()
        or (target / ".git").exists()
    ):
        raise OutputError(
            f"{target}: is the working folder, a home folder, a disk or a repository, and is not replaced "
            "even with --force; name a folder inside it"
        )
    if not _is_ours(target):
        held = sorted(entry.name for entry in target.iterdir())
        raise OutputError(
            f"{target}: exists and is not empty, and no command made it: it holds {', '.join(held[:3])}"
            f"{f' and {len(held) - 3} more' if len(held) > 3 else ''}; name another folder"
        )
    for read in reads:
        if _resolved(read).is_relative_to(target):
            raise OutputError(
                f"{target}: exists and is not empty, and holds {read}, which is read here; name another folder"
            )
    if not force:
        raise OutputError(f"{target}: exists and is not empty; name another folder, or replace it with --force")


def _is_ours(folder: Path) -> bool:
    """Whether a folder is one that this package wrote, by a file that each has."""
    for name, mark in _OURS.items():
        with contextlib.suppress(OSError), open(folder / name, "rb") as file:
            if mark in file.read(1 << 20):
                return True
    return False


def _missing_parents(target: Path) -> list[Path]:
    """Return the parents that do not exist yet, innermost first."""
    return [parent for parent in target.parents if not parent.exists()]


def _rename_in(temporary: Path, target: Path, force: bool) -> None:
    """Rename the finished folder to its place; the old one is deleted only after that."""
    replaced = target.parent / f".{target.name}.{secrets.token_hex(4)}.old"
    try:
        if force and target.is_dir() and any(target.iterdir()):
            target.rename(replaced)
        temporary.rename(target)
    except BaseException as error:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        if isinstance(error, OSError):
            raise OutputError(f"{target}: can't be put in place: {_reason(error)}") from error
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _raise_if_unwritable(error: Exception, target: Path, temporary: Path) -> None:
    """Raise OutputError where `error` says that the output, rather than some input, was at fault."""
    if isinstance(error, OSError):
        named = error.filename if isinstance(error.filename, str) else ""
        # A file that is missing in the temporary folder was never written: a bug, which keeps its traceback.
        inside = named.startswith(str(temporary)) and error.errno != errno.ENOENT
        if error.errno in _NO_ROOM or error.errno == errno.EROFS or inside:
            message = _reason(error).replace(str(temporary), str(target))
            raise OutputError(f"{target}: nothing was written: {message}") from error
    # torch writes through its own stream, whose error names no cause; the disk does.
    elif isinstance(error, RuntimeError) and shutil.disk_usage(temporary).free < 64 * 1024:
        raise OutputError(f"{target}: nothing was written: the disk is full") from error


def _reason(error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return f"the disk is full or a quota is used up ({os.strerror(error.errno or 0)})"
    if isinstance(error.filename, str):
        return f"{error.strerror} ({error.filename})"
    return error.strerror or str(error)
