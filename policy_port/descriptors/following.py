"""What a descriptor says of the reference motion that its policy follows, as a contract's terms and `motion`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_port.contract.motion_terms import VELOCITY
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.robot_parsers import chain_to

ANCHORED = {"motion_anchor_ori_b": 6, "motion_anchor_pos_b": 3}
"""Terms that compare an anchor's pose with the clip's, and how many numbers each has."""


def command_keys(joints: Sequence[str]) -> list[str]:
    """What tables of a motion_command's numbers name, one after the other."""
    return [*joints, *(f"{name}{VELOCITY}" for name in joints)]


def reads_motion(draft: Draft) -> set[str]:
    """The kinds of terms of a motion that a draft has; those that the user states whole are the user's."""
    terms = draft.data.get("observation", {}).get("terms", ())
    return {kind for term in terms if (kind := str(term.get("term"))).startswith("motion_")}


def put_command(draft: Draft, options: ImportOptions, command: Record) -> None:
    """State how the motion of a MotionCommand is followed: its configuration names the anchor and the links."""
    anchor = None
    if command.has("anchor_body_name"):
        anchor = (command.text("anchor_body_name"), command.source("anchor_body_name"))
    files: dict[str, Any] = {"quaternion_order": "wxyz", "joints": draft.joint_names}
    if command.has("body_names"):
        files["links"] = command.names("body_names")
    put_motion(draft, options, source=command.source("motion_file"), anchor=anchor, files=files)


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
    kinds = reads_motion(draft)
    # HybridRobotics' controller moves and turns the clip to the robot; those that read no position turn it alone.
    align = "yaw_and_position" if "motion_anchor_pos_b" in kinds else "yaw"
    done = "move and turn the clip to where the robot stands" if align != "yaw" else "turn the clip by the robot's yaw"
    draft.put("motion.align", align, f"{source}; runners of such policies {done} at reset")
    draft.put("motion.end", "hold", f"{source}; nothing is said of what follows the last frame")
    for key, value in files.items():
        draft.put(f"motion.files.{key}", value, f"{source}; how the project writes its clips")
    if not kinds & ANCHORED.keys():
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
