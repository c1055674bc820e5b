"""Running a ported policy: ONNX Runtime on one thread, in buffers that are bound once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from policy_port.arrays import Float32
from policy_port.contract.image import ImageInput
from policy_port.contract.spec import check_network_width
from policy_port.errors import PortError, TaskError
from policy_port.onnx_session import bound_call, open_session
from policy_port.port.chunks import Chunking
from policy_port.port.format import ACTIONS, OBSERVATION, STATE_IN, STATE_OUT, metadata
from policy_port.port.images import CameraInputs, FrameError, camera_inputs, check_graph
from policy_port.port.quick import quicker
from policy_port.remap import Remap

if TYPE_CHECKING:
    import onnxruntime as ort


class NonFiniteError(TaskError):
    """A policy was shown, or produced, a number that is NaN or infinite."""

    def __init__(self, what: str, values: Float32) -> None:
        env, element = (int(index) for index in np.argwhere(~np.isfinite(values))[0])
        self.what, self.env, self.element = what, env, element
        self.value = float(values[env, element])
        super().__init__(f"element {element} of the {what} of environment {env} is {self.value}")


class Policy(Protocol):
    """A network with its memory, for a fixed number of environments, one action per step.

    Each step: fill `observation` in place, `policy.images["front"].show(frame)` for each camera, then `act()`.
    """

    @property
    def observation(self) -> Float32:
        """The input, shape (num_envs, observation size); fill it in place, then call `act`."""
        ...

    @property
    def images(self) -> CameraInputs:
        """Where camera frames go in, by camera name; empty for a policy that does not see.

        `policy.images[name].show(frame)` takes uint8 RGB of shape `policy.images[name].frame_shape` and copies it; the
        network's own layout, type and range are made there. The names are the contract's `images[].cameras`, or the
        image's own name where it lists none.
        """
        ...

    @property
    def action_size(self) -> int:
        """Width of the action."""
        ...

    def act(self) -> Float32:
        """Run the network on `observation` and the frames shown, and advance its memory.

        Returns:
            Raw actions, shape (num_envs, action size); the next call overwrites them.

        Raises:
            NonFiniteError: When a number of the observation or the action is NaN or infinite.
            FrameError: When a camera has shown no frame since the last step.
        """
        ...

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Clear the memory of environments; of all, if `rows` is None."""
        ...


class OnnxPolicy:
    """A port's ONNX graph: `obs`, images and `<name>_in` to `actions` and `<name>_out`."""

    def __init__(
        self, path: Path | str, num_envs: int = 1, images: Sequence[ImageInput] = (), graph: bytes | None = None
    ) -> None:
        """Load the graph and bind its buffers.

        Args:
            path: The ONNX file.
            num_envs: Number of environments, the batch size of every call.
            images: The images of the port's contract.
            graph: The file's bytes where they were read already, which then are what runs.

        Raises:
            PortError: When the file can't be loaded or its inputs and outputs are not a port's.
        """
        self._session, about = _session(path, read_graph(path) if graph is None else graph)
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        seen = {name: (list(node.shape), str(node.type)) for name, node in inputs.items() if len(node.shape) == 4}
        check_graph(path, images, num_envs, seen)
        memory = [name.removesuffix(STATE_IN) for name in inputs if name != OBSERVATION and name not in seen]
        wanted_inputs = {OBSERVATION, *seen, *(f"{name}{STATE_IN}" for name in memory)}
        wanted_outputs = {ACTIONS, *(f"{name}{STATE_OUT}" for name in memory)}
        if (set(inputs), set(outputs)) != (wanted_inputs, wanted_outputs):
            raise PortError(
                f"{path}: inputs are {', '.join(inputs)} and outputs {', '.join(outputs)}; a port has {OBSERVATION} to "
                f"{ACTIONS}, and NAME{STATE_IN} to NAME{STATE_OUT} for its memory. Write it with `policy-port export`"
            )
        obs_size = _shape(path, inputs[OBSERVATION], num_envs, batch_axis=0)[1]
        chunking = Chunking.of(about, path)
        between = () if chunking is None else (chunking.length,)
        answer_size = _shape(path, outputs[ACTIONS], num_envs, batch_axis=0, between=between)[1:]
        self.action_size = answer_size[-1]
        """Width of the action."""
        self._plan = chunking.plan(num_envs, self.action_size) if chunking is not None else None
        # Observation and action share memory, so that one product tells whether both are finite.
        split = num_envs * obs_size
        self._both = np.zeros(split + num_envs * math.prod(answer_size), np.float32)
        # Zero times NaN or infinity is NaN, which is true; anything finite gives zero, which is not.
        self.broken: Callable[[], object] = partial(self._both.dot, np.zeros_like(self._both))
        """Gives something true, when a number of the observation or the action is NaN or infinite; `explain` says
        which."""
        self.observation: Float32 = self._both[:split].reshape(num_envs, obs_size)
        """The input, shape (num_envs, observation size)."""
        self._actions = self._both[split:].reshape(num_envs, *answer_size)
        self.images, self._image_buffers = camera_inputs(images, num_envs)
        self._cameras = tuple(self.images.values())
        if images:
            # Nobody forgets the state beside the images: until it is filled, it is no number.
            self.observation.fill(np.nan)

        shapes = {name: _shape(path, inputs[f"{name}{STATE_IN}"], num_envs, batch_axis=1) for name in memory}
        self._memory = [{name: np.zeros(shape, np.float32) for name, shape in shapes.items()} for _ in range(2)]
        # Two bindings take turns: what one call writes, the next one reads.
        self._calls = (self._bind(0, 1), self._bind(1, 0)) if memory else (self._bind(0, 1),) * 2
        self.turn = 0
        """Which of `memories` the next call reads and writes."""
        self.folded: bytes | None = None
        """The same graph with what is affine folded into its weights, out of the port's deploy.onnx; None without."""

    @property
    def memories(self) -> tuple[dict[str, Float32], dict[str, Float32]]:
        """Arrays of the recurrent state by the graph's names, in and out, of two calls in turn."""
        first, second = self._memory
        return self._in_turn(first, second), self._in_turn(second, first)

    @staticmethod
    def _in_turn(read: dict[str, Float32], write: dict[str, Float32]) -> dict[str, Float32]:
        found = {f"{name}{STATE_IN}": state for name, state in read.items()}
        return found | {f"{name}{STATE_OUT}": state for name, state in write.items()}

    @property
    def answer(self) -> Float32:
        """Where the raw action is put."""
        return self._actions

    @property
    def memory(self) -> dict[str, Float32]:
        """The recurrent state that the next call reads, by name, shape (layers, num_envs, size)."""
        return self._memory[self.turn]

    def act(self) -> Float32:
        """Run the network on `observation` and images; see `Policy.act`."""
        if self._cameras:
            self._look()
        if self._plan is None:
            return self._ask()
        if self._plan.is_due:
            self._plan.answer(self._ask())
        return self._plan.step()

    def _ask(self) -> Float32:
        self._calls[self.turn]()
        self.turn ^= 1
        if self.broken():
            self.explain()
        return self._actions

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Clear the memory of environments; of all, if `rows` is None."""
        chosen = slice(None) if rows is None else rows
        for state in self.memory.values():
            state[:, chosen] = 0.0
        if self._plan is not None:
            self._plan.reset(rows)

    def _look(self) -> None:
        """Every step needs its own frames: an old one would be a delay that nobody notices."""
        for camera in self._cameras:
            if not camera.fresh:
                raise FrameError(
                    f"camera '{camera.name}' has shown no frame since the last step; call "
                    f"images['{camera.name}'].show before act"
                )
            camera.fresh = False

    def _bind(self, read: int, write: int) -> Callable[[], object]:
        binding = self._session.io_binding()
        sources: dict[str, NDArray[Any]] = {OBSERVATION: self.observation, **self._image_buffers}
        in_turn = self._in_turn(self._memory[read], self._memory[write])
        sources |= {name: state for name, state in in_turn.items() if name.endswith(STATE_IN)}
        results = {ACTIONS: self._actions}
        results |= {name: state for name, state in in_turn.items() if name.endswith(STATE_OUT)}
        for name, array in sources.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in results.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return bound_call(self._session, binding)

    def explain(self) -> None:
        """Raise `NonFiniteError` for the first number of the observation, or else the action, that is not finite."""
        latest = self._actions
        if self._plan is not None:
            # The first step of the chunk that holds the number.
            latest = latest[:, np.isfinite(latest).all(axis=(0, 2)).argmin()]
        for what, values in (("observation", self.observation), ("action", latest)):
            if not np.isfinite(values).all():
                raise NonFiniteError(what, values)


class RemappedPolicy:
    """A policy of the remap's source, shown the target's observations and giving the target's actions."""

    def __init__(self, policy: Policy, remap: Remap) -> None:
        """Wrap `policy`; `remap.source` must be its contract.

        Raises:
            ContractError: When the policy's widths are not those of the remap's source.
        """
        num_envs, width = policy.observation.shape
        check_network_width(remap.source, width, policy.action_size, policy="the policy behind the mapping")
        self._policy = policy
        self._remap = remap
        self.observation: Float32 = np.zeros((num_envs, remap.observation.n_in), np.float32)
        """The input in the target's parsing, shape (num_envs, target observation size)."""

    @property
    def images(self) -> CameraInputs:
        """Where camera frames go in; a remap changes no image."""
        return self._policy.images

    @property
    def action_size(self) -> int:
        """Width of the target's action."""
        return self._remap.action.n_out

    def act(self) -> Float32:
        """Run the wrapped policy; see `Policy.act`."""
        seen = self._remap.observation(self.observation)
        if self._remap.observation_clip is not None:
            np.clip(seen, *self._remap.observation_clip, out=seen)
        self._policy.observation[...] = seen
        action = self._policy.act()
        if self._remap.action_clip is not None:
            action = np.clip(action, *self._remap.action_clip)
        return self._remap.action(action)

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Clear the memory of environments; of all, if `rows` is None."""
        self._policy.reset(rows)


def read_graph(path: Path | str) -> bytes:
    """The bytes of a graph's file.

    Raises:
        PortError: When there is none.
    """
    if not Path(path).is_file():
        raise PortError(f"{path}: no such file")
    return Path(path).read_bytes()


def _session(path: Path | str, data: bytes) -> tuple[ort.InferenceSession, dict[str, str]]:
    """Load a graph; return it with its metadata."""
    try:
        model = onnx.load_model_from_string(data)
        graph = quicker(model).SerializeToString()
    # The exceptions of ONNX and protobuf share no base class but Exception.
    except Exception as cause:
        raise PortError(f"{path}: ONNX Runtime can't load it: {cause}") from cause
    return open_session(graph, PortError, f"{path}:"), metadata(model)


def _shape(
    path: Path | str, node: ort.NodeArg, num_envs: int, *, batch_axis: int, between: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """Shape of an input or output with the batch size filled in; `between` are sizes behind the batch."""
    rank = 2 + len(between) if batch_axis == 0 else 3
    shape = list(node.shape)
    known = [size for axis, size in enumerate(shape) if axis != batch_axis]
    if (
        len(shape) != rank
        or tuple(shape[1 : 1 + len(between)]) != between
        or node.type != "tensor(float)"
        or not all(isinstance(size, int) for size in known)
    ):
        raise PortError(
            f"{path}: {node.name} has shape {node.shape} and type {node.type}; a port has float32 tensors of "
            f"{rank} axes, of which only the batch may be left open"
        )
    if isinstance(shape[batch_axis], int) and shape[batch_axis] != num_envs:
        raise PortError(
            f"{path}: {node.name} is fixed to a batch of {shape[batch_axis]}, {num_envs} environments are asked for; "
            "export it again with `policy-port export`, which leaves the batch open"
        )
    shape[batch_axis] = num_envs
    return tuple(shape)
