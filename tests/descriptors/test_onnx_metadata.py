"""Claims about metadata inside ONNX files: three decimals, unsure gains, and this program's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import ContractError
from tests.descriptors.importing import COMPLETE, imported, linear_policy, write
from tests.samples import contract_data

METADATA = {
    "run_path": "x/y/z",
    "joint_names": "hip,knee",
    "joint_stiffness": "40.179,99.098",
    "joint_damping": "2.558,6.309",
    "default_joint_pos": "0.100,-0.200",
    "command_names": "twist",
    "observation_names": "base_ang_vel,projected_gravity,command,joint_pos,joint_vel,actions",
    "action_scale": "0.075,0.439",
}
WIDTH = 9 + 3 * 2


def make(path: Path, *, width: int = WIDTH, metadata: dict[str, str] | None = None, **options: Any) -> Any:
    file = linear_policy(path / "policy.onnx", width, 2, METADATA | (metadata or {}))
    given: dict[str, Any] = {"layout": "mjlab_velocity", "settings": {"decimation": 4}}
    return imported(file, **(COMPLETE | given | options))


def test_rounding_is_told_with_its_consequence(tmp_path: Path) -> None:
    """0.075 stands for anything from 0.0745 to 0.0755, 0.67 %, and the note says so."""
    made = make(tmp_path)
    assert made.contract.action.terms[0].scale == {"hip": 0.075, "knee": 0.439}
    assert any("action_scale 0.075 may be off by 0.67 %" in note for note in made.notes)
    assert made.contract.sources["joints.*.default"].endswith("(rounded to 3 decimals)")


def test_gains_of_unknown_order_are_left_out(tmp_path: Path) -> None:
    """Older files have gains in actuator order beside names in joint order; nothing in them tells."""
    made = make(tmp_path)
    assert made.contract.joints["hip"].stiffness is None
    assert any("joint_stiffness is left out" in note and "--gains-order joint" in note for note in made.notes)
    assert make(tmp_path, gains_order="joint").contract.joints["knee"].stiffness == 99.098


def test_newer_metadata_and_equal_gains_need_no_statement(tmp_path: Path) -> None:
    """Keys that came after the mend prove the order; equal gains have none."""
    newer = {"observation_terms_scale": "1.000,1.000,1.000,1.000,0.050,1.000"}
    made = make(tmp_path, metadata=newer).contract
    assert made.joints["hip"].stiffness == 40.179
    assert made.observation.terms[4].model_dump()["scale"] == 0.05
    assert make(tmp_path, metadata={"joint_stiffness": "5.000,5.000"}).contract.joints["hip"].stiffness == 5.0


def test_precise_values_replace_rounded_ones_by_name(tmp_path: Path) -> None:
    """Full precision is taken joint by joint, and gains given by name need no order."""
    precise = {
        "action_scale": {"knee": 0.43857, "hip": 0.0745206},
        "default_joint_pos": {"hip": 0.1, "knee": -0.2},
        "joint_stiffness": {"hip": 99.0984, "knee": 40.1792},
    }
    made = make(tmp_path, precise=write(tmp_path / "precise.yaml", precise))
    assert made.contract.action.terms[0].scale == {"hip": 0.0745206, "knee": 0.43857}
    # The metadata's gains stand in actuator order here, and are told apart by name.
    assert made.contract.joints["hip"].stiffness == 99.0984
    assert not any("rounded" in note for note in made.notes)


@pytest.mark.parametrize(
    ("precise", "message"),
    [
        ({"action_scale": {"hip": 0.0765, "knee": 0.439}}, "has 0.075, which no rounding explains"),
        ({"action_scale": [0.0745, 0.439]}, "is a list, which does not say its order"),
        ({"action_scale": {"hip": 0.0745}}, "key 'action_scale.knee' is missing"),
        ({"action_scale": {"hip": 0.075, "knee": 0.439, "kne": 1.0}}, "is no joint of the policy; did you mean 'knee'"),
        ({"action_scales": {}}, "is not known; did you mean 'action_scale'"),
        ({"joint_stiffness": {"hip": 1.0, "knee": 2.0}}, "joint_stiffness of one joint is 1"),
    ],
)
def test_precise_values_of_another_policy_are_refused(tmp_path: Path, precise: dict[str, Any], message: str) -> None:
    """Each must round to what the metadata has."""
    with pytest.raises(ContractError, match=message):
        make(tmp_path, precise=write(tmp_path / "precise.yaml", precise))


def test_names_of_terms_mean_nothing_without_a_layout(tmp_path: Path) -> None:
    """joint_pos may or may not be relative to the default."""
    with pytest.raises(
        ContractError,
        match="a name does not say what is computed.*--layout mjlab_velocity, .* or beyondmimic",
    ):
        make(tmp_path, layout=None)
    with pytest.raises(ContractError, match="'height_scan' is not in the layout"):
        make(tmp_path, metadata={"observation_names": "height_scan"})


def test_beyondmimic_stacks_and_has_a_motion_command(tmp_path: Path) -> None:
    """The reference motion is positions and velocities of all joints; lengths come with three decimals too."""
    metadata = {
        "observation_names": "command,motion_anchor_ori_b,base_ang_vel,actions",
        "observation_history_lengths": "1.000,1.000,5.000,1.000",
    }
    options: dict[str, Any] = {"layout": "beyondmimic", "width": 4 + 6 + 15 + 2}
    with pytest.raises(ContractError, match=r"motion\.anchor: .* give --set motion.anchor=LINK"):
        make(tmp_path, metadata=metadata, **options)
    named = metadata | {"anchor_body_name": "torso", "body_names": "pelvis,torso"}
    with pytest.raises(
        ContractError, match=r"motion\.chain: the joints between base and 'torso' stand in a robot file"
    ):
        make(tmp_path, metadata=named, **options)
    robot = tmp_path / "robot.xml"
    robot.write_text(
        "<mujoco><worldbody><body name='pelvis'><freejoint/><geom size='1'/><body name='torso' pos='0 0 0.2'>"
        "<joint name='hip' axis='0 1 0'/><geom size='1'/></body></body></worldbody></mujoco>"
    )
    made = make(tmp_path, metadata=named, robot=str(robot), **options).contract
    assert [made.term_size(term) * term.history for term in made.observation.terms] == [4, 6, 15, 2]
    assert made.observation.history is not None
    assert made.motion is not None
    assert [(step.link, step.joint) for step in made.motion.chain] == [("torso", "hip")]
    assert made.motion.files.links == ("pelvis", "torso")
    lengths = {"observation_history_lengths": "2.000,1.000,1.000,1.000"}
    stacked = make(tmp_path, metadata=named | lengths, robot=str(robot), layout="beyondmimic", width=8 + 6 + 3 + 2)
    assert stacked.contract.widths().startswith("motion_command 4 x 2 + ")


def test_the_files_own_network_is_the_width(tmp_path: Path) -> None:
    """The ONNX file is the policy, so its width is always held against its metadata."""
    with pytest.raises(ContractError, match=r"reads 20 numbers, the contract describes 15, so 5 numbers are missing"):
        make(tmp_path, width=20)


def test_gains_that_were_never_written_are_left_out(tmp_path: Path) -> None:
    """mjlab once wrote 0 for every damping of a motor model."""
    made = make(tmp_path, metadata={"joint_damping": "-0.000,-0.000"})
    assert made.contract.joints["hip"].damping is None
    assert any("joint_damping is 0 for every joint" in note for note in made.notes)


def test_a_port_of_this_program_carries_its_whole_contract(tmp_path: Path) -> None:
    """The contract in the metadata is taken as it is; nothing can be set beside it."""
    contract = Contract.model_validate(contract_data())
    text = json.dumps(contract.model_dump(mode="json"))
    file = linear_policy(tmp_path / "policy.onnx", contract.observation_size, contract.action_size, {"contract": text})
    assert imported(file).contract == contract
    for stray in ({"robot": "other"}, {"actuation": "model"}, {"layout": "mjlab_velocity"}, {"settings": {"x": 1}}):
        with pytest.raises(ContractError, match=r"holds a whole contract, to which --\w+ add nothing; leave them out"):
            imported(file, **stray)
    for damaged in (text[:-20], "[1, 'contract_version']", '"contract_version"'):
        file = linear_policy(tmp_path / "policy.onnx", 3, 2, {"contract": damaged})
        with pytest.raises(ContractError, match="metadata 'contract' holds a damaged contract"):
            imported(file)


def test_files_without_metadata_or_network_say_so(tmp_path: Path) -> None:
    """An ONNX file without metadata is a policy without a descriptor."""
    with pytest.raises(ContractError, match="its metadata has no joint_names.*Its keys are: none"):
        imported(linear_policy(tmp_path / "policy.onnx", 3, 2))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x00\x01\x02")
    with pytest.raises(ContractError, match="is no ONNX file"):
        imported(broken)
