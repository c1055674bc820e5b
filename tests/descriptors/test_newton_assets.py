"""Claims about newton-assets YAML: two orders beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import ContractError
from tests.descriptors.importing import contract, write

MJW = ["L_hip", "L_knee", "R_hip", "R_knee"]
PHYSX = ["L_hip", "R_hip", "L_knee", "R_knee"]


def asset(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "num_dofs": 4,
        "action_scale": 0.5,
        "mjw_joint_names": MJW,
        "physx_joint_names": PHYSX,
        "mjw_joint_pos": [0.1, -0.8, 0.2, -0.9],
        "mjw_joint_stiffness": [300.0, 200.0, 301.0, 201.0],
        "mjw_joint_damping": [10.0] * 4,
        "mjw_joint_armature": [0.06] * 4,
    }
    return data | changes


def make(path: Path, order: str | None = "physx", **more: Any) -> Contract:
    options = {"layout": "isaaclab_velocity", "settings": {"decimation": 4}} | more
    return contract(write(path / "toy.yaml", asset()), order=order, **options)


@pytest.mark.parametrize(("order", "names"), [("physx", PHYSX), ("mjw", MJW)])
def test_arrays_are_in_mjw_order_whatever_the_policys(tmp_path: Path, order: str, names: list[str]) -> None:
    """Every number reaches the joint of its name in both orders."""
    made = make(tmp_path, order)
    assert made.joint_names == tuple(names)
    assert {name: (joint.default, joint.stiffness) for name, joint in made.joints.items()} == {
        "L_hip": (0.1, 300.0),
        "L_knee": (-0.8, 200.0),
        "R_hip": (0.2, 301.0),
        "R_knee": (-0.9, 201.0),
    }


def test_order_and_layout_are_asked_for(tmp_path: Path) -> None:
    """The file says neither in which order the policy was trained nor what it observes."""
    with pytest.raises(ContractError, match="give --order physx or --order mjw"):
        make(tmp_path, None)
    with pytest.raises(ContractError, match="--layout isaaclab_velocity if yours was trained on that task"):
        make(tmp_path, layout=None)


def test_the_layout_is_the_users_statement_and_stands_in_the_sources(tmp_path: Path) -> None:
    """9 + 3 + 3 n numbers, each term with its source."""
    made = make(tmp_path)
    assert made.observation_size == 12 + 3 * 4
    assert made.sources["observation.terms.joint_pos_rel"].startswith("--layout isaaclab_velocity: Isaac Lab's")


@pytest.mark.parametrize("how", [{"name": "mjw_toy"}, {"policy": Path("mjw_toy.pt")}])
def test_an_order_that_contradicts_the_policys_own_name_is_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    """newton-assets calls its files by their order; --order physx with mjw_toy.pt is a slip."""
    with pytest.raises(ContractError, match="names itself a mjw policy"):
        make(tmp_path, "physx", **how)


def test_lists_that_differ_in_a_joint_are_refused(tmp_path: Path) -> None:
    """The two orders are orders of one set."""
    file = write(tmp_path / "toy.yaml", asset(physx_joint_names=["L_hip", "R_hip", "L_knee", "R_ankle"]))
    with pytest.raises(ContractError, match="differ in R_ankle, R_knee"):
        contract(file, order="physx", layout="isaaclab_velocity")


def test_a_flag_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A flag that would have no effect is a misunderstanding."""
    with pytest.raises(ContractError, match="--names means nothing for newton_assets, which takes --layout, --order"):
        make(tmp_path, names=tmp_path / "names.yaml")


@pytest.mark.parametrize("order", ["physx", "mjw"])
def test_the_base_s_velocity_is_isaac_lab_s(tmp_path: Path, order: str) -> None:
    """It is the centre of mass's, on PhysX and on Newton."""
    assert make(tmp_path, order).observation.terms[0].model_dump()["point"] == "com"
