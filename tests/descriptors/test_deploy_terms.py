"""Claims about what stands in and beside the terms of a deploy.yaml, and about the order of its gains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import Contract
from policy_port.descriptors.registry import Imported
from policy_port.errors import ContractError
from tests.descriptors.importing import COMPLETE, imported, write
from tests.descriptors.test_unitree_rl_lab import POLICY, deploy, term

SYMMETRIC: dict[str, Any] = {"stiffness": [100.0] * 4, "damping": [2.0] * 4}
"""Gains that are the same in every order."""
SLICE = "!!python/object/apply:builtins.slice"


def read(path: Path, data: dict[str, Any] | str, **options: Any) -> Imported:
    names = write(path / "names.yaml", {"joint_names": POLICY})
    settings = {"base.floating": True} | options.pop("settings", {})
    return imported(write(path / "deploy.yaml", data), names=names, settings=settings, **(COMPLETE | options))


def observed(path: Path, terms: dict[str, Any], **options: Any) -> Contract:
    return read(path, deploy(observations=terms, **SYMMETRIC), **options).contract


def picked(path: Path, count: int, *, scale: Any = ..., kind: str = "joint_pos_rel", **asset: Any) -> Any:
    """The joints of a joint term with that asset_cfg."""
    given = [1.0] * count if scale is ... else scale
    made = observed(path, {kind: term(4, params={"asset_cfg": {"name": "robot"} | asset}) | {"scale": given}})
    return made.observation.terms[0].joints  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["joint_pos", "joint_pos_rel", "joint_vel_rel"])
def test_a_term_observes_the_joints_that_its_indices_pick(tmp_path: Path, kind: str) -> None:
    """joint_ids count the policy's joints; a permuted list is an order, a shorter one a part, all of them no list."""
    left = ("left_hip", "left_knee")
    assert picked(tmp_path, 4, kind=kind, joint_ids=[0, 2, 1, 3]) == (
        "left_hip",
        "left_knee",
        "right_hip",
        "right_knee",
    )
    assert picked(tmp_path, 2, kind=kind, joint_ids=[0, 2]) == left
    assert picked(tmp_path, 2, kind=kind, joint_ids=[0, 2], scale=None) == left
    assert picked(tmp_path, 2, kind=kind, joint_ids="slice(0, None, 2)") == left
    for everything in (None, [], {}, [0, 1, 2, 3], "slice(None, None, None)", "slice(0, 4, 1)"):
        assert picked(tmp_path, 4, kind=kind, joint_ids=everything) is None


def test_a_slice_tag_is_read_like_its_text(tmp_path: Path) -> None:
    """yaml.dump writes a slice with a Python tag; nothing of it is constructed."""
    asset = f"{{name: robot, joint_ids: {SLICE} [1, 3, null]}}"
    text = yaml.safe_dump(deploy(observations={"joint_pos_rel": term(2)}, **SYMMETRIC))
    made = read(tmp_path, text.replace("params: {}", f"params: {{asset_cfg: {asset}}}")).contract
    assert made.observation.terms[0].joints == ("right_hip", "left_knee")  # type: ignore[union-attr]


def test_a_term_observes_the_joints_that_its_patterns_pick(tmp_path: Path) -> None:
    """joint_names are patterns, in the order of the joints, or their own under preserve_order."""
    given = [".*_knee", "left_hip"]
    assert picked(tmp_path, 3, joint_names=given) == ("left_hip", "left_knee", "right_knee")
    kept = picked(tmp_path, 3, joint_names=given, preserve_order=True)
    assert kept == ("left_knee", "right_knee", "left_hip")
    assert picked(tmp_path, 2, joint_names=".*_knee", joint_ids=None) == ("left_knee", "right_knee")
    assert picked(tmp_path, 4, joint_names=[".*"]) is None
    # A file whose joints have other names than the user's: indices need none.
    assert picked(tmp_path, 2, joint_names=["FL", "FR"], joint_ids=[0, 2]) == ("left_hip", "left_knee")


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        (
            {"joint_ids": [0, 4]},
            r"joint_pos_rel\.params\.asset_cfg\.joint_ids' has index 4, but there are",
        ),
        ({"joint_ids": [0, 0]}, "lists index 0 twice"),
        ({"joint_ids": ["left_hip"]}, "expected a number"),
        ({"joint_ids": "slice(0, 4, 0)"}, "a slice in steps of 0"),
        ({"joint_names": ["left_hipp"]}, "has 'left_hipp', which is none of the joints: left_hip, right_hip"),
        ({"joint_names": ["left_hip", "x"], "joint_ids": [0, 1]}, "has 'x', which is none of the joints"),
        ({"joint_names": ["(.*)*_hip"]}, "no pattern of joint names that is safe"),
        (
            {"joint_names": ["left_hip", "left_knee"], "joint_ids": [0, 1]},
            "leads to left_hip, right_hip, but joint",
        ),
        (
            {"joint_names": ["left_knee", "left_hip"], "joint_ids": [0, 2], "preserve_order": True},
            "leads to left_hip, left_knee, but joint_names beside it to left_knee, left_hip",
        ),
        ({"preserve_order": "yes", "joint_names": [".*"]}, "expected true or false"),
        ({"name": "cube"}, "is 'cube', not 'robot': something else is observed"),
        ({"body_names": ["torso"]}, r"is \['torso'\], which a contract's joint_pos_rel can't pick"),
        ({"site_ids": [1]}, "which a contract's joint_pos_rel can't pick"),
    ],
)
def test_a_selection_that_leads_nowhere_is_refused(tmp_path: Path, asset: dict[str, Any], message: str) -> None:
    """Each mistake names the key, what stands there and what there is."""
    with pytest.raises(ContractError, match=message):
        picked(tmp_path, 4, scale=None, **asset)


def test_the_scale_has_one_number_per_picked_joint(tmp_path: Path) -> None:
    """A scale of all joints beside a part of them, or the other way round, is a contradiction."""
    with pytest.raises(ContractError, match=r"joint_pos_rel\.scale' has 4 numbers, expected 2"):
        picked(tmp_path, 4, joint_ids=[0, 2])
    with pytest.raises(ContractError, match=r"joint_pos_rel\.scale' has 2 numbers, expected 4"):
        picked(tmp_path, 2, joint_ids=None)
    made = observed(
        tmp_path,
        {
            "joint_pos_rel": term(2, params={"asset_cfg": {"joint_ids": [3, 0]}})
            | {"scale": [0.5, 2.0], "clip": [[-1, 1], [-2, 2]]}
        },
    )
    assert made.observation.terms[0].scale == {"right_knee": 0.5, "left_hip": 2.0}  # type: ignore[union-attr]
    assert made.observation.terms[0].clip == {"right_knee": (-1, 1), "left_hip": (-2, 2)}  # type: ignore[union-attr]


UNKNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("projected_gravity", {"params": {"asset_cfg": {"body_ids": [3]}}}, "can't pick: it is the base's own"),
    ("projected_gravity", {"params": {"asset_cfg": {"body_names": "torso"}}}, "can't pick: it is the base's own"),
    ("base_ang_vel", {"params": {"sensor_cfg": {"name": "imu"}}}, r"'observations\.base_ang_vel\.params\.sensor_cfg'"),
    ("base_ang_vel", {"params": {"sensor_name": "imu"}}, "which this program does not know"),
    ("velocity_commands", {"params": {"command_name": "pose"}}, "is 'pose', no velocity command .known: base_vel"),
    ("last_action", {"params": {"action_name": "arm"}}, "picks one of the action terms JointPositionAction"),
    ("gait_phase", {"params": {"period": 0.8, "offset": 0.5}}, r"gait_phase\.params\.offset' is '0.5'"),
    ("gait_phase", {"params": {"period": 0.8, "command_name": "base_velocity"}}, r"gait_phase\.params\.command_name'"),
    ("base_ang_vel", {"delay_min_lag": 2}, "delay_max_lag' makes a delay of 2 to 0 steps, which is none"),
    ("base_ang_vel", {"modifiers": [{"func": "x"}]}, "modifiers' change the value before it is clipped"),
    ("base_ang_vel", {"offset": 0.1}, "offset' is '0.1', which this program does not know"),
    ("base_ang_vel", {"scal": 0.1}, "did you mean 'scale'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "message"), UNKNOWN)
def test_what_nobody_understands_stops_until_the_term_is_stated(
    tmp_path: Path, name: str, more: dict[str, Any], message: str
) -> None:
    """A parameter that changes the numbers is refused, with a way out that works: by the term's name or its number."""
    count = {"last_action": 4, "gait_phase": 2}.get(name, 3)
    terms = {"joint_vel_rel": term(4), name: term(count, **more)}
    with pytest.raises(ContractError, match=message) as caught:
        observed(tmp_path, terms)
    assert f"--set observation.terms.{name}='{{term: KIND, ...}}'" in str(caught.value)
    whole = {"term": "external", "name": "mine", "size": count}
    for key in (name, "1"):
        made = observed(tmp_path, terms, settings={f"observation.terms.{key}": whole})
        assert [each.label for each in made.observation.terms] == ["joint_vel", "mine"]
        assert made.sources["observation.terms.mine"] == "--set"


@pytest.mark.parametrize(
    "more",
    [
        {"noise": {"func": "uniform", "std": 0.1}, "modifiers": None, "flatten_history_dim": True, "func": "x:y"},
        {"delay_min_lag": 0, "delay_max_lag": 0, "delay_hold_prob": 0.3, "delay_per_env": True, "weight": None},
        {"params": {"asset_cfg": {"name": "robot", "body_names": None, "body_ids": "slice(None, None, None)"}}},
    ],
)
def test_what_changes_nothing_at_play_is_passed_over(tmp_path: Path, more: dict[str, Any]) -> None:
    """Noise is of training, and what is null, empty or everything says nothing."""
    made = observed(tmp_path, {"base_ang_vel": term(3, **more)})
    assert made.observation.terms[0].model_dump(exclude_defaults=True) == {"term": "base_ang_vel"}


def test_a_history_that_is_no_flat_vector_is_refused(tmp_path: Path) -> None:
    """A stack of rows has the width of the flat vector and is another input."""
    with pytest.raises(ContractError, match="'observations.base_ang_vel.flatten_history_dim' is false"):
        observed(tmp_path, {"base_ang_vel": term(3, history=5, flatten_history_dim=False)})


def test_a_value_of_a_term_may_be_set_by_its_name_in_the_file_and_its_number(tmp_path: Path) -> None:
    """The file says joint_vel_rel, the contract joint_vel; either name leads there, and so does the number."""
    for name in ("joint_vel_rel", "joint_vel", "1"):
        terms = {"base_ang_vel": term(3), "joint_vel_rel": term(4)}
        made = read(
            tmp_path,
            deploy(observations=terms, **SYMMETRIC),
            settings={f"observation.terms.{name}.clip": [-1.0, 1.0], "observation.terms.0.scale": 0.5},
        )
        assert [each.model_dump(exclude_defaults=True) for each in made.contract.observation.terms] == [
            {"term": "base_ang_vel", "scale": 0.5},
            {"term": "joint_vel", "clip": (-1.0, 1.0)},
        ]
        assert made.contract.sources["observation.terms.joint_vel.clip"] == "--set"


def test_terms_of_a_motion_are_the_clips_and_the_anchors(tmp_path: Path) -> None:
    """motion_command is the clip's joint positions, then its velocities; the anchor is asked for, never guessed."""
    terms = {"motion_command": term(8), "motion_anchor_ori_b": term(6, history=2), "base_ang_vel": term(3)}
    with pytest.raises(
        ContractError, match=r"motion\.anchor: .* does not name the link; give --set motion.anchor=LINK"
    ):
        read(tmp_path, deploy(observations=terms, **SYMMETRIC))
    settings = {"motion.anchor": "pelvis", "motion.chain": []}
    made = read(tmp_path, deploy(observations=terms, **SYMMETRIC), settings=settings).contract
    assert made.widths() == "motion_command 8 + motion_anchor_ori_b 6 x 2 + base_ang_vel 3 = 23"
    assert made.motion is not None
    assert (made.motion.anchor, made.motion.align, made.motion.files.quaternion_order) == ("pelvis", "yaw", "xyzw")
    scaled = {"motion_command": term(8) | {"scale": [0.5] * 4 + [0.1, 0.2, 0.3, 0.4]}, "base_ang_vel": term(3)}
    found = observed(tmp_path, scaled).observation.terms[0]
    assert (found.entry("scale", POLICY[1]), found.entry("scale", f"{POLICY[2]} velocity")) == (0.5, 0.3)
    stacked = observed(tmp_path, {"motion_command": term(8, history=3), "base_ang_vel": term(3)})
    assert stacked.observation.terms[0].history == 3
    with pytest.raises(ContractError, match="of a reference motion can't be stated"):
        observed(tmp_path, {"motion_command": term(8) | {"clip": [-1.0, 1.0]}, "base_ang_vel": term(3)})


def test_a_term_of_the_task_takes_its_size_from_the_user(tmp_path: Path) -> None:
    """What no controller names needs --size; it must be that of the scale beside it, and of a term that is there."""
    with pytest.raises(ContractError, match=r"belongs to 'height_scan'.*take it as it is with --size height_scan=N"):
        observed(tmp_path, {"height_scan": term(187), "base_ang_vel": term(3)})
    terms = {"height_scan": term(187) | {"scale": None}, "base_ang_vel": term(3)}
    assert observed(tmp_path, terms, sizes={"height_scan": 187}).observation_size == 190
    with pytest.raises(ContractError, match="has 187 numbers, --size says 186"):
        observed(tmp_path, {"height_scan": term(187)}, sizes={"height_scan": 186})
    with pytest.raises(ContractError, match="--size height_scn: .* has no term of that name.*'height_scan'"):
        observed(tmp_path, terms, sizes={"height_scan": 187, "height_scn": 1})


def gains(made: Imported) -> list[float | None]:
    return [joint.stiffness for joint in made.contract.joints.values()]


def test_the_gains_order_is_asked_for_where_it_matters(tmp_path: Path) -> None:
    """unitree_rl_mjlab writes gains in the policy's order, unitree_rl_lab in motor order; nothing in the file tells."""
    data = deploy()
    with pytest.raises(ContractError) as caught:
        read(tmp_path, data)
    assert "joints.*.stiffness: unitree_rl_mjlab writes" in str(caught.value)
    assert "'right_hip' has 50 in the one, 101 in the other; give --gains-order policy or --gains-order motor" in str(
        caught.value
    )
    assert "joints.*.damping" in str(caught.value)
    assert gains(read(tmp_path, data, gains_order="motor")) == [100.0, 101.0, 50.0, 51.0]
    for order in ("policy", "joint"):
        assert gains(read(tmp_path, data, gains_order=order)) == [100.0, 50.0, 101.0, 51.0]
    given = {f"joints.*.{key}": 7.0 for key in ("stiffness", "damping")}
    assert gains(read(tmp_path, data, settings=given)) == [7.0] * 4


def test_no_question_where_both_orders_are_one(tmp_path: Path) -> None:
    """Equal gains, or a map that moves no joint, leave nothing to ask."""
    assert gains(read(tmp_path, deploy(**SYMMETRIC))) == [100.0] * 4
    assert gains(read(tmp_path, deploy(joint_ids_map=[0, 1, 2, 3]))) == [100.0, 50.0, 101.0, 51.0]
    # Stiffness alone is open: damping is not asked for.
    with pytest.raises(ContractError) as caught:
        read(tmp_path, deploy(damping=[2.0] * 4))
    assert "damping" not in str(caught.value)


def test_lengths_tell_the_order_of_gains(tmp_path: Path) -> None:
    """A robot with more motors than joints has one number per motor, or one per joint; both keys are in one order."""
    wide = {"joint_ids_map": [0, 1, 4, 5]}
    made = read(tmp_path, deploy(**wide, stiffness=[100.0, 101.0, 50.0, 51.0], damping=[1.0, 1.0, 2.0, 2.0]))
    assert gains(made) == [100.0, 101.0, 50.0, 51.0]
    assert made.contract.sources["joints.*.stiffness"] == "deploy.yaml: stiffness (policy order)"
    motors = {"stiffness": [100.0, 101.0, 0.0, 0.0, 50.0, 51.0], "damping": [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]}
    assert gains(read(tmp_path, deploy(**wide, **motors))) == [100.0, 101.0, 50.0, 51.0]
    with pytest.raises(ContractError, match="--gains-order policy: the gains of .* can only be in motor order: 6 n"):
        read(tmp_path, deploy(**wide, **motors), gains_order="policy")
    with pytest.raises(ContractError, match="'damping' has a length that contradicts stiffness"):
        read(tmp_path, deploy(**wide, stiffness=motors["stiffness"], damping=[1.0, 1.0, 2.0, 2.0]))
    with pytest.raises(ContractError, match="'stiffness' has 5 numbers: 4 would be in the policy's order, 6 or more"):
        read(tmp_path, deploy(**wide, stiffness=[1.0] * 5, damping=[1.0] * 5))
    # One key's length tells for both.
    made = read(tmp_path, deploy(stiffness=[100.0, 50.0, 101.0, 51.0, 0.0]))
    assert gains(made) == [100.0, 101.0, 50.0, 51.0]
    assert [joint.damping for joint in made.contract.joints.values()] == [1.0, 1.1, 2.0, 2.1]


def test_isaac_labs_own_marks_tell_whose_file_it_is(tmp_path: Path) -> None:
    """Only Isaac Lab's exporter leaves an asset_cfg or a slice in the file: its gains are in motor order, as noted."""
    terms = {"joint_pos_rel": term(4, params={"asset_cfg": {"name": "robot"}})}
    made = read(tmp_path, deploy(observations=terms))
    assert gains(made) == [100.0, 101.0, 50.0, 51.0]
    assert any("gains were taken in motor order" in note and "--gains-order policy" in note for note in made.notes)
    assert gains(read(tmp_path, deploy(observations=terms), gains_order="policy")) == [100.0, 50.0, 101.0, 51.0]
    tagged = yaml.safe_dump(deploy()).replace("joint_ids: null", f"joint_ids: {SLICE} [null, null, null]")
    assert gains(read(tmp_path, tagged)) == [100.0, 101.0, 50.0, 51.0]


def test_a_pose_in_two_orders_is_refused(tmp_path: Path) -> None:
    """An offset that is the default pose through joint_ids_map says that one of the two is in motor order."""
    with pytest.raises(ContractError, match="JointPositionAction.offset' is default_joint_pos in another order"):
        read(tmp_path, deploy(default_joint_pos=[0.1, 0.3, 0.2, 0.4], **SYMMETRIC))


def test_an_actions_own_parameters_are_read_or_refused(tmp_path: Path) -> None:
    """A slice picks joints, and a key that nobody knows stops the import until the action is stated."""
    action = {"scale": [0.5, 0.25], "offset": [0.2, 0.4], "joint_ids": "slice(1, None, 2)"}
    terms = {"base_ang_vel": term(3), "last_action": term(2)}
    made = read(tmp_path, deploy(actions={"JointPositionAction": action}, observations=terms, **SYMMETRIC)).contract
    assert made.action.terms[0].joints == ("right_hip", "right_knee")
    for names in ([".*_knee"], [".*"]):
        other = {"JointPositionAction": action | {"joint_names": names}}
        with pytest.raises(ContractError, match="joint_names' leads to .*, but joint_ids beside it to right_hip, ri"):
            read(tmp_path, deploy(actions=other, observations=terms, **SYMMETRIC))
    elsewhere = {"JointPositionAction": action | {"joint_names": ["FR_hip", "FR_calf"]}}
    assert read(tmp_path, deploy(actions=elsewhere, observations=terms, **SYMMETRIC)).contract.action_size == 2
    data = deploy(actions={"JointPositionAction": action | {"ema": 0.5}}, observations=terms, **SYMMETRIC)
    with pytest.raises(ContractError, match=r"ema' is '0.5', which this program does not know.*--set action.terms="):
        read(tmp_path, data)
    stated = [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]
    made = read(
        tmp_path, data | {"observations": {"base_ang_vel": term(3)}}, settings={"action.terms": stated}
    ).contract
    assert made.action_size == 4


def test_no_simulator_is_invented(tmp_path: Path) -> None:
    """The file is one of two trainers'; which simulator that was, it does not say."""
    made = read(tmp_path, deploy(**SYMMETRIC)).contract
    assert made.trained_in.startswith("not stated; ")
    assert read(tmp_path, deploy(**SYMMETRIC), trained_in="mjlab").contract.trained_in == "mjlab"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["permuted", "subset", "subset_noscale"])
def test_joint_ids_of_the_public_report_are_obeyed(shared: Path, name: str) -> None:
    """The files after Isaac Lab's issue 4383."""
    folder = shared / "failing_inputs/deploy_joint_ids"
    options = COMPLETE | {"names": folder / "names.yaml", "settings": {"base.floating": True}}
    made = imported(folder / f"deploy_{name}.yaml", **options).contract.observation.terms[3]
    wanted = ("hip_l", "knee_l", "hip_r", "knee_r") if name == "permuted" else ("hip_l", "knee_l")
    assert made.joints == wanted  # type: ignore[union-attr]


@pytest.mark.shared
def test_gains_of_the_public_report_are_the_policys(shared: Path) -> None:
    """unitree_rl_mjlab's issue 57: four numbers for six motors; with as many as motors the user says it."""
    folder = shared / "failing_inputs/deploy_gains_order"
    options = COMPLETE | {"names": folder / "names.yaml", "settings": {"base.floating": True}}
    assert gains(imported(folder / "fewer_than_motors.yaml", **options)) == [100.0, 100.0, 150.0, 150.0]
    with pytest.raises(ContractError, match="--gains-order policy or --gains-order motor"):
        imported(folder / "same_length.yaml", **options)
    assert gains(imported(folder / "same_length.yaml", **options, gains_order="policy")) == [100.0, 100.0, 150.0, 150.0]
