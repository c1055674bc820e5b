"""Tests in forks of the process that collected them: `pytest --forks 3`.

What the tests import and how they are collected is paid for once; each of xdist's workers does it anew. A fork takes a
file's tests together and stays in a folder, as both share fixtures. Tests in real time run last, one at a time.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import itertools
import os
import signal
import tempfile
import traceback
from collections import defaultdict, deque
from collections.abc import Iterable
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import FDCapture

QUIET = 1.0
"""After so long without a word it is looked whether all forks are alive [s]."""

Tests = list[pytest.Item]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forks", type=int, default=0, help="run the tests in so many forks of this process")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    options = session.config.option
    if not options.forks or options.collectonly or session.testsfailed:
        return None
    # What is here now is everybody's: whoever looked through it for garbage would get a copy of his own.
    session.config._tmp_path_factory.getbasetemp()
    gc.collect()
    gc.freeze()
    alone = [item for item in session.items if item.get_closest_marker("real_time")]
    beside = [item for item in session.items if not item.get_closest_marker("real_time")]
    for items, count in ((beside, options.forks), (alone, 1)):
        _Run(session, items).perform(count)
    return True


class _Fork:
    """A process that tests."""

    def __init__(self, session: pytest.Session, first: Tests) -> None:
        self.line, far = Pipe()
        self.todo = deque(first)
        """What it has been given and not begun."""
        self.folder = first[0].path.parent
        self.now = first[0]
        """What it is at."""
        self.said = ""
        """How it ends: `done`, or why it can't go on; nothing where something has ended it."""
        self.pid = os.fork()
        if not self.pid:
            self.line.close()
            _test(session, far, first)
        far.close()


class _Run:
    """Tests by file and folder, and the forks that have them."""

    def __init__(self, session: pytest.Session, items: Tests) -> None:
        self._session, self._hook = session, session.config.hook
        self._places = {item: place for place, item in enumerate(session.items)}
        files: dict[Path, Tests] = defaultdict(list)
        for item in items:
            files[item.path].append(item)
        self._folders: dict[Path, list[Tests]] = defaultdict(list)
        # Whoever takes long begins early.
        for tests in sorted(files.values(), key=_slow, reverse=True):
            self._folders[tests[0].path.parent].append(tests)
        self._forks: list[_Fork] = []

    def perform(self, count: int) -> None:
        """Run all; a test whose process dies has failed, and another process goes on behind it."""
        for _ in range(count):
            self._start(self._next(None))
        try:
            while self._forks and not (self._session.shouldfail or self._session.shouldstop):
                wait([fork.line for fork in self._forks], QUIET)
                for fork in [*self._forks]:
                    # In this order: what it said before it ended is heard.
                    ended, status = os.waitpid(fork.pid, os.WNOHANG)
                    self._listen(fork)
                    if ended:
                        self._end(fork, status)
        finally:
            for fork in self._forks:
                os.kill(fork.pid, signal.SIGTERM)
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _start(self, tests: Tests) -> None:
        if tests:
            self._forks.append(_Fork(self._session, tests))

    def _next(self, folder: Path | None) -> Tests:
        """A file's tests: of the same folder, else of the slowest in which nobody is; none where none is left."""
        left = [place for place, files in self._folders.items() if files]
        if not left:
            return []
        if folder not in left:
            taken = {fork.folder for fork in self._forks}
            folder = max(left, key=lambda place: (place not in taken, *_slow(itertools.chain(*self._folders[place]))))
        return self._folders[folder].pop(0)

    def _listen(self, fork: _Fork) -> None:
        with contextlib.suppress(EOFError, OSError):
            while fork.line.poll():
                word, what = fork.line.recv()
                if word == "begins":
                    fork.now = fork.todo.popleft()
                elif word == "more":
                    tests = self._next(fork.folder)
                    fork.folder = tests[0].path.parent if tests else fork.folder
                    fork.todo.extend(tests)
                    fork.line.send([self._places[item] for item in tests])
                elif word == "ends":
                    fork.said = what
                else:
                    report = self._hook.pytest_report_from_serializable(config=self._session.config, data=what)
                    self._hook.pytest_runtest_logreport(report=report)

    def _end(self, fork: _Fork, status: int) -> None:
        self._forks.remove(fork)
        fork.line.close()
        if fork.said == "done" and not status:
            return
        said = fork.said or f"its process ended with status {os.waitstatus_to_exitcode(status)}"
        at, name = fork.now.location, fork.now.nodeid
        self._hook.pytest_runtest_logreport(report=pytest.TestReport(name, at, {}, "failed", said, "call"))
        self._start([*fork.todo])


class _Teller:
    """Tells how a fork's tests end."""

    def __init__(self, config: pytest.Config, line: Connection) -> None:
        self._config, self._line = config, line

    def pytest_runtest_logreport(self, report: Any) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._line.send(("report", data))


def _slow(tests: Iterable[pytest.Item]) -> tuple[int, int]:
    tests = [*tests]
    return sum(item.get_closest_marker("slow") is not None for item in tests), len(tests)


def _test(session: pytest.Session, line: Connection, first: Tests) -> None:
    """In the fork: do the tests, and leave."""
    status = 1
    try:
        config = session.config
        # Files and folders that the forks would share: what tests print, what is told of them, where they write.
        capture, terminal = (config.pluginmanager.getplugin(name) for name in ("capturemanager", "terminalreporter"))
        for caught in (capture._global_capturing.out, capture._global_capturing.err):
            if isinstance(caught, FDCapture):
                # Others may hold the stream, as logging does: the same one, with another file behind it.
                with tempfile.TemporaryFile(buffering=0) as mine:
                    os.dup2(mine.fileno(), caught.tmpfile.fileno())
                    os.dup2(mine.fileno(), caught.targetfd)
        terminal._tw._file = io.StringIO()
        folders = config._tmp_path_factory
        folders._basetemp = folders.getbasetemp() / f"fork{os.getpid()}"
        folders._basetemp.mkdir()
        config.pluginmanager.register(_Teller(config, line))
        todo = deque(first)
        while todo:
            item = todo.popleft()
            line.send(("begins", None))
            if not todo:
                line.send(("more", None))
                todo.extend(session.items[place] for place in line.recv())
            config.hook.pytest_runtest_protocol(item=item, nextitem=todo[0] if todo else None)
        atexit._run_exitfuncs()
        line.send(("ends", "done"))
        status = 0
    except BaseException:
        line.send(("ends", traceback.format_exc()))
    finally:
        os._exit(status)
