"""Claims about contracts: nothing is guessed, and every mistake is told with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import Contract, load_contract
from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import check_network_width, unset_values
from policy_port.errors import ContractError
from tests.samples import LEGS, contract_data


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def observation(*terms: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"terms": list(terms), **changes}


def test_a_contract_survives_being_written(tmp_path: Path) -> None:
    """Every number comes back bit for bit."""
    contract = Contract.model_validate(contract_data(timestep=1 / 300, sources={"timestep": "measured"}))
    path = tmp_path / "c.yaml"
    path.write_text(contract.to_yaml())
    assert load_contract(path) == contract


def test_sizes_add_up_with_history() -> None:
    """The width is the sum over terms of size times history, told in words."""
    history = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
    contract = Contract.model_validate(
        contract_data(
            observation=observation({"term": "base_ang_vel"}, {"term": "joint_vel", "history": 5}, history=history)
        )
    )
    assert contract.observation_size == 3 + 4 * 5
    assert contract.widths() == "base_ang_vel 3 + joint_vel 4 x 5 = 23"
    assert [str(slot) for slot in observation_slots(contract)[3:9:4]] == [
        "joint_vel[left_hip]@-4",
        "joint_vel[left_hip]@-3",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quaternion_order": "wzyx"}, "quaternion_order"),
        ({"timestep": -0.005}, "timestep"),
        ({"timestep": float("nan")}, "timestep"),
        ({"quaternion": "wxyz"}, "unknown key 'quaternion'; did you mean 'quaternion_order'"),
        ({"observation": observation({"term": "joint_position"})}, "unknown term 'joint_position'"),
        ({"observation": observation({"term": "joint_pos", "joints": ["left_hipp"]})}, "did you mean 'left_hip'"),
        ({"observation": observation({"term": "joint_pos", "joints": ["left_hip"] * 2})}, "stands twice"),
        ({"observation": observation({"term": "joint_pos"}, {"term": "joint_pos"})}, "give one of them another `name`"),
        ({"observation": observation({"term": "joint_pos", "scale": {"left_hip": 1.0}})}, "leaves out left_knee"),
        ({"observation": observation({"term": "joint_pos", "history": 3})}, "observation.history is missing"),
        ({"observation": observation({"term": "joint_pos", "history": 0})}, "history"),
        ({"observation": observation({"term": "joint_pos", "scale": [1, 1, 1, 1]})}, "scale"),
        ({"observation": observation({"term": "goal", "size": 3, "frame": "base", "low": [0.0]})}, "low has 1 entries"),
        ({"observation": observation({"term": "base_ang_vel", "clip": [1.0, -1.0]})}, "lower bound 1.0 is above"),
        (
            {"observation": observation({"term": "joint_pos", "clip": {LEGS[0]: [2.0, 1.0]}})},
            "lower bound 2.0",
        ),
        (
            {"observation": observation({"term": "goal", "size": 1, "frame": "m", "low": [2], "high": [1]})},
            "low 2.0 is",
        ),
        ({"command": {"lin_vel_x": [1.0, -1.0]}}, "lower bound 1.0 is above"),
        ({"timestep": 1e39}, "timestep"),
        ({"joints": {"a": {"default": 0.0, "upper": 10**39}}}, "upper"),
        ({"joints": {}}, "joints"),
        ({"joints": {"a": {"default": 0.0, "lower": 1.0, "upper": 0.0}}}, "is not below upper"),
        ({"joints": {"a": {"lower": 0.0}}}, "required key 'default' is missing in joints.a"),
        ({"action": {"terms": [{"term": "joint_position", "scale": 1.0}]}}, "'offset' is missing"),
        (
            {"action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}] * 2}},
            "joint of the action 'left_hip' stands twice",
        ),
    ],
)
def test_mistakes_are_told_where_they_stand(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Each mistake of a user is refused with file, line and key."""
    with pytest.raises(ContractError, match=f"contract.yaml:\\d+: (?s:.)*{message}"):
        load_contract(written(tmp_path, contract_data(**changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"observation": {"terms": [{"term": "joint_pos", "scael": 1.0}]}},
            "observation.terms[0]: unknown key 'scael'",
        ),
        ({"observation": {"terms": [{"term": "joint_po"}]}}, "unknown term 'joint_po'; did you mean 'joint_pos'?"),
        ({"action": {"terms": [{"term": "joint_effort"}]}}, "required key 'scale' is missing in action.terms[0]"),
        ({"images": [{"name": "front", "heigth": 3}]}, "images[0]: unknown key 'heigth'"),
        (
            {"observation": {"terms": [{"term": "base_ang_vel", "scale": "x"}]}},
            "terms[0].scale: input should be a valid number or a valid tuple",
        ),
        ({"observation": {"terms": [{"term": "base_ang_vel", "scale": [1.0, 2.0]}]}}, "holds 2 entries, which are"),
        ({"observation": {"terms": [{"term": "base_ang_vel", "clip": [0.0, "x"]}]}}, "clip[1]: input should be a va"),
        (
            {"action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": {"left_hip": None}}]}},
            "offset.left_hip: input should be a valid number",
        ),
        ({"action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": "defualt"}]}}, "'default'"),
        ({"joints": {"a": {"default": True}}}, "joints.a.default: input should be a valid number (given: True)"),
        ({"observation": {"terms": []}}, "observation.terms: tuple should have at least 1 item"),
    ],
)
def test_one_mistake_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Also in the only entry of a list, and in what may be one thing or another."""
    with pytest.raises(ContractError) as caught:
        load_contract(written(tmp_path, contract_data(**changes)))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1, caught.value


def test_each_of_several_mistakes_is_told(tmp_path: Path) -> None:
    """Two in one list, one of them in a value that may be one thing or another, and one elsewhere."""
    terms = [{"term": "base_ang_vel", "scale": "x"}, {"term": "joint_pos", "scael": 1.0}]
    changes = {"observation": {"terms": terms}, "timestep": "fast"}
    with pytest.raises(ContractError) as caught:
        load_contract(written(tmp_path, contract_data(**changes)))
    assert len(str(caught.value).splitlines()) == 3, caught.value


@pytest.mark.parametrize("key", ["timestep", "decimation", "base", "actuation", "contract_version"])
def test_nothing_that_matters_has_a_default(tmp_path: Path, key: str) -> None:
    """Leaving out what the weights assume is an error, never a guess."""
    data = contract_data()
    del data[key]
    with pytest.raises(ContractError, match=f"required key '{key}' is missing"):
        load_contract(written(tmp_path, data))


@pytest.mark.parametrize("key", ["layout", "order", "fill"])
def test_history_layout_has_no_default(tmp_path: Path, key: str) -> None:
    """A history whose layout, order or fill is not stated is refused: a wrong one has the right width."""
    history = {"layout": "term_major", "order": "oldest_first", "fill": "first"}
    del history[key]
    data = contract_data(observation=observation({"term": "joint_pos", "history": 2}, history=history))
    with pytest.raises(ContractError, match=f"required key '{key}' is missing in observation.history"):
        load_contract(written(tmp_path, data))


def test_width_disagreement_names_both_and_the_sum() -> None:
    """A network of another width is told both widths and which terms add up to what."""
    contract = Contract.model_validate(contract_data())
    with pytest.raises(ContractError, match=r"reads 48 numbers.*describes 24: base_ang_vel 3 \+ velocity_command 3"):
        check_network_width(contract, 48, 4, policy="p.pt")
    with pytest.raises(ContractError, match="writes 12 numbers.*drives 4 joints: left_hip"):
        check_network_width(contract, 24, 12, policy="p.pt")


def test_what_is_not_stated_is_listed() -> None:
    """Unset values are listed, not filled."""
    findings = "\n".join(unset_values(Contract.model_validate(contract_data())))
    assert "armature is not stated for any joint" in findings
    assert "command.lin_vel_x" in findings
    assert LEGS[0] not in findings


def test_missing_and_unreadable_files_are_told(tmp_path: Path) -> None:
    """No file, a folder, an image: each gets its own sentence."""
    with pytest.raises(ContractError, match="no such file"):
        load_contract(tmp_path / "absent.yaml")
    with pytest.raises(ContractError, match="is a folder"):
        load_contract(tmp_path)
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ContractError, match="is not text"):
        load_contract(tmp_path / "image.yaml")


def test_a_control_character_is_told(tmp_path: Path) -> None:
    """A stray control character is a message, not a traceback of the YAML reader."""
    (tmp_path / "c.yaml").write_text("name: a\x07b\n")
    with pytest.raises(ContractError, match="is not plain YAML"):
        load_contract(tmp_path / "c.yaml")
