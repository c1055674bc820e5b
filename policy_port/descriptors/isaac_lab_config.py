"""What Isaac Lab's exporter would have described, worked out from env.yaml and the joints' order.

Isaac Lab drops the IO descriptors in 3.2, and 1.x had none. env.yaml has all that they do but the order of the joints,
which the robot's file and the engine make, and what only the robot's file holds: limits, and gains left to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.isaac_lab_actuators import by_pattern
from policy_port.descriptors.isaac_lab_env import MODULES, history, is_velocity_command, written_terms
from policy_port.descriptors.name_file import read_joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import selected_joints
from policy_port.errors import ContractError, closest

_BASE = ("base_lin_vel", "base_ang_vel", "projected_gravity")
_JOINT = ("joint_pos", "joint_pos_rel", "joint_vel", "joint_vel_rel")
_OVERLOADS = ("clip", "scale", "modifiers", "flatten_history_dim", "delay_min_lag", "delay_max_lag")


def described(env: Record, options: ImportOptions) -> Record:
    """The IO descriptors of a run without them.

    Args:
        env: Its env.yaml.
        options: `names` has the joints in the policy's order, where env.yaml does not list them as `joint_ordering`.

    Raises:
        ContractError: When nothing tells the order, or the names are not those of the configuration.
    """
    if not env.has("observations") or not env.has("actions"):
        raise ContractError(
            f"{env.path}: has no observations and actions, since its environment computes them in code of its own "
            "(Isaac Lab's direct workflow), which no file describes; write the contract by hand"
        )
    scene = env.section("scene")
    name = _articulation(scene, options.articulation)
    robot = scene.section(name)
    joints = _joint_order(robot, options)
    default = _by_joint(robot, "joint_pos", joints)
    velocity = _by_joint(robot, "joint_vel", joints)
    actions = [_action(term, name, default, velocity) for term in _sections(env.section("actions"))]
    run = _Run(
        env=env,
        robot=name,
        joints=joints,
        default=default,
        velocity=velocity,
        acting=sum(len(action.get("joint_names", ())) for action in actions),
    )
    observations = env.section("observations")
    period = env.section("sim").number("dt") * env.integer("decimation")
    data = {
        "actions": actions,
        "articulations": {name: {"joint_names": joints, "default_joint_pos": [default[joint] for joint in joints]}},
        "observations": {group: run.group(group) for group in observations.entries() if observations.has(group)},
        "scene": {"physics_dt": env.section("sim").number("dt"), "dt": period, "decimation": env.integer("decimation")},
    }
    return Record(env.path, data)


def name_sources(env: Record, robot: str, options: ImportOptions, draft: Draft) -> None:
    """Say where the numbers truly stand, and that nothing confirms the order."""
    listed = "joint_ordering" if options.names is None else None
    order = f"{env.path.name}: scene.{robot}.{listed}" if listed else f"--names {options.names}"
    places = {
        rf"{re.escape(env.path.name)}: articulations\.{re.escape(robot)}\.joint_names": order,
        rf"articulations\.{re.escape(robot)}\.default_joint_pos": f"scene.{robot}.init_state.joint_pos",
        r"scene\.physics_dt": "sim.dt",
        r"scene\.decimation": "decimation",
    }
    for key, text in draft.sources.items():
        for pattern, place in places.items():
            text = re.sub(pattern, lambda _, place=place: place, text)
        draft.sources[key] = text
    if listed is None:
        draft.note(
            f"the joints' order is that of {order}; {env.path.name} does not confirm it. It is the order in which the "
            "run's robot.joint_names listed them; another order has the right width and moves the wrong joints"
        )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the terms of a run are worked out from."""

    env: Record
    """env.yaml."""
    robot: str
    """Name of the articulation."""
    joints: list[str]
    """Its joints in the policy's order."""
    default: dict[str, float]
    """Default joint positions [rad or m]."""
    velocity: dict[str, float]
    """Default joint velocities [rad/s or m/s]."""
    acting: int
    """Width of the action."""

    def group(self, name: str) -> list[dict[str, Any]]:
        """Descriptions of the terms whose width is known; the others are left out, as the exporter does."""
        section = self.env.section("observations").section(name)
        known = [
            self._term(section.section(key), name, key)
            for key, function in written_terms(self.env, name) or ()
            if self._known(section.section(key), name, key, function)
        ]
        return known

    def _known(self, term: Record, group: str, key: str, function: str) -> bool:
        asset = term.below("params", "asset_cfg")
        other = asset is not None and asset.has("name") and asset.text("name") != self.robot
        if other or term.text("func").replace(":", ".").rpartition(".")[0] not in MODULES:
            return False
        if function == "generated_commands":
            return is_velocity_command(self.env, group, key)
        return function in (*_BASE, *_JOINT, "last_action")

    def _term(self, term: Record, group: str, key: str) -> dict[str, Any]:
        function = term.text("func").replace(":", ".").rpartition(".")[2]
        data: dict[str, Any] = {"name": key, "full_path": f"{MODULES[0]}.{function}", "shape": [3]}
        if function == "last_action":
            data["shape"] = [self.acting]
        if function in _JOINT:
            joints = selected_joints(term.below("params"), self.joints)
            data |= {"shape": [len(joints)], "joint_names": joints}
            if function == "joint_pos_rel":
                data["joint_pos_offsets"] = [self.default[joint] for joint in joints]
            if function == "joint_vel_rel":
                data["joint_vel_offsets"] = [self.velocity[joint] for joint in joints]
        overloads = {name: term.data[name] for name in _OVERLOADS if name in term.data}
        section = self.env.section("observations").section(group)
        if section.has("history_length"):
            overloads["flatten_history_dim"] = section.data.get("flatten_history_dim", True)
        data["overloads"] = overloads | {"history_length": history(self.env, group, key)}
        return data


def _articulation(scene: Record, wanted: str | None) -> str:
    names = [key for key in scene.entries() if isinstance(scene.data[key], dict) and "actuators" in scene.data[key]]
    if wanted is not None and wanted not in names:
        hint = closest(wanted, names) or "."
        raise ContractError(f"--articulation {wanted}: not in {scene.path}{hint} There are: {', '.join(names)}")
    if wanted is None and "robot" not in names and len(names) != 1:
        raise ContractError(
            f"{scene.path}: its scene has {', '.join(names)}; choose the robot with --articulation"
            if names
            else f"{scene.path}: its scene has no articulation with actuators, so there is no robot to describe"
        )
    return wanted or ("robot" if "robot" in names else names[0])


def _joint_order(robot: Record, options: ImportOptions) -> list[str]:
    listed = robot.names("joint_ordering") if isinstance(robot.data.get("joint_ordering"), list | tuple) else None
    if options.names is None and listed is None:
        raise ContractError(
            f"{robot.path}: describes the run but not the order of its joints. Give IO_descriptors.yaml of the run, "
            "which has it (Isaac Lab writes one until 3.1), or the names as the run's "
            "robot.joint_names lists them with --names FILE"
        )
    if options.names is None:
        return listed or []
    given = read_joint_names(options.names, bare_list=options.names_order)
    if given.policy is None:
        raise ContractError(f"{options.names}: has the joints in motor order; Isaac Lab's are in the policy's order")
    if listed is not None and list(given.policy) != listed:
        raise robot.error("joint_ordering", f"is another order than {options.names}; leave --names out")
    return list(given.policy)


def _by_joint(robot: Record, key: str, joints: list[str]) -> dict[str, float]:
    state = robot.below("init_state")
    stated = by_pattern(state, key, joints) if state is not None and state.has(key) else {}
    return dict.fromkeys(joints, 0.0) | stated


def _sections(record: Record) -> list[Record]:
    return [record.section(key) for key in record.entries() if record.has(key)]


def _action(term: Record, robot: str, default: dict[str, float], velocity: dict[str, float]) -> dict[str, Any]:
    data: dict[str, Any] = {"name": term.where, "full_path": term.text("class_type").replace(":", ".")}
    if term.has("asset_name") and term.text("asset_name") != robot:
        raise term.error("asset_name", f"is '{term.text('asset_name')}', not the articulation '{robot}'")
    if not term.has("joint_names"):
        return data
    joints = selected_joints(Record(term.path, {"asset_cfg": term.data}, term.where), list(default))
    kind = data["full_path"].rpartition(".")[2]
    relative = kind == "RelativeJointPositionAction"
    scale = dict.fromkeys(joints, 1.0) | (by_pattern(term, "scale", joints) if term.has("scale") else {})
    offset = dict.fromkeys(joints, 0.0) | (by_pattern(term, "offset", joints) if term.has("offset") else {})
    fixed = "use_zero_offset" if relative else "use_default_offset"
    # A torque has no default; the other actions have one unless they say otherwise.
    if kind != "JointEffortAction" and (term.flag(fixed) if term.has(fixed) else True):
        offset = dict.fromkeys(joints, 0.0) if relative else velocity if kind == "JointVelocityAction" else default
    data |= {"joint_names": joints, "scale": [scale[joint] for joint in joints]}
    data["offset"] = [offset[joint] for joint in joints]
    if term.has("clip"):
        data["clip"] = _clip(term, joints)
    return data


def _clip(term: Record, joints: list[str]) -> list[list[float]]:
    section = term.section("clip")
    sides = [
        by_pattern(
            Record(term.path, {"clip": {key: section.bounds(key)[side] for key in section.entries()}}, term.where),
            "clip",
            joints,
        )
        for side in (0, 1)
    ]
    free = next((joint for joint in joints if joint not in sides[0]), None)
    if free is not None:
        raise term.error("clip", f"bounds some joints and leaves '{free}' free, which a contract can't state")
    return [[side[joint] for side in sides] for joint in joints]
