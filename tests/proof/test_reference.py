"""The by-name reference, against numbers worked out by hand; the remap is not called here."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract, RobotMapping
from policy_port.proof import reference
from policy_port.proof.reference import ByNameReference, layout
from tests.samples import contract_data


def _contract(joints: dict[str, Any], terms: list[dict[str, Any]], **changes: Any) -> Contract:
    observation = {"terms": terms} | changes.pop("observation", {})
    action = {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]}
    data = contract_data(joints=joints, observation=observation, action=action)
    return Contract.model_validate(data | changes)


def _mapping(source: str, target: str, **changes: Any) -> RobotMapping:
    return RobotMapping.model_validate(
        {"source_joint_names": source.split(), "target_joint_names": target.split()} | changes
    )


def _observe(source: Contract, target: Contract, mapping: RobotMapping | None, obs: list[float]) -> list[float]:
    return ByNameReference(source, target, mapping).observation(np.array([obs], dtype=np.float64))[0].tolist()


def _act(source: Contract, target: Contract, mapping: RobotMapping | None, raw: list[float]) -> list[float]:
    return ByNameReference(source, target, mapping).action(np.array([raw], dtype=np.float64))[0].tolist()


def _joints(**defaults: float) -> dict[str, Any]:
    return {name: {"default": default} for name, default in defaults.items()}


def test_reads_nothing_of_the_remap():
    """The reference imports nothing of the code that it is held against."""
    tree = ast.parse(inspect.getsource(reference))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any("remap" in str(module) for module in modules)


def test_without_a_mapping_numbers_pass_through():
    """A plain export is held to the very numbers it was given."""
    contract = _contract(_joints(a=0.5, b=0.0), [{"term": "joint_pos_rel", "scale": 3.0}])
    assert _observe(contract, contract, None, [0.1, 0.2]) == [0.1, 0.2]
    assert _act(contract, contract, None, [0.1, 0.2]) == [0.1, 0.2]


def test_permutation():
    """Each joint's numbers follow its name: position, velocity, last action, and the action back."""
    terms = [{"term": "joint_pos"}, {"term": "joint_vel"}, {"term": "last_action"}]
    source = _contract(_joints(a=0.0, b=0.0, c=0.0), terms)
    target = _contract(_joints(c=0.0, a=0.0, b=0.0), terms)
    mapping = _mapping("a b c", "c a b")
    assert _observe(source, target, mapping, [3, 1, 2, 30, 10, 20, 300, 100, 200]) == [
        1,
        2,
        3,
        10,
        20,
        30,
        100,
        200,
        300,
    ]
    assert _act(source, target, mapping, [1, 2, 3]) == [3, 1, 2]


def test_sign():
    """A joint that turns the other way changes the sign of everything it measures and of its action."""
    terms = [{"term": "joint_pos_rel"}, {"term": "joint_vel"}, {"term": "last_action"}]
    source = _contract(_joints(a=0.25, b=0.5), terms)
    target = _contract(_joints(a=0.25, b=-0.5), terms)
    mapping = _mapping("a b", "a b", joints={"b": {"sign": -1}})
    assert _observe(source, target, mapping, [1, 2, 3, 4, 5, 6]) == [1, -2, 3, -4, 5, -6]
    assert _act(source, target, mapping, [1, 2]) == [1, -2]


def test_degrees_with_an_offset():
    """q_target = 180/pi q_source + 30: 120 degrees are pi/2, the speed has no offset, the raw action keeps its size."""
    terms = [{"term": "joint_pos"}, {"term": "joint_pos_rel", "scale": 2.0}, {"term": "joint_vel", "scale": 0.1}]
    source = _contract(
        _joints(a=0.5),
        terms,
        action={"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
    )
    degree = 180.0 / np.pi
    target = _contract(
        {"a": {"default": 0.5 * degree + 30.0, "unit": "deg"}},
        terms,
        action={"terms": [{"term": "joint_position", "scale": 0.25 * degree, "offset": "default"}]},
    )
    mapping = _mapping("a", "a", joints={"a": {"unit": "deg", "offset": 30.0}})
    expected = [np.pi / 2, 2.0 * np.pi / 4, 0.1 * np.pi]
    assert _observe(source, target, mapping, [120.0, 2.0 * 45.0, 0.1 * 180.0]) == pytest.approx(expected, rel=1e-14)
    assert _act(source, target, mapping, [0.7]) == pytest.approx([0.7], rel=1e-13)


def test_an_action_scale_that_does_not_fit_the_unit_shows():
    """A target contract whose scale was left in radians asks for another raw action: the reference is physical."""
    terms = [{"term": "joint_pos"}]
    source = _contract(_joints(a=0.0), terms)
    target = _contract({"a": {"default": 0.0, "unit": "deg"}}, terms)
    mapping = _mapping("a", "a", joints={"a": {"unit": "deg"}})
    assert _act(source, target, mapping, [1.0]) == pytest.approx([180.0 / np.pi])


def test_a_wrong_default_pose_shows():
    """A target contract whose default differs from the source's moves joint_pos_rel by the difference."""
    terms = [{"term": "joint_pos_rel"}]
    source, target = _contract(_joints(a=0.5), terms), _contract(_joints(a=0.25), terms)
    assert _observe(source, target, _mapping("a", "a"), [1.0]) == [0.75]


def test_dropped_and_renamed_terms():
    """A term that the target lacks shows its constant, clipped and scaled; a renamed one is read by its new name."""
    source = _contract(
        _joints(a=0.0),
        [
            {"term": "base_lin_vel", "scale": 2.0, "offset": 0.5, "clip": [-1.0, 2.0]},
            {"term": "velocity_command", "scale": [2.0, 2.0, 0.25]},
            {"term": "joint_pos"},
        ],
    )
    target = _contract(
        _joints(a=0.0), [{"term": "joint_pos"}, {"term": "velocity_command", "name": "command", "scale": 1.0}]
    )
    mapping = _mapping(
        "a",
        "a",
        terms={"base_lin_vel": {"constant": [0.0, 1.0, 9.0]}, "velocity_command": {"rename": "command", "scale": 1.0}},
    )
    assert _observe(source, target, mapping, [7.0, 1.0, 2.0, 4.0]) == [0.5, 2.5, 4.5, 2.0, 4.0, 1.0, 7.0]


def test_joints_that_only_the_source_has_stand_still():
    """The policy sees a missing joint at its stated position, at rest, under the action that holds it there."""
    kinds = ("joint_pos", "joint_pos_rel", "joint_vel", "joint_target", "last_action")
    terms = [{"term": kind} for kind in kinds]
    action = {"terms": [{"term": "joint_position", "scale": 0.5, "offset": "default"}]}
    source = _contract(_joints(a=0.0, gone=0.25), terms, action=action)
    target = _contract(_joints(a=0.0), terms, action=action)
    mapping = _mapping("a gone", "a", only_in_source={"gone": {"position": 1.0}})
    assert _observe(source, target, mapping, [1, 2, 3, 4, 5]) == [1, 1.0, 2, 0.75, 3, 0.0, 4, 1.0, 5, 1.5]
    assert _act(source, target, mapping, [1, 2]) == [1]


def test_a_missing_joint_of_a_delta_action_is_held_by_zero():
    """Under a delta action the last action of a joint that stands still is the raw action of no motion."""
    action = {"terms": [{"term": "joint_position_delta", "reference": "joint_target", "scale": 0.5, "offset": 0.1}]}
    source = _contract(_joints(a=0.0, gone=0.25), [{"term": "last_action"}], action=action)
    target = _contract(_joints(a=0.0), [{"term": "last_action"}], action=action)
    mapping = _mapping("a gone", "a", only_in_source={"gone": {"position": 1.0}})
    assert _observe(source, target, mapping, [3.0]) == pytest.approx([3.0, -0.2])
    assert _act(source, target, mapping, [1.0, 2.0]) == pytest.approx([1.0])


def test_joints_that_only_the_target_has_are_held():
    """A joint that the policy does not know is not shown to it and gets the raw action of its position."""
    terms = [{"term": "joint_pos"}]
    source = _contract(_joints(a=0.0), terms)
    target = _contract(
        _joints(new=0.5, a=0.0),
        terms,
        action={"terms": [{"term": "joint_position", "scale": {"new": 0.5, "a": 1.0}, "offset": 0.25}]},
    )
    mapping = _mapping("a", "new a", only_in_target={"new": {"position": 0.5}})
    assert _observe(source, target, mapping, [9.0, 1.0]) == [1.0]
    assert _act(source, target, mapping, [1.0]) == [0.5, 0.75]


@pytest.mark.parametrize(
    ("layout_name", "order", "expected"),
    [
        ("term_major", "oldest_first", "p1 p0 g1 g0"),
        ("term_major", "newest_first", "p0 p1 g0 g1"),
        ("time_major", "oldest_first", "p1 g1 p0 g0"),
        ("time_major", "newest_first", "p0 g0 p1 g1"),
    ],
)
def test_history_layouts(layout_name, order, expected):
    """Steps are laid out as the contract says, and the source gets each step from where the target put it."""
    terms = [{"term": "joint_pos", "history": 2}, {"term": "goal", "size": 1, "frame": "any", "history": 2}]
    history = {"layout": layout_name, "order": order, "fill": "zero"}
    target = _contract(_joints(a=0.0), terms, observation={"history": history})
    assert [f"{label[0].replace('j', 'p')}{age}" for label, _, age in layout(target)] == expected.split()
    plain = {"layout": "term_major", "order": "oldest_first", "fill": "zero"}
    source = _contract(_joints(a=0.0), terms, observation={"history": plain})
    numbers = {"p0": 1.0, "p1": 2.0, "g0": 3.0, "g1": 4.0}
    given = [numbers[name] for name in expected.split()]
    assert _observe(source, target, _mapping("a", "a"), given) == [2.0, 1.0, 4.0, 3.0]


def test_the_sources_clips_apply_to_the_sources_values():
    """A term's clip bounds the raw value in the source's unit, the observation's clip what comes out."""
    terms = [{"term": "joint_vel", "scale": 0.5, "clip": [-4.0, 4.0]}, {"term": "joint_pos"}]
    source = _contract(_joints(a=0.0), terms, observation={"clip": [-3.0, 5.0]})
    target = _contract({"a": {"default": 0.0}}, [{"term": "joint_vel"}, {"term": "joint_pos"}])
    mapping = _mapping("a", "a", joints={"a": {"sign": -1}}, terms={"joint_vel": {"scale": 1.0}})
    assert _observe(source, target, mapping, [9.0, 9.0]) == [-2.0, -3.0]


def test_a_raw_clip_that_the_target_lost_is_applied_here():
    """The network's output is clipped before it is turned round, unless the target's controller does it."""
    terms = [{"term": "joint_pos"}]
    mapping = _mapping("a", "a", joints={"a": {"sign": -1}})
    action = {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]}
    source = _contract(_joints(a=0.0), terms, action=action | {"raw_clip": [-1.0, 2.0]})
    target = _contract(_joints(a=0.0), terms, action=action)
    assert _act(source, target, mapping, [5.0]) == [-2.0]
    assert _act(source, source, None, [5.0]) == [5.0]


def test_precision_is_that_of_the_input():
    """float32 goes through float32 arithmetic: 90 degrees less 90 leave float32's rounding, float64's is smaller."""
    source = _contract(_joints(a=0.0), [{"term": "joint_pos"}])
    target = _contract({"a": {"default": 0.0, "unit": "deg"}}, [{"term": "joint_pos"}])
    mapping = _mapping("a", "a", joints={"a": {"unit": "deg", "offset": 90.0}})
    by_name = ByNameReference(source, target, mapping)
    x = np.linspace(80.0, 100.0, 41)[:, None]
    exact, rounded = by_name.observation(x), by_name.observation(x.astype(np.float32))
    assert rounded.dtype == np.float32
    assert 1e-9 < np.abs(exact - rounded).max() < 1e-6


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ({"point": "com"}, {}),
        ({}, {"point": [0.0, 0.0, 0.1]}),
        ({"point": {"site": "imu"}}, {"point": {"sensor": "imu"}}),
        ({"frame": {"site": "imu"}}, {}),
    ],
)
def test_another_point_or_frame_proves_nothing(source: dict[str, Any], target: dict[str, Any]) -> None:
    """A target that gives another point's velocity, or other axes, is refused by the reference of its own accord."""
    sides = [_contract(_joints(a=0.0), [{"term": "base_lin_vel", **stated}]) for stated in (source, target)]
    with pytest.raises(NotImplementedError, match="no port of it can be proved"):
        _observe(*sides, _mapping("a", "a"), [1.0, 2.0, 3.0])
    assert _observe(sides[0], sides[0], _mapping("a", "a"), [1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]


def test_the_link_s_origin_is_what_is_meant_where_nothing_is_stated() -> None:
    """`point: link` and no point are one quantity."""
    sides = [_contract(_joints(a=0.0), [{"term": "base_lin_vel", **stated}]) for stated in ({}, {"point": "link"})]
    assert _observe(*sides, _mapping("a", "a"), [1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
