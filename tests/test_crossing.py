"""The table of real policies in simulators: rows are read back, single ones replaced, and none is left out silently."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def crossing() -> Any:
    spec = importlib.util.spec_from_file_location("crossing", BENCHMARKS / "crossing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(crossing: Any, policy: str, plant: str, verdict: str, **more: str) -> dict[str, str]:
    return dict.fromkeys(crossing.COLUMNS, "") | {"policy": policy, "plant": plant, "verdict": verdict} | more


def test_single_rows_are_replaced(crossing: Any) -> None:
    """Of a table that is read back the rows of the same policy and simulator give way, all others stay as they were."""
    old = [row(crossing, "a", "mujoco", "fell", **{"survival s": "2.00"}), row(crossing, "a", "newton", "walks"),
           row(crossing, "b", "", "no robot"), row(crossing, "gone", "mujoco", "walks")]  # fmt: skip
    assert crossing.read_rows(crossing.document(old)) == old
    fresh = [row(crossing, "a", "mujoco", "walks"), row(crossing, "b", "mujoco", "rolls")]
    assert crossing.merged(old, fresh, ["a", "b"]) == [fresh[0], old[1], fresh[1]]
    assert "| a |" in crossing.summary(old)
    assert "falls at 2.0 s" in crossing.summary(old)


def test_every_contract_has_an_entry_or_a_row_that_says_so(crossing: Any, tmp_path: Path) -> None:
    """A contract that the catalogue does not know, and an entry without a contract, are rows with the reason."""
    contracts = BENCHMARKS.parent / "tests" / "real_policies"
    entries = crossing.load_catalogue(BENCHMARKS / "crossing.yaml", contracts)
    assert [name for name in entries if "has no entry" in entries[name].get("reason", "")] == []
    assert {next(iter(entry["bar"])) for entry in entries.values() if "bar" in entry} <= set(crossing.DONE)
    (tmp_path / "new.yaml").write_text("")
    entries = crossing.load_catalogue(BENCHMARKS / "crossing.yaml", tmp_path)
    told = list(crossing.cross({name: entries[name] for name in ("new", "tron1_pf")}, ["mujoco"]))
    assert ["has no entry" in told[0]["verdict"], "has no contract" in told[1]["verdict"]] == [True, True]


@pytest.mark.parametrize(
    ("bar", "result", "met"),
    [
        ({"walk": 0.5}, {"mean_lin_vel_x": 0.56}, True),
        ({"roll": 0.5}, {"mean_lin_vel_x": 0.6}, False),
        ({"walk": 0.5}, {"mean_lin_vel_x": None}, False),
        ({"follow": 0.15}, {"reference_joint_rmse": 0.2}, False),
        ({"follow": 0.15}, {"reference_joint_rmse": 0.1, "reference_anchor_mean_angle": 0.04}, True),
        ({"stand": 0}, {}, True),
    ],
)
def test_each_kind_of_policy_has_its_bar(crossing: Any, bar: Any, result: Any, met: bool) -> None:
    """Walkers and wheels are held to a speed, trackers to their clip."""
    assert crossing.judged(bar, result)[2] is met
