"""Claims about the joints that an mjlab run drives: which, in what order, with what gains, by what kind of drive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError
from tests.descriptors.importing import imported, linear_policy
from tests.descriptors.mjlab_run import (
    ACTION,
    ACTUATORS,
    METADATA,
    WIDTH,
    actuator,
    changed,
    made,
)


def test_a_passive_joint_is_observed_and_not_driven(tmp_path: Path) -> None:
    """Eight joints and seven actuators of a gripper: here four and three."""
    contract = made(tmp_path).contract
    assert contract.action.terms[0].joints == ("hip", "knee", "finger")
    assert contract.action.terms[0].scale == {"hip": 0.3727530387, "knee": 0.3727530387, "finger": 0.0865739}
    assert contract.action.terms[0].offset == "default"
    assert [contract.term_size(term) for term in contract.observation.terms] == [3, 3, 3, 4, 4, 3, 3]


def test_driven_joints_are_named_in_the_joints_order(tmp_path: Path) -> None:
    """Without env.yaml a passive joint is the user's to name; another order or an unknown joint is refused."""
    file = linear_policy(tmp_path / "p.onnx", WIDTH, 3, METADATA)
    options: dict[str, Any] = {"robot": "toy", "timestep": 0.005, "actuation": "implicit", "layout": "mjlab_velocity"}
    with pytest.raises(ContractError, match=r"put params/env\.yaml of the run.*--set action\.terms\.0\.joints="):
        imported(file, **options, settings={"decimation": 4})
    for joints in (["knee", "hip", "finger"], ["hip", "knee", "fingr"], "hip"):
        with pytest.raises(ContractError, match="mjlab acts in the order of its joints.*All are: hip, knee, finger"):
            imported(file, **options, settings={"decimation": 4, "action.terms.0.joints": joints})


@pytest.mark.parametrize(
    ("entries", "stiffness", "damping", "kind"),
    [
        ({}, "40.179,40.179", "2.558,2.558", "implicit"),
        ({}, "1.000,1.000", "-0.000,-0.000", "explicit"),
        ({}, "2.558,2.558", "2.558,2.558", "implicit"),
        ({"effort_limit": None}, "40.179,40.179", "2.558,2.558", "implicit"),
        ({"saturation_effort": 120.0, "velocity_limit": 20.0}, "1.000,1.000", "0.000,0.000", "explicit"),
        ({"effort_limit": float("inf")}, "1.000,1.000", "0.000,0.000", "explicit"),
        ({"stiffness": 1.0, "damping": 0.0}, "1.000,1.000", "0.000,0.000", None),
        ({"network_file": "a.pt", "saturation_effort": 1.0}, "1.000,1.000", "0.000,0.000", None),
    ],
)
def test_the_kind_of_actuation_is_what_the_exporter_met(
    tmp_path: Path, entries: dict[str, Any], stiffness: str, damping: str, kind: str | None
) -> None:
    """env.yaml loses the actuators' classes: the model's gains, or a motor's 1 and 0, tell drive from torque."""
    edits = {ACTUATORS: (actuator("hip", "knee", **entries),), f"{ACTION}.scale": 0.5}
    metadata = {"joint_stiffness": stiffness, "joint_damping": damping, "action_scale": "0.500,0.500"}
    given: dict[str, Any] = {"edits": edits, "metadata": metadata, "width": WIDTH - 1, "actions": 2}
    if kind is None:
        with pytest.raises(ContractError, match=r"actuation\.kind: env\.yaml keeps no class.*--actuation implicit"):
            made(tmp_path, **given)
    contract = made(tmp_path, **given, options={} if kind else {"actuation": "explicit"}).contract
    assert contract.actuation.kind == kind or kind is None
    assert contract.joints["hip"].stiffness == entries.get("stiffness", 40.17923)


def test_drives_of_the_robots_own_file_keep_the_metadatas_gains(tmp_path: Path) -> None:
    """An XmlActuator has no numbers: three decimals are all there is, and the kind is the model's."""
    bare = {key: ... for key in ("stiffness", "damping", "effort_limit")}
    own = changed(actuator("hip", "knee"), bare) | {"armature": None, "command_field": None}
    edits = {ACTUATORS: (own,), f"{ACTION}.scale": 0.5}
    metadata = {"joint_stiffness": "40.179,30.000", "joint_damping": "2.558,2.000", "action_scale": "0.500,0.500"}
    contract = made(tmp_path, edits=edits, metadata=metadata, width=WIDTH - 1, actions=2).contract
    assert contract.actuation.kind == "model"
    assert [contract.joints[name].stiffness for name in ("hip", "knee")] == [40.179, 30.0]


def test_a_passive_joint_among_the_robots_own_drives_is_the_users_to_name(tmp_path: Path) -> None:
    """An XmlActuator drives what the robot's file has actuators for, which env.yaml does not say."""
    bare = {key: ... for key in ("stiffness", "damping", "effort_limit")}
    own = changed(actuator(".*"), bare) | {"armature": None, "command_field": None}
    edits = {ACTUATORS: (own,), f"{ACTION}.scale": 0.5}
    given: dict[str, Any] = {"edits": edits, "metadata": {"action_scale": "0.500,0.500,0.500"}}
    with pytest.raises(ContractError, match=r"has 3 numbers for 4 driven joints.*--set action\.terms\.0\.joints="):
        made(tmp_path, **given)
    settings = {"action.terms.0.joints": ["hip", "knee", "finger"]}
    contract = made(tmp_path, **given, options={"settings": settings}).contract
    assert contract.action.terms[0].joints == ("hip", "knee", "finger")
    assert contract.joints["finger"].stiffness == 109.814
    assert contract.actuation.kind == "model"


def test_what_actuators_do_beyond_a_contract_is_told(tmp_path: Path) -> None:
    """Friction, lags and torque-speed curves have no word in a contract."""
    edits = {ACTUATORS: (actuator("hip", "knee", frictionloss=0.3), actuator("finger", delay_max_lag=4))}
    metadata = {"joint_stiffness": "40.179,40.179,40.179", "joint_damping": "2.558,2.558,2.558"}
    notes = " ".join(made(tmp_path, edits=edits, metadata=metadata).notes)
    assert "frictionloss 0.3" in notes
    assert "actuators[1] 0 to 4), and a contract has one delay for all joints" in notes
    edits = {ACTUATORS: tuple(actuator(name, delay_min_lag=2, delay_max_lag=2) for name in ("hip", "knee", "finger"))}
    late = made(tmp_path / "b", edits=edits, metadata=metadata).contract.action.late
    assert (late.physics_steps, late.fill) == (2, "first")


@pytest.mark.shared
def test_the_yam_of_mjlab_drives_seven_of_eight_joints(shared: Path) -> None:
    """The metadata alone: with the driven joints named and its task's layout, 29 numbers and 7 gains."""
    settings = {
        "decimation": 4,
        "base.floating": False,
        "action.terms.0.joints": [*(f"joint{i}" for i in range(1, 7)), "left_finger"],
    }
    options: dict[str, Any] = {"robot": "yam", "timestep": 0.005, "actuation": "implicit", "settings": settings}
    file = shared / "failing_inputs/peers/mjlab_passive_joint/yam.onnx"
    contract = imported(file, layout="mjlab_lift_cube", **options).contract
    assert contract.widths() == "joint_pos_rel 8 + joint_vel 8 + ee_to_cube 3 + cube_to_goal 3 + last_action 7 = 29"
    assert contract.action.terms[0].joints == tuple(settings["action.terms.0.joints"])
    assert (contract.joints["left_finger"].stiffness, contract.joints["right_finger"].stiffness) == (109.814, None)
