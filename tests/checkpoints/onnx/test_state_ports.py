"""Recurrent state under any name and in any layout, and files that read several vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints.onnx.test_cut import save
from tests.checkpoints.onnx.test_file import weights
from tests.checkpoints.torchscript.test_file import differences

Sizes = list[int | str]


def recurrent(
    path: Path,
    read: tuple[str, str],
    written: tuple[str, str],
    shape: Sizes,
    *,
    kind: str = "GRU",
    action: str = "action",
) -> Path:
    """Two layers of a GRU or LSTM of 4 from obs (6) to 3, whose states (2, 1, 4) go in and out under these names and in
    this shape: layers first, batch first, or flat (batch, 8).
    """
    states = len(read) if kind == "LSTM" else 1
    ports = list(zip(read[:states], written[:states], strict=True))
    batch = next((size for size in shape if isinstance(size, str)), 1)
    flat, first = len(shape) == 2, len(shape) == 3 and shape[1] == 2
    nodes = []
    for name, _ in ports:
        inner = name
        if flat:
            nodes.append(helper.make_node("Reshape", [name, "apart"], [f"{name}_apart"]))
            inner = f"{name}_apart"
        if flat or first:
            nodes.append(helper.make_node("Transpose", [inner], [f"{name}_turned"], perm=[1, 0, 2]))
            inner = f"{name}_turned"
        nodes.append(helper.make_node("Split", [inner], [f"{name}_0", f"{name}_1"], axis=0))
    nodes.append(helper.make_node("Unsqueeze", ["obs", "zero"], ["sequence0"]))
    gates = 4 if kind == "LSTM" else 3
    arrays = {"zero": np.array([0]), "one": np.array([1]), "both": np.array([0, 1]), "w": weights(4, 3)}
    arrays |= {"apart": np.array([-1, 2, 4]), "together": np.array([-1, 8])}
    more = {} if kind == "LSTM" else {"linear_before_reset": 1}
    for layer, width in enumerate((6, 4)):
        inputs = [
            f"sequence{layer}",
            f"W{layer}",
            f"R{layer}",
            f"B{layer}",
            "",
            *(f"{name}_{layer}" for name, _ in ports),
        ]
        outputs = [f"Y{layer}", *(f"{out}_{layer}" for _, out in ports)]
        nodes.append(helper.make_node(kind, inputs, outputs, hidden_size=4, **more))
        nodes.append(helper.make_node("Squeeze", [f"Y{layer}", "one"], [f"sequence{layer + 1}"]))
        arrays |= {f"W{layer}": weights(1, gates * 4, width), f"R{layer}": weights(1, gates * 4, 4)}
        arrays[f"B{layer}"] = weights(1, gates * 8)
    for _, out in ports:
        joined = f"{out}_joined" if flat or first else out
        nodes.append(helper.make_node("Concat", [f"{out}_0", f"{out}_1"], [joined], axis=0))
        if flat or first:
            turned = f"{out}_turned" if flat else out
            nodes.append(helper.make_node("Transpose", [joined], [turned], perm=[1, 0, 2]))
        if flat:
            nodes.append(helper.make_node("Reshape", [f"{out}_turned", "together"], [out]))
    nodes += [
        helper.make_node("Squeeze", ["sequence2", "zero"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], [action]),
    ]
    return save(
        path,
        nodes,
        arrays,
        {"obs": [batch, 6], **{name: shape for name, _ in ports}},
        {action: [batch, 3], **{out: shape for _, out in ports}},
    )


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("layout", ["layers first", "batch first", "flat"])
def test_a_state_is_read_in_any_layout(tmp_path: Path, layout: str, batch: int | str, kind: str) -> None:
    """Layers first, the batch first, or all layers in one row: the state goes on as ONNX Runtime's does, row by row."""
    shapes: dict[str, Sizes] = {"layers first": [2, batch, 4], "batch first": [batch, 2, 4], "flat": [batch, 8]}
    path = recurrent(tmp_path / "policy.onnx", ("h_in", "c_in"), ("h_out", "c_out"), shapes[layout], kind=kind)
    policy = load_policy(path)
    assert policy.actor.state_names == (("h", "c") if kind == "LSTM" else ("h",))
    assert policy.actor.state_shapes[0] == ((1, 8) if layout == "flat" else (2, 4))
    assert max(differences(policy, rows, 4) for rows in (1, 7)) < 1e-5
    assert any("state h: input h_in" in note and "carried on by h_out" in note for note in policy.notes)


NAMES = [
    (("input_hidden_states", "input_cell_states"), ("output_hidden_states", "output_cell_states")),
    (("hidden", "cell"), ("hidden_out", "cell_out")),
    (("h0", "c0"), ("hn", "cn")),
    (("hx", "cx"), ("hy", "cy")),
    (("prev_hidden", "prev_cell"), ("next_hidden", "next_cell")),
    (("state", "memory"), ("new_state", "new_memory")),
    (("hiddenIn", "cellIn"), ("hiddenOut", "cellOut")),
    (("alpha", "beta"), ("gamma", "delta")),
]


@pytest.mark.parametrize(("read", "written"), NAMES, ids=[read[0] for read, _ in NAMES])
def test_a_state_is_found_under_any_name(tmp_path: Path, read: tuple[str, str], written: tuple[str, str]) -> None:
    """Its name does not matter where the wiring to the layer tells, also through splits, joins and turns."""
    for kind in ("LSTM", "GRU"):
        for shape in ([2, "batch", 4], [1, 8]):
            policy = load_policy(recurrent(tmp_path / f"{kind}{len(shape)}.onnx", read, written, shape, kind=kind))
            assert differences(policy, 3, 3) < 1e-5
            assert policy.actor.obs_size == 6


def cell(path: Path, names: tuple[str, str], action: str) -> Path:
    """A cell written out in its arithmetic, as exporters unroll one: h' = tanh(obs U + h V)."""
    nodes = [
        helper.make_node("MatMul", ["obs", "u"], ["seen"]),
        helper.make_node("MatMul", [names[0], "v"], ["kept"]),
        helper.make_node("Add", ["seen", "kept"], ["sum"]),
        helper.make_node("Tanh", ["sum"], [names[1]]),
        helper.make_node("MatMul", [names[1], "w"], [action]),
    ]
    arrays = {"u": weights(6, 4), "v": weights(4, 4), "w": weights(4, 4)}
    return save(path, nodes, arrays, {"obs": [1, 6], names[0]: [1, 4]}, {action: [1, 4], names[1]: [1, 4]})


def test_a_cell_without_a_layer_is_found_by_name(tmp_path: Path) -> None:
    """Without a recurrent layer the names tell, also where the action is as wide as the state; where they say nothing
    the second vector is asked for, and --output settles it. The last action is a vector, not a state.
    """
    policy = load_policy(cell(tmp_path / "named.onnx", ("hidden", "hidden_next"), "action"))
    assert (policy.actor.state_names, policy.actor.obs_size) == (("hidden",), 6)
    assert differences(policy, 3, 4) < 1e-6
    path = cell(tmp_path / "odd.onnx", ("p", "q"), "action")
    with pytest.raises(CheckpointError, match="reads several vectors: obs 6, p 4"):
        load_policy(path)
    assert differences(load_policy(path, outputs={"p": "q"}), 3, 4) < 1e-6
    path = cell(tmp_path / "last.onnx", ("last_action", "actions_again"), "action")
    with pytest.raises(CheckpointError, match="reads several vectors: obs 6, last_action 4"):
        load_policy(path)


def test_vectors_are_filled_by_the_contracts_names(tmp_path: Path) -> None:
    """A vector and a stack of past steps are filled by group and term of their names, in the contract's columns; a
    name or a width that the contract does not have is refused.
    """
    nodes = [
        helper.make_node("Flatten", ["history"], ["past"], axis=1),
        helper.make_node("Concat", ["past", "command"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["actions"]),
    ]
    gains = weights(11, 3)
    path = save(
        tmp_path / "policy.onnx",
        nodes,
        {"w": gains},
        {"history": ["batch", 2, 4], "command": ["batch", 3]},
        {"actions": ["batch", 3]},
    )
    # The contract has the command first.
    names = {"command": [(at, 0) for at in range(3)], "history": [(at, at // 7) for at in range(3, 11)]}
    policy = load_policy(path, names=names, width=11)
    obs = np.random.default_rng(0).standard_normal((5, 11)).astype(np.float32)
    assert policy.original is not None
    wanted = np.concatenate([obs[:, 3:], obs[:, :3]], axis=1) @ gains
    assert np.abs(policy.original().step(obs) - wanted).max() < 1e-5
    assert differences(policy, 5, 2) < 1e-5
    with pytest.raises(CheckpointError, match="there is no 'history' there|there is no 'history'; it names"):
        load_policy(path, names={"command": names["command"]}, width=11)
    with pytest.raises(CheckpointError, match="'history' has 7 there"):
        load_policy(path, names=names | {"history": names["history"][1:]}, width=11)
    with pytest.raises(CheckpointError, match=r"column 11 \(height\)"):
        load_policy(path, names=names | {"height": [(11, 0)]}, width=12)
