"""Give every command files that nobody should trust, and count how it ends.

.venv/bin/python benchmarks/hostile.py                 the fixed inputs, then 500 drawn ones
.venv/bin/python benchmarks/hostile.py --only trace    one family of either

Good: exit 0 to 3 without a traceback (2 and 3 for the fixed inputs, every one of which is wrong), within the bounds,
and nothing written but what --out names. Each command runs in a process of its own, forked from one that has imported
everything, in a new folder that holds its input and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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


def warm_up() -> None:
    """Import what commands import, once: a process forked from this one starts at once."""
    import gc
    import importlib
    import pkgutil

    import torch

    import policy_port

    for library in (
        "lerobot.robots.so_follower",
        "matplotlib.pyplot",
        "mujoco",
        "onnx",
        "onnxruntime",
        "torch._dynamo",
    ):
        importlib.import_module(library)
    for room in (
        "checkpoints",
        "cli",
        "compare",
        "contract",
        "descriptors",
        "export",
        "port",
        "regress",
        "verdict",
    ):
        for found in pkgutil.walk_packages([f"{policy_port.__path__[0]}/{room}"], f"policy_port.{room}."):
            importlib.import_module(found.name)

    warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    torch.set_num_threads(1)
    # What is looked through for garbage is copied.
    gc.freeze()


def table(results: list[Ended], codes: tuple[int, ...]) -> Iterator[str]:
    """A row per family, then a line per input that was not good."""
    families: dict[str, list[Ended]] = defaultdict(list)
    for ended in results:
        families[ended.case.family].append(ended)
    families["all"] = results
    yield "| inputs | tried | good | refused (2, 3) | slowest | most memory |"
    yield "|---|---|---|---|---|---|"
    for family, rows in families.items():
        good = sum(not row.faults(codes) for row in rows)
        refused = sum(row.code in (2, 3) for row in rows)
        slowest, most = max(row.seconds for row in rows), max(row.memory for row in rows)
        yield f"| {family} | {len(rows)} | {good} | {refused} | {slowest:.1f} s | {most >> 20} MiB |"
    yield ""
    for row in results:
        if faults := row.faults(codes):
            yield f"- {row.case.family}, {row.case.name}: {', '.join(faults)}; {' '.join(row.said.split())[-300:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=int, default=500, help="number of inputs drawn by hypothesis")
    parser.add_argument("--no-fixed", action="store_true", help="leave the fixed inputs out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one family")
    parser.add_argument("--keep", type=Path, help="folder for the files of inputs that were not handled well")
    options = parser.parse_args()
    warm_up()
    from benchmarks.hostile_drawn import FAMILIES, draw
    from benchmarks.hostile_fixed import fixed
    from benchmarks.hostile_good import Good

    with tempfile.TemporaryDirectory() as scratch:
        good = Good.make(Path(scratch) / "good")
        root = Path(scratch) / "case"

        def tried(case: Case) -> Ended:
            ended = run(case, root)
            if options.keep and ended.faults((0, 1, 2, 3)):
                kept = options.keep / f"{case.family}-{case.name}".replace("/", "_")
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(root, kept, symlinks=True, ignore=lambda *_: ["tmp", "home"])
                (kept / "args").write_text(" ".join(case.args))
            return ended

        wanted = [] if options.no_fixed else fixed(good)
        results = [tried(case) for case in wanted if options.only in (None, case.family)]
        if results:
            print("## Fixed\n", *table(results, (2, 3)), sep="\n", flush=True)
        families = [family for family in FAMILIES if options.only in (None, family)]
        drawn = []
        for family in families if options.drawn else []:
            count = -(-options.drawn // len(families))
            drawn += draw(good, family, count, options.seed, tried)
        if drawn:
            print("\n## Drawn\n", *table(drawn, (0, 1, 2, 3)), sep="\n", flush=True)
    if any(row.faults((2, 3)) for row in results) or any(row.faults((0, 1, 2, 3)) for row in drawn):
        sys.exit(1)


if __name__ == "__main__":
    main()
