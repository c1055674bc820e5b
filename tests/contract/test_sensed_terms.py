"""Terms of poses, contacts and scans in a contract: what is refused, how they are remapped, proved and sampled."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.contract import Contract, RobotMapping, load_contract
from policy_port.errors import ContractError
from policy_port.proof.reference import ByNameReference
from policy_port.proof.sampling import sample_observations
from policy_port.remap import build_remap
from tests.samples import LEGS, contract_data

TERMS: list[dict[str, Any]] = [
    {"term": "base_euler", "scale": [0.5, 1.0, 2.0], "offset": [0.1, 0.0, 0.0]},
    {"term": "base_euler", "name": "torso", "link": "torso", "interval": "positive", "angles": ["yaw"]},
    {"term": "base_quat", "scale": 2.0},
    {"term": "link_height", "above": ["foot"], "clip": [0.0, 1.0]},
    {"term": "link_pos", "link": "foot", "frame": "base", "axes": ["z", "x"], "scale": [1.0, 3.0]},
    {"term": "heading", "parts": ["sin", "cos"]},
    {"term": "heading_error", "scale": 0.5},
    {"term": "contact", "links": ["foot", "hand"], "threshold": 1.0},
    {"term": "contact", "name": "push", "links": ["foot"], "measure": "vector", "scale": 0.01},
    {"term": "height_scan", "size": [0.2, 0.1], "resolution": 0.1, "clip": [-1.0, 1.0]},
    {"term": "joint_effort", "scale": 0.1, "joints": ["right_knee", "left_hip"]},
    {"term": "base_ang_vel", "link": "torso"},
]


def contract_of(*terms: dict[str, Any], **changes: Any) -> Contract:
    command = {"heading": [-3.0, 3.0]}
    return Contract.model_validate(
        contract_data(observation={"terms": list(terms or TERMS)}, command=command, **changes)
    )


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            {"term": "base_euler", "angles": ["roll", "pitsch"]},
            r"angles is \['roll', 'pitsch'\]; write some of roll, pitch, yaw",
        ),
        ({"term": "base_euler", "angles": ["yaw", "yaw"]}, "each once"),
        ({"term": "base_euler", "scale": [1.0, 2.0]}, "scale has 2 numbers, base_euler has 3"),
        ({"term": "heading", "parts": []}, "write some of angle, cos, sin"),
        ({"term": "base_quat", "scale": [1.0, 1.0, 1.0, 2.0]}, "one scale and one offset for its four"),
        ({"term": "link_pos", "frame": "base"}, "frame base is the base's own.*name a link"),
        ({"term": "link_pos", "link": "foot"}, "frame"),
        ({"term": "link_height", "links": "foot"}, "unknown key 'links'.*'link'"),
        ({"term": "contact", "links": []}, "links"),
        ({"term": "contact", "links": ["foot", "foot"]}, "links names a link twice; name each once"),
        ({"term": "contact", "links": ["foot"], "measure": "vector", "threshold": 1.0}, "a vector has no threshold"),
        ({"term": "height_scan", "size": [100.0, 100.0], "resolution": 0.1}, "makes 1002001 rays, 4096 at most"),
        ({"term": "height_scan", "size": [1.0, 1.0], "resolution": 0.0}, "resolution"),
        ({"term": "height_scan", "size": [1.0, 1.0], "resolution": 0.1, "frame": "base"}, "frame"),
        (
            {"term": "base_ang_vel", "link": "torso", "frame": {"site": "imu"}},
            "link 'torso'.*frame says a place on the base; leave one",
        ),
        ({"term": "base_lin_vel", "link": "torso", "point": "com"}, "point says a place on the base"),
        ({"term": "joint_effort", "joints": ["left_hipp"]}, "did you mean 'left_hip'"),
    ],
)
def test_a_term_that_says_nothing_sure_is_refused(tmp_path: Path, term: dict[str, Any], message: str) -> None:
    """What is misspelt, doubled or contradictory is an error that says what may be written."""
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(contract_data(observation={"terms": [term]})))
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_a_force_with_a_threshold_is_no_vector() -> None:
    """Each of the remedies of a vector with a threshold is a contract."""
    term = {"term": "contact", "links": ["foot"], "threshold": 1.0}
    for change in ({"measure": "magnitude"}, {"measure": "vertical"}, {"measure": "vector", "threshold": None}):
        contract_of({key: value for key, value in (term | change).items() if value is not None})


def test_a_heading_error_needs_a_commanded_heading() -> None:
    """Without the element in the command the term is refused, and with what the message writes it is read."""
    data = contract_data(observation={"terms": [{"term": "heading_error"}]})
    with pytest.raises(ValueError, match=r"command.heading is missing.*heading: \[-3.14, 3.14\]"):
        Contract.model_validate(data)
    Contract.model_validate(data | {"command": {"heading": [-3.14, 3.14]}})


def test_a_quaternion_needs_its_order() -> None:
    """A contract whose term is a quaternion states its order."""
    with pytest.raises(ValueError, match="quaternion_order must be wxyz or xyzw, since base_quat"):
        contract_of({"term": "base_quat"}, quaternion_order=None)


def test_the_grid_is_isaac_labs() -> None:
    """1.6 by 1 m in steps of 0.1 m are 187 rays, x changing first; yx lets y change first, and a middle moves all."""
    grid = {"term": "height_scan", "size": [1.6, 1.0], "resolution": 0.1}
    plain, turned, moved = (
        contract_of({**grid, **more}).observation.terms[0] for more in ({}, {"ordering": "yx"}, {"centre": [0.5, 0.0]})
    )
    for term in (plain, turned, moved):
        assert term.term == "height_scan"
        assert term.rays == 187
    np.testing.assert_allclose(plain.grid[:2] + plain.grid[-1:], [(-0.8, -0.5), (-0.7, -0.5), (0.8, 0.5)], atol=1e-9)
    np.testing.assert_allclose(turned.grid[:2], [(-0.8, -0.5), (-0.8, -0.4)], atol=1e-9)
    np.testing.assert_allclose(moved.grid[0], (-0.3, -0.5), atol=1e-9)


@pytest.fixture(scope="module")
def mapping() -> RobotMapping:
    """Turned and geared joints in another order under other names, quaternions in the other order, a scale changed."""
    return RobotMapping.model_validate(
        {
            "source_joint_names": LEGS,
            "target_joint_names": [f"{name}_t" for name in reversed(LEGS)],
            "rename": {name: f"{name}_t" for name in LEGS},
            "quaternion_order": "xyzw",
            "joints": {"left_hip": {"sign": -1, "scale": 2.0, "offset": 0.3}, "right_knee": {"unit": "deg"}},
            "terms": {"link_height": {"scale": 4.0}, "heading": {"rename": "way"}},
        }
    )


def test_a_remap_is_what_the_reference_says(mapping: RobotMapping) -> None:
    """Every term passes through a remap as the independent reference computes it, on numbers as training shows them."""
    source = contract_of()
    remap = build_remap(source, mapping)
    drawn = sample_observations(remap.target, 20, 10, np.random.default_rng(0))
    for group in drawn.values():
        seen = group.reshape(-1, group.shape[-1]).astype(np.float64)
        right = ByNameReference(source, remap.target, mapping).observation(seen)
        np.testing.assert_allclose(remap.observation(seen), right, rtol=1e-9, atol=1e-9)


def test_efforts_and_quaternions_follow_the_robot(mapping: RobotMapping) -> None:
    """A turned joint of twice the way shows the opposite of twice its effort, in N m on both sides; a quaternion's
    numbers change places; what is of links alone stays as it is.
    """
    remap = build_remap(contract_of(), mapping)
    there = {name: float(place + 1) for place, name in enumerate(remap.observation.inputs)}
    seen = dict(zip(remap.observation.outputs, remap.observation(np.array(list(there.values()))), strict=True))
    assert seen["joint_effort[left_hip]"] == -2.0 * there["joint_effort[left_hip_t]"]
    assert seen["joint_effort[right_knee]"] == there["joint_effort[right_knee_t]"]
    assert [name for name in there if "base_quat" in name] == [f"base_quat[{axis}]" for axis in "xyzw"]
    assert [seen[f"base_quat[{axis}]"] for axis in "wxyz"] == [there[f"base_quat[{axis}]"] for axis in "wxyz"]
    for name in ("base_euler[pitch]", "link_pos[z]", "height_scan[5]", "contact[hand]", "base_ang_vel[x]"):
        assert seen[name] == there[name]
    assert seen["heading[sin]"] == there["way[sin]"]
    assert seen["link_height[z]"] == there["link_height[z]"] / 4.0


def test_another_link_is_no_other_number(mapping: RobotMapping) -> None:
    """No port is proved in which the target measures something else than the source."""
    source = contract_of()
    target = build_remap(source, mapping).target
    for label, change in (
        ("torso", {"link": "head"}),
        ("height_scan", {"ordering": "yx"}),
        ("base_ang_vel", {"link": None}),
    ):
        terms = tuple(t.model_copy(update=change) if t.label == label else t for t in target.observation.terms)
        other = target.model_copy(update={"observation": target.observation.model_copy(update={"terms": terms})})
        with pytest.raises(NotImplementedError, match=f"'{label}'"):
            ByNameReference(source, other, mapping).observation(np.zeros((1, other.observation_size)))


def test_what_is_drawn_is_what_there_can_be() -> None:
    """Quaternions of a sample have length one, angles stay within their span, and flags are 0 or 1."""
    contract = contract_of({"term": "base_quat"}, *(t for t in TERMS if t["term"] in ("heading", "contact")), TERMS[1])
    drawn = sample_observations(contract, 30, 20, np.random.default_rng(1))["realistic"]
    np.testing.assert_allclose(np.linalg.norm(drawn[..., :4], axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(drawn[..., 4:6], axis=-1), 1.0, atol=1e-6)
    assert set(np.unique(drawn[..., 6:8])) == {0.0, 1.0}
    assert 0.0 <= drawn[..., 11].min() < 0.5 < 5.5 < drawn[..., 11].max() <= 2.0 * np.pi + 1e-6
