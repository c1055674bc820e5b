"""Claims about `policy-port map derive`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import load_mapping
from tests.descriptors.importing import write
from tests.descriptors.test_joint_orders import TWO_LEGS


def run(*args: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["map", "derive", *map(str, args)])
    return result.exit_code, result.output


def test_a_robot_file_becomes_a_mapping(tmp_path: Path) -> None:
    """Two orders of one file, written as a mapping that loads."""
    pytest.importorskip("mujoco")
    robot, out = write(tmp_path / "toy.urdf", TWO_LEGS), tmp_path / "m.yaml"
    code, output = run("--robot", robot, "--from-order", "isaaclab", "--to-order", "mujoco", "--out", out)
    assert (code, output) == (0, f"{out}: 4 joints correspond\n")
    assert load_mapping(out).target_joint_names == ("r_hip", "r_knee", "l_hip", "l_knee")


def names(path: Path, *listed: str) -> Path:
    return write(path, {"joint_names": list(listed)})


def test_likely_renames_are_printed_to_paste_and_not_taken(tmp_path: Path) -> None:
    """Without --accept-proposals nothing is written; what is printed is YAML for a mapping."""
    a, b = names(tmp_path / "a.yaml", "LF_HAA", "RF_HAA"), names(tmp_path / "b.yaml", "FR_hip_joint", "FL_hip_joint")
    out = tmp_path / "m.yaml"
    code, output = run("--names", a, b, "--out", out)
    assert code == 2
    assert not out.exists()
    pasted = yaml.safe_load(output[output.index("rename:") :])
    assert pasted == {"rename": {"LF_HAA": "FL_hip_joint", "RF_HAA": "FR_hip_joint"}}


def test_proposals_are_taken_when_asked(tmp_path: Path) -> None:
    """--accept-proposals writes them into the mapping."""
    a, b = names(tmp_path / "a.yaml", "LF_HAA", "RF_HAA"), names(tmp_path / "b.yaml", "FR_hip_joint", "FL_hip_joint")
    code, _ = run("--names", a, b, "--accept-proposals", "--out", tmp_path / "m.yaml")
    assert code == 0
    assert load_mapping(tmp_path / "m.yaml").pairs == (("LF_HAA", "FL_hip_joint"), ("RF_HAA", "FR_hip_joint"))


def test_equal_names_need_no_acceptance(tmp_path: Path) -> None:
    """Two orders of the same names are a mapping at once."""
    a, b = names(tmp_path / "a.yaml", "x", "y"), names(tmp_path / "b.yaml", "y", "x")
    assert run("--names", a, b, "--out", tmp_path / "m.yaml")[0] == 0


def test_a_joint_without_counterpart_stops_even_with_acceptance(tmp_path: Path) -> None:
    """What exists on one side only needs a position, which only the user knows."""
    a, b = names(tmp_path / "a.yaml", "left_knee", "waist"), names(tmp_path / "b.yaml", "left_knee_joint")
    code, output = run("--names", a, b, "--accept-proposals", "--out", tmp_path / "m.yaml")
    assert code == 2
    assert "Without a counterpart in " in output
    assert "waist. Rename them, or list them under only_in_source" in output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give either --robot FILE"),
        (("--robot", "toy.urdf"), "--robot needs --from-order and --to-order"),
        (("--robot", "none.urdf", "--from-order", "mujoco", "--to-order", "sapien"), "no such file"),
        (("--robot", "toy.urdf", "--names", "a", "b"), "give either --robot FILE"),
    ],
)
def test_slips_on_the_command_line_are_one_message(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    """Half a command is answered with the other half."""
    code, output = run(*args, "--out", tmp_path / "m.yaml")
    assert code == 2
    assert message in output


def test_an_existing_file_stays(tmp_path: Path) -> None:
    """Nothing is replaced without --force."""
    out = write(tmp_path / "m.yaml", "mine")
    a = names(tmp_path / "a.yaml", "x")
    assert run("--names", a, a, "--out", out)[0] == 2
    assert out.read_text() == "mine"
    assert run("--names", a, a, "--out", out, "--force")[0] == 0
