"""Claims about telling descriptors apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError
from tests.descriptors import test_unitree_rl_lab
from tests.descriptors.importing import contract, imported, linear_policy, write
from tests.descriptors.test_newton_assets import asset
from tests.descriptors.test_rl_sar import base, config

NEWTON: dict[str, Any] = {"order": "mjw", "layout": "isaaclab_velocity", "settings": {"decimation": 4}}


def test_a_folder_stands_for_the_one_descriptor_in_it(tmp_path: Path) -> None:
    """A folder with one known file is that file; with two or none it is named."""
    write(tmp_path / "toy/base.yaml", base())
    write(tmp_path / "toy/gait/config.yaml", config())
    assert contract(tmp_path / "toy/gait", robot=None, timestep=None).robot == "toy"
    with pytest.raises(ContractError, match="holds no descriptor; name the file"):
        contract(tmp_path)
    write(tmp_path / "toy/gait/deploy.yaml", {})
    with pytest.raises(ContractError, match=r"holds deploy\.yaml, config\.yaml; name the file"):
        contract(tmp_path / "toy/gait")


def test_an_unknown_file_lists_its_keys_and_the_kinds(tmp_path: Path) -> None:
    """What is no descriptor is told by its keys."""
    file = write(tmp_path / "x.yaml", {"foo": 1, "bar": 2})
    with pytest.raises(ContractError, match="is no descriptor of a known kind. Its keys are: foo, bar.*newton_assets"):
        imported(file)


def test_from_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """--from settles doubt, and does not make a file what it is not."""
    file = write(tmp_path / "toy.yaml", asset())
    with pytest.raises(ContractError, match="is no descriptor of rl_sar"):
        imported(file, kind="rl_sar")
    with pytest.raises(ContractError, match="--from newton_asset: unknown; did you mean 'newton_assets'"):
        imported(file, kind="newton_asset")
    assert contract(file, kind="newton_assets", **NEWTON).joint_names[0] == "L_hip"


def test_no_importer_is_named_that_refuses_the_file(tmp_path: Path) -> None:
    """A wrong --from is told what reads the file, and nothing where nothing does; a near word is not enough."""
    file = write(tmp_path / "toy.yaml", asset())
    with pytest.raises(ContractError, match="is no descriptor of rl_sar.*It is read with --from newton_assets$"):
        imported(file, kind="rl_sar")
    with pytest.raises(ContractError, match=r"--from isaaclab: unknown; .*toy\.yaml is read with --from newton_a"):
        imported(file, kind="isaaclab")
    stranger = write(tmp_path / "x.yaml", {"foo": 1})
    env = write(tmp_path / "env.yaml", "sim: {}\nscene: {}\ndecimation: 4\n")
    metadata = linear_policy(tmp_path / "nothing.onnx", 3, 2)
    for refused in (stranger, env, metadata, tmp_path / "none.yaml"):
        with pytest.raises(ContractError) as caught:
            imported(refused, kind="isaac_labs")
        assert str(caught.value).startswith("--from isaac_labs: unknown. Known: isaac_lab, ")
    with pytest.raises(ContractError) as caught:
        imported(stranger)
    assert "--from" not in str(caught.value)
    mjlab = linear_policy(tmp_path / "policy.onnx", 3, 2, {"joint_names": "hip,knee"})
    with pytest.raises(ContractError, match=r"--from mjlab: unknown; .*policy\.onnx is read with --from onnx_metadata"):
        imported(mjlab, kind="mjlab")
    with pytest.raises(ContractError, match="--from isaac_labs: unknown; did you mean 'isaac_lab'"):
        imported(kind="isaac_labs")


@pytest.mark.parametrize("name", ["robot.xml", "robot.urdf", "robot.usd", "ROBOT.XML"])
def test_a_robot_file_is_no_file_of_names(tmp_path: Path, name: str) -> None:
    """Its order of joints is not the policy's; the message says what is wanted, and that works."""
    deploy = write(tmp_path / "deploy.yaml", test_unitree_rl_lab.deploy())
    robot = write(tmp_path / name, "<mujoco><worldbody><joint name='left_hip'/></worldbody></mujoco>")
    with pytest.raises(ContractError, match="is a robot file, whose order of joints is not the p.*'joint_names'"):
        contract(deploy, names=robot)
    names = write(tmp_path / "names.yaml", {"joint_names": test_unitree_rl_lab.POLICY})
    assert contract(deploy, names=names, gains_order="motor").joint_names == tuple(test_unitree_rl_lab.POLICY)


def test_a_missing_file_and_no_file_are_told(tmp_path: Path) -> None:
    """Nothing given, and given in vain."""
    with pytest.raises(ContractError, match="no descriptor given"):
        imported()
    with pytest.raises(ContractError, match="no such file"):
        imported(tmp_path / "none.yaml")
    with pytest.raises(ContractError, match="leave out the file or --env"):
        imported(tmp_path / "none.yaml", env="PickCube-v1")


def test_two_files_of_one_role_are_refused(tmp_path: Path) -> None:
    """Two configurations can't both be meant."""
    files = [write(tmp_path / f"{i}.yaml", asset()) for i in range(2)]
    with pytest.raises(ContractError, match="are both a newton-assets YAML; give one"):
        imported(*files)
