"""Exports of LEAPP in Isaac Lab's manner, written on the spot, and what the whole of one computes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

JOINTS = ("hip", "knee", "ankle")
DEFAULT = (0.1, -0.8, 0.3)
NODE = "Toy"
Edit = Callable[[dict[str, Any]], None]


@dataclass
class Graph:
    """A graph in the making, and the YAML's tensors."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    fed: dict[str, str] = field(default_factory=dict)
    initial: dict[str, NDArray[Any]] = field(default_factory=dict)

    def read(self, name: str, shape: Sequence[int], dtype: str = "float32", **more: Any) -> str:
        """An input."""
        self.inputs.append({"name": name, "dtype": dtype, "shape": list(shape), "type": "tensor"} | more)
        return name

    def state(self, name: str, shape: Sequence[int], dtype: str = "float32") -> str:
        """An input that is fed back what `carry` says."""
        self.initial[f"{NODE}/{name}"] = np.zeros(shape, dtype)
        return self.read(name, shape, dtype)

    def carry(self, name: str, value: str) -> None:
        """What fills a state at the next step."""
        item = next(item for item in self.inputs if item["name"] == name)
        out = name.removesuffix("_in") + "_out"
        self.write(out, value, item["shape"], dtype=item["dtype"])
        self.fed[name] = out

    def write(self, name: str, value: str, shape: Sequence[int], dtype: str = "float32", **more: Any) -> None:
        """An output."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append({"name": name, "dtype": dtype, "shape": list(shape), "type": "tensor"} | more)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant's name."""
        self.stored.append(numpy_helper.from_array(np.asarray(value, dtype), f"k{len(self.stored)}"))
        return self.stored[-1].name

    def do(self, op: str, *inputs: Any, **attributes: Any) -> str:
        """A node's output; numbers among the inputs are constants."""
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return name

    def cat(self, *values: str) -> str:
        """Values side by side."""
        return self.do("Concat", *values, axis=1)

    def network(self, value: str, width: int, seed: int = 0) -> str:
        """Two layers, to one number per joint."""
        random = np.random.default_rng(seed)
        first, second = random.standard_normal((width, 8)) / 4, random.standard_normal((8, len(JOINTS))) / 2
        hidden = self.do("Tanh", self.do("Gemm", value, first, random.standard_normal(8)))
        return self.do("Gemm", hidden, second, random.standard_normal(len(JOINTS)))

    def save(self, folder: Path, *, edit: Edit | None = None, frequency: float | None = 50.0) -> Path:
        """Write ONNX, initial values and YAML; `edit` falsifies the YAML's data. Returns the YAML."""
        folder.mkdir(parents=True, exist_ok=True)
        types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
        ports = [
            [helper.make_tensor_value_info(item["name"], types[item["dtype"]], item["shape"]) for item in side]
            for side in (self.inputs, self.outputs)
        ]
        graph = helper.make_graph(self.nodes, "toy", *ports, self.stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, folder / f"{NODE}.onnx")
        digest = hashlib.sha256((folder / f"{NODE}.onnx").read_bytes()).hexdigest()
        pipeline: dict[str, Any] = {
            "data_flow": {},
            "feedback_flow": {f"{NODE}/{out}": [f"{NODE}/{name}"] for name, out in self.fed.items()},
            "inputs": {NODE: [item["name"] for item in self.inputs if item["name"] not in self.fed]},
            "outputs": {NODE: [item["name"] for item in self.outputs if item["name"] not in self.fed.values()]},
        }
        if frequency is not None:
            pipeline["configs"] = {"frequency": frequency}
        if self.initial:
            save_file(self.initial, folder / "toy_initial_values.safetensors")
            pipeline["initial_values"] = "toy_initial_values.safetensors"
        parameters = {"model_path": f"{NODE}.onnx", "md5sum": "", "sha256sum": digest, "backend": "onnx"}
        data: dict[str, Any] = {
            "models": {NODE: {"inputs": self.inputs, "outputs": self.outputs, "parameters": parameters}},
            "pipeline": pipeline,
            "system information": {"leapp config version": "1.3"},
        }
        if edit is not None:
            edit(data)
        path = folder / "toy.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path


@dataclass(frozen=True)
class Robot:
    """The inputs that Isaac Lab reads of a robot."""

    lin_vel: str
    ang_vel: str
    quat: str
    command: str
    joint_pos: str
    joint_vel: str
    last_action: str


def robot(graph: Graph, *, quat: Sequence[str] = ("qx", "qy", "qz", "qw"), point: str = "root_lin_vel_b") -> Robot:
    """The usual inputs; the last action's successor is for the caller to say."""

    def vector(name: str, kind: str, connection: str, names: Sequence[str] = ("x", "y", "z")) -> str:
        more = {"kind": kind, "element_names": [list(names)], "isaaclab_connection": connection}
        return graph.read(name, [1, len(names)], **more)

    return Robot(
        lin_vel=vector("robot_root_lin_vel_b", "state/body/linear_velocity", f"state:robot:{point}"),
        ang_vel=vector("robot_root_ang_vel_b", "state/body/angular_velocity", "state:robot:root_ang_vel_b"),
        quat=vector("robot_root_quat_w", "state/body/rotation", "state:robot:root_quat_w", quat),
        command=vector(
            "base_velocity", "command/body/velocity", "command:base_velocity", ("lin_vel_x", "lin_vel_y", "ang_vel_z")
        ),
        joint_pos=vector("robot_joint_pos", "state/joint/position", "state:robot:joint_pos", JOINTS),
        joint_vel=vector("robot_joint_vel", "state/joint/velocity", "state:robot:joint_vel", JOINTS),
        last_action=graph.state("last_action_in", [1, len(JOINTS)]),
    )


def gravity(graph: Graph, quat: str, *, order: str = "xyzw") -> str:
    """Projected gravity of a quaternion, as Isaac Lab's exporter computes it: g - 2 w (q x g) + 2 q x (q x g)."""
    parts = [graph.do("Gather", quat, graph.constant([place], np.int64), axis=1) for place in range(4)]
    x, y, z, w = parts if order == "xyzw" else (*parts[1:], parts[0])

    def product(left: str, right: str) -> str:
        return graph.do("Mul", left, right)

    two = graph.constant(2.0)
    sums = [
        graph.do("Sub", product(w, y), product(x, z)),
        graph.do("Neg", graph.do("Add", product(w, x), product(y, z))),
    ]
    last = graph.do("Sub", product(two, graph.do("Add", product(x, x), product(y, y))), graph.constant([1.0]))
    return graph.cat(*(product(two, item) for item in sums), last)


def targets(
    graph: Graph,
    value: str,
    *,
    names: Sequence[str] = JOINTS,
    kp: Sequence[float] = (10.0, 20.0, 30.0),
    gains: Sequence[str] | None = None,
) -> None:
    """The joint targets, and the gains of the joints `gains` in their order."""
    gains = names if gains is None else gains
    more = {"element_names": [list(names)], "kind": "target/joint/position"}
    connection = {"isaaclab_connection": "write:robot:set_joint_position_target_index"}
    graph.write("joint_pos", value, [1, len(names)], **more, **connection)
    for kind, numbers in (("kp", kp), ("kd", [number / 10 for number in kp])):
        graph.write(
            f"joint_pos_{kind}_gains",
            graph.constant([list(numbers)]),
            [1, len(gains)],
            kind=kind,
            element_names=[list(gains)],
        )


def usual(graph: Graph) -> str:
    """Isaac Lab's velocity task with some scales: the raw action."""
    of = robot(graph)
    observation = graph.cat(
        graph.do("Mul", of.lin_vel, 2.0),
        graph.do("Mul", of.ang_vel, 0.25),
        gravity(graph, of.quat),
        graph.do("Mul", of.command, [[2.0, 2.0, 0.25]]),
        graph.do("Sub", of.joint_pos, [DEFAULT]),
        graph.do("Mul", of.joint_vel, 0.05),
        of.last_action,
    )
    raw = graph.network(observation, 21)
    graph.carry(of.last_action, raw)
    return raw


def plain(folder: Path, **options: Any) -> Path:
    """That task, exported; the YAML."""
    graph = Graph()
    raw = usual(graph)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]))
    return graph.save(folder, **options)


@dataclass(frozen=True)
class Moment:
    """The robot at one step, in SI units; the quaternion is xyzw."""

    lin_vel: NDArray[np.float64]
    ang_vel: NDArray[np.float64]
    quat: NDArray[np.float64]
    command: NDArray[np.float64]
    joint_pos: NDArray[np.float64]
    joint_vel: NDArray[np.float64]


def moments(count: int = 6, joints: int = len(JOINTS), seed: int = 1) -> list[Moment]:
    """Any states."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        quat = random.standard_normal(4)
        lin_vel, ang_vel, command = random.standard_normal((3, 3))
        joint_pos, joint_vel = random.standard_normal((2, joints))
        found.append(Moment(lin_vel, ang_vel, quat / np.linalg.norm(quat), command, joint_pos, joint_vel))
    return found


def whole(path: Path, steps: Sequence[Moment], joints: Sequence[str] = JOINTS) -> NDArray[np.float64]:
    """The targets that the exported file itself computes, fed by name, in the order of `joints`."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    ((_, model),) = data["models"].items()
    session = onnxruntime.InferenceSession(str(path.parent / model["parameters"]["model_path"]))
    fed = {
        to.split("/")[1]: out.split("/")[1] for out, ends in data["pipeline"]["feedback_flow"].items() for to in ends
    }
    state = {item["name"]: np.zeros(item["shape"], item["dtype"]) for item in model["inputs"] if item["name"] in fed}
    rows = []
    for moment in steps:
        feed = {
            item["name"]: np.asarray(_value(item, moment, joints), item["dtype"]).reshape(item["shape"])
            for item in model["inputs"]
            if item["name"] not in fed
        }
        names = [item["name"] for item in model["outputs"]]
        outputs = dict(zip(names, session.run(names, feed | state), strict=True))
        state = {name: outputs[out] for name, out in fed.items()}
        found: dict[str, float] = {}
        for item in model["outputs"]:
            if item.get("kind") == "target/joint/position":
                found |= dict(zip(item["element_names"][0], np.asarray(outputs[item["name"]]).reshape(-1), strict=True))
        rows.append([found[name] for name in joints])
    return np.array(rows)


def _value(item: dict[str, Any], moment: Moment, joints: Sequence[str]) -> Any:
    names = item["element_names"][0]
    match item["kind"]:
        case "state/body/linear_velocity":
            return moment.lin_vel
        case "state/body/angular_velocity":
            return moment.ang_vel
        case "state/body/rotation":
            return [moment.quat["xyzw".index(name[-1])] for name in names]
        case "command/body/velocity":
            return moment.command
        case "state/joint/position":
            return [moment.joint_pos[list(joints).index(name)] for name in names]
        case "state/joint/velocity":
            return [moment.joint_vel[list(joints).index(name)] for name in names]
        case "state/vector3d":
            x, y, z, w = moment.quat
            return [2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1]
        case kind:
            raise AssertionError(kind)
