"""A remedy that a message names and what obeying it means: the words in which this folder's tables are written."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app

Change = Callable[[Path, pytest.MonkeyPatch], None]
"""What is done in the workspace: files that change, a package that is gone."""


class Trial(NamedTuple):
    """One message and its remedy."""

    command: str
    """What is called first; names of files stand in the workspace. What it refuses leaves no `new` behind."""
    says: str
    """Part of the message, as it stands in the source: {} is what is filled in."""
    obeyed: str
    """What is called then: without the message, it works."""
    ends: str | None = None
    """What that says where it gets no further than another mistake; None where it works."""
    before: Change | None = None
    """What is wrong with the machine or the files during the first call."""


class Note(NamedTuple):
    """A message that quotes options which were given, so that there is nothing to obey."""

    command: str
    says: str


def run(command: str) -> tuple[int, str]:
    """Exit status and all that was printed, in one line."""
    return _doctor() if command == "doctor" else _run(command)


@cache
def _doctor() -> tuple[int, str]:
    """It looks at the machine, which takes seconds, and writes nothing."""
    return _run("doctor")


def _run(command: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, shlex.split(command))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


def made(command: str) -> None:
    """Make something that trials need; it must work."""
    code, said = run(command)
    assert code == 0, f"{command}: {said}"


def shown(says: str) -> re.Pattern[str]:
    """The text as a message has it."""
    return re.compile(".*?".join(map(re.escape, " ".join(says.split()).split("{}"))))


def without(*packages: str) -> Change:
    """A machine on which packages are not installed."""

    def change(_: Path, machine: pytest.MonkeyPatch) -> None:
        for package in packages:
            machine.setitem(sys.modules, package, None)

    return change
