"""Claims about tables of scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.compare.scores import read_rankings
from policy_port.errors import EvidenceError
from tests.compare.recordings import reach, walk


def test_numbers_and_runs_side_by_side(tmp_path: Path) -> None:
    """A cell is a score or a run relative to the file; the first world is the reference of each other one."""
    reach(tmp_path / "runs" / "a", seeds=range(10), good=9)
    reach(tmp_path / "runs" / "b", seeds=range(10), good=6)
    walk(tmp_path / "runs" / "c", envs=4, fallen=3)
    table = tmp_path / "scores.csv"
    table.write_text("policy, real, mujoco, newton\na, 0.8, runs/a, 1\nb, 0.9, runs/b, 2\n\nc, 0.1, runs/c, 0\n")
    mujoco, newton = read_rankings(table)
    assert mujoco.scores == ((0.8, 0.9), (0.9, 0.6), (0.1, 0.25))
    # a and b are swapped, which are 0.1 apart in reality: (0.1 + 0.1 + 0) / 3.
    assert mujoco.mmrv == pytest.approx(0.2 / 3)
    assert mujoco.swapped == ["b over a"]
    assert newton.mmrv == 0.0
    assert newton.pearson is not None
    assert 0.8 < newton.pearson < 1.0
    assert "not ranked so in mujoco: b over a" in mujoco.text()
    assert [row[0] for row in mujoco.rows()] == ["b", "a", "c"], "best first by the reference"


def test_what_says_little_is_said(tmp_path: Path) -> None:
    """Two policies always correlate; equal scores never do."""
    (tmp_path / "two.csv").write_text("policy,real,sim\na,1,0.2\nb,0,0.1\n")
    assert "always correlate" in read_rankings(tmp_path / "two.csv")[0].sentence()
    (tmp_path / "same.csv").write_text("policy,real,sim\na,1,0.2\nb,0,0.2\n")
    assert "undefined" in read_rankings(tmp_path / "same.csv")[0].sentence()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "given: nothing"),
        ("a,0.1,0.2\n", "line 1 must be a head"),
        ("policy,real\na,1\n", "line 1 must be a head"),
        ("policy,real,real\na,1,1\n", "line 1 must be a head"),
        ("policy,real,sim\na,1\n", ":2: has 2 cells, the head has 3"),
        ("policy,real,sim\na,1,1\n", "ranks 1 policies"),
        ("policy,real,sim\na,1,1\na,2,2\n", "lists a twice"),
        ("policy,real,sim\na,1,nan\nb,1,1\n", ":2: the score in sim is nan"),
        ("policy,real,sim\na,1,runs/no\nb,1,1\n", "'runs/no' in sim is neither a number nor a run"),
        ("policy,real,sim\na,1,\nb,1,1\n", "'' in sim is neither"),
        ("policy,real,sim\na,1,bare\nb,1,1\n", "has no success rate or survival"),
    ],
)
def test_a_malformed_table_is_one_message(tmp_path: Path, text: str, message: str) -> None:
    """File, line and world are named."""
    walk(tmp_path / "bare", metrics=False, steps=20)
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(EvidenceError) as caught:
        read_rankings(tmp_path / "scores.csv")
    assert message in str(caught.value)
    with pytest.raises(EvidenceError, match="can't be read"):
        read_rankings(tmp_path / "absent.csv")
