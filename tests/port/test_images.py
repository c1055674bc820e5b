"""Camera frames into a network: what it sees is what the camera showed, or there is an error."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from policy_port.contract.image import ImageInput
from policy_port.errors import PortError
from policy_port.port.images import FrameError
from policy_port.port.runtime import NonFiniteError, OnnxPolicy

RGB = ImageInput(name="rgb", height=4, width=6, channels=3, layout="nhwc", dtype="uint8", scale=1 / 255)
UNIT = ImageInput(name="unit", height=4, width=6, channels=3, layout="nchw", dtype="float32", scale=1.0)
BYTES = ImageInput(name="bytes", height=4, width=6, channels=3, layout="nchw", dtype="float32", scale=1 / 255)


def save_seeing(path: Path, *images: ImageInput, obs: int = 2) -> Path:
    """actions = obs, then every value of every image in the order of its memory."""
    inputs = [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", obs])]
    nodes, parts, width = [], ["obs"], obs
    for image in images:
        sides = [image.height, image.width, image.channels]
        shape = ["batch", *(sides if image.layout == "nhwc" else [sides[2], *sides[:2]])]
        kind = TensorProto.UINT8 if image.dtype == "uint8" else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(image.name, kind, shape))
        nodes += [
            helper.make_node("Cast", [image.name], [f"{image.name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", [f"{image.name}_float", "flat"], [f"{image.name}_flat"]),
        ]
        parts.append(f"{image.name}_flat")
        width += int(np.prod(sides))
    nodes.append(helper.make_node("Concat", parts, ["actions"], axis=1))
    outputs = [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["batch", width])]
    flat = numpy_helper.from_array(np.array([0, -1], dtype=np.int64), "flat")
    graph = helper.make_graph(nodes, "policy", inputs, outputs, [flat])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (RGB, lambda shown: shown.astype(np.float32)),
        (UNIT, lambda shown: np.moveaxis(shown, 3, 1).astype(np.float32) / np.float32(255)),
        (BYTES, lambda shown: np.moveaxis(shown, 3, 1).astype(np.float32)),
    ],
    ids=["bytes last", "0 to 1 first", "0 to 255 first"],
)
def test_the_network_reads_its_own_layout_type_and_range(tmp_path: Path, image: ImageInput, expected: Any) -> None:
    """Frames always come as a camera gives them; what the contract says of layout, type and scale is made of them."""
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", image), 3, (image,))
    for seed in range(2):
        shown = frames(3, 4, 6, 3, seed=seed)
        policy.observation[...] = [[1, 2], [3, 4], [5, 6]]
        policy.images[image.name].show(shown)
        action = policy.act()
        assert np.array_equal(action[:, :2], [[1, 2], [3, 4], [5, 6]])
        np.testing.assert_allclose(action[:, 2:], expected(shown).reshape(3, -1), rtol=1e-6)


def test_two_images_go_by_name(tmp_path: Path) -> None:
    """Two cameras of one size: the order in which they are shown changes nothing, exchanged names change all."""
    left, right = (UNIT.model_copy(update={"name": name}) for name in ("left", "right"))
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", left, right), 1, (left, right))
    shown = {"left": frames(4, 6, 3), "right": frames(4, 6, 3, seed=1)}

    def act(order: tuple[str, ...], **renamed: str) -> np.ndarray:
        policy.observation.fill(0.0)
        for name in order:
            policy.images[renamed.get(name, name)].show(shown[name])
        return policy.act().copy()

    right_way = act(("left", "right"))
    assert np.array_equal(act(("right", "left")), right_way)
    assert not np.array_equal(act(("left", "right"), left="right", right="left"), right_way)


def test_cameras_behind_each_other_on_the_channels(tmp_path: Path) -> None:
    """ManiSkill's rgb of two cameras: each has its own channels, in the contract's order."""
    both = ImageInput.model_validate({**RGB.model_dump(), "channels": 6, "cameras": ("base", "hand")})
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", both), 2, (both,))
    base, hand = frames(2, 4, 6, 3), frames(2, 4, 6, 3, seed=1)
    policy.observation.fill(0.0)
    policy.images["hand"].show(hand)
    policy.images["base"].show(base)
    assert np.array_equal(policy.act()[:, 2:], np.concatenate([base, hand], axis=-1).reshape(2, -1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (frames(4, 6, 3) / 255.0, "the frame is float64; give uint8 from 0 to 255"),
        (frames(4, 6, 3).astype(np.float32), "the frame is float32"),
        (frames(3, 4, 6), "height first, channels last"),
        (frames(6, 4, 3), "turned on its side"),
        (frames(8, 12, 3), r"shape \(8, 12, 3\), the contract says 4 x 6 with 3 channels. Open the camera"),
        (frames(4, 6, 1), "4 x 6 with 3 channels"),
        (frames(4, 6), "4 x 6 with 3 channels"),
        (frames(2, 4, 6, 3), "4 x 6 with 3 channels"),
    ],
    ids=["0 to 1", "float bytes", "channels first", "on its side", "resolution", "grey", "no channels", "two rows"],
)
def test_a_frame_that_is_not_the_contracts_is_refused(tmp_path: Path, wrong: np.ndarray, message: str) -> None:
    """Floats, channels first, another size: nothing is broadcast, cut or converted in silence."""
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", UNIT), 1, (UNIT,))
    with pytest.raises(FrameError, match=f"camera 'unit'.*{message}"):
        policy.images["unit"].show(wrong)


def test_one_frame_does_not_serve_several_environments(tmp_path: Path) -> None:
    """A single frame is not spread over the batch."""
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", RGB), 2, (RGB,))
    with pytest.raises(FrameError, match="for each of 2 environments"):
        policy.images["rgb"].show(frames(4, 6, 3))


def test_a_step_without_a_frame_or_a_state_is_an_error(tmp_path: Path) -> None:
    """The frame of the step before is not looked at twice; a state that was never filled is no number."""
    left, right = (RGB.model_copy(update={"name": name}) for name in ("left", "right"))
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", left, right), 1, (left, right))
    for name in ("left", "right"):
        policy.images[name].show(frames(4, 6, 3))
    with pytest.raises(NonFiniteError, match="observation of environment 0"):
        policy.act()
    policy.observation.fill(0.0)
    policy.images["left"].show(frames(4, 6, 3))
    with pytest.raises(FrameError, match="camera 'right' has shown no frame since the last step"):
        policy.act()


@pytest.mark.parametrize("how", ["linear", "area", "nearest"])
def test_crop_and_resize_are_the_contracts(tmp_path: Path, how: str) -> None:
    """What is kept is cut out first and becomes the network's size by OpenCV's interpolation of that name."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    stated = {**RGB.model_dump(), "camera_size": (24, 32), "crop": (2, 3, 20, 27), "resize": how}
    image = ImageInput.model_validate(stated)
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", image), 2, (image,))
    shown = frames(2, 24, 32, 3)
    policy.observation.fill(0.0)
    policy.images["rgb"].show(shown)
    by = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}[how]
    expected = [cv2.resize(np.ascontiguousarray(one[2:22, 3:30]), (6, 4), interpolation=by) for one in shown]
    assert np.array_equal(policy.act()[:, 2:], np.stack(expected).reshape(2, -1))
    with pytest.raises(FrameError, match="the contract says 24 x 32"):
        policy.images["rgb"].show(frames(2, 4, 6, 3))


def test_a_crop_alone_cuts_out(tmp_path: Path) -> None:
    """A crop of the network's size needs no interpolation."""
    image = ImageInput.model_validate({**UNIT.model_dump(), "camera_size": (8, 9), "crop": (3, 2, 4, 6)})
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", image), 1, (image,))
    shown = frames(8, 9, 3)
    policy.observation.fill(0.0)
    policy.images["unit"].show(shown)
    kept = np.moveaxis(shown[3:7, 2:8], 2, 0).astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(policy.act()[0, 2:], kept.ravel(), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (0, 0, 4, 6)}, "camera_size, the rows and columns of the camera's image, must be stated"),
        ({"resize": "area"}, "camera_size.*must be stated"),
        ({"camera_size": (8, 9)}, "8 x 9 of the camera are kept and the network sees 4 x 6; resize must say how"),
        ({"camera_size": (8, 9), "crop": (5, 0, 4, 6)}, r"crop 5, 0, 4, 6 .*beyond the camera's 8 x 9"),
        ({"camera_size": (8, 9), "crop": (0, 0, 4, 5)}, "4 x 5 of the camera are kept"),
        ({"camera_size": (8, 9), "resize": "cubic"}, "resize"),
        ({"cameras": ("a", "b")}, "3 channels, which 2 cameras can't share"),
        ({"cameras": ("a", "a", "b")}, "lists a camera twice: a, a, b"),
    ],
)
def test_an_image_that_can_not_become_the_networks_is_refused(changes: dict[str, Any], message: str) -> None:
    """Sizes of camera, crop and network must lead from one to the next; how is never guessed."""
    with pytest.raises(ValidationError, match=message):
        ImageInput.model_validate({**RGB.model_dump(exclude_none=True), **changes})


def test_a_graph_with_other_images_is_refused(tmp_path: Path) -> None:
    """Names, shape and type of graph and contract are held against each other."""
    path = save_seeing(tmp_path / "policy.onnx", RGB)
    with pytest.raises(PortError, match="reads the images rgb, its contract has none"):
        OnnxPolicy(path)
    for changed in ({"layout": "nchw"}, {"height": 5}, {"dtype": "float32"}):
        other = RGB.model_copy(update=changed)
        with pytest.raises(PortError, match="image rgb has shape"):
            OnnxPolicy(path, 1, (other,))


def test_showing_frames_allocates_nothing(tmp_path: Path) -> None:
    """Steps with a converted image leave no memory behind and hold less than one frame in between."""
    large = ImageInput(name="large", height=240, width=320, channels=3, layout="nchw", dtype="float32", scale=1.0)
    policy = OnnxPolicy(save_seeing(tmp_path / "policy.onnx", large), 1, (large,))
    shown = frames(240, 320, 3)
    policy.observation.fill(0.0)
    for _ in range(50):
        policy.images["large"].show(shown)
        policy.act()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(50):
        policy.images["large"].show(shown)
        policy.act()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 5000
    assert peak - before < shown.nbytes
