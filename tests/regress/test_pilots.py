"""Ports that a suite can't replay are refused before anything starts, and so is a mapping that is not the port's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from policy_port.contract import Contract
from policy_port.errors import CheckpointError, MappingError, PortError, SuiteError
from policy_port.regress import load_suite, pilots
from policy_port.regress.fingerprint import made_from
from tests.checkpoints.libraries import sb3_files
from tests.regress.arm import CASE, change_yaml, write_arm, write_suite
from tests.samples import contract_data

PORT_CASE = {key: value for key, value in CASE.items() if key not in ("checkpoint", "contract", "mapping")} | {
    "port": "port"
}
IMAGE = {"name": "rgb", "height": 8, "width": 8, "channels": 3, "layout": "nhwc", "dtype": "uint8", "scale": 1 / 255}


@pytest.mark.parametrize(
    ("images", "chunk", "message"), [([IMAGE], None, "has camera images"), ([], 5, "has chunks of 5 actions")]
)
def test_images_and_chunks_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: list[dict[str, Any]], chunk: int | None, message: str
) -> None:
    """A baseline holds neither frames nor the moments at which a chunk was asked for."""
    contract = Contract.model_validate(contract_data(images=images))
    port = SimpleNamespace(path=tmp_path, onnx=tmp_path / "policy.onnx", contract=contract, chunk=chunk)
    monkeypatch.setattr(pilots, "load_port", lambda path: port)
    suite: Any = SimpleNamespace(resolve=lambda path: tmp_path / path)
    case: Any = SimpleNamespace(port="port", through=None)
    with pytest.raises(PortError, match=rf"{message}, which a suite's baselines do not hold; use `policy-port play`"):
        pilots.find_pilot(suite, case, tmp_path, "key")


def test_another_mapping_than_the_ports_is_refused(tmp_path: Path) -> None:
    """A `through` that says something else of a joint than the port's own mapping is bad input, as in `play`."""
    suite = load_suite(write_arm(tmp_path / "arm"))
    case = suite.case("arm")
    port, pilot = pilots.find_pilot(suite, case, tmp_path / "ports", "key")
    assert port.mapping is not None
    rough = pilots.RoughPilot.like(pilot)
    assert (pilot.made_with, rough.made_with, rough.remap) == (port.mapping, port.mapping, pilot.remap)

    def turn(mapping: dict[str, Any]) -> None:
        joint = next(iter(mapping["joints"].values()))
        joint["sign"] = -joint.get("sign", 1)

    change_yaml(tmp_path / "arm" / "through.yaml", turn)
    with pytest.raises(MappingError, match="the port was made with another mapping than this one") as refused:
        pilots.find_pilot(suite, case, tmp_path / "ports", "key")
    assert refused.value.exit_code == 2


def test_a_case_names_what_the_policy_does_not_need(tmp_path: Path) -> None:
    """A leftover stops the case, by its name; `ignore` with that name lets it go on, as part of its key."""
    suite = load_suite(write_arm(tmp_path))
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    stored["actor_state_dict"]["estimator.0.weight"] = torch.ones(3, 6)
    torch.save(stored, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="--ignore .actor_state_dict.estimator."):
        pilots.find_pilot(suite, suite.case("arm"), tmp_path / "ports", made_from(suite, suite.case("arm")))

    told = load_suite(write_suite(tmp_path, {**CASE, "ignore": ["actor_state_dict.estimator"]}))
    case = told.case("arm")
    assert made_from(told, case) != made_from(suite, suite.case("arm"))
    port, _ = pilots.find_pilot(told, case, tmp_path / "ports", made_from(told, case))
    assert port.onnx.is_file()
    with pytest.raises(SuiteError, match="ignore goes with checkpoint, not with port"):
        load_suite(write_suite(tmp_path, {**PORT_CASE, "ignore": ["actor_state_dict.estimator"]}))


def test_a_case_names_its_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`statistics: FILE` normalises with that file, `none` with nothing, and each is another port."""
    foreign = sb3_files.classes(monkeypatch)
    sb3_files.checkpoint(
        tmp_path / "model.zip", sb3_files.ppo(), foreign["Box"](low=sb3_files.LOW, high=sb3_files.HIGH)
    )
    sb3_files.statistics(tmp_path / "of_the_run.pkl", foreign)
    names = ("left", "right")
    joints = {name: {"default": 0.0, "lower": -1.0, "upper": 1.0} for name in names}
    terms = [{"term": kind} for kind in ("joint_pos", "joint_vel", "last_action")]
    contract = contract_data(joints=joints, observation={"terms": terms}, base={"floating": False}, robot="so100")
    (tmp_path / "contract.yaml").write_text(yaml.safe_dump(contract))
    answers = {}
    for statistics in ("of_the_run.pkl", "none"):
        plain = {key: value for key, value in CASE.items() if key not in ("mapping", "through")}
        suite = load_suite(write_suite(tmp_path, {**plain, "checkpoint": "model.zip", "statistics": statistics}))
        port, _ = pilots.find_pilot(suite, suite.case("arm"), tmp_path / "ports", made_from(suite, suite.case("arm")))
        graph = onnxruntime.InferenceSession(str(port.onnx))
        answers[statistics] = graph.run(None, {graph.get_inputs()[0].name: np.full((1, 6), 0.5, np.float32)})[0]
    assert not np.allclose(answers["of_the_run.pkl"], answers["none"], atol=1e-3)
