"""A run on an arm as a LeRobotDataset: what LeRobot would have read, and what was sent, in LeRobot's numbers.

It is made from the trace after the arm has been looked after. The dataset's `action` is the goal that went over the
line, not what the policy asked for; that is kept beside it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.control.joint_map import joint_indices
from policy_port.errors import MissingDependencyError, OutputError, RobotError
from policy_port.files import output_folder
from policy_port.robots.arm.robot_file import MOTORS, SUFFIX, RobotFile
from policy_port.robots.arm.servo_scale import ServoScale
from policy_port.robots.jobs.frame_spool import FrameSpool
from policy_port.trace import Trace

NEEDED = ("datasets", "av", "pandas", "pyarrow")
"""What LeRobot's `dataset` extra brings."""
STATE, ACTION, IMAGE = "observation.state", "action", "observation.images."
GOAL = "observation.environment_state"
ASKED = "asked_action"
"""Not "action_asked": LeRobot lets a policy learn every feature whose name begins with "action"."""

SUCCESS = "episode_success"
"""1 or 0 in every step of an episode, as the person in front of the arm said; NaN where nobody did."""

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of a run whose target was sent; arrays of numbers have the step first, then LeRobot's motor order."""

    rows: NDArray[np.int64]
    """Where each step stands in the trace."""
    episode: NDArray[np.int64]
    """Number of its episode."""
    state: Rows
    """What SOFollower.get_observation would have given: degrees or percent of the sweep, gripper 0 to 100."""
    action: Rows
    """The goal that was sent, in the same units: after the supervisor's limits and the rounding to ticks."""
    asked: Rows
    """What the policy asked for, in the same units: neither limited nor rounded."""
    goal: Rows
    """The goal that the policy was given, shape (steps, goal size)."""


def check_dataset(folder: Path, out: Path, robot: RobotFile, control_dt: float) -> None:
    """Refuse, before anything moves, what could not be written afterwards.

    Args:
        folder: Where the dataset shall be; it must not exist.
        out: Where the run's own files go.
        robot: The arm.
        control_dt: Control period [s].

    Raises:
        MissingDependencyError: When LeRobot's dataset parts are not installed, or can't encode video.
        OutputError: When the folder is taken, or can't be made.
        RobotError: When LeRobot's format can't hold the rate or a camera's name.
    """
    dataset_class()
    _check_encoder()
    place, run = folder.expanduser().resolve(), out.expanduser().resolve()
    if os.path.lexists(place):
        raise OutputError(f"{folder}: exists already; name a folder that does not exist yet for the dataset")
    if place == run or place in run.parents:
        raise OutputError(f"{folder}: is where the run's own files go ({out}); name another folder for the dataset")
    there = next(parent for parent in place.parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: can't be made, because nothing may be written into {there}")
    frames_per_second(control_dt)
    for name in robot.cameras:
        if "/" in name:
            raise RobotError(f"camera '{name}': LeRobot's datasets allow no '/' in a camera's name; rename it")


def dataset_class() -> Any:
    """LeRobot's LeRobotDataset.

    Raises:
        MissingDependencyError: When its parts are not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"--dataset needs the Python packages {', '.join(missing)}, which are not installed: "
            "pip install 'policy-port[dataset]'"
        )
    # What it says while it works, of decoders that writing does not need and of each video, would hide what a run says.
    logging.getLogger("lerobot.utils.import_utils").setLevel(logging.ERROR)
    os.environ.setdefault("SVT_LOG", "1")
    import datasets
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    datasets.disable_progress_bars()
    return LeRobotDataset


def _check_encoder() -> None:
    """LeRobot asks for its encoder even where there is nothing to encode; better now than after the run."""
    from lerobot.configs.video import rgb_encoder_defaults

    try:
        rgb_encoder_defaults()
    except ValueError as cause:
        raise MissingDependencyError(f"--dataset: LeRobot can't encode video with the installed av: {cause}") from None


def frames_per_second(control_dt: float) -> int:
    """The dataset's rate [Hz].

    Raises:
        RobotError: When the control frequency is no whole number, which LeRobot's format can't state.
    """
    rate = 1.0 / control_dt
    if abs(rate - round(rate)) > 1e-6 * rate:
        raise RobotError(
            f"LeRobot's datasets have a whole number of frames per second, the policy runs at {rate:g} Hz: its run "
            "can't be kept with --dataset"
        )
    return round(rate)


def lerobot_steps(trace: Trace, robot: RobotFile, scale: ServoScale) -> Steps:
    """What was measured, sent and asked for, step by step, in LeRobot's numbers.

    Args:
        trace: A trace of an arm, in radians.
        robot: The arm.
        scale: Its ticks and LeRobot's numbers.
    """
    if not len(trace):
        return _none(len(MOTORS))
    # By name: a trace may have an order of its own.
    order = joint_indices(robot.joint_names, tuple(trace.header["joint_names"]), wanted_by="the robot file")
    position, target, sent = (trace[key][:, 0, order] for key in ("joint_pos", "target", "target_sent"))
    rows = np.flatnonzero(np.isfinite(sent).all(axis=1))
    return Steps(
        rows=rows,
        episode=trace["episode"][rows, 0].astype(np.int64),
        # A reading is a whole number of ticks; radians carry a rounding error.
        state=_shown(np.rint(scale.ticks(position[rows])), robot, scale),
        action=_shown(scale.goals(sent[rows]), robot, scale),
        asked=scale.numbers(scale.ticks(target[rows])).astype(np.float32),
        goal=trace["goal"][rows, 0].astype(np.float32),
    )


def features(
    robot: RobotFile, images: dict[str, tuple[int, ...]], goal_size: int, answered: bool = False
) -> dict[str, dict[str, Any]]:
    """LeRobot's description of the columns.

    Args:
        robot: The arm.
        images: Height, width and 3 by camera.
        goal_size: Numbers of the policy's goal; 0: the column is left out.
        answered: Whether somebody was asked after each episode.
    """
    from lerobot.utils.feature_utils import hw_to_dataset_features

    joints: dict[str, Any] = {motor + SUFFIX: float for motor in MOTORS}
    found = hw_to_dataset_features(joints | images, "observation") | hw_to_dataset_features(joints, ACTION)
    found[ASKED] = dict(found[ACTION])
    if goal_size:
        names = [f"goal_{index}" for index in range(goal_size)]
        found[GOAL] = {"dtype": "float32", "shape": (goal_size,), "names": names}
    if answered:
        found[SUCCESS] = {"dtype": "float32", "shape": (1,), "names": None}
    return found


def write_dataset(
    folder: Path, trace: Trace, robot: RobotFile, scale: ServoScale, *, task: str, frames: FrameSpool | None = None
) -> int:
    """Write a run as a LeRobotDataset with one episode per episode of the run; whole, or not at all.

    Args:
        folder: The dataset; it must not exist.
        trace: The run's trace.
        robot: The arm.
        scale: Its ticks and LeRobot's numbers.
        task: What the arm was to do, in words.
        frames: What the cameras saw, one entry per step of the trace; None where there are no cameras.

    Returns:
        Number of steps; 0 where nothing was sent: then nothing is written.

    Raises:
        MissingDependencyError: When LeRobot's dataset parts are not installed.
        OutputError: When the folder is taken or can't be written, or LeRobot's files are not what was given to it.
    """
    create = dataset_class().create
    steps = lerobot_steps(trace, robot, scale)
    # Where a disk was full or slow, the last steps have no frames: they are left out.
    count = int(np.searchsorted(steps.rows, frames.steps)) if frames is not None else len(steps.rows)
    if not count:
        return 0
    shapes = {} if frames is None else dict(frames.shapes)
    columns = {STATE: steps.state, ACTION: steps.action, ASKED: steps.asked}
    if steps.goal.shape[1]:
        columns[GOAL] = steps.goal
    if (told := _told(trace)) is not None:
        columns[SUCCESS] = told[steps.episode]
    with output_folder(folder) as part, _same_turns():
        # LeRobot makes the folder itself and insists on that.
        part.rmdir()
        dataset = create(
            repo_id=f"local/{folder.expanduser().resolve().name}",
            fps=frames_per_second(float(trace.header["control_dt"])),
            features=features(robot, shapes, steps.goal.shape[1], answered=told is not None),
            root=part,
            robot_type=_robot_type(),
        )
        for number in np.unique(steps.episode[:count]):
            for step in np.flatnonzero(steps.episode[:count] == number):
                frame: dict[str, Any] = {key: values[step] for key, values in columns.items()}
                if frames is not None:
                    frame |= {IMAGE + name: frames.frame(name, int(steps.rows[step])) for name in shapes}
                dataset.add_frame({**frame, "task": task})
            # One camera after the other: this process has threads, and is not to be forked.
            dataset.save_episode(parallel_encoding=False)
        dataset.finalize()
        # LeRobot leaves the empty folders of the frames that it has encoded.
        shutil.rmtree(part / "images", ignore_errors=True)
        _read_back(part, {key: values[:count] for key, values in columns.items()}, folder)
    return count


@contextlib.contextmanager
def _same_turns() -> Iterator[None]:
    """Leave this process's scheduling as it is: the AV1 encoder puts whoever calls it as root before all others."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _told(trace: Trace) -> Rows | None:
    """What somebody said of each episode, shape (episodes, 1); None where nobody was asked."""
    rows = trace.header.get("episodes", [])
    if not any("success" in row for row in rows):
        return None
    said = {row["episode"]: row["success"] for row in rows}
    values = [np.nan if said.get(number) is None else float(said[number]) for number in range(max(said) + 1)]
    return np.array(values, np.float32)[:, None]


def _shown(ticks: NDArray[np.float64], robot: RobotFile, scale: ServoScale) -> Rows:
    """LeRobot's numbers as its driver gives them, which cuts percent off at the ends of the sweep."""
    numbers = scale.numbers(ticks)
    least = np.array([0.0 if motor == "gripper" else -np.inf if robot.use_degrees else -100.0 for motor in MOTORS])
    most = np.array([np.inf if motor != "gripper" and robot.use_degrees else 100.0 for motor in MOTORS])
    return np.clip(numbers, least, most).astype(np.float32)


def _none(joints: int) -> Steps:
    numbers = np.zeros((0, joints), np.float32)
    rows = np.zeros(0, np.int64)
    return Steps(
        rows=rows, episode=rows, state=numbers, action=numbers, asked=numbers, goal=np.zeros((0, 0), np.float32)
    )


def _robot_type() -> str:
    """What `lerobot-record` would put there."""
    from lerobot.robots.so_follower import SOFollower

    return SOFollower.name


def _read_back(part: Path, columns: dict[str, Rows], folder: Path) -> None:
    """Compare what lies on the disk with what was to be written."""
    import pyarrow.parquet

    files = sorted((part / "data").rglob("*.parquet"))
    for key, wanted in columns.items():
        tables = [pyarrow.parquet.read_table(file, columns=[key]) for file in files]
        found = [row for table in tables for row in table.column(key).to_pylist()]
        if not np.array_equal(np.array(found, np.float32).reshape(-1, wanted.shape[1]), wanted, equal_nan=True):
            raise OutputError(f"{folder}: LeRobot has written another '{key}' than it was given; nothing was kept")
