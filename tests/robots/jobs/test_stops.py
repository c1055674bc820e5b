"""A stop of the arm's supervisor ends an episode, not the run: it counts as failed, and one is asked before more."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from benchmarks.disturbed_arm import SoakArm
from policy_port.cli.app import app
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.reach import replay_reach
from policy_port.robots.arm.console import Console
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs.reach_job import ReachJob
from policy_port.robots.jobs.run import Keep, RealRun, play_real
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Trace
from tests.robots.unhurried import unhurried

TASK = dataclasses.replace(SO100_REACH, episode_steps=20)
ASKED: list[str] = []


class Person(Console):
    """Says yes, and remembers to what."""

    def confirm(self, question: str, idle: object) -> None:
        ASKED.append(question)


@pytest.fixture(scope="module")
def arm() -> Iterator[SoakArm]:
    robot = unhurried()
    with SoakArm(VirtualClock(), timing=robot.timing, approach_speed=robot.approach_speed) as arm:
        yield arm


def play(arm: SoakArm, pilot: Pilot, folder: Path, *faults: str, **bounds: float) -> RealRun:
    """Three episodes with at most two stops in a row; faults begin with the torque, the first time that it comes on."""
    due = list(faults)
    ASKED.clear()
    arm.lay_down()

    def on_torque() -> None:
        arm.arm.clear()
        while due:
            arm.arm.inject(due.pop())

    console = Person(continuous=True)
    console.lay = arm.lay_down
    joints = {name: joint.model_copy(update=bounds) for name, joint in arm.robot.joints.items()}
    return play_real(
        pilot, arm.robot.model_copy(update={"joints": joints}), ReachJob(TASK), seeds=range(3),
        keep=Keep(folder=folder, stops=3), console=console, on_torque=on_torque, time=arm.clock,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "why", "begun"),
    [
        ("stuck:shoulder_lift@1.5", "shoulder_lift stays", False),
        ("overload:elbow_flex@0.9", "elbow_flex: overload", True),
    ],
)
def test_a_stop_ends_its_episode_and_the_next_is_asked_for(
    arm: SoakArm, pilot: Pilot, tmp_path: Path, fault: str, why: str, begun: bool
) -> None:
    """Blocked on its way to the start, or overloaded: that episode has failed, the others are played once asked for."""
    done = play(arm, pilot, tmp_path, fault)
    assert done.exit_code == 0, done.result.table()
    rows = json.loads((tmp_path / "metrics.json").read_text())["episodes"]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    (number,) = (number for number, row in enumerate(rows) if row["stopped"] is not None)
    assert why in rows[number]["stopped"]
    assert not rows[number]["success"]
    assert (rows[number]["final_distance"] is not None, rows[number]["steps"] > 0) == (begun, begun)
    assert "1 of 3: by the arm's supervisor" in done.result.table()
    assert [question for question in ASKED if f"Episode {number + 1} was stopped, and counts as failed: " in question]
    assert sum("The arm will move" in question for question in ASKED) == 2
    trace = Trace(tmp_path / "trace.npz")
    assert trace.header["stopped"] is None
    assert why in trace.header["episodes"][number]["stopped"]
    numbers = [row["episode"] for row in trace.header["episodes"]]
    assert sorted(set(trace["episode"][:, 0].tolist())) == [n for n in numbers if begun or n != number]
    assert (trace["episode"][:, 0] == 2).sum() == 20


def test_three_stops_in_a_row_end_the_run(arm: SoakArm, pilot: Pilot, tmp_path: Path) -> None:
    """A bound that no motion keeps stops every episode; after the third nothing more is asked of the arm."""
    done = play(arm, pilot, tmp_path, tracking_error=0.005)
    assert done.exit_code == 1
    assert done.end.sentence.startswith("stopped 3 times in a row, the last time because ")
    assert "raise its `tracking_error` in the robot file above 0.005" in done.end.sentence
    assert Trace(tmp_path / "trace.npz").header["gave_up"] is True
    # What the message says: the bound raised.
    assert play(arm, pilot, _made(tmp_path / "again"), tracking_error=0.3).exit_code == 0


def test_simulation_stops_the_episodes_that_the_arm_stops(arm: SoakArm, pilot: Pilot, tmp_path: Path) -> None:
    """By a bound that no motion keeps, at the same time but for what dynamics differ by; by the arm's own, none."""
    bound, limits = 0.03, arm.robot.limits
    done = play(arm, pilot, tmp_path, tracking_error=bound)
    joints = {name: joint.model_copy(update={"tracking_error": bound}) for name, joint in limits.joints.items()}
    setup = PlantSetup.from_contract(pilot.contract)
    for number, given in enumerate((limits.model_copy(update={"joints": joints}), limits)):
        plant = make_plant("mujoco", "so100", setup, num_envs=3, limits=given)
        trace = tmp_path / f"simulated{number}.npz"
        found = replay_reach(pilot, plant, TASK, seed=0, episodes=3, decimation=setup.decimation, trace=trace)
        plant.close()
        assert [one.stopped is not None for one in found.episodes] == [number == 0] * 3
        if number == 0:
            steps = [[one.steps for one in result.episodes] for result in (done.result, found)]
            assert np.abs(np.diff(steps, axis=0)).max() <= 3, steps
            assert "stays" in Trace(trace).header["episodes"][0]["stopped"]


def test_what_the_motion_did_not_bring_about_ends_the_run(arm: SoakArm, pilot: Pilot, tmp_path: Path) -> None:
    """A servo that is too hot is no failure of the policy: nothing is tried again, however many stops are allowed."""
    done = play(arm, pilot, tmp_path, "overheat:gripper:75@1.3")
    assert done.exit_code == 1
    assert "servos report gripper: overheated" in done.end.sentence
    assert not [question for question in ASKED if "counts as failed" in question]


def test_after_a_stop_somebody_has_to_be_there(tmp_path: Path) -> None:
    """Without a terminal a real arm is not moved again: --stops is refused, and without it the port is asked for."""
    line = ["play", "so100-reach", "--real", "--robot", "so100", "--continuous", "--out", str(tmp_path / "out")]
    for more, says in (["--stops", "3"], "nobody can press Enter here: leave --stops out"), ([], "names no port"):
        done = CliRunner().invoke(app, [*line, *more])
        assert done.exit_code == 2
        assert says in " ".join(done.output.split())
        assert not (tmp_path / "out").exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
