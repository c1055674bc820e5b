"""Claims about `policy-port diagnose`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract.diff import differences
from tests.cli import verdict_port
from tests.cli.verdict_port import Judged, contract_of
from tests.verdict.synthetic import toy


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    return verdict_port.make(tmp_path, monkeypatch)


def diagnose(port: Path, trace: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["diagnose", str(port), "--trace", str(trace), *more])


def test_a_right_port_is_status_zero(judged: Judged) -> None:
    """Nothing differs, nothing is suggested."""
    result = diagnose(judged.right.path, judged.trace)
    assert (result.exit_code, result.stdout.strip()) == (
        0,
        "nothing differs: the contract explains the trace as it is",
    )


def test_the_edit_is_printed_with_its_residual(judged: Judged) -> None:
    """The first hypothesis stands there as key, from and to, with what is left after it."""
    result = diagnose(judged.wrong.path, judged.trace)
    assert result.exit_code == 1, result.output
    assert "1. base_ang_vel: factor 4.00: the scale 0.25 is missing" in result.stdout
    assert "edit    observation.terms[base_ang_vel].scale: (not stated) -> 0.25" in result.stdout
    assert "3 elements wrong -> 0: nothing differs any more" in result.stdout


def test_write_gives_the_mended_contract(judged: Judged, tmp_path: Path) -> None:
    """--write leaves a contract that is the correct one, with the edit among its sources."""
    out = tmp_path / "mended.yaml"
    result = diagnose(judged.wrong.path, judged.trace, "--write", str(out))
    assert result.exit_code == 1, result.output
    mended = contract_of(out)
    assert differences(mended, toy()) == []
    assert "observation.terms[base_ang_vel].scale" in mended.sources


def test_write_refuses_what_is_there(judged: Judged, tmp_path: Path) -> None:
    """A file is replaced with --force only, and a missing folder is said."""
    out = tmp_path / "there.yaml"
    out.write_text("mine")
    result = diagnose(judged.wrong.path, judged.trace, "--write", str(out))
    assert (result.exit_code, "--force" in result.stderr, out.read_text()) == (2, True, "mine")
    assert diagnose(judged.wrong.path, judged.trace, "--write", str(out), "--force").exit_code == 1
    assert contract_of(out).name == "toy"
    assert diagnose(judged.wrong.path, judged.trace, "--write", str(tmp_path / "a" / "b.yaml")).exit_code == 2


def test_json_is_one_document(judged: Judged, tmp_path: Path) -> None:
    """--json prints the hypotheses by rank and nothing else, whatever is written beside."""
    result = diagnose(judged.wrong.path, judged.trace, "--json", "--write", str(tmp_path / "c.yaml"))
    first = json.loads(result.stdout)["hypotheses"][0]
    assert first["edits"] == [{"key": "observation.terms[base_ang_vel].scale", "from": None, "to": 0.25}]
    assert (first["wrong_before"], first["wrong_after"]) == (3, 0)


def test_the_report_holds_the_edit(judged: Judged, tmp_path: Path) -> None:
    """--report writes one page with the first hypothesis as its verdict and the edit that mends the contract."""
    page = tmp_path / "diagnose.html"
    result = diagnose(judged.wrong.path, judged.trace, "--report", str(page))
    assert result.exit_code == 1, result.output
    text = page.read_text(encoding="utf-8")
    assert "base_ang_vel: factor 4.00: the scale 0.25 is missing." in text
    assert "observation.terms[base_ang_vel].scale" in text
