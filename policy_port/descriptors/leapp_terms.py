"""Joints, defaults, observation terms and action terms of a model of LEAPP that was taken apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_port.checkpoints.onnx.blocks import CONSTANT, LAST_ACTION, TASK, Block, Number
from policy_port.checkpoints.onnx.meanings import GOAL, JOINTS
from policy_port.checkpoints.onnx.parts import Apart, Target
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, joint_offset, uniform
from policy_port.descriptors.options import ImportOptions
from policy_port.errors import ContractError

_POSITION = "target/joint/position"


def joint_names(parts: Apart, path: Path) -> list[str]:
    """Names of all joints, in the order of the observed positions, or else of the action.

    Raises:
        ContractError: When an output that is a joint target does not name its joints.
    """
    for target in parts.targets:
        if target.number is not None and (target.output.kind != _POSITION or target.output.names is None):
            what = "does not name its joints" if target.output.kind == _POSITION else f"is a {target.output.kind}"
            raise ContractError(
                f"{path}: {target.output.place} ({target.output.name}) {what}; a contract's action is joint position "
                "targets by joint name, so this policy can't be described"
            )
    observed = [item.names or () for item in parts.model.inputs if _term(parts, item.name) in JOINTS]
    acted = tuple(_joint(target) for target in parts.targets if target.number is not None)
    return list(dict.fromkeys(itertools.chain(max(observed, key=len, default=()), acted, *observed)))


def add_defaults(parts: Apart, draft: Draft) -> None:
    """The default pose: what is subtracted from the observed positions, or else the targets at raw action zero."""
    observed: dict[str, float] = {}
    for block in (block for block in parts.blocks if block.term == "joint_pos"):
        if all(number.shift is not None for number in block.numbers):
            zeros = [number.zero for number in block.numbers]
            observed = dict(zip(_joints(parts, block), zeros, strict=True)) | observed
    acted = {
        _joint(target): target.number.offset
        for target in parts.targets
        if target.number is not None and target.number.shift is not None and target.on_position is None
    }
    file = parts.model.file.name
    if observed:
        draft.per_joint("default", observed, f"{file}: what it subtracts from the joint positions")
    if rest := {name: value for name, value in acted.items() if name not in observed}:
        draft.per_joint("default", rest, f"{file}: the targets at raw action zero")
    unknown = [name for name in draft.joint_names if name not in observed | acted]
    if unknown:
        for name in unknown:
            draft.data["joints"][name]["default"] = None
        draft.lacks(
            "joints.*.default",
            "the model subtracts no default pose and adds none",
            "--set joints.*.default=NUMBER, or one by one --set joints.JOINT.default=NUMBER",
        )
    elif differ := [name for name in acted.keys() & observed.keys() if acted[name] != observed[name]]:
        draft.note(f"{file}: for {', '.join(sorted(differ))} it acts around another position than it observes around")


def add_action(parts: Apart, options: ImportOptions, draft: Draft) -> None:
    """The action's terms, one for each output that the raw action goes to."""
    if "action.terms" in options.settings:
        return
    if any(target.number is None for target in parts.targets):
        name = parts.targets[0].output.name
        why = f"the output {name} has no kind, so nothing says what its {len(parts.targets)} numbers do"
        draft.lacks("action.terms", why)
        return
    if parts.raw_clip is not None:
        low, high = (_short(bound) for bound in parts.raw_clip)
        draft.put("action.raw_clip", [low, high], f"{parts.model.file.name}: clips the network's output")
    default = {name: joint.get("default") for name, joint in draft.data["joints"].items()}
    groups = itertools.groupby(parts.targets, key=lambda target: target.output.name)
    for name, group in groups:
        targets = list(group)
        source = f"{targets[0].output.place} ({name}), from {parts.model.file.name}"
        draft.action(_action(targets, default, parts), source)


def _action(targets: Sequence[Target], default: dict[str, float], parts: Apart) -> dict[str, Any]:
    joints = [_joint(target) for target in targets]
    numbers = [target.number for target in targets if target.number is not None]
    deltas = {target.on_position is not None for target in targets}
    term: dict[str, Any] = {"term": "joint_position_delta" if deltas == {True} else "joint_position"}
    if len(deltas) > 1:
        raise ContractError(
            f"{parts.model.file}: the output {targets[0].output.name} is added to the measured positions of some "
            "joints only, which a contract can't state"
        )
    if joints != list(default):
        term["joints"] = joints
    term["scale"] = by_joint(joints, [number.scale for number in numbers])
    offsets = [number.offset for number in numbers]
    if deltas == {True}:
        _check_reference(targets, parts)
        term |= {"reference": "joint_pos", "offset": by_joint(joints, offsets)}
    else:
        term["offset"] = joint_offset(default, joints, offsets)
    ends = [number.ends for number in numbers]
    if any(ends):
        if None in ends:
            raise ContractError(f"{parts.model.file}: clips some targets of {targets[0].output.name} only")
        term["clip"] = by_joint(joints, [list(end) for end in ends if end is not None])
    return term


def _check_reference(targets: Sequence[Target], parts: Apart) -> None:
    positions = next(item for item in parts.model.inputs if _term(parts, item.name) == "joint_pos")
    for target in targets:
        of = (positions.names or ())[target.on_position or 0]
        if of != _joint(target):
            raise ContractError(
                f"{parts.model.file}: adds the target of '{_joint(target)}' to the position of '{of}'; the two "
                f"element_names of {positions.name} and {target.output.name} contradict the graph"
            )


def add_observation(parts: Apart, options: ImportOptions, draft: Draft) -> None:
    """The observation's terms."""
    if images := [item.name for item in parts.model.inputs if len(item.shape) == 4]:
        draft.lacks("images", f"the network reads {', '.join(images)}, and the file says nothing of a camera")
    if "observation.terms" in options.settings:
        return
    default = {name: joint.get("default") for name, joint in draft.data["joints"].items()}
    names: list[str] = []
    for block in parts.blocks:
        name = _unique(block.source.replace(",", "_and_").replace("/", "_") or CONSTANT, names)
        names.append(name)
        if draft.told_whole(name, options):
            continue
        term = _observed(parts, block, name, default, draft)
        if block.history > 1:
            term["history"] = block.history
        places = [item.place for item in parts.model.inputs if item.name in block.source.split(",")]
        where = f"{', '.join(places) or 'fed back'}; numbers of {parts.model.file.name}"
        draft.term(term, f"{Path(draft.origin).name}: {where}", name=name)
    if parts.layout is not None:
        draft.put("observation.history", parts.layout, f"{parts.model.file.name}: its history buffers")


def _observed(parts: Apart, block: Block, name: str, default: dict[str, float], draft: Draft) -> dict[str, Any]:
    if block.term in JOINTS:
        return _joint_term(block, _joints(parts, block), default)
    numbers = block.numbers
    if block.term == CONSTANT:
        return {"term": "constant", "value": [_short(number.shift or 0.0) for number in numbers]}
    if block.term == TASK:
        draft.note(
            f"'{name}' ({len(numbers)} numbers) is known to its task only; it is an external term, as the network "
            f"reads it. If you know what it is, say --set observation.terms.{name}='{{term: KIND}}'"
        )
        return {"term": "external", "name": name, "size": len(numbers)}
    if block.term == GOAL:
        item = parts.model.tensor(block.source)
        told = f": {', '.join(item.names)}" if item.names else ""
        term: dict[str, Any] = {"term": "goal", "name": name, "size": len(numbers)}
        term["frame"] = f"{item.kind or item.connection}{told}, in SI units"
    else:
        term = {"term": block.term} | _place(parts, block, draft)
    scales, offsets = [number.scale for number in numbers], [number.offset for number in numbers]
    if set(scales) != {1.0}:
        same = uniform(scales)
        term["scale"] = scales if same is None else same
    if any(offsets):
        same = uniform(offsets)
        term["offset"] = offsets if same is None else same
    if numbers[0].bounds is not None:
        term["clip"] = list(numbers[0].bounds)
    return term


def _place(parts: Apart, block: Block, draft: Draft) -> dict[str, Any]:
    """The point of a velocity, and a word where the file does not say whose vector it is."""
    if block.source == LAST_ACTION or block.term == LAST_ACTION:
        return {}
    known = parts.meanings[block.source]
    if not known.stated:
        point = "; which point's velocity that is, it does not say" if block.term == "base_lin_vel" else ""
        draft.note(
            f"'{block.source}' has no isaaclab_connection; by its kind or name it is taken for {block.term} of the "
            f"base, in the base's frame{point}"
        )
    return {"point": known.point} if block.term == "base_lin_vel" and known.point is not None else {}


def _joint_term(block: Block, joints: list[str], default: dict[str, float]) -> dict[str, Any]:
    numbers = block.numbers
    relative = block.term == "joint_pos" and all(
        number.shift is not None and number.zero == default[joint]
        for number, joint in zip(numbers, joints, strict=True)
    )
    term: dict[str, Any] = {"term": "joint_pos_rel" if relative else block.term}
    if joints != list(default):
        term["joints"] = joints
    scales = [number.scale for number in numbers]
    if set(scales) != {1.0}:
        term["scale"] = by_joint(joints, scales)
    offsets = [_after_clip(number) if relative else number.offset for number in numbers]
    if any(offsets):
        term["offset"] = by_joint(joints, offsets)
    bounds = [number.bounds_from_zero if relative else number.bounds for number in numbers]
    if any(bound is not None for bound in bounds):
        wide = [list(bound or (-1e9, 1e9)) for bound in bounds]
        term["clip"] = by_joint(joints, wide)
    return term


def _after_clip(number: Number) -> float:
    return _short(number.clip.shift) if number.clip is not None else 0.0


def _joints(parts: Apart, block: Block) -> list[str]:
    names = parts.model.tensor(block.source).names or ()
    return [names[number.index] for number in block.numbers]


def _joint(target: Target) -> str:
    return (target.output.names or ())[target.element]


def _term(parts: Apart, name: str) -> str | None:
    return parts.meanings[name].term if name in parts.meanings else None


def _unique(name: str, taken: Sequence[str]) -> str:
    count = next(n for n in itertools.count(1) if (name if n == 1 else f"{name}_{n}") not in taken)
    return name if count == 1 else f"{name}_{count}"


def _short(value: float) -> float:
    return float(f"{value:.7g}")
