"""`policy-port collect` on the command line: what does not go together, and a preview."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.cli.app import app
from policy_port.trace import Trace

pytestmark = pytest.mark.filterwarnings("ignore")
PLAN = """policy_port_plan: 1
control_frequency: 30
segments:
- {kind: steps, joints: [elbow_flex], seconds: 0.5, amplitude: 0.1, pose: {shoulder_lift: -0.9, elbow_flex: 0.6}}
"""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in ("collect", "--robot", "so100", *arguments)])


def test_options_that_do_not_go_together_are_named(tmp_path: Path) -> None:
    """Each stray option is refused before anything is written; without it, as said, the preview is made."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    common = ("--plan", tmp_path / "plan.yaml", "--out", tmp_path / "out")
    for stray, says in (
        ((), "exactly one of --real"),
        (("--real", "--emulated"), "exactly one of --real"),
        (("--real", "--fault", "silent:gripper@1+1"), "--fault goes with --emulated"),
        (("--real", "--fast"), "--fast goes with --emulated: a real arm has the time of its own"),
        (("--real", "--dynamics", "x.yaml"), "--dynamics goes with --emulated and --preview"),
        (("--preview", "--report"), "--report goes with --real and --emulated"),
        (("--emulated", "--no-video"), "--no-video goes with --preview"),
    ):
        done = invoke(*common, *stray)
        assert done.exit_code == 2
        assert says in " ".join(done.output.replace("│", " ").split())
        assert not (tmp_path / "out").exists()
    done = invoke(*common, "--preview", "--no-video")
    assert done.exit_code == 0, done.output
    assert "excited: " in done.output
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"metrics.json", "plot.png", "trace.npz"}
    assert Trace(tmp_path / "out" / "trace.npz").header["planned"][0]["use"] == "fit"
