"""A wheeled quadruped that a public project trained, rolling."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app

pytestmark = pytest.mark.shared

CONTRACT = Path(__file__).resolve().parents[1] / "real_policies" / "rl_sar_go2w.yaml"
WHEEL = '<origin rpy="1.5707963 0 0" xyz="0 0 0"/><geometry><cylinder radius="0.086" length="0.05"/>'
MESH = r'<origin rpy="[^"]*" xyz="[^"]*" ?/>\s*<geometry>\s*<mesh filename="[^"]*_wheel.dae" ?/>'


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_a_go2w_rolls(shared: Path, tmp_path: Path) -> None:
    """Imported as it is published, it rolls in MuJoCo at the commanded 0.5 m/s within a tenth, and verify agrees.

    Its wheels' meshes are not shared: cylinders of the wheel's size stand for them.
    """
    pytest.importorskip("mujoco")
    folder = shared / "real_policies"
    files = [str(folder / "wheels" / f"rl_sar_go2w.{part}.yaml") for part in ("config", "base")]
    policy, imported, port, out = str(folder / "wheels/rl_sar_go2w.pt"), tmp_path / "go2w.yaml", "port", "out"
    more = ("base.floating=true", "base.min_height=0.2", "base.max_tilt=1.0", "joints.*.armature=0.01")
    keys = [word for key in more for word in ("--set", key)]
    said = run("contract", "import", *files, "--policy", policy, "--actuation", "explicit", *keys, "--name",
               "rl_sar_go2w", "--out", str(imported))  # fmt: skip
    assert "writes 12 joint positions, 4 joint velocities" in said
    assert imported.read_text() == CONTRACT.read_text()
    published = (folder / "robots/go2w/go2w.urdf").read_text()
    text, count = re.subn(f"<collision>\\s*{MESH}", f"<collision>{WHEEL}", published)
    assert count == 4
    robot = tmp_path / "go2w.urdf"
    robot.write_text(text)
    port, out = tmp_path / "port", tmp_path / "out"
    run("export", policy, "--contract", str(imported), "--out", str(port))
    run("play", str(port), "--plant", "mujoco", "--robot", str(robot), "--no-meshes", "--command", "0.5,0,0",
        "--seconds", "4", "--out", str(out))  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())["metrics"]
    assert metrics["fallen"] == 0
    assert metrics["mean_lin_vel_x"] == pytest.approx(0.5, rel=0.1)
    assert metrics["joint_tracking_rmse"] < 0.5
    assert metrics["joint_velocity_rmse"] > 0.0
    assert "verdict: equal" in run("verify", str(port), "--trace", str(out / "trace.npz"))
