"""A LeRobot policy on the arm: what goes over the wire is what LeRobot's own chain performs, within the limits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract, load_mapping
from policy_port.errors import MappingError, RobotError, TaskError
from policy_port.export.write import write_port
from policy_port.port.images import CameraInput
from policy_port.port.pilot import Pilot
from policy_port.remap import identity_remap
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.rehearsal import check_asking
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile, load_robot_file
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs.free_job import RESET, FreeJob
from policy_port.robots.jobs.run import Keep, RealRun, play_real
from policy_port.trace import Trace
from tests.robots.jobs.act_folder import (
    HEIGHT,
    MOTORS,
    PERFORMED,
    RATE,
    WIDTH,
    contract_document,
    select_actions,
    write_act,
)
from tests.robots.unhurried import unhurried

# LeRobot's video reader looks for libraries of the system when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore")

MAPPING = load_mapping("so100_maniskill_to_lerobot")
STEPS = 17
"""Of an episode: two chunks and a part of the third."""
SECONDS = STEPS / RATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_act(tmp_path_factory.mktemp("trained") / "act")


@pytest.fixture(scope="module")
def pilot(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pilot:
    """The port in LeRobot's numbers, as `policy-port export` writes it."""
    contract = Contract.model_validate(contract_document())
    place = tmp_path_factory.mktemp("port") / "port"
    port = write_port(place, load_policy(folder), identity_remap(contract), formats=("onnx",))
    return port.pilot()


def arm_file(**changes: Any) -> RobotFile:
    camera = CameraBounds(source=0, width=WIDTH + 16, height=HEIGHT, fps=RATE, crop=(0, 8, HEIGHT, WIDTH))
    return unhurried(cameras={"front": camera}).model_copy(update=changes)


def in_degrees(angles: np.ndarray) -> np.ndarray:
    """Radians of the URDF as LeRobot's numbers, by hand: shape (steps, 6), in the order of the motors."""
    shown = np.degrees(angles)
    shown[:, 2] += 6.8
    shown[:, 5] = (angles[:, 5] + 1.1) / 2.2 * 100.0
    return shown


def in_radians(shown: np.ndarray) -> np.ndarray:
    angles = np.radians(shown.astype(np.float64))
    angles[:, 2] -= np.radians(6.8)
    angles[:, 5] = shown[:, 5] / 100.0 * 2.2 - 1.1
    return angles


class Shown:
    """Copies of the frames that a network was shown once torque was on."""

    def __init__(self, patch: pytest.MonkeyPatch, at: Callable[[int], None] = lambda step: None) -> None:
        self.frames: list[np.ndarray] = []
        self.moving = False
        show = CameraInput.show

        def spy(camera: CameraInput, frame: np.ndarray) -> None:
            show(camera, frame)
            if self.moving:
                self.frames.append(frame.copy())
                at(len(self.frames))

        patch.setattr(CameraInput, "show", spy)


def perform(
    pilot: Pilot, robot: RobotFile, out: Path, shown: Shown, *, episodes: int = 1
) -> tuple[RealRun, np.ndarray]:
    """Play on the emulated arm; return the run and the last goals that each motor was sent, in ticks."""
    through = pilot.through(MAPPING)
    clock = VirtualClock()
    with emulate(robot, clock=clock) as rehearsal:

        def on_torque() -> None:
            rehearsal.let_go()
            shown.moving = True

        done = play_real(
            through,
            rehearsal.robot,
            FreeJob(through, SECONDS, ask=False),
            seeds=range(episodes),
            keep=Keep(folder=out),
            console=Console(continuous=True),
            on_torque=on_torque,
            time=clock,
        )
        log = [[w for w in rehearsal.arm.goals(motor)] for motor in MOTORS]
        decided = Trace(out / "trace.npz")["clock"]
        goals = [[next((w.value for w in writes if w.time >= t), -1) for writes in log] for t in decided]
    return done, np.array(goals)


@pytest.mark.slow
def test_the_wire_carries_what_lerobot_performs(
    pilot: Pilot, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two episodes with a camera: states and frames of each step through LeRobot's select_action give the goals."""
    shown = Shown(monkeypatch)
    robot = arm_file()
    slow = robot.joints["wrist_roll"].model_copy(update={"speed": 0.02})
    robot = robot.model_copy(update={"joints": robot.joints | {"wrist_roll": slow}})
    done, goals = perform(pilot, robot, tmp_path, shown, episodes=2)
    assert (done.result.setting["ended"], done.result.setting["arm"]) == ("task done", "at rest, torque off")
    trace = Trace(tmp_path / "trace.npz")
    episode = trace["episode"][:, 0]
    assert episode.tolist() == [0] * STEPS + [1] * STEPS
    starts = np.diff(episode, prepend=-1) > 0
    states, frames = in_degrees(trace["joint_pos"][:, 0]), np.stack(shown.frames)
    assert frames.std(axis=0).max() > 1.0, "a camera that never changes proves nothing of the order of frames"

    performed = select_actions(folder, states, frames, starts)
    np.testing.assert_allclose(trace["action"][:, 0], performed, atol=2e-4)
    np.testing.assert_allclose(trace["target"][:, 0], in_radians(performed), atol=1e-5)
    uncleared = select_actions(folder, states, frames, np.arange(len(states)) == 0)
    assert np.abs(uncleared - performed).max() > 0.01, "a chunk that goes on in the next episode would be seen"
    few = slice(0, PERFORMED)
    asked_always = select_actions(folder, states[few], frames[few], np.ones(PERFORMED, bool))
    assert np.abs(asked_always - performed[few]).max() > 0.01, "a chunk that does not go on would be seen"

    sent = trace["target_sent"][:, 0]
    quick = [index for index, motor in enumerate(MOTORS) if motor != "wrist_roll"]
    np.testing.assert_allclose(sent[:, quick], in_radians(performed)[:, quick], atol=1e-5)
    assert np.abs(np.diff(sent[:STEPS, 4])).max() <= 0.02 / RATE + 1e-9
    assert np.abs(sent - trace["target"][:, 0])[:, 4].max() > 1e-3
    np.testing.assert_array_equal(goals, [done.scale.goals(row) for row in sent])

    assert done.result["episodes"] == 2
    assert done.result["limited_steps"] == np.count_nonzero(np.abs(sent - trace["target"][:, 0]).max(axis=1) > 1e-6)
    changes = np.abs(np.diff(trace["target"][:, 0], axis=0)).max(axis=1)[~starts[1:]]
    assert done.result["asked_change_max"] == pytest.approx(changes.max())
    assert done.result["asked_change_mean"] == pytest.approx(changes.mean())
    assert done.result.setting["success"] == "nobody measured it: look"
    assert done.result.setting["chunks"] == "of 10 actions, 7 performed before the network is asked again"
    assert done.result.episodes == ()
    views = cv2.imread(str(tmp_path / "views.png"))
    assert views is not None
    assert views.shape[0] > 4 * HEIGHT, "a person has to see something in it"


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_chunk_ends_at_rest(
    pilot: Pilot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the chunk is not performed; the trace is whole to the last step."""
    step = PERFORMED + 3
    shown = Shown(monkeypatch, lambda count: os.kill(os.getpid(), signal.SIGINT) if count == step else None)
    done, _ = perform(pilot, arm_file(), tmp_path, shown)
    assert (done.result.setting["ended"], done.result.setting["arm"]) == ("stopped by SIGINT", "at rest, torque off")
    assert done.exit_code == 130
    assert done.result["episodes"] == 0
    sent = np.isfinite(Trace(tmp_path / "trace.npz")["target_sent"]).all(axis=(1, 2))
    assert sent.tolist() == [True] * (step - 1) + [False]


def refused(pilot: Pilot, robot: RobotFile, kind: type[Exception], message: str, *, through: bool = True) -> None:
    flown = pilot.through(MAPPING) if through else pilot
    job = FreeJob(flown, SECONDS, ask=False)
    with pytest.raises(kind, match=message):
        job.check(flown, robot)


def told(pilot: Pilot, **changes: Any) -> Pilot:
    """The same graph under a contract with changes."""
    contract = Contract.model_validate(contract_document(**changes))
    return Pilot(onnx=pilot.onnx, network_contract=contract, made_with=pilot.made_with)


@pytest.mark.slow
def test_a_port_in_degrees_without_its_mapping(pilot: Pilot) -> None:
    """Forgotten --through: degrees never reach an arm as radians, and the message says what to add."""
    message = (
        "is in LeRobot's numbers .deg, percent, joints shoulder_pan.pos.*Add --through .*so100_maniskill_to_lerobot"
    )
    refused(pilot, arm_file(), RobotError, message, through=False)
    named = {name.removesuffix(".pos"): joint for name, joint in contract_document()["joints"].items()}
    refused(told(pilot, joints=named), arm_file(), RobotError, "'gripper' is in percent .*--through", through=False)
    FreeJob(pilot.through(MAPPING), SECONDS, ask=False).check(pilot.through(MAPPING), arm_file())


@pytest.mark.slow
def test_percent_taken_for_degrees(pilot: Pilot, tmp_path: Path) -> None:
    """A policy of an arm without use_degrees does not go through a mapping in degrees, nor does its robot file."""
    joints = {name: joint | {"unit": "percent"} for name, joint in contract_document()["joints"].items()}
    with pytest.raises(MappingError, match="shoulder_pan.pos.*source_unit is deg, .*percent"):
        told(pilot, joints=joints).through(MAPPING)
    # Called degrees, the ends of a sweep lie beyond the arm's own limits.
    joints = contract_document()["joints"]
    joints["shoulder_lift.pos"] |= {"lower": -100.0, "upper": 100.0}
    refused(told(pilot, joints=joints), arm_file(), RobotError, "'shoulder_lift' goes from -1.74533 to 1.74533 rad")
    path = tmp_path / "arm.yaml"
    shipped = Path("policy_port/assets/robots/so100.yaml").read_text(encoding="utf-8")
    path.write_text(shipped.replace("use_degrees: true", "use_degrees: false"), encoding="utf-8")
    with pytest.raises(RobotError, match="with use_degrees: false LeRobot's shoulder_pan is in percent"):
        load_robot_file(path)


@pytest.mark.slow
def test_another_rate_than_the_arms(pilot: Pilot) -> None:
    """A data set of 50 frames per second is not played at the robot file's 30 Hz."""
    fast = told(pilot, timestep=0.02)
    refused(fast, arm_file(), RobotError, "the policy runs at 50 Hz, timing.control_frequency is 30")


@pytest.mark.slow
def test_cameras_that_are_not_the_contracts(pilot: Pilot) -> None:
    """A wrong name, a missing camera, another size and a sideways crop: both sides are named."""
    front = arm_file().cameras["front"]
    refused(
        pilot,
        arm_file(cameras={"frontal": front}),
        RobotError,
        "looks through camera 'front', the robot file has frontal; did you mean 'frontal'",
    )
    refused(pilot, arm_file(cameras={}), RobotError, r"camera 'front', the robot file has none\. Under cameras, give")
    whole = front.model_copy(update={"crop": None})
    message = "camera 'front': its picture is 112x64 in the robot file, the contract says 96x64 .*camera_size: .64, 112"
    refused(pilot, arm_file(cameras={"front": whole}), RobotError, message)
    image = contract_document()["images"][0] | {"camera_size": [HEIGHT, WIDTH + 16], "resize": "area"}
    flown = told(pilot, images=[image]).through(MAPPING)
    FreeJob(flown, SECONDS, ask=False).check(flown, arm_file(cameras={"front": whole}))


@pytest.mark.slow
def test_a_start_pose_that_no_demonstration_began_in(pilot: Pilot) -> None:
    """`default: 0` for every joint, as it is written in haste, is refused before the arm is led there."""
    joints = {name: joint | {"default": 0.0} for name, joint in contract_document()["joints"].items()}
    message = "shoulder_lift.pos at 0 deg, limits -88 to -72; elbow_flex.pos at 0 deg, limits 77 to 93; wrist_flex.pos"
    refused(told(pilot, joints=joints), arm_file(), TaskError, message)


@pytest.mark.slow
def test_a_goal_and_no_time_are_refused(pilot: Pilot) -> None:
    """A policy that waits for a goal gets none here, and a run needs a step."""
    goal = {"term": "goal", "size": 3, "frame": "base, m"}
    with pytest.raises(TaskError, match="reads a goal of 3 numbers, .*leave --seconds out"):
        FreeJob(told(pilot, observation={"terms": [{"term": "joint_pos"}, goal]}), 5.0, ask=False)
    with pytest.raises(TaskError, match="less than one control step, which is 0.0666667 s"):
        FreeJob(pilot, 0.01, ask=False)


def test_a_network_that_thinks_too_long_is_refused() -> None:
    """Before anything moves, with the bounds that a run would have exceeded; the quickest of the answers counts."""
    robot = load_robot_file("so100")
    check_asking(robot, [0.3, 0.05, 0.4], 1 / 30)
    with pytest.raises(ArmStopError, match=r"takes 0\.090 s, for which timing\.stale \(0\.1\) of"):
        check_asking(robot, [0.09], 1 / 30)
    with pytest.raises(ArmStopError, match=r"takes 0\.300 s, .*stale \(0\.1\), timing\.deadline \(0\.1\) of"):
        check_asking(robot, [0.3, 0.31], 1 / 30)
    bounds = robot.timing.model_copy(update={"stale": 9.0, "deadline": 9.0, "heartbeat": 9.0, "stale_frame": 2.0})
    with pytest.raises(ArmStopError, match=r"timing\.stale_frame \(2\) of.*raise each to 3\.0 s"):
        check_asking(arm_file(timing=bounds), [2.2], 1 / 30)
    # No robot file may say more, so nobody is told to write it.
    with pytest.raises(ArmStopError, match="No arm waits for longer than 3 s: take a faster computer"):
        check_asking(arm_file(timing=bounds), [2.6], 1 / 30)


def test_the_scene_is_asked_for_between_episodes() -> None:
    """Once between two episodes; never before the first one."""
    from policy_port.robots.jobs.free_job import TimedEpisodes

    asked: list[str] = []
    episodes = TimedEpisodes(1, 2, np.zeros((1, 6)), asked.append)
    rows, nothing = np.ones(1, bool), np.zeros((1, 6))
    episodes.begin(rows, nothing, nothing, nothing)
    assert asked == []
    episodes.begin(rows, nothing, nothing, nothing)
    assert asked == [RESET.format(2, 2)]
    assert episodes.rows == {0: (0, 0), 1: (0, 1)}
