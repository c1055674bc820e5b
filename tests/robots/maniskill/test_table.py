"""The shipped policy that sees, behind an emulated arm's camera: the ball lies where the task's seed has it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.camera.env_file import EnvFile
from policy_port.checkpoints import load_policy
from policy_port.contract import load_contract
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from policy_port.resources import assets_dir
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import CameraBounds
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.lens import Outlook
from policy_port.robots.jobs.pictures import whole_frames
from policy_port.robots.jobs.run import Keep, play_real
from policy_port.robots.maniskill.play import TaskJob, open_task
from policy_port.robots.maniskill.table import Table
from policy_port.tasks.reach import SO100_BALL
from policy_port.tasks.so100_ball_env import CAMERA_SETTINGS, ENV_ID
from policy_port.trace import Trace
from tests.robots.unhurried import unhurried

pytestmark = [pytest.mark.slow, pytest.mark.vulkan, pytest.mark.filterwarnings("ignore")]


def test_the_ball_lies_where_the_episode_has_it_and_the_camera_shows_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked to lay it, no step sees an old picture, and the policy goes towards it."""
    shipped = assets_dir() / "so100_reach_ball"
    remap = identity_remap(load_contract(shipped / "contract.yaml"))
    pilot = write_port(
        tmp_path / "port",
        load_policy(shipped / "model.pt", image_sizes={"base_camera": (64, 64)}),
        remap,
        formats=("onnx",),
    ).pilot()
    robot = unhurried(cameras={"base_camera": CameraBounds(source=0, width=96, height=96, fps=60)})
    given = {"env": ENV_ID, "camera": CAMERA_SETTINGS, "image": {"size": [64, 64]}}
    scene = whole_frames(EnvFile.model_validate(given), robot)
    task, cameras = open_task(ENV_ID, robot, pilot.contract, None, scene)
    monkeypatch.setattr(task, "max_episode_steps", 12)
    table, clock = Table(task.base), VirtualClock()
    outlook = Outlook(views={"base_camera": scene.frame_view()}, things=table.things)
    seen: list[np.ndarray] = []
    with contextlib.closing(task), emulate(robot, clock=clock, outlook=outlook) as rehearsal:
        table.of(rehearsal.arm)
        job = TaskJob(task, cameras, table=table)
        monkeypatch.setattr(job, "look", lambda controller, taken, folder: "")
        begun = job.controller

        def watched(*arguments: object) -> object:
            controller = begun(*arguments)  # type: ignore[arg-type]
            shown = task._frames
            assert shown is not None
            task.watch(lambda name: seen.append(shown(name)) or seen[-1])
            return controller

        monkeypatch.setattr(job, "controller", watched)
        keep, console = Keep(folder=tmp_path), Console(continuous=True)
        done = play_real(
            pilot,
            rehearsal.robot,
            job,
            seeds=range(3, 4),
            keep=keep,
            console=console,
            on_torque=rehearsal.let_go,
            time=clock,
        )
    assert done.result.setting["ended"] == "task done"
    assert len({picture.tobytes() for picture in seen[-12:]}) == 12, "no picture was seen twice"
    red, _, blue = np.moveaxis(seen[-12].astype(int), -1, 0)
    ball = np.argwhere(red - blue > 130).mean(axis=0)
    goal = SO100_BALL.episode(3)[1]
    where, _ = scene.drawn_view().project(np.array([[goal[0], goal[1], 0.02]]))
    assert np.abs(ball[::-1] - where[0]).max() < 1.5, "the ball is where the seed has it"
    tip = np.asarray(Trace(tmp_path / "trace.npz")["tip_pos"])
    far = np.linalg.norm(tip.reshape(-1, 3)[[0, -1]] - goal, axis=1)
    assert far[1] < far[0] - 0.02
