"""Claims about rl_sar's base.yaml and config.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from policy_port.contract import Contract, load_contract
from policy_port.contract.diff import differences
from policy_port.contract.layout import observation_slots
from policy_port.contract.place import Place
from policy_port.contract.spec import unset_values
from policy_port.control.action import ActionDecoder
from policy_port.control.signals import Signals
from policy_port.errors import ContractError
from tests.descriptors.importing import contract, imported, write

SDK = ["FR_hip", "FR_calf", "FL_hip", "FL_calf"]


def base(**changes: Any) -> dict[str, Any]:
    return {"toy": {"dt": 0.005, "decimation": 4, "num_of_dofs": 4, "joint_names": SDK} | changes}


def config(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "num_observations": 21,
        "observations": ["ang_vel", "gravity_vec", "commands", "dof_pos", "dof_vel", "actions"],
        "observations_history": [],
        "observations_history_priority": "time",
        "clip_obs": 100.0,
        "clip_actions_lower": [-5.0] * 4,
        "clip_actions_upper": [5.0] * 4,
        "rl_kp": [20.0, 21.0, 22.0, 23.0],
        "rl_kd": [0.5] * 4,
        "fixed_kp": [80.0] * 4,
        "fixed_kd": [3.0] * 4,
        "num_of_dofs": 4,
        "action_scale": [0.125, 0.125, 0.25, 0.25],
        "wheel_indices": [],
        "lin_vel_scale": 2.0,
        "ang_vel_scale": 0.25,
        "dof_pos_scale": 1.0,
        "dof_vel_scale": 0.05,
        "commands_scale": [2.0, 2.0, 0.25],
        "torque_limits": [23.5, 33.5, 23.5, 33.5],
        "default_dof_pos": [0.1, 0.2, -1.1, -1.2],
        "joint_mapping": [0, 2, 1, 3],
    }
    return {"toy/gait": {key: value for key, value in (data | changes).items() if value is not ...}}


def make(tmp_path: Path, base_changes: dict[str, Any] | None = None, **changes: Any) -> Contract:
    write(tmp_path / "toy/base.yaml", base(**(base_changes or {})))
    return contract(write(tmp_path / "toy/gait/config.yaml", config(**changes)), robot=None, timestep=None)


def test_names_are_in_sdk_order_and_all_else_is_the_policys(tmp_path: Path) -> None:
    """joint_mapping leads from the policy's joints to the SDK's names; gains and defaults need no mapping."""
    made = make(tmp_path)
    assert made.joint_names == ("FR_hip", "FL_hip", "FR_calf", "FL_calf")
    assert [joint.default for joint in made.joints.values()] == [0.1, 0.2, -1.1, -1.2]
    assert [joint.stiffness for joint in made.joints.values()] == [20.0, 21.0, 22.0, 23.0]
    assert made.joints["FL_hip"].effort_limit == 33.5


def test_base_yaml_beside_the_policys_folder_is_found(tmp_path: Path) -> None:
    """Robot, timestep and decimation come from base.yaml one folder up."""
    made = make(tmp_path)
    assert (made.robot, made.timestep, made.decimation) == ("toy", 0.005, 4)
    assert made.sources["timestep"] == "base.yaml: toy.dt"


def test_terms_scales_and_clips_are_those_of_the_file(tmp_path: Path) -> None:
    """Each observation gets its own scale; clip_obs and the action's clip are symmetric bounds."""
    made = make(tmp_path)
    terms = [(term.term, getattr(term, "scale", 1.0)) for term in made.observation.terms]
    assert terms == [
        ("base_ang_vel", 0.25),
        ("projected_gravity", 1.0),
        ("velocity_command", (2.0, 2.0, 0.25)),
        ("joint_pos_rel", 1.0),
        ("joint_vel", 0.05),
        ("last_action", 1.0),
    ]
    assert made.observation.clip == (-100.0, 100.0)
    assert made.action.raw_clip == (-5.0, 5.0)
    assert made.action.terms[0].scale == {"FR_hip": 0.125, "FL_hip": 0.125, "FR_calf": 0.25, "FL_calf": 0.25}


def test_bounds_of_the_action_go_by_joint(tmp_path: Path) -> None:
    """What differs between joints stands under each joint's name, through joint_mapping."""
    made = make(tmp_path, clip_actions_lower=[-5.0, -4.0, -3.0, -2.0])
    bounds = {"FR_hip": (-5.0, 5.0), "FL_hip": (-4.0, 5.0), "FR_calf": (-3.0, 5.0), "FL_calf": (-2.0, 5.0)}
    assert made.action.raw_clip == bounds


@pytest.mark.shared
def test_the_bounds_of_a_real_robot_go_by_joint(shared: Path, tmp_path: Path) -> None:
    """What gr1t1's own lists say of each joint, the contract says, and its targets are what rl_sar would send."""
    folder = shared / "real_policies" / "traced"
    for name in ("config", "base"):
        (tmp_path / f"{name}.yaml").write_bytes((folder / f"rl_sar_gr1t1.{name}.yaml").read_bytes())
    made = imported(tmp_path / "config.yaml", actuation="explicit", settings={"base.floating": True}).contract
    kept = load_contract(Path(__file__).parents[1] / "real_policies" / "rl_sar_gr1t1.yaml")
    assert differences(made, kept) == []
    numbers = next(iter(yaml.safe_load((folder / "rl_sar_gr1t1.config.yaml").read_text()).values()))
    network = torch.jit.load(str(folder / "rl_sar_gr1t1.pt"))
    raw = network(torch.randn((1, 39), generator=torch.Generator().manual_seed(0)) * 3.0).detach().numpy()
    sent = np.clip(raw[0], numbers["clip_actions_lower"], numbers["clip_actions_upper"]) + numbers["default_dof_pos"]
    signals = Signals(made, made.joint_names, 1)
    signals.reset()
    np.testing.assert_allclose(ActionDecoder(made, signals).decode(raw)[0], sent, rtol=1e-6)
    assert (sent != raw[0] + numbers["default_dof_pos"]).sum() >= 2


def test_the_running_gains_are_taken_and_not_those_for_standing_up(tmp_path: Path) -> None:
    """fixed_kp belongs to another controller."""
    assert 80.0 not in [joint.stiffness for joint in make(tmp_path).joints.values()]


@pytest.mark.parametrize(
    ("ages", "priority", "first", "last"),
    [
        ([0, 1, 2], "time", "base_ang_vel[x]", "last_action[FL_calf]@-2"),
        ([2, 1, 0], "time", "base_ang_vel[x]@-2", "last_action[FL_calf]"),
        ([2, 1, 0], "term", "base_ang_vel[x]@-2", "last_action[FL_calf]"),
        ([0, 1, 2], "term", "base_ang_vel[x]", "last_action[FL_calf]@-2"),
    ],
)
def test_zero_is_the_newest_step_of_history(
    tmp_path: Path, ages: list[int], priority: str, first: str, last: str
) -> None:
    """The list of ages gives the order, the priority the layout, and the buffer starts with zeros."""
    made = make(tmp_path, observations_history=ages, observations_history_priority=priority)
    slots = [str(slot) for slot in observation_slots(made)]
    assert (slots[0], slots[-1], len(slots)) == (first, last, 63)
    step = 21 if priority == "time" else 3
    assert slots[step] == ("base_ang_vel[x]@-1")
    assert made.observation.history is not None
    assert made.observation.history.fill == "zero"


def test_a_history_without_priority_is_asked_for(tmp_path: Path) -> None:
    """Older files lack the key, and both layouts have the same width."""
    with pytest.raises(ContractError, match=r"observation\.history\.layout: observations_history_priority is missing"):
        make(tmp_path, observations_history=[0, 1], observations_history_priority=...)


def test_a_width_that_does_not_add_up_names_the_terms(tmp_path: Path) -> None:
    """num_observations is held against the terms."""
    with pytest.raises(
        ContractError, match=r"'toy/gait\.num_observations' is 45, but the terms add up to 21: ang_vel 3"
    ):
        make(tmp_path, num_observations=45)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": ["ang_vel", "gravity"]}, "names 'gravity', which is unknown.*rl_sar itself passes over"),
        ({"wheel_indices": [4]}, "has index 4, but there are only 4"),
        ({"clip_actions_lower": [-5.0, -5.0, -5.0, 9.0]}, "is 9 for 'FL_calf', above clip_actions_upper, 5"),
        ({"observations_history": [0, 2]}, "unbroken histories only"),
        ({"joint_mapping": [0, 1, 2, 4]}, "has index 4, but there are only 4"),
        ({"joint_mapping": ...}, "is missing, so nothing says which SDK joint the policy's first one is"),
        ({"rl_kp": [20.0] * 12}, r"'toy/gait\.rl_kp' has 12 numbers, expected 4, one per joint"),
    ],
)
def test_what_a_contract_can_not_state_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Nothing is dropped or bent: it is named."""
    with pytest.raises(ContractError, match=message):
        make(tmp_path, **change)


def test_the_base_of_another_robot_is_refused(tmp_path: Path) -> None:
    """Both files must be of one robot."""
    write(tmp_path / "base.yaml", {"other": base()["toy"]})
    with pytest.raises(ContractError, match="is of 'toy/gait', but .* of robot 'other'"):
        contract(write(tmp_path / "gait/config.yaml", config()))


def test_how_torque_was_computed_in_training_is_asked_for(tmp_path: Path) -> None:
    """rl_sar's own loop does not tell how the training simulator closed its loop."""
    write(tmp_path / "base.yaml", base())
    file = write(tmp_path / "config.yaml", config())
    with pytest.raises(ContractError, match=r"actuation\.kind: rl_sar computes the torque itself"):
        contract(file, actuation=None)


@pytest.mark.parametrize(
    "key", ["gravity_vec_scale", "action_offset", "clip_commands", "observations_delay", "obs_noise"]
)
def test_a_key_that_scales_clips_or_stacks_and_is_unknown_is_refused(tmp_path: Path, key: str) -> None:
    """It is read by a fork, or by nobody; who knows that it does nothing takes it out. Null says nothing."""
    with pytest.raises(ContractError, match=rf"'toy/gait\.{key}' is unknown.*Take the key out of the file"):
        make(tmp_path, **{key: 2.0})
    assert make(tmp_path, **{key: None}).observation_size == 21
    assert make(tmp_path, model_name="policy.pt", framework="isaacsim").observation_size == 21


def test_the_point_of_the_velocity_is_asked_for_and_told(tmp_path: Path) -> None:
    """rl_sar does not say whose velocity was trained with: that is listed as unset, and `--set` states it."""
    seen = {"num_observations": 3, "observations": ["lin_vel"]}
    said = [line for line in unset_values(make(tmp_path, **seen)) if "whose velocity" in line]
    assert len(said) == 1
    for point, kept in (("com", "com"), ([0.1, 0, 0], (0.1, 0.0, 0.0)), ({"sensor": "v"}, Place(sensor="v"))):
        files = [write(tmp_path / "base.yaml", base()), write(tmp_path / "config.yaml", config(**seen))]
        told = contract(*files, actuation="explicit", settings={"observation.terms.base_lin_vel.point": point})
        assert told.observation.terms[0].point == kept
        assert not [line for line in unset_values(told) if "whose velocity" in line]


def test_wheels_are_driven_by_velocity_and_their_positions_are_masked(tmp_path: Path) -> None:
    """Each run of wheels is a term of its own in the action's order; their places in dof_pos hold zero."""
    made = make(tmp_path, wheel_indices=[1, 3], rl_kp=[20.0, 0.0, 22.0, 0.0], dof_pos_scale=2.0)
    assert made.action_joint_names == ("FR_hip", "FL_hip", "FR_calf", "FL_calf")
    assert [(term.term, term.scale) for term in made.action.terms] == [
        ("joint_position", 0.125),
        ("joint_velocity", 0.125),
        ("joint_position", 0.25),
        ("joint_velocity", 0.25),
    ]
    seen = next(term for term in made.observation.terms if term.term == "joint_pos_rel")
    assert seen.scale == {"FR_hip": 2.0, "FL_hip": 0.0, "FR_calf": 2.0, "FL_calf": 0.0}
    with pytest.raises(ContractError, match="joint 'FL_hip', whose stiffness is 21: that would hold it"):
        make(tmp_path, wheel_indices=[1])
