"""Running a sweep: what is known is not played again, what is left is shared out among workers."""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from policy_port.errors import PolicyPortError, StoppedSweepError, SuiteError
from policy_port.files import hash_data
from policy_port.regress.process import Performer, on_this_machine
from policy_port.regress.run import cache_folder
from policy_port.sweep.document import Cell, Sweep
from policy_port.sweep.worker import TODO, WorkerJob, cell_key

SHARES = 8
"""Chunks a worker at least, so that all end at about the same time."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A case and what came of it."""

    cell: Cell
    seed: int
    success: bool | None = None
    """Whether the task was fulfilled, or the robot did not fall; None where the case failed."""
    error: float | None = None
    """Distance at the end [m], or error of the velocity [m/s]; None where the task tells none."""
    seconds: float = math.nan
    """How long it took [s]."""
    simulator: str = ""
    """Which one, version and backend."""
    failure: str = ""
    """Why it could not be played."""
    key: str = ""
    """Hash of all that it depends on."""
    cached: bool = False
    """Whether an earlier run had played it, on the same of everything."""


def run_sweep(
    sweep: Sweep, *, jobs: int, fresh: bool = False, performer: Performer | None = None
) -> tuple[Outcome, ...]:
    """Play every case that no earlier run has played.

    Args:
        sweep: The sweep.
        jobs: Workers at a time.
        fresh: Play all of them again.
        performer: Who runs the workers; this machine, if None.

    Returns:
        Outcomes in the order of the grid.

    Raises:
        SuiteError: When two plants are the same one; nothing is played then.
    """
    keys, failures = _keys(sweep)
    store = Rows(cache_folder(sweep))
    known = {} if fresh else {key: row for key, row in store.earlier().items() if "failure" not in row}
    cached = set(known)
    cells = {
        cell: [(seed, hash_data([key, seed])) for seed in sweep.file.all_seeds] for cell, key in sorted(keys.items())
    }
    wanted = {key for cases in cells.values() for _, key in cases}
    with _bar(len(wanted), len(wanted & cached)) as bar:
        while left := {
            cell: todo for cell, cases in cells.items() if (todo := [c for c in cases if c[1] not in known])
        }:
            try:
                found, why = _round(sweep, keys, left, jobs, performer or on_this_machine(jobs), store, bar)
            except KeyboardInterrupt:
                raise StoppedSweepError(
                    f"{sweep.path.name}: stopped with {bar.n} of {len(wanted)} cases done; they are kept, and the same "
                    "command goes on with the others"
                ) from None
            known |= found
            if not found:
                known |= {key: {"failure": why} for cases in left.values() for _, key in cases}
    outcomes = []
    for number, cell in enumerate(sweep.cells):
        for seed, key in cells.get(number) or [(seed, "") for seed in sweep.file.all_seeds]:
            row = known.get(key, {"failure": failures.get(number, "")})
            found = {name: row[name] for name in ("success", "error", "seconds", "simulator", "failure") if name in row}
            outcomes.append(Outcome(cell=cell, seed=seed, key=key, cached=key in cached, **found))
    return tuple(outcomes)


class Rows:
    """Outcomes on disk: a file a worker, a line an outcome, each by the hash of what it depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, secrets.token_hex(6)
        (folder / "rows").mkdir(exist_ok=True)
        self._read: dict[Path, int] = {}

    def file(self, worker: int) -> Path:
        """Where a worker of this run writes."""
        return self.folder / "rows" / f"{self.run}-{worker}.jsonl"

    def earlier(self) -> dict[str, dict[str, Any]]:
        """What other runs have found."""
        return self._new("*.jsonl")

    def new(self) -> dict[str, dict[str, Any]]:
        """What this run has found since it was last asked."""
        return self._new(f"{self.run}-*.jsonl")

    def _new(self, pattern: str) -> dict[str, dict[str, Any]]:
        found = {}
        for path in sorted((self.folder / "rows").glob(pattern)):
            with open(path, "rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
            # The last line of a killed worker may be cut; that of a living one is not yet whole.
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    found[row["key"]] = row
        return found


def _keys(sweep: Sweep) -> tuple[dict[int, str], dict[int, str]]:
    """The hash of each cell, or why there is none."""
    keys, failures, plants = {}, {}, {}
    for number, cell in enumerate(sweep.cells):
        try:
            keys[number] = cell_key(sweep, cell.play)
        except PolicyPortError as error:
            failures[number] = str(error)
            continue
        twin = plants.setdefault(keys[number], cell.plant)
        if twin != cell.plant:
            raise SuiteError(f"{sweep.path}: plants '{twin}' and '{cell.plant}' are the same robot in the same "
                             "simulator; keep one")  # fmt: skip
    return keys, failures


def _round(
    sweep: Sweep,
    keys: Mapping[int, str],
    left: Mapping[int, Sequence[tuple[int, str]]],
    jobs: int,
    performer: Performer,
    store: Rows,
    bar: tqdm[Any],
) -> tuple[dict[str, Any], str]:
    """Let workers play what is left, until each has ended: what they found, and why one ended that found nothing."""
    work = store.folder / f"work-{secrets.token_hex(6)}"
    cells = {number: place for place, number in enumerate(left)}
    size = max(1, sum(map(len, left.values())) // (SHARES * jobs))
    chunks = []
    for number, cases in left.items():
        env = sweep.cells[number].play.env
        step = size if env is None else -(-size // env.num_envs) * env.num_envs
        chunks += [{"cell": cells[number], "cases": cases[at : at + step]} for at in range(0, len(cases), step)]
    plays = [{"play": sweep.cells[number].play.model_dump(mode="json"), "key": keys[number]} for number in left]
    found: dict[str, Any] = {}
    why = "no worker took it"
    try:
        todo = []
        for worker in range(min(jobs, len(chunks))):
            (out := work / f"out-{worker}").mkdir(parents=True)
            todo.append(
                WorkerJob(
                    sweep=str(sweep.path),
                    out=str(out),
                    timeout=None,
                    work=str(work),
                    rows=str(store.file(worker)),
                    ports=str(store.folder / "ports"),
                    number=worker,
                )
            )
        (work / TODO).write_text(json.dumps({"cells": plays, "chunks": chunks}), encoding="utf-8")
        with _watched(store, found, bar):
            for job, result in performer(todo):
                if said := next(
                    (result[word] for word in ("crashed", "elsewhere", "failed", "skipped") if word in result), ""
                ):
                    why = said
                    if job.begun.exists() and (at := job.begun.read_text()) not in found:
                        found[at] = {"failure": said}
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return found, why


@contextlib.contextmanager
def _watched(store: Rows, found: dict[str, Any], bar: tqdm[Any]) -> Iterator[None]:
    """Collect what workers write, as they write it."""
    ended = threading.Event()

    def collect() -> None:
        while True:
            last = ended.wait(0.5)
            new = store.new()
            found.update(new)
            bar.update(len(new))
            if last:
                return

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _bar(total: int, done: int) -> tqdm[Any]:
    return tqdm(total=total, initial=done, unit="case", delay=2.0, leave=False, disable=None)
