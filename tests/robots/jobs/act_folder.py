"""A small ACT policy of an SO100 in LeRobot's numbers, as LeRobot itself saves it; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

MOTORS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
STATE, IMAGE = "observation.state", "observation.images.front"
START = (0.0, -80.0, 85.0, 38.0, 0.0, 10.0)
"""Pose in which demonstrations began: degrees, gripper in percent; near the rest pose."""
HEIGHT, WIDTH = 64, 96
RATE = 15
CHUNK, PERFORMED = 10, 7


def write_act(folder: Path) -> Path:
    """Save a policy with random weights that stays within a few degrees of where it starts."""
    import torch
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.act.processor_act import make_act_pre_post_processors

    torch.manual_seed(0)
    mode = NormalizationMode.MEAN_STD
    config = ACTConfig(
        input_features={
            STATE: PolicyFeature(type=FeatureType.STATE, shape=(6,)),
            IMAGE: PolicyFeature(type=FeatureType.VISUAL, shape=(3, HEIGHT, WIDTH)),
        },
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(6,))},
        normalization_mapping={"STATE": mode, "ACTION": mode, "VISUAL": mode},
        pretrained_backbone_weights=None,
        device="cpu",
        chunk_size=CHUNK,
        n_action_steps=PERFORMED,
        dim_model=32,
        n_heads=4,
        dim_feedforward=48,
        n_encoder_layers=2,
        latent_dim=8,
    )
    start = torch.tensor(START)
    stats: dict[str, Any] = {
        STATE: {"mean": start, "std": torch.full((6,), 2.0), "min": start - 20.0, "max": start + 20.0},
        "action": {"mean": start, "std": torch.full((6,), 2.0), "min": start - 21.0, "max": start + 19.0},
        IMAGE: {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.2)},
    }
    stats[STATE]["min"][5] = stats["action"]["min"][5] = 0.0
    ACTPolicy(config).save_pretrained(folder)
    for processor in make_act_pre_post_processors(config, dataset_stats=stats):
        processor.save_pretrained(folder)
    return folder


def contract_document(**changes: Any) -> dict[str, Any]:
    """The contract of that policy as plain data."""
    joints = {
        f"{motor}.pos": {
            "default": start,
            "unit": "percent" if motor == "gripper" else "deg",
            "lower": 0.0 if motor == "gripper" else start - 8.0,
            "upper": start + 8.0,
        }
        for motor, start in zip(MOTORS, START, strict=True)
    }
    image = {"name": "front", "height": HEIGHT, "width": WIDTH, "channels": 3}
    document: dict[str, Any] = {
        "contract_version": 1,
        "name": "act",
        "robot": "so100",
        "trained_in": "LeRobot, act",
        "quaternion_order": "none",
        "timestep": 1 / RATE,
        "decimation": 1,
        "base": {"floating": False},
        "actuation": {"kind": "explicit"},
        "joints": joints,
        "observation": {"terms": [{"term": "joint_pos"}]},
        "action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
        "images": [image | {"layout": "nchw", "dtype": "float32", "scale": 1.0}],
    }
    return document | changes


def select_actions(folder: Path, states: np.ndarray, frames: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """What LeRobot performs: pre-processor, select_action, post-processor, and reset where an episode starts.

    Args:
        folder: The policy.
        states: Degrees and percent, shape (steps, 6).
        frames: RGB bytes, shape (steps, height, width, 3).
        starts: True where an episode starts, shape (steps,).

    Returns:
        Actions in degrees and percent, shape (steps, 6).
    """
    import torch
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    policy = ACTPolicy.from_pretrained(folder).eval()
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(folder))
    actions = []
    for state, frame, starting in zip(states, frames, starts, strict=True):
        if starting:
            policy.reset()
        picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        batch = {STATE: torch.from_numpy(state.astype(np.float32))[None], IMAGE: picture}
        actions.append(after(policy.select_action(before(batch)))[0].numpy())
    return np.stack(actions)
