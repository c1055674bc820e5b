"""What env.yaml and agent.yaml of an Isaac Lab run add to its IO descriptors."""

from __future__ import annotations

from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import matches
from policy_port.errors import ContractError

_IMPLICIT = ("ImplicitActuator",)
_EXPLICIT = ("IdealPDActuator", "DCMotor", "DelayedPDActuator", "RemotizedPDActuator")
_PLAIN = ("ImplicitActuator", "IdealPDActuator")
"""What a contract's kinds of actuation are; the others do more."""
_READ = (
    *((key, key) for key in ("stiffness", "damping", "armature", "effort_limit")),
    ("effort_limit", "effort_limit_sim"),
)
"""Key of a joint in a contract, and key of an actuator."""


def written_terms(env: Record, group: str) -> list[tuple[str, str]] | None:
    """(key, function name) of each term of an observation group, in order; None when env.yaml lacks the group."""
    observations = env.section("observations")
    if not observations.has(group):
        return None
    section = observations.section(group)
    if section.has("concatenate_terms") and not section.flag("concatenate_terms"):
        raise section.error("concatenate_terms", "is false: the network reads its terms one by one, not a vector")
    terms = [(key, section.section(key)) for key, value in section.data.items() if isinstance(value, dict) and value]
    return [(key, term.text("func").replace(":", ".").rpartition(".")[2]) for key, term in terms if term.has("func")]


def history(env: Record, group: str, key: str) -> int:
    """Stacked steps of a term; the group's number wins, as in Isaac Lab."""
    section = env.section("observations").section(group)
    for record in (section, section.section(key)):
        if record.has("history_length"):
            return max(record.integer("history_length"), 1)
    return 1


def history_layout(env: Record | None, group: str) -> str:
    """How a group lays out its history: term by term, unless env.yaml says otherwise."""
    section = env.below("observations", group) if env is not None else None
    if section is None or not section.has("history_order"):
        return "term_major"
    return f"{section.choice('history_order', ('term', 'time'))}_major"


def is_velocity_command(env: Record, group: str, key: str) -> bool:
    """Whether the command that the observation term `key` of `group` reads is a base velocity."""
    params = env.below("observations", group, key, "params")
    if params is None or not params.has("command_name"):
        return False
    command = env.below("commands", params.text("command_name"))
    return command is not None and _commands_velocity(command)


def add_commands(env: Record, draft: Draft) -> None:
    """Add the trained ranges of the velocity command."""
    if not env.has("commands"):
        return
    commands = env.section("commands")
    for name in commands.entries():
        if commands.has(name) and _commands_velocity(commands.section(name)):
            draft.command(commands.section(name).section("ranges"))


def _commands_velocity(command: Record) -> bool:
    return command.has("class_type") and "VelocityCommand" in command.text("class_type")


def add_robot(env: Record, name: str, draft: Draft) -> None:
    """Add base height, whether the base floats, actuator model, gains and effort limits of articulation `name`."""
    robot = env.section("scene").section(name)
    if robot.has("init_state") and robot.section("init_state").has("pos"):
        state = robot.section("init_state")
        draft.put("base.height", state.numbers("pos", 3)[2], state.source("pos"))
    properties = robot.below("spawn", "articulation_props")
    if properties is not None and properties.has("fix_root_link"):
        fixed = properties.flag("fix_root_link")
        draft.put("base.floating", not fixed, properties.source("fix_root_link"))
    if draft.data.get("base", {}).get("floating") is False:
        draft.data["base"].pop("height", None)
    if robot.has("actuators"):
        _actuators(robot.section("actuators"), draft)


def _actuators(actuators: Record, draft: Draft) -> None:
    kinds: dict[str, str] = {}
    more: list[str] = []
    for name in actuators.entries():
        actuator = actuators.section(name)
        kinds[name] = actuator.text("class_type").replace(":", ".").rpartition(".")[2]
        for key, entry in _READ:
            _fill(actuator, entry, key, draft)
        left = [f"{key} {_short(actuator.data[key])}" for key in actuator.entries() if _says_more(actuator, key)]
        if left or kinds[name] not in _PLAIN:
            more.append(f"{name} ({', '.join([kinds[name], *left])})")
    if more:
        draft.note(
            f"{actuators.path.name}: a contract has no words for all of the actuators {', '.join(more)}; a replay "
            "drives the joints with gains, armature and effort limit alone"
        )
    known = {"implicit" if kind in _IMPLICIT else "explicit" if kind in _EXPLICIT else kind for kind in kinds.values()}
    if known == {"implicit"} or known == {"explicit"}:
        draft.put(
            "actuation.kind", known.pop(), actuators.source("*.class_type", ", ".join(sorted(set(kinds.values()))))
        )
    else:
        listed = ", ".join([*more, *(f"{name} ({kind})" for name, kind in kinds.items() if kind in _PLAIN)])
        draft.lacks("actuation.kind", f"env.yaml has actuators that no single kind covers ({listed})")
    if more:
        draft.sources["actuation"] = actuators.source("*", ", ".join(more))


def _says_more(actuator: Record, key: str) -> bool:
    """Whether a key says something that no contract holds; null, 0 and nothing say nothing."""
    read = {"class_type", "joint_names_expr", *(entry for _, entry in _READ)}
    value = actuator.data[key]
    zero = isinstance(value, int | float) and not value
    return key not in read and not zero and value not in (None, "", {}, [], ())


def _short(value: Any) -> str:
    if isinstance(value, dict) and len(value) <= 4:
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, dict | list | tuple):
        return f"of {len(value)} entries"
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]


def _fill(actuator: Record, entry: str, key: str, draft: Draft) -> None:
    """Fill what the IO descriptors left open; they hold the resolved values and win."""
    if not actuator.has(entry):
        return
    joints = draft.data["joints"]
    driven = [name for name in joints if any(matches(p, name, actuator) for p in actuator.names("joint_names_expr"))]
    if all(joints[name].get(key) is not None for name in driven):
        return
    value = actuator.get(entry)
    if isinstance(value, dict):
        section = actuator.section(entry)
        pairs = {name: section.number(p) for p in section.entries() for name in driven if matches(p, name, actuator)}
    else:
        pairs = dict.fromkeys(driven, actuator.number(entry))
    open_joints = {name: number for name, number in pairs.items() if joints[name].get(key) is None}
    if open_joints:
        draft.per_joint(key, open_joints, actuator.source(entry))


def actor_groups(agent: Record | None) -> list[str]:
    """Observation groups that agent.yaml feeds to the actor, in order; empty when it does not say."""
    groups = agent.below("obs_groups") if agent is not None else None
    if groups is None:
        return []
    return next((groups.names(name) for name in ("actor", "policy") if groups.has(name)), [])


def add_agent_clips(agent: Record, draft: Draft) -> None:
    """Add the clip of actions and observations that the trainer's wrapper applies."""
    wrapper: Any = agent.data
    where = ""
    if isinstance(agent.data.get("params"), dict) and isinstance(agent.data["params"].get("env"), dict):
        wrapper, where = agent.data["params"]["env"], "params.env"
    record = Record(agent.path, wrapper, where)
    for key, target in (("clip_actions", "action.raw_clip"), ("clip_observations", "observation.clip")):
        value = wrapper.get(key)
        if value is None or value is False or value == {}:
            continue
        bound = record.number(key)
        if bound <= 0.0:
            raise ContractError(f"{agent.path}: {record.key(key)} is {bound:g}, expected a positive bound")
        draft.put(target, [-bound, bound], record.source(key))
