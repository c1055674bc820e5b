"""Claims about configurations of HumanoidVerse, ASAP and PBHC."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract, load_contract
from policy_port.contract.diff import differences
from policy_port.contract.layout import observation_slots
from policy_port.errors import ContractError
from tests.descriptors.importing import imported, unsourced, write

CONTRACT = Path(__file__).resolve().parents[1] / "real_policies/pbhc_horse_stance.yaml"
DOFS = ["left_hip_yaw_joint", "left_knee_joint", "waist_yaw_joint"]


def config(**obs: Any) -> dict[str, Any]:
    """A configuration as Hydra writes it, with references left in."""
    actor = ["projected_gravity", "base_ang_vel", "history_actor", "dof_pos", "actions", "ref_motion_phase"]
    given = {
        "obs_dict": {"actor_obs": actor, "critic_obs": ["base_lin_vel"]},
        "obs_auxiliary": {"history_actor": {"projected_gravity": 2, "actions": 3}, "history_critic": {}},
        "obs_scales": dict.fromkeys([*actor, "body", "command_lin_vel"], 1.0) | {"base_ang_vel": 0.25, "actions": 2.0},
        "obs_dims": [{"body": "${eval:'3 * ${robot.num_bodies} + 9'}"}, {"base_ang_vel": 3}],
        "motion_len": 4.0,
    }
    return {
        "timestamp": "${now:%Y%m%d}",
        "obs": given | obs,
        "env": {"config": {"obs": "${obs}", "normalization": {"clip_observations": 100.0}}},
        "robot": {
            "dof_names": DOFS,
            "dof_obs_size": 3,
            "number_of_actions": "???",
            "somewhere": "${oc.env:HOME}",
            "num_bodies": 4,
            "actions_dim": "${robot.dof_obs_size}",
            "init_state": {
                "pos": [0.0, 0.0, 0.8],
                "default_joint_angles": dict(zip(DOFS, (0.1, 0.3, 0.0), strict=True)),
            },
            "control": {
                "control_type": "P",
                "stiffness": {"yaw": 50, "hip_yaw": 100, "knee": 150},
                "damping": {"yaw": 1.0, "hip_yaw": 2.0, "knee": 4.0},
                "action_scale": 0.25,
                "action_clip_value": 100.0,
            },
            "asset": {"robot_type": "toy", "fix_base_link": False, "armature": 0.001},
            "dof_effort_limit_list": [88.0, 139.0, 50.0],
            "dof_armature_list": [0.03, 0.03, 0.04],
        },
        "simulator": {"config": {"name": "isaacgym", "sim": {"fps": 200, "control_decimation": 4}}},
    }


def made(tmp_path: Path, data: dict[str, Any] | None = None, **options: Any) -> Contract:
    return imported(write(tmp_path / "config.yaml", data or config()), **options).contract


def test_blocks_are_sorted_past_only_and_newest_first(tmp_path: Path) -> None:
    """Names sorted, a group for each length, the present left out, zeros at first, both scales multiplied."""
    contract = made(tmp_path)
    assert [str(slot) for slot in observation_slots(contract)] == [
        *(f"last_action[{name}]" for name in DOFS),
        *(f"base_ang_vel[{axis}]" for axis in "xyz"),
        *(f"joint_pos_rel[{name}]" for name in DOFS),
        *(f"history_actor_actions[{name}]@-{age}" for age in (1, 2, 3) for name in DOFS),
        *(f"history_actor_projected_gravity[{axis}]@-{age}" for age in (1, 2) for axis in "xyz"),
        *(f"projected_gravity[{axis}]" for axis in "xyz"),
        "elapsed[0]",
    ]
    assert {name: group.fill for name, group in contract.observation.groups.items()} == {
        "history_actor_3": "zero",
        "history_actor_2": "zero",
    }
    terms = {term.label: term for term in contract.observation.terms}
    assert [terms[name].entry("scale", DOFS[0]) for name in ("last_action", "history_actor_actions")] == [2.0, 2.0]
    assert (terms["elapsed"].length, terms["elapsed"].start, contract.control_dt) == (4.0, 0.02, 0.02)
    assert unsourced(contract) == []


def test_drives_are_found_by_parts_of_names(tmp_path: Path) -> None:
    """The last key that a joint's name holds counts, as in training, and that there were two is told."""
    got = imported(write(tmp_path / "config.yaml", config()))
    joints = got.contract.joints
    assert [joints[name].stiffness for name in DOFS] == [100.0, 150.0, 50.0]
    assert any("yaw, hip_yaw are all parts of 'left_hip_yaw_joint'; the last one counts, 100" in n for n in got.notes)
    assert any("armature is left to the robot file" in note for note in got.notes)
    assert [joint.armature for joint in joints.values()] == [None] * 3
    assert (got.contract.action.raw_clip, got.contract.actuation.kind, got.contract.base.height) == (
        (-100.0, 100.0),
        "explicit",
        0.8,
    )
    free = changed("robot.control.clip_torques", False)
    free["robot"]["control"]["smoothing"] = 0.5
    told = imported(write(tmp_path / "config.yaml", free))
    assert [joint.effort_limit for joint in told.contract.joints.values()] == [None] * 3
    assert any("robot.control: smoothing is not known here and was passed over" in note for note in told.notes)
    other = config()
    other["simulator"]["config"]["name"] = "isaacsim"
    assert [joint.armature for joint in made(tmp_path, other).joints.values()] == [0.03, 0.03, 0.04]


def test_commands_and_what_only_the_task_knows(tmp_path: Path) -> None:
    """A command's elements are named; of what no contract can compute, obs_dims tells the size."""
    data = config(obs_dict={"actor_obs": ["command_lin_vel", "body"]}, obs_auxiliary={})
    data["env"]["config"]["locomotion_command_ranges"] = {"lin_vel_x": [-1.0, 1.5]}
    contract = made(tmp_path, data)
    assert contract.widths() == "body 21 + command 2 = 23"
    assert contract.command.bounds("lin_vel_x") == (-1.0, 1.5)
    assert contract.command.bounds("lin_vel_y") is None


def changed(path: str, value: Any) -> dict[str, Any]:
    data = config()
    *way, last = path.split(".")
    inner = data
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("obs.motion_len", -1, r"stands in the clip alone; give --set observation.terms.ref_motion_phase.length="),
        ("obs.obs_scales.actions", ..., r"key 'obs.obs_scales.actions' is missing"),
        ("obs.obs_auxiliary", {}, r"names 'history_actor', whose lengths are not in obs.obs_auxiliary, which has none"),
        ("obs.obs_auxiliary.history_actor.actions", 0, r"history_actor.actions' is 0, expected the number of past"),
        ("obs.obs_dict.actor_obs", ["dof_poss"], r"obs.obs_scales.dof_poss' is missing.*did you mean 'dof_pos'"),
        ("robot.control.control_type", "T", r"control_type' is 'T'; only P"),
        ("robot.control.stiffness", {"hip": 1.0}, r"no key that is a part of 'left_knee_joint'; it has hip"),
        ("robot.control.isaac_pd_scale", True, r"isaac_pd_scale' is true, which changes the gains"),
        ("robot.actions_dim", 2, r"is 2, but there are 3 dof_names"),
        ("robot.actions_dim", "${robot.actions_dim}", r"refers to itself: robot.actions_dim -> robot.actions_dim"),
        ("robot.actions_dim", "${robot.dof_obs_siz}", r"'robot.dof_obs_siz' is missing; did you mean 'dof_obs_size'"),
        ("robot.actions_dim", "${oc.env:HOME}", r"resolver 'oc.env' is not known here; write the plain value there"),
        ("robot.actions_dim", "${eval:'().__class__'}", r"which is no sum of numbers"),
        ("robot.actions_dim", "${len:[1, 2}", r"resolver 'len' is not known here"),
        (
            "simulator.config.sim.fps",
            "???",
            r"config.sim.fps' is \?\?\?, which the training's own code fills",
        ),
        ("algo", {"config": {"module_dict": {"actor": {"input_dim": ["a", "b"]}}}}, r"the actor reads a, b, and"),
    ],
)
def test_what_is_missing_or_meaningless_is_named(tmp_path: Path, path: str, value: Any, message: str) -> None:
    """Each is refused with its key."""
    with pytest.raises(ContractError, match=re.compile(message, re.DOTALL)):
        made(tmp_path, changed(path, value))


def test_the_length_is_given_once(tmp_path: Path) -> None:
    """What --set gives for the phase holds for its past as well."""
    actor = ["history_actor", "ref_motion_phase"]
    data = config(
        obs_dict={"actor_obs": actor},
        obs_auxiliary={"history_actor": {"ref_motion_phase": 2}},
        obs_scales=dict.fromkeys(actor, 1.0),
        motion_len=-1,
    )
    contract = made(tmp_path, data, settings={"observation.terms.ref_motion_phase.length": 2.5})
    assert [term.length for term in contract.observation.terms] == [2.5, 2.5]


@pytest.mark.shared
def test_the_horse_stance_is_read_whole(shared: Path) -> None:
    """The published configuration makes the contract that is played, as wide as its network."""
    folder = shared / "real_policies/history"
    got = imported(
        folder / "pbhc_horse_stance.config.yaml",
        name="pbhc_horse_stance",
        policy=folder / "pbhc_horse_stance.onnx",
        settings={"observation.terms.ref_motion_phase.length": 6.67},
    ).contract
    assert differences(got, load_contract(CONTRACT)) == []
    assert (got.observation_size, unsourced(got)) == (380, [])


def test_what_the_user_knows_is_taken_as_the_messages_ask(tmp_path: Path) -> None:
    """Armature of every joint, and the action of a policy that drives some joints or drives by torque."""
    notes = imported(write(tmp_path / "config.yaml", config())).notes
    assert any("armature is left to the robot file. State it with --set" in note for note in notes)
    assert {joint.armature for joint in made(tmp_path, settings={"joints.*.armature": 0.01}).joints.values()} == {0.01}
    action = [{"term": "joint_position", "joints": DOFS[:2], "scale": 0.25, "offset": "default"}]
    told = {"action.terms": action, "actuation.kind": "explicit"}
    for path, value, message in (
        (
            "robot.actions_dim",
            2,
            "which of them the policy drives; give the action with --set action.terms",
        ),
        (
            "robot.control.control_type",
            "T",
            "joint positions, is read. Give the action with --set action.terms",
        ),
    ):
        with pytest.raises(ContractError, match=message):
            made(tmp_path, changed(path, value))
        assert made(tmp_path, changed(path, value), settings=told).action_joint_names == tuple(DOFS[:2])
