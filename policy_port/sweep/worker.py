"""A worker of a sweep, in a process of its own: it takes chunks of the cases that are left until none is.

Simulators and policies stay open between its cases, and each outcome is on disk before the next case begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from policy_port.errors import PolicyPortError, SuiteError, one_line
from policy_port.files import hash_data, hash_file, sha256, source_hash
from policy_port.regress import fingerprint
from policy_port.regress.advice import in_a_suite
from policy_port.regress.pilots import find_pilot
from policy_port.regress.play import ListFile, Play
from policy_port.regress.player import Player, open_plant, open_player
from policy_port.regress.process import Job, child_main, end_unless

TODO = "todo.json"
ROOMS = (*fingerprint.ROOMS, "sweep")
"""Rooms of this package that have a part in an outcome."""
OPEN_PLANTS = 4
"""Simulators that a worker keeps."""

_CONTENT_KNOWN = {"name", "checkpoint", "contract", "mapping", "schedule", "seed", "episodes", "timeout"}

_ASKED = {"name", "task", "commands", "seconds", "goals"}
"""Keys of a play that say nothing of files, so that their contents need no second look."""


def cell_key(sweep: ListFile, play: Play, looked_at: dict[str, dict[str, str]] | None = None) -> str:
    """Hash of all that the outcome of a seed depends on beside the seed: contents, not names of files.

    Args:
        sweep: The file that lists the play.
        play: The play.
        looked_at: Keeps what files hold, for plays that differ only in what is asked.

    Raises:
        PolicyPortError: When the mapping or the robot is not there.
    """
    looked_at = {} if looked_at is None else looked_at
    files = play.model_dump_json(exclude=_ASKED)
    if files not in looked_at:
        looked_at[files] = fingerprint.dependencies(sweep, play)
    asked = play.model_dump(mode="json", exclude=_CONTENT_KNOWN)
    if play.plant is not None and play.plant.robot is not None:
        # The dependencies hold the folder's robots; this says which of them it is.
        file = sweep.resolve(play.plant.robot)
        asked["plant"]["robot"] = hash_file(file) if file.is_file() else play.plant.robot
    return hash_data(
        {
            "dependencies": looked_at[files],
            "versions": fingerprint.versions(play),
            "source": source_hash(ROOMS),
            "asked": asked,
        }
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerJob(Job):
    """A worker's share of a sweep."""

    module: ClassVar[str] = "policy_port.sweep.worker"

    sweep: str
    """The sweep's file."""
    work: str
    """Folder of what is to be done, and of what the workers of this round have taken; without it they end."""
    rows: str
    """File that takes the outcomes, a line each."""
    ports: str
    """Folder that keeps the ports that were made."""
    number: int
    """Which of the workers."""

    @property
    def begun(self) -> Path:
        """Says which case the worker is at."""
        return Path(self.work) / f"begun-{self.number}"

    @property
    def depends(self) -> str:
        """Hash of what is to be done, and of the source and the versions that do it."""
        todo = Path(self.work) / TODO
        plays = [Play.model_validate(cell["play"]) for cell in json.loads(todo.read_text(encoding="utf-8"))["cells"]]
        versions = [fingerprint.versions(play) for play in {(p.plant and p.plant.simulator): p for p in plays}.values()]
        return hash_data([sha256(todo), versions, source_hash(ROOMS)])

    def perform(self) -> dict[str, Any]:
        """Work until nothing is left, the folder is gone, or a case takes too long."""
        since = [time.monotonic(), 600.0]

        def goes_on() -> bool:
            late = time.monotonic() - since[0] > since[1]
            if late:
                print(f"a case took longer than {since[1]:g} s; raise the timeout if it needs longer", file=sys.stderr)
            return not late and Path(self.work).is_dir()

        end_unless(goes_on)
        return self.do(since)

    def do(self, since: list[float]) -> dict[str, Any]:
        """Take chunks and play them.

        Args:
            since: Takes when the case began, and how long it may take [s].
        """
        todo = json.loads((Path(self.work) / TODO).read_text(encoding="utf-8"))
        with open(self.rows, "a", encoding="utf-8", buffering=1) as file, contextlib.closing(Bench(self)) as bench:
            for number in _tickets(Path(self.work), len(todo["chunks"])):
                chunk = todo["chunks"][number]
                cell = todo["cells"][chunk["cell"]]
                for seed, key in chunk["cases"]:
                    since[:] = time.monotonic(), cell["play"]["timeout"]
                    self.begun.write_text(key)
                    file.write(json.dumps({"key": key, **bench.outcome(cell, seed)}) + "\n")
        return {}


class Bench:
    """The simulators and the policy that are open."""

    def __init__(self, job: WorkerJob) -> None:
        self._sweep, self._ports = ListFile(Path(job.sweep)), Path(job.ports)
        self._plants: list[tuple[Any, Any]] = []
        self._pilot: tuple[Any, Any] = (None, None)
        self._cell: dict[str, Any] | None = None
        self._player: Player | None = None
        self._wrong = ""

    def outcome(self, cell: dict[str, Any], seed: int) -> dict[str, Any]:
        """Play a case; whatever goes wrong in it is its outcome."""
        began = time.perf_counter()
        if cell is not self._cell:
            self._turn_to(cell)
        if self._player is None:
            return {"failure": self._wrong}
        ready = time.perf_counter()
        try:
            played = self._player.play(seed, record=False)
        except Exception as error:
            text = _told(error)
            # What a simulator is like after an error nobody knows.
            self.close()
            return {"failure": text}
        return {
            "success": bool(played.success),
            "error": None if played.error is None else float(played.error),
            "seconds": time.perf_counter() - ready,
            "opening": ready - began,
            "simulator": self._player.simulator,
        }

    def close(self) -> None:
        """Close everything."""
        self._close_player()
        for _, plant in self._plants:
            plant.close()
        self._plants, self._cell = [], None

    def _turn_to(self, cell: dict[str, Any]) -> None:
        self._close_player()
        self._cell = cell
        try:
            self._player = self._opened(Play.model_validate(cell["play"]), cell["key"])
        except Exception as error:
            self._wrong = _told(error)

    def _opened(self, play: Play, key: str) -> Player:
        same = play.model_dump(exclude=_ASKED)
        known, pilot = self._pilot
        if known != same:
            if cell_key(self._sweep, play) != key:
                raise SuiteError("a file that it is made of changed while the sweep ran; run it again")
            try:
                _, pilot = find_pilot(self._sweep, play, self._ports, fingerprint.made_from(self._sweep, play))
            except PolicyPortError as error:
                # Whatever is asked of it, it can't be made.
                pilot = error
            self._pilot = same, pilot
        if isinstance(pilot, PolicyPortError):
            raise pilot
        if play.plant is None:
            return open_player(self._sweep, play, pilot)
        asked = (play.plant, pilot.contract)
        known = next((plant for one, plant in self._plants if one == asked), None)
        if known is None:
            known = open_plant(self._sweep, play, pilot.contract)
            self._plants.append((asked, known))
            if len(self._plants) > OPEN_PLANTS:
                self._plants.pop(0)[1].close()
        return open_player(self._sweep, play, pilot, known)

    def _close_player(self) -> None:
        if self._player is not None:
            self._player.close()
        self._player = None


def _told(error: Exception) -> str:
    if isinstance(error, PolicyPortError):
        # Where a port was being made tells nobody anything.
        return in_a_suite(re.sub(r"\.([0-9a-f]{32})\.[0-9a-f]{8}\.part", r"\1", str(error)))
    # Simulators raise what they like; the worker's log has where.
    traceback.print_exception(error)
    return f"{type(error).__name__}: {one_line(error)}"


def _tickets(work: Path, count: int) -> Iterator[int]:
    """Numbers that no other worker has taken."""
    for number in range(count):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(work / f"taken-{number}", os.O_CREAT | os.O_EXCL))
            yield number


if __name__ == "__main__":
    child_main(WorkerJob)
    # All is closed and on disk; torch alone would take a second to go.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
