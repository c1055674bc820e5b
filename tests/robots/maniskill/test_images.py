"""Policies that see, on the arm: the robot file's camera, in the task's size, is what the network is shown."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

import cv2
import torch
from mani_skill.utils.wrappers.flatten import FlattenRGBDObservationWrapper
from torch import nn

from policy_port.camera import trained
from policy_port.camera.env_file import EnvFile
from policy_port.checkpoints import load_policy
from policy_port.contract import Contract, load_contract
from policy_port.errors import CameraError, RobotError, TaskError
from policy_port.export.write import write_port
from policy_port.port.pilot import Pilot
from policy_port.remap import identity_remap
from policy_port.replay.env_cameras import EnvCameras
from policy_port.replay.open_env import open_env
from policy_port.resources import assets_dir
from policy_port.robots import RealEnv
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.lens import Outlook
from policy_port.robots.jobs.pictures import whole_frames
from policy_port.robots.jobs.run import Keep, RealRun, play_real
from policy_port.robots.maniskill.placed import Placed
from policy_port.robots.maniskill.play import TaskJob, open_task
from policy_port.robots.maniskill.task import RealTask
from policy_port.trace import Trace
from tests.robots.unhurried import unhurried

pytestmark = [pytest.mark.slow, pytest.mark.vulkan, pytest.mark.filterwarnings("ignore")]

GRASP = "SO100GraspCube-v1"
TERMS = {"qpos": 6, "target_qpos": 6, "dist_to_rest_qpos": 5}
CAMERA = CameraBounds(source=0, width=160, height=128, fps=15, crop=(0, 16, 128, 128))


class Agent(nn.Module):
    """The actor of ManiSkill's ppo_rgb script, module by module and name by name, with fewer channels, untrained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        cnn = nn.Sequential(
            nn.Conv2d(3, 8, 8, 4), nn.ReLU(), nn.Conv2d(8, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        features = cnn(torch.zeros(1, 3, 64, 64)).shape[1]
        rgb = nn.Sequential(cnn, nn.Sequential(nn.Linear(features, 32), nn.ReLU()))
        self.feature_net = nn.Module()
        self.feature_net.extractors = nn.ModuleDict({"rgb": rgb, "state": nn.Linear(sum(TERMS.values()), 32)})
        self.actor_mean = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6))
        self.actor_logstd = nn.Parameter(torch.zeros(1, 6))

    @torch.no_grad()
    def act(self, rgb: np.ndarray, state: np.ndarray) -> np.ndarray:
        extract: Any = self.feature_net.extractors
        seen = extract["rgb"](torch.from_numpy(rgb)[None].float().permute(0, 3, 1, 2) / 255)
        return self.actor_mean(torch.cat([seen, extract["state"](torch.from_numpy(state))], dim=1)).numpy()


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent()


@pytest.fixture(scope="module")
def seeing(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Pilot:
    """The untrained agent as a port, under the contract of the task's rgb observation."""
    shipped = load_contract(assets_dir() / "so100_reach" / "contract.yaml").model_dump(mode="json")
    image = {"name": "rgb", "channels": 3, "layout": "nhwc", "dtype": "uint8", "scale": 1 / 255}
    document = shipped | {
        "name": "grasp",
        "observation": {"terms": [{"term": "external", "name": n, "size": size} for n, size in TERMS.items()]},
        "images": [image | {"height": 64, "width": 64}],
    }
    contract = Contract.model_validate(document)
    folder = tmp_path_factory.mktemp("seeing")
    torch.save(agent.state_dict(), folder / "final_ckpt.pt")
    policy = load_policy(folder / "final_ckpt.pt", image_sizes={"rgb": (64, 64)})
    port = write_port(folder / "port", policy, identity_remap(contract), formats=("onnx",))
    return port.pilot()


def with_camera(**changes: Any) -> RobotFile:
    return unhurried(cameras={"base_camera": CAMERA.model_copy(update=changes)})


@pytest.fixture(scope="module")
def task_and_cameras(seeing: Pilot) -> Iterator[tuple[RealTask, EnvCameras]]:
    task, cameras = open_task(GRASP, with_camera(), seeing.contract, None)
    assert cameras is not None
    yield task, cameras
    task.close()


def test_the_network_sees_what_the_camera_saw(
    agent: Agent, seeing: Pilot, task_and_cameras: tuple[RealTask, EnvCameras]
) -> None:
    """Its action is that of the script's actor, of the mean of each four pixels and of the measured joints."""
    robot, (task, cameras) = with_camera(), task_and_cameras
    job = TaskJob(task, cameras)
    job.check(seeing, robot)
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    camera: Any = SimpleNamespace(frame=lambda name, fresh: {"base_camera": frame}[name])
    session: Any = SimpleNamespace(arm=SimpleNamespace(joint_names=robot.joint_names), cameras=camera)
    controller = job.controller(seeing, session)
    controller.state.joint_pos[...] = pose = rng.uniform(-0.5, 0.5, (1, 6))
    task.begin(0)
    controller.reset()
    controller()
    small = (frame.reshape(64, 2, 64, 2, 3).sum(axis=(1, 3), dtype=np.int64) + 2) // 4
    rest = np.array([0.0, 0.0, 0.0, np.pi / 2, np.pi / 2])
    state = np.concatenate([pose, pose, pose[:, :5] - rest], axis=1).astype(np.float32)
    np.testing.assert_allclose(controller.action, agent.act(small.astype(np.uint8), state), atol=1e-5)
    mirrored = agent.act(small.astype(np.uint8)[..., ::-1].copy(), state)
    assert np.abs(controller.action - mirrored).max() > 1e-4, "red and blue exchanged would be another picture"
    assert job.words["observation"].endswith("camera: sensor_data/base_camera/rgb")


def test_a_run_with_a_camera(
    tmp_path: Path, seeing: Pilot, task_and_cameras: tuple[RealTask, EnvCameras], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the emulated arm and its camera: to the end, at rest, and nobody says that the cube was grasped."""
    task, cameras = task_and_cameras
    monkeypatch.setattr(task, "max_episode_steps", 8)
    clock = VirtualClock()
    with emulate(with_camera(), clock=clock) as rehearsal:
        done = play_real(
            seeing,
            rehearsal.robot,
            TaskJob(task, cameras),
            seeds=range(1),
            keep=Keep(folder=tmp_path),
            console=Console(continuous=True),
            on_torque=rehearsal.let_go,
            time=clock,
        )
    assert (done.result.setting["ended"], done.result.setting["arm"]) == ("task done", "at rest, torque off")
    assert done.result.setting["success"] == "nobody measured it: look"
    assert done.result.episodes == ()
    trace = Trace(tmp_path / "trace.npz")
    assert trace.header["origins"]["sensor_data/base_camera/rgb"] == "camera"
    assert np.isfinite(trace["frame_age"]).all()
    views = cv2.imread(str(tmp_path / "views.png"))
    assert views is not None
    assert views.shape == (256, 512, 3)
    # The simulation's half shows an arm on a table, the other one what the emulated camera shows.
    assert views[:, 256:].std() > 10
    assert np.abs(views[:, :256].astype(int) - views[:, 256:]).mean() > 10


def test_what_a_camera_can_not_give_is_refused(seeing: Pilot, task_and_cameras: tuple[RealTask, EnvCameras]) -> None:
    """A camera under another name, of other proportions, and a task that shows more than an arm can."""
    robot, job = with_camera(), TaskJob(*task_and_cameras)
    with pytest.raises(CameraError, match="its picture is 160x128, the network's is 64x64, of other proportions"):
        job.check(seeing, with_camera(crop=None))
    named = robot.model_copy(update={"cameras": {"base_cam": CAMERA}})
    with pytest.raises(RobotError, match="a camera 'base_camera', .*; did you mean 'base_cam'"):
        job.check(seeing, named)
    # Its rgb observation says whether the cube is grasped.
    with pytest.raises(TaskError, match="extra/is_grasped: not measurable"):
        open_task("PickCubeSO100-v1", robot, seeing.contract, None)


def test_realenv_under_maniskills_wrapper() -> None:
    """Wrapped like the simulation it has the simulation's space, and the camera's picture in it."""
    besides = ("segmentation", "sensor_param")
    clock = VirtualClock()
    with emulate(with_camera(), clock=clock) as rehearsal:
        real = RealEnv(
            GRASP,
            rehearsal.robot,
            obs_mode="rgb+segmentation",
            without=besides,
            continuous=True,
            on_torque=rehearsal.let_go,
            time=clock,
        )
        env: Any = FlattenRGBDObservationWrapper(real, depth=False)
        sim: Any = FlattenRGBDObservationWrapper(
            open_env(
                GRASP, control_mode=None, draws=True, num_envs=1, obs_mode="rgb+segmentation", sim_backend="physx_cpu"
            ),
            depth=False,
        )  # fmt: skip
        assert env.unwrapped.observation_space == sim.unwrapped.observation_space
        assert env.action_space == sim.action_space
        sim.close()
        told, _ = env.reset(seed=0)
        assert list(told) == ["state", "rgb"]
        assert env.unwrapped.observation_space.contains({name: value.numpy() for name, value in told.items()})
        shown = real._arm.cameras.frame("base_camera")
        assert np.abs(told["rgb"][0].numpy().mean(axis=(0, 1)) - shown.mean(axis=(0, 1))).max() < 3.0
        told, *_ = env.step(np.zeros(6, np.float32))
        assert told["rgb"].dtype == torch.uint8
        env.close()
        assert real.ended == "at rest, torque off"


def test_a_run_behind_the_camera_of_an_environment_file(
    tmp_path: Path, seeing: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the camera is as its file says, it is checked, shown with all starts, and played; moved, nothing moves."""
    look = {"pos": [0.6, 0.3, 0.35], "target": [0.2, 0.0, 0.1], "fov": 0.9}
    given = {
        "env": GRASP,
        "camera": look,
        "image": {"size": [64, 64]},
        "spawn_box": {"pos": [0.3, 0.05], "half_size": 0.1},
    }
    robot = unhurried(cameras={"base_camera": CameraBounds(source=0, width=320, height=240, fps=15)})
    scene = whole_frames(EnvFile.model_validate(given), robot)
    monkeypatch.setattr("policy_port.robots.maniskill.placed.STARTS", 3)
    placed = Placed.of(scene, tmp_path / "env.yaml", ("rate", "age"))
    named = [image.model_copy(update={"cameras": ("base_camera",)}) for image in seeing.contract.images]
    seen = trained.with_camera(named, scene.with_look_at((0.6, 0.3, 0.45), (0.2, 0.0, 0.1), 0.9))
    other = seeing.contract.model_copy(update={"images": seen})
    with pytest.raises(CameraError, match=r"camera stood 10\.0 cm from this one[^|]*--accept trained"):
        placed.check_trained(other)
    assert "accepted: trained" in dataclasses.replace(placed, accepted=("trained",)).check_trained(other)[0]
    task, cameras = open_task(GRASP, robot, seeing.contract, None, scene)
    monkeypatch.setattr(task, "max_episode_steps", 4)
    outlook, clock = Outlook(views={"base_camera": scene.frame_view()}), VirtualClock()

    def play(rehearsal: Rehearsal, folder: Path) -> RealRun:
        folder.mkdir()
        job, console = TaskJob(task, cameras, placed), Console(continuous=True)
        keep = Keep(folder=folder)
        return play_real(
            seeing,
            rehearsal.robot,
            job,
            seeds=range(1),
            keep=keep,
            console=console,
            on_torque=rehearsal.let_go,
            time=clock,
        )

    with contextlib.closing(task), emulate(robot, clock=clock, outlook=outlook) as rehearsal:
        rehearsal.arm.inject("move-camera:base_camera:0.08")
        with pytest.raises(CameraError, match="--accept (moved|fov)"):
            play(rehearsal, tmp_path / "moved")
        assert not rehearsal.arm.torque_commands() or not any(servo.torque for servo in rehearsal.arm.servos)
        rehearsal.arm.clear("move-camera:base_camera:0.08")
        done = play(rehearsal, tmp_path / "right")
    assert done.result.setting["ended"] == "task done"
    shown = cv2.imread(str(tmp_path / "right" / "placement.png"))
    assert shown is not None
    yellow = (shown[..., 2] > 220) & (shown[..., 1] > 180) & (shown[..., 0] < 60)
    assert yellow.sum() > 100, "the spawn box is drawn"
