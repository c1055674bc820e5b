"""scripts/mjlab_crossing: its recorder, its table, its environment; and itself, where mjlab is."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.trace import Trace

ROOT = Path(__file__).resolve().parents[1]
MJLAB = Path(os.environ.get("POLICY_PORT_MJLAB_VENV", ROOT / ".venv-mjlab")) / "bin" / "python"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a program of benchmarks/ or examples/ as if it were run from there."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name in ("mjlab_crossing", "mjlab_steps", "foreign_runs", "record_mjlab"):
            del sys.modules[name]


def verified(module: Any, **more: Any) -> Any:
    errors = {"base_lin_vel": 6e-7, "joint_vel": 1e-7, "target": 2e-7, "action": 3e-7, "control_dt": 0.0}
    given = {"status": 0, "equal": 10, "compared": 10, "wrong": (), "unmade": (), "action_error": 3e-7, "said": ""}
    return module("foreign_runs").Verified(**{**given, "errors": errors, **more})


def made(module: Any, **more: Any) -> Any:
    crossing = module("mjlab_crossing")
    given = {"task": "go1", "read": "own.onnx, env.yaml", "flags": "none", "steps": 100, "verified": verified(module)}
    return crossing.Run(**{**given, **more})


def test_only_what_was_compared_and_equal_is_good(module: Any) -> None:
    """A wrong comparison, one that could have been made and was not, a task that failed: none of them is."""
    assert made(module).good
    assert not made(module, verified=verified(module, wrong=("base_lin_vel",))).good
    assert not made(module, verified=verified(module, unmade=("command",))).good
    assert made(module, task="g1_tracking", verified=verified(module, unmade=("command",))).good
    assert not module("mjlab_crossing").Run(task="go1", reason="no").good


def test_the_table_says_what_differs_and_what_was_not_done(module: Any) -> None:
    """Action, observation and target each have their largest difference; a task that failed has its reason."""
    crossing = module("mjlab_crossing")
    wrong = verified(module, status=1, equal=9, wrong=("base_lin_vel",))
    found = [
        made(module, verified=wrong),
        crossing.Run(task="g1", reason="mjlab_steps.py ended with status 1\nlong log"),
        made(module, task="yam_lift_cube", flags="--set base.floating=false"),
    ]
    text = crossing.document(found, ["mjlab 1.6.0"])
    cells = "| 9 of 10 (base_lin_vel wrong) | 3.0e-07 | 6.0e-07 | 2.0e-07 |"
    assert f"| go1 | own.onnx, env.yaml | none {cells}" in text
    assert "- **g1** was not done: mjlab_steps.py ended with status 1\n" in text
    assert "long log" not in text
    assert "- **yam_lift_cube** needs `--set base.floating=false`: whether a robot is bolted down" in text


def test_the_files_of_an_import_are_told(module: Any) -> None:
    """As `contract import` prints them."""
    said = "/a b/c.yaml: contract 'c' from /r/own/own.onnx, /r/own/params/env.yaml (onnx_metadata)\n  reads x"
    assert module("mjlab_crossing").files_of(said) == "own.onnx, env.yaml"


def crossing(*options: str, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "mjlab_crossing.py"), "--python", str(python), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.mark.parametrize(
    ("options", "python", "message"),
    [
        (("--only", "go2"), sys.executable, "--only: go2 is not among go1, g1, g1_tracking, yam_lift_cube"),
        ((), "/nowhere/bin/python", "--python: /nowhere/bin/python can't be run"),
    ],
)
def test_bad_options_are_named(options: tuple[str, ...], python: str, message: str, tmp_path: Path) -> None:
    """Exit status 2, what was given, what exists; nothing is written."""
    done = crossing("--work", str(tmp_path / "work"), *options, python=Path(python))
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "work").exists()


def test_an_environment_without_mjlab_is_said(tmp_path: Path) -> None:
    """The task's reason is the run's last words, in the table and on the console, and the exit status is 1."""
    out = tmp_path / "table.md"
    done = crossing("--only", "go1", "--work", str(tmp_path / "work"), "--out", str(out))
    assert done.returncode == 1, done.stderr
    assert "No module named 'mjlab'" in done.stderr
    assert "mjlab absent" in out.read_text()
    assert "**go1** was not done: mjlab_steps.py ended with status 1" in out.read_text()


def test_an_environment_that_can_not_be_made_stops_the_script() -> None:
    """scripts/mjlab_crossing names the variable and what is wrong with it, before anything runs."""
    # What makes this project's own environment is not to be started here.
    script = (ROOT / "scripts" / "mjlab_crossing").read_text()
    assert "set_up_once || exit 1\n" in script
    script = script.replace("set_up_once || exit 1\n", "").replace('$(dirname "$0")/..', str(ROOT))
    environment = {**os.environ, "POLICY_PORT_MJLAB_VENV": "/nowhere"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "POLICY_PORT_MJLAB_VENV=/nowhere: no Python 3.12 or newer runs as bin/python there" in done.stderr


class Mjlab:
    """The attributes of an environment of mjlab that the recipe reads; each step adds one to all."""

    def __init__(self, biased: bool) -> None:
        import torch

        ones = torch.ones(5, 3)
        self.unwrapped = self
        self.ones = ones
        data = SimpleNamespace(
            joint_pos=ones * 2, joint_pos_biased=ones * 3, joint_vel=ones, root_link_pos_w=ones * 4, encoder_bias=ones
        )
        data.root_link_quat_w, data.root_link_lin_vel_b, data.root_link_ang_vel_b = torch.ones(5, 4), ones, ones
        robot = SimpleNamespace(
            joint_names=("hip", "knee", "mimic"), data=data, indexing=SimpleNamespace(root_body_id=1)
        )
        self.scene = type("Scene", (dict,), {"env_origins": ones})(robot=robot)
        term = SimpleNamespace(target_names=["hip", "knee"], _processed_actions=torch.full((5, 2), 9.0))
        self.action_manager = SimpleNamespace(get_term=lambda name: {"joint_pos": term}[name])
        self.command_manager = SimpleNamespace(active_terms=["twist"], get_command=lambda name: {"twist": ones}[name])
        terms = {"joint_pos": SimpleNamespace(params={"biased": True} if biased else {}), "gone": None}
        self.cfg = SimpleNamespace(decimation=4, observations={"actor": SimpleNamespace(terms=terms)})
        self.physics_dt, self.step_dt = 0.005, 0.02
        self.episode_length_buf = torch.zeros(5)
        self.sim = SimpleNamespace(mj_model=imu())

    def get_observations(self) -> dict[str, Any]:
        return {"actor": self.ones}

    def step(self, action: Any) -> tuple[Any, None, None, None]:
        self.ones += 1  # in place, as mjlab does
        return self.get_observations(), None, None, None


def imu() -> Any:
    """A model with an IMU on the root body, and one on another."""
    mujoco = pytest.importorskip("mujoco")
    return mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body name="pelvis"><freejoint/><geom size="0.1"/><site name="a" pos="0.1 0 -0.2"/>
        <body><joint/><geom size="0.1"/><site name="b"/></body></body></worldbody><sensor>
        <velocimeter name="robot/imu_lin_vel" site="a"/><gyro name="robot/imu_ang_vel" site="a"/>
        <velocimeter name="robot/torso_lin_vel" site="b"/><accelerometer name="robot/imu_acc" site="a"/>
        </sensor></mujoco>"""
    )


@pytest.mark.parametrize("biased", [True, False])
def test_the_recipe_records_joints_as_the_policy_reads_them(module: Any, tmp_path: Path, biased: bool) -> None:
    """Where the policy sees biased encoders, the trace has them; a passive joint's target is where it is."""
    env = Mjlab(biased)
    module("record_mjlab").record(env, lambda obs: obs["actor"] * 2, tmp_path / "t.npz", steps=2)
    trace = Trace(tmp_path / "t.npz")
    read = 3.0 if biased else 2.0
    assert trace["joint_pos"].shape == (2, 4, 3), "four of five environments"
    assert set(trace["joint_pos"].ravel()) == {read}
    assert trace["target"][0, 0].tolist() == [9.0, 9.0, read]
    assert trace["observation"][:, 0, 0].tolist() == [1.0, 2.0], "copied before the step writes into its buffer"
    assert trace.header["action_names"] == ["hip", "knee"]
    assert np.allclose(trace["sensor_pos_imu_lin_vel"][0, 0], [0.1, 0.0, -0.2])
    assert trace["sensor_quat_imu_ang_vel"][1, 3].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert "sensor_pos_torso_lin_vel" not in trace, "it is on another body"


@pytest.mark.shared
def test_what_mjlab_recorded_is_equal(shared: Path, tmp_path: Path) -> None:
    """Go1 with a clip, a scale and a history: exact from env.yaml, all comparisons with mjlab's trace are equal."""
    peers = shared / "failing_inputs/peers"
    text = (peers / "mjlab_env_yaml/env.yaml").read_text(encoding="utf-8")
    for name, old, new in (
        ("joint_pos", "clip: null", "clip: !!python/tuple [-0.1, 0.1]"),
        ("joint_vel", "scale: null", "scale: 0.05"),
        ("base_ang_vel", "history_length: 0", "history_length: 3"),
    ):
        head, found, tail = text.partition(f"      {name}:\n        func:")
        text = head + found + tail.replace(old, new, 1)
    (tmp_path / "params").mkdir()
    (tmp_path / "params/env.yaml").write_text(text, encoding="utf-8")
    network = shutil.copy(peers / "mjlab_terms_clip/d_Go1.onnx", tmp_path)
    trace = str(peers / "mjlab_terms_clip/trace.npz")
    contract, port = str(tmp_path / "c.yaml"), str(tmp_path / "port")
    # The trace was recorded without the IMU's place, which stands in mjlab's go1.xml.
    imu = "observation.terms.base_lin_vel.point=[-0.01592, -0.06659, -0.00617]"
    for words, says in (
        (["contract", "import", network, "--out", contract, "--set", imu], "= 54"),
        (["export", network, "--contract", contract, "--out", port], "parity"),
        (["verify", port, "--trace", trace], "verdict: equal in 11 comparisons"),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert says in " ".join(done.output.split())


@pytest.mark.slow
@pytest.mark.skipif(not MJLAB.exists(), reason=f"no mjlab: {MJLAB} is absent; scripts/mjlab_crossing makes it")
def test_go1_is_verified_inside_mjlab(tmp_path: Path) -> None:
    """mjlab's own Go1 task is imported without an option and equal in all comparisons."""
    options = ("--only", "go1", "--steps", "20", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "table.md"))
    done = crossing(*options, python=MJLAB)
    assert done.returncode == 0, done.stdout + done.stderr
