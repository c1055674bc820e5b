"""Claims about `policy-port verify`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.trace import Trace
from tests.cli.verdict_port import Judged
from tests.samples import LEGS
from tests.verdict.synthetic import header, toy, write


def verify(port: Path, trace: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["verify", str(port), "--trace", str(trace), *more])


@pytest.mark.parametrize("engine", ["onnx", "torchscript"])
def test_a_right_port_is_status_zero(judged: Judged, engine: str) -> None:
    """Either file of the port reproduces the trace, the network's actions included."""
    result = verify(judged.right.path, judged.trace, "--engine", engine)
    assert result.exit_code == 0, result.output
    assert "action" in result.stdout
    assert "verdict: equal in 17 comparisons" in result.stdout


def test_a_wrong_port_is_status_one_and_named(judged: Judged) -> None:
    """A missing scale exits with 1 and is said with its factor and the first bad step."""
    result = verify(judged.wrong.path, judged.trace)
    assert result.exit_code == 1, result.output
    assert "looks like: factor 4.00: the scale 0.25 is missing" in result.stdout
    assert "first at step 0" in result.stdout
    assert "Traceback" not in result.output


def test_json_is_one_document(judged: Judged) -> None:
    """--json prints nothing else."""
    result = verify(judged.wrong.path, judged.trace, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)


def test_a_source_trace_crosses_to_a_remapped_port(judged: Judged) -> None:
    """A trace in the source's parsing is translated by the port's own mapping, and that is said."""
    result = verify(judged.remapped.path, judged.trace, "--side", "source")
    assert result.exit_code == 0, result.output
    assert "side: source (as --side says); observations and actions cross to the port" in result.stdout


def test_names_in_the_header_tell_the_side(judged: Judged, tmp_path: Path) -> None:
    """Where the header names the actions, their order tells that the trace is the source's."""
    trace = Trace(judged.trace)
    about = header(toy(), action_names=list(LEGS))
    named = write(tmp_path / "named.npz", {name: trace[name] for name in trace}, about)
    result = verify(judged.remapped.path, named)
    assert result.exit_code == 0, result.output
    assert "the port's side does not fit: its action_names stand in another order" in result.stdout


def test_the_wrong_side_is_caught(judged: Judged) -> None:
    """A source's trace that is taken for the port's fails in every term of joints."""
    result = verify(judged.remapped.path, judged.trace, "--side", "port")
    assert result.exit_code == 1
    assert "joint order: " in result.stdout


def test_a_drawn_action_is_caught(judged: Judged, tmp_path: Path) -> None:
    """Actions recorded with the exploration of training are wrong, and named as the network's with noise."""
    trace = Trace(judged.trace)
    arrays = {name: trace[name] for name in trace}
    rng = np.random.default_rng(0)
    arrays["action"] = arrays["action"] + rng.normal(0, 0.1, arrays["action"].shape)
    result = verify(judged.right.path, write(tmp_path / "other.npz", arrays, trace.header))
    assert result.exit_code == 1
    assert "the recorded action is the network's with noise of 0.099" in result.stdout


@pytest.mark.parametrize("shift", [0.0, 0.02, 1.3])
def test_a_port_of_another_network_is_caught_whatever_the_clock(judged: Judged, tmp_path: Path, shift: float) -> None:
    """Other weights of the same widths exit with 1, also where the clock begins at one period or in a run; right ones
    with 0.
    """
    trace = Trace(judged.trace)
    arrays = {name: trace[name] for name in trace}
    arrays["time"] = arrays["time"] + shift
    if shift > 1.0:
        # Only time and gait are of another moment then: what is cut off is the first episode's begin.
        arrays = {name: trace[name][7:] for name in trace}
    torn = write(tmp_path / "torn.npz", arrays, trace.header)
    for engine in ("onnx", "torchscript"):
        wrong = verify(judged.other.path, torn, "--engine", engine)
        assert (wrong.exit_code, "1 of 17 comparisons wrong" in wrong.stdout) == (1, True), wrong.output
        assert "looks like: another network" in wrong.stdout
        assert verify(judged.right.path, torn, "--engine", engine).exit_code == 0
    assert json.loads(verify(judged.other.path, torn, "--json").stdout)["ok"] is False


def test_what_can_not_be_compared_is_no_success(judged: Judged, tmp_path: Path) -> None:
    """Rows that stand alone show no last action of theirs: status 3, "not verified", ok false."""
    trace = Trace(judged.trace)
    arrays = {name: trace[name][[3, 20, 60, 90]] for name in trace if name != "time"} | {"episode": np.arange(4.0)}
    result = verify(judged.right.path, write(tmp_path / "t.npz", arrays, trace.header), "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"], document["not_compared"]) == (3, False, ["last_action", "joint_target"])
    assert document["verdict"].startswith("not verified: equal in 15 of 17 comparisons; 2 could not be made: ")


def test_bad_input_is_status_two(judged: Judged, tmp_path: Path) -> None:
    """A trace without observations, a file that is none, and a port that is none are refused without traceback."""
    trace = Trace(judged.trace)
    arrays = {name: trace[name] for name in trace if name != "observation"}
    blind = write(tmp_path / "blind.npz", arrays, trace.header)
    (tmp_path / "text.npz").write_text("no trace")
    for port, file, words in (
        (judged.right.path, blind, "has no 'observation'"),
        (judged.right.path, tmp_path / "text.npz", "is no trace"),
        (judged.right.path, tmp_path / "absent.npz", "no such trace"),
        (tmp_path, judged.trace, "manifest"),
    ):
        result = verify(port, file)
        assert (result.exit_code, words in result.stderr) == (2, True), result.output
        assert "Traceback" not in result.output


@pytest.mark.pictures
def test_the_report_says_the_verdict_first_and_holds_its_picture(judged: Judged, tmp_path: Path) -> None:
    """--report writes one page with the verdict, what it looks like, and the plot, which lies beside it too."""
    page = tmp_path / "verify.html"
    result = verify(judged.wrong.path, judged.trace, "--report", str(page))
    assert result.exit_code == 1, result.output
    text = page.read_text(encoding="utf-8")
    assert re.search(r"1 of \d+ comparisons wrong: base_ang_vel", text)
    assert "factor 4.00: the scale 0.25 is missing" in text
    assert "data:image/png;base64," in text
    assert (tmp_path / "verify-shares.png").read_bytes().startswith(b"\x89PNG")
