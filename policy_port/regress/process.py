"""A job in a process of its own: starting it, what the process does first, and telling how it ended."""

from __future__ import annotations

import abc
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, ClassVar

RESULT = "result.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(abc.ABC):
    """What a process is to do; plain data."""

    module: ClassVar[str]
    """What Python runs."""
    out: str
    """Existing folder for what comes out."""
    timeout: float | None
    """Seconds after which the process is killed; never, if None."""

    @property
    @abc.abstractmethod
    def depends(self) -> str:
        """Hash of what must be the same on every machine that does a share of the work."""

    @abc.abstractmethod
    def perform(self) -> dict[str, Any]:
        """Do it, in the process that was started for it."""


Performer = Callable[[Sequence[Any]], Iterator[tuple[Any, dict[str, Any]]]]
"""Runs jobs and gives each back with its result, in the order in which they end."""


def on_this_machine(jobs: int) -> Performer:
    """Run up to `jobs` processes here."""

    def run(todo: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
        processes: list[subprocess.Popen[bytes]] = []
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            running = {pool.submit(perform, job, processes.append): job for job in todo}
            try:
                for ended in as_completed(running):
                    yield running[ended], ended.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                # Nobody waits for the end of what nobody wants any more.
                for process in processes:
                    process.kill()
                raise

    return run


def perform(job: Job, on_start: Callable[[subprocess.Popen[bytes]], None] = lambda process: None) -> dict[str, Any]:
    """Run a job to its end.

    Args:
        job: The job.
        on_start: Called with its process.

    Returns:
        What the process wrote, or {"crashed": how it ended}; and "seconds" that it took.
    """
    started = time.monotonic()
    out = Path(job.out)
    (out / "job.json").write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
    # One thread each: as many cases run side by side as the user asks for, and sums keep their order.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment.setdefault("MPLBACKEND", "Agg")
    with open(out / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", job.module, str(out / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        on_start(process)
        try:
            code = process.wait(job.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
    seconds = time.monotonic() - started
    if code == 0 and (out / RESULT).is_file():
        return {**json.loads((out / RESULT).read_text(encoding="utf-8")), "seconds": seconds}
    return {"crashed": _how(code, job.timeout, out / "log.txt"), "seconds": seconds}


def child_main(kind: type[Job]) -> None:
    """Do the job that the command line names; what `python -m` of its module runs."""
    end_unless(_same_parent())
    do(kind(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


def do(job: Job) -> None:
    """Do a job and write what came out; a misuse is a result too."""
    from policy_port.errors import MissingDependencyError, PolicyPortError
    from policy_port.regress.advice import in_a_suite

    try:
        result = job.perform()
    except MissingDependencyError as error:
        result = {"skipped": in_a_suite(str(error))}
    except PolicyPortError as error:
        result = {"failed": in_a_suite(str(error))}
    (Path(job.out) / RESULT).write_text(json.dumps(result), encoding="utf-8")


def end_unless(goes_on: Callable[[], bool]) -> None:
    """End this process as soon as that is no longer so: a run that is killed leaves no simulators behind."""

    def watch() -> None:
        while goes_on():
            time.sleep(1.0)
        sys.stderr.flush()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _same_parent() -> Callable[[], bool]:
    parent = os.getppid()
    return lambda: os.getppid() == parent


def _how(code: int | None, timeout: float | None, log: Path) -> str:
    if code is None:
        return f"its process was killed after {timeout:g} s; raise the case's timeout if it needs longer"
    if code < 0:
        return f"its process crashed with {signal.Signals(-code).name}"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"its process ended with status {code}: {lines[-1].strip() if lines else 'it said nothing'}"
