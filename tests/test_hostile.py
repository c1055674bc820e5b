"""Claims about files that nobody should trust: refused soon, in a sentence, and nothing else is written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import hostile_case
from benchmarks.hostile_case import Case, run

ROOT = Path(__file__).parents[1]


def test_files_with_a_changed_structure_end_in_a_message() -> None:
    """Two drawn inputs of each kind: no traceback, no hang, no file beside --out; the right one passes."""
    command = [sys.executable, "-W", "ignore", "benchmarks/hostile.py", "--no-fixed", "--drawn", "44", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "| all | 44 | 44 |" in done.stdout


def fails() -> None:
    raise RuntimeError("a bug")


def writes() -> None:
    Path("../canary").write_text("changed")
    sys.exit("wrong")


def leaves() -> None:
    Path("left_over").write_text("half")
    print("error: x")
    sys.exit(2)


def hangs() -> None:
    time.sleep(60)


def grows() -> None:
    print(len(bytearray(os.urandom(1) * (hostile_case.MOST_MEMORY + (64 << 20)))))


@pytest.fixture(autouse=True)
def what_the_tests_hold_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case is forked from this process, and all that its tests have loaded counts as the case's memory."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    monkeypatch.setattr(hostile_case, "MOST_MEMORY", hostile_case.MOST_MEMORY + own)


@pytest.mark.parametrize(
    ("bug", "fault"),
    [
        (fails, "traceback"),
        (lambda: sys.exit(7), "exit 7"),
        (lambda: sys.exit(2), "no message"),
        (writes, "wrote canary"),
        (leaves, "wrote here/left_over"),
        (hangs, "hung"),
        (grows, " MiB"),
    ],
    ids=["traceback", "exit status", "silence", "a file outside", "a file left behind", "a hang", "memory"],
)
@pytest.mark.filterwarnings("ignore:.*fork")
def test_the_benchmark_sees_each_kind_of_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: Callable[[], object], fault: str
) -> None:
    """A command that fails in one of the ways that it looks for is counted as a fault of that kind."""
    monkeypatch.setattr("policy_port.cli.app.app", lambda args, prog_name: bug())
    monkeypatch.setattr(hostile_case, "KILLED_AFTER", 1.0)
    monkeypatch.setattr(hostile_case, "MOST_MEMORY", 1 << 29)
    ended = run(Case("x", "x", [], lambda folder: None), tmp_path / "case")
    assert any(found.endswith(fault) for found in ended.faults((0, 1, 2, 3))), (ended.faults((0, 1, 2, 3)), ended)


def test_a_refusal_in_a_sentence_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2 with a message, and a file under --out, are as they should be."""

    def refuses(args: list[str], prog_name: str) -> None:
        Path("out").mkdir()
        Path("out/report").write_text("x")
        print("error: no")
        sys.exit(2)

    monkeypatch.setattr("policy_port.cli.app.app", refuses)
    assert run(Case("x", "x", [], lambda folder: None), tmp_path / "case").faults((2, 3)) == []
