"""From a contract to what a plant needs; robots and simulators by name."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from policy_port.contract.spec import Contract
from policy_port.errors import ContractError, MissingDependencyError, RobotError
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.find import find_robot
from tests.samples import contract_data


def contract(**changes: object) -> Contract:
    """A contract of two joints; keyword arguments replace whole keys."""
    data: dict = {
        "base": {"floating": True, "height": 0.4, "frame": "imu"},
        "actuation": {"kind": "explicit", "gravity_compensation": True},
        "joints": {
            "hip": {"default": 0.1, "stiffness": 20.0, "damping": 0.5, "armature": 0.01, "effort_limit": 23.5},
            "knee": {"default": -0.2, "stiffness": 30.0, "damping": 0.6},
        },
        "observation": {"terms": [{"term": "joint_pos"}]},
    }
    return Contract.model_validate(contract_data(**data | changes))


def test_every_number_of_the_contract_arrives():
    """What the contract does not state stays None, for the robot file to say."""
    driven = partial(JointSetup, commanded=True)
    assert PlantSetup.from_contract(contract()) == PlantSetup(
        joints=(
            driven(name="hip", default=0.1, stiffness=20.0, damping=0.5, armature=0.01, effort_limit=23.5),
            driven(name="knee", default=-0.2, stiffness=30.0, damping=0.6),
        ),
        actuation="explicit",
        timestep=0.005,
        control_dt=0.02,
        floating=True,
        height=0.4,
        frame="imu",
        gravity_compensation=True,
    )


@pytest.mark.parametrize(("timestep", "decimation"), [(None, 4), (0.002, 10), (0.02, 1), (0.004, 5), (1 / 300, 6)])
def test_another_timestep_keeps_the_control_period(timestep, decimation):
    """The decimation follows."""
    setup = PlantSetup.from_contract(contract(), timestep=timestep)
    assert setup.decimation == decimation
    assert setup.control_dt == 0.02


@pytest.mark.parametrize("timestep", [0.003, 0.03, -0.001, 0.0, float("nan"), 1e-320])
def test_a_timestep_that_does_not_divide_the_control_period_is_refused(timestep):
    """The message names both."""
    with pytest.raises(RobotError, match=r"timestep of .* s does not divide the control period of 0\.02 s"):
        PlantSetup.from_contract(contract(), timestep=timestep)


def test_joints_in_degrees_need_a_mapping():
    """A simulator speaks radians; --through names the mapping between the two."""
    with pytest.raises(RobotError, match=r"joint 'hip' is in deg.*--through MAPPING"):
        PlantSetup.from_contract(contract(joints={"hip": {"default": 0.0, "unit": "deg"}}))


def test_drives_without_gains_are_refused():
    """Unless the robot file's own actuators hold them."""
    joints = {"hip": {"default": 0.0, "stiffness": 1.0}}
    with pytest.raises(ContractError, match=r"kind is implicit, but damping is not stated for hip.*kind: model"):
        PlantSetup.from_contract(contract(joints=joints, actuation={"kind": "implicit"}))
    setup = PlantSetup.from_contract(contract(joints=joints, actuation={"kind": "model"}))
    assert setup.joints[0].damping is None


def test_a_robot_is_found_by_path_or_by_name(tmp_path):
    """so100 is the file in the ManiSkill package, found without importing it."""
    file = tmp_path / "robot.urdf"
    file.write_text("<robot/>")
    assert find_robot(str(file)) == file
    pytest.importorskip("sapien")
    code = "import sys; from policy_port.robot_models.find import find_robot; print(find_robot('so100'))\n"
    run = subprocess.run(
        [sys.executable, "-c", code + "assert 'mani_skill' not in sys.modules"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert Path(run.stdout.strip()).is_file()


def test_robots_that_are_not_there_are_errors(tmp_path):
    """Each says what would do: the nearest name, the files in the folder, the endings that are read."""
    (tmp_path / "robot.urdf").write_text("<robot/>")
    (tmp_path / "robot.txt").write_text("")
    with pytest.raises(RobotError, match=r"so10: no such file; did you mean 'so100'\?"):
        find_robot("so10")
    with pytest.raises(RobotError, match=r"is a folder.*robot\.urdf"):
        find_robot(tmp_path)
    with pytest.raises(RobotError, match=r"ends in \.urdf, \.xml or \.mjcf"):
        find_robot(tmp_path / "robot.txt")


def test_an_unknown_plant_is_an_error(tmp_path):
    """Naming those there are."""
    (tmp_path / "robot.urdf").write_text("<robot/>")
    with pytest.raises(RobotError, match=r"'mujocoo'; did you mean 'mujoco'\? There are: mujoco, maniskill, newton"):
        make_plant("mujocoo", tmp_path / "robot.urdf", PlantSetup.from_contract(contract()))


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [("mujoco", "mujoco", "sim"), ("maniskill", "sapien", "sim"), ("newton", "newton", "newton")],
)
def test_a_simulator_that_is_not_installed_is_named(tmp_path, monkeypatch, kind, package, extra):
    """With the command that installs it."""
    (tmp_path / "robot.urdf").write_text("<robot/>")
    for module in [
        name for name in sys.modules if name.startswith(("policy_port.plants.m", "policy_port.plants.newton"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"package {package}, .*pip install 'policy-port\[{extra}\]'"):
        make_plant(kind, tmp_path / "robot.urdf", PlantSetup.from_contract(contract()))
