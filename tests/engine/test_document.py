"""ENGINE.yaml: what does not go together is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.engine.halves import check_apart, write_halves
from policy_port.errors import EvidenceError, PolicyPortError
from policy_port.identify.files import Unstated, read_recordings
from policy_port.resources import assets_dir
from policy_port.trace import Recorder
from tests.engine.lab import JOINTS, Lab

HIDDEN = "policy_port_dynamics: 1\nrobot: {{file: {}}}\njoints: {{{}: {{delay: 0.06}}}}\n"
PLAN = "policy_port_plan: 1\ncontrol_frequency: 30\nsegments:\n  - {kind: steps, seconds: 2.0}\n"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"turns": 0}, "turns"),
        ({"turn": 2}, "did you mean 'turns'"),
        ({"arm": "so101"}, "another robot"),
        ({"arm": "so102"}, "toy.yaml:.* arm: .*no such file"),
        ({"policy": "so100_reach"}, "did you mean 'so100-reach'"),
        ({"policy": "model.pt"}, "write `contract:` with its contract"),
        ({"robot": "panda"}, "another robot's description"),
        ({"task": "go2_velocity"}, "is no task of kind reach"),
        ({"collect": {"plan": "fit.yaml"}}, "no segment of fit.yaml has `use: held_out`"),
        ({"emulated": {"dynamics": "panda.yaml"}}, "emulated.dynamics: .* with panda.urdf, and .* is another robot's"),
        ({"emulated": {"dynamics": "joint.yaml"}}, "have a joint 'elbow', and"),
        ({"emulated": {"quick": True}}, "quick"),
        ({"identify": {"held_out": ["none.npz"]}}, "identify.held_out: .*none.npz: no such file"),
        ({"identify": {"priors": "sts3251"}}, "identify.priors: sts3251: no such file of priors"),
        ({"identify": {"priors": "fit.yaml"}}, "fit.yaml:1: .*policy_port_plan"),
        ({"identify": {"accept": ["scale:griper"]}}, "identify.accept: .*no doubt has this name.* 'scale:gripper'"),
        ({"identify": {"payload": "Jaw"}}, "identify.payload: .* has no link 'Jaw' .* Fixed_Jaw"),
        ({"identify": {"data": ["fit.yaml"]}}, "identify.data: .*fit.yaml: is not a trace"),
        ({"finetune": {"agent": "none.yaml"}}, "finetune.agent: .*none.yaml: no such file"),
        ({"finetune": {"agent": "fit.yaml"}}, "finetune.agent: .*policy_port_plan"),
        ({"collect": {"plan": "far.yaml"}}, "collect.plan: the plan names joint 'elbow'"),
        ({"policy": "model.pt", "contract": "none.yaml"}, "policy: .*none.yaml: no such file"),
        ({"out": "model.pt"}, "out: .*model.pt is a file"),
        ({"play": {"episodes": 1}}, "episodes"),
        ({"level": 0.7}, "level"),
    ],
)
def test_what_does_not_go_together_is_refused(lab: Lab, changes: dict[str, Any], says: str) -> None:
    """Each mistake is named with the key, or the file, that is at fault."""
    (lab.folder / "panda.yaml").write_text(HIDDEN.format("panda.urdf", "elbow_flex"))
    (lab.folder / "joint.yaml").write_text(HIDDEN.format("so100", "elbow"))
    (lab.folder / "fit.yaml").write_text(PLAN)
    held = "  - {kind: steps, seconds: 2.0, joints: [elbow], use: held_out}\n"
    (lab.folder / "far.yaml").write_text(PLAN + held)
    (lab.folder / "model.pt").write_bytes(b"")
    lab.write(**changes)
    with pytest.raises(PolicyPortError, match=says):
        lab.engine()
    assert not (lab.folder / "toy").exists()


def test_what_a_message_asks_for_is_taken(lab: Lab) -> None:
    """A plan with a segment to hold out, a task of kind reach, a checkpoint with its contract: each is read then."""
    held = PLAN + "  - {kind: multisine, seconds: 2.0, use: held_out}\n"
    (lab.folder / "plan.yaml").write_text(held)
    (lab.folder / "task.yaml").write_text("policy_port_task: 1\nkind: reach\nname: a\ntask: so100-reach\n")
    shipped = assets_dir() / "so100_reach"
    files = {"policy": str(shipped / "model.pt"), "contract": str(shipped / "contract.yaml")}
    lab.write(collect={"plan": "plan.yaml"}, task="task.yaml", **files)
    engine = lab.engine()
    assert engine.plan_file == lab.folder / "plan.yaml"
    # The links of the arm feel gravity, though the policy learnt without.
    assert not engine.contract.actuation.gravity_compensation


def test_a_real_arm_needs_somebody_at_the_terminal(lab: Lab) -> None:
    """What a file says is no Enter: without a terminal a real arm is not moved; --plan says what would be."""
    lab.write(emulated=None)
    file = str(lab.folder / "toy.yaml")
    planned = CliRunner().invoke(app, ["engine", file, "--plan"])
    assert "turn1-collect: run, and moves THE ARM" in planned.output
    refused = CliRunner().invoke(app, ["engine", file])
    assert refused.exit_code == 2
    assert "nobody can press Enter here" in refused.output
    lab.write(emulated={})
    assert lab.engine().document.emulated is not None


def recorded(
    file: Path, uses: tuple[str, ...], done: int | None = None, *, seed: int = 0, stopped: int | None = None
) -> Path:
    """A recording of a plan, an episode for each use."""
    rng = np.random.default_rng(seed)
    header = {"joint_names": JOINTS, "control_dt": 0.05, "planned": [{"use": use} for use in uses]}
    if stopped is not None:
        header["episodes"] = [{"env": 0, "episode": stopped, "seed": stopped, "stopped": "it stays behind"}]
    with Recorder(file, header, durable=False) as recorder:
        for episode in range(len(uses) if done is None else done):
            for step in range(30):
                state = rng.normal(size=(1, 6))
                recorder.record(
                    joint_pos=state, target=state, episode=np.array([episode]), time=np.array([0.05 * step])
                )
    return file


def test_a_recording_is_parted_by_episode(tmp_path: Path) -> None:
    """Each half has the plan's own episodes, whole; a run that was ended early, or has one half only, is refused."""
    files = write_halves(recorded(tmp_path / "trace.npz", ("fit", "held_out", "fit")), tmp_path)
    check_apart([files["fit"]], [files["held_out"]])
    with pytest.raises(EvidenceError, match="ended after 1 of 2 episodes; collect it anew"):
        write_halves(recorded(tmp_path / "short.npz", ("fit", "held_out"), 1), tmp_path)
    with pytest.raises(EvidenceError, match="no episode of its plan is to be held out"):
        write_halves(recorded(tmp_path / "half.npz", ("fit", "fit")), tmp_path)
    with Recorder(tmp_path / "other.npz", {"joint_names": JOINTS}, durable=False) as recorder:
        recorder.record(episode=np.array([0]))
    with pytest.raises(EvidenceError, match="is no recording of a plan; `policy-port collect` makes them"):
        write_halves(tmp_path / "other.npz", tmp_path)


def test_a_stopped_episode_is_no_data(tmp_path: Path) -> None:
    """What the supervisor stopped is in neither half, and `identify` reads it in no trace; a half needs another."""
    uses = ("fit", "held_out", "fit")
    trace = recorded(tmp_path / "trace.npz", uses, stopped=0)
    assert {item.name[-2:] for item in read_recordings([trace], Unstated())} == {".1", ".2"}
    (item,) = read_recordings([write_halves(trace, tmp_path)["fit"]], Unstated())
    assert len(item.measured) == 30
    with pytest.raises(EvidenceError, match="all episodes to be held out were stopped, .* it stays behind"):
        write_halves(recorded(tmp_path / "other.npz", uses, stopped=1), tmp_path)


def test_what_is_held_out_under_another_name_is_still_found(tmp_path: Path, lab: Lab) -> None:
    """A copy of what is fitted, written anew with another header, is no held-out recording."""
    one, two = recorded(tmp_path / "a.npz", ("fit",)), recorded(tmp_path / "b.npz", ("fit", "fit"), seed=0)
    with pytest.raises(EvidenceError, match="the same motion is fitted in"):
        check_apart([one], [two])
    check_apart([one], [recorded(tmp_path / "c.npz", ("fit",), seed=1)])
    lab.write(identify={"data": ["a.npz"], "held_out": ["b.npz"]})
    with pytest.raises(EvidenceError, match="Take one of them out"):
        lab.engine()
    lab.write(identify={"data": ["a.npz"], "held_out": ["c.npz"]})
    lab.engine()
