"""Bundles of LEAPP that were changed, contracts that none can be made of, and a port's folder in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from typer.testing import CliRunner

from policy_port.checkpoints.files.leapp_yaml import STORED
from policy_port.checkpoints.load import load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.outwards.given import Given
from policy_port.descriptors.outwards.write import write_descriptor
from policy_port.descriptors.registry import import_contract
from policy_port.errors import CheckpointError, ContractError
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from tests.control.networks import save_linear, save_lstm
from tests.descriptors.outwards.test_leapp_bundle import Runner, edited, network, same_targets, written
from tests.samples import contract_data


def small(**changes: Any) -> Contract:
    return Contract.model_validate(contract_data(**{"quaternion_order": None} | changes))


def stored(data: dict[str, Any]) -> dict[str, Any]:
    """The contract in a bundle."""
    return data["pipeline"]["configs"][STORED]


def swapped(data: dict[str, Any]) -> None:
    inputs = data["models"]["observation"]["inputs"]
    names = next(item for item in inputs if item["name"] == "robot_joint_pos")["element_names"]
    names[0] = names[0][::-1]


LIES = [
    (
        lambda data: stored(data)["observation"]["terms"][4].update(scale=0.5),
        "computes another obs",
    ),
    (
        lambda data: stored(data)["action"]["terms"][0].update(scale=0.5),
        "another joint_pos than",
    ),
    (lambda data: stored(data).update(name=None), "holds a damaged contract"),
    (
        lambda data: data["pipeline"]["configs"].update(frequency=25.0),
        r"period of 0\.02 s, but .*frequency is 25",
    ),
    (swapped, r"\(robot_joint_pos\) says another shape, kind, connection or other element_names"),
    (lambda data: data["pipeline"]["configs"].update({STORED: 3}), "is no mapping"),
    (lambda data: stored(data)["observation"]["terms"].pop(0), "makes the inputs"),
]


@pytest.mark.parametrize(("edit", "words"), LIES, ids=[words for _, words in LIES])
def test_a_bundle_that_was_changed_is_refused(tmp_path: Path, edit: Any, words: str) -> None:
    """A contract that its models don't compute, and a YAML that names other joints than the contract, are no contract.

    Without the contract, as the message says, the file is read from its graphs; written anew it is whole.
    """
    path = edited(written(tmp_path, small()), edit)
    with pytest.raises((ContractError, CheckpointError), match=words) as refused:
        import_contract([path], None, ImportOptions(name="toy"))
    if "remove" in str(refused.value) and edit is not swapped:
        edited(path, lambda data: data["pipeline"]["configs"].pop(STORED))
        settings = {"robot": "toy", "actuation": "implicit", "timestep": 0.005}
        import_contract([path], None, ImportOptions(name="toy", **settings))  # type: ignore[arg-type]
        assert (
            import_contract([written(tmp_path / "anew", small())], None, ImportOptions(name="toy")).contract == small()
        )


def test_other_models_under_the_contract_are_refused(tmp_path: Path) -> None:
    """A file of another bundle is told by its sum, and by what it computes where the sum was changed too."""
    path = written(tmp_path / "one", small())
    terms = [{"term": "joint_position", "scale": 0.5, "offset": "default"}]
    other = written(tmp_path / "two", small(action={"terms": terms}))
    (path.parent / "targets.onnx").write_bytes((other.parent / "targets.onnx").read_bytes())
    with pytest.raises(CheckpointError, match="one of the two is of another export"):
        import_contract([path], None, ImportOptions(name="toy"))
    sums = yaml.safe_load(other.read_text())["models"]["targets"]["parameters"]
    edited(path, lambda data: data["models"]["targets"].update(parameters=sums))
    with pytest.raises(ContractError, match="computes another joint_pos than the contract"):
        import_contract([path], None, ImportOptions(name="toy"))


def test_the_network_in_a_bundle_is_read_alone(tmp_path: Path) -> None:
    """It is the file as it was given; the models around it are no policies. Its states go round."""
    contract = small(observation={"terms": [{"term": "joint_vel"}, {"term": "base_ang_vel"}]})
    policy = save_lstm(tmp_path / "lstm.onnx", obs=7, hidden=4)
    path = written(tmp_path, contract, policy)
    assert (path.parent / "policy.onnx").read_bytes() == policy.read_bytes()
    assert load_policy(path.parent / "policy.onnx").actor.obs_size == 7
    same_targets(path, contract, Runner(path))
    with pytest.raises(CheckpointError, match="is the contract's arithmetic, not the network"):
        load_policy(path.parent / "targets.onnx")


IMAGE = {"name": "rgb", "width": 8, "height": 8, "channels": 3, "layout": "nhwc", "dtype": "uint8", "scale": 1.0}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"observation": {"terms": [{"term": "contact", "links": ["foot"], "threshold": 1.0}]}}, "contact"),
    ({"observation": {"terms": [{"term": "external", "name": "cube", "size": 7}]}}, r"'cube' \(external\) is not"),
    ({"observation": {"terms": [{"term": "base_ang_vel", "link": "torso"}]}}, "base_ang_vel of torso"),
    ({"base": {"floating": True, "frame": "imu"}}, "the base link's, not those of imu"),
    (
        {
            "command": {"base_height": [-0.2, 0.4]},
            "observation": {"terms": [{"term": "command", "elements": ["ang_vel_z", "base_height"]}]},
        },
        "are told no base_height",
    ),
    ({"action": {**contract_data()["action"], "between": "interpolate"}}, "action.between is not written"),
    ({"action": {**contract_data()["action"], "delay": {"physics_steps": 1, "fill": "first"}}}, "delay.physics_steps"),
    (
        {
            "images": [
                {
                    "name": "rgb",
                    "width": 8,
                    "height": 8,
                    "channels": 3,
                    "layout": "nhwc",
                    "dtype": "uint8",
                    "scale": 1.0,
                }
            ]
        },
        "its images",
    ),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_no_runner_of_leapp_is_told_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """And nothing is written then."""
    contract = small(**changes)
    with pytest.raises(ContractError, match=words):
        written(tmp_path, contract)
    assert not (tmp_path / "bundle").exists()


def test_a_network_of_another_contract_is_refused(tmp_path: Path) -> None:
    """By its widths, by the names of its tensors, and by the contract that a port's file holds."""
    contract = small()
    wrong = save_linear(tmp_path / "wide.onnx", np.zeros((contract.observation_size + 1, contract.action_size)))
    with pytest.raises(ContractError, match=r"goes from obs \[1, 25\] to actions \[1, 4\].*policy-port export"):
        written(tmp_path, contract, wrong)
    own = onnx.load(network(tmp_path, contract))
    scaled = small(observation={"terms": [{**term, "delay": 1} for term in contract_data()["observation"]["terms"]]})
    onnx.helper.set_model_props(own, {"contract": scaled.model_dump_json()})
    onnx.save(own, tmp_path / "other.onnx")
    with pytest.raises(ContractError, match=r"another contract than 'toy'.*delay.*Give the port's folder"):
        written(tmp_path, contract, tmp_path / "other.onnx")
    with pytest.raises(ContractError, match="--policy port/policy.onnx"):
        write_descriptor(contract, "leapp", tmp_path / "bundle", Given())


def test_a_ports_folder_stands_for_both(tmp_path: Path) -> None:
    """`contract write PORT --to leapp` takes contract and network out of a port; the parts given apart are the same.

    What is missing or too much is told with what to do, and doing that works.
    """

    def write(*words: Any, out: str = "new") -> Any:
        return CliRunner().invoke(
            app, ["contract", "write", *map(str, words), "--to", "leapp", "--out", str(tmp_path / out)]
        )

    contract = small(observation={"terms": [{"term": "joint_vel"}]})
    foreign = save_linear(tmp_path / "net.onnx", np.random.default_rng(0).normal(size=(4, 4)))
    port = tmp_path / "a port"
    write_port(port, load_policy(foreign), identity_remap(contract), formats=("onnx",))
    done = write(port, out="one")
    assert done.exit_code == 0, done.output
    for words, said in (
        ((port, "--policy", foreign), "is a port, which has its policy; leave --policy out"),
        ((port / "contract.yaml",), "or the port's ONNX file with --policy port/policy.onnx"),
    ):
        refused = write(*words)
        assert (refused.exit_code, said in refused.output.replace("\n", " ")) == (2, True), refused.output
        assert not (tmp_path / "new").exists()
    done = write(port / "contract.yaml", "--policy", port / "policy.onnx", out="two")
    assert done.exit_code == 0, done.output
    for name in ("observation.onnx", "policy.onnx", "targets.onnx", "leapp.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    (tmp_path / "c.yaml").write_text(contract.to_yaml())
    named = onnx.load(foreign)
    named.graph.node[0].output[0] = named.graph.output[0].name = "mu"
    onnx.save(named, tmp_path / "mu.onnx")
    refused = write(tmp_path / "c.yaml", "--policy", tmp_path / "mu.onnx")
    assert "`policy-port export` writes it so" in refused.output.replace("\n", " "), refused.output
    words = [
        "export",
        tmp_path / "mu.onnx",
        "--contract",
        tmp_path / "c.yaml",
        "--format",
        "onnx",
        "--out",
        tmp_path / "mu",
    ]
    assert CliRunner().invoke(app, list(map(str, words))).exit_code == 0
    assert write(tmp_path / "mu").exit_code == 0
