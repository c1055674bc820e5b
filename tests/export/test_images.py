"""Ports of policies that see: right ones pass, and what goes wrong with images in practice is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn
from typer.testing import CliRunner

from policy_port.checkpoints import load_policy
from policy_port.checkpoints.actor import Actor, ImageSpec
from policy_port.checkpoints.networks.layers import linear, perceptron
from policy_port.checkpoints.networks.vision import Eye, ImageActor, Pixels
from policy_port.checkpoints.policy import LoadedPolicy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.errors import CheckpointError, ContractError, PortError, ProofError
from policy_port.export.write import write_port
from policy_port.port.folder import load_port
from policy_port.proof.parity import measure, prove
from policy_port.remap import build_remap, identity_remap

IMAGE = {"name": "rgb", "height": 12, "width": 16, "channels": 3, "layout": "nhwc", "dtype": "uint8"}
FRONT = {"name": "front", "height": 9, "width": 9, "channels": 1, "layout": "nchw", "dtype": "float32"}


def seeing(*images: dict[str, Any]) -> Actor:
    """A network of 15 numbers and these images."""
    torch.manual_seed(0)
    ports = [ImageSpec(scale=1.0 if image["dtype"] == "float32" else 1 / 255, **image) for image in images]
    encoders = [
        nn.Sequential(nn.Conv2d(p.channels, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten())
        for p in ports
    ]
    pixels = [Pixels(channels_last=p.layout == "nhwc", divisor=255.0 if p.dtype == "uint8" else None) for p in ports]
    seen = sum(
        int(encoder(torch.zeros(1, p.channels, p.height, p.width)).shape[1])
        for p, encoder in zip(ports, encoders, strict=True)
    )
    vector = linear(torch.randn(8, 15) / 4, torch.randn(8))
    weights = [(torch.randn(16, 8 + seen) / (8 + seen) ** 0.5, torch.randn(16)), (torch.randn(4, 16) / 4, None)]
    actor = ImageActor(
        eyes=[Eye(*parts) for parts in zip(ports, pixels, encoders, strict=True)],
        vector=vector,
        vector_first=False,
        layers=perceptron(weights, nn.ELU),
        head=nn.Identity(),
        obs_size=15,
        action_size=4,
    )
    return actor.eval().requires_grad_(False)


@pytest.fixture
def see(contract: Contract) -> Callable[..., Contract]:
    """The contract of four joints with images, each of which can be changed."""

    def make(*images: dict[str, Any]) -> Contract:
        full = [{"scale": 1.0 if image["dtype"] == "float32" else 1 / 255, **image} for image in images]
        return Contract.model_validate({**contract.model_dump(exclude_none=True), "images": full})

    return make


@pytest.fixture
def policy(make_policy: Callable[[Actor], LoadedPolicy]) -> LoadedPolicy:
    return make_policy(seeing(IMAGE, FRONT))


def test_a_remap_leaves_the_images_alone(policy, see, mapping, tmp_path):
    """Joints are reordered, images are passed through: both files equal the network on turned observations."""
    remap = build_remap(see(IMAGE, FRONT), mapping)
    port = write_port(tmp_path / "port", policy, remap)
    obs = np.random.default_rng(0).standard_normal((5, 15)).astype(np.float32)
    rgb = np.random.default_rng(1).integers(0, 256, (5, 12, 16, 3), np.uint8)
    front = np.random.default_rng(2).random((5, 1, 9, 9)).astype(np.float32)
    seen = torch.from_numpy(remap.observation(obs).astype(np.float32))
    expected = remap.action(policy.actor(seen, torch.from_numpy(rgb), torch.from_numpy(front))[0].numpy())
    session = onnxruntime.InferenceSession(port.onnx)
    assert [node.name for node in session.get_inputs()] == ["obs", "rgb", "front"]
    np.testing.assert_allclose(session.run(None, {"obs": obs, "rgb": rgb, "front": front})[0], expected, atol=1e-5)
    module = torch.jit.load(port.torchscript)
    module.reset()
    actions = module(torch.from_numpy(obs), rgb=torch.from_numpy(rgb), front=torch.from_numpy(front))
    np.testing.assert_allclose(actions.numpy(), expected, atol=1e-5)
    assert port.contract.images == see(IMAGE, FRONT).images


def test_every_fault_of_an_image_is_tried_and_caught(policy, see, tmp_path):
    """The self-test exchanges channels, turns rows over and leaves the scale out, in both formats."""
    port = write_port(tmp_path / "port", policy, identity_remap(see(IMAGE, FRONT)))
    for file in port.parity["files"]:
        probes = {probe["kind"]: probe["trials"] for probe in file["probes"]}
        for kind, fault in {
            "an image's channels exchanged": "channels of image rgb in reverse",
            "an image's rows flipped": "image rgb upside down",
            "an image's scale missing": "image rgb not scaled",
        }.items():
            assert probes[kind][-1]["fault"] == fault
            assert probes[kind][-1]["ratio"] > 100.0


def test_sample_and_manifest_cover_the_images(policy, see, tmp_path):
    """The sample holds smooth images and noise; a port whose sample shows another image does not load."""
    port = write_port(tmp_path / "port", policy, identity_remap(see(IMAGE, FRONT)))
    assert {name: array.shape for name, array in port.sample.images.items()} == {
        "rgb": (8, 3, 12, 16, 3),
        "front": (8, 3, 1, 9, 9),
    }
    steps = np.abs(np.diff(port.sample.images["rgb"].astype(int), axis=3)).mean((1, 2, 3, 4))
    assert steps[:4].max() < steps[4:].min()
    assert port.manifest["policy"]["images"] == ["rgb", "front"]
    port.sample.images["rgb"][0] ^= 0xFF
    with pytest.raises(PortError, match="does not compute here"):
        port.sample.check(lambda *given: given[0][..., :4], port.onnx)


def _graph(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "policy.onnx")


def _unscaled(model: onnx.ModelProto) -> None:
    [divide] = [node for node in model.graph.node if node.op_type == "Div"]
    for tensor in model.graph.initializer:
        if tensor.name == divide.input[1]:
            tensor.CopyFrom(numpy_helper.from_array(np.float32(1.0), tensor.name))


def _turned(model: onnx.ModelProto, axis: int, size: int) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.arange(size)[::-1].copy(), "turned"))
    for node in model.graph.node:
        node.input[:] = ["rgb_turned" if name == "rgb" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Gather", ["rgb", "turned"], ["rgb_turned"], axis=axis))


@pytest.mark.parametrize(
    "fault",
    [_unscaled, lambda model: _turned(model, 3, 3), lambda model: _turned(model, 1, 12)],
    ids=["scale missing", "blue and red exchanged", "rows flipped"],
)
def test_an_export_with_a_wrong_image_fails(policy, see, tmp_path, fault):
    """A file that forgets the scale, reads BGR, or has the rows upside down is not proven."""
    remap = identity_remap(see(IMAGE, FRONT))
    folder = tmp_path / "wrong"
    folder.mkdir()
    write_port(tmp_path / "port", policy, remap)
    model = _graph(tmp_path / "port")
    assert measure(tmp_path / "port", policy, remap).passed
    fault(model)
    onnx.save(model, folder / "policy.onnx")
    with pytest.raises(ProofError, match=r"policy\.onnx does not compute what the checkpoint computes"):
        prove(folder, policy, remap)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 14}, r"image 'rgb' has height 14, the network .* reads 12 \(rgb 12x16x3"),
        ({"width": 12}, "image 'rgb' has width 12, the network .* reads 16"),
        ({"channels": 4}, "channels 4, the network .* reads 3"),
        ({"layout": "nchw"}, "layout nchw, the network .* reads nhwc"),
        ({"dtype": "float32"}, "dtype float32, the network .* reads uint8"),
        ({"scale": 1.0}, "has scale 1.0, the network .* multiplies each pixel by 0.0039"),
        ({"name": "rbg"}, "reads the image rgb .* does not have; did you mean 'rbg'"),
    ],
)
def test_a_contract_with_another_image_is_refused(make_policy, see, tmp_path, changes, message):
    """What the contract says of an image is held against the network, and both are named."""
    policy = make_policy(seeing(IMAGE))
    with pytest.raises(ContractError, match=message):
        write_port(tmp_path / "port", policy, identity_remap(see({**IMAGE, **changes})))
    assert not (tmp_path / "port").exists()


def test_images_on_one_side_only_are_refused(make_policy, make_actor, see, contract, tmp_path):
    """A contract with an image and a blind network, or the other way round, do not fit."""
    with pytest.raises(ContractError, match="reads the image rgb 12x16x3.*Its images are: none"):
        write_port(tmp_path / "port", make_policy(seeing(IMAGE)), identity_remap(contract))
    with pytest.raises(ContractError, match="has the image 'rgb', which the network .* does not read"):
        write_port(tmp_path / "port", make_policy(make_actor()), identity_remap(see(IMAGE)))


def test_exchanged_images_are_refused(policy, see, tmp_path):
    """The order of the images is the network's."""
    with pytest.raises(ContractError, match="lists the images front, rgb, .* reads rgb, front"):
        write_port(tmp_path / "port", policy, identity_remap(see(FRONT, IMAGE)))


def test_an_onnx_port_that_sees_is_a_policy_again(policy, see, tmp_path):
    """The ONNX file is read back, its images found by their shape; TorchScript does not say how large they are."""
    port = write_port(tmp_path / "port", policy, identity_remap(see(IMAGE, FRONT)))
    again = load_policy(port.onnx)
    assert [str(image) for image in again.actor.images] == [str(image) for image in policy.actor.images]
    second = write_port(tmp_path / "second", again, identity_remap(see(IMAGE, FRONT)))
    np.testing.assert_allclose(second.sample.actions, port.sample.actions, atol=1e-5)
    with pytest.raises(CheckpointError, match=r"forward\(\) takes \(Tensor, Tensor, Tensor\).*or as ONNX"):
        load_policy(port.torchscript)


def test_play_says_that_it_has_no_eyes(policy, see, tmp_path):
    """play refuses a port that reads images, naming them."""
    write_port(tmp_path / "port", policy, identity_remap(see(IMAGE, FRONT)))
    line = ["play", str(tmp_path / "port"), "--plant", "mujoco", "--command", "0,0,0", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, line)
    assert (result.exit_code, "camera images (rgb, front)" in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    assert load_port(tmp_path / "port").chunk is None
