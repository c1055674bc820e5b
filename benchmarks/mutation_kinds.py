"""The single mistakes of contracts: each takes a contract's data and spoils it in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Data = dict[str, Any]


class NotApplicableError(Exception):
    """The mistake can't be made with this contract."""


def terms_of(data: Data, *kinds: str) -> list[Data]:
    found = [term for term in data["observation"]["terms"] if term["term"] in kinds]
    if not found:
        raise NotApplicableError
    return found


def names_of(data: Data) -> list[str]:
    return list(data["joints"])


def unequal_pair(data: Data) -> tuple[str, str]:
    """Two joints whose exchange is a mistake of its own: the knee and what follows it, if there is such."""
    names = names_of(data)
    knee = next((i for i, name in enumerate(names) if "knee" in name or "thigh" in name or "HFE" in name), 1)
    return names[knee], names[knee + 1]


def history(**changes: str) -> Callable[[Data], None]:
    def mutate(data: Data) -> None:
        if "history" not in data["observation"]:
            raise NotApplicableError
        data["observation"]["history"] |= changes

    return mutate


def scales_left_out(data: Data) -> None:
    found = [term for term in data["observation"]["terms"] if term.pop("scale", None) is not None]
    if not found:
        raise NotApplicableError


def scale_left_out(kind: str) -> Callable[[Data], None]:
    def mutate(data: Data) -> None:
        if terms_of(data, kind)[0].pop("scale", None) is None:
            raise NotApplicableError

    return mutate


def scale_times(kind: str, factor: float) -> Callable[[Data], dict[str, str]]:
    def mutate(data: Data) -> dict[str, str]:
        term = terms_of(data, kind)[0]
        old = term.get("scale", 1.0)
        term["scale"] = [value * factor for value in old] if isinstance(old, list) else old * factor
        return {"a": f"{abs(factor):.2f}"}

    return mutate


def field_times(field: str, factor: float) -> Callable[[Data], dict[str, str]]:
    def mutate(data: Data) -> dict[str, str]:
        if any(not row.get(field) for row in data["joints"].values()):
            raise NotApplicableError
        for row in data["joints"].values():
            row[field] *= factor
        return {"a": f"{factor:.2f}"}

    return mutate


def one_field(field: str, factor: float) -> Callable[[Data], dict[str, str]]:
    def mutate(data: Data) -> dict[str, str]:
        name = unequal_pair(data)[0]
        if not data["joints"][name].get(field):
            raise NotApplicableError
        data["joints"][name][field] *= factor
        return {"a": name}

    return mutate


def zeroed(kind: str) -> Callable[[Data], None]:
    """A signal that the deployment does not have, fed as zeros."""

    def mutate(data: Data) -> None:
        driven = sum(len(each.get("joints") or data["joints"]) for each in data["action"]["terms"])
        sizes = {"last_action": driven, "gait_phase": 2}
        term = terms_of(data, kind)[0]
        size = sizes.get(kind, 3)
        kept = {key: term[key] for key in ("history",) if key in term}
        term.clear()
        term |= {"term": "constant", "name": kind, "value": [0.0] * size, **kept}

    return mutate


def kind_instead(kind: str, other: str) -> Callable[[Data], None]:
    def mutate(data: Data) -> None:
        term, driven = terms_of(data, kind)[0], data["action"]["terms"][0].get("joints")
        term["term"] = other
        if kind == "last_action" and driven:
            term["joints"] = list(driven)

    return mutate


def defaults_zero(data: Data) -> None:
    if not terms_of(data, "joint_pos_rel"):
        raise NotApplicableError
    for row in data["joints"].values():
        row["default"] = 0.0


def one_default(data: Data) -> dict[str, str]:
    terms_of(data, "joint_pos_rel")
    name = unequal_pair(data)[0]
    data["joints"][name]["default"] += 0.1
    return {"a": name}


def default_one_milliradian(data: Data) -> dict[str, str]:
    name = (terms_of(data, "joint_pos_rel")[0].get("joints") or names_of(data))[-1]
    data["joints"][name]["default"] += 0.001
    return {"a": name}


def default_flipped(data: Data) -> dict[str, str]:
    terms_of(data, "joint_pos_rel")
    name = next((name for name, row in data["joints"].items() if row["default"]), None)
    if name is None:
        raise NotApplicableError
    data["joints"][name]["default"] *= -1.0
    return {"a": name}


def table(value: Any, names: list[str]) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else dict.fromkeys(names, value)


def observed_sign(data: Data) -> dict[str, str]:
    """One hip's sign flipped where its position and velocity are read."""
    name = names_of(data)[0]
    for term in terms_of(data, "joint_pos_rel", "joint_pos", "joint_vel"):
        scale = table(term.get("scale", 1.0), term.get("joints") or names_of(data))
        scale[name] *= -1.0
        term["scale"] = scale
    return {"a": name}


def hip_sign(data: Data) -> dict[str, str]:
    """One hip's sign flipped everywhere, in what is read and in what is driven."""
    found = observed_sign(data)
    for term in data["action"]["terms"]:
        scale = table(term["scale"], term.get("joints") or names_of(data))
        scale[found["a"]] *= -1.0
        term["scale"] = scale
    return found


def action_scale(factor: float) -> Callable[[Data], dict[str, str]]:
    def mutate(data: Data) -> dict[str, str]:
        for term in data["action"]["terms"]:
            old = term["scale"]
            scaled = {name: value * factor for name, value in old.items()} if isinstance(old, dict) else old * factor
            term["scale"] = scaled
        return {"a": f"{factor:.2f}"}

    return mutate


def one_action_scale(factor: float) -> Callable[[Data], dict[str, str]]:
    def mutate(data: Data) -> dict[str, str]:
        name, term = unequal_pair(data)[1], data["action"]["terms"][0]
        scale = table(term["scale"], term.get("joints") or names_of(data))
        scale[name] *= factor
        data["action"]["terms"][0]["scale"] = scale
        return {"a": name, "b": f"{factor:.2f}"}

    return mutate


def action_scale_rounded(data: Data) -> dict[str, str]:
    """A scale that went through three decimals, as metadata of one trainer does: 0.7 % off."""
    return action_scale(0.075 / 0.0745)(data)


def action_offset_left_out(data: Data) -> None:
    term = data["action"]["terms"][0]
    if term.get("offset") != "default":
        raise NotApplicableError
    term["offset"] = 0.0


def delta_instead(data: Data) -> None:
    """Targets read as steps from the measured position."""
    term = data["action"]["terms"][0]
    if term["term"] == "joint_position":
        term.pop("offset")
        term |= {"term": "joint_position_delta", "reference": "joint_pos"}
    else:
        term["reference"] = "joint_pos" if term["reference"] == "joint_target" else "joint_target"


def absolute_instead(data: Data) -> None:
    term = data["action"]["terms"][0]
    if term["term"] != "joint_position_delta":
        raise NotApplicableError
    term.pop("reference")
    term |= {"term": "joint_position", "offset": "default"}


def raw_clip_one(data: Data) -> None:
    if data["action"].get("raw_clip") == [-1.0, 1.0]:
        data["action"].pop("raw_clip")
    else:
        data["action"]["raw_clip"] = [-1.0, 1.0]


def observation_clip(data: Data) -> None:
    data["observation"]["clip"] = [-1.0, 1.0]


def half_rate(data: Data) -> None:
    data["decimation"] *= 2


def double_rate(data: Data) -> None:
    if data["decimation"] % 2:
        data["timestep"] /= 2.0
    else:
        data["decimation"] //= 2


def command_axes(data: Data) -> None:
    """Units of the turn rate: degrees, where the network reads radians."""
    term = terms_of(data, "velocity_command")[0]
    scale = term.get("scale", 1.0)
    scale = list(scale) if isinstance(scale, list) else [scale] * 3
    scale[2] *= 180.0 / math.pi
    term["scale"] = scale


def gait_period(data: Data) -> None:
    terms_of(data, "gait_phase")[0]["period"] = 0.75


def gait_half_turn(data: Data) -> None:
    terms_of(data, "gait_phase")[0]["offsets"] = [0.5]


def actuation_kind(data: Data) -> None:
    kind = data["actuation"]["kind"]
    if kind == "model":
        raise NotApplicableError
    data["actuation"]["kind"] = "explicit" if kind == "implicit" else "implicit"


def both(*mutations: Callable[[Data], Any]) -> Callable[[Data], None]:
    def mutate(data: Data) -> None:
        for each in mutations:
            each(data)

    return mutate


def degrees(data: Data) -> None:
    """Positions taken for degrees, where the network reads radians."""
    for term in terms_of(data, "joint_pos_rel", "joint_pos"):
        term["scale"] = 57.29577951308232


def observed_offset(data: Data) -> dict[str, str]:
    name = names_of(data)[0]
    term = terms_of(data, "joint_pos_rel", "joint_pos")[0]
    term["offset"] = dict.fromkeys(term.get("joints") or names_of(data), 0.0) | {name: 0.02}
    return {"a": name}


def other_layout(data: Data) -> dict[str, str]:
    """A history laid out the other way: by time where the source has it by term, and the reverse."""
    if "history" not in data["observation"]:
        raise NotApplicableError
    history = data["observation"]["history"]
    was = history.get("layout", "term_major")
    history["layout"] = "time_major" if was == "term_major" else "term_major"
    return {"a": was.replace("_", "-")}


def free_of_frame(data: Data, kind: str) -> Data:
    """A base term of a contract that leaves its point and axes to the terms."""
    if data.get("base", {}).get("frame") is not None:
        raise NotApplicableError
    return terms_of(data, kind)[0]


def other_point(data: Data) -> dict[str, str]:
    """The link's origin where the source has the centre of mass, and the reverse."""
    term = free_of_frame(data, "base_lin_vel")
    if term.get("point") == "com":
        term.pop("point")
        return {"a": "the centre of mass"}
    term["point"] = "com"
    return {"a": "the link's origin"}


def point_beside(data: Data) -> dict[str, str]:
    """An offset that is somewhere else than what the source measures."""
    term = free_of_frame(data, "base_lin_vel")
    was = "the centre of mass" if term.get("point") == "com" else "the link's origin"
    term["point"] = [0.05, 0.0, 0.08]
    return {"a": was}


def frame_of_a_site(kind: str) -> Callable[[Data], None]:
    """The axes of a site that is mounted askew, where the source has the link's."""

    def mutate(data: Data) -> None:
        free_of_frame(data, kind)["frame"] = {"site": "askew"}

    return mutate
