"""Policies that see, in ManiSkill environments: step by step what ManiSkill's own scripts do, or a clear refusal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.errors import TaskError
from policy_port.export.write import write_port
from policy_port.port.folder import Port
from policy_port.remap import identity_remap
from policy_port.replay.env_cameras import EnvCameras, observation_mode
from policy_port.trace import Trace

ENV = "PickCube-v1"
PANDA = tuple(f"panda_joint{i + 1}" for i in range(7))
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
TERMS = {"qpos": 9, "qvel": 9, "is_grasped": 1, "tcp_pose": 7, "goal_pos": 3}
ENTRIES = sum(TERMS.values())
RGB: dict[str, Any] = {"name": "rgb", "channels": 3, "layout": "nhwc", "dtype": "uint8", "scale": 1 / 255}

DELTA = {
    "term": "joint_position_delta",
    "reference": "joint_pos",
    "joints": [*PANDA, FINGERS[0]],
    "scale": 1.0,
    "offset": 0.0,
}


class Agent(nn.Module):
    """The actor of ManiSkill's ppo_rgb script, module by module and name by name, with fewer channels."""

    def __init__(self, side: int, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        cnn = nn.Sequential(
            nn.Conv2d(channels, 8, 8, 4), nn.ReLU(), nn.Conv2d(8, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        features = cnn(torch.zeros(1, channels, side, side)).shape[1]
        rgb = nn.Sequential(cnn, nn.Sequential(nn.Linear(features, 32), nn.ReLU()))
        self.feature_net = nn.Module()
        self.feature_net.extractors = nn.ModuleDict({"rgb": rgb, "state": nn.Linear(ENTRIES, 32)})
        with torch.no_grad():
            # Images of one scene are alike; a policy that sees tells them apart.
            rgb[1][0].weight.mul_(10.0)
        self.actor_mean = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
        self.actor_logstd = nn.Parameter(torch.zeros(1, 8))

    @torch.no_grad()
    def act(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        extract = self.feature_net.extractors
        seen = extract["rgb"](observation["rgb"].float().permute(0, 3, 1, 2) / 255)
        return self.actor_mean(torch.cat([seen, extract["state"](observation["state"])], dim=1))


def contract_of(side: int, **image: Any) -> Contract:
    """The contract of PickCube's rgb observation under pd_joint_delta_pos."""
    return Contract.model_validate(
        {
            "contract_version": 1,
            "name": "pick",
            "robot": "panda",
            "trained_in": "ManiSkill 3",
            "quaternion_order": "wxyz",
            "timestep": 0.01,
            "decimation": 5,
            "base": {"floating": False},
            "actuation": {"kind": "implicit", "gravity_compensation": True},
            "joints": {name: {"default": 0.0} for name in (*PANDA, *FINGERS)},
            "observation": {"terms": [{"term": "external", "name": n, "size": size} for n, size in TERMS.items()]},
            "action": {"terms": [DELTA]},
            "images": [{**RGB, "height": side, "width": side, **image}],
        }
    )


def ported(folder: Path, agent: Agent, contract: Contract) -> Port:
    torch.save(agent.state_dict(), folder / "final_ckpt.pt")
    sizes = {image.name: (image.height, image.width) for image in contract.images}
    policy = load_policy(folder / "final_ckpt.pt", image_sizes=sizes)
    return write_port(folder / "port", policy, identity_remap(contract), formats=("onnx",))


def scripted(agent: Agent, env_id: str, trace: Trace, *seeds: int, **options: Any) -> dict[str, np.ndarray]:
    """Episodes as ManiSkill's script evaluates: its wrapper, its actor in torch, no part of this program.

    What the actor says is kept, and what the trace says is done: a rounding of 1e-7 in one action turns a pixel some
    steps later, and then two runs have no step in common that could be compared.
    """
    import gymnasium as gym
    import mani_skill.envs  # noqa: F401
    from mani_skill.utils.wrappers.flatten import FlattenRGBDObservationWrapper

    env = gym.make(
        env_id, num_envs=1, obs_mode="rgb", control_mode="pd_joint_delta_pos", sim_backend="physx_cpu",
        render_backend="cpu", **options,
    )  # fmt: skip
    env = FlattenRGBDObservationWrapper(env, rgb=True, depth=False, state=True)
    found: dict[str, list[np.ndarray]] = {"action": [], "state": [], "rgb": []}
    done = iter(trace["action"])
    for seed in seeds:
        torch.manual_seed(seed)
        observation, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            for name, value in (("action", agent.act(observation)), *observation.items()):
                found[name].append(value[0].numpy().copy())
            observation, _, terminated, truncated, _ = env.step(next(done).copy())
            ended = bool(terminated | truncated)
    env.close()
    return {name: np.stack(values) for name, values in found.items()}


def hashed(frame: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(np.ascontiguousarray(frame), digest_size=8).digest())


def play(port: Port, out: Path, *words: str, env: str = ENV) -> Any:
    line = ["play", str(port.path), "--env", env, "--control-mode", "pd_joint_delta_pos", "--out", str(out), *words]
    return CliRunner().invoke(app, line)


@pytest.mark.slow
@pytest.mark.vulkan
@pytest.mark.filterwarnings("ignore")
def test_ppo_rgb_acts_as_in_its_own_script(tmp_path: Path) -> None:
    """An episode of PickCube, step by step: state, frame and action of ManiSkill's wrapper and actor."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    env, agent = register_short(), Agent(128)
    port = ported(tmp_path, agent, contract_of(128))
    result = play(port, tmp_path / "run", "--episodes", "1", "--seed", "3", "--report", env=env)
    assert result.exit_code == 0, result.output
    trace = Trace(tmp_path / "run" / "trace.npz")
    expected = scripted(agent, env, trace, 3)
    assert trace["action"].shape == (12, 1, 8)
    np.testing.assert_allclose(trace["action"][:, 0], expected["action"], atol=1e-5)
    assert np.array_equal(trace["observation"][:, 0], expected["state"])
    assert trace["image_hash"][:, 0, 0].tolist() == [hashed(frame) for frame in expected["rgb"]]
    assert len(np.unique(trace["image_hash"])) == 12, "the frames move on"
    np.testing.assert_allclose(trace["image_mean"][:, 0, 0], expected["rgb"].mean((1, 2)), atol=1e-3)
    [camera] = trace.header["images"]
    assert (camera["camera"], camera["frame"], camera["image"]) == ("base_camera", [128, 128, 3], "rgb")
    assert "not in the trace" in camera["stored"]
    assert (tmp_path / "run" / "first_frames.png").read_bytes().startswith(b"\x89PNG")
    assert "What the cameras showed the policy at first" in (tmp_path / "run" / "report.html").read_text()
    verified = CliRunner().invoke(app, ["verify", str(port.path), "--trace", str(tmp_path / "run" / "trace.npz")])
    assert (verified.exit_code, "reads camera images, which a trace does not hold" in verified.stderr) == (2, True)
    flat = ["play", str(port.path), "--plant", "mujoco", "--command", "0,0,0", "--out", str(tmp_path / "flat")]
    refused = CliRunner().invoke(app, flat)
    assert (refused.exit_code, "flat ground has no camera" in refused.stderr) == (2, True)


def register_short() -> str:
    """PickCube with a quarter of its steps, once per process."""
    from mani_skill.envs.tasks.tabletop.pick_cube import PickCubeEnv
    from mani_skill.utils.registration import REGISTERED_ENVS, register_env

    name = "PickCubeShort-v1"
    if name not in REGISTERED_ENVS:
        register_env(name, max_episode_steps=12)(type("Short", (PickCubeEnv,), {}))
    return name


def register_two_cameras() -> str:
    """PickCube with a second camera, once per process."""
    from mani_skill.envs.tasks.tabletop.pick_cube import PickCubeEnv
    from mani_skill.sensors.camera import CameraConfig
    from mani_skill.utils import sapien_utils
    from mani_skill.utils.registration import REGISTERED_ENVS, register_env
    from mani_skill.utils.structs.pose import Pose

    name = "PickCubeTwoCameras-v1"
    if name not in REGISTERED_ENVS:

        @register_env(name, max_episode_steps=8)
        class TwoCameras(PickCubeEnv):
            def _before_control_step(self) -> None:
                # As SO100GraspCube shakes its camera: by torch's own generator, which reset does not seed.
                self.cube.set_pose(Pose.create_from_pq([[0.1 * float(torch.rand(1)), 0.0, 0.02]]))

            @property
            def _default_sensor_configs(self) -> list[CameraConfig]:
                pose = sapien_utils.look_at([-0.5, 0.5, 0.6], [0.0, 0.0, 0.1])
                return [*super()._default_sensor_configs, CameraConfig("side_camera", pose, 128, 128, 1.2, 0.01, 100)]

    return name


@pytest.mark.slow
@pytest.mark.vulkan
@pytest.mark.filterwarnings("ignore")
def test_two_cameras_in_the_contracts_size(tmp_path: Path) -> None:
    """Opened at 64 x 64 as sac_rgbd's script does it, laid in the environment's order; what moves is seeded."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    env, agent = register_two_cameras(), Agent(64, channels=6)
    right = {"channels": 6, "cameras": ["base_camera", "side_camera"]}
    port = ported(tmp_path, agent, contract_of(64, **right))
    torch.manual_seed(12345)
    result = play(port, tmp_path / "run", "--episodes", "2", env=env)
    assert result.exit_code == 0, result.output
    trace = Trace(tmp_path / "run" / "trace.npz")
    expected = scripted(agent, env, trace, 0, 1, sensor_configs={"height": 64, "width": 64})
    np.testing.assert_allclose(trace["action"][:, 0], expected["action"], atol=1e-5)
    for camera in range(2):
        shown = expected["rgb"][..., 3 * camera : 3 * camera + 3]
        assert trace["image_hash"][:, 0, camera].tolist() == [hashed(frame) for frame in shown]
    assert len(np.unique(trace["image_hash"])) == 32, "the cube jumps at each step"
    assert [camera["environments_own_size"] for camera in trace.header["images"]] == [[128, 128]] * 2
    turned = {**expected, "rgb": expected["rgb"][..., [3, 4, 5, 0, 1, 2]]}
    wrong = agent.act({name: torch.from_numpy(turned[name]) for name in ("rgb", "state")}).numpy()
    assert np.abs(wrong - expected["action"]).max() > 1e-3, "exchanged cameras would be another policy"


def opened(**cameras: tuple[int, int]) -> Any:
    configs = {name: SimpleNamespace(height=size[0], width=size[1]) for name, size in cameras.items()}
    return SimpleNamespace(_sensor_configs=configs)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"name": "front"}, r"'front' with 3 channels and does not say which.*base, hand, in this order.*cameras: \["),
        ({}, "image 'rgb' with 3 channels and does not say which cameras"),
        ({"channels": 6}, "image 'rgb' with 6 channels and does not say which cameras"),
        ({"channels": 6, "cameras": ["hand", "base"]}, "from hand, base.*base, hand, in this order.*would not notice"),
        ({"channels": 6, "cameras": ["base", "hnd"]}, "from camera 'hnd'; did you mean 'hand'"),
        ({"name": "hand", "channels": 1}, "1 channels, which hand with 3 colours each do not make"),
        ({"channels": 6, "cameras": ["hand"]}, "6 channels, which hand with 3 colours"),
    ],
    ids=["unknown", "one of two", "both, unsaid", "exchanged", "misspelt", "grey", "too few"],
)
def test_cameras_that_do_not_fit_are_refused(image: dict[str, Any], message: str) -> None:
    """Which camera is which is never guessed; the message names both sides."""
    with pytest.raises(TaskError, match=message):
        EnvCameras("Some-v1", opened(base=(64, 64), hand=(64, 64)), contract_of(64, **image))


def test_cameras_go_by_name_and_size() -> None:
    """A single camera is `rgb`; others go by their own name, in any order, and are opened in the contract's size."""
    only = EnvCameras("Some-v1", opened(base=(64, 64)), contract_of(64))
    assert (only.cameras, only.options()) == ({"rgb": "base"}, None)
    cameras = opened(base=(64, 64), hand=(128, 96))
    hand = EnvCameras("Some-v1", cameras, contract_of(64, name="hand"))
    assert (hand.cameras, hand.options()) == ({"hand": "hand"}, {"hand": {"height": 64, "width": 64}})
    cropped = contract_of(64, name="hand", camera_size=[128, 96], crop=[0, 16, 64, 64])
    assert EnvCameras("Some-v1", cameras, cropped).options() is None


def test_environments_that_show_nothing_are_refused() -> None:
    """The mode follows from what the environment can show."""
    seeing = contract_of(64)
    assert observation_mode("A", ("state", "any_textures"), seeing) == "rgb"
    assert observation_mode("A", ("state", "rgb+segmentation"), seeing) == "rgb+segmentation"
    assert observation_mode("A", ("state", "none"), seeing.model_copy(update={"images": ()})) == "state"
    with pytest.raises(TaskError, match="A: shows no camera images.*state, none.*reads rgb"):
        observation_mode("A", ("state", "none"), seeing)
