"""Networks, and exporters of the tests' own that write them rightly or with one fault."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.policy import LoadedPolicy, OriginalRunner
from policy_port.contract import Contract, RobotMapping
from policy_port.port.torchscript import torchscript_on_purpose
from policy_port.remap import Remap, build_remap, identity_remap
from tests.samples import contract_data

JOINTS = ("hip", "knee", "ankle", "toe")


@dataclass(frozen=True, kw_only=True)
class Net:
    """An MLP or LSTM policy as plain arrays, and what stands around it."""

    mean: np.ndarray
    deviation: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    activation: str = "Elu"
    clip: float = 100.0
    memory: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None
    pick: tuple[int, ...] | None = None
    factor: np.ndarray | None = None
    shift: np.ndarray | None = None
    order: tuple[int, ...] | None = None
    sign: np.ndarray | None = None

    def with_layer(self, k: int, weight: np.ndarray, bias: np.ndarray) -> Net:
        return replace(self, layers=(*self.layers[:k], (weight, bias), *self.layers[k + 1 :]))


def random_net(
    seed: int, obs_size: int, actions: int = 4, *, widths: tuple[int, ...] = (32, 16), lstm: int = 0, gain: float = 1.0
) -> Net:
    """A random network with a trained-looking normaliser."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    sizes = [lstm or obs_size, *widths, actions]
    layers = [(numbers(after, before), numbers(after)) for before, after in itertools.pairwise(sizes)]
    layers[-1] = (gain * layers[-1][0], gain * layers[-1][1])
    memory = (numbers(4 * lstm, obs_size), 2 * numbers(4 * lstm, lstm), numbers(4 * lstm), numbers(4 * lstm))
    return Net(
        mean=numbers(obs_size),
        deviation=rng.uniform(0.5, 1.5, obs_size).astype(np.float32),
        layers=tuple(layers),
        memory=memory if lstm else None,
    )


class NetActor(Actor):
    """The network itself, without what stands around it."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.obs_size, self.action_size = len(net.mean), len(net.layers[-1][1])
        self.state_names = () if net.memory is None else ("h", "c")
        self.net = net
        self.mean, self.deviation = _buffer(net.mean), _buffer(net.deviation)
        self.weights = nn.ParameterList([_buffer(w) for w, _ in net.layers])
        self.biases = nn.ParameterList([_buffer(b) for _, b in net.layers])
        self.memory = nn.ParameterList([_buffer(m) for m in net.memory or ()])
        self.state_shapes = () if net.memory is None else ((1, net.memory[1].shape[1]),) * 2

    def forward(self, obs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        x = ((obs - self.mean) / self.deviation).clamp(-self.net.clip, self.net.clip)
        if state:
            h, c = torch.lstm_cell(x, [state[0][0], state[1][0]], *self.memory)
            state, x = (h[None], c[None]), h
        activation = {"Elu": nn.functional.elu, "Relu": torch.relu, "Tanh": torch.tanh}[self.net.activation]
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = nn.functional.linear(x, weight, bias)
            x = activation(x) if k + 1 < len(self.weights) else x
        return (x, *state)


def _buffer(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(array)), requires_grad=False)


def policy_of(net: Net, path: Path, original: OriginalRunner | None = None) -> LoadedPolicy:
    return LoadedPolicy(
        path=path / "model.pt",
        sha256="0" * 64,
        library="rsl_rl",
        version="5",
        evidence=(),
        actor=NetActor(net).eval(),
        normaliser=None,
        distribution="mean",
        architecture=(),
        leftovers=(),
        notes=(),
        original=None if original is None else lambda: original,
    )


def contract(**changes: Any) -> Contract:
    """Four joints, an observation of 18 numbers."""
    data = {
        "joints": {name: {"default": 0.1 + 0.2 * i} for i, name in enumerate(JOINTS)},
        "observation": {
            "terms": [
                {"term": "base_ang_vel", "scale": 0.25},
                {"term": "projected_gravity"},
                {"term": "joint_pos"},
                {"term": "joint_vel", "scale": 0.05},
                {"term": "last_action"},
            ]
        },
        "action": {"terms": [{"term": "joint_position", "scale": 0.3, "offset": "default"}]},
    }
    return Contract.model_validate(contract_data(**data | changes))


def plain() -> Remap:
    return identity_remap(contract())


def turned(clip: tuple[float, float] | None = None, **joints: dict[str, Any]) -> Remap:
    """The joints in another order, with conversions by name, and a clip of the source's observation."""
    mapping = {"source_joint_names": JOINTS, "target_joint_names": ("toe", "hip", "ankle", "knee"), "joints": joints}
    source = contract()
    source = source.model_copy(update={"observation": source.observation.model_copy(update={"clip": clip})})
    return build_remap(source, RobotMapping.model_validate(mapping))


def ported(net: Net, remap: Remap) -> Net:
    """The network with the remap around it; the affine map gives the exporter its numbers, as in the program."""
    maps = remap.observation, remap.action
    assert (maps[0].index >= 0).all()
    assert (maps[1].index >= 0).all()
    return replace(
        net,
        pick=tuple(maps[0].index.tolist()),
        factor=maps[0].scale.astype(np.float32),
        shift=maps[0].offset.astype(np.float32),
        order=tuple(maps[1].index.tolist()),
        sign=maps[1].scale.astype(np.float32),
    )


def write_onnx(net: Net, folder: Path, *, batch: str | int = "batch", forget_state: bool = False) -> None:
    """Write policy.onnx with onnx.helper."""
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []

    def constant(value: Any) -> str:
        tensors.append(numpy_helper.from_array(np.asarray(value), f"k{len(tensors)}"))
        return tensors[-1].name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    x = "obs"
    if net.pick is not None:
        x = add("Gather", x, constant(np.array(net.pick)), axis=1)
        x = add("Add", add("Mul", x, constant(net.factor)), constant(net.shift))
    x = add("Div", add("Sub", x, constant(net.mean)), constant(net.deviation))
    x = add("Clip", x, constant(np.float32(-net.clip)), constant(np.float32(net.clip)))
    inputs, outputs = [value("obs", batch, len(net.mean))], [value("actions", batch, len(net.layers[-1][1]))]
    if net.memory is not None:
        hidden = net.memory[1].shape[1]
        x = add("Unsqueeze", x, constant(np.array([0])))
        weights = [constant(_onnx_gates(m)[None]) for m in net.memory[:2]]
        bias = constant(np.concatenate([_onnx_gates(m) for m in net.memory[2:]])[None])
        state = ["", ""] if forget_state else ["h_in", "c_in"]
        after = ["y", "h_out", "c_out"]
        nodes.append(helper.make_node("LSTM", [x, *weights, bias, "", *state], after, hidden_size=hidden))
        x = add("Squeeze", "h_out", constant(np.array([0])))
        if not forget_state:
            inputs += [value(name, 1, batch, hidden) for name in state]
            outputs += [value(name, 1, batch, hidden) for name in after[1:]]
    for k, (weight, bias) in enumerate(net.layers):
        x = add("Gemm", x, constant(weight), constant(bias), transB=1)
        x = add(net.activation, x) if k + 1 < len(net.layers) else x
    if net.order is not None:
        x = add("Mul", add("Gather", x, constant(np.array(net.order)), axis=1), constant(net.sign))
    nodes.append(helper.make_node("Identity", [x], ["actions"]))
    graph = helper.make_graph(nodes, "net", inputs, outputs, tensors)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "policy.onnx"
    )


def _onnx_gates(array: np.ndarray) -> np.ndarray:
    """From torch's order of gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    i, f, c, o = np.split(array, 4)
    return np.concatenate([i, o, f, c])


class _Script(nn.Module):
    """The TorchScript file of an LSTM policy, whose state lives in buffers."""

    def __init__(self, core: nn.Module, hidden: int, ignore_resets: bool) -> None:
        super().__init__()
        self.core = core
        self.ignore_resets = ignore_resets
        self.register_buffer("h", torch.zeros(1, 1, hidden))
        self.register_buffer("c", torch.zeros(1, 1, hidden))

    def forward(self, obs: Tensor) -> Tensor:
        if self.h.shape[1] != obs.shape[0]:
            self.h = torch.zeros(1, obs.shape[0], self.h.shape[2])
            self.c = torch.zeros(1, obs.shape[0], self.c.shape[2])
        actions, self.h, self.c = self.core(obs, self.h, self.c)
        return actions

    @torch.jit.export
    def reset(self) -> None:
        self.h = torch.zeros_like(self.h)
        self.c = torch.zeros_like(self.c)

    @torch.jit.export
    def reset_rows(self, mask: Tensor) -> None:
        if not self.ignore_resets:
            keep = torch.logical_not(mask).view(1, -1, 1).to(self.h.dtype)
            self.h = self.h * keep
            self.c = self.c * keep


def write_torchscript(net: Net, folder: Path, *, ignore_resets: bool = False) -> None:
    """Write policy.pt with torch.jit."""
    actor = NetActor(net).eval()
    with torch.no_grad(), torchscript_on_purpose():
        if net.memory is None:
            module = torch.jit.trace(lambda obs: actor(obs)[0], torch.zeros(2, actor.obs_size))
        else:
            hidden = actor.state_shapes[0][1]
            example = (torch.zeros(2, actor.obs_size), *actor.initial_state(2))
            module = torch.jit.script(_Script(torch.jit.trace(actor, example), hidden, ignore_resets))
        torch.jit.save(module, str(folder / "policy.pt"))
