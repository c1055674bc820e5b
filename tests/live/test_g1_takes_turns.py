"""Published policies of the 29-joint G1 take turns on one robot: it stands, walks, is pushed, dances and walks on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.trace import Trace

CONTRACTS = Path(__file__).resolve().parents[1] / "real_policies"
SCHEDULE = """schedule_version: 1
seconds: 8.6
command:
- {at: 0, to: {lin_vel_x: 0.0}}
- {at: 0.6, to: {lin_vel_x: 0.6}, ramp: 0.3}
- {at: 2.6, to: {lin_vel_x: 0.0}, ramp: 0.3}
- {at: 7.0, to: {lin_vel_x: 0.6}, ramp: 0.3}
pushes:
- {at: 1.6, link: torso_link, impulse: [0, 12, 0]}
ports:
- {at: 0, port: walk}
- {at: 3.8, port: dance, blend: 0.4}
- {at: 6.2, port: walk, blend: 0.4, largest_jump: 0.3}
"""


def run(*words: str | Path) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output


@pytest.mark.shared
def test_stand_walk_dance_walk(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It falls at no change of policy, follows the clip as it dances, and walks as fast after the dance as before."""
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    real = shared / "real_policies"
    robot, tracking, clip = real / "robots/g1_29dof/g1_29dof.xml", real / "tracking", "rl_sar_g1_dance_102.csv"
    policy, contract = real / "policies/unitree_rl_lab_g1_29dof.onnx", CONTRACTS / "unitree_rl_lab_g1_29dof.yaml"
    run("export", policy, "--contract", contract, "--format", "onnx", "--out", "walk")
    configs = (tracking / "rl_sar_g1_dance_102.config.yaml", tracking / "rl_sar_g1.base.yaml")
    run("contract", "import", *configs, "--robot", robot, "--actuation", "implicit", "--out", "dance.yaml")
    made = ("--contract", "dance.yaml", "--motion", tracking / clip, "--format", "onnx", "--out", "dance")
    run("export", tracking / "rl_sar_g1_dance_102.pt", *made)
    Path("show.yaml").write_text(SCHEDULE)
    where = ("--plant", "mujoco", "--robot", robot, "--no-meshes", "--out", "show")
    run("play", "walk", "dance", "--schedule", "show.yaml", *where)
    metrics, trace = json.loads(Path("show/metrics.json").read_text())["metrics"], Trace("show/trace.npz")
    assert (metrics["survival"], metrics["fallen"], metrics["pushes_survived"]) == (8.6, 0, 1)
    assert metrics["push_1_recovery"] < 1.5
    assert metrics["switch_2_jump_made"] <= 0.3 + 1e-6
    speed = trace["base_lin_vel"][:, 0, 0]
    before, after = speed[100:130].mean(), speed[400:430].mean()
    assert 0.4 < before < 0.8
    assert abs(after - before) < 0.15
    # The clip by itself: 60 Hz, its 29 joints in MuJoCo's order after the root's seven numbers.
    wanted = np.loadtxt(tracking / clip, delimiter=",")[:, 7:]
    steps = np.arange(230, 310)
    frames = np.rint((steps - 190) * 0.02 * 60.0).astype(int)
    error = trace["joint_pos"][steps, 0] - wanted[frames]
    assert np.sqrt(np.mean(error**2)) < 0.12
