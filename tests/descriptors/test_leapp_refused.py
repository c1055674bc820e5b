"""Claims about files of LEAPP that lie, or do not say enough: each is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from policy_port.checkpoints.load import load_policy
from policy_port.errors import CheckpointError, ContractError
from tests.checkpoints.onnx.leapp_files import (
    NODE,
    Graph,
    plain,
    targets,
    usual,
)
from tests.descriptors.leapp_run import contract_of


def test_a_delta_on_another_joints_position_is_refused(tmp_path: Path) -> None:
    """An output whose names are in another order than the positions that it is added to."""
    graph = Graph()
    raw = usual(graph)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.1), "robot_joint_pos"), names=("knee", "hip", "ankle"))
    with pytest.raises(ContractError, match="adds the target of 'knee' to the position of 'hip'"):
        contract_of(graph.save(tmp_path))


def wrong(place: Sequence[Any], value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        for key in place[:-1]:
            data = data[key]
        data[place[-1]] = value

    return edit


def renamed(data: dict[str, Any]) -> None:
    data["models"][NODE]["inputs"][1]["name"] = data["pipeline"]["inputs"][NODE][1] = "robot_root_ang_vel_w"


LIES = [
    (renamed, r"differ in the input 'robot_root_ang_vel_b': only .*Toy\.onnx has it"),
    (wrong(["models", NODE, "inputs", 1, "shape"], [1, 4]), "has 3 names for the shape"),
    (wrong(["models", NODE, "inputs", 6, "shape"], [1, 4]), "leads Toy/last_action_out"),
    (wrong(["models", NODE, "parameters", "sha256sum"], "0" * 64), "one of the two is of another export"),
    (wrong(["models", NODE, "parameters", "model_path"], "../other.onnx"), "outside the folder of this file"),
    (wrong(["models", NODE, "parameters", "model_path"], "other.onnx"), "No such file"),
    (wrong(["pipeline", "feedback_flow"], {f"{NODE}/last_acton": [f"{NODE}/last_action_in"]}), "did you mean"),
    (wrong(["pipeline", "feedback_flow"], {}), r"last_action_in\) is not in pipeline.inputs"),
    (wrong(["pipeline", "inputs", NODE, 0], "last_action_in"), r"lin_vel_b\) is not in pipeline.inputs"),
    (wrong(["pipeline", "outputs", NODE], ["joint_pos"]), r"kp_gains\) is not in pipeline.outputs"),
    (wrong(["pipeline", "configs", "frequency"], -50.0), "expected a number above 0"),
    (
        wrong(["models", NODE, "inputs", 2, "element_names"], [["qw", "qx", "qy", "qz"]]),
        "say wxyz, but its projected gravity is computed of xyzw",
    ),
    (wrong(["models", NODE, "inputs", 3, "element_names"], [["lin_vel_y", "lin_vel_x", "ang_vel_z"]]), "in the order"),
    (wrong(["models", NODE, "inputs", 4, "element_names"], None), "which joints these are is unknown"),
    (wrong(["models", NODE, "outputs", 1, "kind"], "target/joint/velocity"), "is a target/joint/velocity"),
    (wrong(["models", NODE, "outputs", 1, "element_names"], None), "does not name its joints"),
    (wrong(["models", NODE, "outputs", 2, "element_names"], [["hip", "knee", "toe"]]), "names 'toe'"),
    (wrong(["models", NODE, "parameters", "backend"], "jit"), "is exported as jit"),
    (wrong(["models"], {}), "expected a mapping that names something"),
]


@pytest.mark.parametrize(("edit", "words"), LIES, ids=[words for _, words in LIES])
def test_a_yaml_that_lies_is_refused_by_name(tmp_path: Path, edit: Callable[[Any], None], words: str) -> None:
    """An input that is not there, other widths, another file, another quaternion order, other joints."""
    path = plain(tmp_path, edit=edit)
    with pytest.raises((ContractError, CheckpointError), match=words):
        contract_of(path)


def test_output_says_nothing_where_the_yaml_does(tmp_path: Path) -> None:
    """--output would contradict the YAML's kinds."""
    plain(tmp_path)
    with pytest.raises(CheckpointError, match="leave out --output"):
        load_policy(tmp_path / f"{NODE}.onnx", outputs={"actions": "joint_pos"})
    assert load_policy(tmp_path / f"{NODE}.onnx").actor.action_size == 3


def test_without_its_yaml_the_file_says_what_is_missing(tmp_path: Path) -> None:
    """Several vectors and no YAML: the message names it, and with it the file is read."""
    path = plain(tmp_path)
    hidden = path.rename(tmp_path / "toy.txt")
    with pytest.raises(CheckpointError, match="put LEAPP's YAML beside it"):
        load_policy(tmp_path / f"{NODE}.onnx")
    hidden.rename(path)
    assert load_policy(tmp_path / f"{NODE}.onnx").actor.obs_size == 21
