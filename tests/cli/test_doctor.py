"""The doctor's command: a table for people, JSON for programs, and an exit status for scripts."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from policy_port import system
from policy_port.cli.app import app
from policy_port.system import Finding, Need

FOUND = (
    Finding(name="Vulkan", ok=True, detail="llvmpipe", needed_by=(Need.SIM,)),
    Finding(name="Serial ports", ok=False, detail="none", mend="connect the arm", needed_by=(Need.REAL,)),
)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "examine", lambda: FOUND)


def test_the_table_says_what_is_there_and_what_mends_the_rest() -> None:
    """Every finding has a line, every lack its remedy, and every need its verdict."""
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Vulkan        ok  llvmpipe",
        "Serial ports  --  none",
        "                  mend: connect the arm",
        "",
        "sim           ready",
        "gpu           ready",
        "real          not ready: Serial ports",
    ]


@pytest.mark.parametrize(("need", "status"), [("sim", 0), ("gpu", 0), ("real", 1)])
def test_the_exit_status_answers_the_need(need: str, status: int) -> None:
    """1 where the named need is unmet, 0 otherwise."""
    assert CliRunner().invoke(app, ["doctor", "--need", need]).exit_code == status


def test_an_unknown_need_lists_the_known_ones() -> None:
    """A misspelt need exits with 2 and says which there are."""
    result = CliRunner().invoke(app, ["doctor", "--need", "robot"])
    assert result.exit_code == 2
    for need in Need:
        assert need in result.output


def test_json_holds_all_findings() -> None:
    """Programs get the same findings and verdicts, and the same exit status."""
    result = CliRunner().invoke(app, ["doctor", "--json", "--need", "real"])
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [finding["name"] for finding in document["findings"]] == ["Vulkan", "Serial ports"]
    assert document["findings"][1]["needed_by"] == ["real"]
    assert document["ready"] == {"sim": True, "gpu": True, "real": False}
