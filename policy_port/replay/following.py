"""How well a robot followed a reference motion: joints and anchor of a trace against the clip's."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.motion.anchor import link_pose
from policy_port.motion.followed import Clip
from policy_port.motion.rotations import conjugate, multiply, rotate
from policy_port.replay.result import Metric, number
from policy_port.trace import Trace


def start_pose(clip: Clip, joint_names: tuple[str, ...], default: Array, frame: int = 0) -> Array:
    """A frame's joint positions, the default pose for joints that the clip lacks, plant joint order.

    Args:
        clip: The clip.
        joint_names: Joints of the plant.
        default: Their default positions [rad or m], shape (joints,).
        frame: Which one.
    """
    pose = default.copy()
    for index, name in enumerate(joint_names):
        if name in clip.motion.joint_names:
            pose[index] = clip.motion.joint_pos[frame, clip.motion.joint_names.index(name)]
    return pose


def following_metrics(
    trace: Trace, contract: Contract, clip: Clip, episodes: list[tuple[int, int]]
) -> tuple[Metric, ...]:
    """Errors over all recorded steps of the episodes, at the moment for which the policy was shown each frame.

    Args:
        trace: The recorded replay.
        contract: The contract that was flown.
        clip: The clip as it is followed.
        episodes: Environment, and number of the episode in it.
    """
    names = [name for name in contract.joint_names if name in clip.motion.joint_names]
    recorded = list(trace.header["joint_names"])
    columns = [recorded.index(name) for name in names]
    wanted = clip.motion.joints(names, "the trace").joint_pos
    compared = contract.base.floating and clip.use.anchor is not None
    places, turns = clip.anchor() if compared else (np.zeros((0, 3)), np.zeros((0, 4)))
    joint_errors, leans, heights = [], [], []
    for env, episode in episodes:
        rows = np.flatnonzero(trace["episode"][:, env] == episode)
        frames = clip.frames(np.arange(len(rows), dtype=np.float64) * contract.control_dt)
        joints = trace["joint_pos"][rows, env].astype(np.float64)
        joint_errors.append(joints[:, columns] - wanted[frames])
        if len(places):
            angles = {
                step.joint: joints[:, recorded.index(step.joint)] for step in clip.use.chain if step.joint is not None
            }
            base = trace["base_pos"][rows, env].astype(np.float64), trace["base_quat"][rows, env].astype(np.float64)
            place, turned = link_pose(clip.use.chain, *base, angles)
            yaw, shift = clip.aligned(place[:1], turned[:1])
            off = multiply(conjugate(turned), multiply(yaw, turns[frames]))
            leans.append(2.0 * np.arccos(np.clip(np.abs(off[:, 0]), 0.0, 1.0)))
            heights.append((rotate(yaw, places[frames]) + shift - place)[:, 2])
    error = np.concatenate(joint_errors)
    found = [
        number("reference_joint_rmse", float(np.sqrt(np.mean(error**2))), "rad or m, clip to position", 4),
        number("reference_joint_worst", float(np.abs(error).max()), "rad or m", 3),
    ]
    if leans:
        lean, height = np.concatenate(leans), np.concatenate(heights)
        found += [
            number("reference_anchor_mean_angle", float(lean.mean()), f"rad, of {clip.use.anchor}"),
            number("reference_anchor_worst_angle", float(lean.max()), "rad"),
            number("reference_anchor_height_rmse", float(np.sqrt(np.mean(height**2))), "m"),
        ]
    return tuple(found)
