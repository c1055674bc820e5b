"""dynamics.yaml: read strictly, written whole, held against the robot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policy_port.dynamics.document import Dynamics, check_robot, load_dynamics, write_dynamics
from policy_port.errors import DynamicsError
from policy_port.files import sha256

WHOLE = """
policy_port_dynamics: 1
robot: {file: arm.xml, sha256: %s}
joints:
  shoulder:
    armature: {value: 0.028, interval: [0.02, 0.03], identified: true, source: fit}
    friction: 0.05
    delay: 0.0603
  elbow: {backlash: 0.035, offset: -0.01, gain: 1.02}
common:
  payload: {link: hand, mass: 0.2}
  gravity_tilt: [0.02, {value: -0.01, identified: false}]
  encoder_step: 0.00153
correlated: [[shoulder.friction, payload_mass, -0.97]]
data: [{file: a.npz, sha256: %s, use: fit}]
held_out: [{horizon: 0.5, rmse: 0.01, stock_rmse: 0.04, joints: {elbow: {rmse: 0.02}}}]
posterior: {names: [shoulder.friction, gravity_tilt_y], mean: [0.05, -0.01], covariance: [[1.0e-4, 0], [0, 1.0e-6]]}
"""
EMPTY = "policy_port_dynamics: 1\nrobot: {file: arm.xml}\n"


def given(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "dynamics.yaml"
    path.write_text(text)
    return path


def test_what_is_written_is_read_back_with_the_same_hash(tmp_path: Path) -> None:
    """Every number survives, and the hash is the written file's, whatever comments stood in the one that was read."""
    first = load_dynamics(given(tmp_path, "# by hand\n" + WHOLE % ("a" * 64, "b" * 64)))
    write_dynamics(tmp_path / "again.yaml", first)
    again = load_dynamics(tmp_path / "again.yaml")
    assert again == first
    assert first.sha256 == again.sha256 == sha256(tmp_path / "again.yaml")
    assert [name for name, _ in first.estimates()][:3] == ["shoulder.armature", "shoulder.friction", "shoulder.delay"]
    assert {name: one.value for name, one in first.estimates()}["gravity_tilt_y"] == -0.01


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("joints: {a: {friction: -0.1}}", ":3: joints.a.friction: -0.1 is not from 0"),
        ("joints: {a: {friction: {value: 0.1, interval: [-0.1, 0.2]}}}", "-0.1 is not from 0"),
        ("joints: {a: {delay: 60}}", "60 is not from 0 to 1: it is from command to motion in seconds"),
        ("joints: {a: {offset: 3}}", "it is in radians"),
        ("joints: {a: {backlash: 2}}", "full width of the play in radians"),
        ("joints: {a: {gain: -1}}", "a sign belongs in a mapping"),
        ("joints: {a: {gain: true}}", "gain"),
        ("joints: {a: {effort_limit: 0}}", "above zero"),
        ("joints: {a: {frictoin: 0}}", "did you mean 'friction'"),
        ("joints: {a: {friction: {value: 1, interval: [0, 0.5]}}}", "outside its interval"),
        ("correlated: [[a.friction, a.delay, 1]]", "no parameter is called 'a.friction'"),
        ("data: [{file: x, sha256: abc, use: fit}]", "data[0].sha256"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    """Negative friction, degrees for radians, milliseconds for seconds, slips of the pen: each is named."""
    with pytest.raises(DynamicsError) as caught:
        load_dynamics(given(tmp_path, EMPTY + line))
    assert says in str(caught.value)


def test_other_values_stand_where_their_names_say(tmp_path: Path) -> None:
    """Every name that a document lists can be given another value, which stands under that name and no other."""
    first = load_dynamics(given(tmp_path, WHOLE % ("a" * 64, "b" * 64)))
    for name, estimate in first.estimates():
        changed = first.with_values({name: estimate.value * 0.5})
        differing = [key for key, value in changed.estimates() if value.value != dict(first.estimates())[key].value]
        assert differing == [name]
    with pytest.raises(DynamicsError, match="can't be"):
        first.with_values({"shoulder.friction": -1.0})


def test_another_robots_dynamics_are_refused_by_joint_and_by_file(tmp_path: Path) -> None:
    """A joint that the robot lacks and a description of other content or name are named."""
    robot = tmp_path / "arm.xml"
    robot.write_text("<mujoco/>")
    document = load_dynamics(given(tmp_path, EMPTY + "joints: {elbow: {delay: 0.01}}"))
    check_robot(document, robot, ("shoulder", "elbow"))
    with pytest.raises(DynamicsError, match="a joint 'elbow', and .*did you mean 'elbow1'"):
        check_robot(document, robot, ("shoulder", "elbow1"))
    for of in ({"file": "arm.xml", "sha256": "a" * 64}, {"file": "leg.xml"}):
        other = Dynamics.model_validate({**document.model_dump(), "robot": of})
        with pytest.raises(DynamicsError, match="or write `robot: {file: arm.xml}` into the dynamics"):
            check_robot(other, robot, ("elbow",))


ACTUATOR = """
actuator:
  file: net.onnx
  sha256: %s
  inputs:
  - {name: position_error, lags: [0, 1, 2], scale: -1.0}
  - {name: velocity, lags: [0, 1, 2]}
  spacing: 0.005
  output: torque
"""


def test_a_network_travels_with_its_document(tmp_path: Path) -> None:
    """Read from beside the document, kept through other values, and written beside the next one."""
    (tmp_path / "net.onnx").write_bytes(b"network")
    path = given(tmp_path, EMPTY + "joints: {a: {friction: 0.1}}" + ACTUATOR % sha256(tmp_path / "net.onnx"))
    found = load_dynamics(path).with_values({"a.friction": 0.2})
    (tmp_path / "next").mkdir()
    write_dynamics(tmp_path / "next" / "dynamics.yaml", found)
    again = load_dynamics(tmp_path / "next" / "dynamics.yaml")
    assert again == found
    assert again.actuator[0].data == b"network"
    assert again.sha256 != load_dynamics(path).sha256


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("net.onnx", "gone.onnx"), "gone.onnx can't be read"),
        (("net.onnx", "../net.onnx"), "actuator.file"),
        (("net.onnx", "net.h5"), "ends in none of .onnx"),
        (("position_error", "pos_error"), "actuator.inputs[0].name"),
        (("scale: -1.0", "scale: 0.0"), "by 0 the network learns nothing"),
        (("[0, 1, 2]}", "[0, 1, 1]}"), "one stands twice"),
        (("spacing: 0.005", "spacing: 5"), "actuator.spacing"),
        (("output: torque", "output: torque\n  state: {layers: 2, width: 8}"), "an LSTM remembers by its state"),
        (("output: torque", "output: torque\n  saturation_effort: 9.0"), "give both or neither"),
        (("output: torque", "output: torque\n  hidden: 8"), "unknown key 'hidden'"),
        (("sha256: ", "sha256: f"), "actuator.sha256"),
    ],
)
def test_an_actuator_is_read_strictly(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    """Each mistake is named with its key; the network's file is the one that was meant."""
    (tmp_path / "net.onnx").write_bytes(b"network")
    text = (EMPTY + ACTUATOR) % sha256(tmp_path / "net.onnx")
    load_dynamics(given(tmp_path, text))
    with pytest.raises(DynamicsError, match=re.escape(says)):
        load_dynamics(given(tmp_path, text.replace(*change, 1)))


def test_another_network_than_the_one_that_was_meant_is_refused(tmp_path: Path) -> None:
    """A file of the same name with other content is not run; nor do two networks drive one joint."""
    (tmp_path / "net.onnx").write_bytes(b"another")
    with pytest.raises(DynamicsError, match="net.onnx is another file"):
        load_dynamics(given(tmp_path, EMPTY + ACTUATOR % ("a" * 64)))
    text = EMPTY + "joints: {a: {backlash: 0.1}}" + ACTUATOR % ("a" * 64)
    with pytest.raises(DynamicsError, match=r"joints\.a\.backlash: a learned actuator drives it"):
        load_dynamics(given(tmp_path, text))
