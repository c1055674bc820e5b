"""What a descriptor says of the reference motion that its policy follows, as a contract's terms and `motion`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_port.contract.motion_terms import VELOCITY
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.robot_parsers import chain_to

ALIGNED = "yaw"
"""Every runner that was read turns the clip about the vertical to where the robot looks, and moves nothing."""


def command_keys(joints: Sequence[str]) -> list[str]:
    """What tables of a motion_command's numbers name, one after the other."""
    return [*joints, *(f"{name}{VELOCITY}" for name in joints)]


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
