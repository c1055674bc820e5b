"""Claims about `policy-port regress`: its exit statuses, what it prints, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.regress import run as run_module
from policy_port.regress.verdict import Found, Status, Verdict
from tests.regress.test_suite import CASE, write


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["regress", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("status", "code", "with_skips"),
    [("pass", 0, 0), ("regression", 1, 1), ("inconclusive", 3, 3), ("skipped", 3, 3)],
)
def test_exit_statuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status, code: int, with_skips: int
) -> None:
    """0 pass, 1 regression, 3 inconclusive; the sentence is printed, and the annotation on GitHub only."""
    verdict = Verdict(case="walk", findings=(Found("golden", status, "for a reason"),))

    def judge(suite: object, *, on_verdict: object, **_: object) -> list[Verdict]:
        on_verdict(verdict)  # type: ignore[operator]
        return [verdict]

    monkeypatch.setattr(run_module, "run_suite", judge)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    suite = write(tmp_path, CASE)
    found, output, _ = run(suite, "--junit", tmp_path / "j.xml", "--report", tmp_path / "report")
    assert found == code
    assert output.splitlines() == [f"walk: {status}: for a reason.", f"my: 1 {status}"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["j.xml", "my.regress.yaml", "port", "report"]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    found, output, _ = run(suite, "--fail-on-skip")
    assert found == with_skips
    assert ("::" in output) == (status != "pass")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--case", "wakl"), "no case is called 'wakl'; did you mean 'walk'"),
        (("--update", "--junit", "x.xml"), "--update judges nothing, so --junit does not go with it"),
        ((), "case 'walk' has no baseline in my.baselines"),
    ],
)
def test_misuse_is_one_message_and_status_2(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    """Nothing runs, nothing is written."""
    suite = write(tmp_path, CASE)
    code, _, error = run(suite, *args)
    assert code == 2
    assert message in " ".join(error.replace("│", " ").split())
    assert not list(tmp_path.glob("*.baselines"))


def test_a_suite_that_is_not_there() -> None:
    """One line, no traceback."""
    code, _, error = run("nowhere.regress.yaml")
    assert (code, error) == (2, "error: nowhere.regress.yaml: no such file\n")


def test_ray_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says how to start one."""
    ray = pytest.importorskip("ray", reason="ray is not installed (extra: ray)")

    def refuse(**_: object) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", refuse)
    code, _, error = run(write(tmp_path, CASE), "--ray")
    assert code == 2
    assert "no Ray cluster answers at" in error
    assert "ray start --head" in error
