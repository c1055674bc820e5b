"""The pipelines in examples/ are whole: every option exists, and Isaac Lab's guide stands in them number by number."""

from __future__ import annotations

import shutil
from pathlib import Path

from policy_port.cli.pipeline import commands
from policy_port.contract import load_contract
from policy_port.contract.measurable import measurable
from policy_port.pipeline.document import Pipeline, read_pipeline
from policy_port.tasks.velocity import load_task
from policy_port.train.settings import DistilAgent, PpoAgent, read_agent
from tests.conftest import ROOT

G1, ROVER = ROOT / "examples" / "g1_teacher_student", ROOT / "examples" / "rover_teacher_student"


def read(folder: Path) -> Pipeline:
    return read_pipeline(folder / "pipeline.yaml", commands())


def test_the_g1_is_isaac_labs(tmp_path: Path) -> None:
    """Networks, iterations, environments and the rewards that the guide states, and one setting that scales them."""
    folder = shutil.copytree(G1, tmp_path / "g1")
    (folder / "g1_29dof.xml").write_text("<mujoco/>")
    pipeline = read(folder)
    assert {stage.kind for stage in pipeline.stages} == {
        "train",
        "distil",
        "finetune",
        "export",
        "measure",
        "play",
        "compare",
    }
    whole = read_whole(folder)
    stated = [(whole[name]["iterations"], whole[name]["num_envs"]) for name in ("teacher", "student", "finetuned")]
    assert stated == [(1500, 4096), (1500, 4096), (4000, 4096)]
    assert [stage.options["num_envs"] for stage in pipeline.stages[:3]] == [64, 64, 64]
    teacher = read_agent(PpoAgent, "train", folder / "teacher.agent.yaml")
    student = read_agent(DistilAgent, "distil", folder / "student.agent.yaml").student
    assert (teacher.actor.hidden_dims, teacher.num_steps_per_env) == ((256, 128, 128), 24)
    assert student.words() == "lstm 3x256, then 256-256-128 elu"
    assert student.distribution_cfg is not None
    assert student.distribution_cfg.init_std == 0.1
    weights = {name: reward.weight for name, reward in load_task(folder / "task.yaml").rewards.items()}
    guide = {"track_lin_vel_xy_exp": 1.0, "track_ang_vel_z_exp": 1.0, "feet_air_time_positive_biped": 0.75}
    guide |= {"feet_slide": -0.1, "is_terminated": -200.0, "flat_orientation_l2": -1.0, "action_rate_l2": -0.005}
    assert guide.items() <= weights.items()


def read_whole(folder: Path) -> dict[str, dict[str, int]]:
    """The stages as the file states them, unscaled."""
    text = (folder / "pipeline.yaml").read_text().replace("scale: {", "# ")
    (folder / "whole.yaml").write_text(text)
    return {stage.name: stage.options for stage in read_pipeline(folder / "whole.yaml", commands()).stages}


def test_the_g1s_student_is_what_the_sensors_give() -> None:
    """student.yaml is what `contract measurable` writes of teacher.yaml."""
    found = measurable(load_contract(G1 / "teacher.yaml"), ("imu", "encoders"))
    assert found.dropped == ("base_lin_vel",)
    assert (G1 / "student.yaml").read_text() == found.student().to_yaml()


def test_the_rover_is_whole() -> None:
    """The short example's options exist, and its student reads only what an IMU and encoders give."""
    pipeline = read(ROVER)
    assert [stage.kind for stage in pipeline.stages[:3]] == ["train", "distil", "finetune"]
    assert measurable(load_contract(ROVER / "student.yaml"), ("imu", "encoders")).dropped == ()
    assert measurable(load_contract(ROVER / "teacher.yaml"), ("imu", "encoders")).dropped == ("base_lin_vel",)
