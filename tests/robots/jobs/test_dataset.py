"""What a run's dataset holds: the goals on the wire, what LeRobot would have read, in its units, order and step."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.errors import MissingDependencyError, OutputError, RobotError
from policy_port.port.pilot import Pilot
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import MOTORS, CameraBounds, RobotFile, load_robot_file
from policy_port.robots.arm.servo_scale import servo_scale
from policy_port.robots.arm.stops import Ending, RunEnd
from policy_port.robots.emulator.bus import WireWrite
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs import dataset as module
from policy_port.robots.jobs.dataset import check_dataset, features, lerobot_steps, write_dataset
from policy_port.robots.jobs.frame_spool import FrameSpool
from policy_port.robots.jobs.reach_job import ReachJob
from policy_port.robots.jobs.run import Keep, RealRun, play_real
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Recorder, Trace
from tests.robots.unhurried import unhurried

SHIPPED = load_robot_file("so100")
CALIBRATION: Any = DEFAULT_CALIBRATION
EPISODES, STEPS = 2, 12
HUNDREDTH = 5e-4
"""Less than a hundredth of a tick, in degrees or percent."""
WITH_LEROBOT = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in module.NEEDED),
    reason="LeRobot's dataset parts are not installed: pip install 'policy-port[dataset]'",
)


def lerobot_numbers(robot: RobotFile, ticks: np.ndarray, calibration: Any = CALIBRATION) -> np.ndarray:
    """What LeRobot's own driver makes of readings; shape (steps, motors), motors in the order of their ids."""
    from lerobot.motors import MotorCalibration
    from lerobot.robots.so_follower import SOFollower, SOFollowerRobotConfig

    arm = SOFollower(SOFollowerRobotConfig(port="/dev/null", id="nobody", use_degrees=robot.use_degrees))
    arm.bus.calibration = {name: MotorCalibration(**vars(servo)) for name, servo in calibration.items()}
    rows = [arm.bus._normalize(dict(enumerate(row.tolist(), start=1))) for row in np.atleast_2d(ticks)]
    return np.array([list(row.values()) for row in rows], np.float32)


@dataclasses.dataclass(frozen=True)
class Done:
    run: RealRun
    robot: RobotFile
    trace: Trace
    log: tuple[WireWrite, ...]
    folder: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, pilot: Pilot) -> Iterator[Done]:
    """Two episodes on an arm that is slower than the policy asks for, with a camera."""
    folder = tmp_path_factory.mktemp("run")
    slow = SHIPPED.joints["shoulder_lift"].model_copy(update={"speed": 0.5})
    camera = CameraBounds(source=0, width=64, height=48, fps=15, crop=(8, 4, 32, 48))
    robot = unhurried(cameras={"front": camera}, joints=SHIPPED.joints | {"shoulder_lift": slow})
    clock = VirtualClock()
    with emulate(robot, clock=clock) as rehearsal:
        run = play_real(
            pilot,
            rehearsal.robot,
            ReachJob(dataclasses.replace(SO100_REACH, episode_steps=STEPS)),
            seeds=range(EPISODES),
            keep=Keep(folder=folder, frames=True),
            console=Console(continuous=True),
            on_torque=rehearsal.let_go,
            time=clock,
        )
        assert run.result.setting["ended"] == "task done"
        yield Done(run, rehearsal.robot, Trace(folder / "trace.npz"), rehearsal.arm.wire_log, folder)


def written_after(done: Done) -> list[list[WireWrite]]:
    """The goal of each step and motor as the wire log has it: the first one after the policy had decided."""
    goals = {motor: [w for w in done.log if (w.joint, w.register) == (motor, "Goal_Position")] for motor in MOTORS}
    return [
        [next(write for write in goals[motor] if write.time >= decided) for motor in MOTORS]
        for decided in done.trace["clock"]
    ]


def column(writes: list[list[WireWrite]], key: str) -> np.ndarray:
    return np.array([[getattr(write, key) for write in row] for row in writes])


@pytest.mark.slow
def test_the_action_is_what_went_over_the_wire(done: Done) -> None:
    """Every goal as LeRobot itself would read it, and not what the policy asked for, which was faster."""
    steps = lerobot_steps(done.trace, done.robot, done.run.scale)
    goals = column(written_after(done), "value")
    assert len(steps.action) == EPISODES * STEPS
    np.testing.assert_allclose(steps.action, lerobot_numbers(done.robot, goals), atol=HUNDREDTH)
    lift = MOTORS.index("shoulder_lift")
    assert np.abs(steps.asked - steps.action)[:, lift].max() > 1.0
    # What was asked for is kept exactly: the mapping of the robot file applied to the trace, by its numbers alone.
    asked = np.degrees(done.trace["target"][:, 0, lift])
    np.testing.assert_allclose(steps.asked[:, lift], asked, atol=1e-4)


@pytest.mark.slow
def test_the_state_is_what_the_action_was_decided_on(done: Done) -> None:
    """Not one step early or late: where the servos were at the measurement's age before the goal was written."""
    steps = lerobot_steps(done.trace, done.robot, done.run.scale)
    writes = written_after(done)
    time, there = column(writes, "time"), lerobot_numbers(done.robot, column(writes, "present"))
    share = 1.0 - done.trace["observation_age"][1:] / np.diff(time, axis=0)
    expected = there[:-1] + share * np.diff(there, axis=0)
    # Steps with one before and one after them in the same episode.
    inner = np.flatnonzero((np.diff(steps.episode)[:-1] == 0) & (np.diff(steps.episode)[1:] == 0)) + 1

    def away(shift: int) -> float:
        return float(np.abs(steps.state[inner + shift] - expected[inner - 1]).mean())

    assert away(0) < 0.4 * min(away(-1), away(1)), (away(-1), away(0), away(1))
    # And it is what LeRobot reads of the ticks that were measured.
    ticks = np.rint(done.run.scale.ticks(done.trace["joint_pos"][:, 0]))
    np.testing.assert_allclose(steps.state, lerobot_numbers(done.robot, ticks.astype(int)), atol=HUNDREDTH)


@pytest.mark.slow
def test_frames_are_kept_step_by_step(done: Done) -> None:
    """One cropped frame per step of the trace, on disk; the trace's frame ages belong to them."""
    frames = done.run.frames
    assert frames is not None
    assert (frames.steps, frames.shapes) == (EPISODES * STEPS, {"front": (32, 48, 3)})
    assert frames.frame("front", EPISODES * STEPS - 1).std() > 0.0


def synthetic(
    folder: Path, robot: RobotFile, ticks: np.ndarray, sent: np.ndarray, *, names: tuple[str, ...] | None = None
) -> Trace:
    """A trace of an arm that read `ticks` and was sent `sent` [rad], its joints in the order `names`."""
    scale = servo_scale(robot, CALIBRATION)
    names = names or robot.joint_names
    order = [robot.joint_names.index(name) for name in names]
    path = folder / "trace.npz"
    with Recorder(path, {"joint_names": list(names), "control_dt": 0.05}) as recorder:
        for index, (row, angles) in enumerate(zip(ticks, sent, strict=True)):
            recorder.record(
                joint_pos=scale.angles(row.astype(float))[None, order],
                target=angles[None, order],
                target_sent=angles[None, order],
                episode=np.array([index // 3]),
                goal=np.full((1, 3), 0.1 * index),
            )
    return Trace(path)


def readings(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ticks from below to above each sweep, and targets within the limits [rad]."""
    share = np.linspace(-0.05, 1.05, count)[:, None]
    least, most = (
        np.array([getattr(CALIBRATION[motor], key) for motor in MOTORS]) for key in ("range_min", "range_max")
    )
    lower, upper = (
        np.array([getattr(SHIPPED.joints[name], key) for name in SHIPPED.joint_names]) for key in ("lower", "upper")
    )
    inside = np.clip(share, 0.0, 1.0)
    return np.rint(least + share * (most - least)).astype(int), lower + inside * (upper - lower)


@pytest.mark.parametrize("degrees", [True, False])
def test_units_are_the_robot_files(tmp_path: Path, degrees: bool) -> None:
    """Degrees or percent of the sweep, as use_degrees says; percent is cut off at the ends as LeRobot does."""
    mapping = SHIPPED.mapping.model_dump()
    if not degrees:
        for name, joint in mapping["joints"].items():
            if name != "gripper":
                joint |= {"unit": "percent", "scale": 50.0, "offset": 0.0}
    robot = SHIPPED.model_copy(
        update={"use_degrees": degrees, "joint_map": type(SHIPPED.mapping).model_validate(mapping)}
    )
    ticks, sent = readings(9)
    trace = synthetic(tmp_path, robot, ticks, sent)
    steps = lerobot_steps(trace, robot, servo_scale(robot, CALIBRATION))
    np.testing.assert_allclose(steps.state, lerobot_numbers(robot, ticks), atol=HUNDREDTH)
    assert (steps.state[[0, -1], MOTORS.index("gripper")] == [0.0, 100.0]).all()
    assert (np.abs(steps.state[[0, -1], 0]) > 100.0).all() == degrees
    np.testing.assert_allclose(steps.goal[:, 0], 0.1 * np.arange(9), rtol=1e-6)


def test_joints_are_found_by_name(tmp_path: Path) -> None:
    """A trace in another joint order gives the same dataset, in LeRobot's."""
    ticks, sent = readings(6)
    (tmp_path / "other").mkdir()
    scale = servo_scale(SHIPPED, CALIBRATION)
    straight = lerobot_steps(synthetic(tmp_path, SHIPPED, ticks, sent), SHIPPED, scale)
    names = tuple(reversed(SHIPPED.joint_names))
    turned = lerobot_steps(synthetic(tmp_path / "other", SHIPPED, ticks, sent, names=names), SHIPPED, scale)
    for key in ("state", "action", "asked"):
        np.testing.assert_array_equal(getattr(straight, key), getattr(turned, key))
    described = features(SHIPPED, {}, 3)
    assert described["action"]["names"] == [f"{motor}.pos" for motor in MOTORS]
    # LeRobot lets a policy learn whatever begins with "action".
    assert [key for key in described if key.startswith("action")] == ["action"]


def test_a_step_that_was_not_sent_is_left_out(tmp_path: Path) -> None:
    """The last one of a run that was stopped."""
    ticks, sent = readings(5)
    sent[-1] = np.nan
    steps = lerobot_steps(synthetic(tmp_path, SHIPPED, ticks, sent), SHIPPED, servo_scale(SHIPPED, CALIBRATION))
    assert steps.rows.tolist() == [0, 1, 2, 3]
    assert steps.episode.tolist() == [0, 0, 0, 1]
    assert np.isfinite(steps.action).all()


class Double:
    """Stands for LeRobotDataset where its libraries are not: keeps what it is given, and can fail."""

    made: Double

    def __init__(self, failing: bool = False) -> None:
        self.failing, self.closed = failing, False
        self.frames: list[dict[str, Any]] = []
        self.episodes: list[list[dict[str, Any]]] = []

    def create(self, *, repo_id: str, fps: int, features: dict[str, Any], root: Path, robot_type: str) -> Double:
        root.mkdir(exist_ok=False)
        self.about, self.frames = (repo_id, fps, robot_type), []
        self.features = features
        return self

    def add_frame(self, frame: dict[str, Any]) -> None:
        assert set(frame) == {*self.features, "task"}
        self.frames.append(frame)

    def save_episode(self, parallel_encoding: bool) -> None:
        if self.failing and self.episodes:
            raise OSError(28, "No space left on device")
        self.episodes.append(self.frames)
        self.frames = []

    def finalize(self) -> None:
        self.closed = True


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Double:
    made = Double()
    monkeypatch.setattr(module, "dataset_class", lambda: made)
    monkeypatch.setattr(module, "_read_back", lambda *_: None)
    return made


def spooled(folder: Path, count: int) -> FrameSpool:
    frames = FrameSpool(folder / "frames")
    for step in range(count):
        frames.put({"front": np.full((2, 4, 3), step, np.uint8)})
    frames.close()
    return frames


def test_each_episode_of_the_run_is_one_of_the_dataset(tmp_path: Path, double: Double) -> None:
    """Every frame with its own step's picture; steps beyond the last whole picture are left out."""
    ticks, sent = readings(8)
    scale = servo_scale(SHIPPED, CALIBRATION)
    trace, frames = synthetic(tmp_path, SHIPPED, ticks, sent), spooled(tmp_path, 7)
    assert write_dataset(tmp_path / "set", trace, SHIPPED, scale, task="reach", frames=frames) == 7
    assert [len(episode) for episode in double.episodes] == [3, 3, 1]
    flat = [frame for episode in double.episodes for frame in episode]
    assert [int(frame["observation.images.front"][0, 0, 0]) for frame in flat] == list(range(7))
    assert {frame["task"] for frame in flat} == {"reach"}
    assert double.about == ("local/set", 20, "so_follower")
    assert double.closed
    assert (tmp_path / "set").is_dir()


def test_nothing_is_half_written(tmp_path: Path, double: Double) -> None:
    """A full disk leaves no folder; a run without a step that was sent makes none."""
    ticks, sent = readings(8)
    scale = servo_scale(SHIPPED, CALIBRATION)
    trace = synthetic(tmp_path, SHIPPED, ticks, sent)
    double.failing = True
    with pytest.raises(OutputError, match="the disk is full"):
        write_dataset(tmp_path / "set", trace, SHIPPED, scale, task="reach")
    assert [path.name for path in tmp_path.iterdir()] == ["trace.npz"]
    with Recorder(tmp_path / "empty.npz", {"joint_names": list(SHIPPED.joint_names), "control_dt": 0.05}):
        pass
    assert write_dataset(tmp_path / "set", Trace(tmp_path / "empty.npz"), SHIPPED, scale, task="reach") == 0
    assert not (tmp_path / "set").exists()


def test_the_command_writes_it_and_tidies_up(
    tmp_path: Path, double: Double, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames go once the dataset has them, and stay where it failed; without a step there is a word why."""
    from policy_port.cli.real_outputs import RealOutputs
    from policy_port.replay.result import Result

    ticks, sent = readings(4)
    synthetic(tmp_path, SHIPPED, ticks, sent)
    frames = spooled(tmp_path, 4)
    scale = servo_scale(SHIPPED, CALIBRATION)
    end = RunEnd(None, Ending(True, "", ()))
    run = RealRun(result=Result(setting={}, metrics=()), end=end, exit_code=0, scale=scale, frames=frames)
    outputs = RealOutputs(title="reach", out=tmp_path, robot=SHIPPED, done=run)
    double.failing = True
    outputs.dataset(tmp_path / "set")
    assert outputs.failed
    assert frames.folder.is_dir()
    assert "set was not written" in capsys.readouterr().err
    double.failing, double.episodes = False, []
    outputs.dataset(tmp_path / "set")
    assert outputs.outside == [tmp_path / "set"]
    assert [len(episode) for episode in double.episodes] == [3, 1]
    assert not frames.folder.exists()
    sent[:] = np.nan
    synthetic(tmp_path, SHIPPED, ticks, sent)
    outputs = RealOutputs(title="", out=tmp_path, robot=SHIPPED, done=dataclasses.replace(run, frames=None))
    outputs.dataset(tmp_path / "other")
    assert not outputs.failed
    assert "no dataset in" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_what_can_not_be_written_is_refused_before_motion(
    tmp_path: Path, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is taken or can't be, a rate or name that LeRobot's format does not have."""
    monkeypatch.setattr(module, "_check_encoder", lambda: None)
    run = tmp_path / "run"
    check_dataset(tmp_path / "new" / "set", run, SHIPPED, 0.05)
    check_dataset(run / "set", run, SHIPPED, 0.05)
    (tmp_path / "file").touch()
    for folder, words in (
        (tmp_path, "exists already"),
        (run, "the run's own files"),
        (tmp_path / "file" / "set", "be made"),
    ):
        with pytest.raises(OutputError, match=words):
            check_dataset(folder, run, SHIPPED, 0.05)
    with pytest.raises(OutputError, match="the run's own files"):
        check_dataset(tmp_path / "set", tmp_path / "set" / "run", SHIPPED, 0.05)
    with pytest.raises(RobotError, match="runs at 33.3333 Hz"):
        check_dataset(tmp_path / "set", run, SHIPPED, 0.03)
    camera = CameraBounds(source=0, width=64, height=48, fps=15)
    with pytest.raises(RobotError, match="camera 'a/b'"):
        check_dataset(tmp_path / "set", run, SHIPPED.model_copy(update={"cameras": {"a/b": camera}}), 0.05)


def test_missing_parts_of_lerobot_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings them."""
    monkeypatch.setattr(module, "NEEDED", ("numpy", "not_there_at_all"))
    with pytest.raises(MissingDependencyError, match=r"not_there_at_all, .* pip install 'policy-port\[dataset\]'"):
        module.dataset_class()


@WITH_LEROBOT
@pytest.mark.slow
def test_lerobot_loads_it(done: Done, tmp_path: Path) -> None:
    """Offline, with LeRobot's own class: columns, episodes, times, statistics, pictures."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    folder = tmp_path / "set"
    check_dataset(folder, tmp_path / "run", done.robot, 0.05)
    turns = os.sched_getscheduler(0)
    count = write_dataset(folder, done.trace, done.robot, done.run.scale, task="reach", frames=done.run.frames)
    # The encoder, called as root, puts its caller before all other processes.
    assert os.sched_getscheduler(0) == turns
    loaded: Any = LeRobotDataset("local/set", root=folder)
    steps = lerobot_steps(done.trace, done.robot, done.run.scale)
    assert (count, len(loaded), loaded.num_episodes, loaded.fps) == (EPISODES * STEPS, EPISODES * STEPS, EPISODES, 20)
    assert loaded.meta.robot_type == "so_follower"
    frames = done.run.frames
    assert frames is not None
    for index in (0, STEPS - 1, STEPS, EPISODES * STEPS - 1):
        item = loaded[index]
        np.testing.assert_array_equal(item["action"].numpy(), steps.action[index])
        np.testing.assert_array_equal(item["observation.state"].numpy(), steps.state[index])
        np.testing.assert_array_equal(item["asked_action"].numpy(), steps.asked[index])
        assert float(item["timestamp"]) == pytest.approx(0.05 * (index % STEPS), abs=1e-5)
        assert (int(item["episode_index"]), item["task"]) == (index // STEPS, "reach")
        picture = item["observation.images.front"].numpy().transpose(1, 2, 0)
        assert np.abs(picture - frames.frame("front", index) / 255.0).mean() < 0.05
    np.testing.assert_allclose(loaded.meta.stats["action"]["max"], steps.action.max(axis=0), rtol=1e-5)


def test_frames_wait_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs ends the run before memory grows; what was kept until then is whole."""
    from policy_port.robots.arm.stops import ArmStopError
    from policy_port.robots.jobs.frame_spool import WAITING

    awake, kept = threading.Event(), FrameSpool._append

    def hang(self: FrameSpool, name: str, image: np.ndarray) -> None:
        assert awake.wait(20.0)
        kept(self, name, image)

    monkeypatch.setattr(FrameSpool, "_append", hang)
    frames = FrameSpool(tmp_path / "frames")
    with pytest.raises(ArmStopError, match="does not keep up") as stop:
        for step in range(WAITING + 2):
            frames.put({"front": np.full((2, 4, 3), step, np.uint8)})
    assert stop.value.may_move
    awake.set()
    frames.close()
    assert WAITING <= frames.steps < WAITING + 2
    assert [int(frames.frame("front", step)[1, 2, 0]) for step in (0, frames.steps - 1)] == [0, frames.steps - 1]


def test_a_disk_that_fails_ends_the_run(tmp_path: Path) -> None:
    """The next step says why; the file's whole frames stay."""
    from policy_port.robots.arm.stops import ArmStopError

    frames = FrameSpool(tmp_path / "frames")
    frames.put({"front": np.zeros((2, 4, 3), np.uint8)})
    frames.put({"front": np.zeros((3, 4, 3), np.uint8)})
    frames.close()
    with pytest.raises(ArmStopError, match="can't be kept.*delivers"):
        frames.put({"front": np.zeros((2, 4, 3), np.uint8)})
    assert frames.steps == 1
    frames.discard()
    assert not frames.folder.exists()
