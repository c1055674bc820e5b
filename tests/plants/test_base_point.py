"""A robot with its centre of mass off its link's origin is thrown with spin: each point's velocity is its own.

What is right is never computed as v + w x r: it is the difference of where the point was and will be, in the frame's
axes in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.errors import RobotError
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from tests.plants.test_plants import NAMES, rotation
from tests.samples import contract_data

SWING = np.array([0.6, -0.5, -0.4, 0.3, 0.5, 0.7])
"""Targets of hips and knees that make the base tumble [rad]."""
COM, OFFSET = (0.05, -0.03, 0.02), (-0.2, 0.15, 0.1)
IMU, TURN = (0.1, 0.02, 0.05), np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""Where the tripod's IMU is, and its axes as columns: a quarter turn about the vertical."""
CAMERA = (0.1, 0.02, 0.25)
"""Of a body without a joint, 0.2 m above the IMU in the IMU's turned axes, and its site."""

SENSORS = """<sensor><velocimeter name="imu_lin_vel" site="imu"/><gyro name="imu_ang_vel" site="imu"/>
    <framelinvel name="world_lin_vel" objtype="site" objname="imu"/>
    <framezaxis name="imu_up" objtype="body" objname="world" reftype="site" refname="imu"/></sensor></mujoco>"""
MAST = '<body name="mast" pos="0.1 0.02 0.05" quat="1 0 0 1"><site name="camera" pos="0 0 0.2"/></body>'


class StillNetwork:
    """A policy that always asks for the same; what it was shown is looked at."""

    def __init__(self, width: int, rows: int, asked: np.ndarray) -> None:
        self.observation = np.zeros((rows, width), np.float32)
        self.action_size = len(NAMES)
        self._asked = np.tile(asked, (rows, 1)).astype(np.float32)

    def act(self) -> np.ndarray:
        return self._asked

    def reset(self, rows: Any = None) -> None:
        pass


def contract_of(*terms: dict[str, Any], **base: Any) -> Contract:
    joints = {name: {"default": 0.0, "stiffness": 15.0, "damping": 0.2} for name in NAMES}
    named = [{"name": f"t{i}", **term} for i, term in enumerate(terms)]
    return Contract.model_validate(
        contract_data(
            joints=joints,
            timestep=0.001,
            decimation=1,
            base={"floating": True, "height": 2.0, **base},
            observation={"terms": named},
            action={"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
        )
    )


@pytest.fixture
def tripod(robot_file: Any) -> Any:
    """The tripod as MJCF with sensors, its shins' sites and a body without a joint; or as URDF."""

    def write(suffix: str) -> Path:
        path = robot_file(f"tripod.{suffix}")
        if suffix == "xml":
            text = path.read_text().replace("</body></worldbody>", f"{MAST}</body></worldbody>")
            text = text.replace('<geom size="0.02" pos="0 0 -0.2"/>', '<geom size="0.02" pos="0 0 -0.2"/>', 1)
            text = text.replace('<body name="a_shin"', '<body name="a_shin"').replace(
                '<joint name="a_knee"', '<site name="shin" pos="0 0 -0.1"/><joint name="a_knee"'
            )
            path.write_text(text.replace("</mujoco>", SENSORS))
        return path

    return write


def thrown(
    kind: str, robot: Path, contract: Contract, rows: int = 1, spin: float = 1.0, steps: int = 120
) -> tuple[list[Any], list[np.ndarray]]:
    """Swing the legs in mid-air until the base tumbles by `spin` [rad/s]; states and observations of the second half of
    the steps, 1 ms apart.
    """
    setup = PlantSetup.from_contract(contract)
    plant = make_plant(kind, robot, setup, num_envs=rows)
    policy = StillNetwork(contract.observation_size, rows, SWING)
    controller = Controller(contract, policy, plant.joint_names, rows, mountings=plant.mounting)  # type: ignore[arg-type]
    plant.reset(controller.default_joint_pos())
    plant.read(controller.state)
    controller.reset()
    states, seen, fastest = [], [], 0.0
    for step in range(steps):
        plant.write(controller().copy())
        if step >= steps // 2:
            state = controller.state
            states.append([array[0].copy() for array in (state.base_pos, state.base_quat)])
            seen.append(controller.observation[0].astype(np.float64))
            fastest = max(fastest, float(np.linalg.norm(state.base_ang_vel[0])))
        plant.step(1)
        plant.read(controller.state)
    plant.close()
    assert fastest > spin, "a robot that does not turn tells no point from another"
    return states, seen


def speeds(states: list[Any], point: Any, axes: np.ndarray) -> np.ndarray:
    """Velocity of a point of the base in the axes (columns, in the base frame) that go with it, by differences."""
    places = np.array([pos + rotation(quat) @ np.asarray(point) for pos, quat in states])
    moved = (places[2:] - places[:-2]) / 0.002
    return np.array([(rotation(quat) @ axes).T @ v for (_, quat), v in zip(states[1:-1], moved, strict=True)])


def spins(states: list[Any], axes: np.ndarray) -> np.ndarray:
    """Angular velocity in the axes, by differences of the orientation."""
    turns = [rotation(quat) for _, quat in states]
    found = []
    for before, now, after in zip(turns[:-2], turns[1:-1], turns[2:], strict=True):
        skew = (now @ axes).T @ ((after - before) / 0.002) @ axes
        found.append(np.array([skew[2, 1] - skew[1, 2], skew[0, 2] - skew[2, 0], skew[1, 0] - skew[0, 1]]) / 2)
    return np.array(found)


POINTS: dict[str, tuple[dict[str, Any], Any, np.ndarray]] = {
    "unsaid": ({}, (0, 0, 0), np.eye(3)),
    "link": ({"point": "link"}, (0, 0, 0), np.eye(3)),
    "com": ({"point": "com"}, COM, np.eye(3)),
    "offset": ({"point": list(OFFSET)}, OFFSET, np.eye(3)),
    "site": ({"point": {"site": "imu"}}, IMU, np.eye(3)),
    "site, its axes": ({"point": {"site": "imu"}, "frame": {"site": "imu"}}, IMU, TURN),
    "velocimeter": ({"point": {"sensor": "imu_lin_vel"}}, IMU, TURN),
    "velocimeter, link's axes": ({"point": {"sensor": "imu_lin_vel"}, "frame": "link"}, IMU, np.eye(3)),
    "com in the imu's axes": ({"point": "com", "frame": {"sensor": "imu_ang_vel"}}, COM, TURN),
    "on a fixed body": ({"point": {"site": "camera"}}, CAMERA, np.eye(3)),
    "a fixed body": ({"point": {"site": "mast"}}, IMU, np.eye(3)),
}


def test_the_velocity_is_that_of_the_stated_point(kind: str, tripod: Any) -> None:
    """In every simulator each point's velocity equals the differences of where it is, and no other point's does."""
    contract = contract_of(*({"term": "base_lin_vel", **stated} for stated, _, _ in POINTS.values()))
    states, seen = thrown(kind, tripod("xml"), contract)
    told = np.array(seen)[1:-1].reshape(-1, len(POINTS), 3)
    for number, (name, (_, point, axes)) in enumerate(POINTS.items()):
        assert np.abs(told[:, number] - speeds(states, point, axes)).max() < 0.02, name
        for other, wrong, turned in POINTS.values():
            if wrong != point or not np.array_equal(turned, axes):
                off = np.abs(told[:, number] - speeds(states, wrong, turned)).max()
                assert off > 0.05, (name, other)


def test_angular_velocity_and_gravity_are_in_the_stated_axes(kind: str, tripod: Any) -> None:
    """Both are turned into the site's axes where the term names the site or a sensor at it."""
    places: list[tuple[dict[str, Any], np.ndarray]] = [
        ({}, np.eye(3)),
        ({"frame": "link"}, np.eye(3)),
        ({"frame": {"site": "imu"}}, TURN),
        ({"frame": {"sensor": "imu_ang_vel"}}, TURN),
        ({"frame": {"sensor": "imu_up"}}, TURN),
        ({"frame": {"site": "camera"}}, TURN),
    ]
    both = ("base_ang_vel", "projected_gravity")
    contract = contract_of(*({"term": term, **stated} for stated, _ in places for term in both))
    states, seen = thrown(kind, tripod("xml"), contract)
    told = np.array(seen)[1:-1].reshape(-1, len(places), 2, 3)
    for number, (stated, axes) in enumerate(places):
        np.testing.assert_allclose(told[:, number, 0], spins(states, axes), atol=0.1, err_msg=str(stated))
        down = np.array([(rotation(quat) @ axes).T @ [0.0, 0.0, -1.0] for _, quat in states[1:-1]])
        np.testing.assert_allclose(told[:, number, 1], down, atol=1e-6, err_msg=str(stated))
    assert np.abs(told[:, 0] - told[:, 2]).max() > 0.3


def test_a_urdf_has_the_centre_of_mass_and_links(kind: str, tripod: Any) -> None:
    """Of a URDF the base link's own centre of mass and fixed links are found."""
    terms = [{"point": "com"}, {"point": {"site": "sensor"}, "frame": {"site": "sensor"}}]
    contract = contract_of(*({"term": "base_lin_vel", **stated} for stated in terms))
    states, seen = thrown(kind, tripod("urdf"), contract)
    told = np.array(seen)[1:-1]
    np.testing.assert_allclose(told[:, :3], speeds(states, COM, np.eye(3)), atol=0.02)
    np.testing.assert_allclose(told[:, 3:], speeds(states, IMU, TURN), atol=0.02)


def test_several_environments_see_what_one_sees(kind: str, tripod: Any) -> None:
    """The array's way of computing is the numbers' way."""
    stated = ({"point": "com"}, {"point": {"sensor": "imu_lin_vel"}}, {"point": list(OFFSET), "frame": {"site": "imu"}})
    contract = contract_of(
        *({"term": "base_lin_vel", **place} for place in stated),
        {"term": "projected_gravity", "frame": {"site": "imu"}},
        {"term": "base_ang_vel"},
        {"term": "joint_pos"},
    )
    robot = tripod("xml")
    alone, many = (np.array(thrown(kind, robot, contract, rows, 0.5, 60)[1]) for rows in (1, 3))
    np.testing.assert_allclose(many, alone, atol=2e-4)


@pytest.mark.parametrize(
    ("suffix", "stated", "message"),
    [
        ("urdf", {"point": {"site": "imu"}}, r"tripod\.urdf: has no site or link 'imu'.*write the offset"),
        ("urdf", {"point": {"sensor": "imu_lin_vel"}}, r"tripod\.urdf: has no sensor 'imu_lin_vel'.*none.*the offset"),
        ("urdf", {"frame": {"site": "imu"}}, r"has no site or link 'imu'.*frame: link"),
        ("urdf", {"point": {"site": "sensr"}}, r"did you mean 'sensor'\?"),
        ("xml", {"point": {"site": "imo"}}, r"did you mean 'imu'\?.*write the offset"),
        ("xml", {"point": {"sensor": "imu_linvel"}}, r"did you mean 'imu_lin_vel'\?.*write the offset"),
        ("xml", {"point": {"sensor": "imu"}}, r"has no sensor 'imu'.*imu_lin_vel, imu_ang_vel"),
        ("xml", {"point": {"sensor": "world_lin_vel"}}, r"'world_lin_vel' is a framelinvel.*name the site"),
        ("xml", {"point": {"sensor": "imu_ang_vel"}}, r"gyro in the robot file.*write point: {site: imu}"),
        ("xml", {"point": {"sensor": "imu_up"}}, r"framezaxis in the robot file.*write point: {site: imu}"),
        ("xml", {"point": {"site": "shin"}}, r"joint 'a_hip' moves|joint 'a_knee' moves"),
        (
            "xml",
            {"point": {"site": "a_thigh"}},
            r"'a_hip' moves against the base link 'base'.*base.frame: a_thigh",
        ),
        ("xml", {"frame": {"site": "shin"}}, r"base\.frame: shin, and leave out point and frame"),
    ],
)
def test_what_can_t_be_found_is_refused(kind: str, tripod: Any, suffix: str, stated: Any, message: str) -> None:
    """A place that the robot lacks, or that a joint moves, is an error that names file and place, never the root's."""
    with pytest.raises(RobotError, match=message):
        thrown(kind, tripod(suffix), contract_of({"term": "base_lin_vel", **stated}))


def test_the_remedies_are_tried(kind: str, tripod: Any) -> None:
    """The offset in place of a site, the link's axes, a sensor's site, and base.frame for a moving link all play."""
    for suffix, stated, base in (
        ("urdf", {"point": list(IMU), "frame": "link"}, {}),
        ("xml", {"point": {"site": "imu"}}, {}),
        ("xml", {}, {"frame": "shin"}),
    ):
        thrown(kind, tripod(suffix), contract_of({"term": "base_lin_vel", **stated}, **base), spin=0.0, steps=10)


def test_a_merged_centre_of_mass_is_asked_for(kind: str, tripod: Any) -> None:
    """Where links fixed to the base have weight, the message gives both centres, and either offset plays."""
    path = tripod("urdf")
    heavy = """<link name="sensor"><inertial><origin xyz="0 0 0.4"/><mass value="1"/>
        <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>"""
    path.write_text(path.read_text().replace('<link name="sensor"/>', heavy))
    with pytest.raises(RobotError, match=r"alone is at \[0.05, -0.03, 0.02\], together .*\(sensor\) at \[") as caught:
        thrown(kind, path, contract_of({"term": "base_lin_vel", "point": "com"}))
    merged = [float(number) for number in str(caught.value).rpartition(") at [")[2].split("]")[0].split(",")]
    np.testing.assert_allclose(merged, (2.0 * np.array(COM) + np.array([0.1, 0.02, 0.45])) / 3.0, atol=1e-5)
    thrown(kind, path, contract_of({"term": "base_lin_vel", "point": merged}), spin=0.0, steps=10)


def test_a_controller_that_knows_no_places_says_so(tripod: Any) -> None:
    """Without mountings a named point is an error, not the link's origin; an offset needs none."""
    policy = StillNetwork(3, 1, np.zeros(6))
    for stated in ({"point": "com"}, {"frame": {"site": "imu"}}):
        with pytest.raises(RobotError, match=r"mountings=plant\.mounting.*point: \[x, y, z\]"):
            Controller(contract_of({"term": "base_lin_vel", **stated}), policy, NAMES, 1)  # type: ignore[arg-type]
    Controller(contract_of({"term": "base_lin_vel", "point": list(OFFSET)}), policy, NAMES, 1)  # type: ignore[arg-type]


def test_a_base_link_that_is_a_name_is_what_it_carries(kind: str, tripod: Any) -> None:
    """A base link without mass, with the trunk fixed to it, has the trunk's centre of mass: nothing else can move."""
    path = tripod("urdf")
    trunk = """<link name="root"/><joint name="glue" type="fixed"><parent link="root"/><child link="base"/>
        <origin xyz="0 0 0.3"/></joint><link name="base">"""
    path.write_text(path.read_text().replace('<link name="base">', trunk, 1))
    states, seen = thrown(kind, path, contract_of({"term": "base_lin_vel", "point": "com"}))
    centre = np.add(COM, (0, 0, 0.3))
    np.testing.assert_allclose(np.array(seen)[1:-1], speeds(states, centre, np.eye(3)), atol=0.02)
