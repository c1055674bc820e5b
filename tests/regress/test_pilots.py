"""Ports that a suite can't replay are refused before anything starts, and so is a mapping that is not the port's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import MappingError, PortError
from policy_port.regress import load_suite, pilots
from tests.regress.arm import change_yaml, write_arm
from tests.samples import contract_data

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
