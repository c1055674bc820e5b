"""A public policy behind a filter, a late inner loop and the way between targets: played, and held against itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import load_contract
from policy_port.mistakes.edits import with_action

NAME = "rl_sar_go2_robot_lab"


@pytest.mark.shared
def test_a_filtered_late_go2_stands_and_its_trace_is_equal(shared: Path, tmp_path: Path) -> None:
    """Export, play for a second in MuJoCo, verify: targets follow from raw actions; another weight is found out."""
    pytest.importorskip("mujoco")

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code in (0, 1), done.output
        return done.output

    shaped = {
        "delay": {"physics_steps": 2, "fill": "first"},
        "between": "interpolate",
        "filter": {"kind": "first_order", "alpha": 0.8, "of": "raw"},
    }
    right = with_action(load_contract(Path(__file__).parents[1] / "real_policies" / f"{NAME}.yaml"), None, **shaped)
    assert right is not None
    wrong = with_action(right, None, filter=shaped["filter"] | {"alpha": 0.2})  # type: ignore[operator]
    assert wrong is not None
    folder = shared / "real_policies"
    for name, contract in (("right", right), ("wrong", wrong)):
        (tmp_path / f"{name}.yaml").write_text(contract.to_yaml())
        policy = str(folder / "policies" / f"{NAME}.pt")
        made = ("--contract", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / name), "--format", "onnx")
        run("export", policy, *made)
    robot, played = folder / "robots" / "go2" / "go2.xml", tmp_path / "played"
    where = ("--plant", "mujoco", "--robot", str(robot), "--no-meshes", "--command", "0.5,0,0", "--seconds", "1")
    run("play", str(tmp_path / "right"), *where, "--out", str(played))
    assert json.loads((played / "metrics.json").read_text())["metrics"]["fallen"] == 0
    trace = ("--trace", str(played / "trace.npz"))
    assert "verdict: equal" in run("verify", str(tmp_path / "right"), *trace)
    assert "alpha is the weight of the new, 0.8, and not of the last" in run("verify", str(tmp_path / "wrong"), *trace)
