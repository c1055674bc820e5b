"""Claims about the numbers of Isaac Lab's actuator groups: which limit clips, under which of its names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from policy_port.descriptors.registry import Imported
from policy_port.errors import ContractError
from tests.descriptors.test_isaac_lab import descriptor
from tests.descriptors.test_isaac_lab_params import actuator
from tests.descriptors.test_isaac_lab_robot import read, run

HIPS = [".*_hip"]


def grouped(path: Path, *models: dict[str, Any], **options: Any) -> Imported:
    return read(path, run({"actuators": {f"group_{i}": model for i, model in enumerate(models)}}), **options)


def limits(made: Imported) -> list[float | None]:
    return [joint.effort_limit for joint in made.contract.joints.values()]


@pytest.mark.parametrize(
    ("kind", "stated", "limit"),
    [
        ("ImplicitActuator", {"joint_effort_limit": 300}, 300.0),
        ("ImplicitActuator", {"effort_limit_sim": 300}, 300.0),
        ("ImplicitActuator", {"effort_limit": 300}, 300.0),
        ("ImplicitActuator", {"joint_effort_limit": 300, "actuator_effort_limit": 200}, 300.0),
        ("ImplicitActuator", {"actuator_effort_limit": 200}, None),
        ("DCMotor", {"actuator_effort_limit": 80.0, "saturation_effort": 120.0}, 80.0),
        ("DCMotor", {"effort_limit": 80.0, "saturation_effort": 120.0}, 80.0),
        ("IdealPDActuator", {"actuator_effort_limit": 80.0, "joint_effort_limit": 100.0}, 80.0),
        ("IdealPDActuator", {"actuator_effort_limit": 80.0, "joint_effort_limit": 60.0}, 60.0),
        ("IdealPDActuator", {"joint_effort_limit": 60.0}, 60.0),
        ("IdealPDActuator", {}, None),
        ("IdealPDActuator", {"actuator_effort_limit": math.inf}, None),
        ("IdealPDActuator", {"actuator_effort_limit": math.inf, "joint_effort_limit": 60.0}, 60.0),
        ("ImplicitActuator", {"joint_effort_limit": {".*": math.inf}}, None),
    ],
)
def test_the_limit_is_what_clips_the_model_of_that_kind(
    tmp_path: Path, kind: str, stated: dict[str, Any], limit: float | None
) -> None:
    """The solver clips an implicit actuator; an explicit one clips itself, and the solver after it."""
    made = grouped(tmp_path, actuator(kind, **stated))
    assert limits(made) == [limit] * 4
    assert any("effort_limit is not stated for any joint" in gap for gap in made.unset) is (limit is None)


def test_limits_by_pattern_reach_their_joints(tmp_path: Path) -> None:
    """Explicit limits by regular expression, as Go2's, are kept joint by joint."""
    by_pattern = {".*_hip": 23.7, ".*_knee": 45.43}
    assert limits(grouped(tmp_path, actuator("DCMotor", actuator_effort_limit=by_pattern))) == [
        23.7,
        23.7,
        45.43,
        45.43,
    ]


def test_an_infinite_limit_limits_the_others_only(tmp_path: Path) -> None:
    """Where one pattern is infinite, its joints have no limit and the rest keep theirs."""
    made = grouped(tmp_path, actuator(joint_effort_limit={".*_hip": math.inf, ".*_knee": 40.0}))
    assert limits(made) == [None, None, 40.0, 40.0]


def test_what_is_zero_for_every_joint_is_not_worth_a_note(tmp_path: Path) -> None:
    """Friction 0 by pattern says as little as friction 0; one joint's friction is said."""
    assert not any("friction" in note for note in grouped(tmp_path, actuator(friction={".*": 0.0})).notes)
    made = grouped(tmp_path, actuator(friction={".*_hip": 0.0, ".*_knee": 0.1}))
    assert any("friction {.*_hip: 0, .*_knee: 0.1}" in note for note in made.notes)


def test_a_second_limit_beside_the_first_is_named(tmp_path: Path) -> None:
    """A solver's limit other than the model's changes the torque, or shows a slip; the note has both."""
    for kind, stated, words in (
        ("DCMotor", {"effort_limit": 23.5, "effort_limit_sim": 30.0},
         "group_0 has effort_limit_sim 30 beside effort_limit for 'L_hip'; the contract has 23.5, the smaller"),
        ("DCMotor", {"effort_limit": 23.5, "effort_limit_sim": 20.0},
         "has effort_limit_sim 20 beside effort_limit for 'L_hip'; the contract has 20, the smaller"),
        ("ImplicitActuator", {"effort_limit": 23.5, "effort_limit_sim": 30.0},
         "has effort_limit 23.5 beside effort_limit_sim for 'L_hip'; the contract has 30, which the solver clips at"),
    ):  # fmt: skip
        assert any(words in note for note in grouped(tmp_path, actuator(kind, **stated)).notes), words
    same = grouped(tmp_path, actuator("ImplicitActuator", effort_limit=30.0, effort_limit_sim=30.0))
    assert not any("effort_limit" in note for note in same.notes)


def test_two_names_of_one_limit_that_differ_are_refused(tmp_path: Path) -> None:
    """Isaac Lab 3 refuses them itself, so that no run of it wrote this."""
    with pytest.raises(ContractError, match="effort_limit_sim' is the old name of joint_effort_limit"):
        grouped(tmp_path, actuator(joint_effort_limit=30.0, effort_limit_sim=20.0))
    assert limits(grouped(tmp_path, actuator(joint_effort_limit=30.0, effort_limit_sim={".*": 30.0}))) == [30.0] * 4


def test_what_an_implicit_actuator_only_reports_is_named(tmp_path: Path) -> None:
    """actuator_effort_limit of an implicit actuator clips nothing; it is no limit of the contract."""
    made = grouped(tmp_path, actuator(actuator_effort_limit=20.0, joint_velocity_limit=10.0))
    words = "group_0 (ImplicitActuator, actuator_effort_limit 20, joint_velocity_limit 10)"
    assert any(words in note for note in made.notes)


def test_patterns_lead_to_joints_once_as_in_isaac_lab(tmp_path: Path) -> None:
    """A pattern that leads nowhere, a joint of two patterns or of two groups: no run of Isaac Lab wrote those."""
    with pytest.raises(ContractError, match=r"joint_names_expr' has '\.\*_ankle', which is none of the joints"):
        grouped(tmp_path, actuator(joint_names_expr=[".*_hip", ".*_ankle"]))
    with pytest.raises(ContractError, match=r"stiffness\.\.\*_ankle' is none of the joints"):
        grouped(tmp_path, actuator(stiffness={".*_ankle": 1.0}))
    with pytest.raises(ContractError, match=r"leads to 'L_hip', to which '\.\*_hip' leads too"):
        grouped(tmp_path, actuator(effort_limit={".*_hip": 1.0, "L_.*": 2.0}))
    with pytest.raises(ContractError, match=r"group_1\.joint_names_expr' drives 'L_hip', which group_0 drives already"):
        grouped(tmp_path, actuator(), actuator(joint_names_expr=HIPS))
    assert limits(grouped(tmp_path, actuator(joint_names_expr=".*", effort_limit=5.0))) == [5.0] * 4


def test_explicit_gains_come_from_the_group_not_from_the_engines_zeros(tmp_path: Path) -> None:
    """The engine's drive is off for an explicit model: its 0 is no gain, except where no actuator drives the joint."""
    robot = descriptor()["articulations"]["robot"]
    robot |= {"default_joint_stiffness": [0.0] * 4, "default_joint_damping": [0.0] * 4}
    legs = actuator("DCMotor", joint_names_expr=HIPS, stiffness={".*": 40.0}, damping=5.0, actuator_effort_limit=80.0)
    made = grouped(tmp_path, legs, changes={"articulations": {"robot": robot}})
    assert [joint.stiffness for joint in made.contract.joints.values()] == [40.0, 40.0, 0.0, 0.0]
    assert [joint.damping for joint in made.contract.joints.values()] == [5.0, 5.0, 0.0, 0.0]
    assert "no actuator drives it" in made.contract.sources["joints.*.stiffness"]
    assert limits(made) == [80.0, 80.0, None, None]
