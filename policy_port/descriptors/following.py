"""What a descriptor says of the reference motion that its policy follows, as a contract's terms and `motion`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.robot_parsers import chain_to

ALIGNED = "yaw"
"""Every runner that was read turns the clip about the vertical to where the robot looks, and moves nothing."""


STACKED = "positions and velocities of a step together, which a contract can't state"
"""Why a motion_command has no history here."""


def command_terms(scale: list[float] | float | None = None, size: int = 0) -> list[dict[str, Any]]:
    """The terms of a motion_command: the clip's joint positions, then its joint velocities.

    Args:
        scale: One factor for all, or one per number of both halves.
        size: Number of joints, where there is one per number.
    """
    terms: list[dict[str, Any]] = [{"term": "motion_joint_pos"}, {"term": "motion_joint_vel"}]
    halves = [scale[:size], scale[size:]] if isinstance(scale, list) else [[scale or 1.0]] * 2
    for term, half in zip(terms, halves, strict=True):
        if set(half) != {1.0}:
            term["scale"] = half[0] if len(set(half)) == 1 else half
    return terms


def put_motion(
    draft: Draft, options: ImportOptions, *, source: str, anchor: tuple[str, str] | None, files: dict[str, Any]
) -> None:
    """State how the motion is followed, as far as anybody says it.

    Args:
        draft: The contract in the making.
        options: What the user added; a robot file among it tells the way to the anchor.
        source: Where the descriptor speaks of the motion.
        anchor: The anchor link, and where that is said; None where nothing does.
        files: What the project's clip files don't say by themselves.
    """
    draft.put("motion.align", ALIGNED, f"{source}; runners of such policies turn the clip by the robot's yaw at reset")
    draft.put("motion.end", "hold", f"{source}; nothing is said of what follows the last frame")
    for key, value in files.items():
        draft.put(f"motion.files.{key}", value, f"{source}; how the project writes its clips")
    if not any(str(term["term"]).startswith("motion_anchor") for term in draft.data["observation"]["terms"]):
        return
    told = options.settings.get("motion.anchor")
    link = str(told) if told is not None else None
    if anchor is not None:
        draft.put("motion.anchor", anchor[0], anchor[1])
        link = link or anchor[0]
    else:
        draft.lacks(
            "motion.anchor",
            f"{source} compares a link's pose with the clip's and does not name the link",
            "--set motion.anchor=LINK",
        )
    robot = Path(options.robot or "")
    if link is not None and robot.is_file():
        draft.put("motion.chain", chain_to(robot, link), f"{robot.name}: from its base to {link}")
    elif link is not None and "motion.chain" not in options.settings:
        draft.lacks(
            "motion.chain",
            f"the joints between base and '{link}' stand in a robot file alone",
            "--robot FILE, the URDF or MJCF that the policy was trained on (or --set motion.chain=[] where the anchor "
            "is the base)",
        )
