"""Running a sweep: what is known is not played again, what is left is shared out among workers."""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import shutil
import threading
import time
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
"""A worker takes at most this part of its share of what is left: chunks get smaller, and all workers end together."""


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
        SuiteError: When two names of the grid stand for the same; nothing is played then.
    """
    keys, failures = _keys(sweep)
    kept = Kept(cache_folder(sweep), fresh=fresh)
    cached = set(kept.rows)
    cells = {
        cell: [(seed, hash_data([key, seed])) for seed in sweep.file.all_seeds] for cell, key in sorted(keys.items())
    }
    wanted = {key for cases in cells.values() for _, key in cases}
    with tqdm(
        total=len(wanted), initial=len(wanted & cached), unit="case", delay=2.0, leave=False, disable=None
    ) as bar:
        while left := {
            cell: todo for cell, cases in cells.items() if (todo := [c for c in cases if c[1] not in kept.rows])
        }:
            before = len(kept.rows)
            round_ = _Round(sweep=sweep, keys=keys, left=left, jobs=jobs, kept=kept, bar=bar)
            try:
                why = round_.play(performer or on_this_machine(jobs))
            except KeyboardInterrupt:
                raise StoppedSweepError(
                    f"{sweep.path.name}: stopped with {len(wanted & kept.rows.keys())} of {len(wanted)} cases done; "
                    "they are kept, and the same command goes on with the others"
                ) from None
            if len(kept.rows) == before:
                kept.rows |= {key: {"failure": why} for cases in left.values() for _, key in cases}
    outcomes = []
    for number, cell in enumerate(sweep.cells):
        for seed, key in cells.get(number) or [(seed, "") for seed in sweep.file.all_seeds]:
            row = kept.rows.get(key, {"failure": failures.get(number, "")})
            found = {name: row[name] for name in ("success", "error", "seconds", "simulator", "failure") if name in row}
            outcomes.append(Outcome(cell=cell, seed=seed, key=key, cached=key in cached, **found))
    return tuple(outcomes)


class Kept:
    """Outcomes on disk: a file a worker, a line an outcome, each by the hash of what it depends on."""

    def __init__(self, folder: Path, *, fresh: bool) -> None:
        self.folder, self._run = folder, secrets.token_hex(6)
        (folder / "rows").mkdir(exist_ok=True)
        for work in folder.glob("work-*"):
            # What a killed run has left; one that is under way is younger, or touches it with every chunk.
            if time.time() - work.stat().st_mtime > 24 * 3600.0:
                shutil.rmtree(work, ignore_errors=True)
        self._read: dict[Path, int] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        """What is known. Of earlier runs, failures are not: they are tried again."""
        if not fresh:
            self.rows = {key: row for key, row in self._new("*.jsonl") if "failure" not in row}

    def file(self, worker: int) -> Path:
        """Where a worker of this run writes."""
        return self.folder / "rows" / f"{self._run}-{worker}.jsonl"

    def collect(self) -> int:
        """Take up what this run's workers have written since; how many outcomes that are."""
        found = self._new(f"{self._run}-*.jsonl")
        self.rows.update(found)
        return len(found)

    def _new(self, pattern: str) -> list[tuple[str, dict[str, Any]]]:
        found = []
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
                    found.append((row["key"], row))
        return found


def _keys(sweep: Sweep) -> tuple[dict[int, str], dict[int, str]]:
    """The hash of each cell, or why there is none."""
    keys: dict[int, str] = {}
    failures: dict[int, str] = {}
    known: dict[str, Cell] = {}
    looked_at: dict[str, dict[str, str]] = {}
    for number, cell in enumerate(sweep.cells):
        try:
            keys[number] = cell_key(sweep, cell.play, looked_at)
        except PolicyPortError as error:
            failures[number] = str(error)
            continue
        twin = known.setdefault(keys[number], cell)
        if twin is not cell:
            what = next(axis for axis in cell.names if cell.names[axis] != twin.names[axis])
            keep = f"name one under `exclude: [{cell.policy.file}]`" if what == "checkpoints" else "keep one"
            raise SuiteError(
                f"{sweep.path}: {what} {twin.names[what]} and {cell.names[what]} are the same under two names, and "
                f"would count as two; {keep}"
            )
    return keys, failures


@dataclass(frozen=True, kw_only=True)
class _Round:
    """Workers share out what is left, until each has ended."""

    sweep: Sweep
    keys: Mapping[int, str]
    left: Mapping[int, Sequence[tuple[int, str]]]
    """Seeds and keys of each cell's cases."""
    jobs: int
    kept: Kept
    bar: tqdm[Any]

    def play(self, performer: Performer) -> str:
        """Play; returns why the last worker that did not end well has ended."""
        work = self.kept.folder / f"work-{secrets.token_hex(6)}"
        chunks = self._chunks()
        todo, why = self._jobs(work, min(self.jobs, len(chunks))), "no worker took it"
        try:
            for job in todo:
                Path(job.out).mkdir(parents=True)
            plays = [
                {"play": self.sweep.cells[cell].play.model_dump(mode="json"), "key": self.keys[cell]}
                for cell in self.left
            ]
            (work / TODO).write_text(json.dumps({"cells": plays, "chunks": chunks}), encoding="utf-8")
            with self._watched():
                for job, result in performer(todo):
                    said = [result[word] for word in ("crashed", "elsewhere", "failed", "skipped") if word in result]
                    why = said[0] if said else why
                    if said and job.begun.exists():
                        self.kept.rows.setdefault(job.begun.read_text(), {"failure": why})
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return why

    def _chunks(self) -> list[dict[str, Any]]:
        left, chunks = sum(map(len, self.left.values())), []
        for place, (cell, cases) in enumerate(self.left.items()):
            env = self.sweep.cells[cell].play.env
            together = 1 if env is None else env.num_envs
            while cases:
                size = max(1, left // (SHARES * self.jobs))
                # Environments play that many at a time anyway.
                size = -(-size // together) * together
                chunks.append({"cell": place, "cases": cases[:size]})
                left, cases = left - len(cases[:size]), cases[size:]
        return chunks

    def _jobs(self, work: Path, count: int) -> list[WorkerJob]:
        return [
            WorkerJob(
                sweep=str(self.sweep.path),
                out=str(work / f"out-{number}"),
                timeout=None,
                work=str(work),
                rows=str(self.kept.file(number)),
                ports=str(self.kept.folder / "ports"),
                number=number,
            )
            for number in range(count)
        ]

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Collect what workers write, as they write it."""
        ended = threading.Event()

        def collect() -> None:
            last = False
            while not last:
                last = ended.wait(0.5)
                self.bar.update(self.kept.collect())

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
