"""One turn with the real commands, on an emulated arm, each stage with next to nothing to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
pytest.importorskip("mani_skill", reason="ManiSkill, which ships the arm's description, is not installed")
pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from policy_port.cli.engine import PARTS, commands
from policy_port.dynamics.document import load_dynamics
from policy_port.engine.document import read_engine
from policy_port.engine.turning import turn_crank
from policy_port.resources import assets_dir
from policy_port.train import reach

pytestmark = pytest.mark.filterwarnings("ignore")

POSE = {"shoulder_pan": 0.0, "shoulder_lift": -0.9, "elbow_flex": 0.6, "wrist_flex": 0.5, "wrist_roll": 0.0}
MOTION: dict[str, Any] = {"kind": "multisine", "amplitude": 0.25, "low": 0.3, "high": 1.5, "pose": POSE}


def test_a_turn_from_motion_to_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm moves, its delay is found, the policy learns under it and plays: a column of figures, a page, hashes."""
    for name in ("EPISODES", "FINAL"):
        monkeypatch.setattr(reach, name, 4)
    priors = yaml.safe_load((assets_dir() / "identify" / "sts3215.yaml").read_text())
    for name, one in priors["joint"].items():
        one["fit"] = name in ("stiffness", "damping")
    plan = {"policy_port_plan": 1, "control_frequency": 30,
            "segments": [MOTION | {"seconds": 3.0}, MOTION | {"seconds": 2.0, "use": "held_out"}]}  # fmt: skip
    hidden = {"policy_port_dynamics": 1, "robot": {"file": "so100"},
              "joints": {"elbow_flex": {"stiffness": 14.0, "damping": 2.0, "drive_damping": 0.0}}}  # fmt: skip
    engine = {
        "policy_port_engine": 1, "name": "short", "arm": "so100", "policy": "so100-reach", "out": "run",
        "emulated": {"dynamics": "hidden.yaml"}, "collect": {"plan": "plan.yaml"},
        "identify": {"priors": "priors.yaml", "segments": 8, "runs": False},
        "finetune": {"iterations": 1, "num_envs": 2, "agent": "agent.yaml"}, "play": {"episodes": 2},
    }  # fmt: skip
    files = {"priors": priors, "plan": plan, "hidden": hidden, "engine": engine, "agent": {"num_steps_per_env": 4}}
    for name, data in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(data))
    done = turn_crank(read_engine(tmp_path / "engine.yaml"), commands(), PARTS, print)
    assert [turn.number for turn in done.turns] == [0, 1]
    found = done.turns[1]
    assert found.dynamics is not None
    assert found.dynamics.held_out[0].rmse < (found.dynamics.held_out[0].stock_rmse or 0.0) / 2.0
    assert [pairing.gap is not None and pairing.gap < 0.5 for _, pairing in found.scores] == [True, True]
    assert found.dynamics.sha256 == load_dynamics(tmp_path / "run" / "turn1-identify" / "dynamics.yaml").sha256
    assert [len(file["use"]) for file in found.dynamics.model_dump()["data"]] == [len("fit"), len("held_out")]
    # Nothing was learnt, so the same policy played twice, and the crank stops.
    assert not done.verdicts[0].better
    assert "stopped by itself: turn 1 brought nothing significant; the result is the policy of turn 0" in done.text()
    kept = json.loads((tmp_path / "run" / "engine.json").read_text())
    assert kept["turns"][1]["scores"].keys() == {"turn 0", "turn 1"}
