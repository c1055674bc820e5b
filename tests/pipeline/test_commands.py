"""The commands that a pipeline runs: what each would refuse is refused before the first one runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.cli.pipeline import commands
from policy_port.errors import TrainError
from policy_port.pipeline.document import Pipeline, read_pipeline

LEARNT = {"plant": "mujoco", "robot": "r.xml", "task": "go2_velocity"}
TEACHER = {"run": "train", "contract": "c.yaml", **LEARNT}
STUDENT = {"run": "distil", "teacher": "@teacher", "student_contract": "c.yaml", **LEARNT}
PORT = {"run": "export", "policy": "@student"}

PLAYED = {"run": "play", "ports": "@port", "plant": "mujoco"}
BOTH = {"run": "play", "ports": "@port", "each": {"plant": ["mujoco", "newton"]}}


def read(folder: Path, last: dict[str, Any]) -> Pipeline:
    """A pipeline of stages, of which the last is to be tried."""
    (folder / "c.yaml").touch()
    stages = {"teacher": TEACHER, "student": STUDENT, "port": PORT, "played": PLAYED, "both": BOTH, "last": last}
    file = folder / "toy.yaml"
    file.write_text(yaml.safe_dump({"policy_port_pipeline": 1, "name": "toy", "stages": stages}, sort_keys=False))
    return read_pipeline(file, commands())


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({**STUDENT, "env": "PickCube-v1"}, "--plant, --robot, --task goes with --plant: a ManiSkill"),
        ({**STUDENT, "student_images": ["a=8x8"]}, "--student-images goes with --env"),
        ({"run": "distil", "teacher": "@teacher"}, "given --plant, --robot and --student-contract"),
        ({**TEACHER, "randomise": "posterior"}, "give it with --dynamics"),
        ({"run": "play", "ports": "@port", "env": "PickCube-v1", "plant": "mujoco"}, "exactly one of --env"),
        ({"run": "play", "ports": "@port", "plant": "mujoco", "task": "so100-reach", "seconds": 3.0}, "--seconds does"),
        ({"run": "regress", "suite": "c.yaml", "update": True, "case": ["a"]}, "so --case does not go with it"),
        ({**PORT, "format": "onxx"}, "format 'onxx' is unknown"),
        ({**PORT, "policy": "@student:checkpoint"}, "@student:checkpoint does not say what its numbers mean"),
        ({**PORT, "policy": "c.yaml"}, "does not say what its numbers mean; give its contract with --contract"),
        ({**PORT, "run": "remap", "mapping": "no_such"}, "no_such"),
        ({"run": "finetune", "student": "@student:checkpoint"}, "give --contract, --plant, --robot, --task"),
        ({"run": "finetune", "student": "c.yaml", "contract": "c.yaml", "plant": "newton"}, "give --robot, --task"),
        ({"run": "compare", "runs": "@played"}, "two runs or more"),
        ({"run": "compare", "runs": "@both", "name": ["one"]}, "each of the 2 runs a --name of its own"),
        ({"run": "compare", "runs": "@both", "dynamics": "c.yaml"}, "one without the dynamics and one under them"),
        (
            {**PORT, "policy": "@port", "contract": "c.yaml"},
            "policy names @port, and that stage makes a port; policy",
        ),
        (
            {"run": "finetune", "student": "@port"},
            "a port; student takes a run or @NAME:checkpoint. Before it: @teacher",
        ),
        (
            {**STUDENT, "teacher": "@played"},
            "a replay; teacher takes a run or a port or @NAME:checkpoint. Before it: @",
        ),
        ({**STUDENT, "teacher": "@port:checkpoint", "teacher_contract": "c.yaml"}, "a port, of which there is no such"),
        ({"run": "play", "ports": "@student", "plant": "mujoco"}, "a run; ports takes a port. Before it: @port$"),
        ({"run": "play", "ports": "@student:checkpoint", "plant": "mujoco"}, "ports takes a port. Before it: @port$"),
        (
            {"run": "compare", "runs": ["@port", "@played"]},
            "a port; runs takes a replay. Before it: @played, @both",
        ),
        (
            {"run": "measure", "policy": "@played", **LEARNT},
            "a replay; policy takes a port or a run. Before it:",
        ),
        (
            {**TEACHER, "contract": "@student"},
            "a run; contract takes @NAME:contract. Before it: @teacher:con",
        ),
        ({**TEACHER, "agent": "@teacher"}, "agent names @teacher, and takes no stage; of its options these do: con"),
        ({"run": "regress", "suite": "@port"}, "suite names @port, and takes no stage; of its options these do: none"),
        ({**PORT, "policy": "@both"}, "policy names @both, which is 2 stages, and takes one: both.mujoco, both.newton"),
    ],
)
def test_options_that_a_command_refuses_together_are_told_first(
    tmp_path: Path, last: dict[str, Any], message: str
) -> None:
    """Hours of training before the stage that can't run would be lost: its line, name and reason are told at once."""
    with pytest.raises(TrainError) as caught:
        read(tmp_path, last)
    assert re.search(rf"toy\.yaml:\d+: stage 'last': .*{message}", str(caught.value)), caught.value


@pytest.mark.parametrize("more", [{}, {"seconds": 3.0}, {"command": "0.5,0,0"}, {"motion": "c.yaml"}])
def test_what_only_the_port_can_say_is_not_asked_before_it_is_there(tmp_path: Path, more: dict[str, Any]) -> None:
    """A port that is still to be made may bring the clip that it follows."""
    assert len(read(tmp_path, {"run": "play", "ports": "@port", "plant": "mujoco", **more}).stages) == 7


@pytest.mark.parametrize(
    "last",
    [
        {"run": "compare", "runs": "@both"},
        {"run": "compare", "runs": ["@played", "@both"], "name": ["a", "b", "c"]},
        {"run": "measure", "policy": "@student", **LEARNT},
        {"run": "measure", "policy": "@port", **LEARNT},
        {"run": "finetune", "student": "@teacher", "critic_contract": "@teacher:contract"},
        {**STUDENT, "teacher": "@port"},
        {**PORT, "policy": "@student:checkpoint", "contract": "@student:contract"},
    ],
)
def test_what_a_stage_may_name_is_not_refused(tmp_path: Path, last: dict[str, Any]) -> None:
    """A run, a port, a replay or a part where each belongs; as many as `each` makes where several are taken."""
    assert read(tmp_path, last).stages[-1].name == "last"


def test_a_file_that_teaches_is_given_its_contract(tmp_path: Path) -> None:
    """As the message has it, or the whole run teaches."""
    file = {**STUDENT, "teacher": "@teacher:checkpoint"}
    with pytest.raises(TrainError, match="give --teacher-contract, or the whole run as the teacher"):
        read(tmp_path, file)
    for mended in ({**file, "teacher_contract": "@teacher:contract"}, STUDENT):
        assert read(tmp_path, mended).stages[-1].name == "last"
