"""Claims about lists of scales and bounds, one entry per element and perhaps one list per environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.contract import Contract
from policy_port.errors import ContractError
from policy_port.remap.build import build_remap
from tests.descriptors.importing import imported, unsourced
from tests.descriptors.test_isaac_lab import descriptor, make, term
from tests.remap.test_build import mapping

FOUR, THREE = [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0]
FOUR_PAIRS = [[-1.0, 1.0], [-2.0, 2.0], [-3.0, 1.0], [-4.0, 4.0]]
THREE_PAIRS = [[-1.0, 1.0], [-2.0, 2.0], [-3.0, 3.0]]


def observed(tmp_path: Path, *terms: dict[str, Any]) -> Contract:
    return make(tmp_path, descriptor(list(terms)), settings={"base.floating": True})


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize(
    ("name", "size", "scales", "pairs"),
    [
        ("last_action", 4, FOUR, FOUR_PAIRS),
        ("joint_vel_rel", 4, FOUR, FOUR_PAIRS),
        ("base_ang_vel", 3, THREE, THREE_PAIRS),
    ],
)
def test_every_element_keeps_its_own(
    tmp_path: Path, name: str, size: int, scales: list[float], pairs: list[list[float]], each: int
) -> None:
    """One entry per element, alone or once for each environment; the elements are joints, actions or axes."""
    for stated in ((scales, pairs), ([scales] * each, [pairs] * each)):
        overloads = {"scale": stated[0], "clip": stated[1]}
        made = observed(tmp_path, term(name, size, overloads=overloads))
        (got,) = made.observation.terms
        elements = made.term_elements(got)
        assert [got.entry("scale", element) for element in elements] == scales
        assert [list(got.entry("clip", element)) for element in elements] == pairs
        assert Contract.model_validate(yaml.safe_load(made.to_yaml())) == made


def test_environments_that_differ_are_refused(tmp_path: Path) -> None:
    """Which of them would the policy be in?"""
    scales = [FOUR, FOUR[::-1]]
    with pytest.raises(ContractError, match="scale' differs between the 2 environments"):
        observed(tmp_path, term("last_action", 4, overloads={"scale": scales}))


def test_a_remap_carries_them_by_name(tmp_path: Path) -> None:
    """Bounds of an action whose joint turns the other way are turned with it; scales go with their joints."""
    source = observed(tmp_path, term("last_action", 4, overloads={"scale": FOUR, "clip": FOUR_PAIRS}))
    names = source.joint_names
    remap = build_remap(
        source, mapping(source_joint_names=names, target_joint_names=names[::-1], joints={names[2]: {"sign": -1}})
    )
    (there,) = remap.target.observation.terms
    assert [there.entry("scale", name) for name in names] == FOUR
    assert there.entry("clip", names[2]) == (-1.0, 3.0)
    assert list(there.clip) == list(names[::-1])
    assert np.array_equal(np.abs(remap.observation.scale), np.ones(4))


@pytest.mark.parametrize(
    ("key", "value"), [("scale", {"x": 1.0}), ("clip", {"x": [-1, 1], "y": [-1, 1], "w": [-1, 1]})]
)
def test_an_element_too_few_or_too_many_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    """By its name."""
    data = observed(tmp_path, term("last_action", 4)).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    data["observation"]["terms"] = [{"term": "base_ang_vel", key: value}]
    with pytest.raises(ValueError, match="base_ang_vel"):
        Contract.model_validate(data)


@pytest.mark.shared
@pytest.mark.parametrize(("file", "width"), [("agile_g1_velocity_history", 255), ("agile_t1_velocity", 225)])
def test_agiles_descriptors_keep_their_numbers(shared: Path, file: str, width: int) -> None:
    """Held against the file itself: joints by name, five steps, scales, bounds of each joint's target."""
    path = shared / f"real_policies/descriptors/{file}.io_descriptors.yaml"
    told = {} if "g1" in file else {"settings": {"observation.terms.2.term": "velocity_command"}}
    made = imported(path, robot="toy", actuation="implicit", **told).contract
    data = yaml.safe_load(path.read_text())
    (action,) = data["actions"]
    robot = data["articulations"]["robot"]
    assert made.observation_size == width
    assert made.joint_names == tuple(robot["joint_names"])
    assert [joint.default for joint in made.joints.values()] == robot["default_joint_pos"]
    assert made.action_joint_names == tuple(action["joint_names"])
    (acting,) = made.action.terms
    for name, clip, offset in zip(action["joint_names"], action["clip"], action["offset"], strict=True):
        assert list(acting.entry("clip", name)) == clip
        assert acting.zero(made, name) == offset
        assert acting.entry("scale", name) == action["scale"]
    for got, stated in zip(made.observation.terms, data["observations"]["policy"], strict=True):
        assert made.term_size(got) == stated["shape"][0]
        assert got.history == stated["overloads"]["history_length"]
        assert {got.entry("scale", e) for e in made.term_elements(got)} == {stated["overloads"]["scale"] or 1.0}
        if "joint_names" in stated:
            assert list(made.term_elements(got)) == stated["joint_names"]
    assert unsourced(made) == []
