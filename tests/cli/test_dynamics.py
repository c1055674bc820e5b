"""`--dynamics` on the command line: the hash is on record, and what does not fit is refused with nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")
pytest.importorskip("onnxruntime")

from policy_port.cli.app import app
from policy_port.cli.play_real import embedded
from policy_port.dynamics.document import load_dynamics
from policy_port.resources import assets_dir
from policy_port.trace import Trace
from tests.compare.recordings import FREQUENCY, walk

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded") / "port"
    embedded(folder)
    return folder


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


ARM = "a" * 64


def dynamics(folder: Path, joint: str, common: str = "{}") -> Path:
    path = folder / "dynamics.yaml"
    robot = f"policy_port_dynamics: 1\nrobot: {{file: so100.urdf, calibration_sha256: {ARM}}}\n"
    path.write_text(f"{robot}joints: {{elbow_flex: {{{joint}}}}}\ncommon: {common}\n")
    return path


WAYS: dict[str, tuple[Any, ...]] = {
    "plant": ("--plant", "mujoco", "--task", "so100-reach"),
    "env": ("--env", "PolicyPortSO100Reach-v1"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_replay_is_another_under_dynamics_and_says_which(way: str, port: Path, tmp_path: Path) -> None:
    """Weak gains and friction change where the elbow goes, and the hash stands in trace and report."""
    file = dynamics(tmp_path, "stiffness: 30, drive_damping: 4, friction: 0.5")
    common = ("play", port, *WAYS[way], "--episodes", 1, "--out")
    assert invoke(*common, tmp_path / "stock").exit_code == 0
    done = invoke(*common, tmp_path / "learned", "--dynamics", file)
    assert done.exit_code == 0, done.output
    stock, learned = (Trace(tmp_path / name / "trace.npz") for name in ("stock", "learned"))
    known = load_dynamics(file).sha256
    assert learned.header["dynamics_sha256"] == known
    assert learned.header["dynamics_calibration_sha256"] == ARM
    assert "dynamics_sha256" not in stock.header
    assert known[:12] in json.dumps(json.loads((tmp_path / "learned" / "metrics.json").read_text()))
    elbow = stock.header["joint_names"].index("elbow_flex")
    assert abs(stock["joint_pos"][:, 0, elbow] - learned["joint_pos"][:, 0, elbow]).max() > 0.02


@pytest.mark.parametrize(
    ("way", "joint", "common", "says"),
    [
        ("plant", "delay: 0.9", "{gravity_tilt: [0.1, 0]}", "does not feel gravity"),
        ("plant", "dealy: 0.1", "{}", "did you mean 'delay'"),
        ("env", "delay: 0.06, friction: 0.1", "{}", "delay can't be given to a ManiSkill environment"),
    ],
)
def test_what_does_not_fit_is_refused(way: str, joint: str, common: str, says: str, port: Path, tmp_path: Path) -> None:
    """A slip of the pen, a lean that nothing feels, a delay in an environment: exit 2, the cause, and no folder."""
    file = dynamics(tmp_path, joint, common)
    done = invoke("play", port, *WAYS[way], "--episodes", 1, "--out", tmp_path / "out", "--dynamics", file)
    assert done.exit_code == 2
    assert says in done.output
    assert not (tmp_path / "out").exists()
    if way == "env":
        # As the message says: on a plant with --plant maniskill.
        plant = ("--plant", "maniskill", "--task", "so100-reach")
        done = invoke("play", port, *plant, "--episodes", 1, "--out", tmp_path / "out", "--dynamics", file)
        assert done.exit_code == 0, done.output


CONSUMERS: dict[str, tuple[str, ...]] = {
    "plant": ("play", "PORT", "--plant", "mujoco", "--task", "so100-reach", "--out", "OUT"),
    "env": ("play", "PORT", "--env", "PolicyPortSO100Reach-v1", "--out", "OUT"),
    "arm": ("play", "PORT", "--real", "--robot", "so100", "--emulated", "--fast", "--out", "OUT"),
    "collect": ("collect", "--robot", "so100", "--emulated", "--fast", "--plan", "PLAN", "--out", "OUT"),
    "preview": ("collect", "--robot", "so100", "--preview", "--plan", "PLAN", "--out", "OUT"),
    "emulate": ("emulate", "so100", "--model", "mujoco"),
    "train": ("train", "CONTRACT", "--plant", "mujoco", "--robot", "so100", "--task", "so100-reach", "--out", "OUT"),
}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_another_robots_dynamics_are_refused_wherever_they_are_given(consumer: str, port: Path, tmp_path: Path) -> None:
    """Of a robot with the same joints, without a hash: exit 2, both named, and no folder."""
    file = dynamics(tmp_path, "friction: 0.1")
    file.write_text(file.read_text().replace("so100.urdf", "so101_new_calib.xml"))
    plan = tmp_path / "plan.yaml"
    plan.write_text("policy_port_plan: 1\ncontrol_frequency: 30\nsegments: [{kind: steps, seconds: 1.0}]\n")
    contract = assets_dir() / "so100_reach" / "contract.yaml"
    places = {"PORT": port, "OUT": tmp_path / "out", "PLAN": plan, "CONTRACT": contract}
    done = invoke(*(places.get(one, one) for one in CONSUMERS[consumer]), "--dynamics", file)
    assert done.exit_code == 2, done.output
    assert "so101_new_calib.xml, and" in done.output
    assert "is another robot's, whatever its joints are called" in done.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_compare_tells_the_gap_before_and_after(tmp_path: Path) -> None:
    """Against a recorded run, what is under the dynamics is nearer; a run of each kind is asked for, and then taken."""
    file = dynamics(tmp_path, "delay: 0.05")
    known = {"dynamics_sha256": load_dynamics(file).sha256}
    real, stock = walk(tmp_path / "real", steps=100), walk(tmp_path / "stock", steps=100, late=0.1)
    learned = walk(tmp_path / "learned", steps=100, late=0.02, header=known)
    alike = walk(tmp_path / "alike", steps=100, late=0.08)
    lacking = invoke("compare", real, stock, alike, "--dynamics", file)
    assert lacking.exit_code == 2
    assert "with --dynamics FILE and without" in lacking.output
    done = invoke("compare", real, stock, learned, "--dynamics", file)
    assert done.exit_code == 0, done.output
    gap = done.output[done.output.index("gap to real") :].splitlines()
    assert gap[1].split()[:2] == ["before", "stock:"]
    assert gap[2].split()[:2] == ["after", "learned:"]
    # The joints are sines: late by t they are away by amplitude * sqrt(2) * sin(pi * frequency * t).
    ratio = np.sin(np.pi * FREQUENCY * 0.02) / np.sin(np.pi * FREQUENCY * 0.1)
    assert gap[3].strip() == f"{100.0 * (1.0 - ratio):.0f} % smaller"


def test_dynamics_go_with_an_arm_that_is_not_there(tmp_path: Path) -> None:
    """A real arm has its own, and the emulated servo model none; with what the message names it goes on."""
    file = dynamics(tmp_path, "delay: 0.05")
    real = invoke("play", "so100-reach", "--real", "--robot", "so100", "--out", tmp_path / "o", "--dynamics", file)
    assert real.exit_code == 2
    assert "--dynamics goes with --emulated" in real.output
    servo = invoke("emulate", "--dynamics", file, "--duration", 0.1)
    assert servo.exit_code == 2
    assert "--model mujoco" in servo.output
    assert invoke("emulate", "--dynamics", file, "--model", "mujoco", "--duration", 0.1).exit_code == 0
