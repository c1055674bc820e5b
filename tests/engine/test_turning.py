"""The crank: stages in order, gone on with where cut, stopped where nothing is won; no mistake counts as progress."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
from pathlib import Path

import pytest

from policy_port.engine.document import read_engine
from policy_port.engine.turning import plan_of, turn_crank
from policy_port.errors import EvidenceError, OutputError, TrainError
from tests.engine.lab import PARTS, Lab

TURN = ("collect", "identify", "finetune", "port")


@pytest.mark.pictures
def test_it_stops_by_itself_and_says_why(lab: Lab) -> None:
    """Turn 1 brings the policy forward, turn 2 nothing significant: the third is not begun, and all of it is told."""
    done = lab.turn()
    stages = ["turn0-port", "turn0-simulate", "turn0-play", *(f"turn1-{name}" for name in TURN)]
    assert lab.calls[:7] == stages
    assert not [call for call in lab.calls if call.startswith("turn3")]
    assert [verdict.better for verdict in done.verdicts] == [True, False]
    assert "exact McNemar test" in done.text()
    assert "stopped by itself: turn 2 brought nothing significant; the result is the policy of turn 1" in done.said
    shown = done.text().splitlines()
    error, success, width = (next(line for line in shown if line.startswith(name)) for name in
                             ("held-out prediction error", "real success", "width of their intervals"))  # fmt: skip
    assert "0.004 (stock 0.06)" in error
    assert [share for share in ("0.30", "0.90", "0.95") if share not in success] == []
    assert width.split()[-2:] == ["1.00", "0.50"]
    assert "MMRV of success" in done.text()
    kept = json.loads((lab.folder / "toy" / "engine.json").read_text())
    assert [turn["real"] for turn in kept["turns"]] == [[6, 20], [18, 20], [19, 20]]
    page = (lab.folder / "toy" / "report.html").read_text()
    assert "stopped by itself" in page
    assert "Parameters, with their 95 % intervals" in page
    assert (lab.folder / "toy" / "report-turns.png").is_file()


def test_a_policy_that_is_always_stopped_has_failed_and_the_crank_goes_on(lab: Lab) -> None:
    """Three stops in a row: none of the twenty episodes counts as won, the table says why, and turn 1 is the better."""
    lab.stopped = True
    lab.write(turns=1)
    done = lab.turn()
    real = done.turns[0].own.real
    assert (real.won, real.stopped, real.unplayed, len(real.episodes)) == (0, 3, 17, 20)
    assert done.verdicts[0].better
    line = next(line for line in done.text().splitlines() if line.startswith("stopped by the arm's supervisor"))
    assert "3, and 17 not played (simulated 0)" in line
    assert "elbow_flex stays 0.31 rad behind" in (lab.folder / "toy" / "report.html").read_text()


def test_killed_in_any_stage_it_goes_on_there(lab: Lab) -> None:
    """Killed in whatever stage, what was done is not done again, what was half-written is gone, the end is the same."""
    lab.write(turns=1, control=True)
    engine, commands = lab.engine(), lab.commands()
    names, out = list(plan_of(engine, commands, PARTS)), lab.folder / "toy"
    struck = names[:: (len(names) - 1) // 3]
    for name in struck:
        lab.cut = name
        killed = multiprocessing.get_context("fork").Process(target=turn_crank, args=(engine, commands, PARTS, print))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        assert (out / name / "half").is_file()
    lab.cut = ""
    done = lab.turn()
    # All but the last ones were done by those that were killed later.
    assert lab.calls == names[names.index(struck[-1]) :]
    assert not list(out.rglob("*.part"))
    assert [(out / ".before" / name / "half").is_file() for name in struck] == [True] * len(struck)
    assert "control 1" in done.text()
    control = done.turns[1].control
    assert control is not None
    assert control.real.rate == 0.3
    lab.calls.clear()
    lab.turn()
    assert not lab.calls
    assert set(plan_of(lab.engine(), lab.commands(), PARTS).values()) == {"done"}


def test_data_of_earlier_turns_is_kept(lab: Lab) -> None:
    """Turn 2 fits what was collected in both turns and played before, and no turn performs another's plan again."""
    seen: list[list[list[str]]] = []

    def identify(out: Path, collected: list[Path], runs: list[Path]) -> None:
        seen.append([[folder.name for folder in group] for group in (collected, runs)])
        lab.identify(out, collected, runs)

    commands = dict(lab.commands())
    commands["identify"] = type(commands["identify"])(call=identify, rooms=())
    lab.commands = lambda: commands  # type: ignore[method-assign]
    lab.turn()
    assert seen[1] == [["turn1-collect", "turn2-collect"], ["turn0-play", "turn1-play"]]
    plans = [(lab.folder / "toy" / ".engine" / f"plan{turn}.yaml").read_text() for turn in (1, 2)]
    assert plans[0] != plans[1]


@pytest.mark.parametrize(
    ("forget", "says"),
    [
        ("dynamics", "did not learn in the identified simulator"),
        ("seeds", "success on other goals can't be compared"),
        ("goals", "though the seeds are the same"),
    ],
)
def test_what_is_not_what_it_is_called_is_refused(lab: Lab, forget: str, says: str) -> None:
    """A fine-tuning in the stock simulator and a success on other goals end the turn, and nothing is told of it."""
    lab.forget = forget
    with pytest.raises(EvidenceError, match=says):
        lab.turn()


def test_another_arm_in_a_later_turn_is_refused(lab: Lab) -> None:
    """Recordings of two calibrations are of two arms, whatever their joints are called."""
    lab.turn(until="turn1-play")
    lab.calibration = "b" * 64
    with pytest.raises(EvidenceError, match="another arm, or this one calibrated anew"):
        lab.turn()
    turn_crank(read_engine(lab.write(turns=1), lab.folder / "other"), lab.commands(), PARTS, lab.said.append)


def test_what_was_edited_is_refused_and_what_was_deleted_made_anew(lab: Lab) -> None:
    """A changed trace is not taken for what was measured; with its folder deleted, the stage runs again."""
    lab.write(turns=1)
    lab.turn()
    folder = lab.folder / "toy" / "turn1-identify"
    text = (folder / "dynamics.yaml").read_text()
    (folder / "dynamics.yaml").write_text(text.replace("so100.urdf", "so101.urdf"))
    with pytest.raises(OutputError, match="is not as stage 'turn1-identify' left it"):
        lab.turn()
    with pytest.raises(OutputError, match="Put it back, or delete the folder"):
        plan_of(lab.engine(), lab.commands(), PARTS)
    shutil.rmtree(folder)
    lab.calls.clear()
    lab.turn()
    # What came out is the same, so nothing behind it is made again.
    assert lab.calls == ["turn1-identify"]


def test_it_ends_after_a_stage_and_knows_their_names(lab: Lab) -> None:
    """--until ends after a stage; a stage that does not exist is refused with the nearest."""
    lab.turn(until="turn1-identify")
    assert lab.calls[-1] == "turn1-identify"
    with pytest.raises(TrainError, match="did you mean 'turn1-identify'"):
        lab.turn(until="turn1-identifi")
    plan = plan_of(lab.engine(), lab.commands(), PARTS)
    assert plan["turn1-identify"] == "done"
    assert plan["turn2-collect"] == "run, and moves the emulated arm"
