"""Claims about `policy-port diagnose`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from policy_port.arrays import Array
from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.closed_loop import search
from policy_port.contract import load_contract
from policy_port.contract.diff import differences
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from policy_port.resources import assets_dir
from tests.cli.verdict_port import Judged, contract_of
from tests.verdict.mistakes import edited
from tests.verdict.synthetic import toy


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


def with_actions(trace: Path, out: Path, change: Callable[[Array], Array | None]) -> Path:
    """A trace with other actions, or none."""
    with zipfile.ZipFile(trace) as archive, zipfile.ZipFile(out, "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "action.npy":
                actions = change(np.load(io.BytesIO(data)))
                if actions is None:
                    continue
                np.save(buffer := io.BytesIO(), actions)
                data = buffer.getvalue()
            changed.writestr(name, data)
    return out


def test_a_contract_that_the_network_does_not_confirm_is_written_on_demand_only(judged: Judged, tmp_path: Path) -> None:
    """With another network's actions --write refuses and names --unverified, which writes and says that it is not."""
    random = np.random.default_rng(0)
    trace = with_actions(judged.trace, tmp_path / "t.npz", lambda a: random.standard_normal(a.shape).astype(np.float32))
    out = tmp_path / "mended.yaml"
    result = diagnose(judged.wrong.path, trace, "--write", str(out))
    assert (result.exit_code, out.exists()) == (1, False), result.output
    assert "it is not verified" in result.stderr
    assert "--unverified writes it all the same" in result.stderr
    result = diagnose(judged.wrong.path, trace, "--write", str(out), "--unverified")
    assert result.exit_code == 1, result.output
    assert "NOT VERIFIED" in result.stderr
    assert differences(contract_of(out), toy()) == []
    result = diagnose(judged.wrong.path, trace, "--unverified")
    assert (result.exit_code, "--unverified goes with --trace and --write" in result.stderr) == (2, True)


def test_a_trace_without_actions_is_bad_input(judged: Judged, tmp_path: Path) -> None:
    """Without them another network could not be told, so no verdict is given."""
    trace = with_actions(judged.trace, tmp_path / "t.npz", lambda actions: None)
    result = diagnose(judged.right.path, trace)
    assert (result.exit_code, "the trace has no 'action'" in result.stderr) == (2, True)


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


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["diagnose", *map(str, args)])


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ports of the policy that ships with the project: right, with one sign flipped, and with two wrong numbers."""
    source = assets_dir() / "so100_reach"
    if not (source / "model.pt").is_file():
        pytest.skip("the embedded policy is not here")
    contract, policy = load_contract(source / "contract.yaml"), load_policy(source / "model.pt")

    def flip(data: dict[str, Any]) -> None:
        for term in (*data["observation"]["terms"], *data["action"]["terms"]):
            if term["term"] in ("joint_pos", "joint_position_delta"):
                stated = term.get("scale", 1.0)
                scale = dict(stated) if isinstance(stated, dict) else dict.fromkeys(contract.joint_names, stated)
                term["scale"] = scale | {"shoulder_pan": -scale["shoulder_pan"]}

    def delay(data: dict[str, Any]) -> None:
        data["decimation"] *= 2

    folder = tmp_path_factory.mktemp("ports")
    made = {"right": contract, "flipped": edited(contract, flip), "slow": edited(contract, delay)}
    return {
        name: write_port(folder / name, policy, identity_remap(each), formats=("onnx",)).path
        for name, each in made.items()
    }


TASK = ("--plant", "mujoco", "--task", "so100-reach")


@pytest.mark.slow
def test_without_a_trace_a_right_port_is_status_zero(arm: dict[str, Path]) -> None:
    """The arm reaches every goal: nothing is searched, and the answer still says what it can't see."""
    result = run(arm["right"], *TASK)
    assert result.exit_code == 0, result.output
    assert "nothing that this test can see is wrong" in result.stdout
    assert "reached 12 of 12 goals" in result.stdout
    assert "this is weaker than a trace" in result.stdout
    assert "12 replays of the contract as it was given" in result.stdout


@pytest.mark.pictures
@pytest.mark.slow
def test_without_a_trace_a_flipped_sign_is_found_and_mended(
    arm: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1, the edit with the numbers before and after, a mended contract that is the right one, and a page."""
    every = search.guesses
    # The search has tests of its own; here only what may be wrong with this joint is played.
    monkeypatch.setattr(search, "guesses", lambda *given: (it for it in every(*given) if "shoulder_pan" in it.words))
    out, page = tmp_path / "mended.yaml", tmp_path / "page.html"
    result = run(arm["flipped"], *TASK, "--write", out, "--report", page)
    assert result.exit_code == 1, result.output
    assert "1. sign of shoulder_pan flipped in observation and action" in result.stdout
    assert "edit    action.terms[0].scale: " in result.stdout
    assert "reached 12 of 12 goals" in result.stdout
    right = load_contract(assets_dir() / "so100_reach" / "contract.yaml")
    assert differences(contract_of(out), right, relative_tolerance=1e-9) == []
    assert contract_of(out).sources["action.terms[0].scale"].startswith("policy-port diagnose, closed loop in mujoco")
    assert "sign of shoulder_pan flipped in observation and action" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_without_a_trace_json_is_one_document(arm: dict[str, Path]) -> None:
    """The numbers of every trial, the margins that decide, and the reasons why this is weaker."""
    result = run(arm["right"], *TASK, "--seed", 5, "--json")
    document = json.loads(result.stdout)
    assert (document["ok"], document["hypotheses"], len(document["given"]["loss"])) == (True, [], 12)
    assert document["setting"]["trials"].endswith("seeds 5 to 16")
    assert len(document["notes"]) == 3


@pytest.mark.slow
def test_a_rate_that_the_task_does_not_run_at_is_bad_input(arm: dict[str, Path]) -> None:
    """The task can't be done at another rate: said with both numbers, not searched."""
    result = run(arm["slow"], *TASK)
    assert result.exit_code == 2
    assert "control period of 0.1 s, the reach task runs at 20 Hz" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "exactly one of --trace"),
        (("--trace", "t.npz", "--plant", "mujoco"), "exactly one of --trace"),
        (("--trace", "t.npz", "--robot", "a.xml", "--no-meshes"), "--robot, --no-meshes goes with --plant"),
        (("--trace", "t.npz", "--seed", "1", "--seconds", "3"), "--seconds, --seed goes with --plant"),
        (("--plant", "mujoco", "--side", "port"), "--side goes with --trace"),
        (("--plant", "mujoco", "--command", "1,0,0", "--task", "so100-reach"), "at most one of --command"),
        (("--plant", "mujoco", "--task", "so100-reach", "--seconds", "3"), "--seconds goes with --command"),
        (("--plant", "mujoco", "--command", "1,0"), "three numbers"),
        (("--plant", "mujoco", "--task", "so100-reech"), "did you mean 'so100-reach'"),
        (("--plant", "mujoco", "--write", "no/such/folder.yaml"), "no such folder for the output"),
    ],
)
def test_what_does_not_go_together_is_bad_input(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    """Status 2 and one message, before the port is opened."""
    result = run(tmp_path / "port", *args)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("args", "message"),
    [(("--robot", "no_such.xml"), "no_such.xml"), (("--through", "nothing"), "no shipped mapping has that name")],
)
def test_a_robot_or_mapping_that_is_not_there_is_bad_input(
    judged: Judged, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    """Status 2, and nothing is written."""
    out = tmp_path / "mended.yaml"
    result = run(judged.wrong.path, "--plant", "mujoco", *args, "--write", out)
    assert (result.exit_code, out.exists()) == (2, False), result.output
    assert message in result.stderr
