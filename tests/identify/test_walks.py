"""A robot that stands on its own feet, identified from traces: what is recovered, and which recordings are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics
from policy_port.dynamics.posterior import draw
from policy_port.errors import DynamicsError, EvidenceError, RobotError
from policy_port.identify.floating import load_legged
from policy_port.identify.session import Request, run
from policy_port.identify.walks import cut_walks, read_walks
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.trace import Recorder

LEGS = ("a", "b", "c")
JOINTS = tuple(f"{leg}_{part}" for leg in LEGS for part in ("hip", "knee"))
HIDDEN = {"ground_friction": 0.35, "base_mass": 0.8}
DELAY = 0.013


def tripod() -> str:
    """A box of 2 kg on three legs of two joints."""
    legs = "".join(
        f"""<body name="{leg}_thigh" pos="{place}"><joint name="{leg}_hip" axis="0 1 0"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.18" size="0.02" mass="0.4" contype="0" conaffinity="0"/>
          <body name="{leg}_shin" pos="0 0 -0.2"><joint name="{leg}_knee" axis="0 1 0"/>
            <geom type="sphere" pos="0 0 -0.2" size="0.03" mass="0.2"/></body></body>"""
        for leg, place in zip(LEGS, ("0.2 0 0", "-0.1 0.15 0", "-0.1 -0.15 0"), strict=True)
    )
    return f"""<mujoco><worldbody><body name="base" pos="0 0 0.45"><freejoint/>
        <geom type="box" size="0.15 0.1 0.05" mass="2" contype="0" conaffinity="0"/>{legs}
        </body></worldbody></mujoco>"""


def contract() -> Contract:
    joint = {"stiffness": 40.0, "damping": 1.0, "armature": 0.01}
    bends = {"hip": 0.3, "knee": -0.6}
    joints = {name: {**joint, "default": bends[name.partition("_")[2]]} for name in JOINTS}
    return Contract.model_validate(
        {
            "contract_version": 1, "name": "tripod", "robot": "tripod", "trained_in": "nowhere", "timestep": 0.005,
            "decimation": 4, "base": {"floating": True}, "actuation": {"kind": "implicit"}, "joints": joints,
            "observation": {"terms": [{"term": "joint_pos_rel"}]},
            "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
        }
    )  # fmt: skip


def record(robot: Path, path: Path, seed: int, seconds: float = 5.0) -> Path:
    """What it does under random targets, as a trace; its feet slip and its dynamics are hidden."""
    joints = {name: {"delay": DELAY} for name in JOINTS}
    hidden = Dynamics.model_validate(
        {"policy_port_dynamics": 1, "robot": {"file": "tripod.xml"}, "joints": joints, "common": HIDDEN}
    )
    plant = make_plant("mujoco", robot, PlantSetup.from_contract(contract()), dynamics=(hidden,))
    default = np.array([[joint.default for joint in contract().joints.values()]])
    random, state = np.random.default_rng(seed), PlantState.allocate(1, len(JOINTS))
    target, recorder = default.copy(), Recorder(path, {"joint_names": list(JOINTS)})
    for step in range(round(seconds / 0.02)):
        plant.read(state)
        if step % 5 == 0:
            target = default + random.uniform(-0.35, 0.35, default.shape)
        arrays = {name: getattr(state, name).copy() for name in ("joint_pos", "joint_vel", "base_pos", "base_quat",
                                                                 "base_lin_vel", "base_ang_vel")}  # fmt: skip
        recorder.record(time=np.array([0.02 * step]), target=target.copy(), **arrays)
        plant.write(target)
        plant.step(4)
    recorder.close()
    plant.close()
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The robot, and two traces of it."""
    folder = tmp_path_factory.mktemp("tripod")
    robot = folder / "tripod.xml"
    robot.write_text(tripod())
    return {"robot": robot, **{name: record(robot, folder / f"{name}.npz", seed) for seed, name in enumerate("xy")}}


def request(files: dict[str, Path], **changed: object) -> Request:
    given = {"plant": "mujoco", "robot": str(files["robot"]), "contract": contract(), "data": (files["x"],),
             "held_out": (files["y"],), "segments": 40}  # fmt: skip
    return Request(**{**given, **changed})  # type: ignore[arg-type]


@pytest.mark.pictures
def test_friction_mass_and_delay_of_a_standing_robot_are_recovered(files: dict[str, Path]) -> None:
    """From five seconds of slipping feet, as a document whose posterior can be drawn from."""
    done = run(request(files))
    said = dict(done.dynamics.estimates())
    for name, truth, near in (("ground_friction", 0.35, 0.02), ("base_mass", 0.8, 0.1), ("a_hip.delay", DELAY, 0.001)):
        assert said[name].identified
        assert abs(said[name].value - truth) < near, name
    held = done.dynamics.held_out[0]
    assert held.stock_rmse is not None
    assert held.rmse < 0.2 * held.stock_rmse
    assert done.dynamics.posterior is not None
    delays = {one.joints[name].delay.value for one in draw(done.dynamics, 1, 0) for name in JOINTS}  # type: ignore[union-attr]
    assert max(delays) - min(delays) < 1e-9, "one number for all joints is drawn as one"
    assert "0.1 s ahead, held-out" in done.text
    assert "Error by time ahead" in str(done.report())


def changed(files: dict[str, Path], **arrays: np.ndarray | None) -> Path:
    """A copy of the first trace with other arrays; None leaves one out."""
    path = files["x"].with_name("changed.npz")
    with np.load(files["x"]) as held:
        kept = {name: held[name] for name in held.files if not name.endswith(".json")}
    kept = {name: array for name, array in {**kept, **arrays}.items() if array is not None}
    recorder = Recorder(path, {"joint_names": list(JOINTS)})
    for row in range(len(kept["time"])):
        recorder.record(**{name: array[row] for name, array in kept.items()})
    recorder.close()
    return path


def array(files: dict[str, Path], name: str) -> np.ndarray:
    with np.load(files["x"]) as held:
        return held[name]


def test_wrong_recordings_are_named(files: dict[str, Path]) -> None:
    """No base, degrees, a stuck joint, another robot's joints, targets that belong to another time."""
    position, target = array(files, "joint_pos"), array(files, "target")
    stuck = position.copy()
    stuck[..., 2] = 0.3
    cases = {
        r"has no base_pos, base_quat; a robot that walks": {"base_pos": None, "base_quat": None},
        r"its readings are in degrees": {"joint_pos": np.degrees(position)},
        r"joint b_hip is stuck": {"joint_pos": stuck},
        r"base_quat is no unit quaternion": {"base_quat": 0.5 * array(files, "base_quat")},
        r"predictions are off by .* shifted against each other in time": {"target": target[::-1].copy()},
    }
    for says, arrays in cases.items():
        with pytest.raises(EvidenceError, match=says):
            run(request(files, data=(changed(files, **arrays),), held_out=()))
    with pytest.raises(EvidenceError, match=r"has joint 'a_hip' which the robot file has not.*another robot's"):
        read_walks([files["x"]], ("hip", "knee"))
    with pytest.raises(EvidenceError, match="no recording is 60 s long"):
        cut_walks(read_walks([files["x"]], JOINTS), 60.0)


def test_what_a_walk_cant_have_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """Options of arms, one trace on both sides, a base measured at a site, and priors of an arm."""
    with pytest.raises(EvidenceError, match="leave --plant maniskill out"):
        run(request(files, plant="maniskill"))
    with pytest.raises(EvidenceError, match="is both fitted and held out"):
        run(request(files, held_out=(files["x"],)))
    framed = contract().model_copy(update={"base": contract().base.model_copy(update={"frame": "a_shin"})})
    with pytest.raises(RobotError, match=r"measures the base at 'a_shin'.*Leave base\.frame out"):
        run(request(files, contract=framed))
    (tmp_path / "mine.yaml").write_text("identify_legged_priors: 1\nparameters: {mass: {}}\n")
    with pytest.raises(DynamicsError, match=r"mine.yaml:2"):
        load_legged(tmp_path / "mine.yaml")
    with pytest.raises(DynamicsError, match="of walking robots legged is shipped"):
        load_legged(tmp_path / "none.yaml")
