"""Small robots and how to stand them up in either simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from policy_port.control.plant import Plant, PlantState
from policy_port.errors import MissingDependencyError
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup

LEGS = ("a", "b", "c")


def _link(name: str, *, mass: float, at: str, inertia: float, geometry: str, geometry_at: str) -> str:
    return f"""
    <link name="{name}">
      <inertial><origin xyz="{at}"/><mass value="{mass}"/>
        <inertia ixx="{inertia}" iyy="{1.5 * inertia}" izz="{2 * inertia}" ixy="0" ixz="0" iyz="0"/></inertial>
      <visual><origin xyz="{geometry_at}"/><geometry>{geometry}</geometry>
        <material name="{name}"><color rgba="0.8 0.4 0.2 1"/></material></visual>
      <collision><origin xyz="{geometry_at}"/><geometry>{geometry}</geometry></collision>
    </link>"""


def _joint(name: str, parent: str, child: str, at: str, axis: str, extra: str = "") -> str:
    return f"""
    <joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/><origin xyz="{at}"/>
      <axis xyz="{axis}"/><limit lower="-3" upper="3" effort="40" velocity="100"/>{extra}</joint>"""


def tripod_urdf() -> str:
    """A box on three legs of two joints; the base's centre of mass is not its origin; a frame turned by 90 degrees."""
    text = _link(
        "base",
        mass=2.0,
        at="0.05 -0.03 0.02",
        inertia=0.02,
        geometry='<box size="0.3 0.2 0.1"/>',
        geometry_at="0 0 0",
    )
    for leg in LEGS:
        thigh, shin = f"{leg}_thigh", f"{leg}_shin"
        text += _link(
            thigh, mass=0.4, at="0 0 -0.1", inertia=0.002, geometry='<sphere radius="0.02"/>', geometry_at="0 0 -0.1"
        )
        text += _link(
            shin, mass=0.2, at="0 0 -0.1", inertia=0.001, geometry='<sphere radius="0.02"/>', geometry_at="0 0 -0.2"
        )
    for leg, place in zip(LEGS, ("0.2 0 0", "-0.1 0.15 0", "-0.1 -0.15 0"), strict=True):
        text += _joint(f"{leg}_hip", "base", f"{leg}_thigh", place, "0 1 0")
        text += _joint(f"{leg}_knee", f"{leg}_thigh", f"{leg}_shin", "0 0 -0.2", "0 1 0")
    text += """<link name="sensor"/>
    <joint name="mount" type="fixed"><parent link="base"/><child link="sensor"/>
      <origin xyz="0.1 0.02 0.05" rpy="0 0 1.5707963267948966"/></joint>"""
    return f'<robot name="tripod">{text}</robot>'


def tripod_mjcf() -> str:
    """The same tripod; its position actuators stand in another order than its joints."""
    legs = "".join(
        f"""<body name="{leg}_thigh" pos="{place}"><joint name="{leg}_hip" axis="0 1 0" damping="0.5"/>
          <inertial pos="0 0 -0.1" mass="0.4" diaginertia="0.002 0.003 0.004"/><geom size="0.02" pos="0 0 -0.1"/>
          <body name="{leg}_shin" pos="0 0 -0.2"><joint name="{leg}_knee" axis="0 1 0" damping="0.5"/>
            <inertial pos="0 0 -0.1" mass="0.2" diaginertia="0.001 0.0015 0.002"/><geom size="0.02" pos="0 0 -0.2"/>
          </body></body>"""
        for leg, place in zip(LEGS, ("0.2 0 0", "-0.1 0.15 0", "-0.1 -0.15 0"), strict=True)
    )
    actuators = "".join(
        f'<position name="{leg}_{part}_drive" joint="{leg}_{part}" kp="{kp}"/>'
        for part, kp in (("knee", 20), ("hip", 30))
        for leg in reversed(LEGS)
    )
    return f"""<mujoco><worldbody><body name="base" pos="0 0 0.5"><freejoint/>
        <inertial pos="0.05 -0.03 0.02" mass="2" diaginertia="0.02 0.03 0.04"/>
        <geom type="box" size="0.15 0.1 0.05"/><site name="imu" pos="0.1 0.02 0.05" quat="1 0 0 1"/>
        {legs}</body></worldbody><actuator>{actuators}</actuator></mujoco>"""


def pendulum_urdf() -> str:
    """One horizontal link of 1 kg whose inertia about the joint is 0.1 + 1 * 0.3^2 = 0.19 kg m^2."""
    foot = '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
    rod = """<inertial><origin xyz="0.3 0 0"/><mass value="1"/>
      <inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial>"""
    return f"""<robot name="pendulum"><link name="foot">{foot}</link><link name="rod">{rod}</link><link name="tip"/>
      {_joint("swing", "foot", "rod", "0 0 1", "0 1 0", '<dynamics damping="0.7" friction="0"/>')}
      <joint name="end" type="fixed"><parent link="rod"/><child link="tip"/><origin xyz="0.6 0 0"/></joint></robot>"""


ROBOTS = {"tripod.urdf": tripod_urdf, "tripod.xml": tripod_mjcf, "pendulum.urdf": pendulum_urdf}

StandUp = Callable[..., Plant]


@pytest.fixture
def robot_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes one of the small robots into a folder of the test."""

    def write(name: str) -> Path:
        path = tmp_path / name
        path.write_text(ROBOTS[name]())
        return path

    return write


@pytest.fixture
def setup_of() -> Callable[..., PlantSetup]:
    """A setup for named joints with equal numbers; keyword arguments go to JointSetup or PlantSetup."""

    def make(names: tuple[str, ...], *, defaults: dict[str, float] | None = None, **options: object) -> PlantSetup:
        joint_keys = ("stiffness", "damping", "armature", "effort_limit")
        numbers: dict = {key: options.pop(key) for key in joint_keys if key in options}
        joints = tuple(JointSetup(name=name, default=(defaults or {}).get(name, 0.0), **numbers) for name in names)
        base: dict = {"actuation": "implicit", "timestep": 0.002, "control_dt": 0.02, "floating": True}
        return PlantSetup(joints=joints, **(base | options))

    return make


PACKAGES = {"mujoco": "mujoco", "maniskill": "sapien", "newton": "newton"}


@pytest.fixture(params=PACKAGES)
def kind(request: pytest.FixtureRequest) -> str:
    """Every simulator; skipped, saying so, where one is not installed."""
    pytest.importorskip(PACKAGES[request.param])
    return request.param


@pytest.fixture
def stand_up() -> StandUp:
    """make_plant, skipping the test where the simulator can't run here; plants are closed afterwards."""
    plants: list[Plant] = []

    def make(kind: str, robot: Path | str, setup: PlantSetup, **options: object) -> Plant:
        try:
            plant = make_plant(kind, robot, setup, **options)  # type: ignore[arg-type]
        except MissingDependencyError as cause:
            pytest.skip(str(cause))
        plants.append(plant)
        return plant

    yield make  # type: ignore[misc]
    for plant in plants:
        plant.close()


@pytest.fixture
def state_of() -> Callable[[Plant], PlantState]:
    """Reads a plant into a new state."""

    def read(plant: Plant) -> PlantState:
        state = PlantState.allocate(plant.num_envs, len(plant.joint_names))
        plant.read(state)
        return state

    return read


@pytest.fixture
def by_name() -> Callable[[Plant, dict[str, float]], np.ndarray]:
    """Values by joint name, as one row per environment in the plant's order."""

    def order(plant: Plant, values: dict[str, float]) -> np.ndarray:
        return np.tile([values[name] for name in plant.joint_names], (plant.num_envs, 1))

    return order
