"""A case under a schedule file: ramps and pushes, and what its baseline holds of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.errors import SuiteError, TaskError
from policy_port.files import sha256
from policy_port.port.folder import load_port
from policy_port.regress import load_suite
from policy_port.regress.fingerprint import dependencies
from policy_port.regress.player import PlantPlayer
from tests.regress.toy import write_cases, write_toy

PUSH = "pushes: [{at: 0.1, link: shoved, impulse: [0, 0, 0.2], lasts: 0.04}]"
TOLD = f"""schedule_version: 1
seconds: 0.4
command: [{{at: 0, to: {{lin_vel_x: 0.5}}}}, {{at: 0.1, to: {{lin_vel_x: 0.0}}, ramp: 0.2}}]
{PUSH}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The toy, one of whose links has a name, and a schedule."""
    write_toy(tmp_path, "told", commands=[], schedule="told.yaml")
    robot = (tmp_path / "toy.xml").read_text()
    (tmp_path / "toy.xml").write_text(robot.replace("<body pos='0.0 0 0'>", "<body name='shoved' pos='0.0 0 0'>", 1))
    (tmp_path / "told.yaml").write_text(TOLD)
    return tmp_path


def played(folder: Path) -> dict[str, np.ndarray]:
    suite = load_suite(folder / "toy.regress.yaml")
    player = PlantPlayer(suite, suite.case("told"), load_port(folder / "port").pilot(None))
    try:
        return player.play(0).arrays
    finally:
        player.close()


def test_a_case_follows_its_schedule(folder: Path) -> None:
    """The command ramps as the file says, and the link that is pushed moves as it does not without the push."""
    pushed = played(folder)
    assert len(pushed["command"]) == 20
    assert np.allclose(pushed["command"][[0, 4, 10, 15, 19], 0], [0.5, 0.5, 0.25, 0.0, 0.0])
    (folder / "told.yaml").write_text(TOLD.replace(PUSH, ""))
    alone = played(folder)
    moved = np.abs(pushed["joint_pos"] - alone["joint_pos"]).max(axis=1)
    assert moved[:6].max() == 0.0
    assert moved[8:].max() > 1e-3


def test_a_baseline_is_one_of_its_schedule(folder: Path) -> None:
    """A schedule that was changed is another run, and so another baseline; the case alone says only its name."""
    suite = load_suite(folder / "toy.regress.yaml")
    then = suite.protocol(suite.case("told"))
    (folder / "told.yaml").write_text(TOLD.replace("0.2]", "0.3]"))
    now = suite.protocol(suite.case("told"))
    assert then["schedule"] == now["schedule"] == "told.yaml"
    assert then != now
    assert dependencies(suite, suite.case("told"))["schedule"] == sha256(folder / "told.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOLD + "ports: [{at: 0, port: a}]", "a case plays one port; leave `ports` out"),
        (TOLD.replace("seconds: 0.4", ""), "write `seconds` in it"),
        (TOLD.replace("lin_vel_x: 0.5", "height: 0.5"), "reads no command element height"),
        (f"schedule_version: 1\nseconds: 1\n{PUSH}", "nobody gives it one: write `command`"),
        (TOLD.replace("shoved", "shaved"), "did you mean 'shoved'"),
        (TOLD.replace("seconds: 0.4", "seconds: 0.12"), "comes too late"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(folder: Path, text: str, words: str) -> None:
    """Before anything is played."""
    (folder / "told.yaml").write_text(text)
    with pytest.raises(Exception, match=words) as caught:
        played(folder)
    assert isinstance(caught.value, TaskError) or "link" in str(caught.value)


def test_a_schedule_file_is_one_of_four_ways(folder: Path) -> None:
    """Beside commands it is refused, and so is a file that is not there."""
    write_cases(folder, "told", schedule="told.yaml")
    with pytest.raises(SuiteError, match="exactly one of task, commands and schedule"):
        load_suite(folder / "toy.regress.yaml")
    write_cases(folder, "told", commands=[], schedule="other.yaml")
    with pytest.raises(SuiteError, match="schedule other.yaml: is not there"):
        load_suite(folder / "toy.regress.yaml")
