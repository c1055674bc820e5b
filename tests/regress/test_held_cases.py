"""Cases without a task: an arm held at its goals for a time, as golden course and open loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.errors import SuiteError, TaskError
from policy_port.regress import load_suite
from policy_port.regress.player import flown_contract, open_player
from policy_port.regress.run import run_suite
from policy_port.regress.update import update_suite
from tests.cli.test_play_held import POINT, make_port

pytestmark = pytest.mark.usefixtures("cases_run_here")

SCAN = {"term": "external", "name": "scan", "size": 2}
HELD = {"seconds": 0.2, "goals": {"point": "draw", "scan": [0.1, 0.2]}, "episodes": 2}


def write(folder: Path, **case: Any) -> Path:
    """A suite of one case on the arm's port, which lies there."""
    data = {"name": "arm", "port": "port", "plant": {"simulator": "mujoco", "robot": "arm.xml"}, "timeout": 60}
    path = folder / "arm.regress.yaml"
    expect = {"golden": {"episodes": case.get("episodes", 1)}, "open_loop": {}}
    path.write_text(yaml.safe_dump({"suite_version": 1, "cases": [{**data, "expect": expect, **case}]}))
    return path


@pytest.mark.slow
def test_a_case_of_a_time_is_held_against_its_baseline(tmp_path: Path) -> None:
    """It passes as it was, and an arm held at another external number has left its course; drawn goals differ."""
    pytest.importorskip("mujoco")
    make_port(tmp_path, POINT, SCAN)
    suite = load_suite(write(tmp_path, **HELD))
    assert [item.written for item in update_suite(suite)] == [True]
    assert [verdict.status for verdict in run_suite(suite)] == ["pass"]
    other = load_suite(write(tmp_path, **{**HELD, "goals": {"point": "draw", "scan": [0.1, 0.3]}}))
    with pytest.raises(SuiteError, match="update"):
        run_suite(other)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"seconds": 1.0}, "goals: {point: [N0, N1, N2]} holds these numbers, or goals: {point: draw}"),
        (
            {"seconds": 1.0, "goals": {"point": "draw"}},
            "give the case an env instead of a plant, or hold its 2",
        ),
        ({"commands": [{"command": [0, 0, 0], "seconds": 1}]}, "give `seconds: 1` instead of commands"),
        ({**HELD, "expect": {"statistical": {}}}, "expect open_loop or golden instead of statistical"),
        ({**HELD, "goals": {**HELD["goals"], "pont": [1]}}, "no goal 'pont'; did you mean 'point'"),  # type: ignore[dict-item]
    ],
)
def test_what_a_case_lacks_is_named(tmp_path: Path, case: dict[str, Any], message: str) -> None:
    """As the suite writes it."""
    from policy_port.port.folder import load_port

    make_port(tmp_path, POINT, SCAN)
    suite = load_suite(write(tmp_path, **case))
    pilot = load_port(tmp_path / "port").pilot()
    with pytest.raises(TaskError) as raised:
        open_player(suite, suite.cases[0], pilot).close()
    assert message in str(raised.value)


def test_held_terms_are_constants_of_the_flown_contract(tmp_path: Path) -> None:
    """Its widths stay the port's."""
    from policy_port.port.folder import load_port

    make_port(tmp_path, POINT, SCAN)
    suite = load_suite(write(tmp_path, **HELD))
    pilot = load_port(tmp_path / "port").pilot()
    flown = flown_contract(suite.cases[0], pilot.contract)
    assert flown.observation_size == pilot.contract.observation_size
    assert [term.term for term in flown.observation.terms][2:] == ["goal", "constant"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"seconds": 1.0, "task": "so100-reach"}, "exactly one of task, commands and schedule, or seconds"),
        ({"task": "so100-reach", "goals": {"point": "draw"}}, "goals goes with commands, schedule or seconds"),
        ({"seconds": 1.0, "episodes": 3}, "3 episodes would all be the same one"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": 1.0, "goals": {"point": "drawn"}}, "goals"),
    ],
)
def test_a_mistake_in_a_suite_is_named(tmp_path: Path, case: dict[str, Any], message: str) -> None:
    """With the file and its line."""
    make_port(tmp_path, POINT, SCAN)
    with pytest.raises(SuiteError) as raised:
        load_suite(write(tmp_path, **case))
    assert message in str(raised.value)
    assert "arm.regress.yaml:" in str(raised.value)


@pytest.mark.slow
def test_what_is_taken_out_of_a_case_makes_another_run(tmp_path: Path) -> None:
    """A baseline of a time is none of a command schedule, though the latter does not state `seconds`."""
    pytest.importorskip("mujoco")
    make_port(tmp_path)
    short = {"seconds": 0.1, "start_noise": 0.1}
    update_suite(load_suite(write(tmp_path, **short)))
    with pytest.raises(SuiteError, match="seconds is"):
        run_suite(load_suite(write(tmp_path, commands=[{"command": [0, 0, 0], "seconds": 0.1}], start_noise=0.1)))
