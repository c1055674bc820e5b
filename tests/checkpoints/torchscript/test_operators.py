"""No operator that torch knows reaches beyond numbers through the scan."""

from __future__ import annotations

import re

import pytest
import torch

from policy_port.checkpoints.torchscript import scan
from policy_port.checkpoints.torchscript.scan import OPERATORS, refuse_operator, scan_code
from policy_port.errors import UnsafeFileError
from policy_port.port.torchscript import _WRITTEN_ONLY

KNOWN = sorted({schema.name for schema in torch._C._jit_get_all_schemas()})
"""Every operator of this torch."""
REACHES = re.compile(r"file|save|load|path|open|write|read|storage|url|print|exec|import|system|fork|wait|rpc|PythonOp")
ALLOWED = OPERATORS | _WRITTEN_ONLY


def test_what_touches_files_is_on_no_list() -> None:
    """None of the operators whose name or argument speaks of files, processes or the console is let through."""
    schemas = torch._C._jit_get_all_schemas()
    named = {schema.name for schema in schemas if REACHES.search(schema.name.partition("::")[2])}
    named |= {s.name for s in schemas if any(re.search(r"file|url|storage", item.name) for item in s.arguments)}
    assert {"aten::save", "aten::from_file"} <= named
    assert not named & ALLOWED


def test_every_other_operator_is_refused_by_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operator of this torch is in the lists or refused by name, in both spellings of the code."""
    # Looking for the nearest name takes nearly all of the time, and what is refused has nothing to do with it.
    monkeypatch.setattr(scan, "closest", lambda *_: "")
    refused = [name for name in KNOWN if name not in ALLOWED]
    assert len(refused) > 1000
    for name in refused:
        with pytest.raises(UnsafeFileError):
            refuse_operator(name, "file.pt", _WRITTEN_ONLY)
    for name in ("aten::save", "aten::from_file", *(name for name in refused if REACHES.search(name))):
        space, _, rest = name.partition("::")
        for call in (f"ops.{space}.{rest}(x)", *([f"torch.{rest}(x)"] if space == "aten" else [])):
            source = f"class M(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return {call}\n"
            with pytest.raises(UnsafeFileError, match="calls"):
                scan_code({"code/m.py": source.encode()}, "file.pt", _WRITTEN_ONLY)
