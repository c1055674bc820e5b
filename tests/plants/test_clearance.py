"""What is told of a way holds everywhere on it, and of the ways to a pose from everywhere on a path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from policy_port.plants.clearance import Clearance
from policy_port.plants.setup import JointSetup, PlantSetup

CRANE = """
<mujoco>
  <worldbody>
    <body name="base">
      <geom type="box" size="0.02 0.02 0.01"/>
      <body name="post" pos="0.5 0 0.5"><geom type="sphere" size="0.05"/></body>
      <body name="bridge" pos="0 0 0.5">
        <joint name="along" type="slide" axis="1 0 0" range="-1 1"/>
        <inertial pos="0 0 0" mass="1" diaginertia="0.01 0.01 0.01"/>
        <body name="hook">
          <joint name="across" type="slide" axis="0 1 0" range="-1 1"/>
          <geom type="sphere" size="0.03" mass="0.2"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


def test_a_way_home_that_is_blocked_from_between_two_poses_is_found(tmp_path: Path) -> None:
    """From both ends of a path the way home is clear, and from its middle a post stands in it: that way is refused."""
    (tmp_path / "crane.xml").write_text(CRANE)
    names = ("along", "across")
    setup = PlantSetup(
        joints=tuple(JointSetup(name=name, default=0.0, commanded=True, stiffness=9.0, damping=0.1) for name in names),
        actuation="implicit", timestep=0.005, control_dt=0.02, floating=False,
    )  # fmt: skip
    clear = Clearance(tmp_path / "crane.xml", setup, dict.fromkeys(names, (-1.0, 1.0)), 0.02)
    home, path = np.zeros(2), np.array([[0.9, -0.5], [0.9, 0.5]])
    needed = clear.lenient(home, 0.002)
    assert not clear.near(path[:1], path[1:])
    assert not clear.near(path, np.zeros((2, 2)), needed)
    assert clear.near_home(path, home, needed) == {("post", "hook")}
    assert not clear.near_home(path - [[0.0, 0.0], [0.0, 0.75]], home, needed)
