"""ONNX files: read within bounds, and turned into an actor with explicit state."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError, UnsafeFileError
from tests.checkpoints import written
from tests.checkpoints.torchscript.test_file import differences

RNG = np.random.default_rng(3)


def weights(*shape: int, rng: np.random.Generator = RNG) -> np.ndarray:
    return (rng.standard_normal(shape) * 0.4).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto],
    arrays: dict[str, np.ndarray],
    path: Path,
    *,
    width: int = 6,
    actions: int = 3,
    batch: int | str = "batch",
    states: dict[str, tuple[int, int]] | None = None,
    **options: Any,
) -> Path:
    """Write a model with input obs, output actions, and states name_in, name_out."""
    states = states or {}
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("obs", floats, [batch, width])]
        + [helper.make_tensor_value_info(f"{name}_in", floats, [k, batch, n]) for name, (k, n) in states.items()],
        [helper.make_tensor_value_info("actions", floats, [batch, actions])]
        + [helper.make_tensor_value_info(f"{name}_out", floats, [k, batch, n]) for name, (k, n) in states.items()],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = options.pop("opset_imports", [helper.make_opsetid("", 17)])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path), **options)
    return path


def perceptron(path: Path, **options: Any) -> Path:
    nodes = [
        helper.make_node("Gemm", ["obs", "w0", "b0"], ["x0"], transB=1),
        helper.make_node("Elu", ["x0"], ["x1"]),
        helper.make_node("MatMul", ["x1", "w1"], ["x2"]),
        helper.make_node("Add", ["x2", "b1"], ["actions"]),
    ]
    arrays = {"w0": weights(8, 6), "b0": weights(8), "w1": weights(8, 3), "b1": weights(3)}
    return model(nodes, arrays, path, **options)


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("rows", [1, 7])
def test_a_perceptron_equals_onnxruntime(tmp_path: Path, rows: int, batch: int | str) -> None:
    """Gemm, MatMul and Elu give what ONNX Runtime gives, for any batch, also of a file for one observation."""
    policy = load_policy(perceptron(tmp_path / "policy.onnx", batch=batch))
    assert (policy.library, policy.actor.obs_size, policy.actor.action_size) == ("onnx", 6, 3)
    assert differences(policy, rows) < 1e-6


ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("Relu", {}),
    ("Tanh", {}),
    ("Sigmoid", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("Elu", {"alpha": 0.7}),
    ("Selu", {}),
    ("Selu", {"alpha": 1.5, "gamma": 1.2}),
    ("Celu", {"alpha": 1.3}),
    ("LeakyRelu", {"alpha": 0.2}),
    ("HardSigmoid", {}),
    ("HardSwish", {}),
    ("Erf", {}),
    ("Neg", {}),
    ("Exp", {}),
]


@pytest.mark.parametrize(("kind", "attributes"), ACTIVATIONS)
def test_every_activation_equals_onnxruntime(tmp_path: Path, kind: str, attributes: dict[str, Any]) -> None:
    """Each activation with its attributes gives what ONNX Runtime gives."""
    nodes = [
        helper.make_node("Gemm", ["obs", "w", "b"], ["x"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node(kind, ["x"], ["actions"], **attributes),
    ]
    policy = load_policy(model(nodes, {"w": weights(3, 6), "b": weights(3)}, tmp_path / "policy.onnx"))
    assert differences(policy, 7, 3) < 2e-6


@pytest.mark.parametrize("batch", ["batch", 1])
def test_moving_numbers_about_equals_onnxruntime(tmp_path: Path, batch: int | str) -> None:
    """Gather, Slice, Split, Concat, Reshape, Transpose, Clip and Unsqueeze give what ONNX Runtime gives."""
    nodes = [
        helper.make_node("Gather", ["obs", "order"], ["g"], axis=1),
        helper.make_node("Slice", ["g", "from", "to", "axis"], ["s"]),
        helper.make_node("Split", ["obs", "sizes"], ["p", "q"], axis=-1),
        helper.make_node("Concat", ["s", "p", "q"], ["c"], axis=1),
        helper.make_node("Clip", ["c", "low", "high"], ["l"]),
        helper.make_node("Reshape", ["l", "shape"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Flatten", ["t"], ["f"]),
        helper.make_node("Unsqueeze", ["f", "zero"], ["u"]),
        helper.make_node("Squeeze", ["u", "zero"], ["v"]),
        helper.make_node("Gemm", ["v", "w"], ["actions"]),
    ]
    arrays = {
        "order": np.array([3, -1, 0, 2, 1, 4]),
        "from": np.array([1]),
        "to": np.array([2**62]),
        "axis": np.array([1]),
        "sizes": np.array([2, 4]),
        "low": np.float32(-0.8).reshape(()),
        "high": np.float32(0.9).reshape(()),
        "shape": np.array([1 if batch == 1 else -1, 11, 1]),
        "zero": np.array([0]),
        "w": weights(11, 3),
    }
    assert differences(load_policy(model(nodes, arrays, tmp_path / "policy.onnx", batch=batch)), 7, 3) < 1e-6


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_state_is_input_and_output(tmp_path: Path, kind: str, rows: int) -> None:
    """ONNX's gate orders are understood: 20 steps with state equal ONNX Runtime's, row by row."""
    gates, names = (4, ("h", "c")) if kind == "LSTM" else (3, ("h",))
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "zero"], ["sequence"]),
        helper.make_node(
            kind,
            ["sequence", "W", "R", "B", "", *(f"{name}_in" for name in names)],
            ["Y", *(f"{name}_out" for name in names)],
            hidden_size=8,
            **({} if kind == "LSTM" else {"linear_before_reset": 1}),
        ),
        helper.make_node("Squeeze", ["Y", "both"], ["y"]),
        helper.make_node("Gemm", ["y", "w"], ["actions"]),
    ]
    arrays = {
        "zero": np.array([0]),
        "both": np.array([0, 1]),
        "W": weights(1, gates * 8, 6),
        "R": weights(1, gates * 8, 8),
        "B": weights(1, 2 * gates * 8),
        "w": weights(8, 3),
    }
    path = model(nodes, arrays, tmp_path / "policy.onnx", states=dict.fromkeys(names, (1, 8)), batch=1)
    policy = load_policy(path)
    assert policy.actor.state_names == names
    assert policy.actor.state_shapes == ((1, 8),) * len(names)
    assert differences(policy, rows) < 1e-6


@pytest.mark.parametrize("batch", ["batch", 1])
def test_shapes_computed_from_the_batch_stay_dynamic(tmp_path: Path, batch: int | str) -> None:
    """Shape, Gather, Mul, Div and Concat of sizes, as exporters write them around a reshape, keep the batch open."""
    nodes = [
        helper.make_node("Gemm", ["obs", "w"], ["x"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Gather", ["shape", "one"], ["columns"]),
        helper.make_node("Div", ["columns", "two"], ["half"]),
        helper.make_node("Unsqueeze", ["rows", "axis"], ["first"]),
        helper.make_node("Unsqueeze", ["half", "axis"], ["last"]),
        helper.make_node("Concat", ["first", "pair", "last"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
        helper.make_node("ReduceSum", ["y", "pair_axis"], ["actions"], keepdims=0),
    ]
    arrays = {
        "w": weights(6, 6),
        "zero": np.array(0),
        "one": np.array(1),
        "two": np.array(2),
        "axis": np.array([0]),
        "pair": np.array([2]),
        "pair_axis": np.array([1]),
    }
    assert differences(load_policy(model(nodes, arrays, tmp_path / "policy.onnx", batch=batch)), 7, 3) < 1e-6


def test_a_lost_state_is_noted(tmp_path: Path) -> None:
    """An LSTM that starts from zeros at every call is taken as it is, with a note that its state was lost."""
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "zero"], ["sequence"]),
        helper.make_node("LSTM", ["sequence", "W", "R"], ["", "h"], hidden_size=3),
        helper.make_node("Squeeze", ["h", "zero"], ["actions"]),
    ]
    arrays = {"zero": np.array([0]), "W": weights(1, 12, 6), "R": weights(1, 12, 3)}
    policy = load_policy(model(nodes, arrays, tmp_path / "policy.onnx"))
    assert any("starts anew at every call" in note for note in policy.notes)
    assert differences(policy, 7, 3) < 1e-6


def test_float64_works(tmp_path: Path) -> None:
    """The actor runs in double precision and agrees with itself in single."""
    actor = load_policy(perceptron(tmp_path / "policy.onnx")).actor
    obs = torch.from_numpy(written.observations(7, 6))
    single = actor(obs)[0]
    double = actor.double()(obs.double())[0]
    assert double.dtype == torch.float64
    assert float((single - double).abs().max()) < 1e-6


def external(folder: Path) -> Path:
    """Write a perceptron with its weights in policy.onnx.data."""
    folder.mkdir(exist_ok=True)
    options = {"save_as_external_data": True, "location": "policy.onnx.data", "size_threshold": 0}
    return perceptron(folder / "policy.onnx", **options)


def relocated(path: Path, **entries: str) -> Path:
    """Change the external data entries of the first tensor."""
    changed = onnx.load(str(path), load_external_data=False)
    for entry in changed.graph.initializer[0].external_data:
        entry.value = entries.get(entry.key, entry.value)
    path.write_bytes(changed.SerializeToString())
    return path


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    """The layout that current torch writes, x.onnx with x.onnx.data, loads and runs."""
    assert differences(load_policy(external(tmp_path)), 7, 3) < 1e-6


@pytest.mark.parametrize("location", ["../secret", "a/../../secret", "/etc/hostname", "C:\\secret", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    """A location that leads out of the model's folder is refused before anything is opened."""
    (tmp_path / "secret").write_bytes(bytes(1000))
    path = relocated(external(tmp_path / "model"), location=location)
    with pytest.raises(UnsafeFileError, match="outside the model's folder"):
        load_policy(path)


@pytest.mark.parametrize("kind", ["symlink", "folder symlink", "hard link"])
def test_external_data_through_a_link_is_refused(tmp_path: Path, kind: str) -> None:
    """Symbolic links, also of a folder on the way, and hard links are refused."""
    path = external(tmp_path / "model")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    secret = elsewhere / "data"
    (path.parent / "policy.onnx.data").rename(secret)
    if kind == "hard link":
        os.link(secret, path.parent / "data")
        relocated(path, location="data")
    elif kind == "symlink":
        (path.parent / "data").symlink_to(secret)
        relocated(path, location="data")
    else:
        (path.parent / "sub").symlink_to(elsewhere)
        relocated(path, location="sub/data")
    with pytest.raises(UnsafeFileError, match="link"):
        load_policy(path)


@pytest.mark.parametrize(("key", "value"), [("length", str(2**40)), ("offset", str(2**40)), ("offset", "-4")])
def test_external_data_is_bounded_by_its_file(tmp_path: Path, key: str, value: str) -> None:
    """A declared length of 1 TiB or an offset beyond the file is refused without allocating."""
    with pytest.raises(UnsafeFileError, match="length|ends at byte"):
        load_policy(relocated(external(tmp_path), **{key: value}))


def test_a_shape_of_a_tebibyte_is_refused(tmp_path: Path) -> None:
    """A tensor whose shape declares 1 TiB is refused."""
    path = perceptron(tmp_path / "policy.onnx")
    changed = onnx.load(str(path))
    changed.graph.initializer[0].dims[:] = [2**20, 2**18]
    path.write_bytes(changed.SerializeToString())
    with pytest.raises(UnsafeFileError, match=f"w0 declares {2**40} bytes"):
        load_policy(path)


def test_a_computed_giant_is_refused(tmp_path: Path) -> None:
    """A graph that would compute a constant of a hundred gigabytes is refused before it does."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["giant"]),
        helper.make_node("ReduceSum", ["giant"], ["sum"], keepdims=0),
        helper.make_node("Add", ["obs", "sum"], ["actions"]),
    ]
    path = model(nodes, {"size": np.array([2**35])}, tmp_path / "policy.onnx", actions=6)
    with pytest.raises(UnsafeFileError, match="more than any policy has"):
        load_policy(path)


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    """Without the data file the error says which file to copy."""
    path = external(tmp_path)
    (tmp_path / "policy.onnx.data").unlink()
    with pytest.raises(CheckpointError, match=r"policy\.onnx\.data.*copy that file"):
        load_policy(path)


@pytest.mark.parametrize(("domain", "kind"), [("com.example", "Gemm"), ("", "Loop")])
def test_foreign_operators_are_refused_by_name(tmp_path: Path, domain: str, kind: str) -> None:
    """Custom domains and control flow are refused by name."""
    nodes = [helper.make_node(kind, ["obs", "w"], ["actions"], domain=domain)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    path = model(nodes, {"w": weights(6, 3)}, tmp_path / "policy.onnx", opset_imports=opsets)
    with pytest.raises(UnsafeFileError, match=kind):
        load_policy(path)


def test_a_nan_weight_is_refused_by_name(tmp_path: Path) -> None:
    """NaN in an initialiser is an error naming it."""
    nodes = [helper.make_node("MatMul", ["obs", "spoilt"], ["actions"])]
    path = model(nodes, {"spoilt": np.full((6, 3), np.nan, np.float32)}, tmp_path / "policy.onnx")
    with pytest.raises(CheckpointError, match="spoilt has 18 of 18 values NaN"):
        load_policy(path)


@pytest.mark.parametrize("content", [b"\x01\x02\x03 not a model", b"\x08\x07"])
def test_noise_named_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no model are an error in words."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not an ONNX model"):
        load_policy(path)


def test_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    """Flipped bytes give a policy or our own error, never another exception."""
    path = perceptron(tmp_path / "policy.onnx")
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(original)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            load_policy(path)
        except CheckpointError:
            continue


def _with_input(path: Path, name: str, shape: list[int | str], kind: int = TensorProto.FLOAT) -> Path:
    """Add an input that a first node reads, as exporters with several inputs write it."""
    loaded = onnx.load(perceptron(path))
    loaded.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    onnx.save(loaded, str(path))
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (["batch", 8, 8, 9], TensorProto.FLOAT, "channels first or last can't be told"),
        (["batch", 3, "rows", 9], TensorProto.FLOAT, "size of the image camera is not fixed"),
        (["batch", 3, 64, 64], TensorProto.INT16, "neither uint8 nor float32"),
    ],
)
def test_images_that_are_not_clear_are_refused(tmp_path: Path, shape: list, kind: int, message: str) -> None:
    """The layout, size and type of an image are told from the file or refused."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(_with_input(tmp_path / "policy.onnx", "camera", shape, kind))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Protobuf hands damaged names out as bytes; the file is refused instead."""
    path = perceptron(tmp_path / "policy.onnx")
    path.write_bytes(path.read_bytes().replace(b"Gemm", b"Ge\xe3m"))
    with pytest.raises(CheckpointError, match=r"op_type holds bytes that are no text|cut off"):
        load_policy(path)


@pytest.mark.parametrize("size", [2**62, -1])
def test_sizes_that_no_policy_has_are_refused(tmp_path: Path, size: int) -> None:
    """An observation of 2^62 numbers, or of less than none, is a message and not an overflow."""
    path = perceptron(tmp_path / "policy.onnx")
    loaded = onnx.load(path)
    loaded.graph.input[0].type.tensor_type.shape.dim[1].dim_value = size
    onnx.save(loaded, str(path))
    with pytest.raises(CheckpointError, match="no policy is larger"):
        load_policy(path)
