"""The benchmark of the crank: it goes on to another plan, or arm, only where nobody has stopped it."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks import engine
from policy_port.errors import TrainError


@pytest.mark.parametrize(("code", "plans"), [(1, engine.PLANS), (engine.BY_OPERATOR, 1)])
def test_a_collection_that_somebody_stops_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, plans: int
) -> None:
    """A plan that the arm can't follow gives way to the next one; Ctrl-C and SIGTERM end the program with 130."""
    tried: list[int] = []

    def stopped(*_: object) -> NoReturn:
        tried.append(0)
        error = TrainError("stage 'turn1-collect' (collect): ended")
        error.exit_code = code
        raise error

    monkeypatch.setattr(engine, "turn_crank", stopped)
    monkeypatch.setattr(engine, "read_engine", lambda path: path)
    monkeypatch.setattr("sys.argv", ["engine.py", "--out", str(tmp_path), "--seeds", "1"])
    if code == engine.BY_OPERATOR:
        with pytest.raises(SystemExit) as ended:
            engine.main()
        assert ended.value.code == engine.BY_OPERATOR
    else:
        with pytest.raises(TrainError):
            engine.turn(tmp_path, 0, control=False)
    assert len(tried) == plans
