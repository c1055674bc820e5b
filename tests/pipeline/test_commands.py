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


def read(folder: Path, last: dict[str, Any]) -> Pipeline:
    """A pipeline of four stages, of which the last is to be tried."""
    (folder / "c.yaml").touch()
    stages = {"teacher": TEACHER, "student": STUDENT, "port": PORT, "last": last}
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
    assert len(read(tmp_path, {"run": "play", "ports": "@port", "plant": "mujoco", **more}).stages) == 4
