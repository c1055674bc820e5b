"""Commands by name: on the command line, held in a replay, in a suite, and as a real policy obeys them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.cli.plant_options import parse_command
from policy_port.contract import Contract, load_contract
from policy_port.contract.spec import unset_values
from policy_port.errors import ContractError, TaskError
from policy_port.regress.play import CommandStep
from policy_port.replay.held import Held
from policy_port.replay.velocity import outside_trained_range
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verify_contract
from tests.samples import contract_data

CONTRACT = Path(__file__).resolve().parents[1] / "real_policies" / "openwbt_loco.yaml"


def told(**changes: Any) -> Contract:
    observation = {"terms": [{"term": "command", "elements": ["ang_vel_z", "base_height"]}, {"term": "joint_pos"}]}
    command = {"base_height": {"range": [0.5, 0.8], "default": 0.74}, "ang_vel_z": [-1.0, 1.0]}
    return Contract.model_validate(contract_data(observation=observation, command=command) | changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5,0,-0.1", {"lin_vel_x": 0.5, "lin_vel_y": 0.0, "ang_vel_z": -0.1}),
        ("lin_vel_x=0.5 base_height=0.7", {"lin_vel_x": 0.5, "base_height": 0.7}),
        ("heading=1e-1,stand=1", {"heading": 0.1, "stand": 1.0}),
        (" 0.5, 0, 0 base_height=0.7 ", {"lin_vel_x": 0.5, "lin_vel_y": 0.0, "ang_vel_z": 0.0, "base_height": 0.7}),
    ],
)
def test_a_command_is_three_numbers_or_names(text: str, expected: dict[str, float]) -> None:
    """Three numbers are a velocity; names stand for themselves, and both may stand together."""
    assert parse_command(text) == expected


@pytest.mark.parametrize(
    ("text", "words", "mended"),
    [
        ("0.5,0", "three numbers such as 0.5,0,0", "0.5,0,0"),
        ("", "three numbers such as 0.5,0,0", "0.5,0,0"),
        ("lin_vel_x=0.5 0,0,0", "three numbers such as 0.5,0,0", "lin_vel_x=0.5"),
        ("lin_vel_x=fast", "lin_vel_x=0.5, given: lin_vel_x=fast", "lin_vel_x=0.5"),
        ("0.5,0,0 lin_vel_x=1", "gives lin_vel_x twice; give it once", "0.5,0,0"),
        ("base_height=nan", "finite", "base_height=0.7"),
    ],
)
def test_what_is_no_command_is_refused(text: str, words: str, mended: str) -> None:
    """Half a velocity, no number, a number before names, and a name given twice; what the message says is taken."""
    with pytest.raises(typer.BadParameter, match=words):
        parse_command(text)
    assert parse_command(mended)


def test_what_is_not_told_is_at_its_default() -> None:
    """A named element leaves the others at their defaults, in a replay and in a suite; ranges warn by name."""
    contract = told()
    assert contract.command.names == ("lin_vel_x", "lin_vel_y", "ang_vel_z", "base_height")
    assert Held(seconds=1.0, command={"ang_vel_z": 0.5}).told(contract) == (0.0, 0.0, 0.5, 0.74)
    assert Held(seconds=1.0, command=(0.0, 0.0, 0.5)).told(contract) == (0.0, 0.0, 0.5, 0.74)
    assert contract.command.vector(CommandStep(command={"base_height": 0.6}, seconds=1.0).command)[3] == 0.6
    assert outside_trained_range(contract, (0.0, 0.0, 0.5, 0.9)) == [
        "command base_height = 0.9 is outside [0.5, 0.8], the range that contract 'toy' was trained in"
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (None, r'nobody gives it one: say which with --command "ang_vel_z=0 base_height=0"'),
        (
            {"base_heigth": 0.7},
            r"reads no command element base_heigth; did you mean 'base_height'\? It reads ang_vel_z",
        ),
        ((0.5, 0.0, 0.0), r"reads no command element lin_vel_x"),
    ],
)
def test_what_the_policy_does_not_read_is_refused(command: Any, words: str) -> None:
    """No command, a misspelt element, and a velocity for a policy that reads none."""
    with pytest.raises(TaskError, match=words) as caught:
        Held(seconds=1.0, command=command).told(told())
    # What the message writes behind --command is taken.
    written = str(caught.value).partition("--command ")[2].strip('"')
    assert Held(seconds=1.0, command=parse_command(written)).told(told()) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": {"base_height": {"range": [0.5, 0.8]}}}, "its default 0 is outside its range"),
        ({"command": {"base_heigth": [0, 1]}}, "none of the usual ones; did you mean 'base_height'"),
        ({"command": {"lean": {"range": [-1.0, 1.0]}}}, "for another one state its `unit` in words"),
        ({"command": {"base_height": {"range": [0, 1], "slwe": 0.1}}}, "unknown key 'slwe'; did you mean 'slew'"),
        ({"command": {"lin_vel_x": [0, 1]}}, "reads command element 'base_height', which `command` does not declare"),
    ],
)
def test_what_a_contract_leaves_open_of_its_command_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """A default outside the range, a name nobody knows, a key nobody knows, and an element that is not declared."""
    path = tmp_path / "c.yaml"
    text = told().to_yaml()
    head = text[: text.index("command:\n")]
    path.write_text(f"{head}command: {json.dumps(changes['command'])}\n")
    with pytest.raises(ContractError, match=f"(?i){words}"):
        load_contract(path)
    # Declared with its range and a default inside it.
    path.write_text(f"{head}command: {{base_height: {{range: [0.5, 0.8], default: 0.7}}}}\n")
    assert load_contract(path).command.defaults[3] == 0.7


def test_an_element_of_its_own_name_states_its_unit() -> None:
    """With a unit any name will do; what no term reads is said, not refused."""
    contract = told(command=told().command.model_dump() | {"lean": {"range": [-1.0, 1.0], "unit": "rad, forward"}})
    assert any("command.lean: no observation term reads it" in line for line in unset_values(contract))


@pytest.mark.shared
def test_a_real_policy_stands_and_walks_by_name(shared: Path, tmp_path: Path) -> None:
    """OpenWBT on its G1: told to walk it does at the speed, told walk=0 it stands; the trace equals the contract."""
    folder, port = shared / "real_policies", tmp_path / "port"

    def run(*words: str) -> None:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output

    made = ("--contract", str(CONTRACT), "--out", str(port), "--format", "onnx")
    run("export", str(folder / "recurrent/openwbt_loco.onnx"), *made)
    measured = {}
    for name, command in (("walks", "lin_vel_x=0.3"), ("stands", "walk=0")):
        robot = str(folder / "robots/g1_29dof/g1_29dof.xml")
        where = ("--plant", "mujoco", "--robot", robot, "--seconds", "3", "--no-meshes")
        run("play", str(port), *where, "--command", command, "--out", str(tmp_path / name))
        measured[name] = json.loads((tmp_path / name / "metrics.json").read_text())["metrics"]
        verdict = verify_contract(load_contract(CONTRACT), read_evidence(tmp_path / name / "trace.npz"))
        assert not verdict.wrong, verdict.text()
    assert measured["walks"]["fallen"] == measured["stands"]["fallen"] == 0
    assert measured["walks"]["mean_lin_vel_x"] == pytest.approx(0.3, abs=0.06)
    assert measured["stands"]["action_rate"] < 0.1 * measured["walks"]["action_rate"]
