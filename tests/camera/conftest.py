"""A small arm of boxes and cylinders, a camera, and what it sees, drawn by MuJoCo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from policy_port.camera.links import Arm, Links
from policy_port.camera.render import Twin
from policy_port.camera.silhouette import Shot
from policy_port.camera.solve import Effort, Problem
from policy_port.camera.view import View

SHAPE = 'contype="0" conaffinity="0"'
ARM = f"""<mujoco><worldbody><body name="base"><geom type="box" size=".05 .08 .02" pos=".02 0 .02" {SHAPE}/>
<body name="turret" pos="0 0 .05"><joint name="pan" axis="0 0 1" range="-120 120"/>
<geom type="cylinder" size=".03 .02" {SHAPE}/><geom type="box" size=".02 .015 .01" pos="0 .04 0" {SHAPE}/>
<body name="upper" pos="0 0 .02"><joint name="lift" axis="0 1 0" range="-100 100"/>
<geom type="box" size=".016 .02 .07" pos="0 0 .07" {SHAPE}/>
<body name="lower" pos="0 0 .14"><joint name="bend" axis="0 1 0" range="-120 120"/>
<geom type="box" size=".06 .012 .014" pos=".06 0 0" {SHAPE}/>
<body name="hand" pos=".12 0 0"><joint name="wrist" axis="0 1 0" range="-120 120"/>
<geom type="box" size=".03 .035 .006" pos=".03 .01 0" {SHAPE}/>
</body></body></body></body></body></worldbody></mujoco>"""
JOINTS = ("pan", "lift", "bend", "wrist")
TRUE = View.looking_at([0.45, -0.35, 0.32], [0.05, 0.0, 0.12], roll=0.08, fov=0.75, size=(120, 160))
EFFORT = Effort(points=6000, coarse_points=1500, rows=48, area=3000.0, evaluations=200)
"""Little."""


@pytest.fixture(scope="session")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Arm:
    file: Path = tmp_path_factory.mktemp("arm") / "arm.xml"
    file.write_text(ARM)
    return Arm.load(file)


@pytest.fixture(scope="session")
def links(arm: Arm) -> Links:
    return Links(arm, EFFORT.points)


def poses(count: int = 8) -> list[dict[str, float]]:
    """Joint positions [rad] that differ."""
    random = np.random.default_rng(3)
    return [dict(zip(JOINTS, random.uniform(-0.9, 0.9, 4).tolist(), strict=True)) for _ in range(count)]


def photographed(twin: Twin, zeros: Mapping[str, float] | None = None) -> tuple[Shot, ...]:
    """Pictures of the arm, whose joints stand further than they say by `zeros` [rad]."""
    shots = []
    for number, told in enumerate(poses()):
        stands = {name: value + (zeros or {}).get(name, 0.0) for name, value in told.items()}
        shots.append(Shot(name=f"{number}.png", joint_pos=told, mask=twin.render(TRUE, stands).mask))
    return tuple(shots)


@pytest.fixture(scope="session")
def shots(twin: Twin) -> tuple[Shot, ...]:
    return photographed(twin)


@pytest.fixture(scope="session")
def twin(arm: Arm) -> Twin:
    return Twin(arm)


@pytest.fixture(scope="session")
def problem(links: Links, shots: tuple[Shot, ...]) -> Problem:
    """The camera 3 cm and 3 degrees off."""
    start = TRUE.moved([0.02, -0.02, 0.01], np.radians([2.0, 2.0, -1.0]))
    return Problem(links=links, shots=shots, lens=start, near=True, effort=EFFORT)


def off(view: View) -> tuple[float, float]:
    """How far a view is from the true one [m, degrees]."""
    return float(np.linalg.norm(np.subtract(view.position, TRUE.position))), math.degrees(view.angle_to(TRUE))
