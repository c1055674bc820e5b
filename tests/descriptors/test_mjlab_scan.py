"""A height scan of an mjlab run is stated with the grid of the sensor that env.yaml makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError
from tests.descriptors.mjlab_run import TERMS, WIDTH, Name, environment, made, said

SENSORS = "scene.sensors"
SENSOR: dict[str, Any] = {
    "name": "terrain_scan",
    "frame": {"type": "body", "name": "pelvis", "entity": "robot"},
    "pattern": {"size": (1.6, 1.0), "resolution": 0.1, "direction": (0.0, 0.0, -1.0)},
    "ray_alignment": "yaw",
    "max_distance": 5.0,
    "include_geom_groups": (0,),
}
SCAN = {
    "func": Name("mjlab.envs.mdp.observations.height_scan"),
    "params": {"sensor_name": "terrain_scan"},
    "scale": 0.2,
    "history_length": 0,
}


def run(path: Path, sensor: dict[str, Any], rays: int = 187, **scan: Any) -> Any:
    terms = environment()["observations"]["actor"]["terms"] | {"height_scan": SCAN | scan}
    metadata = {"observation_names": ",".join(terms)} | {
        key: ",".join([*[word] * 7, last])
        for key, word, last in (
            ("observation_terms_scale", "1.000", "0.200"),
            ("observation_terms_clip", "-inf;inf", "-inf;inf"),
            ("observation_terms_history_length", "0.000", "0.000"),
            ("observation_terms_flatten_history_dim", "1.000", "1.000"),
        )
    }
    return made(path, edits={TERMS: terms, SENSORS: (sensor,)}, metadata=metadata, width=WIDTH + rays)


def test_a_height_scan_is_its_sensors_grid(tmp_path: Path) -> None:
    """Rays begin at the link, go as far as the sensor's, and a miss shows that distance or what the term says."""
    scan = {"term": "height_scan", "link": "pelvis", "size": (1.6, 1.0), "resolution": 0.1, "start": 0.0}
    scan |= {"max_distance": 5.0, "height_offset": 0.0, "miss": 5.0, "scale": 0.2}
    assert said(run(tmp_path, SENSOR))[-1] == scan
    params = {"sensor_name": "terrain_scan", "offset": 0.3, "miss_value": 1.0}
    other = run(tmp_path / "b", SENSOR | {"ray_alignment": "base"}, params=params)
    assert said(other)[-1] == scan | {"frame": "link", "height_offset": 0.3, "miss": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        {"frame": ({"type": "body", "name": "foot", "entity": "robot"},)},
        {"pattern": {"width": 16, "height": 12}},
        {"pattern": {"size": (1.6, 1.0), "resolution": 0.3}},
        {"name": "another"},
    ],
)
def test_another_sensor_is_asked_for(tmp_path: Path, change: dict[str, Any]) -> None:
    """Several frames, a camera, an uneven grid or a sensor that is not there are never taken for the grid."""
    with pytest.raises(ContractError, match="give its size with --size height_scan=187"):
        run(tmp_path, SENSOR | change)
