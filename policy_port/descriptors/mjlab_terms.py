"""Observation terms of an mjlab run, from env.yaml: what each function computes, at full precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policy_port.descriptors import mjlab_scan
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import term_scale
from policy_port.descriptors.following import ANCHORED, command_keys, put_command, reads_motion
from policy_port.descriptors.isaac_lab_env import actor_groups
from policy_port.descriptors.layouts import HISTORY
from policy_port.descriptors.metadata_terms import Written, bounds, refuse_unused, set_keys
from policy_port.descriptors.mjlab_env import OF_ANOTHER_RUN, Run, first_match, is_velocity, name_of
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import JOINT_TERMS, check_term, delayed, own_words, selected_joints
from policy_port.errors import ContractError

_MODULE = "mjlab.envs.mdp."
_PLAIN = {
    "base_lin_vel": {"term": "base_lin_vel", "point": "link"},
    "base_ang_vel": {"term": "base_ang_vel"},
    "projected_gravity": {"term": "projected_gravity"},
    "joint_pos_rel": {"term": "joint_pos_rel"},
    "joint_vel_rel": {"term": "joint_vel"},
    "last_action": {"term": "last_action"},
}
"""mjlab's own functions, those of the root link's state; a function of the same name elsewhere may do otherwise."""

_SENSOR = "builtin_sensor"
_SENSED = {"velocimeter": "base_lin_vel", "gyro": "base_ang_vel"}
_ENDINGS = {"lin_vel": "base_lin_vel", "ang_vel": "base_ang_vel", "velocimeter": "base_lin_vel", "gyro": "base_ang_vel"}

_TASKS = "mjlab.tasks."
_EXTERNAL = {
    "ee_to_object_distance": 3,
    "object_to_goal_distance": 3,
    "ee_velocity": 3,
    "target_position": 3,
}
"""Size of what functions of mjlab's tasks compute of things that only the task knows."""
_PER_BODY = {"robot_body_pos_b": 3, "robot_body_ori_b": 6}
"""The same for each body of the motion."""


@dataclass(frozen=True, kw_only=True)
class _Term:
    """A term of env.yaml."""

    name: str
    record: Record
    function: str
    """Dotted name of its function; "" where env.yaml has none that can be named."""
    length: int
    """Stacked steps, the present one included."""

    @property
    def params(self) -> Record:
        return self.record.below("params") or Record(self.record.path, {}, self.record.key("params"))


def add_observation(run: Run, written: Written | None, options: ImportOptions, draft: Draft, width: int | None) -> None:
    """Add the terms of the actor's groups.

    Args:
        run: The run.
        written: What the metadata says of them, to be held against; None where there is no metadata.
        options: What the user adds.
        draft: What is added to; it has joints and actions.
        width: What the network reads, to say what size a term can have that nobody states.

    Raises:
        ContractError: When metadata and env.yaml are of different runs, or a term can't be stated.
    """
    groups = {group.where: _terms(group) for group in _groups(run)}
    terms = [term for each in groups.values() for term in each]
    held = _places(groups, written, run)
    unknown: list[_Term] = []
    total: int | None = 0
    for place, term in enumerate(terms):
        if draft.told_whole(term.name, options):
            total = None
            continue
        data = _meaning(term, run, options, draft)
        if data is None:
            unknown.append(term)
            continue
        joints = _shape(term, data, place, run, options, draft)
        if written is not None and place in held and not set_keys(options, term.name, place, data):
            _hold(term, written.contradiction(held[place], data, joints), written)
        draft.term(data, f"{term.record.path.name}: {term.record.where} ({term.function})", name=term.name)
        total = None if total is None else total + _size(data, joints, draft) * term.length
    _refuse_unknown(unknown, width - total if width and total is not None else None)
    refuse_unused(set(options.sizes) - {term.name for term in terms}, [term.name for term in terms], run.env.path.name)
    if any(term.length > 1 for term in terms):
        draft.put("observation.history", HISTORY, f"{run.env.path.name}: observations, history_length")
    followed = [_of_command(term, run) for term in terms if reads_motion(draft) and term.params.has("command_name")]
    if motions := [command for command in followed if _follows(command)]:
        put_command(draft, options, motions[0])


def _hold(term: _Term, problem: str | None, written: Written) -> None:
    if problem is not None:
        raise ContractError(
            f"{term.record.path}: the metadata of {written.record.path} has for '{term.name}' {problem} as in "
            f"{term.record.where}, which no rounding explains; {OF_ANOTHER_RUN}"
        )


def _groups(run: Run) -> list[Record]:
    """The groups that the actor reads, in order."""
    observations = run.env.section("observations")
    return [observations.section(name) for name in actor_groups(run.agent) or [_exported(observations)]]


def _exported(observations: Record) -> str:
    """The one group whose terms mjlab's exporter writes; it was called policy before mjlab 1.0."""
    return "actor" if observations.has("actor") else "policy"


def _places(groups: dict[str, list[_Term]], written: Written | None, run: Run) -> dict[int, int]:
    """Number in the metadata of each term of the exported group, by its number in the observation.

    Raises:
        ContractError: When the metadata has other terms than the group.
    """
    observations = run.env.section("observations")
    where = observations.key(_exported(observations))
    if written is None or where not in groups:
        return {}
    names = [term.name for term in groups[where]]
    if names != written.names:
        raise ContractError(
            f"{run.env.path}: {where} has the terms {', '.join(names)}, but the metadata of {written.record.path} has "
            f"{', '.join(written.names)}; {OF_ANOTHER_RUN}"
        )
    first = sum(len(groups[key]) for key in list(groups)[: list(groups).index(where)])
    return {first + i: i for i in range(len(names))}


def _terms(group: Record) -> list[_Term]:
    if group.has("concatenate_terms") and not group.flag("concatenate_terms"):
        raise group.error("concatenate_terms", "is false: the network reads its terms one by one, not a vector")
    if group.has("concatenate_dim") and group.integer("concatenate_dim") not in (-1, 0):
        raise group.error("concatenate_dim", f"is {group.integer('concatenate_dim')}: the network reads no flat vector")
    # Before mjlab 1.0 the terms stood in the group itself, beside its settings.
    listed = group.section("terms") if group.has("terms") else group
    found = []
    for name in listed.entries():
        if not isinstance(listed.data[name], dict) or "func" not in listed.data[name]:
            continue
        record = listed.section(name)
        # The group's numbers win, 0 too, and each then makes what the term says void.
        of = group if group.has("history_length") else record
        length = max(of.integer("history_length"), 1) if of.has("history_length") else 1
        if length > 1 and of.has("flatten_history_dim") and not of.flag("flatten_history_dim"):
            raise of.error(
                "flatten_history_dim", f"is false for '{name}': the network reads a stack of rows, not a flat vector"
            )
        found.append(_Term(name=name, record=record, function=name_of(record, "func"), length=length))
    return found


def _meaning(term: _Term, run: Run, options: ImportOptions, draft: Draft) -> dict[str, Any] | None:
    """The term as a contract writes it, without its numbers; None where its size is not known."""
    data = _known(term, run)
    if data is not None and data["term"] != "external":
        if term.name in options.sizes:
            raise ContractError(f"--size {term.name}: env.yaml has that term, a {data['term']}")
        return data
    size = options.sizes.get(term.name) or (data or {}).get("size")
    if size is None:
        return None
    draft.note(f"'{term.name}' ({size} numbers) is known to its task only; it is an external term")
    return {"term": "external", "name": term.name, "size": size}


def _known(term: _Term, run: Run) -> dict[str, Any] | None:
    module, _, function = term.function.rpartition(".")
    if f"{module}.".startswith(_MODULE):
        if function in _PLAIN:
            return dict(_PLAIN[function])
        if function == _SENSOR:
            return _sensed(term, run)
        if function == "height_scan":
            return mjlab_scan.height_scan(term.params, run.env)
        if function == "projected_gravity_from_sensor":
            return {"term": "projected_gravity", "frame": {"sensor": _sensor(term)}}
        if function == "generated_commands":
            return _command(term, run)
    if module.startswith(_TASKS) and function in ANCHORED:
        return {"term": function}
    if module.startswith(_TASKS) and function in _EXTERNAL:
        return {"term": "external", "size": _EXTERNAL[function]}
    if module.startswith(_TASKS) and function in _PER_BODY:
        bodies = _of_command(term, run).names("body_names")
        return {"term": "external", "size": _PER_BODY[function] * len(bodies)}
    return None


def _command(term: _Term, run: Run) -> dict[str, Any] | None:
    command = _of_command(term, run)
    if is_velocity(command):
        return {"term": "velocity_command"}
    if _follows(command):
        return {"term": "motion_command"}
    return None


def _of_command(term: _Term, run: Run) -> Record:
    return run.env.section("commands").section(term.params.text("command_name"))


def _sensed(term: _Term, run: Run) -> dict[str, Any] | None:
    """A built-in sensor's term: by its type where env.yaml makes the sensor, else by its name and the term's."""
    sensor = _sensor(term)
    kinds = {kind for ending, kind in _ENDINGS.items() for name in (term.name, sensor) if name.endswith(ending)}
    for made in run.env.section("scene").data.get("sensors") or ():
        if isinstance(made, dict) and made.get("name") == sensor and "sensor_type" in made:
            kinds = {_SENSED.get(str(made["sensor_type"]), "other")}
    if len(kinds) > 1:
        raise term.params.error(
            "sensor_name", f"is '{sensor}', which by its name is not what '{term.name}' is; {own_words(term.name)}"
        )
    kind = next(iter(kinds), "other")
    if kind == "other":
        return None
    return {"term": kind, ("point" if kind == "base_lin_vel" else "frame"): {"sensor": sensor}}


def _sensor(term: _Term) -> str:
    """Name of a sensor in the robot's own MJCF, which mjlab attaches under the robot's name."""
    return term.params.text("sensor_name").removeprefix("robot/")


def _shape(term: _Term, data: dict[str, Any], place: int, run: Run, options: ImportOptions, draft: Draft) -> list[str]:
    """Add history, joints, scale and clip; hand back the joints that it observes."""
    if term.length > 1:
        data["history"] = term.length
    kind = data["term"]
    if kind == "external":
        return []
    motion = kind.startswith("motion_")
    commands = [
        key
        for key in run.env.data.get("commands") or {}
        if (_follows if motion else is_velocity)(run.env.section("commands").section(key))
    ]
    actions = [key for key, value in run.env.section("actions").data.items() if value is not None]
    # What was read above, and the group's say over the history, is not for the common check.
    read = ({"biased"} | mjlab_scan.KEYS) & set(term.params.data)
    rest = {key: value for key, value in term.params.data.items() if key not in read}
    plain = {
        key: value for key, value in term.record.data.items() if key not in ("history_length", "flatten_history_dim")
    }
    checked = Record(term.record.path, plain | {"params": rest}, term.record.where)
    check_term(checked, kind, term.name, commands=commands, actions=actions)
    joints = selected_joints(term.params, run.names) if kind in JOINT_TERMS else []
    if joints and joints != list(run.names):
        data["joints"] = joints
    told = set_keys(options, term.name, place, data)
    if "scale" not in told and term.record.has("scale"):
        keys = command_keys(run.names) if kind == "motion_command" else joints
        scale = term_scale(term.record, "scale", kind, keys, len(keys) or _size(data, joints, draft))
        if scale != 1.0:
            data["scale"] = scale
    if "clip" not in told and term.record.has("clip") and term.record.get("clip"):
        low, high = _pair(term.record)
        clip = bounds(low, high, term.name, term.record, "clip")
        data |= {"clip": clip} if clip is not None else {}
    if "delay" not in told:
        data |= delayed(data, term.name, draft, term.record)
    _note_joints(term, kind, run, draft)
    return joints


def _pair(record: Record) -> tuple[float, float]:
    value = record.get("clip")
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(n, int | float) for n in value):
        raise record.error("clip", f"is {value}, expected a pair of bounds")
    return float(value[0]), float(value[1])


def _note_joints(term: _Term, kind: str, run: Run, draft: Draft) -> None:
    """Say what of joint readings a contract has no words for."""
    bias = [
        event
        for event in (run.env.data.get("events") or {}).values()
        if isinstance(event, dict) and name_of(Record(run.env.path, event), "func").endswith(".encoder_bias")
    ]
    if kind == "joint_pos_rel" and term.params.has("biased") and term.params.flag("biased") and bias:
        spread = bias[0].get("params", {}).get("bias_range")
        draft.note(
            f"{term.record.path.name}: '{term.name}' is read with an encoder bias, which mjlab draws once per robot "
            f"(bias_range {spread}) and takes off the targets again; a trace of mjlab shows it as a constant "
            "difference of each joint, and a replay here has none"
        )
    state = run.robot.below("init_state", "joint_vel")
    if kind == "joint_vel" and state is not None and any(first_match(state, run.names, 0.0).values()):
        raise state.error(".*", f"is not 0, and joint_vel_rel subtracts it; {own_words(term.name)}, with its offset")


def _size(data: dict[str, Any], joints: list[str], draft: Draft) -> int:
    if data["term"] == "external":
        return int(data["size"])
    if data["term"] == "last_action":
        return sum(len(term.get("joints") or draft.joint_names) for term in draft.data["action"]["terms"])
    if data["term"] == "height_scan":
        return mjlab_scan.rays(data)
    if data["term"] == "motion_command":
        return 2 * len(draft.joint_names)
    return len(joints) or ANCHORED.get(data["term"], 3)


def _follows(command: Record) -> bool:
    return command.has("motion_file")


def _refuse_unknown(unknown: list[_Term], left: int | None) -> None:
    if not unknown:
        return
    term = unknown[0]
    one = len(unknown) == 1 and left is not None and left > 0 and left % term.length == 0
    size = str(left // term.length) if one and left is not None else "N"
    why = ", which the other terms leave of the network's width," if one else ""
    also = f" (the same goes for {', '.join(each.name for each in unknown[1:])})" if len(unknown) > 1 else ""
    raise ContractError(
        f"{term.record.path}: '{term.name}' is computed by {term.function or 'what only code could read'}, which only "
        f"its task knows{also}: give its size with --size {term.name}={size}{why} to take it as an external term; "
        f"{own_words(term.name)}"
    )
