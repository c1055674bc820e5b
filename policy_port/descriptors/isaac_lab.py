"""Isaac Lab's IO descriptors, with env.yaml and agent.yaml of the run where they lie beside them.

The exporter skips, without a word, every observation term whose function lacks its decorator (height scans, most terms
of projects built on Isaac Lab). env.yaml knows the names of those; only the network knows the width.
"""

from __future__ import annotations

from typing import Any

from policy_port.descriptors import isaac_lab_config, isaac_lab_env, isaac_lab_terms
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, joint_clip, joint_offset
from policy_port.descriptors.isaac_lab_actuators import by_pattern, same_number
from policy_port.descriptors.isaac_lab_limits import AVERAGED, PLAIN, to_limits
from policy_port.descriptors.isaac_lab_robot import add_robot
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign
from policy_port.errors import ContractError, closest

MAIN = "IO descriptors"
ENV = "env.yaml"
AGENT = "agent.yaml"
BESIDE = tuple((name, f"params/{name}", f"../params/{name}") for name in (ENV, AGENT))
FLAGS = frozenset({"group", "articulation", "sizes", "names", "names_order"})

_ACTION_KEYS = frozenset(
    (
        *("full_path", "joint_names", "scale", "offset", "clip", "alpha"),
        *("name", "mdp_type", "action_type", "dtype", "shape", "units", "description", "extras"),
    )
)
_FRICTION = "default_joint_friction"
_ACTIONS = {
    "JointPositionAction": "joint_position",
    "RelativeJointPositionAction": "joint_position_delta",
    "JointVelocityAction": "joint_velocity",
    "JointEffortAction": "joint_effort",
}


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    keys = set(record.data)
    if {"observations", "articulations", "actions"} <= keys:
        return MAIN
    if {"sim", "scene", "decimation"} <= keys:
        return ENV
    params = record.data.get("params")
    return AGENT if keys & {"algorithm", "agent"} or (isinstance(params, dict) and "config" in params) else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    env = records.get(ENV)
    record = records.get(MAIN)
    if record is not None and options.names is not None:
        raise ContractError(f"--names: {record.path} has the joint names; leave the option out")
    worked_out = record is None
    record = record or isaac_lab_config.described(records[ENV], options)
    draft = Draft(str(record.path))
    draft.put("trained_in", "Isaac Lab", f"{record.path.name} is Isaac Lab's")
    robot = _choose(record.section("articulations"), options.articulation, "--articulation", prefer="robot")
    names = robot.names("joint_names")
    draft.joints(names, robot.source("joint_names"))
    _joint_numbers(robot, names, draft)
    if env is not None:
        name = robot.where.rpartition(".")[2]
        driven = add_robot(env, name, options, draft)
        _idle_joints(robot, driven, draft)
        isaac_lab_env.add_commands(env, draft)
        isaac_lab_env.refuse_other_rates(env, record.section("scene"))
    elif not draft.data["joints"][names[0]].get("stiffness"):
        draft.lacks("actuation.kind", "the gains are 0, so an actuator model is outside PhysX: see env.yaml")
    else:
        draft.lacks("actuation.kind", "only env.yaml names the actuator model")
    scene = record.section("scene")
    for key, name in (("timestep", "physics_dt"), ("decimation", "decimation")):
        if scene.has(name):
            value = scene.integer(name) if key == "decimation" else scene.number(name)
            draft.put(key, value, scene.source(name))
    if scene.has("dt"):
        draft.control_dt = (scene.number("dt"), scene.source("dt"))
    default = {name: joint["default"] for name, joint in draft.data["joints"].items()}
    if "action.terms" not in options.settings:
        _actions(record, env, default, draft)
    agent = records.get(AGENT)
    groups = _groups(record, agent, options)
    if "observation.terms" not in options.settings:
        run = isaac_lab_terms.Run(env=env, robot=robot.where.rpartition(".")[2], options=options, worked_out=worked_out)
        isaac_lab_terms.add_observation(record, groups, run, draft)
    if agent is not None:
        isaac_lab_env.add_agent_clips(agent, draft)
    else:
        draft.note("agent.yaml is not there, so a clip of the actions (clip_actions) could not be seen")
    if env is not None and worked_out:
        isaac_lab_config.name_sources(env, robot.where.rpartition(".")[2], options, draft)
    return draft


def _choose(sections: Record, wanted: str | None, flag: str, *, prefer: str) -> Record:
    names = list(sections.entries())
    if wanted is not None:
        if wanted not in names:
            raise ContractError(
                f"{flag} {wanted}: not in {sections.path}{closest(wanted, names) or '.'} There are: {', '.join(names)}"
            )
        return sections.section(wanted)
    if len(names) > 1 and prefer not in names:
        raise sections.error(names[0], f"is one of several: {', '.join(names)}. Choose with {flag}")
    return sections.section(prefer if prefer in names else names[0])


def _joint_numbers(robot: Record, names: list[str], draft: Draft) -> None:
    default = robot.numbers("default_joint_pos", len(names), per="joint")
    draft.per_joint("default", default, robot.source("default_joint_pos"))
    if robot.has("default_joint_stiffness"):
        _gains(robot, names, draft)
    if robot.has("default_joint_armature"):
        armature = robot.numbers("default_joint_armature", len(names), per="joint")
        draft.per_joint("armature", armature, robot.source("default_joint_armature"))
    friction = robot.numbers(_FRICTION, len(names), per="joint") if robot.has(_FRICTION) else []
    if any(friction):
        draft.note(
            f"{robot.path.name}: {_FRICTION} is up to {max(friction):g}; a contract has no word for it, so a replay "
            "moves without it"
        )
    if robot.has("default_joint_pos_limits"):
        limits = robot.pairs("default_joint_pos_limits", len(names), per="joint")
        source = robot.source("default_joint_pos_limits")
        draft.per_joint("lower", [low for low, _ in limits], source)
        draft.per_joint("upper", [high for _, high in limits], source)


def _gains(robot: Record, names: list[str], draft: Draft) -> None:
    stiffness = robot.numbers("default_joint_stiffness", len(names), per="joint")
    damping = robot.numbers("default_joint_damping", len(names), per="joint")
    # Zero gains are an actuator model's, which computes the torque outside PhysX; then they are in env.yaml.
    driven = {name for name, *gains in zip(names, stiffness, damping, strict=True) if any(gains)}
    for key, values in (("stiffness", stiffness), ("damping", damping)):
        pairs = {name: value for name, value in zip(names, values, strict=True) if name in driven}
        if pairs:
            draft.per_joint(key, pairs, robot.source(f"default_joint_{key}"))


def _idle_joints(robot: Record, driven: set[str], draft: Draft) -> None:
    """A joint that no actuator drives has the gains 0 that the descriptor shows: no model computes its torque."""
    for key in ("stiffness", "damping"):
        idle = {name: 0.0 for name, joint in draft.data["joints"].items() if name not in driven and key not in joint}
        if idle and robot.has(f"default_joint_{key}"):
            draft.per_joint(key, idle, robot.source(f"default_joint_{key}", "no actuator drives it"))


def _actions(record: Record, env: Record | None, default: dict[str, float], draft: Draft) -> None:
    actions = record.sections("actions")
    for action, beside in zip(actions, _configured(actions, env), strict=True):
        kind = action.text("full_path").replace(":", ".").rpartition(".")[2]
        action.only(_ACTION_KEYS, "if you know what it does, state the action yourself: --set action.terms='[...]'")
        if kind in (PLAIN, AVERAGED) and beside is not None and env is not None:
            if kind == AVERAGED and len(actions) > 1:
                raise beside.error("alpha", "filters one action of several, and a contract's filter is of all of them")
            joints = action.names("joint_names") if action.has("joint_names") else list(default)
            robot = env.section("scene").section(beside.text("asset_name") if beside.has("asset_name") else "robot")
            term = to_limits(beside, joints, robot, draft)
            draft.action(term | ({"joints": joints} if joints != list(default) else {}), beside.source("class_type"))
            continue
        if kind not in _ACTIONS:
            where, key = (action, "full_path") if beside is None else (beside, "class_type")
            raise where.error(key, f"is {kind}, which a contract can't state. Known: {', '.join(_ACTIONS)}")
        joints = action.names("joint_names")
        strange = next((name for name in joints if name not in default), None)
        if strange is not None:
            raise action.error("joint_names", f"names '{strange}', no joint of the articulation")
        term: dict[str, Any] = {"term": _ACTIONS[kind]}
        if joints != list(default):
            term["joints"] = joints
        term["scale"] = by_joint(joints, _scales(action, beside, joints))
        offset = action.spread("offset", len(joints), per="joint") if action.has("offset") else [0.0] * len(joints)
        if kind == "JointPositionAction":
            term["offset"] = joint_offset(default, joints, offset)
        elif kind == "RelativeJointPositionAction":
            term |= {"reference": "joint_pos", "offset": by_joint(joints, offset)}
        elif any(offset):
            term["offset"] = by_joint(joints, offset)
        if action.has("clip"):
            term["clip"] = joint_clip(action, "clip", joints)
        draft.action(term, f"{action.path.name}: {action.where}")


def _configured(actions: list[Record], env: Record | None) -> list[Record | None]:
    """The configuration of each described action term in env.yaml, in its order."""
    section = env.below("actions") if env is not None else None
    if section is None:
        return [None] * len(actions)
    keys = [key for key in section.entries() if section.has(key)]
    if len(keys) != len(actions):
        raise ContractError(
            f"{section.path}: has the action terms {', '.join(keys) or 'none'}, but the descriptor describes "
            f"{len(actions)}: the exporter left one out, or the two files are of different runs. State the whole "
            "action yourself: --set action.terms='[{term: joint_position, ...}]'"
        )
    return [section.section(key) for key in keys]


def _scales(action: Record, beside: Record | None, joints: list[str]) -> list[float]:
    """The scale of each joint; env.yaml's where the exporter wrote a tensor, and held against it where it did not."""
    stated = None
    if beside is not None and beside.has("scale"):
        stated = [(dict.fromkeys(joints, 1.0) | by_pattern(beside, "scale", joints))[name] for name in joints]
    if stated is not None and isinstance(action.data.get("scale"), Foreign):
        return stated
    described = action.spread("scale", len(joints), per="joint")
    for name, old, new in zip(joints, described, stated or described, strict=True):
        if beside is not None and not same_number(old, new):
            raise beside.error(
                "scale", f"is {new:g} for '{name}', but the descriptor has {old:g}; the two files are of different runs"
            )
    return described


def _groups(record: Record, agent: Record | None, options: ImportOptions) -> list[Record]:
    """The observation groups that the actor reads, in order."""
    observations = record.section("observations")
    known = list(observations.entries())
    wanted = [options.group] if options.group else isaac_lab_env.actor_groups(agent)
    if not wanted:
        wanted = ["policy"] if "policy" in known else known
        if len(wanted) > 1:
            raise ContractError(f"{record.path}: has the groups {', '.join(known)}; choose the actor's with --group")
    for name in wanted:
        if name not in known:
            raise ContractError(f"{record.path}: has no observation group '{name}', only {', '.join(known)}")
    return [Record(record.path, {name: observations.data[name]}, observations.where) for name in wanted]
