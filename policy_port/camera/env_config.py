"""lerobot-sim2real's env_config.json: read as an env.yaml, and written back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from policy_port.contract.yaml_file import MAX_BYTES, YamlDocument, read_yaml
from policy_port.errors import CameraError, closest
from policy_port.plain_yaml import read_text

THEIRS = {
    "base_camera_settings": "camera",
    "greenscreen_overlay_path": "background",
    "spawn_box_pos": "spawn_box",
    "spawn_box_half_size": "spawn_box",
    "domain_randomization_config": "randomisation",
    "domain_randomization": "randomise",
}
"""Keys of env_config.json, and the key of env.yaml that says the same."""
SAID: dict[tuple[str, ...], tuple[str, ...]] = {
    ("spawn_box", "pos"): ("spawn_box_pos",),
    ("spawn_box", "half_size"): ("spawn_box_half_size",),
    **{(ours,): (theirs,) for theirs, ours in THEIRS.items() if ours != "spawn_box"},
    ("options",): (),
}
"""Where env_config.json has what env.yaml has, for messages."""
OPTIONS = ("robot_uids", "control_mode", "sensor_configs", "sim_config", "reward_mode", "enable_shadow", "shader_dir")
"""Other options of ManiSkill's environments that either file may give."""
ROLL = math.radians(0.2)
"""Turn about the line of sight that is none [rad]."""


def written(given: Any, before: dict[str, Any]) -> dict[str, Any]:
    """An environment file as env_config.json says it.

    Args:
        given: The file, an `EnvFile`.
        before: What was read, for its order and for what it says by null.

    Raises:
        CameraError: When that can't say it.
    """
    if abs(given.roll) > ROLL:
        raise CameraError(
            f"the camera is turned by {math.degrees(given.roll):.1f} degrees about its line of sight, which "
            "env_config.json can't say; write an env.yaml"
        )
    found: dict[str, Any] = {} if given.camera is None else {"base_camera_settings": given.settings()}
    found |= {} if given.background is None else {"greenscreen_overlay_path": given.background}
    if given.spawn_box is not None:
        found |= {"spawn_box_pos": list(given.spawn_box.pos), "spawn_box_half_size": given.spawn_box.half_size}
    found |= {} if given.randomisation is None else {"domain_randomization_config": given.randomisation}
    found |= {} if given.randomise is None else {"domain_randomization": given.randomise}
    found |= given.options
    return {key: found.get(key) for key, value in before.items() if key in found or value is None} | found


def read_document(path: Path) -> YamlDocument:
    """A YAML file, or a JSON file, whose numbers and tabs YAML reads otherwise."""
    text = read_text(path, CameraError, what="an environment file", max_bytes=MAX_BYTES)
    if not text.lstrip().startswith("{"):
        return read_yaml(path, CameraError)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for index, (key, _) in enumerate(pairs) if key in [name for name, _ in pairs[:index]]]
        if twice:
            raise CameraError(f"{path}: holds key '{twice[0]}' twice")
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as cause:
        raise CameraError(f"{path}:{cause.lineno}: is not JSON: {cause.msg}") from None
    root = yaml.compose(text.replace("\t", " "), yaml.SafeLoader)
    return YamlDocument(path=path, data=data, root=root)


def as_ours(path: Path, document: YamlDocument, env: str | None) -> dict[str, Any]:
    """env_config.json's data as env.yaml's."""
    if env is None:
        raise CameraError(f"{path}: an env_config.json does not name its environment: give --env SO100GraspCube-v1")
    theirs: dict[str, Any] = dict(document.data)
    ours: dict[str, Any] = {"env": env}
    valid = {*THEIRS, *OPTIONS}
    for key in theirs:
        if key not in valid:
            raise CameraError(
                f"{path}:{document.line((key,))}: unknown key '{key}'{closest(key, valid).rstrip('?')}; valid keys: "
                f"{', '.join(sorted(valid))}"
            )
    if ("spawn_box_pos" in theirs) != ("spawn_box_half_size" in theirs):
        raise CameraError(f"{path}: spawn_box_pos and spawn_box_half_size go together; give both or neither")
    if "spawn_box_pos" in theirs:
        ours["spawn_box"] = {"pos": theirs.pop("spawn_box_pos"), "half_size": theirs.pop("spawn_box_half_size")}
    for key in [key for key in theirs if key in THEIRS]:
        ours[THEIRS[key]] = theirs.pop(key)
    settings = ours.get("camera")
    if isinstance(settings, dict) and set(settings) & {"extrinsics", "intrinsics"}:
        raise CameraError(
            f"{path}:{document.line(('base_camera_settings',))}: extrinsics and intrinsics in files are a fork's; find "
            "the camera with `policy-port camera solve`, or give pos, target and fov"
        )
    if isinstance(settings, dict) and len(set(settings) & {"pos", "target", "fov"}) < 3:
        missing = [key for key in ("pos", "target", "fov") if key not in settings]
        raise CameraError(
            f"{path}:{document.line(('base_camera_settings',))}: base_camera_settings lacks {', '.join(missing)}; "
            "ManiSkill takes all of pos, target and fov"
        )
    return ours | ({"options": theirs} if theirs else {})
