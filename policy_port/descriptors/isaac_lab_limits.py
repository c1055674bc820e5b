"""Isaac Lab's actions that reach to the joint limits, with a moving average or without, as a contract's own.

`JointPositionToLimitsAction` scales, clips to [-1, 1], and stretches that over the soft limits of each joint;
`EMAJointPositionToLimitsAction` goes on from the target before: alpha * new + (1 - alpha) * previous, from the measured
position at reset on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, uniform
from policy_port.descriptors.isaac_lab_actuators import by_pattern
from policy_port.descriptors.record import Record

PLAIN, AVERAGED = "JointPositionToLimitsAction", "EMAJointPositionToLimitsAction"

_SHAPE = (
    "state the action yourself: --set action.terms='[{term: joint_position, scale: ..., offset: ...}]', with half the "
    "range between a joint's soft limits as scale and its middle as offset"
)


def to_limits(term: Record, joints: list[str], robot: Record, draft: Draft) -> dict[str, Any]:
    """The action term; puts the filter of its moving average.

    Args:
        term: Its configuration in env.yaml.
        joints: The joints that it drives, in its order.
        robot: The articulation in env.yaml, which says how far the soft limits reach.
        draft: What is added to; it has the joints' limits.

    Raises:
        ContractError: When limits are not known, the average differs between joints, or it is of raw positions.
    """
    averaged = term.text("class_type").endswith(AVERAGED)
    scale = dict.fromkeys(joints, 1.0) | (by_pattern(term, "scale", joints) if term.has("scale") else {})
    made: dict[str, Any] = {"term": "joint_position"}
    if term.has("rescale_to_limits") and not term.flag("rescale_to_limits"):
        if averaged:
            raise term.error("rescale_to_limits", f"is false, and a clip comes after the moving average; {_SHAPE}")
        if term.has("clip"):
            made["clip"] = _bounds(term, joints, dict.fromkeys(joints, (1.0, 0.0)), (-1e9, 1e9))
        return made | {"scale": by_joint(joints, [scale[name] for name in joints]), "offset": 0.0}
    reach = _reach(term, joints, robot, draft)
    if averaged:
        draft.put("action.filter", _average(term, joints), term.source("alpha", "from the measured position on"))
    return made | {
        "scale": by_joint(joints, [scale[name] * reach[name][0] for name in joints]),
        "offset": by_joint(joints, [reach[name][1] for name in joints]),
        "clip": _bounds(term, joints, reach, (-1.0, 1.0)),
    }


def _reach(term: Record, joints: list[str], robot: Record, draft: Draft) -> dict[str, tuple[float, float]]:
    """Half the range and the middle of each joint's soft limits."""
    known: Mapping[str, Any] = draft.data["joints"]
    lacking = [name for name in joints if None in (known[name].get("lower"), known[name].get("upper"))]
    if lacking:
        own = ", and --set action.filter='{kind: first_order, of: target, alpha: ALPHA}'" if term.has("alpha") else ""
        raise term.error(
            "class_type",
            f"stretches actions over joint limits, and no file has those of {', '.join(lacking[:3])}"
            f"{', ...' if len(lacking) > 3 else ''}; {_SHAPE}{own}",
        )
    factor = robot.number("soft_joint_pos_limit_factor") if robot.has("soft_joint_pos_limit_factor") else 1.0
    return {
        name: (
            0.5 * factor * (known[name]["upper"] - known[name]["lower"]),
            0.5 * (known[name]["upper"] + known[name]["lower"]),
        )
        for name in joints
    }


def _bounds(
    term: Record, joints: list[str], reach: Mapping[str, tuple[float, float]], within: tuple[float, float]
) -> Any:
    """Bounds of the target: what the configuration clips the scaled action to, and [-1, 1] of the limits."""
    clip = term.section("clip") if term.has("clip") else None
    found = {}
    for side in (0, 1):
        pairs = {} if clip is None else {key: clip.bounds(key)[side] for key in clip.entries()}
        own = by_pattern(Record(term.path, {"clip": pairs}, term.where), "clip", joints) if pairs else {}
        found[side] = {name: min(max(own.get(name, within[side]), within[0]), within[1]) for name in joints}
    return by_joint(joints, [[reach[n][1] + reach[n][0] * found[side][n] for side in (0, 1)] for n in joints])


def _average(term: Record, joints: list[str]) -> dict[str, Any]:
    stated = by_pattern(term, "alpha", joints)
    alpha = uniform([stated.get(name, 1.0) for name in joints])
    if alpha is None:
        raise term.error("alpha", "differs between joints, and a contract's filter has one alpha for all of them")
    if not 0.0 < alpha <= 1.0:
        raise term.error("alpha", f"is {alpha:g}, expected a weight of the new action above 0, and 1 at most")
    return {"kind": "first_order", "of": "target", "alpha": alpha}
