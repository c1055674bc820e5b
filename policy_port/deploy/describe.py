"""What a deploy graph says of itself: names, widths, units, rates, drives, limits, states; JSON at full precision."""

from __future__ import annotations

import json
import math
from typing import Any

import onnx

from policy_port.contract.command import unit_of
from policy_port.contract.joints import UNIT_PER_SI, Joint
from policy_port.contract.place import PLACE_SIGNALS
from policy_port.contract.spec import Contract
from policy_port.deploy.layout import is_quaternion
from policy_port.deploy.step import Step
from policy_port.port.format import (
    DEPLOY_ACTION,
    DEPLOY_JOINTS_KEY,
    DEPLOY_KEY,
    DEPLOY_OBSERVATION,
    DEPLOY_STATES_KEY,
    DEPLOY_TARGET,
    STATE_IN,
    STATE_OUT,
)

RESET = "before the first step of an episode, put zeros into every state; the first step then starts what needs more"
FARTHEST = {"rad": (2.0 * math.pi, 60.0, 0.05), "m": (2.0, 5.0, 0.005)}
"""Of a joint that turns and of one that slides: how far from its default, how fast, and how far beyond a limit."""
_UNITS = {
    "joint_vel": "rad/s, or m/s where the joint slides",
    "joint_effort": "N m, or N where the joint slides; what the drive applied last",
    "base_pos": "m, origin of the base frame in the world",
    "base_quat": "unit quaternion w, x, y, z: base frame in the world",
    "base_lin_vel": "m/s, of the base frame's origin, in the base frame",
    "base_ang_vel": "rad/s, in the base frame",
}
_OF_OTHERS = {
    "link_pos": "m, origin in the world",
    "link_quat": "unit quaternion w, x, y, z: link in the world",
    "link_lin_vel": "m/s, of its origin, in its own axes",
    "link_ang_vel": "rad/s, in its own axes",
    "contact_force": "N, in the world",
    "base_com": "m, centre of mass of the base link, in the base frame; a constant of the robot",
    "site_pos": "m, of the site in the base frame; a constant of the robot",
    "site_quat": "unit quaternion w, x, y, z: site in the base frame; a constant of the robot",
    "sensor_pos": "m, of where the sensor is mounted, in the base frame; a constant of the robot",
    "sensor_quat": "unit quaternion w, x, y, z: the sensor's site in the base frame; a constant of the robot",
    "height_scan": "m, where each ray ends in the world, x, y and z ray by ray; NaN where it hits nothing",
}
_ELEMENTS = {
    "base_quat": list("wxyz"),
    "base_pos": list("xyz"),
    "base_lin_vel": list("xyz"),
    "base_ang_vel": list("xyz"),
}


def described(contract: Contract, step: Step, model: onnx.ModelProto) -> dict[str, Any]:
    """The metadata of a graph, as plain data."""
    memory = [
        each for each in model.graph.input if each.name.endswith(STATE_IN) and each.name not in step.program.inputs
    ]
    states = [_state(given, left, model) for given, left in step.states.values()]
    states += [_state(each.name, each.name.removesuffix(STATE_IN) + STATE_OUT, model) for each in memory]
    return {
        "deploy_version": 1,
        "name": contract.name,
        "robot": contract.robot,
        "control_dt": contract.control_dt,
        "timestep": contract.timestep,
        "decimation": contract.decimation,
        "joint_names": list(contract.joint_names),
        "joints": _joints(contract),
        "signals": [_signal(contract, name, step.layout.sizes[name]) for name in step.signals],
        "outputs": [DEPLOY_OBSERVATION, DEPLOY_ACTION, DEPLOY_TARGET],
        "states": states,
        "reset": RESET,
        "between": contract.action.between,
        "delay_physics_steps": contract.action.late.physics_steps or 0,
    }


def _state(given: str, left: str, model: onnx.ModelProto) -> dict[str, Any]:
    value = next(each for each in model.graph.input if each.name == given).type.tensor_type
    kind = "float32" if value.elem_type == onnx.TensorProto.FLOAT else "float64"
    shape = [dim.dim_value or "batch" for dim in value.shape.dim]
    return {"input": given, "output": left, "type": kind, "shape": shape, "initial": 0.0}


def _joints(contract: Contract) -> dict[str, dict[str, Any]]:
    drives = contract.drives
    target = {"position": "rad or m", "velocity": "rad/s or m/s", "effort": "N m or N"}
    return {
        name: {
            "drive": drives[name],
            "target": target[drives[name]],
            "kind": "slide" if joint.unit == "m" else "turn",
            **{key: value / UNIT_PER_SI[joint.unit] for key, value in _numbers(joint, "default", "lower", "upper")},
            **dict(_numbers(joint, "stiffness", "damping", "effort_limit", "armature")),
            "plausible": _plausible(joint, drives[name]),
        }
        for name, joint in contract.joints.items()
    }


def _numbers(joint: Joint, *keys: str) -> list[tuple[str, float]]:
    """What a joint says of these."""
    return [(key, getattr(joint, key)) for key in keys if getattr(joint, key) is not None]


def _plausible(joint: Joint, drive: str) -> dict[str, Any]:
    """What no measurement in SI units is beyond: of degrees, encoder ticks and millimetres nearly every one is.

    A real joint is a little beyond its limits now and then. What is not driven to positions may turn on and on.
    """
    unit, held = UNIT_PER_SI[joint.unit], drive == "position"
    far, fast, slack = FARTHEST["m" if joint.unit == "m" else "rad"]
    default = joint.default / unit
    low, high = (default - far, default + far) if held else (None, None)
    if joint.lower is not None and joint.upper is not None:
        slack += 0.1 * (joint.upper - joint.lower) / unit
    low = low if joint.lower is None else joint.lower / unit - slack
    high = high if joint.upper is None else joint.upper / unit + slack
    return {"position": [low, high], "speed": fast if held else 10.0 * fast}


def checks(about: dict[str, Any]) -> str:
    """What is plausible of each joint, a line each, for programs that read no JSON.

    Name, unit, lowest and highest position, speed, and 1 where it is driven to positions, tabs between them; the first
    line is the control period [s].
    """
    lines = [repr(about["control_dt"])]
    for name in about["joint_names"]:
        joint = about["joints"][name]
        low, high = joint["plausible"]["position"]
        bounds = (-math.inf if low is None else low, math.inf if high is None else high, joint["plausible"]["speed"])
        unit, held = "m" if joint["kind"] == "slide" else "rad", int(joint["drive"] == "position")
        lines.append("\t".join([name, unit, *map(repr, bounds), str(held)]))
    return "\n".join(lines)


def _signal(contract: Contract, name: str, width: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "type": "float64", "width": width}
    if name in ("joint_pos", "joint_vel", "joint_effort"):
        return found | {
            "unit": _UNITS.get(name, "rad, or m where the joint slides"),
            "elements": list(contract.joint_names),
        }
    if name == "velocity_command":
        names = contract.command.names
        return found | {
            "unit": "; ".join(f"{each}: {unit_of(contract.command, each)}" for each in names),
            "elements": list(names),
            "default": list(contract.command.defaults),
            "range": [contract.command.bounds(each) for each in names],
        }
    if name == "goal":
        goals = [term for term in contract.observation.terms if term.term == "goal"]
        elements = [f"{term.label}.{index}" for term in goals for index in term.elements(contract)]
        return found | {"unit": "; ".join(f"{term.label}: {term.frame}" for term in goals), "elements": elements}
    unit = _UNITS.get(name) or next(text for start, text in _OF_OTHERS.items() if name.startswith(start))
    elements = _ELEMENTS.get(name, [str(index) for index in range(width)])
    if name.startswith(tuple(PLACE_SIGNALS)):
        elements = list("wxyz" if is_quaternion(name) else "xyz")
    return found | {"unit": unit, "elements": elements}


def write_metadata(model: onnx.ModelProto, about: dict[str, Any]) -> None:
    """Put what a graph says of itself into it."""
    states = "\n".join(f"{state['input']}\t{state['output']}" for state in about["states"])
    texts = {DEPLOY_KEY: json.dumps(about), DEPLOY_STATES_KEY: states, DEPLOY_JOINTS_KEY: checks(about)}
    for key, value in texts.items():
        model.metadata_props.add(key=key, value=value)
