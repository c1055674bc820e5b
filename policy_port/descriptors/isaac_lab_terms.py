"""Observation terms of Isaac Lab's IO descriptors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from policy_port.contract.base_terms import VELOCITY_COMMAND, XYZ
from policy_port.descriptors import isaac_lab_env, isaac_lab_sensed
from policy_port.descriptors.draft import Draft, assign_default
from policy_port.descriptors.elements import by_joint, joint_clip, term_scale
from policy_port.descriptors.following import ANCHORED, command_keys, put_command, reads_motion
from policy_port.descriptors.isaac_lab_actuators import same_number
from policy_port.descriptors.layouts import HISTORY
from policy_port.descriptors.network import network_widths
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign
from policy_port.descriptors.term_params import (
    BESIDE,
    JOINT_TERMS,
    OBSERVED_LAGS,
    check_shape,
    check_term,
    delayed,
    history_length,
    lags,
    own_words,
    selected_joints,
    stacked,
)
from policy_port.errors import ContractError, closest

_KEYS = frozenset(
    (
        *("name", "full_path", "shape", "joint_names", "joint_pos_offsets", "joint_vel_offsets", "body_names"),
        *("overloads", "extras", "mdp_type", "observation_type", "dtype", "units", "axes", "description"),
    )
)
_HISTORY_SOURCE = "Isaac Lab's history: oldest first, filled at reset"
_COMMANDS = ("generated_commands", "locomotion_command")
"""Functions that show a command; the second is WBC-AGILE's name for it."""

TERMS = {
    "base_lin_vel": "base_lin_vel",
    "base_ang_vel": "base_ang_vel",
    "projected_gravity": "projected_gravity",
    "joint_pos": "joint_pos",
    "joint_pos_rel": "joint_pos_rel",
    "joint_vel": "joint_vel",
    "joint_vel_rel": "joint_vel",
    "joint_effort": "joint_effort",
    "last_action": "last_action",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the terms are read beside."""

    env: Record | None
    """env.yaml."""
    robot: str
    """Name of the articulation."""
    options: ImportOptions
    """What the user adds."""
    worked_out: bool = False
    """Whether the descriptor was worked out of env.yaml."""


def add_observation(record: Record, groups: list[Record], run: Run, draft: Draft) -> None:
    """Add the terms of the actor's groups, and what env.yaml knows of terms that the exporter skipped."""
    env, options = run.env, run.options
    sizes = dict(options.sizes)
    layouts = [isaac_lab_env.history_layout(env, next(group.entries()), draft) for group in groups]
    acting = sum(len(action.get("joint_names")) for action in record.sections("actions"))
    widths = ANCHORED | {"last_action": acting, "motion_command": 2 * len(draft.joint_names)}
    stacks = False
    skipped: list[str] = []
    ends: list[tuple[str, int]] = []
    for group in groups:
        name = next(group.entries())
        terms = group.sections(name)
        written = isaac_lab_env.written_terms(env, name) if env is not None else None
        for key, term in _aligned(terms, written, record, name, worked_out=run.worked_out):
            if draft.told_whole(key, options):
                continue
            if term is None and env is not None:
                term = _motion_term(env, name, key, widths)
            if term is not None:
                beside = env.below("observations", name, key) if env is not None else None
                if parts := isaac_lab_sensed.posed(term, beside, key, options, draft):
                    if env is not None and beside is not None:
                        _refuse_other_run(term, beside, isaac_lab_env.history(env, name, key))
                    stacks = isaac_lab_sensed.add(parts, term, key, _size(term), draft) or stacks
                    continue
                kind = _kind(term, name, key, env, draft)
                if kind not in (None, "external"):
                    _refuse_untaken(term, beside, (key, str(kind)), widths, run)
                if env is not None and beside is not None:
                    _refuse_other_run(term, beside, isaac_lab_env.history(env, name, key))
                stacks = _term(term, key, kind, beside, draft) > 1 or stacks
            elif env is not None and key not in sizes and isaac_lab_sensed.add_scan(env, name, key, draft):
                stacks = isaac_lab_env.history(env, name, key) > 1 or stacks
            elif env is not None and (sized := _size_beside(env, name, key, sizes)) is not None:
                stacks = _sized(key, sized, isaac_lab_env.history(env, name, key), draft) > 1 or stacks
            else:
                skipped.append(key)
        ends.append((name, len(assign_default(draft.data, "observation"))))
    if sizes:
        known = ", ".join(skipped) or "no skipped term"
        raise ContractError(f"--size {next(iter(sizes))}: env.yaml has {known}{closest(next(iter(sizes)), skipped)}")
    if stacks and len(groups) > 1 and "time_major" in layouts:
        _put_groups(ends, layouts, draft)
    elif stacks:
        layout = HISTORY | {"layout": layouts[0]}
        draft.put("observation.history", layout, _HISTORY_SOURCE)
    if env is not None and reads_motion(draft):
        put_command(draft, options, _motion_command(env, groups))
    if skipped:
        _ask_for_skipped(record, skipped, run, draft)
    elif env is None:
        draft.width_hint = (
            "The exporter skips terms whose functions lack its decorator (height_scan, most functions of projects "
            "built on Isaac Lab); give params/env.yaml of the run, which names them"
        )


def _put_groups(ends: list[tuple[str, int]], layouts: list[str], draft: Draft) -> None:
    """State the histories of several groups, of which one is ordered by time: each stands whole before the next.

    Args:
        ends: Name of each group, and how many terms there are up to its end.
        layouts: Layout of each.
        draft: The contract in the making.
    """
    first, groups = 0, {}
    for (name, end), layout in zip(ends, layouts, strict=True):
        for term in draft.data["observation"]["terms"][first:end]:
            length = term.pop("history", 1)
            if length > 1 or layout == "time_major":
                term["group"] = f"{name}_{length}"
                steps = {"length": length, "newest": 0, "order": HISTORY["order"]}
                groups[term["group"]] = {"steps": steps, "layout": layout, "fill": HISTORY["fill"]}
        first = end
    draft.put("observation.groups", groups, _HISTORY_SOURCE)


def _motion_term(env: Record, group: str, key: str, widths: dict[str, int]) -> Record | None:
    """The description of a term of a reference motion, which the exporter skips; None for any other term."""
    kind = isaac_lab_env.motion_kind(env, group, key)
    if kind is None:
        return None
    term = env.section("observations").section(group).section(key)
    overloads = {name: term.data[name] for name in ("scale", "clip", "modifiers") if name in term.data}
    overloads["history_length"] = isaac_lab_env.history(env, group, key)
    data = {"name": key, "full_path": term.text("func"), "shape": [widths[kind]], "overloads": overloads}
    return Record(env.path, data, term.where)


def _motion_command(env: Record, groups: list[Record]) -> Record:
    """The configuration of the motion that the terms of the groups read."""
    for group in groups:
        name = next(group.entries())
        for key, _ in isaac_lab_env.written_terms(env, name) or ():
            if (motion := isaac_lab_env.motion_of(env, name, key)) is not None:
                return motion
    raise AssertionError("a term of a motion was added, whose command has one")


def _size_beside(env: Record, group: str, key: str, sizes: dict[str, int]) -> tuple[int, str] | None:
    """Size of a term without a description, from `--size` or from the sensor that it reads, and where that is from."""
    scanned = isaac_lab_env.sensor_width(env, group, key)
    if key not in sizes:
        return (scanned[0], f"{scanned[1]}; its place is env.yaml's too") if scanned is not None else None
    size = sizes.pop(key)
    if scanned is not None and scanned[0] != size:
        raise ContractError(f"--size {key}={size}: {scanned[1]} makes {scanned[0]}; leave the option out")
    return size, f"--size {key}; its place and history are env.yaml's"


def _refuse_other_run(term: Record, beside: Record, history: int) -> None:
    """Refuse a term that env.yaml has with another history, scale or clip than the descriptor."""
    overloads = term.below("overloads") or Record(term.path, {}, term.key("overloads"))
    wrong: list[tuple[str, Any, Any]] = []
    if history_length(overloads) != history:
        wrong.append(("history_length", history, history_length(overloads)))
    for key in ("scale", "clip"):
        stated, described = (record.data.get(key) for record in (beside, overloads))
        if key in beside.data and not isinstance(stated, Foreign) and not _same_values(stated, described):
            wrong.append((key, stated, described))
    for key, stated, described in wrong:
        raise beside.error(
            key, f"makes {stated}, but {term.path.name} has {described} for it; the two files are of different runs"
        )


def _same_values(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    pair = [value if isinstance(value, list | tuple) else [value] for value in (one, other)]
    longest = max(map(len, pair))
    first, second = (value * longest if len(value) == 1 else value for value in pair)
    return len(first) == len(second) and all(
        a == b or (isinstance(a, int | float) and isinstance(b, int | float) and same_number(a, b))
        for a, b in zip(first, second, strict=True)
    )


def _ask_for_skipped(record: Record, skipped: list[str], run: Run, draft: Draft) -> None:
    options = run.options
    why = f"the exporter skipped {', '.join(skipped)}, since their functions lack its decorator; env.yaml has them"
    if run.worked_out:
        why = f"{record.path.name} has {', '.join(skipped)} without a size, which only their functions know"
    if options.policy is not None:
        width = network_widths(options.policy)[0]
        missing = width - draft.width
        why += f". The network reads {width} numbers and {draft.width} are described: {missing} are missing"
    draft.lacks("observation.skipped", why, " ".join(f"--size {key}=N" for key in skipped))


def _refuse_untaken(
    term: Record, beside: Record | None, named: tuple[str, str], widths: dict[str, int], run: Run
) -> None:
    """Refuse what the descriptor or env.yaml says of a term and a contract can't.

    Args:
        term: The descriptor's term.
        beside: The same term in env.yaml.
        named: Its name and its kind in a contract.
        widths: Numbers of a kind that are no joints' or axes'.
        run: What it is read beside.
    """
    name, kind = named
    advice = own_words(name)
    term.only(_KEYS, advice)
    size, width = _size(term), widths.get(kind, 3)
    if kind == "last_action" and size != width:
        raise term.error("shape", f"is {size}, but the action has {width} numbers: only a part is observed; {advice}")
    if kind not in JOINT_TERMS and size != width:
        raise term.error("shape", f"is {size}, but {kind} has {width} numbers; {advice}")
    if term.has("body_names"):
        raise term.error("body_names", f"picks bodies, which a contract's {kind} can't: it is the base's own; {advice}")
    if term.has("overloads"):
        term.section("overloads").only(BESIDE, advice)
        lags(term.section("overloads"), OBSERVED_LAGS, advice)
    if beside is None:
        return
    actions = run.env.below("actions") if run.env is not None else None
    acts = [key for key in actions.entries() if actions.has(key)] if actions is not None else []
    params = beside.below("params")
    command = [params.text("command_name")] if params is not None and params.has("command_name") else []
    check_term(beside, kind, name, commands=command, actions=acts, robot=run.robot)


def _aligned(
    terms: list[Record], written: list[tuple[str, str]] | None, record: Record, group: str, *, worked_out: bool
) -> list[tuple[str, Record | None]]:
    """Pair each term that env.yaml lists with its descriptor, or with None where there is none.

    The exporter writes the function's name only, what was worked out of env.yaml has the term's.
    """
    if written is None:
        return [(term.text("name"), term) for term in terms]
    if worked_out:
        named = {term.text("name"): term for term in terms}
        return [(key, named.get(key)) for key, _ in written]
    pairs: list[tuple[str, Record | None]] = []
    left = list(terms)
    for key, function in written:
        if left and left[0].text("full_path").replace(":", ".").rpartition(".")[2] == function:
            pairs.append((key, left.pop(0)))
        else:
            pairs.append((key, None))
    if left:
        raise ContractError(
            f"{record.path}: term '{left[0].text('name')}' of group '{group}' is not where env.yaml has it; the two "
            "files are of different runs"
        )
    return pairs


def _kind(term: Record, group: str, key: str, env: Record | None, draft: Draft) -> str | None:
    """Kind of a term: a contract's, "external" for what only the task knows, None for what the user must say."""
    module, _, function = term.text("full_path").replace(":", ".").rpartition(".")
    if env is not None and (kind := isaac_lab_env.motion_kind(env, group, key)):
        return kind
    if module not in isaac_lab_env.MODULES:
        return "external"
    if function not in _COMMANDS or term.numbers("shape") != [3]:
        return TERMS.get(function, "external")
    extras = term.below("extras")
    if extras is not None and "xy velocity and yaw velocity" in str(extras.data.get("description")):
        return "velocity_command"
    if env is not None:
        return "velocity_command" if isaac_lab_env.is_velocity_command(env, group, key) else "external"
    draft.lacks(
        "observation.terms.*.term",
        "a command of three numbers is a velocity or a point; env.yaml would tell",
        "give params/env.yaml, or --set observation.terms.N.term=velocity_command (N counts from 0)",
    )
    return None


def _size(term: Record) -> int:
    return math.prod(int(n) for n in term.numbers("shape"))


def _term(term: Record, key: str, kind: str | None, beside: Record | None, draft: Draft) -> int:
    """Add one term; return its history length."""
    size = _size(term)
    overloads = term.section("overloads") if term.has("overloads") else Record(term.path, {}, term.key("overloads"))
    extras = term.below("extras")
    for record in filter(None, (extras, overloads)):
        check_shape(record, own_words(key))
    history = history_length(overloads)
    data = _external(key, size, draft) if kind == "external" else _known(term, overloads, kind, beside, draft)
    data = delayed(data, key, draft, overloads, beside)
    draft.term(stacked(data, overloads), f"{term.path.name}: {term.where} ({term.text('full_path')})", name=key)
    draft.width += size * history
    return history


def _sized(name: str, sized: tuple[int, str], history: int, draft: Draft) -> int:
    size, source = sized
    data: dict[str, Any] = {"term": "external", "name": name, "size": size}
    draft.term(data | ({"history": history} if history > 1 else {}), source, name=name)
    draft.width += size * history
    return history


def _known(term: Record, overloads: Record, kind: str | None, beside: Record | None, draft: Draft) -> dict[str, Any]:
    data: dict[str, Any] = {"term": kind}
    if kind == "base_lin_vel":
        # root_lin_vel_b, in every version the velocity of the root body's centre of mass in the root link's frame.
        data["point"] = "com"
    size = _size(term)
    joints = _joints(term, size, beside, draft) if kind in JOINT_TERMS else []
    if kind == "motion_command":
        joints = command_keys(draft.joint_names)
    elif joints and joints != draft.joint_names:
        data["joints"] = joints
    named = joints or (_driven(draft) if kind == "last_action" else [])
    if overloads.has("scale"):
        # Without a kind it is a command of three numbers, which the user will name.
        scale = term_scale(overloads, "scale", kind or "velocity_command", named, size)
        if scale != 1.0:
            data["scale"] = scale
    if overloads.has("clip"):
        data["clip"] = joint_clip(overloads, "clip", named or (VELOCITY_COMMAND if kind == "velocity_command" else XYZ))
    _check_offsets(term, data, joints, draft)
    return data


def _driven(draft: Draft) -> list[str]:
    """The joints of the action, in its order."""
    terms = draft.data.get("action", {}).get("terms", [])
    return [name for term in terms for name in term.get("joints", draft.joint_names)]


def _joints(term: Record, size: int, beside: Record | None, draft: Draft) -> list[str]:
    """The joints that a term observes: the descriptor's list, held against what env.yaml selects."""
    params = beside.below("params") if beside is not None else None
    selected = selected_joints(params, draft.joint_names)
    joints = term.names("joint_names", size) if term.has("joint_names") else selected
    strange = next((name for name in joints if name not in draft.joint_names), None)
    if strange is not None:
        raise term.error("joint_names", f"names '{strange}', no joint of the articulation")
    if len(joints) != size:
        raise term.error("shape", f"is {size}, but nothing says which of {len(joints)} joints these are")
    if beside is not None and joints != selected:
        raise term.error(
            "joint_names", f"is {', '.join(joints)}, but {beside.path.name} selects {', '.join(selected)} for this term"
        )
    return joints


def _check_offsets(term: Record, data: dict[str, Any], joints: list[str], draft: Draft) -> None:
    if data["term"] == "joint_pos_rel" and term.has("joint_pos_offsets"):
        stated = draft.data["joints"]
        for name, value in zip(joints, term.numbers("joint_pos_offsets", len(joints), per="joint"), strict=True):
            if value != stated[name]["default"]:
                raise term.error(
                    "joint_pos_offsets",
                    f"subtracts {value:g} from '{name}', whose default is {stated[name]['default']:g}",
                )
    if term.has("joint_vel_offsets"):
        offsets = term.numbers("joint_vel_offsets", len(joints), per="joint")
        if any(offsets):
            if "clip" in data:
                raise term.error("joint_vel_offsets", "are not 0 and the term is clipped; a contract can't state both")
            scale = data.get("scale", 1.0)
            factors = [scale[name] if isinstance(scale, dict) else scale for name in joints]
            data["offset"] = by_joint(joints, [-f * v for f, v in zip(factors, offsets, strict=True)])


def _external(name: str, size: int, draft: Draft) -> dict[str, Any]:
    draft.note(f"'{name}' ({size} numbers) is known to its task only; it is an external term, as the network sees it")
    return {"term": "external", "name": name, "size": size}
