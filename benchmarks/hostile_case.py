"""One hostile input: what a command is given, the process in which it runs, and what of its end was not good."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MOST_SECONDS = 10.0
MOST_MEMORY = 2 << 30
KILLED_AFTER = 45.0


@dataclass(frozen=True)
class Case:
    """One hostile input: files are written into the folder first, `args` are what policy-port is called with."""

    family: str
    name: str
    args: list[str]
    """Paths in it are relative to the folder; `out` is the only one that may be written."""
    write: Callable[[Path], object]
    may_write: tuple[str, ...] = ("here/out", "home/.cache", "home/.config")
    """Where it may write: what --out names, and the caches of ONNX Runtime and matplotlib."""


@dataclass
class Ended:
    """How one command ended."""

    case: Case
    code: int
    seconds: float
    memory: int
    """Largest resident memory of the process or one that it started [bytes]; what it was forked with is part of it."""
    said: str
    written: list[str] = field(default_factory=list)

    def faults(self, codes: tuple[int, ...]) -> list[str]:
        """What was not good about it."""
        faults = []
        if self.seconds > KILLED_AFTER:
            faults.append("hung")
        elif "Traceback (most recent call last)" in self.said:
            faults.append("traceback")
        elif self.code not in codes:
            faults.append(f"exit {self.code}")
        elif self.code in (2, 3) and not self.said.strip():
            faults.append("no message")
        if MOST_SECONDS < self.seconds <= KILLED_AFTER:
            faults.append(f"{self.seconds:.0f} s")
        if self.memory > MOST_MEMORY:
            faults.append(f"{self.memory >> 20} MiB")
        return faults + [f"wrote {name}" for name in self.written]


def run(case: Case, root: Path) -> Ended:
    """Run one case in a folder of its own below `root`, which is removed afterwards."""
    shutil.rmtree(root, ignore_errors=True)
    folder, home = root / "here", root / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    (root / "canary").write_text("untouched")
    case.write(folder)
    before = _listing(root)
    start = time.monotonic()
    child = os.fork()
    if not child:
        _become(case.args, folder, home, root / "said")
    ended, status, usage = False, 0, None
    while not ended and time.monotonic() - start <= KILLED_AFTER:
        time.sleep(0.01)
        pid, status, usage = os.wait4(child, os.WNOHANG)
        ended = pid == child
    seconds = time.monotonic() - start
    if not ended:
        os.killpg(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
    assert usage is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    said = (root / "said").read_text(errors="replace")
    after = _listing(root)
    written = sorted(
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name) and not name.startswith(("said", *case.may_write))
    )
    code = os.waitstatus_to_exitcode(status)
    return Ended(case, code, seconds, usage.ru_maxrss << 10, said, written)


def _become(args: list[str], folder: Path, home: Path, said: Path) -> None:
    """In the forked process: run the command and leave, whatever happens."""
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(HOME=str(home), TMPDIR=str(home.parent / "tmp"), HF_LEROBOT_CALIBRATION=str(home / "cal"))
        (home.parent / "tmp").mkdir()
        tempfile.tempdir = None
        with said.open("w") as log, open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from policy_port.cli.app import app

        app(args, prog_name="policy-port")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # what a user would see as a traceback
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _listing(root: Path) -> dict[str, object]:
    """Every file below `root` with what tells a change, temporary files aside; links are not followed."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if name.split("/")[0] != "tmp" and not path.is_dir():
            about = path.lstat()
            found[name] = (about.st_mode, about.st_size, about.st_mtime_ns)
    return found
