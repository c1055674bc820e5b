"""Claims about `policy-port compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from tests.compare.recordings import reach, walk


def run(*args: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.replace("│", " ").split())


def test_two_runs_are_told_apart(tmp_path: Path) -> None:
    """Differences are no failure: status 0; runs go by their folders' names, or those given."""
    runs = walk(tmp_path / "mujoco"), walk(tmp_path / "sapien", offset={"left_knee": 0.3})
    code, output, _ = run(*runs)
    assert code == 0
    for text in ("mujoco", "sapien against mujoco", "left_knee  ", "stayed up", "1 of 1; 2.5 to 100.0 %"):
        assert text in output
    code, output, _ = run(*runs, "--name", "here", "--name", "there")
    assert "there against here" in output


def test_json_alone_on_standard_output(tmp_path: Path) -> None:
    """--json prints nothing else, also with --out."""
    runs = walk(tmp_path / "a"), walk(tmp_path / "b")
    _, output, _ = run(*runs, "--json", "--out", tmp_path / "out")
    assert json.loads(output) == json.loads((tmp_path / "out" / "comparison.json").read_text())


@pytest.mark.pictures
def test_plots_and_report(tmp_path: Path) -> None:
    """--out holds plots and comparison.json; with --report one page that holds the plots."""
    runs = walk(tmp_path / "a"), walk(tmp_path / "b", late=0.04), walk(tmp_path / "c", envs=2, fallen=2)
    assert run(*runs, "--out", tmp_path / "out")[0] == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["comparison.json", "joints.png", "overview.png"]
    assert run(*runs, "--out", tmp_path / "out", "--report", "--force")[0] == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["comparison.json", "report-joints.png", "report-overview.png", "report.html"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "40 ms" in page
    assert str(tmp_path) not in page


def test_a_task_is_reported_by_its_rates(tmp_path: Path) -> None:
    """Runs without a command have rates with intervals in place of velocities."""
    runs = reach(tmp_path / "a", seeds=range(10), good=9), reach(tmp_path / "b", seeds=range(10), good=4)
    assert run(*runs, "--out", tmp_path / "out", "--report")[0] == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "90.0 % (9 of 10; 55.5 to 99.7 %)" in page
    assert "velocity error" not in page


def test_tags_and_ranking(tmp_path: Path) -> None:
    """The matrix from four runs, and a ranking alone."""
    tags = [f"--tag={tag}={walk(tmp_path / tag, header={'simulator': tag[1]})}" for tag in ("PP", "PN", "NN", "NP")]
    code, output, _ = run(*tags)
    assert code == 0
    assert "trained in Newton" in output
    (tmp_path / "scores.csv").write_text("policy,real,sim\na,0.9,0.5\nb,0.5,0.6\nc,0.1,0.2\n")
    code, output, _ = run("--rank", tmp_path / "scores.csv", "--out", tmp_path / "out", "--report")
    assert code == 0
    assert "MMRV 0.267" in output
    assert "MMRV 0.267" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give two runs or more"),
        (("a",), "give two runs or more"),
        (("a", "gone"), "gone/trace.npz: no such trace"),
        (("a", "b", "--report"), "--report goes with --out"),
        (("a", "b", "--name", "x"), "each of the 2 runs a --name"),
        (("a", "b", "--name", "x", "--name", "x"), "each of the 2 runs a --name"),
        (("--tag", "PP"), "--tag takes TAG=RUN"),
        (("--tag", "PP=a", "--tag", "PP=b"), "--tag PP is given twice"),
        (("--tag", "PP=a"), "no run is tagged PN, NN, NP"),
        (("--tag", "PQ=a"), "unknown tag PQ"),
        (("a", "b", "--mapping", "nosuch"), "no shipped mapping has that name"),
        (("a", "b", "--rank", "nosuch.csv"), "nosuch.csv: can't be read"),
    ],
)
def test_misuse_is_one_message_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    """What was given, what exists, what to do; nothing is written."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        walk(tmp_path / name, steps=20)
    (tmp_path / "gone").mkdir()
    code, output, error = run(*args)
    assert (code, output) == (2, "")
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "gone"]
