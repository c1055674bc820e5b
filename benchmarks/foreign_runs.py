"""What the runs inside another program's environment share: its interpreter, policy-port's own commands, the table.

Isaac Lab and mjlab pin other versions of torch, mujoco and warp than this project, so each has an environment of its
own (`other_python` of scripts/setup makes it) in which policy-port is not installed. A script of ours runs there and
leaves files; the commands here read them, as a user's would.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TRACE = ROOT / "policy_port" / "trace.py"
"""The recorder, one file that needs only NumPy: a script in the other environment imports it by its path."""

TAIL = 25
"""Lines of what a run said that are shown when it failed."""

NOT_VERIFIED = 3
"""Exit status of `verify` where a comparison that a verdict needs could not be made."""


class RunError(Exception):
    """A run ended otherwise than it should; its message is for whoever started the benchmark."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    words: tuple[str, ...]
    """The command, as it was given."""
    status: int
    """Exit status."""
    said: str
    """What it printed to its output."""
    seconds: float
    """How long it took [s]."""

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.words)


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """The Python of another program's environment."""

    python: Path
    """Its executable."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the program needs."""

    def run(self, script: Path, *arguments: str | Path, log: Path, seconds: float = 1800.0) -> Done:
        """Run a script of ours there; what it prints goes to `log`.

        Raises:
            RunError: When it fails or takes longer than `seconds`; the end of the log is part of the message.
        """
        words = (str(self.python), str(script), *map(str, arguments))
        log.parent.mkdir(parents=True, exist_ok=True)
        # PYTHONPATH may lead to packages of this environment, which the other one must not see.
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        began = time.monotonic()
        with log.open("w", encoding="utf-8") as opened:
            try:
                done = subprocess.run(
                    words,
                    env={**variables, **self.environment, "POLICY_PORT_TRACE": str(TRACE)},
                    stdin=subprocess.DEVNULL,
                    stdout=opened,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                )
            except subprocess.TimeoutExpired:
                raise RunError(f"{script.name} was stopped after {seconds:g} s; {log}:\n{_end(log)}") from None
            except OSError as error:
                raise RunError(f"{self.python} can't be run: {error}") from None
        if done.returncode != 0:
            raise RunError(f"{script.name} ended with status {done.returncode}; {log}:\n{_end(log)}")
        said = log.read_text(encoding="utf-8", errors="replace")
        return Done(words=words, status=0, said=said, seconds=time.monotonic() - began)

    def versions(self, packages: Iterable[str]) -> list[str]:
        """Name and version of each package, or that it is absent.

        Raises:
            RunError: When the interpreter can't be run.
        """
        code = (
            "import importlib.metadata as m, sys\n"
            "for name in sys.argv[1:]:\n"
            "    try: print(name, m.version(name))\n"
            "    except m.PackageNotFoundError: print(name, 'absent')\n"
        )
        try:
            done = subprocess.run([str(self.python), "-c", code, *packages], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RunError(f"{self.python} can't be run: {error}") from None
        return done.stdout.splitlines()


def interpreter(
    name: str, variable: str, *requirements: str, environment: Mapping[str, str] | None = None
) -> Interpreter:
    """The other program's interpreter: of the environment that a variable names, or of one that is made here.

    Args:
        name: Folder of the checkout to make it in, such as `.venv-isaaclab`; it is kept for the next time.
        variable: Environment variable that may name another folder.
        requirements: What pip installs there, from the package index.
        environment: Variables that the program needs.

    Raises:
        RunError: When it can't be made; what was tried stands on the console.
    """
    call = ["bash", "-c", 'source scripts/setup; other_python_once "$@"', "setup", name, variable, *requirements]
    done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RunError(f"no environment with {', '.join(requirements)}, for the reason above; {variable} may name one")
    return Interpreter(python=Path(done.stdout.strip()), environment=environment or {})


def _end(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:])


def policy_port(*arguments: str | Path, expect: Sequence[int] = (0,)) -> Done:
    """Run a command of policy-port in this environment, as a user would.

    Args:
        arguments: What comes after `policy-port`.
        expect: Exit statuses that are no failure.

    Raises:
        RunError: When it ends with another status; what it said is part of the message.
    """
    words = tuple(map(str, arguments))
    call = [sys.executable, "-c", "from policy_port.cli.app import main; main()", *words]
    began = time.monotonic()
    ran = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "COLUMNS": "200"})
    done = Done(words=("policy-port", *words), status=ran.returncode, said=ran.stdout, seconds=time.monotonic() - began)
    if ran.returncode not in expect:
        said = f"{ran.stdout}{ran.stderr}".strip()
        raise RunError(f"{done.command}\nended with status {ran.returncode}:\n{said}")
    return done


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What `verify` said of a port and a trace."""

    status: int
    """Its exit status: 0 verified, 1 wrong, 3 not verified."""
    equal: int
    """Comparisons that agree."""
    compared: int
    """All comparisons, those that could not be made included."""
    wrong: tuple[str, ...]
    """Labels of those that differ."""
    unmade: tuple[str, ...]
    """Labels of those that could not be made."""
    action_error: float
    """Largest difference of the action; NaN where it was not compared."""
    said: str
    """The verdict in one sentence."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Largest difference of each comparison that was made, by its label."""

    @property
    def cell(self) -> str:
        """For a table: how many agree of how many, and which do not."""
        others = [*(f"{label} wrong" for label in self.wrong), *(f"{label} not compared" for label in self.unmade)]
        return f"{self.equal} of {self.compared}" + (f" ({', '.join(others)})" if others else "")


def verify(port: Path, trace: Path, *options: str) -> Verified:
    """Hold a port against a trace by `policy-port verify --json`.

    Raises:
        RunError: When the command can't judge.
    """
    done = policy_port("verify", port, "--trace", trace, *options, "--json", expect=(0, 1, NOT_VERIFIED))
    found = json.loads(done.said)
    labels = {
        status: tuple(check["label"] for check in found["checks"] if check["status"] == status)
        for status in ("equal", "wrong", "unchecked")
    }
    errors = {check["label"]: check["error"] for check in found["checks"] if check["status"] != "unchecked"}
    return Verified(
        status=done.status,
        equal=len(labels["equal"]),
        compared=len(found["checks"]),
        wrong=labels["wrong"],
        unmade=labels["unchecked"],
        action_error=errors.get("action", float("nan")),
        said=found["verdict"],
        errors=errors,
    )


def flags(done: Done, taken: Sequence[str] = ("--out", "--force")) -> str:
    """The options of a command that a user has to think of, `taken` left out; "none" where there are no others."""
    kept, words = [], list(done.words)
    for index, word in enumerate(words):
        if word.startswith("--") and word.split("=")[0] not in taken:
            follows = words[index + 1 : index + 2]
            kept.append(" ".join([word, *(shlex.quote(value) for value in follows if not value.startswith("--"))]))
    return " ".join(kept) or "none"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]


def chosen(names: str, known: Iterable[str], parser: argparse.ArgumentParser, option: str) -> list[str]:
    """The names that an option lists with commas, in the order of `known`; all, if empty. Ends on any other name."""
    known = list(known)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"{option}: {', '.join(unknown)} is not among {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]
