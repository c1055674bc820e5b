"""Ports that a suite can't replay are refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import PortError
from policy_port.regress import pilots
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
    with pytest.raises(PortError, match=message):
        pilots.find_pilot(suite, case, tmp_path, "key")
