"""mjlab's height scan, as env.yaml describes the sensor that casts its rays."""

from __future__ import annotations

from typing import Any

from policy_port.descriptors.record import Record

ALIGNED = {"yaw": "yaw", "world": "world", "base": "link"}
"""mjlab's `ray_alignment` in a contract's words."""

KEYS = frozenset({"sensor_name", "offset", "miss_value"})
"""Parameters of `mdp.height_scan`."""

MAX_DISTANCE = 10.0
"""How far mjlab's rays go unless told otherwise [m]."""


def height_scan(params: Record, env: Record) -> dict[str, Any] | None:
    """The term that a height scan of mjlab is; None where its sensor is no one grid of vertical rays under a link.

    Args:
        params: The term's parameters.
        env: env.yaml.
    """
    name, sensors = params.text("sensor_name"), env.section("scene").data.get("sensors") or ()
    made = next((one for one in sensors if isinstance(one, dict) and one.get("name") == name), None)
    if made is None:
        return None
    sensor = Record(env.path, made, f"scene.sensors[{name}]")
    frame, pattern = (made.get(key) for key in ("frame", "pattern"))
    # Several frames, a camera's rays and rings have no words in a contract.
    if not isinstance(frame, dict) or not isinstance(pattern, dict) or not {"size", "resolution"} <= pattern.keys():
        return None
    if frame.get("type") not in ("body", "site") or not frame.get("name"):
        return None
    grid = sensor.section("pattern")
    size, step = grid.numbers("size", 2, per="side"), grid.number("resolution")
    down = not grid.has("direction") or grid.numbers("direction", 3) == [0.0, 0.0, -1.0]
    even = all(abs(side / step - round(side / step)) < 1e-6 for side in size) if step > 0.0 else False
    if not down or not even:
        return None
    reach = sensor.number("max_distance") if sensor.has("max_distance") else MAX_DISTANCE
    aligned = sensor.choice("ray_alignment", tuple(ALIGNED)) if sensor.has("ray_alignment") else "base"
    return {
        "term": "height_scan",
        "link": str(frame["name"]),
        "size": size,
        "resolution": step,
        "frame": ALIGNED[aligned],
        "start": 0.0,
        "max_distance": reach,
        "height_offset": params.number("offset") if params.has("offset") else 0.0,
        "miss": params.number("miss_value") if params.has("miss_value") else reach,
    }


def rays(scan: dict[str, Any]) -> int:
    """Number of rays of such a term."""
    along, across = (round(side / scan["resolution"]) + 1 for side in scan["size"])
    return along * across
