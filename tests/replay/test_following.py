"""Replays of a policy that follows a clip: from the command line, with the port's own clip or a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v2 as imageio
import numpy as np
import onnx
import pytest
import yaml
from typer.testing import CliRunner

from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.control.signals import Signals
from policy_port.errors import MotionError, PortError, TaskError
from policy_port.export.write import write_port
from policy_port.motion.followed import Clip
from policy_port.motion.read import read_motion
from policy_port.motion.rotations import about, yaw_only
from policy_port.port.folder import load_port
from policy_port.regress import load_suite, process
from policy_port.regress.play import CommandStep
from policy_port.regress.run import run_suite
from policy_port.regress.schedule import Told
from policy_port.regress.update import update_suite
from policy_port.remap import identity_remap
from policy_port.replay.ghost import Reference
from policy_port.replay.held import Held
from policy_port.replay.plot import clip_positions, plot_replay
from policy_port.replay.schedule import Push
from policy_port.trace import Trace
from tests.control.networks import save_linear
from tests.motion.test_following import ROBOT as FLOATING
from tests.motion.test_following import following, some_clip
from tests.port.test_whose import summed_anew
from tests.regress.conftest import here
from tests.regress.toy import ROBOT
from tests.samples import LEGS, contract_data

RATE = 50.0
FILES = {"rate": RATE, "quaternion_order": "xyzw", "joints": [LEGS[2], LEGS[0], LEGS[3], LEGS[1]]}


def follower(**motion: Any) -> Contract:
    """A policy that answers with the reference's joint positions, on stiff drives."""
    joints = {name: {"default": 0.0, "lower": -3.0, "upper": 3.0, "stiffness": 60.0, "damping": 2.0, "armature": 0.02}
              for name in LEGS}  # fmt: skip
    return Contract.model_validate(
        contract_data(
            joints=joints,
            base={"floating": False},
            observation={"terms": [{"term": "motion_joint_pos"}, {"term": "joint_vel"}]},
            action={"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
            motion={"anchor": "base", "align": "none", "end": "hold", "files": FILES, **motion},
        )
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Network, contract, robot and a clip of one second."""
    matrix = np.zeros((2 * len(LEGS), len(LEGS)))
    matrix[: len(LEGS)] = np.eye(len(LEGS))
    save_linear(tmp_path / "policy.onnx", matrix)
    (tmp_path / "toy.xml").write_text(ROBOT)
    (tmp_path / "contract.yaml").write_text(follower().to_yaml())
    time = np.arange(51) / RATE
    joints = 0.5 * np.stack([np.sin((3 + k) * time + k) for k in range(len(LEGS))], axis=1)
    pose = np.tile([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], (len(time), 1))
    np.savetxt(tmp_path / "clip.csv", np.hstack([pose, joints]), delimiter=",")
    return tmp_path


def run(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def made(folder: Path, *more: Any) -> Path:
    files = (folder / "policy.onnx", "--contract", folder / "contract.yaml", "--format", "onnx")
    done = run("export", *files, "--out", folder / "port", "--force", *more)
    assert done.exit_code == 0, done.output
    return folder / "port"


def played(folder: Path, *more: Any) -> dict[str, Any]:
    out = ("--plant", "mujoco", "--robot", folder / "toy.xml", "--out", folder / "run", "--force")
    done = run("play", folder / "port", *out, *more)
    assert done.exit_code == 0, done.output
    return json.loads((folder / "run" / "metrics.json").read_text())["metrics"]


def test_a_port_keeps_its_clip_and_follows_it(folder: Path) -> None:
    """`export --motion` puts the clip into the port, and `play` follows it for its length and says how well."""
    port = load_port(made(folder, "--motion", folder / "clip.csv"))
    assert port.motion is not None
    assert (port.motion.frames, port.motion.joint_names) == (51, tuple(FILES["joints"]))
    found = played(folder)
    assert found["duration"] == pytest.approx(1.0)
    assert found["reference_joint_rmse"] < 0.15
    again = played(folder, "--motion", folder / "clip.csv")
    assert again == found


def test_a_rate_is_the_users_word(folder: Path) -> None:
    """Export notes it and a replay's table has it: nothing in a CSV tells a wrong one."""
    files = (folder / "policy.onnx", "--contract", folder / "contract.yaml", "--format", "onnx")
    done = run("export", *files, "--out", folder / "port", "--motion", folder / "clip.csv")
    assert "clip.csv: a CSV does not tell its rate: 50 Hz is what motion.files.rate" in done.stderr
    out = ("--plant", "mujoco", "--robot", folder / "toy.xml", "--out", folder / "run", "--seconds", 0.1)
    assert "rate of the motion" in run("play", folder / "port", *out).output


def test_an_episode_ends_with_its_motion(folder: Path) -> None:
    """`end: stop` ends the episode at the last frame, which is no fall; `hold` runs on for as long as was asked."""
    for end, seconds in (("hold", 1.5), ("stop", 1.0)):
        (folder / "contract.yaml").write_text(follower(end=end).to_yaml())
        made(folder, "--motion", folder / "clip.csv")
        found = played(folder, "--seconds", 1.5)
        assert found["duration"] == pytest.approx(seconds)
        setting = json.loads((folder / "run" / "metrics.json").read_text())["setting"]
        assert setting.get("ended") == (None if end == "hold" else "with the motion, after 1.00 s (motion.end: stop)")


@pytest.mark.pictures
def test_a_video_has_the_reference_beside_the_robot(folder: Path) -> None:
    """MuJoCo draws a second, orange robot in the clip's pose, and the plot has the clip's positions."""
    made(folder, "--motion", folder / "clip.csv")
    played(folder, "--seconds", 0.1, "--video", "--plot")
    picture = next(iter(imageio.get_reader(folder / "run" / "video.mp4"))).astype(int)
    orange = (picture[..., 0] > picture[..., 2] + 40) & (picture[..., 0] > picture[..., 1] + 15)
    assert orange.sum() > 50
    trace, port = Trace(folder / "run" / "trace.npz"), load_port(folder / "port")
    assert (folder / "run" / "plot.png").read_bytes() != plot_replay(trace, title="contract in mujoco")
    assert np.isfinite(clip_positions(trace, Clip.of(port.contract, port.motion))).all()


def test_the_reference_starts_where_the_robot_does(tmp_path: Path) -> None:
    """Turned to where the robot looks and moved to a step beside it, then along the clip; its height is the clip's."""
    (tmp_path / "robot.xml").write_text(FLOATING)
    motion, contract = some_clip(), following(tmp_path / "robot.xml")
    assert motion.root_pos is not None
    assert motion.root_quat is not None
    signals = Signals(contract, ("swing", "roll", "yaw"), 1)
    controller: Any = SimpleNamespace(signals=signals, default_joint_pos=signals.default_joint_pos)
    signals.state.base_pos[:] = [3.0, -1.0, 0.8]
    signals.state.base_quat[:] = about(np.array([0.0, 0.0, 1.0]), np.array([2.0]))
    reference = Reference(Clip(motion, following(tmp_path / "robot.xml").motion, 0.02), signals.joint_names)
    first = reference.now(controller)
    np.testing.assert_allclose(first.base_pos - first.aside, [3.0, -1.0, motion.root_pos[0, 2]], atol=1e-9)
    np.testing.assert_allclose(yaw_only(first.base_quat), signals.state.base_quat[0], atol=1e-9)
    signals.time[:], signals.state.base_pos[:] = 0.2, 7.0
    later = reference.now(controller)
    moved = np.linalg.norm(later.base_pos - first.base_pos)
    assert moved == pytest.approx(np.linalg.norm(motion.root_pos[10] - motion.root_pos[0]))
    np.testing.assert_array_equal(later.joint_pos, motion.joint_pos[10][[1, 2, 0]])


@pytest.mark.parametrize("mistake", ["joint order", "rate"])
def test_another_statement_of_the_file_is_another_motion(folder: Path, mistake: str) -> None:
    """Another statement of a file's columns or rate is another motion, and another length."""
    made(folder, "--motion", folder / "clip.csv")
    right = played(folder)
    files = {"joints": list(LEGS)} if mistake == "joint order" else {"rate": 25.0}
    (folder / "contract.yaml").write_text(follower(files={**FILES, **files}).to_yaml())
    made(folder, "--motion", folder / "clip.csv")
    wrong = load_port(folder / "port").motion
    clip = read_motion(folder / "clip.csv", follower().motion.files)
    assert wrong is not None
    if mistake == "joint order":
        assert np.abs(wrong.joints(LEGS, "").joint_pos - clip.joints(LEGS, "").joint_pos).max() > 0.1
    else:
        assert played(folder)["duration"] == pytest.approx(2 * right["duration"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seconds", 1), "follows a reference motion, and nobody gives it one: say which with --motion FILE"),
        ((), "--motion for one that follows a clip"),
        (("--motion", "nothing.csv"), "nothing.csv: no such file"),
        (("--motion", "clip.csv", "--task", "so100-reach"), "--motion does not go with --task"),
    ],
)
def test_what_is_missing_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch, words: Any, message: str) -> None:
    """Without a clip nothing is played, and the message's remedy is what the test above does."""
    made(folder)
    monkeypatch.chdir(folder)
    done = run("play", "port", "--plant", "mujoco", "--robot", "toy.xml", "--out", "run", *words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())
    assert not (folder / "run").exists()


def test_a_clip_for_a_policy_that_reads_none(folder: Path) -> None:
    """`--motion` with a contract that follows nothing is refused by export and play, and left out both work."""
    plain = follower().model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    del plain["motion"]
    plain["observation"] = {"terms": [{"term": "joint_pos"}, {"term": "joint_vel"}]}
    (folder / "contract.yaml").write_text(yaml.safe_dump(plain))
    given = ("--motion", folder / "clip.csv")
    files = (
        folder / "policy.onnx",
        "--contract",
        folder / "contract.yaml",
        "--format",
        "onnx",
        "--out",
        folder / "port",
    )
    refused = run("export", *files, *given)
    assert (refused.exit_code, "leave --motion out" in refused.output) == (2, True)
    made(folder)
    out = ("--plant", "mujoco", "--robot", folder / "toy.xml", "--out", folder / "run", "--seconds", 0.2)
    refused = run("play", folder / "port", *out, *given)
    assert (refused.exit_code, "reads no reference motion; leave --motion out" in refused.output) == (2, True)
    assert run("play", folder / "port", *out).exit_code == 0
    with pytest.raises(TaskError, match="so it can't follow one: leave --motion out"):
        Held(seconds=1.0, motion=some_clip()).goals_of(load_port(folder / "port").contract)
    policy = load_policy(folder / "policy.onnx")
    contract = load_port(folder / "port").contract
    with pytest.raises(MotionError, match="leave --motion out"):
        write_port(folder / "other", policy, identity_remap(contract), formats=("onnx",), motion=some_clip())


def test_a_changed_clip_is_refused(folder: Path) -> None:
    """The clip is under the port's manifest like every other file."""
    port = made(folder, "--motion", folder / "clip.csv")
    data = (port / "motion.npz").read_bytes()
    (port / "motion.npz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = run("play", port, "--plant", "mujoco", "--robot", folder / "toy.xml", "--out", folder / "run")
    assert done.exit_code == 2
    assert "motion.npz: was changed after the port was written" in done.output


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ("other", "motion.npz: .*goes with the clip"),
        ("none", "motion.npz: is missing; policy.onnx, deploy.onnx were"),
        ("sum", "policy.onnx: belongs to another policy: it goes with the clip 000000000000"),
    ],
)
def test_a_clip_of_another_port_is_refused(folder: Path, kept: str, says: str) -> None:
    """Another port's clip, none, and a network that says another clip's sum, each under a manifest summed anew."""
    shorter = (folder / "clip.csv").read_text().splitlines()[:40]
    (folder / "shorter.csv").write_text("\n".join(shorter))
    other = (made(folder, "--motion", folder / "shorter.csv") / "motion.npz").read_bytes() if kept == "other" else b""
    port = made(folder, "--motion", folder / "clip.csv")
    if kept == "other":
        (port / "motion.npz").write_bytes(other)
    elif kept == "none":
        (port / "motion.npz").unlink()
    else:
        model = onnx.load(port / "policy.onnx")
        (entry,) = [entry for entry in model.metadata_props if entry.key == "motion_sha256"]
        entry.value = "0" * 64
        onnx.save(model, port / "policy.onnx")
    summed_anew(port)
    with pytest.raises(PortError, match=says):
        load_port(port)
    done = run("play", port, "--plant", "mujoco", "--robot", folder / "toy.xml", "--out", folder / "run")
    assert done.exit_code == 2
    assert not (folder / "run").exists()


@pytest.mark.slow
def test_a_suite_follows_the_ports_clip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`regress` replays the clip; another clip in the port is told as another observation."""
    # Verdicts are those of tests/regress/test_run.py, where each case has a process of its own.
    monkeypatch.setattr(process, "perform", here)
    made(folder, "--motion", folder / "clip.csv")
    case = {"name": "toy", "port": "port", "plant": {"simulator": "mujoco", "robot": "toy.xml"}, "seconds": 0.5,
            "timeout": 60, "expect": {"open_loop": {"steps": 20}, "golden": {}}}  # fmt: skip
    suite = folder / "toy.regress.yaml"
    suite.write_text(yaml.safe_dump({"suite_version": 1, "cases": [case]}))
    assert [item.written for item in update_suite(load_suite(suite))] == [True]
    assert [item.status for item in run_suite(load_suite(suite))] == ["pass"]
    table = np.loadtxt(folder / "clip.csv", delimiter=",")
    table[:, 7:] *= 0.8
    np.savetxt(folder / "clip.csv", table, delimiter=",")
    made(folder, "--motion", folder / "clip.csv")
    (verdict,) = run_suite(load_suite(suite))
    assert verdict.status == "regression"
    assert "motion_joint_pos" in verdict.sentence


def test_a_port_made_in_python_takes_a_clip(folder: Path) -> None:
    """`write_port(motion=...)` is what the command line calls."""
    contract = follower()
    assert contract.motion is not None
    motion = read_motion(folder / "clip.csv", contract.motion.files)
    policy = load_policy(folder / "policy.onnx")
    port = write_port(folder / "made", policy, identity_remap(contract), formats=("onnx",), motion=motion)
    assert port.pilot().motion is not None


def test_a_suite_ends_with_the_motion_too(folder: Path) -> None:
    """A case that asks for longer than a clip with `end: stop` has the clip's steps, and no push after them."""
    told = Told.of_stretches((CommandStep(command=(0.0, 0.0, 0.0), seconds=1.5),), follower())
    for end, steps in (("hold", 75), ("stop", 50)):
        contract = follower(end=end)
        assert contract.motion is not None
        clip = Clip.of(contract, read_motion(folder / "clip.csv", contract.motion.files))
        assert len(told.ending(clip.steps_of(len(told.table)), contract.control_dt).table) == steps
    late = replace(told, pushes=(Push(at=1.2, link="base", impulse=(0.0, 1.0, 0.0)),))
    with pytest.raises(TaskError, match=r"a push at 1.2 s comes after the motion.*at 1.00 s \(motion.end: stop\)"):
        late.ending(50, 0.02)
