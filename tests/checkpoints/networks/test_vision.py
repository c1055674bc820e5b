"""Policies that see: convolutions computed in NumPy, and what the weights say about the size of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from policy_port.checkpoints import inspect_file, load_policy
from policy_port.checkpoints.actor import ImageSpec
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.written import State, as_float64

RGB = "feature_net.extractors.rgb"


def convolved(state: State, name: str, x: NDArray, stride: int, padding: int = 0) -> NDArray:
    """Convolve (batch, channel, row, column) with the tensors called `name`, then ReLU."""
    weight, bias = as_float64(state, f"{name}.weight"), as_float64(state, f"{name}.bias")
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.maximum(np.einsum("bcyxhw,ochw->boyx", windows, weight) + bias[:, None, None], 0)


def pooled(x: NDArray, size: int) -> NDArray:
    """Take the largest of each square of `size` pixels."""
    rows, columns = x.shape[2] // size, x.shape[3] // size
    return x[:, :, : rows * size, : columns * size].reshape(*x.shape[:2], rows, size, columns, size).max((3, 5))


def kernels(name: str, outputs: int, inputs: int, size: int, rng: torch.Generator) -> State:
    return {
        f"{name}.weight": torch.randn(outputs, inputs, size, size, generator=rng) / (inputs * size * size) ** 0.5,
        f"{name}.bias": torch.randn(outputs, generator=rng) * 0.1,
    }


def affine(name: str, before: int, after: int, rng: torch.Generator) -> State:
    return {
        f"{name}.weight": torch.randn(after, before, generator=rng) / before**0.5,
        f"{name}.bias": torch.randn(after, generator=rng) * 0.1,
    }


def ppo_rgb(cells: int = 1, channels: int = 3) -> State:
    """A checkpoint of ManiSkill's ppo_rgb; images of 36 to 43 pixels give one cell of features."""
    rng = written.generator()
    return {
        "actor_logstd": torch.zeros(1, 4),
        **kernels(f"{RGB}.0.0", 4, channels, 8, rng),
        **kernels(f"{RGB}.0.2", 5, 4, 4, rng),
        **kernels(f"{RGB}.0.4", 6, 5, 3, rng),
        **affine(f"{RGB}.1.0", 6 * cells, 8, rng),
        **affine("feature_net.extractors.state", 9, 8, rng),
        **affine("actor_mean.0", 16, 12, rng),
        **affine("actor_mean.2", 12, 4, rng),
    }


def images(height: int, width: int, channels: int = 3, rows: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (rows, height, width, channels), np.uint8)


def test_ppo_rgb_equals_numpy(tmp_path: Path) -> None:
    """Pixels / 255, three convolutions with strides 4, 2, 1, features before the state, which has no activation."""
    state = ppo_rgb()
    policy = load_policy(written.save(state, tmp_path / "final_ckpt.pt"))
    obs, pixels = written.observations(3, 9), images(40, 40)
    x = np.moveaxis(pixels / 255.0, 3, 1)
    for index, stride in ((0, 4), (2, 2), (4, 1)):
        x = convolved(state, f"{RGB}.0.{index}", x, stride)
    seen = np.maximum(written.perceptron({k: v for k, v in state.items() if ".1.0." in k}, f"{RGB}.1", _flat(x), ""), 0)
    own = obs @ as_float64(state, "feature_net.extractors.state.weight").T
    joined = np.concatenate([seen, own + as_float64(state, "feature_net.extractors.state.bias")], axis=1)
    expected = written.perceptron(state, "actor_mean", joined, "relu")
    actions = policy.actor(torch.from_numpy(obs), torch.from_numpy(pixels))[0]
    np.testing.assert_allclose(actions.numpy(), expected, atol=1e-5)
    assert policy.leftovers == ()


def _flat(x: NDArray) -> NDArray:
    return x.reshape(len(x), -1)


def test_the_size_of_an_image_is_a_range(tmp_path: Path) -> None:
    """The weights leave eight sides open: the roundest is taken and said; a stated size that fits is taken instead."""
    path = written.save(ppo_rgb(), tmp_path / "final_ckpt.pt")
    policy = load_policy(path)
    [image] = policy.actor.images
    assert (image.height, image.width) == (40, 40)
    assert any("squares of 36 to 43 pixels fit" in note for note in policy.notes)
    [image] = load_policy(path, image_sizes={"rgb": (37, 42)}).actor.images
    assert (image.height, image.width) == (37, 42)
    [image] = load_policy(path, image_sizes={"rgb": (64, 64)}).actor.images
    assert (image.height, image.width) == (40, 40)


def test_an_oblong_image_needs_the_contract(tmp_path: Path) -> None:
    """Two cells of features come from no square: the error asks for the size, and with it the file loads."""
    path = written.save(ppo_rgb(cells=2), tmp_path / "final_ckpt.pt")
    with pytest.raises(CheckpointError, match="image rgb is not in the file.*contract that states"):
        load_policy(path)
    assert load_policy(path, image_sizes={"rgb": (40, 48)}).actor.images[0].width == 48


def test_inspect_shows_the_image(tmp_path: Path) -> None:
    """The inputs list the image between observation and state, with layout, type and scale."""
    found = inspect_file(written.save(ppo_rgb(), tmp_path / "final_ckpt.pt"))
    assert found["inputs"] == [
        {"name": "obs", "shape": ["batch", 9]},
        {"name": "rgb", "shape": ["batch", 40, 40, 3], "layout": "nhwc", "dtype": "uint8", "scale": 1 / 255},
    ]


def test_depth_and_no_state_are_refused(tmp_path: Path) -> None:
    """What the contract can't state is refused with the reason."""
    state = ppo_rgb()
    state["feature_net.extractors.depth.0.0.weight"] = torch.zeros(2, 1, 8, 8)
    with pytest.raises(CheckpointError, match="reads depth.*16 bits"):
        load_policy(written.save(state, tmp_path / "depth.pt"))
    blind = {name: value for name, value in ppo_rgb().items() if ".state." not in name}
    with pytest.raises(CheckpointError, match="images only, without a state"):
        load_policy(written.save(blind, tmp_path / "blind.pt"))


@pytest.mark.parametrize("side", [64, 128])
def test_sac_rgbd_equals_numpy(tmp_path: Path, side: int) -> None:
    """Five convolutions with pools between, features before the state as it is, tanh, the action space."""
    rng = written.generator()
    actor: State = {}
    widths = [3, 4, 4, 5, 5, 6]
    for place, index in enumerate((0, 3, 6, 9, 12)):
        actor |= kernels(f"encoder.encoder.cnn.{index}", widths[place + 1], widths[place], 1 if index == 12 else 3, rng)
    actor |= {
        **affine("encoder.encoder.fc.0", 6 * 16, 8, rng),
        **written.linears("mlp", [8 + 9, 16, 12], rng),
        **affine("fc_mean", 12, 2, rng),
        **affine("fc_logstd", 12, 2, rng),
        "action_scale": torch.tensor([2.0, 0.5]),
        "action_bias": torch.tensor([1.0, 0.0]),
    }
    path = written.save({"actor": actor, "log_alpha": torch.zeros(1)}, tmp_path / "ckpt_5.pt")
    policy = load_policy(path, image_sizes={"rgb": (side, side)})
    assert (policy.actor.images[0].height, policy.actor.obs_size) == (side, 9)
    obs, pixels = written.observations(3, 9), images(side, side)
    x = np.moveaxis(pixels / 255.0, 3, 1)
    for index, padding, pool in ((0, 1, side // 32), (3, 1, 2), (6, 1, 2), (9, 1, 2), (12, 0, 1)):
        x = pooled(convolved(actor, f"encoder.encoder.cnn.{index}", x, 1, padding), pool)
    seen = np.maximum(written.perceptron(actor, "encoder.encoder.fc", _flat(x), ""), 0)
    hidden = np.maximum(written.perceptron(actor, "mlp", np.concatenate([seen, obs], axis=1), "relu"), 0)
    mean = hidden @ as_float64(actor, "fc_mean.weight").T + as_float64(actor, "fc_mean.bias")
    actions = policy.actor(torch.from_numpy(obs), torch.from_numpy(pixels))[0]
    np.testing.assert_allclose(actions.numpy(), np.tanh(mean) * [2.0, 0.5] + [1.0, 0.0], atol=1e-5)


def rsl_rl(folder: Path, *, normalised: bool = True, **cnn: object) -> tuple[Path, State]:
    """An RSL-RL 5 checkpoint that reads 6 numbers and one image of 20 x 20 pixels."""
    rng = written.generator()
    state = {
        **(written.statistics("obs_normalizer.", 6, rng) if normalised else {}),
        "distribution.std_param": torch.ones(2),
        **kernels("cnns.front.0", 4, 3, 4, rng),
        **kernels("cnns.front.2", 5, 4, 3, rng),
        **written.linears("mlp", [6 + 5 * 16, 12, 2], rng),
    }
    settings = {"output_channels": [4, 5], "kernel_size": [4, 3], "stride": [2, 2], "activation": "relu", **cnn}
    groups = {"actor": ["policy", "front"]}
    actor = {"activation": "elu", "hidden_dims": [12], "cnn_cfg": settings}
    written.agent_yaml(folder, actor=actor, obs_groups=groups)
    tree = {"actor_state_dict": state, "optimizer_state_dict": {}, "iter": 1, "infos": None}
    return written.save(tree, folder / "model_1.pt"), state


def test_rsl_rl_equals_numpy(tmp_path: Path) -> None:
    """The normalised vector, then the features of the image, channels first and unscaled."""
    path, state = rsl_rl(tmp_path)
    policy = load_policy(path)
    obs = written.observations(3, 6)
    pixels = np.random.default_rng(0).random((3, 3, 20, 20)).astype(np.float32)
    x = pixels.astype(float)
    for index, stride in ((0, 2), (2, 2)):
        x = convolved(state, f"cnns.front.{index}", x, stride)
    joined = np.concatenate([written.normalised(state, "obs_normalizer.", obs.astype(float)), _flat(x)], axis=1)
    actions = policy.actor(torch.from_numpy(obs), torch.from_numpy(pixels))[0]
    np.testing.assert_allclose(actions.numpy(), written.perceptron(state, "mlp", joined, "elu"), atol=1e-5)
    image = ImageSpec(name="front", height=20, width=20, channels=3, layout="nchw", dtype="float32", scale=1.0)
    assert policy.actor.images == (image,)


def test_rsl_rl_without_normaliser_needs_the_contract(tmp_path: Path) -> None:
    """Neither the width of the vector nor the image's size is known: the error says what states it."""
    path, _ = rsl_rl(tmp_path, normalised=False)
    with pytest.raises(CheckpointError, match="size of image front.*contract that states"):
        load_policy(path)
    assert load_policy(path, image_sizes={"front": (20, 20)}).actor.obs_size == 6
    with pytest.raises(CheckpointError, match="does not fit"):
        load_policy(path, image_sizes={"front": (90, 90)})


@pytest.mark.parametrize(
    ("setting", "message"), [({"norm": "batch"}, "norm batch"), ({"heads": 3}, "the setting heads")]
)
def test_settings_that_are_not_understood_are_refused(tmp_path: Path, setting: dict, message: str) -> None:
    """A layer between the convolutions that this program does not build is never left out silently."""
    path, _ = rsl_rl(tmp_path, **setting)
    with pytest.raises(CheckpointError, match=message):
        load_policy(path)


def test_strides_are_not_guessed(tmp_path: Path) -> None:
    """Without agent.yaml's cnn_cfg the strides are unknown, and the error says so."""
    path, _ = rsl_rl(tmp_path)
    written.agent_yaml(tmp_path, actor={"activation": "elu", "hidden_dims": [12]})
    with pytest.raises(CheckpointError, match="strides and padding.*cnn_cfg"):
        load_policy(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"padding": "zeros", "stride": [2, 1]},
        {"padding": "replicate", "max_pool": [True, False]},
        {"dilation": [1, 2], "max_pool": True, "stride": 1},
        {"global_pool": "avg"},
        {"global_pool": "max", "padding": "circular"},
    ],
)
def test_rsl_rl_equals_the_library(tmp_path: Path, settings: dict) -> None:
    """Two images through the library's own model, whose padding depends on the size of the image."""
    models = pytest.importorskip("rsl_rl.models")
    from tensordict import TensorDict

    front = {"output_channels": [4, 6], "kernel_size": [5, 3], "stride": 2, **settings}
    cfg = {"front": front, "side": {"output_channels": [3], "kernel_size": 4, "stride": 2, "activation": "tanh"}}
    groups = {"actor": ["front", "policy", "side"]}
    torch.manual_seed(0)
    obs = TensorDict(
        {"policy": torch.randn(5, 9), "front": torch.rand(5, 3, 26, 33), "side": torch.rand(5, 1, 20, 18)},
        batch_size=[5],
    )
    gaussian = {"class_name": "GaussianDistribution", "init_std": 1.0}
    model = models.CNNModel(obs, groups, "actor", 3, [16, 8], "elu", True, gaussian, cfg).eval()
    tree = {"actor_state_dict": model.state_dict(), "optimizer_state_dict": {}, "iter": 1, "infos": None}
    written.save(tree, tmp_path / "model_1.pt")
    section = {"activation": "elu", "hidden_dims": [16, 8], "cnn_cfg": cfg}
    written.agent_yaml(tmp_path, actor=section, obs_groups=groups)
    policy = load_policy(tmp_path / "model_1.pt", image_sizes={"front": (26, 33), "side": (20, 18)})
    with torch.no_grad():
        expected = model(obs)
        actions = policy.actor(obs["policy"], *(obs[image.name] for image in policy.actor.images))[0]
    torch.testing.assert_close(actions, expected, atol=1e-6, rtol=0.0)
    assert policy.leftovers == ("optimizer_state_dict: 0 tensors",)
