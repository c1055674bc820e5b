"""Claims about unitree_rl_lab's deploy.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import ContractError
from tests.descriptors import importing
from tests.descriptors.importing import write

POLICY = ["left_hip", "right_hip", "left_knee", "right_knee"]
MOTORS = ["left_hip", "left_knee", "right_hip", "right_knee"]


def term(count: int, scale: float = 1.0, history: int = 1, **more: Any) -> dict[str, Any]:
    return {"params": {}, "clip": None, "scale": [scale] * count, "history_length": history} | more


def deploy(**changes: Any) -> dict[str, Any]:
    """A deploy.yaml whose gains are one number per motor: hips 100, 101 and knees 50, 51."""
    data: dict[str, Any] = {
        "joint_ids_map": [0, 2, 1, 3],
        "step_dt": 0.02,
        "stiffness": [100.0, 50.0, 101.0, 51.0],
        "damping": [1.0, 2.0, 1.1, 2.1],
        "default_joint_pos": [0.1, 0.2, 0.3, 0.4],
        "commands": {"base_velocity": {"ranges": {"lin_vel_x": [-0.5, 1.0], "ang_vel_z": [-0.2, 0.2]}}},
        "actions": {
            "JointPositionAction": {
                "clip": None,
                "joint_names": [".*"],
                "scale": [0.25] * 4,
                "offset": [0.1, 0.2, 0.3, 0.4],
                "joint_ids": None,
            }
        },
        "observations": {
            "base_ang_vel": term(3, 0.2),
            "velocity_commands": term(3),
            "joint_pos_rel": term(4),
            "joint_vel_rel": term(4, 0.05),
            "last_action": term(4),
        },
    }
    return data | changes


def contract(*files: Path, **options: Any) -> Contract:
    """Import what unitree_rl_lab wrote."""
    return importing.contract(*files, **({"gains_order": "motor"} | options))


@pytest.fixture
def names(tmp_path: Path) -> Path:
    return write(tmp_path / "names.yaml", {"joint_names": POLICY})


def test_gains_are_taken_through_the_motor_map(tmp_path: Path, names: Path) -> None:
    """Stiffness and damping are in motor order and reach the joint of that motor; defaults are in policy order."""
    made = contract(write(tmp_path / "deploy.yaml", deploy()), names=names)
    assert made.joint_names == tuple(POLICY)
    assert [joint.stiffness for joint in made.joints.values()] == [100.0, 101.0, 50.0, 51.0]
    assert [joint.damping for joint in made.joints.values()] == [1.0, 1.1, 2.0, 2.1]
    assert [joint.default for joint in made.joints.values()] == [0.1, 0.2, 0.3, 0.4]


def test_names_in_motor_order_give_the_same_contract(tmp_path: Path, names: Path) -> None:
    """The order of a name file is stated by its key, and both orders end in one contract."""
    file = write(tmp_path / "deploy.yaml", deploy())
    motors = write(tmp_path / "motors.yaml", {"motor_joint_names": MOTORS})
    assert contract(file, names=names).joints == contract(file, names=motors).joints


def test_a_bare_list_of_names_needs_its_order(tmp_path: Path) -> None:
    """A list can't be taken for policy order by accident."""
    file, bare = write(tmp_path / "deploy.yaml", deploy()), write(tmp_path / "names.yaml", MOTORS)
    with pytest.raises(ContractError, match="does not say whether they are in the policy's or in motor order"):
        contract(file, names=bare)
    assert contract(file, names=bare, names_order="motor").joint_names == tuple(POLICY)


def test_two_lists_that_contradict_the_motor_map_are_refused(tmp_path: Path) -> None:
    """A name file that calls the same order policy and motor order is found out."""
    both = write(tmp_path / "names.yaml", {"joint_names": MOTORS, "motor_joint_names": MOTORS})
    with pytest.raises(ContractError, match="the policy's joint 'left_knee' is motor 'right_hip'"):
        contract(write(tmp_path / "deploy.yaml", deploy()), names=both)


def test_without_names_the_flag_is_asked_for(tmp_path: Path) -> None:
    """Missing names are one entry, not a list of everything that hangs on them."""
    with pytest.raises(ContractError) as caught:
        contract(write(tmp_path / "deploy.yaml", deploy()))
    assert str(caught.value).count("\n") == 1
    assert "joints: deploy.yaml numbers its 4 joints and has no names; give --names FILE" in str(caught.value)


def test_more_motors_than_joints_are_fine_and_fewer_are_not(tmp_path: Path, names: Path) -> None:
    """A robot may have motors that the policy does not drive, but no joint without a motor."""
    wide = deploy(stiffness=[100.0, 50.0, 101.0, 51.0, 7.0], damping=[1.0] * 5)
    assert contract(write(tmp_path / "deploy.yaml", wide), names=names).joints["right_knee"].stiffness == 51.0
    short = write(tmp_path / "short.yaml", deploy(stiffness=[100.0, 50.0]))
    with pytest.raises(
        ContractError, match="'stiffness' has 2 numbers: 4 would be in the policy's order, 4 or more in motor order"
    ):
        contract(short, names=names)


def test_the_observation_is_scaled_clipped_and_stacked_as_written(tmp_path: Path, names: Path) -> None:
    """Scale, clip and history land in the term; ones and nulls are left out."""
    observations = {
        "velocity_commands": term(3) | {"scale": [2.0, 2.0, 0.25]},
        "joint_vel_rel": term(4, 0.05, 5, clip=[-10.0, 10.0]),
        "gait_phase": {"params": {"period": 0.6}, "clip": None, "scale": [1.0, 1.0], "history_length": 1},
    }
    made = contract(
        write(tmp_path / "deploy.yaml", deploy(observations=observations)),
        names=names,
        settings={"base.floating": True},
    )
    command, velocity, clock = made.observation.terms
    assert command.model_dump(exclude_defaults=True) == {"term": "velocity_command", "scale": (2.0, 2.0, 0.25)}
    assert velocity.model_dump(exclude_defaults=True) == {
        "term": "joint_vel",
        "scale": 0.05,
        "clip": (-10.0, 10.0),
        "history": 5,
    }
    assert clock.model_dump(exclude_defaults=True) == {"term": "gait_phase", "period": 0.6}
    assert made.observation.history is not None
    assert made.observation.history.layout == "term_major"


def test_gym_history_is_time_major(tmp_path: Path, names: Path) -> None:
    """use_gym_history turns the layout round; the width does not tell."""
    observations = {"use_gym_history": True, "base_ang_vel": term(3, history=5), "last_action": term(4, history=5)}
    made = contract(write(tmp_path / "deploy.yaml", deploy(observations=observations)), names=names)
    assert made.observation.history is not None
    assert made.observation.history.layout == "time_major"


def test_an_unknown_observation_is_refused(tmp_path: Path, names: Path) -> None:
    """A name that the controller does not compute would shift all that follows."""
    changed = deploy(observations={"base_ang_veloc": term(3)})
    with pytest.raises(
        ContractError, match=r"belongs to 'base_ang_veloc', an observation that.*did you mean 'base_ang_vel'"
    ):
        contract(write(tmp_path / "deploy.yaml", changed), names=names)


def test_part_of_the_joints_may_act_and_the_offset_is_told_from_the_default(tmp_path: Path, names: Path) -> None:
    """Indices pick joints in policy order; an offset that is the default is written as `default`."""
    action = {"JointPositionAction": {"scale": [0.5, 0.25], "offset": [0.2, 0.3], "joint_ids": [1, 2]}}
    changed = deploy(actions=action, observations={"base_ang_vel": term(3), "last_action": term(2)})
    made = contract(write(tmp_path / "deploy.yaml", changed), names=names).action.terms[0]
    assert made.joints == ("right_hip", "left_knee")
    assert made.scale == {"right_hip": 0.5, "left_knee": 0.25}
    assert made.offset == "default"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joint_ids_map": [0, 0, 1, 3]}, "'joint_ids_map' lists index 0 twice"),
        ({"default_joint_pos": [0.1]}, "'default_joint_pos' has 1 numbers, expected 4, one per entry of joint_ids_map"),
        ({"step_dt": "fast"}, "'step_dt' is the text 'fast', expected a number"),
        ({"stiffness": [float("nan")] * 4}, r"'stiffness\[0\]' is nan, expected a finite number"),
        ({"actions": {"BinaryJointAction": {}}}, "is no action that a contract states: JointPos"),
        ({"observations": None}, "the key 'observations' is missing .it is null..*The keys of the file are"),
    ],
)
def test_a_malformed_file_names_file_key_and_what_was_expected(
    tmp_path: Path, names: Path, change: dict[str, Any], message: str
) -> None:
    """Every malformation is one message that names the file and its key."""
    with pytest.raises(ContractError, match=message) as caught:
        contract(write(tmp_path / "deploy.yaml", deploy(**change)), names=names)
    assert "deploy.yaml: " in str(caught.value)
