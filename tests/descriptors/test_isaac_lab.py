"""Claims about Isaac Lab's IO descriptors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import ContractError
from tests.descriptors.importing import COMPLETE, contract, imported, unsourced, write

JOINTS = ["L_hip", "R_hip", "L_knee", "R_knee"]
DEFAULT = [0.1, -0.1, 0.4000000059604645, -0.4000000059604645]
MDP = "isaaclab.envs.mdp.observations."


def term(function: str, size: int = 3, module: str = MDP, **more: Any) -> dict[str, Any]:
    overloads = {"clip": None, "flatten_history_dim": True, "history_length": 0, "scale": None}
    return {
        "name": function,
        "full_path": module + function,
        "shape": [size],
        "extras": {"description": "x", "modifiers": None},
        "overloads": overloads | more.pop("overloads", {}),
    } | more


def joint_term(function: str, **more: Any) -> dict[str, Any]:
    return term(function, 4, **({"joint_names": JOINTS} | more))


def action(**changes: Any) -> dict[str, Any]:
    return {
        "full_path": "isaaclab.envs.mdp.actions.joint_actions.JointPositionAction",
        "joint_names": JOINTS,
        "scale": 0.5,
        "offset": DEFAULT,
        "clip": None,
    } | changes


def terms() -> list[dict[str, Any]]:
    return [
        term("base_ang_vel", overloads={"scale": 0.25}),
        term("generated_commands"),
        joint_term("joint_pos_rel", joint_pos_offsets=DEFAULT),
        joint_term("joint_vel_rel", joint_vel_offsets=[0.0] * 4, overloads={"scale": 0.05}),
        term("last_action", 4),
    ]


def descriptor(policy: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "actions": [action()],
        "articulations": {
            "robot": {
                "joint_names": JOINTS,
                "default_joint_pos": DEFAULT,
                "default_joint_stiffness": [25.0] * 4,
                "default_joint_damping": [0.5] * 4,
                "default_joint_armature": [0.01] * 4,
                "default_joint_pos_limits": [[-1.0, 1.0]] * 4,
            }
        },
        "observations": {"policy": terms() if policy is None else policy},
        "scene": {"physics_dt": 0.005, "dt": 0.02, "decimation": 4},
    }
    return data | changes


ENV = """
sim: {dt: 0.005, gravity: !!python/tuple [0.0, 0.0, -9.81]}
decimation: 4
scene:
  robot:
    spawn: {articulation_props: {fix_root_link: null}}
    init_state: {pos: !!python/tuple [0.0, 0.0, 0.4]}
    actuators:
      legs:
        class_type: isaaclab.actuators.actuator_pd:DCMotor
        joint_names_expr: [.*_hip, .*_knee]
        effort_limit: {.*_hip: 23.5, .*_knee: 35.5}
        stiffness: 25.0
        damping: 0.5
        armature: null
observations:
  policy:
    concatenate_terms: true
    history_length: null
    base_ang_vel: {func: 'isaaclab.envs.mdp.observations:base_ang_vel', params: {}, history_length: 0}
    height_scan: {func: 'isaaclab.envs.mdp.observations:height_scan', params: {}, history_length: 0}
    velocity_commands:
      func: isaaclab.envs.mdp.observations:generated_commands
      params: {command_name: base_velocity}
      history_length: 0
    joint_pos: {func: 'isaaclab.envs.mdp.observations:joint_pos_rel', params: {}, history_length: 0}
    joint_vel: {func: 'isaaclab.envs.mdp.observations:joint_vel_rel', params: {}, history_length: 0}
    actions: {func: 'isaaclab.envs.mdp.observations:last_action', params: {}, history_length: 0}
    foot_contact: null
commands:
  base_velocity:
    class_type: isaaclab.envs.mdp.commands.velocity_command:UniformVelocityCommand
    ranges: {lin_vel_x: !!python/tuple [-1.0, 1.5], lin_vel_y: !!python/tuple [-0.5, 0.5], heading: null}
events:
  mass: {joint_ids: !!python/object/apply:builtins.slice [null, null, null]}
"""

AS_COMMAND = {"observation.terms.1.term": "velocity_command"}


def make(path: Path, data: dict[str, Any] | None = None, **options: Any) -> Contract:
    file = write(path / "io_descriptors/IO_descriptors.yaml", data or descriptor())
    return contract(file, **({"settings": AS_COMMAND, "timestep": None} | options))


def test_a_plain_descriptor_is_a_contract(tmp_path: Path) -> None:
    """Joints, gains, limits, rates, terms and action come from the file, each with its source."""
    made = make(tmp_path)
    assert (made.joint_names, made.timestep, made.decimation) == (tuple(JOINTS), 0.005, 4)
    knee = made.joints["L_knee"]
    assert (knee.stiffness, knee.damping, knee.armature, knee.lower) == (25.0, 0.5, 0.01, -1.0)
    assert [term.label for term in made.observation.terms] == [
        "base_ang_vel",
        "velocity_command",
        "joint_pos_rel",
        "joint_vel",
        "last_action",
    ]
    assert made.action.terms[0].offset == "default"
    assert unsourced(made) == []
    assert made.sources["joints.*.stiffness"] == "IO_descriptors.yaml: articulations.robot.default_joint_stiffness"


def test_the_quaternion_order_is_neither_guessed_nor_asked_for(tmp_path: Path) -> None:
    """No term holds a quaternion, so that nothing hangs on wxyz until 2.x or xyzw from 3.0; who states it keeps it."""
    assert make(tmp_path, quaternion_order=None).quaternion_order is None
    assert make(tmp_path, quaternion_order="xyzw").quaternion_order == "xyzw"


def test_the_true_width_is_shape_times_history(tmp_path: Path) -> None:
    """`shape` is before stacking; a history of 0 is one step."""
    data = descriptor([term("base_ang_vel", overloads={"history_length": 5}), term("last_action", 4)])
    made = make(tmp_path, data, settings={})
    assert made.observation_size == 3 * 5 + 4
    assert made.observation.history is not None
    assert made.observation.history.model_dump() == {
        "layout": "term_major",
        "order": "oldest_first",
        "fill": "first",
    }


def test_a_command_of_three_numbers_needs_env_yaml_or_the_user(tmp_path: Path) -> None:
    """It may be a velocity or a point; the file does not tell."""
    with pytest.raises(ContractError, match="a command of three numbers is a velocity or a point"):
        make(tmp_path, settings={})


def test_scale_clip_and_a_part_of_the_joints_are_kept(tmp_path: Path) -> None:
    """Overloads per joint and per term land in the term; the term's own joint names win."""
    scaled = joint_term("joint_vel_rel", overloads={"scale": [0.05, 0.05, 0.1, 0.1], "clip": [-10.0, 10.0]})
    part = term("joint_pos", 2, joint_names=["R_knee", "L_hip"])
    made = make(tmp_path, descriptor([scaled, part]), settings={"base.floating": True}).observation.terms
    assert made[0].model_dump(exclude_defaults=True) == {
        "term": "joint_vel",
        "scale": {"L_hip": 0.05, "R_hip": 0.05, "L_knee": 0.1, "R_knee": 0.1},
        "clip": (-10.0, 10.0),
    }
    assert made[1].model_dump(exclude_defaults=True) == {"term": "joint_pos", "joints": ("R_knee", "L_hip")}


def test_default_velocities_become_an_offset(tmp_path: Path) -> None:
    """joint_vel_rel subtracts a default velocity; a contract says so by an offset after scale."""
    shifted = joint_term("joint_vel_rel", joint_vel_offsets=[1.0, 0.0, 0.0, 0.0], overloads={"scale": 0.5})
    made = make(tmp_path, descriptor([shifted]), settings={"base.floating": True}).observation.terms[0]
    assert made.model_dump()["offset"] == {"L_hip": -0.5, "R_hip": 0.0, "L_knee": 0.0, "R_knee": 0.0}


def test_a_function_of_another_project_is_an_external_term(tmp_path: Path) -> None:
    """The same function name elsewhere may compute something else, so it is not taken for Isaac Lab's."""
    data = descriptor([term("base_ang_vel"), joint_term("joint_pos_rel", module="robot_lab.mdp.")])
    made = imported(write(tmp_path / "IO_descriptors.yaml", data), **(COMPLETE | {"timestep": None}))
    assert made.contract.observation.terms[1].term == "external"
    assert any("'joint_pos_rel' (4 numbers) is known to its task only" in note for note in made.notes)


def test_actions_are_read_with_offset_clip_and_reference(tmp_path: Path) -> None:
    """Offsets other than the default are numbers; a relative action adds to the measured position."""
    two = [
        action(joint_names=["R_hip", "L_hip"], scale=[0.5, 0.25], offset=[0.0, 0.0], clip=[[-1.0, 1.0], [-2.0, 2.0]]),
        action(
            full_path="isaaclab.envs.mdp.actions.joint_actions.RelativeJointPositionAction",
            joint_names=["L_knee", "R_knee"],
            offset=0.0,
        ),
    ]
    first, second = make(tmp_path, descriptor(actions=two)).action.terms
    assert first.model_dump(exclude_none=True) == {
        "term": "joint_position",
        "joints": ("R_hip", "L_hip"),
        "scale": {"R_hip": 0.5, "L_hip": 0.25},
        "offset": 0.0,
        "clip": {"R_hip": (-1.0, 1.0), "L_hip": (-2.0, 2.0)},
    }
    assert (second.term, second.model_dump()["reference"]) == ("joint_position_delta", "joint_pos")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (descriptor([term("base_ang_vel", extras={"modifiers": ["x"]})]), "'observations.policy.0..extras.modifiers'"),
        (
            descriptor([term("base_ang_vel", overloads={"history_length": 3, "flatten_history_dim": False})]),
            "is false: the network reads a stack of rows",
        ),
        (descriptor([joint_term("joint_pos_rel", joint_pos_offsets=[0.0] * 4)]), "subtracts 0 from 'L_hip', whose def"),
        (descriptor([joint_term("joint_pos_rel", joint_names=["a", "b", "c", "d"])]), "names 'a', no joint of the"),
        (
            descriptor(actions=[action(full_path="x.BinaryJointAction")]),
            "is BinaryJointAction, which a contract can't",
        ),
        (descriptor(scene={"physics_dt": 0.005, "dt": 0.03, "decimation": 4}), "is not timestep 0.005 times a whole"),
    ],
)
def test_what_a_contract_can_not_state_is_refused(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    """Nothing is dropped on the way."""
    with pytest.raises(ContractError, match=message):
        make(tmp_path, data, settings={})
