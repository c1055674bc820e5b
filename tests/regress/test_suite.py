"""Claims about the suite's YAML: every mistake is an error with file, line and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.errors import SuiteError
from policy_port.regress import load_suite

CASE: dict[str, Any] = {
    "name": "walk",
    "port": "port",
    "plant": {"simulator": "mujoco"},
    "commands": [{"command": [0.5, 0.0, 0.0], "seconds": 2}],
    "expect": {"golden": {}},
}


def write(folder: Path, *cases: dict[str, Any], **more: Any) -> Path:
    (folder / "port").mkdir(exist_ok=True)
    path = folder / "my.regress.yaml"
    path.write_text(yaml.safe_dump({"suite_version": 1, "cases": list(cases), **more}, sort_keys=False))
    return path


def test_a_suite_knows_its_name_and_its_baselines(tmp_path: Path) -> None:
    """Baselines lie beside the suite, under its name."""
    suite = load_suite(write(tmp_path, CASE))
    assert (suite.name, suite.baselines) == ("my", tmp_path / "my.baselines")
    assert suite.case("walk").episodes == 1


def test_the_rate_of_false_alarms_is_the_suites(tmp_path: Path) -> None:
    """Each statistical expectation gets an equal share, so that the whole suite keeps what was stated."""
    statistical = {**CASE, "expect": {"statistical": {}}, "episodes": 50, "start_noise": 0.01}
    cases = [CASE, {**statistical, "name": "a"}, {**statistical, "name": "b"}]
    suite = load_suite(write(tmp_path, *cases, confidence=0.9))
    assert suite.alarm_rate == pytest.approx(0.05)
    assert suite.miss_rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expect": {"golde": {}}}, "unknown key 'golde'; did you mean 'golden'"),
        ({"expect": {}}, "expects nothing"),
        ({"plant": {"simulator": "moojoco"}}, "moojoco"),
        ({"port": None}, "exactly one of port and checkpoint"),
        ({"port": None, "checkpoint": "a.pt"}, "a checkpoint needs its contract"),
        ({"mapping": "m.yaml"}, "mapping goes with checkpoint, not with port"),
        ({"fold": True}, "fold goes with checkpoint, not with port"),
        ({"env": {"id": "X-v1"}}, "exactly one of plant and env"),
        ({"plant": None}, "exactly one of plant and env"),
        ({"plant": None, "env": {"id": "X-v1"}}, "an env brings its task"),
        ({"task": "so100-reach"}, "exactly one of task, commands and schedule"),
        ({"commands": []}, "exactly one of task, commands and schedule"),
        ({"commands": [], "task": "so100-reach", "start_noise": 0.1}, "start_noise goes with commands"),
        ({"episodes": 20}, "would all be the same one; give start_noise"),
        ({"expect": {"golden": {"episodes": 2}}}, "golden wants 2 episodes, the case has 1"),
        ({"expect": {"statistical": {"measure": "error"}}}, "`cap` goes with `measure: error`"),
        ({"expect": {"statistical": {"cap": 0.1}}}, "`cap` goes with `measure: error`"),
        ({"expect": {"statistical": {"margin": 1.5}}}, "margin"),
        ({"name": "a/b"}, "name"),
        ({"timeout": -1}, "timeout"),
        ({"port": "elsewhere"}, "case 'walk': port elsewhere: is not there\nA case that some machines can't run lists"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """With the file and its line."""
    case = {key: value for key, value in {**CASE, **change}.items() if value is not None}
    with pytest.raises(SuiteError) as error:
        load_suite(write(tmp_path, case))
    assert message in str(error.value)
    assert f"{tmp_path / 'my.regress.yaml'}:" in str(error.value)


def test_two_cases_of_one_name(tmp_path: Path) -> None:
    """Baselines are kept by name, so a name stands once."""
    with pytest.raises(SuiteError, match="two cases are called walk"):
        load_suite(write(tmp_path, CASE, CASE))


def test_what_a_case_needs_may_be_absent(tmp_path: Path) -> None:
    """Then its files may be, too."""
    case = {**CASE, "port": "../there/port", "needs": ["../there"]}
    assert load_suite(write(tmp_path, case)).cases[0].needs == ("../there",)
