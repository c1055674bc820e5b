"""`policy-port identify` from the command line: what it writes, and that nothing is written of wrong data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.dynamics.document import load_dynamics
from policy_port.identify import doubts
from policy_port.identify import identify as identifying
from policy_port.trace import Recorder
from tests.identify.hidden_arm import ARM, HIDDEN, JOINTS, dynamics_of, play

CONTRACT = """
contract_version: 1
name: hidden arm
robot: arm.xml
trained_in: a test
quaternion_order: none
timestep: 0.005
decimation: 4
base: {floating: false}
actuation: {kind: implicit}
joints:
  shoulder: {default: 0.0, stiffness: 20.0, damping: 2.0}
  elbow: {default: 0.0, stiffness: 20.0, damping: 2.0}
observation: {terms: [{term: joint_pos}]}
action: {terms: [{term: joint_position, scale: 1.0, offset: default}]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A robot file, its contract, and two recordings as traces: whole.npz, held.npz, and one in degrees."""
    folder = tmp_path_factory.mktemp("identify")
    (folder / "arm.xml").write_text(ARM)
    (folder / "bare.xml").write_text(ARM.split("<actuator>")[0] + "</mujoco>")
    (folder / "arm.yaml").write_text(CONTRACT)
    (folder / "other.yaml").write_text(CONTRACT.replace("elbow", "wrist"))
    hidden = dynamics_of(HIDDEN, {"encoder_noise": 0.0005})
    for name, kind in (("whole", 0), ("held", 2)):
        item = play(folder / "arm.xml", hidden, kind, rows=200)
        for label, unit in ((name, 1.0), (f"{name}_degrees", float(np.rad2deg(1.0)))):
            with Recorder(folder / f"{label}.npz", {"joint_names": list(JOINTS)}) as recorder:
                for row in range(len(item.time)):
                    recorder.record(
                        time=item.time[row : row + 1],
                        joint_pos=unit * item.measured[row : row + 1],
                        target=unit * item.command[row : row + 1],
                    )
    pair = {"qpos": item.measured, "target_qpos": item.command}
    np.savez(folder / "pair.npz", **pair)
    joints = "\n".join(f"  {name}: {{unit: deg}}" for name in JOINTS)
    names = ", ".join(JOINTS)
    (folder / "degrees.yaml").write_text(
        f"source_joint_names: [{names}]\ntarget_joint_names: [{names}]\njoints:\n{joints}\n"
    )
    (folder / "few.yaml").write_text(_priors("delay"))
    (folder / "one.yaml").write_text(_priors("damping"))
    return folder


def _priors(searched: str) -> str:
    """Priors that search one parameter of each joint, for a quick fit."""
    from policy_port.identify.parameters import PRIORS
    from policy_port.resources import assets_dir

    text = (assets_dir() / "identify" / f"{PRIORS}.yaml").read_text().replace("fit: true", "fit: false")
    head, _, tail = text.partition(f"\n  {searched}:")
    return f"{head}\n  {searched}:{tail.replace('fit: false', 'fit: true', 1)}"


QUICK = "--out new.yaml --segments 8 --horizon 0.2 --timestep 0.01 --priors one.yaml".split()


def run(folder: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit status and everything printed."""
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["identify", "--robot", "arm.xml", *QUICK, *arguments])
    return result.exit_code, result.output


@pytest.mark.pictures
def test_dynamics_and_a_report_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a trace, with another held out, a document that is read back and one page with its plots come out."""
    # Why errors are not noise is not the question here, and looking for it takes most of the time.
    monkeypatch.setattr(identifying, "WRONG", math.inf)
    told = ("--held-out", "held.npz", "--priors", "few.yaml", "--report", "new.html")
    code, said = run(folder, "whole.npz", *told, monkeypatch=monkeypatch)
    assert code == 0, said
    assert "held out, 0.5 s ahead" in said
    assert "next: policy-port play PORT ... --dynamics new.yaml" in said
    dynamics = load_dynamics(folder / "new.yaml")
    assert dynamics.joints["elbow"].delay is not None
    assert {item.use for item in dynamics.data} == {"fit", "held_out"}
    assert dynamics.held_out
    assert "Errors [rad] by horizon and joint" in (folder / "new.html").read_text()
    code, said = run(folder, "whole.npz", monkeypatch=monkeypatch)
    assert code == 2
    assert "exists; name another file, or replace it with --force" in said
    (folder / "new.yaml").unlink()
    # The page is as dear as the document.
    code, said = run(folder, "whole.npz", "--report", "new.html", monkeypatch=monkeypatch)
    assert (code, "new.html: exists" in said, (folder / "new.yaml").exists()) == (2, True, False)
    assert run(folder, "whole.npz", "--report", "new.html", "--force", monkeypatch=monkeypatch)[0] == 0
    (folder / "new.yaml").unlink()


@pytest.mark.parametrize(
    ("arguments", "said", "obeyed"),
    [
        ("whole_degrees.npz", "they are in degrees. Give the unit with --mapping", "--mapping degrees.yaml"),
        ("pair.npz", "state them with --rate HZ and --joints", "--rate 50 --joints shoulder,elbow"),
        ("whole.npz --robot bare.xml", "Give the contract that states stiffness", "--contract arm.yaml"),
        ("whole.npz --contract other.yaml", "Give the contract of this robot with --contract", "--contract arm.yaml"),
        ("whole.npz --horizon 3.95", "or look less far ahead with --horizon", "--horizon 0.5"),
        ("whole.npz --segments 1000000000", "less than or equal to 2000", ""),
        ("whole.npz --report whole.npz --force", "whole.npz: is read; name another file", ""),
        ("whole.npz --report new.yaml", "is to be both dynamics and page", ""),
        ("whole.npz --actuator network --plant maniskill", "--actuator network goes with --plant mujoco", ""),
        ("whole.npz held.npz --hold-out-after 3", "--hold-out-after goes with a single recording", ""),
        ("whole.npz --held-out whole.npz", "is both fitted and held out", ""),
        ("whole.npz --hold-out-after 3.9", "leaves less than 20 rows on one side", ""),
        ("whole.npz --priors absent.yaml", "no such file of priors", ""),
        ("gone.npz", "no such file", ""),
        ("whole.npz --payload hand", "has no link 'hand' to carry a payload; it has: ", ""),
    ],
)
def test_what_is_refused_writes_nothing_and_names_what_to_do(
    arguments: str, said: str, obeyed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong data and options end with status 2 and leave no file; the remedy that is named works."""
    monkeypatch.chdir(folder)
    # Why errors are not noise is not the question here, and looking for it takes most of the time.
    monkeypatch.setattr(identifying, "WRONG", math.inf)
    given = arguments.split()
    robot = [] if "--robot" in given else ["--robot", "arm.xml"]
    result = CliRunner().invoke(app, ["identify", *robot, *QUICK, *given])
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.output.split()).replace("│ ", "")
    assert not (folder / "new.yaml").exists()
    if obeyed:
        result = CliRunner().invoke(app, ["identify", *robot, *QUICK, *given, *obeyed.split()])
        assert result.exit_code == 0, result.output
        (folder / "new.yaml").unlink()


def test_a_doubt_is_accepted_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused with its name; accepted, the file and what is printed say so; a name of no doubt is an error."""
    raised = [doubts.Doubt(name="sign:elbow", what="with elbow turned over, in commands and readings", share=0.4)]
    monkeypatch.setattr(doubts, "doubts", lambda *given: raised)
    monkeypatch.setattr(identifying, "WRONG", 0.0)
    monkeypatch.chdir(folder)
    quick = "identify whole.npz --robot arm.xml --segments 8 --priors few.yaml --out new.yaml".split()

    def said(*accepted: str) -> tuple[int, str]:
        options = [part for name in accepted for part in ("--accept", name)]
        result = CliRunner().invoke(app, [*quick, *options])
        return result.exit_code, " ".join(result.output.split()).replace("│ ", "")

    code, text = said()
    assert (code, "go on with --accept sign:elbow; in an engine's file" in text) == (2, True), text
    assert "identify: {accept: ['sign:elbow']}" in text
    code, text = said("sign:elbwo")
    assert (code, "did you mean 'sign:elbow'" in text) == (2, True), text
    code, text = said("sign:elbow", "scale:elbow")
    assert (code, "--accept scale:elbow: these recordings raise no such doubt; leave it out" in text) == (2, True), text
    assert not (folder / "new.yaml").exists()
    code, text = said("sign:elbow")
    assert (code, "accepted: sign:elbow: the recordings are predicted better" in text) == (0, True), text
    assert load_dynamics(folder / "new.yaml").accepted[0].startswith("sign:elbow: the recordings are predicted better")
    (folder / "new.yaml").unlink()
