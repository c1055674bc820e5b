"""Metadata in a copy of a policy's ONNX file, under mjlab's keys, at full precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.descriptors.layouts import Layout, find_layout
from policy_port.descriptors.metadata_terms import CLIPS, FLATTEN, LENGTHS, METADATA_LAYOUTS, NAMES, SCALE
from policy_port.descriptors.onnx_file import OnnxMetadata
from policy_port.descriptors.outwards.given import Given, gains, numbers, only_position
from policy_port.descriptors.precise import DECIMALS
from policy_port.errors import ContractError

KIND = "onnx_metadata"
MAIN = ("policy.onnx",)
WHAT = "metadata of mjlab"
READS = frozenset({"policy"})

_LAYOUTS = tuple(name for name in METADATA_LAYOUTS if name.startswith("mjlab"))


def files(contract: Contract, given: Given) -> dict[str, Any]:
    """A copy of the network, whose metadata is the contract."""
    if given.policy is None:
        raise ContractError(
            "--to mjlab: its metadata stands in the policy's ONNX file; give that with --policy FILE.onnx"
        )
    import onnx

    data = OnnxMetadata(given.policy).path.read_bytes()
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, _entries(contract))
    return {MAIN[0]: model.SerializeToString()}


def options(contract: Contract, folder: Path) -> dict[str, Any]:
    """The task whose names these are."""
    return {"layout": _layout(contract)[0], "gains_order": "joint"}


def _entries(contract: Contract) -> dict[str, str]:
    action = only_position(contract, WHAT)
    driven = gains(contract, WHAT)
    names = _layout(contract)[1]
    terms = contract.observation.terms
    return {
        "joint_names": _joined(contract.joint_names),
        "joint_stiffness": _joined(driven["stiffness"]),
        "joint_damping": _joined(driven["damping"]),
        "default_joint_pos": _joined(joint.default for joint in contract.joints.values()),
        "action_scale": _joined(action.entry("scale", name) for name in contract.action_joints(action)),
        "command_names": "twist",
        NAMES: _joined(names),
        LENGTHS[1]: _joined(0 if term.history == 1 else term.history for term in terms),
        FLATTEN: _joined(1 for _ in terms),
        SCALE: _joined(";".join(map(_text, numbers(term, contract, "scale"))) for term in terms),
        CLIPS[0]: _joined(_bounds(contract, term) for term in terms),
    }


def _bounds(contract: Contract, term: Any) -> str:
    clips = {term.entry("clip", element) for element in term.elements(contract)}
    if len(clips) > 1:
        raise ContractError(
            f"contract '{contract.name}': observation term '{term.label}' is clipped element by element, and {WHAT} "
            "has one pair of bounds"
        )
    clip = clips.pop()
    return "-inf;inf" if clip is None else ";".join(map(_text, clip))


def _joined(values: Any) -> str:
    return ",".join(map(_text, values))


def _text(value: Any) -> str:
    """A number at full precision, and with more decimals than mjlab's own, by which readers tell that."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:.{DECIMALS + 1}f}"
    return short if float(short) == value else repr(value)


def _layout(contract: Contract) -> tuple[str, list[str]]:
    """The task all of whose terms these are, and its names for them."""
    missing: dict[str, str] = {}
    for name in _LAYOUTS:
        layout = find_layout(name, METADATA_LAYOUTS)
        found = [_name_in(layout, term) for term in contract.observation.terms]
        if None not in found and len(set(found)) == len(found):
            return name, [str(each) for each in found]
        missing[name] = contract.observation.terms[found.index(None)].label if None in found else "one of them twice"
    raise ContractError(
        f"contract '{contract.name}': no task of mjlab has all of its terms: "
        + "; ".join(f"{name} lacks '{term}'" for name, term in missing.items())
    )


def _name_in(layout: Layout, term: Any) -> str | None:
    def said(one: Any) -> dict[str, Any]:
        return one.model_dump(mode="json", exclude_defaults=True, exclude={"scale", "clip", "history", "name"})

    same = (
        name
        for name, data in layout.terms.items()
        if data["term"] == term.term and said(type(term).model_validate(data)) == said(term)
    )
    return next(same, None)
