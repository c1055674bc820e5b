"""A small walker on and beside a box is thrown about: every sensed term is what the raw physics says, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policy_port.contract import Contract
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import PlantState, Sensed
from policy_port.control.signals import Signals
from policy_port.errors import RobotError, TaskError
from policy_port.plants.mujoco_sensing import ContactForces, Contacts
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from tests.plants.conftest import PACKAGES
from tests.samples import contract_data

JOINTS = ("waist", "lift")
MASS = 4.0
LIFT = {"stiffness": 4000.0, "damping": 200.0}

ROBOT = """<mujoco><worldbody>{world}
  <body name="base" pos="0 0 0.6"><freejoint/><inertial pos="0.02 0 0.01" mass="2" diaginertia="0.05 0.04 0.03"/>
    <geom type="box" size="0.2 0.15 0.05" contype="0" conaffinity="0"/>
    <body name="torso" pos="0 0 0.2" quat="0.9659258262890683 0 0.25881904510252074 0">
      <joint name="waist" axis="0 0 1" range="-2 2"/><site name="head" pos="0.1 0 0.3"/>
      <inertial pos="0 0.03 0.1" mass="1" diaginertia="0.02 0.02 0.01"/></body>
    <body name="leg" pos="0 0 -0.3"><joint name="lift" type="slide" axis="0 0 1" range="-0.2 0.2"/>
      <inertial pos="0 0 0" mass="0.5" diaginertia="0.01 0.01 0.01"/>
      <body name="sole" pos="0 0 -0.2"><inertial pos="0 0 0" mass="0.5" diaginertia="0.01 0.01 0.01"/>
        <geom type="box" size="0.15 0.15 0.02"/></body></body>
  </body></worldbody></mujoco>"""
STEP = '<geom name="floor" type="plane" size="1 1 1"/><geom type="box" size="0.2 5 0.1" pos="0.6 0 0.1"/>'
"""A drawn plane of one metre, which is endless to a foot, and a step of 0.2 m from x = 0.4 to 0.8."""

TERMS: list[dict[str, Any]] = [
    {"term": "base_euler"},
    {"term": "base_euler", "angles": ["yaw", "pitch"], "interval": "positive", "link": "torso"},
    {"term": "base_quat", "link": "torso"},
    {"term": "base_quat", "positive_w": True},
    {"term": "link_height"},
    {"term": "link_height", "link": "head", "above": ["leg", "sole"]},
    {"term": "link_pos", "frame": "world", "axes": ["z", "x"]},
    {"term": "link_pos", "link": "sole", "frame": "base"},
    {"term": "link_pos", "link": "sole", "frame": "yaw"},
    {"term": "heading", "parts": ["angle", "cos", "sin"]},
    {"term": "heading", "link": "torso"},
    {"term": "heading_error"},
    {"term": "projected_gravity", "link": "torso"},
    {"term": "base_ang_vel", "link": "torso"},
    {"term": "base_lin_vel", "link": "sole"},
    {"term": "base_lin_vel", "link": "head"},
]
TOLD = 2.5
"""Commanded heading [rad]."""


def contract_of(*terms: dict[str, Any], **changes: Any) -> Contract:
    joints = {"waist": {"default": 0.4, "stiffness": 20.0, "damping": 1.0}, "lift": {"default": 0.05, **LIFT}}
    return Contract.model_validate(
        contract_data(
            joints=joints,
            timestep=0.002,
            decimation=1,
            base={"floating": True},
            quaternion_order="xyzw",
            command={"heading": [-math.pi, math.pi]},
            observation={"terms": [{"name": f"t{number}", **term} for number, term in enumerate(terms)]},
            action={"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
        )
        | changes
    )


class Stand(NamedTuple):
    """A robot, and what a contract's observation of it is."""

    plant: Any
    signals: Signals
    builder: ObservationBuilder

    def build(self) -> np.ndarray:
        self.plant.read(self.signals.state)
        return self.builder.build().astype(np.float64)


def stand(plant: Any, contract: Contract) -> Stand:
    signals = Signals(contract, plant.joint_names, plant.num_envs)
    signals.command[:, 3] = TOLD
    return Stand(plant, signals, ObservationBuilder(contract, signals))


@pytest.fixture(scope="module", params=PACKAGES)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The walker on flat ground, in every simulator, two environments."""
    pytest.importorskip(PACKAGES[request.param])
    path = tmp_path_factory.mktemp("walker") / "walker.xml"
    path.write_text(ROBOT.format(world=""))
    made = make_plant(request.param, path, PlantSetup.from_contract(contract_of({"term": "base_euler"})), num_envs=2)
    yield made
    made.close()


def start(plant: Any, waist: float = 0.4, lift: float = 0.05) -> np.ndarray:
    pose = np.tile([{"waist": waist, "lift": lift}[name] for name in plant.joint_names], (2, 1))
    plant.reset(pose)
    return pose


def toppled(plant: Any, steps: int = 150) -> None:
    """Kick it with its own waist and leg until it leans, turns and moves."""
    pose = start(plant)
    for step in range(steps):
        pose[:, plant.joint_names.index("waist")] = 1.2 * math.sin(0.03 * step)
        pose[:, plant.joint_names.index("lift")] = -0.1 if step % 60 < 20 else 0.1
        plant.write(pose)
        plant.step(1)


def test_poses_are_those_of_the_links(plant: Any) -> None:
    """Angles, quaternions, heights, positions and gravity of base, mid-chain link and site follow from SciPy's
    rotations and from where the joints are; velocities from where the links are a step before and after.
    """
    here = stand(plant, contract_of(*TERMS))
    toppled(plant)
    before = dict(_places(here))
    seen_before = here.build()[1]
    plant.step(1)
    seen = here.build()[1]
    waist, lift = (here.signals.state.joint_pos[1, plant.joint_names.index(name)] for name in JOINTS)
    now = dict(_places(here))
    plant.step(1)
    here.build()
    after = dict(_places(here))
    base, torso = now["base"][1], now["torso"][1]
    at = {name: place for name, (place, _) in now.items()}
    yaw = Rotation.from_euler("z", -base.as_euler("xyz")[2])
    angle = base.as_euler("xyz")[2]
    quat = base.as_quat()
    expected = [
        base.as_euler("xyz"),
        np.mod(torso.as_euler("xyz")[[2, 1]], math.tau),
        None,
        quat * np.sign(quat[3]),
        at["base"][2:],
        [at["head"][2] - min(at["leg"][2], at["sole"][2])],
        at["base"][[2, 0]],
        base.inv().apply(at["sole"] - at["base"]),
        yaw.apply(at["sole"] - at["base"]),
        [angle, math.cos(angle), math.sin(angle)],
        [torso.as_euler("xyz")[2]],
        [math.remainder(TOLD - angle, math.tau)],
        torso.inv().apply([0.0, 0.0, -1.0]),
    ]
    told = np.split(
        seen, np.cumsum([here.signals.contract.term_size(t) for t in here.signals.contract.observation.terms])
    )
    for number, right in enumerate(expected):
        if right is not None:
            np.testing.assert_allclose(told[number], right, atol=2e-5, err_msg=str(TERMS[number]))
    assert abs(told[2] @ torso.as_quat()) == pytest.approx(1.0, abs=1e-6)
    # The torso hangs on the base by the waist alone, the sole by the leg's slide.
    hung = base * Rotation.from_euler("y", 30, degrees=True) * Rotation.from_euler("z", waist)
    assert (hung.inv() * torso).magnitude() < 1e-4
    np.testing.assert_allclose(told[7], [0, 0, -0.5 + lift], atol=1e-4)
    np.testing.assert_allclose(at["head"], at["torso"] + torso.apply([0.1, 0, 0.3]), atol=1e-4)
    assert np.abs(seen - seen_before).max() > 1e-3
    spun = (before["torso"][1].inv() * after["torso"][1]).as_rotvec() / 0.004
    np.testing.assert_allclose(told[13], spun, atol=0.1 * np.linalg.norm(spun))
    for number, link in ((14, "sole"), (15, "head")):
        moved = now[link][1].inv().apply(after[link][0] - before[link][0]) / 0.004
        np.testing.assert_allclose(told[number], moved, atol=0.05 + 0.1 * np.linalg.norm(moved))
    assert np.linalg.norm(spun) > 0.3


def _places(here: Stand) -> Any:
    """Origin and rotation of base and links in environment 1, as the plant measures them."""
    here.plant.read(here.signals.state)
    state = here.signals.state
    yield "base", (state.base_pos[1].copy(), Rotation.from_quat(np.roll(state.base_quat[1], -1)))
    wanted = here.signals.contract.senses._replace(links=("torso", "leg", "sole", "head"), scans=(), contacts=())
    more = PlantState.allocate(2, 2)
    more = PlantState(**{**vars(more), "sensed": Sensed.allocate(wanted, 2, 2)})
    here.plant.read(more)
    assert more.sensed is not None
    for name, link in more.sensed.links.items():
        np.testing.assert_allclose(link.pos, here.plant.link_position(name), atol=1e-6)
        yield name, (link.pos[1].copy(), Rotation.from_quat(np.roll(link.quat[1], -1)))


def test_a_robot_at_rest_weighs_on_its_sole_and_on_its_drive(plant: Any) -> None:
    """Standing still, the sole carries the whole weight, upwards, nothing else touches, and the leg's drive carries
    what is above it; after a reset nothing has been touched yet.
    """
    terms = [
        {"term": "contact", "links": ["sole", "leg", "torso"]},
        {"term": "contact", "links": ["sole", "leg"], "threshold": 30.0},
        {"term": "contact", "links": ["sole"], "threshold": 60.0, "measure": "vertical"},
        {"term": "contact", "links": ["sole"], "measure": "vector"},
        {"term": "joint_effort", "joints": ["lift", "waist"], "scale": {"lift": 0.5, "waist": 1.0}},
    ]
    here = stand(plant, contract_of(*terms))
    pose = start(plant, waist=0.0, lift=0.0)
    np.testing.assert_allclose(here.build(), 0.0, atol=1e-3)
    for _ in range(3):
        plant.write(pose)
        plant.step(300)
    seen = here.build()[0]
    weight = MASS * 9.81
    np.testing.assert_allclose(seen[:3], [weight, 0, 0], atol=0.02 * weight)
    assert seen[3:6].tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(seen[6:9], [0, 0, weight], atol=0.05 * weight)
    # The leg is below its joint: the slide pushes it down with the weight of base and torso.
    np.testing.assert_allclose(seen[9:11], [-0.5 * 3.0 * 9.81, 0.0], atol=0.02 * weight)
    start(plant)
    np.testing.assert_allclose(here.build(), 0.0, atol=1e-3)


def test_a_scan_of_flat_ground_is_exact(plant: Any) -> None:
    """Wherever the grid turns, a vertical ray ends on the ground, and a tilted one does where it reaches it."""
    grid = {"term": "height_scan", "size": [0.2, 0.1], "resolution": 0.1, "height_offset": 0.25}
    here = stand(
        plant, contract_of(grid, {**grid, "frame": "link", "link": "torso", "start": 0.0}, {"term": "link_height"})
    )
    toppled(plant, 60)
    seen, state = here.build(), here.signals.state
    np.testing.assert_allclose(seen[:, :6], np.tile(state.base_pos[:, 2:] - 0.25, 6), atol=1e-6)
    assert state.sensed is not None
    np.testing.assert_allclose(seen[:, 6:12], np.tile(state.sensed.links["torso"].pos[:, 2:] - 0.25, 6), atol=1e-6)


@pytest.mark.parametrize("term", [{"term": "base_euler", "link": "torzo"}, {"term": "contact", "links": ["torzo"]}])
def test_a_link_that_is_not_there_is_named(plant: Any, term: dict[str, Any]) -> None:
    """The message names the file, the link and the nearest one."""
    with pytest.raises(RobotError, match=r"walker\.xml: has no link.*'torzo'.*did you mean 'torso'"):
        stand(plant, contract_of(term)).build()


def test_contact_forces_on_a_gpu_are_refused(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the simulator keeps them to itself the error says so, and what to play with: the CPU, as tested above."""
    contract = contract_of({"term": "contact", "links": ["sole"]})
    refused = pytest.raises(
        RobotError, match="tells no contact forces, which an observation term reads; play it with --"
    )
    if plant.name.startswith("newton"):
        monkeypatch.setattr(plant.robot.solver, "use_mujoco_cpu", False)
        with refused:
            stand(plant, contract).build()
    elif "sapien" in plant.name:
        from policy_port.plants.maniskill_gpu import ManiSkillGpuPlant

        state = stand(plant, contract).signals.state
        with refused:
            ManiSkillGpuPlant._sense(plant, state, state.sensed)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["mujoco", "newton"])
def stepped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The walker before a step, where there are steps."""
    pytest.importorskip(PACKAGES[request.param])
    path = tmp_path_factory.mktemp("step") / "walker.xml"
    path.write_text(ROBOT.format(world=STEP))
    made = make_plant(request.param, path, PlantSetup.from_contract(contract_of({"term": "base_euler"})), num_envs=2)
    yield made
    made.close()


def test_a_scan_sees_the_step(stepped: Any) -> None:
    """Every ray ends on top of the step or on the ground, by the analytic box, in either ordering, turned with the yaw
    and not; neither the robot nor the plane's drawn size stops a ray.
    """
    grid = {"term": "height_scan", "size": [1.6, 1.0], "resolution": 0.2, "height_offset": 0.0}
    orders = [{}, {"ordering": "yx"}, {"frame": "world"}, {"centre": [0.5, -0.1]}, {"start": 0.0, "link": "torso"}]
    here = stand(stepped, contract_of(*({**grid, **more} for more in orders)))
    toppled(stepped, 90)
    seen, state = here.build()[0].reshape(5, -1), here.signals.state
    yaw = Rotation.from_quat(np.roll(state.base_quat[0], -1)).as_euler("xyz")[2]
    assert state.sensed is not None
    torso = state.sensed.links["torso"]
    xs, ys = np.arange(9) * 0.2 - 0.8, np.arange(6) * 0.2 - 0.5
    rows = [(x, y) for y in ys for x in xs]
    for number, (origin, turn, points) in enumerate(
        [
            (state.base_pos[0], yaw, rows),
            (state.base_pos[0], yaw, [(x, y) for x in xs for y in ys]),
            (state.base_pos[0], 0.0, rows),
            (state.base_pos[0], yaw, [(x + 0.5, y - 0.1) for x, y in rows]),
            (torso.pos[0], Rotation.from_quat(np.roll(torso.quat[0], -1)).as_matrix(), rows),
        ]
    ):
        angle = turn if isinstance(turn, float) else math.atan2(turn[1, 0], turn[0, 0])
        reached = origin[0] + np.array([math.cos(angle) * x - math.sin(angle) * y for x, y in points])
        ground = np.where((reached > 0.4) & (reached < 0.8), 0.2, 0.0)
        sure = np.abs(np.abs(reached - 0.6) - 0.2) > 1e-4
        assert 0.1 < (ground > 0.0).mean() < 0.9
        np.testing.assert_allclose(seen[number][sure], (origin[2] - ground)[sure], atol=1e-5)
    assert min(np.abs(seen[0] - seen[other]).max() for other in (1, 2)) > 0.1


def test_a_ray_that_hits_nothing_is_said(stepped: Any) -> None:
    """Beyond its reach a ray shows what `miss` says, and without it the error names term, ray and key."""
    grid = {"term": "height_scan", "size": [0.0, 0.0], "resolution": 0.1, "max_distance": 0.3, "start": 0.0}
    start(stepped)
    for miss, scale in ((-1.0, 1.0), (2.0, 3.0)):
        assert stand(stepped, contract_of({**grid, "miss": miss, "scale": scale})).build()[0, 0] == miss * scale
    with pytest.raises(TaskError, match=r"'t0'.*ray 0 of environment 0 hits nothing within 0.3 m.*`miss`"):
        stand(stepped, contract_of(grid)).build()
    stand(stepped, contract_of({**grid, "max_distance": 3.0, "start": 1.0})).build()


def test_sapien_refuses_a_step(tmp_path: Path) -> None:
    """A robot stands alone on level ground there, so that no scan of it misses a step without a word."""
    pytest.importorskip("sapien")
    path = tmp_path / "walker.xml"
    path.write_text(ROBOT.format(world=STEP))
    with pytest.raises(RobotError, match="can touch the box.*stands alone on one level plane"):
        make_plant("maniskill", path, PlantSetup.from_contract(contract_of({"term": "base_euler"})))


def test_environments_in_processes_sense_alike(tmp_path: Path) -> None:
    """What another process senses arrives row by row."""
    path = tmp_path / "walker.xml"
    path.write_text(ROBOT.format(world=""))
    contract = contract_of(
        {"term": "link_pos", "link": "sole", "frame": "world"},
        {"term": "contact", "links": ["sole"]},
        {"term": "joint_effort"},
    )
    seen = []
    for processes in (1, 2):
        made = make_plant("mujoco", path, PlantSetup.from_contract(contract), num_envs=2, processes=processes)
        here = stand(made, contract)
        pose = start(made)
        pose[1] += 0.05
        made.write(pose)
        made.step(40)
        seen.append(here.build().copy())
        made.close()
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[0][0] - seen[0][1]).max() > 1e-3


@pytest.mark.parametrize("cone", ["elliptic", "pyramidal"])
@pytest.mark.parametrize("condim", [1, 3, 6])
def test_contact_forces_of_many_states_are_those_of_each(cone: str, condim: int) -> None:
    """Two boxes stacked, sliding, in the air: the sums of what mj_contactForce says of each contact."""
    box = f'<freejoint/><geom type="box" size=".1 .1 .1" condim="{condim}"/></body>'
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><option cone="{cone}"/><worldbody><geom type="plane" size="5 5 .1"/><body name="a" pos="0 0 .1">{box}'
        f'<body name="b" pos=".05 .02 .35">{box}</worldbody></mujoco>'
    )
    states, wanted, wrench = [], np.zeros((3, 2, 3)), np.zeros(6)
    for number, steps in enumerate((100, 120, 0)):
        data = mujoco.MjData(model)
        data.qvel[:], data.xfrc_applied[1, :3] = 0.3 * number, (number, 1.0, 0.0)
        mujoco.mj_step(model, data, steps)
        states.append(Contacts.of(data))
        for contact in range(data.ncon):
            mujoco.mj_contactForce(model, data, contact, wrench)
            force = data.contact.frame[contact].reshape(3, 3).T @ wrench[:3]
            for geom, sign in zip(data.contact.geom[contact], (-1.0, 1.0), strict=True):
                if (body := model.geom_bodyid[geom]) > 0:
                    wanted[number, body - 1] += sign * force
    assert np.allclose(ContactForces(model, ["a", "b"], [1, 2]).read(states), wanted, atol=1e-9)
    assert np.abs(wanted[:2]).max() > 10.0
