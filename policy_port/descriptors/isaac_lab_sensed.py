"""Isaac Lab's terms of poses and height scans, each as the terms of a contract that show the same numbers."""

from __future__ import annotations

import math
from typing import Any

from policy_port.descriptors import isaac_lab_env
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import BESIDE, check_shape, delayed, history_length, own_words

SENSED = {"base_pos_z": 1, "root_pos_w": 3, "root_quat_w": 4, "body_pose_w": 7, "body_projected_gravity_b": 3}
"""Numbers of each function, for each body."""

HEIGHT_OFFSET = 0.5
"""What `mdp.height_scan` takes off, unless told otherwise [m]."""

ALIGNED = {"yaw": "yaw", "world": "world", "base": "link"}
"""Isaac Lab's `ray_alignment` in a contract's words."""


def posed(term: Record, beside: Record | None, key: str, options: ImportOptions, draft: Draft) -> list[dict[str, Any]]:
    """The terms that a described one of poses is; none where it is another function.

    Args:
        term: The descriptor's term.
        beside: The same term in env.yaml.
        key: Its name.
        options: What the user adds.
        draft: The contract in the making.

    Raises:
        ContractError: When it has a parameter, a history or numbers that these terms can't have.
    """
    module, _, function = term.text("full_path").replace(":", ".").rpartition(".")
    if module not in isaac_lab_env.MODULES or function not in SENSED:
        return []
    advice = own_words(key)
    bodies = term.names("body_names") if term.has("body_names") else [None]
    size = math.prod(int(number) for number in term.numbers("shape"))
    if size != SENSED[function] * len(bodies):
        raise term.error("shape", f"is {size}, but {function} has {SENSED[function]} for each body; {advice}")
    params = beside.below("params") if beside is not None else None
    if params is not None:
        params.only({"asset_cfg", "make_quat_unique"}, advice)
    unique = params is not None and params.flag("make_quat_unique")
    parts = [part for body in bodies for part in _parts(function, body, unique)]
    overloads = term.below("overloads") or Record(term.path, {}, term.key("overloads"))
    overloads.only(BESIDE, advice)
    check_shape(overloads, advice)
    steps = history_length(overloads)
    if steps > 1 and len(parts) > 1:
        raise overloads.error(
            "history_length", f"stacks {len(parts)} terms of a contract together, which it can't state; {advice}"
        )
    turned = any(part["term"] == "base_quat" for part in parts)
    if turned and "quaternion_order" not in draft.data and options.quaternion_order is None:
        why = f"{key} holds a quaternion: wxyz in Isaac Lab 1 and 2, xyzw since 3.0"
        draft.lacks("quaternion_order", why, "--quaternion-order wxyz or xyzw")
    _scale(overloads, parts, size)
    for part in parts:
        part |= {"history": steps} if steps > 1 else {}
        part |= {"clip": overloads.bounds("clip")} if overloads.has("clip") else {}
    if function in ("base_pos_z", "root_pos_w", "body_pose_w"):
        draft.note(
            f"{term.path.name}: '{key}' is measured from the environment's origin, on flat ground from the ground"
        )
    return [delayed(part, key, draft, overloads, beside) for part in parts]


def named_bodies(term: Record) -> list[str]:
    """Bodies that a term's `asset_cfg` names one by one; none where it names none, or by a pattern."""
    asset = term.below("params", "asset_cfg")
    names = asset.data.get("body_names") if asset is not None else None
    listed = [names] if isinstance(names, str) else names
    plain = isinstance(listed, list | tuple) and all(isinstance(name, str) and name.isidentifier() for name in listed)
    return list(listed) if plain and listed else []


def _parts(function: str, body: str | None, unique: bool) -> list[dict[str, Any]]:
    link = {} if body is None else {"link": body}
    named = {} if body is None else {"name": body}
    quat = {"positive_w": True} if unique else {}
    match function:
        case "base_pos_z":
            return [{"term": "link_height"}]
        case "root_pos_w":
            return [{"term": "link_pos", "frame": "world"}]
        case "root_quat_w":
            return [{"term": "base_quat", **quat}]
        case "body_pose_w":
            pos = {"term": "link_pos", "name": f"{body}_pos", **link, "frame": "world"}
            return [pos, {"term": "base_quat", "name": f"{body}_quat", **link}]
        case _:
            return [{"term": "projected_gravity", **named, **link}]


def _scale(overloads: Record, parts: list[dict[str, Any]], size: int) -> None:
    """Deal the numbers of a scale out to the parts."""
    if not overloads.has("scale"):
        return
    values, first = overloads.spread("scale", size, per="element of the term"), 0
    for part in parts:
        mine = values[first : first + {"link_height": 1, "base_quat": 4}.get(part["term"], 3)]
        first += len(mine)
        same = all(value == mine[0] for value in mine)
        if not same and part["term"] == "base_quat":
            raise overloads.error("scale", f"differs between a quaternion's numbers, which has one scale: {mine}")
        if not same or mine[0] != 1.0:
            part["scale"] = mine[0] if same else mine


def add(parts: list[dict[str, Any]], term: Record, key: str, size: int, draft: Draft) -> bool:
    """Add the terms that one of Isaac Lab's, of so many numbers, is; return whether they are stacked."""
    for part in parts:
        source = f"{term.path.name}: {term.where} ({term.text('full_path')})"
        draft.term(part, source, name=key if len(parts) == 1 else None)
    draft.width += size * parts[0].get("history", 1)
    return "history" in parts[0]


def add_scan(env: Record, group: str, key: str, draft: Draft) -> bool:
    """Add the height scan that env.yaml describes; return whether it does."""
    scan, width = _height_scan(env, group, key, draft), isaac_lab_env.sensor_width(env, group, key)
    if scan is None or width is None:
        return False
    draft.term(scan, f"{width[1]}; its place is env.yaml's too", name=key)
    draft.width += width[0] * scan.get("history", 1)
    return True


def _height_scan(env: Record, group: str, key: str, draft: Draft) -> dict[str, Any] | None:
    """The height scan that env.yaml describes, with its sensor; None for another term or another kind of sensor.

    Raises:
        ContractError: When the term has a parameter that would change its numbers.
    """
    term = env.section("observations").section(group).section(key)
    params = term.below("params")
    module, _, function = term.text("func").replace(":", ".").rpartition(".")
    reads = params.below("sensor_cfg") if params is not None else None
    if module not in isaac_lab_env.MODULES or function != "height_scan" or params is None or reads is None:
        return None
    sensor = env.below("scene", reads.text("name")) if reads.has("name") else None
    pattern = sensor.below("pattern_cfg") if sensor is not None else None
    if sensor is None or pattern is None or not sensor.has("prim_path"):
        return None
    odd = _odd(sensor, pattern)
    if odd:
        draft.note(f"{env.path.name}: {odd}, which a contract's height_scan can't be; '{key}' is an external term")
        return None
    advice = own_words(key)
    params.only({"sensor_cfg", "offset"}, advice)
    term.only(BESIDE, advice)
    check_shape(term, advice)
    x, y, start = sensor.section("offset").numbers("pos", 3) if sensor.has("offset") else [0.0, 0.0, 0.0]
    data: dict[str, Any] = {"term": "height_scan"} | ({"name": key} if key != "height_scan" else {})
    data |= {
        "link": sensor.text("prim_path").rpartition("/")[2],
        "size": pattern.numbers("size", 2, per="side"),
        "resolution": pattern.number("resolution"),
        "ordering": pattern.choice("ordering", ("xy", "yx")) if pattern.has("ordering") else "xy",
        "centre": [x, y],
        "frame": _frame(sensor),
        "start": start,
        "height_offset": params.number("offset") if params.has("offset") else HEIGHT_OFFSET,
    }
    if sensor.has("max_distance"):
        data["max_distance"] = sensor.number("max_distance")
    if term.has("scale"):
        data["scale"] = term.number("scale")
    if term.has("clip"):
        data["clip"] = term.bounds("clip")
        # A ray that hits nothing ends infinitely far down there, which the clip makes its lower bound.
        data["miss"] = -1e6
    steps = isaac_lab_env.history(env, group, key)
    return delayed(data | ({"history": steps} if steps > 1 else {}), key, draft, term)


def _frame(sensor: Record) -> str:
    """What the grid turns with; `attach_yaw_only` of before 2.2 goes before the alignment where it is set."""
    if sensor.has("attach_yaw_only"):
        return "yaw" if sensor.flag("attach_yaw_only") else "link"
    return ALIGNED[sensor.choice("ray_alignment", tuple(ALIGNED))] if sensor.has("ray_alignment") else "link"


def _odd(sensor: Record, pattern: Record) -> str:
    """What of the sensor is no grid of vertical rays, in words; nothing where it is one."""
    if not pattern.has("func") or not pattern.text("func").endswith("grid_pattern"):
        return f"{pattern.where} is no grid"
    if pattern.has("direction") and pattern.numbers("direction", 3) != [0.0, 0.0, -1.0]:
        return f"{pattern.key('direction')} is not straight down"
    offset = sensor.below("offset")
    turned = offset.numbers("rot", 4) if offset is not None and offset.has("rot") else [1.0, 0.0, 0.0, 0.0]
    if turned not in ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]):
        return f"{sensor.key('offset.rot')} turns the sensor"
    if offset is not None and offset.has("pos") and offset.numbers("pos", 3)[2] < 0.0:
        return f"{sensor.key('offset.pos')} begins below the link"
    return ""
