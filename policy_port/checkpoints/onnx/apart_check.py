"""Running a graph of LEAPP whole and in its parts, on the same numbers, before anybody relies on the parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from policy_port.checkpoints.files.leapp_yaml import Pipeline
from policy_port.checkpoints.onnx.blocks import CONSTANT, LAST_ACTION, TASK, Block, Number
from policy_port.checkpoints.onnx.meanings import QUATERNION
from policy_port.checkpoints.onnx.parts import Apart
from policy_port.errors import CheckpointError, one_line
from policy_port.onnx_session import open_session

if TYPE_CHECKING:
    import onnxruntime

_STEPS = 6
_TOLERANCE = 1e-4
Named = dict[str, NDArray[Any]]


def check_parts(whole: onnx.ModelProto, network: onnx.ModelProto, parts: Apart, pipeline: Pipeline) -> None:
    """Raise where the parts don't compute what the whole does, over some steps from the start.

    Args:
        whole: The model as it was exported.
        network: The network alone.
        parts: What was told of the rest.
        pipeline: The YAML beside the model.
    """
    run = _Runs(whole, network, parts, pipeline)
    for _ in range(_STEPS):
        worst, what = run.step()
        if not worst <= _TOLERANCE:
            raise CheckpointError(
                f"{parts.model.file}: taken apart it computes something else than whole ({what} differs by "
                f"{worst:.3g}). That is a mistake of this program; report it with the file"
            )


class _Runs:
    """The whole and its parts, step by step."""

    def __init__(self, whole: onnx.ModelProto, network: onnx.ModelProto, parts: Apart, pipeline: Pipeline) -> None:
        self.parts = parts
        self.random = np.random.default_rng(0)
        name = parts.model.name
        self.fed = {
            target.partition("/")[2]: source.partition("/")[2]
            for target, source in pipeline.feedback.items()
            if target.startswith(f"{name}/")
        }
        self.shown = list(dict.fromkeys([piece.value for piece in parts.pieces] + list(parts.actions)))
        self.whole = open_session(_showing(whole, self.shown), CheckpointError, f"{parts.model.file}:")
        self.network = open_session(network.SerializeToString(), CheckpointError, f"{parts.model.file}:")
        self.types = {item.name: _type(item.type) for item in self.whole.get_inputs()}
        self.state: Named = {
            item.name: np.asarray(
                pipeline.initial.get(f"{name}/{item.name}", np.zeros(item.shape)), self.types[item.name]
            )
            for item in parts.model.inputs
            if item.name in self.fed
        }
        self.hidden: Named = {
            item.name: np.zeros(item.shape, np.float32)
            for item in self.network.get_inputs()
            if item.name.endswith("_state_in")
        }
        self.frames: list[Named] = []

    def step(self) -> tuple[float, str]:
        """One step of both; the largest difference, relative to the size of the numbers, and where it is."""
        inputs = {item.name: self._draw(item.name, item.shape) for item in self.parts.model.inputs} | self.state
        names = [item.name for item in self.parts.model.outputs] + self.shown
        outputs = self._run(self.whole, names, inputs)
        frame = {name: np.asarray(value, np.float64) for name, value in inputs.items()}
        self.frames.append(frame | {LAST_ACTION: self._last_action(frame)})
        observed = np.concatenate([outputs[piece.value].reshape(-1) for piece in self.parts.pieces])
        found = self._observation(observed)
        images = {item.name: inputs[item.name] for item in self.network.get_inputs() if item.name in inputs}
        obs = self.network.get_inputs()[0].name
        ends = [item.name for item in self.network.get_outputs()]
        made = self._run(self.network, ends, {obs: observed[None].astype(np.float32), **images, **self.hidden})
        self.hidden = {name: made[name.removesuffix("_in") + "_out"] for name in self.hidden}
        action = np.concatenate([outputs[name].reshape(-1) for name in self.parts.actions])
        self.state = {name: outputs[out] for name, out in self.fed.items()}
        pairs = {
            "an observation": (found, observed),
            "the raw action": (made[ends[0]].reshape(-1), action),
            "a target": (self._targets(action), self._whole_targets(outputs)),
        }
        return max((_difference(*pair), what) for what, pair in pairs.items())

    def _run(self, session: onnxruntime.InferenceSession, names: list[str], inputs: Named) -> Named:
        try:
            results = session.run(names, inputs)
        # ONNX Runtime raises classes of its own that share no base but Exception.
        except Exception as cause:
            raise CheckpointError(f"{self.parts.model.file}: does not run: {one_line(cause)}") from cause
        return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}

    def _draw(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        numbers = self.random.standard_normal(shape)
        if name in self.parts.meanings and self.parts.meanings[name].term == QUATERNION:
            numbers /= np.linalg.norm(numbers)
        kind = self.types[name]
        return (self.random.integers(0, 255, shape) if kind != np.float32 else numbers).astype(kind)

    def _observation(self, observed: NDArray[Any]) -> NDArray[np.float64]:
        """What the blocks say was observed; what has no form is taken as it was."""
        values: list[float] = []
        layout = self.parts.layout or {}
        blocks = list(self.parts.blocks)
        time_major = layout.get("layout") == "time_major"
        stacks = [blocks] if time_major else [[block] for block in blocks]
        for stack in stacks:
            delays = list(range(stack[0].history))
            for delay in delays if layout.get("order") == "newest_first" else delays[::-1]:
                for block in stack:
                    values += self._block(block, delay, observed[len(values) :], layout.get("fill"))
        return np.array(values)

    def _block(self, block: Block, delay: int, observed: NDArray[Any], fill: str | None) -> list[float]:
        if delay >= len(self.frames):
            if fill == "zero":
                return [0.0] * len(block.numbers)
            delay = len(self.frames) - 1
        if block.term == CONSTANT:
            return [number.shift or 0.0 for number in block.numbers]
        if block.term == TASK:
            return list(observed[: len(block.numbers)])
        frame = self.frames[-1 - delay]
        raw = frame[LAST_ACTION if block.term == LAST_ACTION else block.source].reshape(-1)
        if block.order is not None:
            raw = _gravity(raw, block.order)
        return [_value(number, raw[number.index]) for number in block.numbers]

    def _last_action(self, frame: Named) -> NDArray[np.float64]:
        last = np.zeros(len(self.parts.targets))
        for name, places in self.parts.last_action.items():
            last[list(places)] = frame[name].reshape(-1)
        return last

    def _targets(self, action: NDArray[Any]) -> NDArray[np.float64]:
        if self.parts.raw_clip is not None:
            action = np.clip(action, *self.parts.raw_clip)
        positions = next((name for name, known in self.parts.meanings.items() if known.term == "joint_pos"), None)
        values = []
        for target, raw in zip(self.parts.targets, action, strict=True):
            value = raw if target.number is None else _value(target.number, raw)
            if target.on_position is not None and positions is not None:
                value += self.frames[-1][positions].reshape(-1)[target.on_position]
            values.append(value)
        return np.array(values)

    def _whole_targets(self, outputs: Named) -> NDArray[np.float64]:
        return np.array([outputs[item.output.name].reshape(-1)[item.element] for item in self.parts.targets])


def _value(number: Number, raw: float) -> float:
    value = number.slope * raw + (number.shift or 0.0)
    if number.clip is not None:
        low, high, gain, shift = number.clip
        value = gain * min(max(value, low), high) + shift
    return float(value)


def _gravity(quaternion: NDArray[Any], order: str) -> NDArray[np.float64]:
    """The unit vector down in the frame that a rotation turns into the world's: its matrix's last row, negated."""
    x, y, z, w = quaternion if order == "xyzw" else np.roll(quaternion, -1)
    return np.array([2.0 * (w * y - x * z), -2.0 * (w * x + y * z), 2.0 * (x * x + y * y) - 1.0])


def _difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    if len(one) != len(other):
        return float("inf")
    return float(np.max(np.abs(one - other) / np.maximum(1.0, np.abs(other)), initial=0.0))


def _showing(model: onnx.ModelProto, names: list[str]) -> bytes:
    """A model that also gives out inner values."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    there = {item.name for item in copy.graph.output}
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    return copy.SerializeToString()


def _type(name: str) -> Any:
    return {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8}.get(name, np.float32)
