"""What a view shows of a robot: its links where the plant has them, whatever frame was measured, and their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.errors import RobotError
from policy_port.plants.mujoco_twin import Twin

JOINTS = tuple(f"{leg}_{part}" for leg in "abc" for part in ("hip", "knee"))


@pytest.mark.parametrize("frame", [None, "imu", "b_shin"])
def test_links_are_where_the_plant_has_them(
    frame: str | None, stand_up: Any, setup_of: Any, robot_file: Any, state_of: Any
) -> None:
    """A robot that falls over is posed by its measurement alone, of the base, of a site or of a link that moves."""
    file, setup = robot_file("tripod.xml"), setup_of(JOINTS, stiffness=20.0, damping=1.0, frame=frame, height=0.6)
    plant = stand_up("mujoco", file, setup)
    plant.push("base", np.array([[8.0, 5.0, 0.0]]))
    plant.write(0.4 * np.sin(np.arange(6.0))[None])
    plant.step(120)
    state, twin = state_of(plant), Twin(file, setup)
    joints = dict(zip(plant.joint_names, state.joint_pos[0].tolist(), strict=True))
    place, turn = twin.place(state.base_pos[0], state.base_quat[0], joints)
    assert np.allclose(place, [plant.link_position(link)[0] for link in twin.links], atol=1e-6)
    assert np.allclose(np.linalg.norm(turn, axis=1), 1.0)
    assert twin.links[0] == "base"


def test_shapes_stand_on_their_links(setup_of: Any, robot_file: Any) -> None:
    """A box, and a sphere per thigh and shin: centres and extents are the file's; the ground is not the robot's."""
    twin = Twin(robot_file("tripod.xml"), setup_of(JOINTS, stiffness=20.0, damping=1.0))
    shapes = {twin.links[shape.link]: shape for shape in twin.shapes()}
    assert len(shapes) == len(twin.shapes()) == 7
    assert np.allclose(np.ptp(shapes["base"].vertices, axis=0), [0.3, 0.2, 0.1])
    shin = shapes["a_shin"].vertices
    assert np.allclose(shin.mean(axis=0), [0.0, 0.0, -0.2], atol=2e-3)
    assert np.allclose(np.linalg.norm(shin - [0, 0, -0.2], axis=1), 0.02, atol=1e-4)


def test_links_without_shapes_are_drawn_as_bones(setup_of: Any, tmp_path: Path) -> None:
    """A robot whose meshes are left out has lines between its joints to be seen."""
    arm = "<body name='{0}' pos='0 0 0.2'><joint name='{0}_j' axis='0 1 0'/><inertial pos='0 0 0' mass='1' " \
          "diaginertia='1 1 1'/>{1}</body>"  # fmt: skip
    robot = arm.format("a", arm.format("b", arm.format("c", "")))
    (tmp_path / "bare.xml").write_text(f"<mujoco><worldbody>{robot}</worldbody></mujoco>")
    twin = Twin(tmp_path / "bare.xml", setup_of(("a_j", "b_j", "c_j"), stiffness=1.0, damping=1.0, floating=False))
    assert [twin.links[shape.link] for shape in twin.shapes()] == ["a", "b"]


def test_what_mujoco_cannot_read_is_refused_by_name(setup_of: Any, tmp_path: Path) -> None:
    """Newton plays USD; nobody here shows it."""
    (tmp_path / "robot.usda").write_text("#usda 1.0\n")
    with pytest.raises(RobotError, match="which reads URDF and MJCF; give --view such a --robot"):
        Twin(tmp_path / "robot.usda", setup_of(JOINTS))
