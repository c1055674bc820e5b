"""Claims about running suites: crashes stay in their case, skips are never passes, finished work is kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import SuiteError
from policy_port.regress import fingerprint, load_suite, process
from policy_port.regress.run import run_suite
from policy_port.regress.update import update_suite
from policy_port.regress.verdict import exit_status
from policy_port.sweep.document import load_sweep
from policy_port.sweep.run import run_sweep
from tests.regress.conftest import here
from tests.regress.toy import meddle, write_cases, write_toy
from tests.sweep.toy import inline
from tests.sweep.toy import write_toy as write_toy_sweep
from tests.test_rooms import PACKAGE, ROOMS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two equal cases with its baselines."""
    pytest.importorskip("mujoco")
    suite = write_toy(tmp_path_factory.mktemp("toy"), "first", "second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "perform", here)
        updated = update_suite(load_suite(suite))
    assert [item.written for item in updated] == [True, True]
    return suite


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """For claims that are not about processes."""
    monkeypatch.setattr(process, "perform", here)


@pytest.fixture
def suite(accepted: Path, tmp_path: Path) -> Path:
    shutil.copytree(accepted.parent, tmp_path / "toy")
    return tmp_path / "toy" / accepted.name


def test_a_crash_fails_one_case(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends by a signal, by an exception or not at all is named; the other cases are judged."""
    write_cases(suite.parent, "first", "second", timeout=60)
    meddle(suite.parent, monkeypatch, second="os.kill(os.getpid(), signal.SIGSEGV)")
    first, second = run_suite(load_suite(suite))
    assert first.status == "pass"
    assert second.sentence == "second: regression: its process crashed with SIGSEGV."
    assert exit_status([first, second], fail_on_skip=False) == 1
    # A crash is not kept: the next run tries again.
    monkeypatch.setenv("PYTHONPATH", "")
    again = run_suite(load_suite(suite))
    assert [(verdict.status, verdict.cached) for verdict in again] == [("pass", True), ("pass", False)]


def test_an_exception_and_a_hang_are_told_apart(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a traceback; the time that was waited."""
    write_cases(suite.parent, "first", "second", timeout=4)
    meddle(suite.parent, monkeypatch, first="sys.stderr.write('boom\\n'); os._exit(7)", second="time.sleep(60)")
    first, second = run_suite(load_suite(suite), jobs=2)
    assert first.sentence == "first: regression: its process ended with status 7: boom."
    assert "its process was killed after 4 s" in second.sentence


def test_what_a_killed_run_has_finished_is_kept(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After kill -9 the second run judges only the case that was in the works."""
    started = suite.parent / "started"
    code = f"open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(120)"
    meddle(suite.parent, monkeypatch, second=code)
    command = [sys.executable, "-c", "from policy_port.cli.app import main; main()", "regress", str(suite)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ))
    try:
        waited = time.monotonic() + 120
        # Both cases run at once, and on a busy machine the first may end long after the second has begun.
        while not (started.exists() and started.read_text() and [*suite.parent.glob(".regress_cache/*/first.json")]):
            assert time.monotonic() < waited
            time.sleep(0.2)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    os.kill(int(started.read_text()), signal.SIGKILL)
    monkeypatch.setenv("PYTHONPATH", "")
    found = run_suite(load_suite(suite))
    assert [(verdict.case, verdict.status, verdict.cached) for verdict in found] == [
        ("first", "pass", True),
        ("second", "pass", False),
    ]


def test_unchanged_cases_are_not_run_again(suite: Path, run_here: None) -> None:
    """Until anything they depend on changes: the robot, here; --fresh runs them all the same."""
    judged: list[str] = []

    def watch(todo: Any) -> Any:
        from policy_port.regress.process import on_this_machine

        judged.extend(job.case for job in todo)
        return on_this_machine(1)(todo)

    run_suite(load_suite(suite), performer=watch)
    run_suite(load_suite(suite), performer=watch)
    assert judged == ["first", "second"]
    robot = suite.parent / "toy.xml"
    robot.write_text(robot.read_text().replace("0 0 -0.1", "0 0 -0.3"))
    found = run_suite(load_suite(suite), performer=watch)
    assert judged == ["first", "second"] * 2
    assert "the robot changed" in found[0].sentence
    assert found[0].status == "regression"
    assert "leaves the stored one at step" in found[0].sentence
    run_suite(load_suite(suite), performer=watch, only=["second"], fresh=True)
    assert judged[4:] == ["second"]


def test_a_case_that_can_not_run_is_skipped_and_never_passed(suite: Path, run_here: None) -> None:
    """With the reason; alone it is inconclusive, beside a pass only with --fail-on-skip."""
    write_cases(suite.parent, "first", needs=["../elsewhere"])
    (skipped,) = run_suite(load_suite(suite))
    assert skipped.sentence == "first: skipped: needs ../elsewhere, which is not here."
    assert exit_status([skipped], fail_on_skip=False) == 3
    write_cases(suite.parent, "second")
    (passed,) = run_suite(load_suite(suite))
    assert exit_status([skipped, passed], fail_on_skip=False) == 0
    assert exit_status([skipped, passed], fail_on_skip=True) == 3


def test_a_simulator_that_is_not_here_is_a_skip(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package, GPU or driver: the reason is the one that `play` gives."""
    meddle(suite.parent, monkeypatch, first="sys.modules['mujoco'] = None")
    found = run_suite(load_suite(suite), only=["first"])
    assert found[0].status == "skipped"
    assert "plant 'mujoco' needs the Python package mujoco" in found[0].sentence


def test_a_suite_without_baselines_is_refused_before_anything_runs(suite: Path) -> None:
    """And so is one whose case is no longer the one that the baseline is of."""
    write_cases(suite.parent, "first", "third")
    with pytest.raises(SuiteError, match="case 'third' has no baseline in toy.baselines\n.*--update"):
        run_suite(load_suite(suite))
    write_cases(suite.parent, "first", seed=7)
    with pytest.raises(SuiteError, match="one of another run: seed is 7, then 0"):
        run_suite(load_suite(suite))
    (suite.parent / "toy.baselines" / "first.npz").write_bytes(b"")
    write_cases(suite.parent, "first")
    with pytest.raises(SuiteError, match="can't be read"):
        run_suite(load_suite(suite))


def test_update_tells_what_changed(suite: Path, run_here: None) -> None:
    """The figures with those they replace, how far the case repeats itself, and the files that changed."""
    robot = suite.parent / "toy.xml"
    robot.write_text(robot.read_text().replace("0 0 -0.1", "0 0 -0.3"))
    write_cases(suite.parent, "first")
    (updated,) = update_suite(load_suite(suite))
    text = "\n".join(updated.lines)
    assert "replaced, in mujoco " in text
    assert "run twice, 25 of 25 steps repeat bit for bit" in text
    assert "changed: the robot changed" in text
    document = json.loads((suite.parent / "toy.baselines" / "first.json").read_text())
    assert document["versions"].keys() >= {"policy_port", "mujoco", "torch", "onnxruntime"}
    assert run_suite(load_suite(suite))[0].status == "pass"


def test_an_update_of_a_broken_case_leaves_its_baseline(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad input is exit 2, and nothing is half-written."""
    before = {file: file.read_bytes() for file in (suite.parent / "toy.baselines").iterdir()}
    meddle(suite.parent, monkeypatch, first="os._exit(9)", second="os._exit(9)")
    with pytest.raises(SuiteError, match="case 'first': its process ended with status 9"):
        update_suite(load_suite(suite))
    assert before == {file: file.read_bytes() for file in (suite.parent / "toy.baselines").iterdir()}


@pytest.mark.parametrize("nodes", [2])
def test_a_ray_cluster_says_the_same(suite: Path, nodes: int) -> None:
    """A local cluster of two nodes gives this machine's verdicts and a sweep's outcomes; both nodes take part."""
    pytest.importorskip("ray", reason="ray is not installed (extra: ray)")
    here = run_suite(load_suite(suite))
    script = Path(__file__).with_name("on_two_nodes.py")
    # Not in the suite's folder, whose robot files are all the robot's.
    (suite.parents[1] / "swept").mkdir()
    sweep = write_toy_sweep(suite.parents[1] / "swept")
    command = [sys.executable, str(script), str(suite), str(nodes), str(sweep)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    there = json.loads(done.stdout.splitlines()[-1])
    assert len(set(there["nodes"])) == len(set(there["workers"])) == nodes
    swept = run_sweep(load_sweep(sweep), jobs=1, fresh=True, performer=inline)
    assert there["swept"] == [[one.error, ""] for one in swept]
    keys = ("case", "findings", "changes", "status", "sentence")
    local = json.loads(json.dumps([{key: verdict.plain()[key] for key in keys} for verdict in here]))
    assert [{key: verdict[key] for key in keys} for verdict in there["verdicts"]] == local


def test_every_room_that_a_verdict_rests_on_counts() -> None:
    """No verdict is taken from the cache after an edit in a room that a suite may import, at first or second hand."""
    reached, pending = set(), ["regress"]
    while pending:
        room = pending.pop().split(".")[0]
        if room not in reached:
            reached.add(room)
            pending += ROOMS[room]
    folders = {room for room in reached if (PACKAGE / room).is_dir()}
    assert folders - set(fingerprint.ROOMS) == {"report"}, "a page for people, which no verdict looks at"
