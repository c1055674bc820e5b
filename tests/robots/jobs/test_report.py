"""The report of a run on an arm: its numbers are the trace's, and nothing that fails hides how the arm was left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.replay.result import Metric, Result
from policy_port.report import Report, Table, write_report
from policy_port.robots.arm.stops import ArmStopError, Ending, LineError, OperatorStopError, RunEnd
from policy_port.robots.jobs.report import real_report
from policy_port.trace import Recorder, Trace

JOINTS = ["pan", "lift"]
STEPS = 4
REST = Ending(True, "", ())
FELL = Ending(False, "", ())
DONE, STOPPED = RunEnd(None, REST), RunEnd(OperatorStopError("SIGINT"), REST)
OVERLOAD = ArmStopError("elbow_flex: overload", may_move=False)


def recorded(path: Path, *, steps: int = 2 * STEPS, goal: int = 3) -> Trace:
    """Two episodes with ten seconds between them; lift is limited in three steps, and the last one was not sent."""
    header = {"joint_names": JOINTS, "control_dt": 0.05, "camera_names": ["front"], "calibration_sha256": "c4l1b"}
    with Recorder(path, header) as recorder:
        for step in range(steps):
            episode, within = divmod(step, STEPS)
            asked = np.array([[0.01 * within, 0.5]])
            sent = asked - (np.array([[0.0, 0.1]]) if step in (1, 2, 5) else 0.0)
            late = 0.001 * step
            recorder.record(
                time=np.array([0.05 * within]),
                episode=np.array([episode]),
                clock=100.0 + 0.05 * within + 10.0 * episode,
                joint_pos=np.array([[0.01 * (within - 1), 0.3 if episode else -3.0]]),
                target=asked,
                target_sent=np.full((1, 2), np.nan) if step == 2 * STEPS - 1 else sent,
                load=np.array([[-0.25, 0.1]]),
                lateness=np.array([np.nan if within == 0 else late]),
                observation_age=np.array([0.012]),
                frame_age=np.array([[0.02 + late]]),
                goal=np.zeros((1, goal)),
                tip_pos=np.full((1, 3), 0.1),
            )
    return Trace(path)


def outcome(end: RunEnd = DONE, *, rate: float | None = 0.5) -> Result:
    rates = () if rate is None else (Metric(key="success_rate", value=rate, text=f"{100 * rate:.1f} %"),)
    episodes = Metric(key="episodes", value=0 if rate is None else 2, text="")
    return Result(setting={"ended": end.sentence, "arm": str(end.arm), "robot": "so100"}, metrics=(episodes, *rates))


def page(tmp_path: Path, end: RunEnd = DONE, *, rate: float | None = 0.5, **more: Any) -> Report:
    trace = recorded(tmp_path / "trace.npz", **more)
    return real_report(outcome(end, rate=rate), end, trace, title="reach on so100", files={}, emulated=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return page(tmp_path_factory.mktemp("run"))


def table(report: Report, title: str) -> dict[str, tuple[str, ...]]:
    found: Table = next(table for table in report.tables if table.title == title)
    return {name: rest for name, *rest in found.rows}  # type: ignore[misc]


def test_joints_are_compared_with_what_was_sent(whole: Report) -> None:
    """Steps limited, most cut off, lag one period later within the episode, load: the way back between two is none."""
    joints = table(whole, "Joints")
    assert joints["pan"] == ["0 of 8", "0.0000", "0.0000", "25 %"]
    # Episode 0 measures lift at -3.0 with targets of 0.4 and 0.5; across the border it would be 0.5 to 0.3.
    assert joints["lift"] == ["3 of 8", "0.1000", "3.5000", "10 %"]


def test_times_are_those_within_an_episode(whole: Report) -> None:
    """The ten seconds between two episodes are no late step; what was not counted or not sent is left out."""
    times = table(whole, "Time [ms]")
    assert times["from one decision to the next"] == ["50.00", "50.00", "50.00"]
    assert times["target sent after it was due"] == ["4.00", "6.95", "7.00"]
    assert times["frame of front"] == ["23.50", "26.93", "27.00"]


@pytest.mark.parametrize(
    ("end", "rate", "says", "tone"),
    [
        (DONE, 0.5, "Done. Success in 50.0 %. The arm: at rest, torque off.", "neutral"),
        (DONE, 0.0, "Done. Success in 0.0 %.", "bad"),
        (STOPPED, None, "Stopped: stopped by SIGINT. No episode came to its end.", "neutral"),
        (RunEnd(OperatorStopError("SIGINT"), FELL), None, "The arm: torque off where it was.", "bad"),
        (RunEnd(OVERLOAD, FELL), 1.0, "Stopped: elbow_flex: overload.", "bad"),
        (RunEnd(OVERLOAD, REST), 1.0, "The arm: at rest, torque off.", "bad"),
        # The words of a reason decide nothing.
        (RunEnd(ArmStopError("stopped by nobody", may_move=True), REST), 1.0, "Stopped: stopped by nobody.", "bad"),
        (RunEnd(None, Ending(True, "", ("gripper",))), 1.0, "torque not confirmed off on gripper: switch", "bad"),
    ],
)
def test_the_verdict_says_how_it_ended_and_where_the_arm_is(
    tmp_path: Path, end: RunEnd, rate: float | None, says: str, tone: str
) -> None:
    """Never good news: a run that went well proves no port; an arm that was left elsewhere is bad news."""
    report = page(tmp_path, end, rate=rate, steps=0)
    assert says in report.verdict
    assert report.tone == tone


@pytest.mark.pictures
def test_the_page_holds_what_it_rests_on(tmp_path: Path, whole: Report) -> None:
    """Hashes, pictures, and what the numbers do not say: emulated, and tips by forward kinematics."""
    robot = tmp_path / "my_arm.yaml"
    robot.write_text("robot_version: 1\n")
    trace = recorded(tmp_path / "trace.npz")
    report = real_report(outcome(), DONE, trace, title="reach", files={robot.name: robot}, emulated=False)
    assert [text.split()[0] for text in report.warnings] == ["Tip"]
    assert len(whole.warnings) == 2
    written = write_report(tmp_path / "report.html", report)
    assert [file.name for file in written[1:]] == [f"report-{name}.png" for name in ("distance", "joints", "timing")]
    text = written[0].read_text()
    for words in ("c4l1b", "my_arm.yaml", "forward kinematics of the measured joints"):
        assert words in text


def test_a_run_that_ended_before_its_first_step_has_a_report(tmp_path: Path) -> None:
    """Without pictures, and with the reason."""
    report = page(tmp_path, RunEnd(LineError("no valid answer from gripper"), FELL), rate=None, steps=0)
    assert not report.pictures
    assert "no valid answer from gripper" in report.verdict


def test_what_fails_afterwards_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace that can't be read, or a bug: said, counted, not raised; the other outputs are written."""
    from policy_port.cli.real_outputs import RealOutputs
    from policy_port.robots.jobs.run import RealRun

    recorded(tmp_path / "trace.npz")
    run = RealRun(result=outcome(), end=DONE, exit_code=0, scale=None, frames=None)  # type: ignore[arg-type]
    outputs = RealOutputs(title="reach", out=tmp_path, robot=None, done=run)  # type: ignore[arg-type]
    outputs.report(tmp_path / "my_arm.yaml", emulated=True)
    assert (tmp_path / "report.html").is_file()
    assert not outputs.failed
    (tmp_path / "report.html").unlink()
    (tmp_path / "trace.npz").write_bytes(b"no trace")
    outputs.report(tmp_path / "my_arm.yaml", emulated=True)
    outputs.plot()
    assert outputs.failed
    heard = capsys.readouterr().err
    assert "report.html was not written" in heard
    assert "plot.png was not written" in heard
    assert not (tmp_path / "report.html").exists()


def test_a_policy_that_sees_its_goal_has_a_report_too(tmp_path: Path) -> None:
    """Its trace has a tip and no goal, and the page no picture of a distance."""
    (tmp_path / "told").mkdir()
    seen, told = page(tmp_path, goal=0), page(tmp_path / "told")
    assert len(seen.pictures) == len(told.pictures) - 1
