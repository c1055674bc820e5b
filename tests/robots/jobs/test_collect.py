"""A plan of excitation: clear of everything, within the limits, recorded as every run, and telling what it tells."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from pydantic import ValidationError

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")

from benchmarks import disturbed_arm
from policy_port.dynamics.document import Dynamics
from policy_port.errors import TaskError
from policy_port.plants.mujoco_model import build_robot
from policy_port.robot_models.find import find_robot
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.robot_file import load_robot_file
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.simulated import so100_setup
from policy_port.robots.jobs.collect_job import CollectJob
from policy_port.robots.jobs.excitation import PlannedEpisode, realise
from policy_port.robots.jobs.information import information
from policy_port.robots.jobs.plan import Plan, load_plan
from policy_port.robots.jobs.run import Keep, RealRun, play_real
from policy_port.trace import Recorder, Trace
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.filterwarnings("ignore")

ROBOT = load_robot_file("so100")
POSE = {"shoulder_pan": 0.0, "shoulder_lift": -0.9, "elbow_flex": 0.6, "wrist_flex": 0.5, "wrist_roll": 0.0}
SHORT: list[dict[str, Any]] = [
    {"kind": "steps", "joints": ["elbow_flex"], "seconds": 1.2, "amplitude": 0.2, "hold": 0.3, "pose": POSE},
    {"kind": "multisine", "seconds": 1.0, "amplitude": 0.15, "pose": POSE, "use": "held_out"},
]


def plan(*segments: dict[str, Any], **changes: Any) -> Plan:
    return Plan.model_validate(
        {"policy_port_plan": 1, "control_frequency": 30.0, "segments": list(segments or SHORT)} | changes
    )


def perform(
    job: CollectJob, rehearsal: Rehearsal, clock: VirtualClock, keep: Path, on_torque: Callable[[], None]
) -> RealRun:
    return play_real(
        job.pilot,
        rehearsal.robot,
        job,
        seeds=range(job.count),
        keep=Keep(folder=keep),
        console=Console(continuous=True),
        on_torque=on_torque,
        time=clock,
    )


@pytest.fixture(scope="module")
def short() -> tuple[PlannedEpisode, ...]:
    return realise(plan(), ROBOT, Path())


def test_the_shipped_plan_takes_three_minutes_within_every_limit() -> None:
    """Position, speed and acceleration of each target keep the robot file's bounds, and episodes are held out whole."""
    shipped, file = load_plan("so100_three_minutes")
    episodes = realise(shipped, ROBOT, file.parent)
    assert 150.0 < sum(len(one.targets) for one in episodes) / 30.0 < 200.0
    assert {one.use for one in episodes} == {"fit", "held_out"}
    bounds = [ROBOT.joints[name] for name in ROBOT.joint_names]
    for one in episodes:
        speed = np.diff(one.targets, axis=0, prepend=one.targets[:1]) * 30.0
        change = np.diff(speed, axis=0) * 30.0
        assert (one.targets >= [b.lower + 0.0999 for b in bounds]).all(), one.label
        assert (one.targets <= [b.upper - 0.0999 for b in bounds]).all(), one.label
        assert (np.abs(speed) <= [b.speed + 1e-6 for b in bounds]).all(), one.label
        assert (np.abs(change) <= [b.acceleration + 1e-6 for b in bounds]).all(), one.label


def test_an_arm_sends_what_was_planned_and_records_it(short: tuple[PlannedEpisode, ...], tmp_path: Path) -> None:
    """On an emulated arm with a delay and an offset the trace holds the planned targets and the arm's own lag."""
    hidden = Dynamics.model_validate(
        {
            "policy_port_dynamics": 1,
            "robot": {"file": "so100"},
            "joints": {"elbow_flex": {"delay": 0.06, "offset": 0.03}},
        }
    )
    (tmp_path / "plan.yaml").write_text("a plan")
    clock, job = VirtualClock(), CollectJob(plan(), tmp_path / "plan.yaml", ROBOT, short)
    with emulate(unhurried(), dynamics=hidden, clock=clock) as rehearsal:
        done = perform(job, rehearsal, clock, tmp_path, rehearsal.let_go)
    assert done.exit_code == 0
    trace = Trace(tmp_path / "trace.npz")
    assert [one["use"] for one in trace.header["planned"]] == ["fit", "held_out"]
    order = [ROBOT.joint_names.index(name) for name in trace.header["joint_names"]]
    planned = np.concatenate([one.targets for one in short])[:, order]
    np.testing.assert_allclose(trace["target"][:, 0], planned, atol=1e-6)
    assert np.abs(trace["target_sent"][:, 0] - planned).max() < 0.02
    read = trace["joint_pos"][:, 0, order.index(2)] - planned[:, order.index(2)]
    assert 0.02 < np.median(read[:5]) < 0.06


def test_sigterm_during_a_collection_ends_at_rest(short: tuple[PlannedEpisode, ...], tmp_path: Path) -> None:
    """As Ctrl-C does: torque off, exit status 130, and a trace that is whole up to there and says why it ends."""
    (tmp_path / "plan.yaml").write_text("a plan")
    clock, job = VirtualClock(), CollectJob(plan(), tmp_path / "plan.yaml", ROBOT, short)
    with emulate(unhurried(), clock=clock) as rehearsal:

        def on_torque() -> None:
            rehearsal.let_go()
            disturbed_arm.send_later(signal.SIGTERM, 3.0, clock)

        done = perform(job, rehearsal, clock, tmp_path, on_torque)
        assert not any(servo.torque for servo in rehearsal.arm.servos)
    assert (done.exit_code, done.result.setting["ended"], str(done.end.arm)) == (
        130,
        "stopped by SIGTERM",
        "at rest, torque off",
    )
    trace = Trace(tmp_path / "trace.npz")
    assert 0 < len(trace) < sum(len(one.targets) for one in short)
    assert trace.header["stopped"] == "stopped by SIGTERM"


def test_information_knows_what_a_plan_leaves_open(short: tuple[PlannedEpisode, ...]) -> None:
    """Steps of the elbow tell the elbow's delay and offset, and leave the wrist's friction unknown."""
    found = information(short[:1], ROBOT, 30.0, "Fixed_Jaw")
    left = dict(zip(found.names, found.left, strict=True))
    assert left["elbow_flex.delay"] < 0.1
    assert left["elbow_flex.offset"] < 0.5
    assert "wrist_roll.friction" in found.unexcited
    assert "not excited: " in found.text()
    assert (found.left <= 1.0 + 1e-9).all()


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        ({"kind": "chirp", "joints": ["elbow"], "seconds": 1.0}, "did you mean 'elbow_flex'"),
        ({"kind": "steps", "joints": "each", "seconds": 4.0, "amplitude": 3.0}, "smaller `amplitude`"),
        ({"kind": "steps", "seconds": 1.0, "pose": {"elbow_flex": 1.56}}, "leaves no room"),
        ({"kind": "steps", "seconds": 4000.0}, "shorten `seconds`"),
        ({"kind": "replay", "seconds": 1.0, "like": "none.npz"}, "none.npz: can't be read"),
        # Folded down past the table.
        ({"kind": "steps", "joints": ["gripper"], "seconds": 1.0, "amplitude": 0.05,
          "pose": {"shoulder_pan": 0, "shoulder_lift": 1.4, "elbow_flex": 0.9, "wrist_flex": 0.0, "wrist_roll": 0}},
         "no pose was found"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_before_anything_moves(segment: dict[str, Any], says: str) -> None:
    """Unknown joints, too much of a swing, too long, a missing trace, and a pose inside the table: each is named."""
    with pytest.raises(TaskError) as caught:
        realise(plan(segment), ROBOT, Path())
    assert says in str(caught.value)


def test_a_recorded_episode_is_replayed_at_its_own_rate(tmp_path: Path) -> None:
    """Another rate is refused with the one to write as control_frequency; then the targets are those of the trace."""
    header = {"joint_names": list(ROBOT.joint_names[::-1]), "control_dt": 0.05}
    targets = np.array([POSE.get(name, -0.9) for name in ROBOT.joint_names]) + 0.02 * np.arange(12)[:, None] / 12
    with Recorder(tmp_path / "like.npz", header) as recorder:
        for row in targets:
            recorder.record(target=row[None, ::-1], episode=np.array([0]))
    segment = {"kind": "replay", "seconds": 9.0, "like": "like.npz"}
    with pytest.raises(TaskError, match="write control_frequency: 20"):
        realise(plan(segment), ROBOT, tmp_path)
    (found,) = realise(plan(segment, control_frequency=20.0), ROBOT, tmp_path)
    np.testing.assert_allclose(found.targets, targets, atol=0.005)
    with pytest.raises(TaskError, match="`margin` 2 rad leaves joint shoulder_pan no room"):
        realise(plan(margin=2.0), ROBOT, tmp_path)
    for wrong, says in (
        ({"seconds": 1e12}, "less than or equal to 86400"),
        ({"joints": "each"}, "takes neither `joints` nor `pose`"),
        ({"kind": "steps"}, "takes no `like`"),
    ):
        with pytest.raises(ValidationError, match=says):
            plan(segment | wrong)


def test_clearance_is_kept_on_the_whole_way_and_not_at_poses_alone() -> None:
    """Between targets too, measured apart by MuJoCo's distances, no link is closer to the ground or the base."""
    asked, kept = 0.04, {"world", "Base"}
    episodes = realise(plan({**SHORT[1], "pose": None}, {**SHORT[1], "kind": "walk", "pose": None},
                            clearance=asked), ROBOT, Path())  # fmt: skip
    robot = build_robot(find_robot("so100"), so100_setup(dict.fromkeys(ROBOT.joint_names, 0.0)), meshes=True)
    model, data = robot.model, mujoco.MjData(robot.model)
    shapes = [shape for shape in range(model.ngeom) if model.geom_contype[shape]]
    names = {shape: model.body(int(model.geom_bodyid[shape])).name for shape in shapes}
    moving = [shape for shape in shapes if names[shape].endswith(("Lower_Arm", "Roll", "Jaw"))]
    pairs = [(one, other) for one in shapes if names[one] in kept for other in moving]
    order, least = [ROBOT.joint_names.index(joint.name) for joint in robot.joints], np.inf
    path = np.concatenate([one.targets for one in episodes])[:, order]
    for start, end in itertools.pairwise(path):
        for share in (0.0, 0.25, 0.5, 0.75):
            data.qpos[robot.qpos_index] = start + share * (end - start)
            mujoco.mj_kinematics(model, data)
            least = min(least, *(mujoco.mj_geomDistance(model, data, one, other, 0.5, None) for one, other in pairs))
    assert least >= asked


def test_a_clearance_that_cannot_be_kept_and_a_sine_that_cannot_be_sent_are_refused() -> None:
    """More than a decimetre is refused with the bound, a sine above half of the rate with that half."""
    with pytest.raises(ValidationError, match="less than or equal to 0.1"):
        plan(clearance=0.11)
    for kind in ("chirp", "multisine"):
        segment = {"kind": kind, "seconds": 1.0, "low": 1.0, "high": 10.1}
        with pytest.raises(ValidationError, match=r"high 10\.1 Hz is above 10 Hz, half of control_frequency"):
            plan(segment, control_frequency=20.0)
        plan(segment | {"high": 10.0}, control_frequency=20.0)
    # Steps have no frequency.
    plan({"kind": "steps", "seconds": 1.0, "high": 50.0})
