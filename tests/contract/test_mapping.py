"""Claims about mapping files: every joint matched once, by name, and every mistake told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.contract import RobotMapping, load_mapping
from policy_port.contract.mapping import doubts
from policy_port.errors import MappingError
from policy_port.resources import mappings_dir

TWO_LISTS = "source_joint_names: [hip, knee]\ntarget_joint_names: [knee, hip]\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    return path


def test_isaac_labs_two_list_file_is_a_whole_mapping(tmp_path: Path) -> None:
    """Nothing beside the two lists is needed."""
    assert load_mapping(written(tmp_path, TWO_LISTS)).pairs == (("hip", "hip"), ("knee", "knee"))


@pytest.mark.parametrize("path", sorted(mappings_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_mappings_hold_and_turn_round(path: Path) -> None:
    """Every shipped mapping loads, raises no doubt, and comes back to itself when inverted twice, where it can be."""
    mapping = load_mapping(path)
    assert doubts(mapping) == []
    if mapping.only_in_source or mapping.only_in_target:
        with pytest.raises(MappingError, match="exists on one side only; write the other direction"):
            mapping.inverse()
        return
    twice = mapping.inverse().inverse()
    assert twice.pairs == mapping.pairs
    for name in mapping.joints:
        assert twice.joints[name].slope == pytest.approx(mapping.joints[name].slope)
        assert twice.joints[name].offset == pytest.approx(mapping.joints[name].offset)


@pytest.mark.parametrize("robot", ["g1", "h1", "anymal_d", "go2"])
def test_both_directions_of_a_robot_are_each_others_inverse(robot: str) -> None:
    """PhysX to Newton and Newton to PhysX list the same two orders."""
    there, back = load_mapping(f"{robot}_physx_to_newton"), load_mapping(f"{robot}_newton_to_physx")
    assert there.inverse().source_joint_names == back.source_joint_names
    assert there.inverse().target_joint_names == back.target_joint_names


@pytest.mark.shared
@pytest.mark.parametrize("robot", ["g1", "h1", "anymal_d", "go2"])
def test_shipped_orders_are_the_measured_ones(robot: str, shared: Path) -> None:
    """The shipped lists are those read from Isaac Lab's parsers."""
    facts = load_mapping(shared / "facts" / "joint_orders" / f"physx_to_newton_{robot}.yaml")
    shipped = load_mapping(f"{robot}_physx_to_newton")
    assert shipped.source_joint_names == facts.source_joint_names
    assert shipped.target_joint_names == facts.target_joint_names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO_LISTS.replace("[knee, hip]", "[knee, hop]"), r"'hip' has no counterpart 'hip'.*did you mean 'hop'"),
        (TWO_LISTS.replace("[hip, knee]", "[hip, hip]"), r"source_joint_names lists hip twice"),
        (TWO_LISTS.replace("[knee, hip]", "[knee, hip, toe]"), r"target joint 'toe' has no counterpart"),
        (TWO_LISTS + "rename: {hip: knee}\n", r"knee is matched by two source joints"),
        (TWO_LISTS + "joints: {hipp: {sign: -1}}\n", r"joints names joint 'hipp'.*did you mean 'hip'"),
        (
            TWO_LISTS + "joints:\n  hip: {sgin: -1}\n",
            r"map.yaml:4: joints.hip: unknown key 'sgin'; did you mean 'sign'",
        ),
        (TWO_LISTS + "joints: {hip: {sign: 2}}\n", r"map.yaml:3: joints.hip.sign"),
        (TWO_LISTS + "joints: {hip: {scale: 0}}\n", r"greater than or equal to 0.000000001"),
        (TWO_LISTS + "rename: {}\nrename: {}\n", r"map.yaml:4: key 'rename' stands twice, first in line 3"),
        (TWO_LISTS + "targets: x\n", r"map.yaml:3: unknown key 'targets'; did you mean 'target'"),
        ("target_joint_names: [a]\n", r"required key 'source_joint_names' is missing"),
        (TWO_LISTS + "joints: {hip: {scale: 1e-320}}\n", r"joints.hip.scale: input should be greater"),
        (TWO_LISTS + "joints: {hip: {scale: 1e300}}\n", r"joints.hip.scale: input should be less than"),
        ("[1, 2]\n", r"holds no YAML mapping"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            r"map.yaml:1: the tag !!python/object/.* is refused",
        ),
        ("a: [1, 2\n", r"is not plain YAML"),
    ],
)
def test_mistakes_are_told_where_they_stand(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake of a user is refused in words that name the place and the cure."""
    with pytest.raises(MappingError, match=f"(?s){message}"):
        load_mapping(written(tmp_path, text))


def test_an_unknown_file_names_the_nearest_shipped_mapping() -> None:
    """A misspelt shipped name is answered with the right one."""
    with pytest.raises(MappingError, match="did you mean 'g1_physx_to_newton'"):
        load_mapping("g1_physx_to_newten")


def test_matching_by_position_against_the_names_raises_a_doubt() -> None:
    """The identity mapping between two orders of the same names is legal, and called a probable mistake."""
    mapping = RobotMapping(source_joint_names=("hip", "knee"), target_joint_names=("knee", "hip"), match="position")
    assert mapping.pairs == (("hip", "knee"), ("knee", "hip"))
    assert "hip -> knee" in doubts(mapping)[0]


def test_left_paired_with_right_raises_a_doubt() -> None:
    """A rename that crosses the body is called out."""
    mapping = RobotMapping(
        source_joint_names=("left_hip", "right_hip"),
        target_joint_names=("left_hip", "right_hip"),
        rename={"left_hip": "right_hip", "right_hip": "left_hip"},
    )
    assert len(doubts(mapping)) == 2


def test_a_mapping_survives_being_written(tmp_path: Path) -> None:
    """YAML at full precision reads back equal."""
    mapping = load_mapping("so100_maniskill_to_lerobot").inverse()
    assert load_mapping(written(tmp_path, mapping.to_yaml())) == mapping
