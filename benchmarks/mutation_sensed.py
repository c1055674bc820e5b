"""The mistakes of the mutation score about poses, links, contacts and scans, and the policy that they are made in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mutation_kinds import Data, NotApplicableError, terms_of
from mutation_mistake import Mutation
from onnx import TensorProto, helper, numpy_helper

from policy_port.contract import Contract

FEET = ["FL_foot", "RR_foot"]
"""Links of the Go2 above the lower of which the sensing policy reads its height."""

TERMS: tuple[dict[str, Any], ...] = (
    {"term": "base_euler", "scale": 0.5},
    {"term": "base_quat"},
    {"term": "link_height", "above": FEET},
    {"term": "link_pos", "link": "FL_foot", "frame": "yaw"},
    {"term": "heading", "parts": ["cos", "sin"]},
    {"term": "projected_gravity", "name": "gravity_of_foot", "link": "FL_foot"},
    {"term": "base_ang_vel", "name": "turning_of_foot", "link": "FL_foot", "scale": 0.2},
    {"term": "joint_effort", "scale": 0.05},
    {"term": "contact", "links": ["FL_calf", "RR_calf"], "threshold": 50.0},
    {"term": "height_scan", "size": [0.4, 0.2], "resolution": 0.1, "height_offset": 0.3, "scale": 5.0},
)
"""What the sensing policy reads beside a walking policy's own terms."""


def sensing(contract: Contract) -> Contract:
    """The contract of a walking policy that senses as well."""
    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    data["name"], data["quaternion_order"] = f"{data['name']}_sensing", "wxyz"
    data["observation"]["terms"] += [dict(term) for term in TERMS]
    return Contract.model_validate(data)


def sensing_policy(contract: Contract, out: Path) -> Path:
    """A network of one hidden layer that nobody trained: it sways the robot by what it senses.

    Args:
        contract: The sensing contract.
        out: The ONNX file to write.
    """
    rng, sizes = np.random.default_rng(0), (contract.observation_size, 32, contract.action_size)
    weights = {
        "in": rng.normal(0.0, 0.5 / np.sqrt(sizes[0]), sizes[:2]),
        "out": rng.normal(0.0, 1.0 / np.sqrt(sizes[1]), sizes[1:]),
    }
    nodes = [
        helper.make_node("MatMul", ["obs", "in"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["turned"]),
        helper.make_node("MatMul", ["turned", "out"], ["actions"]),
    ]
    obs, actions = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("obs", sizes[0]), ("actions", sizes[2]))
    )
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "sensing", [obs], [actions], constants)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), out)
    return out


def on_steps(robot: Path, out: Path) -> Path:
    """A copy of a robot's MJCF that stands on a row of steps a centimetre apart, which tell one ray from another."""
    steps = "".join(
        f'<geom type="box" size="0.06 3 0.05" pos="{0.12 * number - 0.6:g} 0 {0.01 * (number * 7 % 4) - 0.05:g}"/>'
        for number in range(10)
    )
    text = robot.read_text(encoding="utf-8")
    out.write_text(text.replace("<worldbody>", f"<worldbody>{steps}", 1), encoding="utf-8")
    return out


def sensed_term(data: Data, kind: str) -> Data:
    """The sensing policy's own term of a kind: the last one."""
    return terms_of(data, kind)[-1]


def put(kind: str, **keys: Any) -> Callable[[Data], None]:
    """Keys of a term replaced; None leaves one out."""

    def mutate(data: Data) -> None:
        term = sensed_term(data, kind)
        if kind in ("projected_gravity", "base_ang_vel") and "link" not in term:
            raise NotApplicableError
        for key, value in keys.items():
            if value is None:
                term.pop(key, None)
            else:
                term[key] = value

    return mutate


def quaternion_order(data: Data) -> None:
    """The scalar last, where the source has it first."""
    terms_of(data, "base_quat")
    data["quaternion_order"] = "xyzw" if data.get("quaternion_order") == "wxyz" else "wxyz"


def of_sensing() -> list[Mutation]:
    """What a user wrongly wrote of poses, links, contacts and scans."""

    def make(key: str, name: str, contract: Callable[[Data], None], group: str = "3") -> Mutation:
        return Mutation(key=key, group=group, names=(name,), contract=contract)

    return [
        make(
            "euler angles in another order",
            r"it is roll, pitch, yaw",
            put("base_euler", angles=["yaw", "pitch", "roll"]),
        ),
        make("pitch with the other sign", r"sign of pitch flipped", put("base_euler", scale=[0.5, -0.5, 0.5])),
        make("euler angles from 0 to 2 pi", r"angles run from -pi to pi", put("base_euler", interval="positive")),
        make("order of a shown quaternion", r"quaternion order: base_quat is", quaternion_order),
        make("height above the ground, not the feet", r"above FL_foot, RR_foot", put("link_height", above=None)),
        make("a foot in the base's axes", r"in the yaw frame", put("link_pos", frame="base")),
        make("sine before cosine of the heading", r"it is cos, sin", put("heading", parts=["sin", "cos"])),
        make("gravity of the base, not of a foot", r"it is of 'FL_foot'", put("projected_gravity", link=None)),
        make("angular velocity of the base, not of a foot", r"it is of 'FL_foot'", put("base_ang_vel", link=None)),
        make("torque unscaled", r"scale .*missing", put("joint_effort", scale=None)),
        make("contact threshold", r"threshold .* N, not 200", put("contact", threshold=200.0)),
        make("feet in another order", r"links in the order FL_calf", put("contact", links=["RR_calf", "FL_calf"])),
        make("rays in another order", r"rays in the order xy", put("height_scan", ordering="yx")),
        make("scan that does not turn", r"the grid turns with yaw", put("height_scan", frame="world")),
        make("scan's length and width exchanged", r"length and width", put("height_scan", size=[0.2, 0.4])),
        make("half a metre off a scan", r"height_offset 0.3", put("height_scan", height_offset=0.8)),
    ]
