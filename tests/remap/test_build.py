"""Claims about the remap that contracts and a mapping give, held against physics written out by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_port.contract import Contract, RobotMapping
from policy_port.errors import MappingError
from policy_port.remap import build_remap, derive_target, identity_remap
from tests.samples import LEGS, contract_data

seeds = st.integers(0, 2**31)


def contract(**changes: Any) -> Contract:
    return Contract.model_validate(contract_data(**changes))


def mapping(**changes: Any) -> RobotMapping:
    data = {"source_joint_names": LEGS, "target_joint_names": LEGS}
    return RobotMapping.model_validate(data | changes)


def random_mapping(rng: np.random.Generator) -> RobotMapping:
    """Other order, other names, signs, offsets, units and gears."""
    names = {name: f"{name}_t" for name in LEGS}
    order = [names[LEGS[i]] for i in rng.permutation(len(LEGS))]
    joints = {
        name: {
            "sign": int(rng.choice([-1, 1])),
            "scale": float(rng.uniform(0.5, 2.0)),
            "offset": float(rng.normal()),
            "unit": str(rng.choice(["rad", "deg"])),
        }
        for name in LEGS
    }
    return mapping(target_joint_names=order, rename=names, joints=joints)


def convert(m: RobotMapping, name: str, position: float) -> float:
    """A source position in the target's parsing, from the words of the mapping's docstring."""
    rule = m.joints[name]
    degrees = 180.0 / np.pi if rule.unit == "deg" else 1.0
    return rule.sign * rule.scale * position * degrees + rule.offset


def observe(c: Contract, pos: dict[str, float], vel: dict[str, float], raw: dict[str, float], rest: Any) -> np.ndarray:
    """The toy's observation, term by term, from named physical values in the contract's own parsing."""
    values: list[float] = []
    names = list(c.joints)
    values += [0.25 * v for v in rest["omega"]]
    values += [s * v for s, v in zip((2.0, 2.0, 0.25), rest["command"], strict=True)]
    values += [pos[n] - c.joints[n].default for n in names]
    values += [pos[n] for n in names]
    values += [0.05 * vel[n] for n in names]
    values += [raw[n] for n in names]
    values += list(rest["phase"])
    return np.array(values)


@given(seeds)
def test_both_sides_see_the_same_robot(seed: int) -> None:
    """The target's observation of a robot, remapped, is the source's observation of the same robot."""
    rng = np.random.default_rng(seed)
    source, m = contract(), random_mapping(rng)
    remap = build_remap(source, m)
    pos, vel, raw = ({n: float(v) for n, v in zip(LEGS, rng.normal(size=4), strict=True)} for _ in range(3))
    rest = {"omega": rng.normal(size=3), "command": rng.normal(size=3), "phase": rng.normal(size=2)}
    zero = {n: convert(m, n, 0.0) for n in LEGS}
    there = observe(
        remap.target,
        {m.rename[n]: convert(m, n, pos[n]) for n in LEGS},
        {m.rename[n]: convert(m, n, vel[n]) - zero[n] for n in LEGS},
        {m.rename[n]: m.joints[n].sign * raw[n] for n in LEGS},
        rest,
    )
    np.testing.assert_allclose(remap.observation(there), observe(source, pos, vel, raw, rest), rtol=1e-9, atol=1e-9)


@given(seeds)
def test_both_raw_actions_command_the_same_robot(seed: int) -> None:
    """Source raw action and remapped raw action decode, each by its own contract, to the same joint targets."""
    rng = np.random.default_rng(seed)
    source, m = contract(), random_mapping(rng)
    remap = build_remap(source, m)
    raw = rng.normal(size=4)
    ported = dict(zip(remap.target.joint_names, remap.action(raw), strict=True))
    term = remap.target.action.terms[0]
    assert term.offset == "default"
    for i, name in enumerate(LEGS):
        wanted = convert(m, name, source.joints[name].default + 0.25 * raw[i])
        there = m.rename[name]
        scale = term.scale[there] if isinstance(term.scale, dict) else term.scale
        assert remap.target.joints[there].default + scale * ported[there] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@given(seeds)
def test_there_and_back_is_where_we_were(seed: int) -> None:
    """Remapping by a mapping and then by its inverse gives the identity, on the observation and on the action."""
    m = random_mapping(np.random.default_rng(seed))
    there = build_remap(contract(), m)
    back = build_remap(there.target, m.inverse())
    for out, home in ((back.observation, there.observation), (there.action, back.action)):
        whole = out.then(home)
        assert (whole.index == np.arange(whole.n_out)).all()
        np.testing.assert_allclose(whole.scale, 1.0, rtol=1e-12)
        np.testing.assert_allclose(whole.offset, 0.0, atol=1e-9)
    assert back.target.joint_names == LEGS


def test_a_pure_reorder_changes_no_bit() -> None:
    """Where only the order differs, the maps are reorders: no factor, no offset."""
    remap = build_remap(contract(), mapping(target_joint_names=LEGS[::-1]))
    assert remap.observation.is_reorder
    assert remap.action.is_reorder
    assert remap.target.joint_names == LEGS[::-1]
    assert remap.target.joints["left_knee"] == contract().joints["left_knee"]


def test_two_list_file_of_isaac_lab_gives_its_known_indices() -> None:
    """Twelve base entries stay, then joint_pos_rel, joint_vel and last_action each follow the joints."""
    terms = [
        {"term": "base_lin_vel"},
        {"term": "base_ang_vel"},
        {"term": "projected_gravity"},
        {"term": "velocity_command"},
        {"term": "joint_pos_rel"},
        {"term": "joint_vel"},
        {"term": "last_action"},
    ]
    target = ("right_knee", "left_hip", "right_hip", "left_knee")
    remap = build_remap(contract(observation={"terms": terms}), mapping(target_joint_names=target))
    moved = [target.index(name) for name in LEGS]
    wanted = [*range(12), *(12 + i for i in moved), *(16 + i for i in moved), *(20 + i for i in moved)]
    assert remap.observation.index.tolist() == wanted
    assert remap.action.index.tolist() == [LEGS.index(name) for name in target]


def test_one_sided_joints_stand_still() -> None:
    """A joint that the target lacks is shown at its stated position; one that the policy lacks is held at its own."""
    m = mapping(
        target_joint_names=["waist", *LEGS[:3]],
        only_in_source={"right_knee": {"position": 0.9}},
        only_in_target={"waist": {"position": 0.3, "stiffness": 50.0, "damping": 2.0}},
    )
    remap = build_remap(contract(), m)
    seen = dict(zip(remap.observation.outputs, remap.observation(np.zeros(remap.observation.n_in)), strict=True))
    default = contract().joints["right_knee"].default
    assert seen["joint_pos[right_knee]"] == 0.9
    assert seen["joint_pos_rel[right_knee]"] == pytest.approx(0.9 - default)
    assert seen["joint_vel[right_knee]"] == 0.0
    assert seen["last_action[right_knee]"] == pytest.approx((0.9 - default) / 0.25)
    assert remap.target.joints["waist"].default == 0.3
    assert remap.action(np.ones(4)).tolist() == [0.0, 1.0, 1.0, 1.0]
    with pytest.raises(MappingError, match="waist"):
        m.inverse()


def test_a_dropped_term_is_constant_and_scaled_as_the_network_expects() -> None:
    """A term that the target lacks reaches the network as its stated raw value times the source's scale."""
    remap = build_remap(contract(), mapping(terms={"base_ang_vel": {"constant": [0.4, 0.0, -0.4]}}))
    assert remap.target.observation_size == contract().observation_size - 3
    assert remap.observation(np.zeros(remap.observation.n_in))[:3].tolist() == [0.1, 0.0, -0.1]


def test_a_term_the_target_scales_otherwise_is_rescaled() -> None:
    """Where the target's own code leaves a scale out, the remap puts it in."""
    remap = build_remap(contract(), mapping(terms={"joint_vel": {"scale": 1.0, "rename": "dq"}}))
    assert remap.observation(np.ones(remap.observation.n_in))[14:18].tolist() == [0.05] * 4
    assert "dq[left_hip]" in remap.observation.inputs


@pytest.mark.parametrize("layout", ["term_major", "time_major"])
@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
def test_history_layouts_are_reordered_step_by_step(layout: str, order: str) -> None:
    """Whatever the layouts of the two sides, each step of each joint arrives at its own place."""
    terms = [{"term": "joint_pos", "history": 3}, {"term": "base_ang_vel", "history": 3}]
    history = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
    source = contract(observation={"terms": terms, "history": history})
    there = {"layout": layout, "order": order, "fill": "first"}
    remap = build_remap(source, mapping(target_joint_names=LEGS[::-1], history=there))
    # Every target number tells which step and element it is: 100 * age + element (joints 0..3 by name, axes 10..12).
    steps = range(3) if order == "newest_first" else range(2, -1, -1)
    joints, axes = [3, 2, 1, 0], [10, 11, 12]
    if layout == "time_major":
        flat = [100 * k + e for k in steps for e in joints + axes]
    else:
        flat = [100 * k + e for k in steps for e in joints] + [100 * k + e for k in steps for e in axes]
    wanted = [100 * k + e for k in (2, 1, 0) for e in range(4)] + [100 * k + e for k in (2, 1, 0) for e in axes]
    assert remap.observation(np.array(flat, dtype=float)).tolist() == wanted


def test_a_clip_moves_into_the_graph_only_where_it_must() -> None:
    """A symmetric clip commutes with order and sign and stays the target's; with units it stands in the network."""
    clipped = contract(observation=contract_data()["observation"] | {"clip": [-5.0, 5.0]})
    plain = build_remap(clipped, mapping(joints={"left_hip": {"sign": -1}}))
    assert plain.observation_clip is None
    assert plain.target.observation.clip == (-5.0, 5.0)
    degrees = build_remap(clipped, mapping(joints={"left_hip": {"unit": "deg"}}))
    assert degrees.observation_clip == (-5.0, 5.0)
    assert degrees.target.observation.clip is None


def test_term_clips_follow_unit_and_sign() -> None:
    """A clip of the raw value is carried into the target's unit and direction, joint by joint."""
    terms = [{"term": "joint_pos", "clip": [-1.0, 2.0]}]
    target = derive_target(
        contract(observation={"terms": terms}), mapping(joints={"left_knee": {"sign": -1, "offset": 0.5}})
    )
    assert target.observation.terms[0].clip == {n: (-1.5, 1.5) if n == "left_knee" else (-1.0, 2.0) for n in LEGS}


def test_a_swapped_direction_is_told_as_one() -> None:
    """A mapping used the wrong way round is refused with that very word."""
    m = mapping(target_joint_names=LEGS[::-1])
    target = derive_target(contract(), m)
    with pytest.raises(MappingError, match="direction is evidently swapped"):
        derive_target(target, m)


def test_the_right_joints_in_the_wrong_order_are_refused() -> None:
    """Equal joint sets are not enough: the source list must be the contract's order, or indices would lie."""
    shuffled = (LEGS[1], LEGS[0], *LEGS[2:])
    with pytest.raises(MappingError, match="entry 0 is 'left_knee' in the mapping, 'left_hip' in the contract"):
        derive_target(contract(), mapping(source_joint_names=shuffled, target_joint_names=LEGS[::-1]))


def test_units_must_agree_with_the_contract() -> None:
    """A conversion that believes the source to be in degrees is refused on a contract in radians."""
    with pytest.raises(MappingError, match="source_unit is deg"):
        derive_target(contract(), mapping(joints={"left_hip": {"source_unit": "deg", "unit": "rad"}}))


def test_a_quaternions_order_is_not_said_to_turn_where_it_does_not() -> None:
    """A pose of the task passes through as it is, so a mapping can't give its quaternion another order."""
    assert derive_target(contract(), mapping(quaternion_order="xyzw")).quaternion_order == "xyzw"
    seen = contract(observation={"terms": [{"term": "joint_pos"}, {"term": "external", "name": "cube", "size": 7}]})
    assert derive_target(seen, mapping(quaternion_order="wxyz")).quaternion_order == "wxyz"
    with pytest.raises(MappingError, match="turns quaternion_order wxyz into xyzw, but the external terms cube pass"):
        derive_target(seen, mapping(quaternion_order="xyzw"))
    assert derive_target(seen, mapping()).quaternion_order == "wxyz"


def test_unknown_terms_are_named_with_the_nearest() -> None:
    """A misspelt term in the mapping names the term that was probably meant."""
    with pytest.raises(MappingError, match="did you mean 'joint_vel'"):
        derive_target(contract(), mapping(terms={"joint_vell": {"scale": 1.0}}))


def test_an_export_without_a_mapping_is_the_identity() -> None:
    """The remap of a plain export changes nothing and keeps the contract."""
    remap = identity_remap(contract())
    assert remap.observation.is_identity
    assert remap.action.is_identity
    assert remap.target is remap.source


def test_a_mapping_of_another_robot_is_told_in_one_sentence() -> None:
    """Where no joint is known, the answer is not a list of every name on both sides."""
    names = tuple(f"finger_{i}" for i in range(30))
    with pytest.raises(MappingError, match="is of another robot: none of its joints") as refused:
        derive_target(contract(), mapping(source_joint_names=names, target_joint_names=names))
    assert len(str(refused.value)) < 300


def test_a_last_action_that_is_scaled_away_stays_zero() -> None:
    """Scale 0 hides the last action on both sides; it is no division by zero."""
    terms = [{"term": "last_action", "scale": 0.0}]
    remap = build_remap(contract(observation={"terms": terms}), mapping(joints={"left_hip": {"sign": -1}}))
    assert remap.observation(np.ones(remap.observation.n_in)).tolist() == [0.0] * 4


def test_a_mapping_that_leaves_the_target_nothing_to_observe_is_refused() -> None:
    """All terms constant is a mistake of the mapping, told as one."""
    with pytest.raises(MappingError, match="makes no valid contract of 'toy'"):
        derive_target(
            contract(observation={"terms": [{"term": "joint_vel"}]}), mapping(terms={"joint_vel": {"constant": 0.0}})
        )
