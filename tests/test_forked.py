"""Claims about tests in forks: none is lost, whatever one of them does to its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import os
import time

import pytest


@pytest.fixture
def breaks():
    yield
    raise RuntimeError("at the end")


def test_passes(capfd):
    os.system("echo said")
    assert capfd.readouterr().out == "said\\n"


def test_fails():
    print("a", "word")
    assert {number} == 0


def test_breaks(breaks):
    pass


def test_leaves():
    os._exit(0)


@pytest.mark.slow
def test_dies():
    os.kill(os.getpid(), 9)


def test_goes_on():
    time.sleep(0.2)
    open("{number}", "w").close()


@pytest.mark.real_time
def test_is_alone():
    assert os.path.exists("1") and os.path.exists("2")
"""


def test_every_test_has_its_end(tmp_path: Path) -> None:
    """A failure is told with what it printed, a process that dies or leaves is its test's failure and the file goes on;
    tests in real time come when the others have ended.
    """
    for number in (1, 2):
        (tmp_path / f"test_{number}.py").write_text(TESTS.format(number=number))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow\n    real_time\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "forked", "-p", "no:cacheprovider", "--forks", "2"]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "6 failed, 8 passed, 2 errors" in done.stdout, done.stdout
    told = {line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))}
    ends = ("FAILED", "fails"), ("FAILED", "leaves"), ("FAILED", "dies"), ("ERROR", "breaks")
    assert told == {f"{how} test_{number}.py::test_{name}" for how, name in ends for number in (1, 2)}
    assert done.stdout.count("a word") == 2
    assert done.stdout.count(" - its process ended with status 0") == 2
    assert done.stdout.count(" - its process ended with status -9") == 2
